"""One job as it waits in a queue or a set: what it says, and what can be done with it. Odd payloads raise nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pykiq.admin.access import Access, moment
from pykiq.admin.changes import only
from pykiq.errors import Unreadable
from pykiq.store import queues
from pykiq.wire import activejob, payload
from pykiq.wire.dialect import seconds
from pykiq.wire.failure import decode_backtrace

if TYPE_CHECKING:
    from pykiq.admin.sets import JobSet

_MAILERS = {"ActionMailer::DeliveryJob", "ActionMailer::MailDeliveryJob"}


class JobRecord:
    """A job that waits. `raw` are its exact bytes in Redis.

    Times are datetimes in UTC, None where the job does not say or says nonsense.
    """

    def __init__(self, access: Access, raw: bytes, queue: str | None = None) -> None:
        self._access = access
        self.raw = raw
        self._queue = queue

    @cached_property
    def item(self) -> Mapping[str, Any]:
        """The payload; empty when the bytes are not a job."""
        try:
            return payload.parse(self.raw)
        except Unreadable:
            return {}

    def __getitem__(self, key: str) -> Any:
        """One key of the payload, None when it is not there."""
        return self.item.get(key)

    def __contains__(self, key: object) -> bool:
        """Whether the payload has that key."""
        return key in self.item

    __iter__ = None  # Python would count up from job[0] for ever; `item` can be iterated

    @property
    def jid(self) -> str | None:
        jid = self.item.get("jid")
        return jid if isinstance(jid, str) else None

    @property
    def klass(self) -> str | None:
        """The class as it stands in the payload: the wrapper's for a job of ActiveJob."""
        name = self.item.get("class")
        return name if isinstance(name, str) else None

    @property
    def display_class(self) -> str:
        """The class as people know it: what is wrapped, `UserMailer#welcome` for a mail; `?` when there is none."""
        mail = self._mail
        return f"{mail[0]}#{mail[1]}" if mail else payload.display_name(self.item)

    @property
    def args(self) -> list[Any]:
        """The arguments as they stand in the payload."""
        return payload.arguments(self.item)

    @property
    def display_args(self) -> list[Any]:
        """The arguments as people know them: those of the wrapped job, and no secret that `encrypt` hides."""
        mail, wrapped = self._mail, self._wrapped_args
        if mail:
            return [activejob.legible(one) for one in _mail_args(mail[3:])]
        shown = self.args if wrapped is None else [activejob.legible(one) for one in wrapped]
        return [*shown[:-1], "[encrypted data]"] if shown and self.item.get("encrypt") else shown

    @property
    def _wrapped_args(self) -> list[Any] | None:
        if payload.class_name(self.item) not in activejob.WRAPPERS:
            return None
        found = (activejob.job_data(self.item) or {}).get("arguments")
        return found if isinstance(found, list) else None

    @property
    def _mail(self) -> list[Any] | None:
        wrapped = self.item.get("wrapped")
        args = self._wrapped_args if isinstance(wrapped, str) and wrapped in _MAILERS else None
        named = args and len(args) >= 3 and isinstance(args[0], str) and isinstance(args[1], str)
        return args if named else None

    @property
    def queue(self) -> str | None:
        """The queue it waits in, or the one it will be pushed to."""
        name = self.item.get("queue")
        return self._queue or (name if isinstance(name, str) else None)

    @property
    def tags(self) -> list[Any]:
        tags = self.item.get("tags")
        return tags if isinstance(tags, list) else []

    @property
    def bid(self) -> Any:
        return self.item.get("bid")

    @property
    def created_at(self) -> datetime | None:
        return self._time("created_at")

    @property
    def enqueued_at(self) -> datetime | None:
        return self._time("enqueued_at")

    @property
    def failed_at(self) -> datetime | None:
        """When it failed first."""
        return self._time("failed_at")

    @property
    def retried_at(self) -> datetime | None:
        """When it failed last, if that was a retry."""
        return self._time("retried_at")

    @property
    def error_class(self) -> str | None:
        return self._text("error_class")

    @property
    def error_message(self) -> str | None:
        return self._text("error_message")

    @property
    def error_backtrace(self) -> list[str] | None:
        """The lines of its last failure, innermost first; None when none were kept."""
        text = self._text("error_backtrace")
        return None if text is None else decode_backtrace(text)

    @property
    def latency(self) -> float:
        """Seconds since it was enqueued (or created); 0 when it does not say."""
        return payload.latency(self.item, time.time()) or 0.0

    def delete(self) -> bool:
        """Remove it from its queue; False when it had gone already."""
        return queues.delete(self._access.redis, self._queue or "", [self.raw])[0]

    def _time(self, key: str) -> datetime | None:
        return moment(seconds(self.item.get(key)))

    def _text(self, key: str) -> str | None:
        value = self.item.get(key)
        return value if isinstance(value, str) else None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.display_class} {self.jid}>"


def _mail_args(given: list[Any]) -> list[Any]:
    """What a mail is made from: its own arguments, and before them the params of a parameterised mailer."""
    last = given[-1] if given else None
    if not isinstance(last, dict) or not isinstance(last.get("args"), list):
        return given
    return [*([last["params"]] if "params" in last else []), *last["args"]]


class SortedEntry(JobRecord):
    """A job in `schedule`, `retry` or `dead`. `score` is its time there in epoch seconds, exactly as Redis has it.

    Every method that changes something returns whether it did: False means that the job had left the set already, so
    somebody else has dealt with it.
    """

    def __init__(self, parent: JobSet, raw: bytes, score: float) -> None:
        super().__init__(parent.access, raw)
        self.parent = parent
        self.score = score

    @property
    def at(self) -> datetime | None:
        """When it is due, or when it died."""
        return moment(self.score)

    @property
    def id(self) -> str:
        """How the Web UI calls it in addresses: score and jid."""
        return f"{self.score!r}-{self.jid}"

    @property
    def error(self) -> bool:
        """Whether it has failed before."""
        return bool(self.item.get("error_class"))

    def delete(self) -> bool:
        """Remove it from its set."""
        return only(self.parent.delete_each([self]))

    def reschedule(self, at: datetime | float) -> bool:
        """Make it due at that moment (a datetime with a time zone, or epoch seconds). Its bytes stay as they are."""
        return only(self.parent.reschedule_each([self], at))

    def add_to_queue(self) -> bool:
        """Push it now, through the client middleware.

        Raises PayloadError or Unreadable when it cannot be pushed, and what a middleware raises; it stays then.
        """
        return only(self.parent.add_to_queue_each([self]))

    def retry(self) -> bool:
        """As `add_to_queue`, and this try does not count: `retry_count` goes down by one (WIRE.md §20)."""
        return only(self.parent.retry_each([self]))

    def kill(self, *, notify: bool = True) -> bool:
        """Move it to `dead`, byte for byte. The death handlers of this program run unless `notify` is false."""
        return only(self.parent.kill_each([self], notify=notify))
