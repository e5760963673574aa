"""Failing: what becomes of a job that raised, by Ruby's rules (WIRE.md §7), with the user's hooks asked on the way.

Everything written starts from a fresh parse of the raw bytes, so that what a middleware or a handler did to its payload
never reaches the retry entry.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from weakref import WeakSet

from pykiq.config import Config
from pykiq.errors import Interrupted, Kill, Unreadable
from pykiq.jobs.handler import Handler
from pykiq.jobs.hooks import DISCARD, KILL
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.logger import get_logger
from pykiq.records import Acknowledge, Bury, Claimed, Later, Outcome, Raised, Word
from pykiq.store.fleet import Fleet
from pykiq.store.leftovers import POISON_TAKEOVERS
from pykiq.wire import backoff, keys, payload
from pykiq.wire.dialect import Dialect, for_payload, is_number
from pykiq.wire.exactjson import dumps
from pykiq.wire.failure import (
    Failure,
    backtrace_of,
    describe,
    is_exhausted,
    keeps_backtrace,
    record_failure,
    retry_limit,
    wants_death_entry,
)
from pykiq.worker.trace import trace

# Exceptions that may wait with all their locals until they are settled and told: a hundred jobs that fail within one
# turn, each with a megabyte in a variable, are a hundred megabytes.
MOST_WHOLE = 32

POISON_PILL = "pykiq.PoisonPill"  # the error's class in the entry and in the log

# Read past what a class may define in their place, which can raise.
_TRACEBACK: Any = BaseException.__dict__["__traceback__"].__get__
_CAUSE: Any = BaseException.__dict__["__cause__"].__get__
_CONTEXT: Any = BaseException.__dict__["__context__"].__get__

_Broken = list[tuple[str, BaseException]]

log = get_logger()


class _Whole:
    """Stands for one exception whose frames still hold their locals."""


class Failing:
    """Decides and words failures with one process's settings."""

    def __init__(
        self, config: Config, fleet: Callable[[], Fleet], lifecycle: Lifecycle, rng: random.Random | None = None
    ) -> None:
        self._config = config
        self._lifecycle = lifecycle
        self._fleet = fleet
        self._rng = rng or random.Random()
        self._whole: WeakSet[_Whole] = WeakSet()

    def dialect(self, job: dict[str, Any]) -> Dialect:
        """The dialect this job's entries are written in."""
        return for_payload(job, self._fleet().dialect, self._config.wire)

    def outcome(
        self,
        claimed: Claimed,
        handler: Handler | None,
        error: BaseException,
        *,
        name: str,
        jid: str,
        started_at: float,
        elapsed: float = 0.0,
        kill: bool = False,
    ) -> Outcome:
        """The Outcome of a failed job. Never raises: if the bookkeeping itself fails, the bytes go to the dead set."""
        failure = describe(error, backtrace=False)
        buried = Outcome(
            claimed,
            Word.FAILED,
            Bury(claimed.raw),
            name,
            jid,
            started_at,
            elapsed,
            error_class=failure.error_class,
            error_message=failure.message,
            died=True,
            trace=trace(error),
        )
        try:
            job = payload.parse(claimed.raw)
            broken: _Broken = []
            write, death = self._decide(job, claimed.queue, handler, error, failure, kill, broken)
            ended = buried._replace(write=write, discarded=isinstance(write, Acknowledge), died=death)
            if not self._lifecycle.listens_to_failures:
                return ended
            return ended._replace(raised=self._carried(job, error), broken_hooks=tuple(broken))
        except Interrupted:
            raise
        except BaseException:
            log.error("failure_not_recorded", jid=jid, exc_info=True, next="dead, with its bytes")
            if not self._lifecycle.listens_to_failures:
                return buried
            return buried._replace(raised=self._carried(payload.as_job(claimed.raw, claimed.queue), error))

    def poison_entry(self, raw: bytes, queue: str, owner: str, now: float) -> bytes:
        """The dead entry of a job that took its process down too often; `owner` was the last of them."""
        return self.poisoned(raw, queue, poison_message(owner), now)

    def _carried(self, job: dict[str, Any], error: BaseException) -> Raised:
        """The exception on its way to those who listen; without its locals when many are on their way already."""
        if len(self._whole) < MOST_WHOLE:
            whole = _Whole()
            self._whole.add(whole)
            return Raised(job, error, whole)
        for one in _chain(error):
            traceback.clear_frames(_TRACEBACK(one))
        return Raised(job, error)

    def poisoned(self, raw: bytes, queue: str, message: str, now: float) -> bytes:
        """The dead entry of a job with that message for its `pykiq.PoisonPill`."""
        try:
            job = payload.parse(raw)
            failure = Failure(POISON_PILL, message, ())
            record_failure(job, failure, queue=queue, now=now, dialect=self.dialect(job), default_retry=True)
            return dumps(job, self.dialect(job))
        except Unreadable:
            return payload.legible(raw)
        except Exception:
            log.error("failure_not_recorded", exc_info=True, next="dead, with its bytes")
            return raw

    def _decide(
        self,
        job: dict[str, Any],
        queue: str,
        handler: Handler | None,
        error: BaseException,
        failure: Failure,
        kill: bool,
        broken: _Broken,
    ) -> tuple[Acknowledge | Later | Bury, bool]:
        """What is written, and whether death handlers run. `job` becomes the entry."""
        dialect = self.dialect(job)
        default_retry = handler.default_retry if handler else None
        limit = retry_limit(job, default_retry=default_retry, max_retries=self._config.max_retries)
        kill = kill or isinstance(error, Kill)
        if limit is None and not kill:
            return Acknowledge(), True  # retry: false
        now = time.time()
        if keeps_backtrace(job):
            failure = replace(failure, backtrace=backtrace_of(error))
        record_failure(job, failure, queue=queue, now=now, dialect=dialect, default_retry=default_retry)
        if kill or is_exhausted(job, limit or 0, now=now, dialect=dialect):
            return self._exhausted(job, handler, error, dialect, broken)
        count = job["retry_count"]
        wish = self._ask(broken, handler, "retry_in", count, error, dict(job)) if handler else None
        if wish is KILL:
            return self._exhausted(job, handler, error, dialect, broken)
        if wish is DISCARD:
            job["discarded_at"] = dialect.stamp(now)
            return Acknowledge(), True
        delay = backoff.custom_delay(wish, count, dialect, self._rng)
        if delay is None:
            if wish is not None and not is_number(wish):
                log.warning("retry_in_not_understood", handler=handler.name if handler else "", given=repr(wish)[:80])
            delay = backoff.delay(count, dialect, self._rng)
        return Later(keys.RETRY, now + delay, dumps(job, dialect)), False

    def _exhausted(
        self, job: dict[str, Any], handler: Handler | None, error: BaseException, dialect: Dialect, broken: _Broken
    ) -> tuple[Acknowledge | Bury, bool]:
        """WIRE.md §7e: the hook first, then the dead set unless the hook or `dead: false` says no."""
        entry = dumps(job, dialect)
        said = self._ask(broken, handler, "retries_exhausted", dict(job), error) if handler else None
        if said is DISCARD or not wants_death_entry(job):
            job["discarded_at"] = dialect.stamp(time.time())
            return Acknowledge(), True
        return Bury(entry), True

    def _ask(self, broken: _Broken, handler: Handler, kind: str, *args: Any) -> object:
        """What the handler's hook `kind` answers; None when it has none or it raises, and that is told of."""
        hook = getattr(handler, kind)
        if hook is None:
            return None
        try:
            return hook(*args)
        except Interrupted:
            raise
        except BaseException as error:
            told = describe(error)
            log.error(
                "hook_failed",
                hook=f"{handler.name}.{kind}",
                error_class=told.error_class,
                error_message=told.message,
                next="the default applies",
            )
            broken.append((f"{handler.name}.{kind}", error))
            return None


def poison_message(owner: str) -> str:
    """What is said of a poison pill, `owner` being the last process that died with it."""
    return (
        f"taken over {POISON_TAKEOVERS} times from processes that died ({owner} was the last): it probably kills its"
        " process"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those it was raised from or during."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            left += [_CAUSE(one), _CONTEXT(one)]
            yield one
