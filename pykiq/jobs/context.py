"""What a running job may ask about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from pykiq.client import carrying
from pykiq.errors import PykiqError
from pykiq.logger import get_logger
from pykiq.wire import carried
from pykiq.wire import payload as wire_payload

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from pykiq.jobs.activejob import ActiveJob


def _never() -> bool:
    return False


class JobContext:
    """One execution of one job. Made for every job, so it computes nothing until it is asked.

    `payload` is this execution's own copy of the job: what a handler does to it is never written back (WIRE.md §6).
    `queue` is the queue the job was taken from, which wins over the payload's own. `active_job` is the ActiveJob inside
    of Rails' envelope, None for a plain job.
    """

    __slots__ = ("_log", "_stopping", "active_job", "jid", "name", "payload", "queue")

    def __init__(
        self,
        payload: dict[str, Any],
        queue: str,
        jid: str | None = None,
        name: str | None = None,
        stopping: Callable[[], bool] = _never,
    ) -> None:
        self.payload = payload
        self.queue = queue
        self.jid: str = str(payload.get("jid") or "") if jid is None else jid
        self.name: str = wire_payload.display_name(payload) if name is None else name
        self._stopping = stopping
        self._log: FilteringBoundLogger | None = None
        self.active_job: ActiveJob | None = None

    @property
    def attempt(self) -> int:
        """How many executions came before this one: 0 at first."""
        return wire_payload.attempt(self.payload)

    @property
    def stopping(self) -> bool:
        """Whether this process is shutting down. A long job looks at this, saves where it is and returns early."""
        return self._stopping()

    @property
    def locale(self) -> str | None:
        """The locale the job was pushed under: of Sidekiq's I18n middleware, else an ActiveJob's own; None without."""
        own = self.active_job.locale if self.active_job is not None else None
        return carried.locale(self.payload) or own

    @property
    def attributes(self) -> dict[str, Any]:
        """The CurrentAttributes of Rails that the job was pushed with, of all their classes; symbols are strings."""
        return carried.attributes(self.payload)

    @property
    def trace(self) -> carried.Trace | None:
        """The trace the job belongs to: from OpenTelemetry's key, else from Sentry's, else from Datadog's."""
        return carried.trace(self.payload)

    @property
    def carried(self) -> dict[str, Any]:
        """All keys of the payload that go on to the jobs this one pushes, as they are."""
        return carried.of(self.payload)

    @property
    def log(self) -> FilteringBoundLogger:
        """A structlog logger bound with the job's `class` and `jid`, whose lines go where pykiq's own go."""
        log = self._log
        if log is None:
            log = self._log = get_logger("pykiq.job").bind(**{"class": self.name, "jid": self.jid})
        return log

    def __repr__(self) -> str:
        return f"JobContext(name={self.name!r}, jid={self.jid!r}, queue={self.queue!r})"


def current_job() -> JobContext:
    """The job that is running here: in this thread, or in this task and those it started.

    Raises PykiqError outside of a job.
    """
    try:
        return cast(JobContext, carrying.running.get())
    except LookupError:
        raise PykiqError(
            "no job is running here: call current_job() inside a handler, or in a thread started with"
            " contextvars.copy_context().run"
        ) from None


enter = carrying.running.set
"""Make a JobContext the current job of this thread or task. Give the token that is returned to `leave`."""

leave = carrying.running.reset
"""Undo `enter`, in the same thread or task."""
