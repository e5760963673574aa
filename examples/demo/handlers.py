"""The Python handlers of the demo: `pykiq run --require examples/demo/handlers.py` loads this file.

The names are those of the Ruby classes whose pushes were recorded. What Ruby wrote is what these functions are given.
"""

from __future__ import annotations

from typing import Any

import pykiq

# A Ruby class: it has no code here. Its jobs wait in `queue:ruby` for a Ruby process.
ReceiptJob = pykiq.remote("ReceiptJob", queue="ruby", retry=5)


@pykiq.job("OkJob")
def ok(*args: Any) -> None:
    """Send everything it was given back to Ruby."""
    ReceiptJob.perform_async(pykiq.current_job().jid, *args)


@pykiq.job("Ns::Deep::Job")
async def deep(number: int) -> None:
    """An `async def` handler runs on an event loop, beside the threads that run the others."""
    await ReceiptJob.aperform_async(pykiq.current_job().jid, number)


@pykiq.job("OptJob", queue="critical")
def with_options(number: int) -> None:
    """Ruby's own options came with the payload: tags, a retry queue, `dead: false`, a custom key."""
    payload = pykiq.current_job().payload
    pykiq.current_job().log.info("options", tags=payload["tags"], custom=payload["custom"])


@pykiq.job("FailJob")
def fail(*args: Any) -> None:
    """Fails: to the `retry` set, to be tried again as Ruby would."""
    raise ValueError(f"no luck with {list(args)}")


@pykiq.job("FailRetry0", retry=0)
def fail_for_good(number: int) -> None:
    """Fails without a retry left: to the `dead` set."""
    raise RuntimeError(f"job {number} cannot be saved")
