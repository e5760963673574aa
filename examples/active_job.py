"""An ActiveJob: Rails' types and keywords, and `retry_on` as Rails counts it.

pykiq run --require examples/active_job.py         # in one terminal
python examples/active_job.py                      # in another, or InvoiceJob.perform_later in Rails
"""

from __future__ import annotations

import datetime

import pykiq
from pykiq.activejob import DeserializationError, DiscardOn, GlobalID, RetryOn, Symbol, current


class PrinterBusy(Exception):
    """Gone at the third try."""


@pykiq.job(
    "InvoiceJob",
    active_job=True,
    rescue=[RetryOn(PrinterBusy, wait=0.5, jitter=0, attempts=5), DiscardOn(DeserializationError)],
)
def invoice(order: GlobalID, *, due: datetime.date, copies: int = 1, paper: str = Symbol("a4")) -> None:
    if current().executions < 3:
        raise PrinterBusy(f"try {current().executions}")
    pykiq.current_job().log.info("printed", order=order.id, due=due.isoformat(), copies=copies, paper=paper)


if __name__ == "__main__":
    order = GlobalID.of("shop", "Order", 42)
    print(invoice.perform_async(order, due=datetime.date(2030, 1, 31), paper=Symbol("letter")))
