"""What a worker tells about itself: when it starts and stops, when a job fails, when one dies.

pykiq run --require examples/lifecycle.py          # in one terminal; stop it with Ctrl-C
python examples/lifecycle.py                       # in another
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

import pykiq

log = structlog.get_logger("example")


@pykiq.on("startup")
def open_pool() -> None:
    log.info("startup: open a database pool here")


@pykiq.on("shutdown")
async def say_goodbye() -> None:
    log.info("shutdown: jobs may still run")


@pykiq.on("exit")
def close_pool() -> None:
    log.info("exit: every job is done or back in its queue; close the pool here")


@pykiq.error_handler
def report(error: BaseException, context: Mapping[str, Any]) -> None:
    """Every failure of a job or of a hook; for a job, `context["job"]` is the payload with the failure in it."""
    log.info("report this to your error tracker", error=repr(error), context=context["context"])


@pykiq.death_handler
def mourn(job: Mapping[str, Any], error: BaseException) -> None:
    """A job without a retry left."""
    log.info("tell somebody", dead=job["class"], jid=job["jid"])


@pykiq.job("Risky::Job", retry=0)
def risky(divisor: int) -> None:
    pykiq.current_job().log.info("divided", result=1 / divisor)


if __name__ == "__main__":
    print(risky.perform_async(1))
    print(risky.perform_async(0))
