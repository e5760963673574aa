"""Snooze, Discard and Kill: a handler that decides by itself what becomes of its job.

pykiq run --require examples/job_fates.py          # in one terminal
python examples/job_fates.py                       # in another
"""

from __future__ import annotations

import time

import pykiq


@pykiq.job("Orders::ShipJob")
def ship(order: str, not_before: float = 0.0) -> None:
    if time.time() < not_before:
        raise pykiq.Snooze(not_before - time.time())  # again then; not a failure, the retry count stays
    if order == "cancelled":
        raise pykiq.Discard("the customer changed their mind")  # dropped: no retry, not dead
    if order == "corrupt":
        raise pykiq.Kill("nobody can ship this")  # to the dead set now, for a person to look at
    pykiq.current_job().log.info("shipped", order=order)


if __name__ == "__main__":
    print(ship.perform_async("fine"))
    print(ship.perform_async("patient", time.time() + 1.5))
    print(ship.perform_async("cancelled"))
    print(ship.perform_async("corrupt"))
