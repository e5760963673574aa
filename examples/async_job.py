"""An `async def` handler: it runs on the worker's event loop, thousands at a time if the concurrency allows.

pykiq run --require examples/async_job.py -c 100   # in one terminal
python examples/async_job.py                       # in another
"""

from __future__ import annotations

import asyncio

import pykiq


@pykiq.job("Web::FetchJob", timeout=1.5, retry=3)
async def fetch(*hosts: str) -> None:
    """`timeout` cancels it after that many seconds: it fails with JobTimeout and is retried."""
    sizes = await asyncio.gather(*map(page_size, hosts))
    pykiq.current_job().log.info("fetched", sizes=dict(zip(hosts, sizes, strict=True)))


async def page_size(host: str) -> int:
    """Stands in for a request."""
    await asyncio.sleep(60 if host == "hangs.example" else 0.05)
    return len(host)


async def main() -> None:
    print(await fetch.aperform_async("a.example", "bc.example"))
    print(await fetch.aperform_bulk([[f"{n}.example"] for n in range(20)]))
    print(await fetch.aperform_async("hangs.example"))


if __name__ == "__main__":
    asyncio.run(main())
