"""The verbs: perform_async, _in, _at, _bulk, _inline, `set`, and each again for asyncio.

The order of keys in the payload is part of a verb, because Ruby's differ (WIRE.md §1.2): `args,class` for perform_async
and after `set`, `class,args` for perform_in, perform_at and perform_bulk.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, overload

from pykiq.client import default
from pykiq.client.times import Delay, When, due
from pykiq.errors import PayloadError, UnknownClass
from pykiq.jobs import inline
from pykiq.jobs.handler import Handler
from pykiq.jobs.options import checked_for_push
from pykiq.jobs.optiontypes import SetOptions

if TYPE_CHECKING:
    from pykiq.client.envelope import Envelope

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Verbs(Generic[P]):
    """Everything that can be done with a class of jobs but running it.

    Each returns the jid, or None when a client middleware stopped the push, and raises PayloadError or ArgumentsError
    for a job that is refused, SignatureMismatch when the handler takes another number of arguments, redis.RedisError
    when Redis cannot be reached. Keyword arguments are turned into
    positional ones, for handlers whose signature is known here; jobs have no others. ActiveJobs have, and keep them.
    """

    __slots__ = ("_handler", "_overrides", "job_envelope", "job_name", "job_options")

    def __init__(
        self,
        job_name: str,
        job_options: Mapping[str, Any],
        handler: Handler | None,
        overrides: Mapping[str, Any] | None = None,
        envelope: Envelope | None = None,
    ) -> None:
        self.job_name = job_name
        self.job_options = job_options
        self.job_envelope = envelope
        self._handler = handler
        self._overrides = overrides

    def __repr__(self) -> str:
        return f"<jobs of {self.job_name}>"

    def perform_async(self, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Push a job to run as soon as a worker is free."""
        return default.client().push(self._item(args, kwargs))

    def perform_in(self, interval: When, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Push a job to run `interval` (seconds, timedelta, `"5m"`) from now; at once if that is not in the future."""
        return default.client().push(self._later(interval, args, kwargs))

    def perform_at(self, moment: When, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Push a job to run at `moment`: epoch seconds or a datetime with a time zone; at once when it is past.

        As in Ruby this is `perform_in` by another name: a number below 1e9 is an interval (WIRE.md §4.3).
        """
        return default.client().push(self._later(moment, args, kwargs))

    def perform_bulk(
        self,
        args: Iterable[Sequence[Any]],
        *,
        at: When | Iterable[When] | None = None,
        spread_interval: Delay | None = None,
        batch_size: int | None = None,
    ) -> list[str | None]:
        """Push one job per list of arguments: `perform_bulk([[1], [2]])`. Any iterable will do, it is read lazily.

        `at` is as in perform_at, one for all or one per job. Returns a jid per job, None for one a middleware stopped.
        """
        return default.client().push_bulk(self._bulk(args, at, spread_interval), batch_size=batch_size)

    def perform_inline(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the job here and now, through JSON and all middleware, and return what the handler returned."""
        return inline.perform(self._local(), self._item(args, kwargs, waits=False))

    async def aperform_async(self, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """`perform_async` for asyncio."""
        return await default.async_client().push(self._item(args, kwargs))

    async def aperform_in(self, interval: When, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """`perform_in` for asyncio."""
        return await default.async_client().push(self._later(interval, args, kwargs))

    async def aperform_at(self, moment: When, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """`perform_at` for asyncio."""
        return await default.async_client().push(self._later(moment, args, kwargs))

    async def aperform_bulk(
        self,
        args: Iterable[Sequence[Any]],
        *,
        at: When | Iterable[When] | None = None,
        spread_interval: Delay | None = None,
        batch_size: int | None = None,
    ) -> list[str | None]:
        """`perform_bulk` for asyncio."""
        return await default.async_client().push_bulk(self._bulk(args, at, spread_interval), batch_size=batch_size)

    async def aperform_inline(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """`perform_inline` for asyncio: an `async def` handler is awaited."""
        return await inline.aperform(self._local(), self._item(args, kwargs, waits=False))

    def set(self, **options: Unpack[SetOptions]) -> Verbs[P]:
        """The same verbs with other options, for one push: `charge.set(queue="low").perform_async(42)`.

        Options as in `@pykiq.job`, `extra` among them, and `wait` (an interval) or `wait_until` (a moment) for
        perform_async. Raises PayloadError for a value that cannot be used.
        """
        return Verbs(self.job_name, self.job_options, None, self._overridden(options), self.job_envelope)

    def _overridden(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The overrides so far under those of another `set`."""
        options = dict(given)
        waits: dict[str, Any] = {name: options.pop(name) for name in ("wait", "wait_until") if name in options}
        for name, value in waits.items():
            due(value, 0.0, name)  # refused here, where it was written, and not at the push
        checked = checked_for_push(options, runs_here=self._handler is not None)
        return {**(self._overrides or {}), **checked, **waits}

    def _item(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, waits: bool = True) -> dict[str, Any]:
        overrides: dict[str, Any] = dict(self._overrides) if self._overrides else {}
        wanted = [value for name in ("wait_until", "wait") if (value := overrides.pop(name, None)) is not None]
        item = {**overrides, "args": self._positional(args, kwargs), "class": self}
        moment = due(wanted[0], time.time()) if waits and wanted else None
        return item if moment is None else {**item, "at": moment}

    def _later(self, when: When, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        given = self._positional(args, kwargs)
        if self._overrides is None:
            item: dict[str, Any] = {"class": self, "args": given}
        else:
            item = {**self._without_waits(), "args": given, "class": self}
        moment = due(when, time.time(), "when")
        return item if moment is None else {**item, "at": moment}

    def _bulk(
        self, args: Iterable[Any], at: When | Iterable[When] | None, spread_interval: Delay | None
    ) -> dict[str, Any]:
        item: dict[str, Any] = {**self._without_waits(), "class": self, "args": self._fitting(args)}
        if at is not None:
            now = time.time()
            if isinstance(at, Iterable) and not isinstance(at, str):
                moments = (due(each, now) for each in at)
                # A length lets the client compare it with the jobs before it writes.
                item["at"] = list(moments) if isinstance(at, (list, tuple)) else moments
            else:
                item["at"] = due(at, now)
        if spread_interval is not None:
            item["spread_interval"] = spread_interval
        return item

    def _fitting(self, jobs: Iterable[Any]) -> Iterable[Any]:
        """The jobs of a bulk: of a list all are looked at before the first is written, anything else as it is read."""
        handler = self._handler
        if handler is None or self.job_envelope is not None:
            return jobs

        def checked(args: Any) -> Any:
            if isinstance(args, (list, tuple)):  # what is neither is refused by the client
                handler.check(args)
            return args

        return [checked(args) for args in jobs] if isinstance(jobs, (list, tuple)) else map(checked, jobs)

    def _without_waits(self) -> dict[str, Any]:
        overrides = self._overrides or {}
        return {name: value for name, value in overrides.items() if name not in ("wait", "wait_until")}

    def _positional(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        if not kwargs:
            if self._handler is not None and self.job_envelope is None:
                self._handler.check(args)
            return args
        if self.job_envelope is not None:
            return self.job_envelope.arguments(args, kwargs)
        if self._handler is None:
            raise PayloadError(
                f"{self.job_name} was given the keyword {next(iter(kwargs))!r}; jobs have positional arguments only"
            )
        try:
            bound = self._handler.signature.bind(*args, **kwargs)
        except TypeError as mismatch:
            raise PayloadError(f"{self._handler.title} cannot take these arguments: {mismatch}") from None
        bound.apply_defaults()
        if any(name in kwargs for name in bound.kwargs):
            raise PayloadError(
                f"{self._handler.title} takes {', '.join(bound.kwargs)} as keywords only, and jobs have positional"
                " arguments only; leave them out"
            )
        return bound.args

    def _local(self) -> Handler:
        if self._handler is None:
            raise UnknownClass(f"`{self.job_name}` is declared with remote(): it has no code here to run")
        return self._handler


class LocalVerbs(Verbs[P], Generic[P, R_co]):
    """The same where the job's code is here: `perform_inline` returns what the handler does.

    Where a client middleware stops the job they return None, which their types leave out.
    """

    __slots__ = ()

    @overload
    def perform_inline(self: LocalVerbs[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def perform_inline(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def perform_inline(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the job here and now, through JSON and all middleware, and return what the handler returned."""
        return super().perform_inline(*args, **kwargs)

    @overload
    async def aperform_inline(self: LocalVerbs[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def aperform_inline(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    async def aperform_inline(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """`perform_inline` for asyncio: an `async def` handler is awaited."""
        return await super().aperform_inline(*args, **kwargs)

    def set(self, **options: Unpack[SetOptions]) -> LocalVerbs[P, R_co]:
        """As `Verbs.set`."""
        return LocalVerbs(self.job_name, self.job_options, self._handler, self._overridden(options), self.job_envelope)


class BaseVerbs(Verbs[P]):
    """Those of a class that is only a base of others: each verb says so."""

    __slots__ = ()

    def set(self, **options: Unpack[SetOptions]) -> BaseVerbs[P]:
        """As `Verbs.set`."""
        return BaseVerbs(self.job_name, self.job_options, None, self._overridden(options), self.job_envelope)

    def _positional(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        raise self._refusal()

    def _fitting(self, jobs: Iterable[Any]) -> Iterable[Any]:
        raise self._refusal()

    def _local(self) -> Handler:
        raise self._refusal()

    def _refusal(self) -> UnknownClass:
        return UnknownClass(
            f"`{self.job_name}` has no method `perform`, or an abstract one: it is a base of other classes and no job;"
            f' for a class that runs elsewhere use pykiq.remote("{self.job_name}")'
        )
