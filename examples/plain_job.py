"""A function as a job: declared once, pushed from anywhere, run by a worker.

pykiq run --require examples/plain_job.py          # in one terminal
python examples/plain_job.py                       # in another
"""

from __future__ import annotations

import pykiq


@pykiq.job("Billing::ChargeJob", retry=5, tags=["billing"])
def charge(order_id: int, cents: int = 100) -> int:
    """Ruby's `Billing::ChargeJob.perform_async(42)` runs this; so does the line below."""
    pykiq.current_job().log.info("charged", order=order_id, cents=cents)
    return cents


if __name__ == "__main__":
    print(charge.perform_async(42))
    print(charge.perform_in(1, 43, cents=250))  # keywords become positions: jobs have no others
    print(charge.perform_bulk([44, 100 * n] for n in range(1, 4)))  # any iterable, read as it is sent
    print(charge.set(retry=False).perform_async(45))
    print(charge.perform_inline(46))  # here and now, without Redis: 100
