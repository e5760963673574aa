"""Many jobs of one class: from an iterable of arguments to slices, lazily. Pure, as `build`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain as joined
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from pykiq.client.build import envelope_of, finish, plan, template
from pykiq.client.stencil import Stencil
from pykiq.client.times import duration, number
from pykiq.errors import PayloadError
from pykiq.middleware.chain import Chain, ClientMiddleware, Job
from pykiq.store.push import PushBatch
from pykiq.wire import exactjson
from pykiq.wire.arguments import check_arguments
from pykiq.wire.dialect import Dialect

if TYPE_CHECKING:
    from pykiq.client.envelope import Envelope

SLICE = 1000
SCHEDULED_SLICE_OF_8 = 100  # 8.1 writes scheduled jobs 100 at a time (WIRE.md §4.4)
SPREAD_AT_LEAST = 5  # seconds: a smaller `spread_interval` counts as this

_END = object()
_LISTS = frozenset({list, tuple})


class _Part(NamedTuple):
    """Jobs of one slice: their arguments, and when each shall run; None is now."""

    lists: list[Sequence[Any]]
    moments: list[int | float | None]


@dataclass(frozen=True, slots=True)
class Slice:
    """What one round trip writes. `jids` line up with the arguments; None where a middleware stopped the job."""

    batches: list[PushBatch]
    jids: Sequence[str | None]


def slices(
    item: Mapping[str, Any],
    *,
    clock: Callable[[], float],
    dialect: Dialect,
    jids: Callable[[int], list[str]],
    chain: Chain[ClientMiddleware],
    strict: bool = True,
    batch_size: int | None = None,
    rng: random.Random | None = None,
) -> Iterator[Slice]:
    """The slices of one bulk push; each is built when it is asked for, so a generator of arguments is read as we go.

    `item` is a job whose `args` is an iterable of argument lists. Its `at` is one moment for all or an iterable with
    one per job; `spread_interval` (seconds) puts each job at a random moment of the next that many seconds. All jobs
    share one `created_at`. `batch_size` is 1000 unless given, for scheduled jobs in dialect 8 it is 100.

    Raises PayloadError or ArgumentsError. Lists are checked as a whole before the first slice; with a generator the
    slices before the bad job are written already, and the message says which job it is.
    """
    given = dict(item)
    now = clock()
    lists = _argument_lists(given)
    moments = _moments(given, now, lists, rng or random.Random())
    size = _size(batch_size, scheduled=moments is not None, dialect=dialect)
    first, lists = _peek(lists, 2)
    if "jid" in given:
        if len(first) > 1:
            raise PayloadError("`jid` was given for a bulk of more than one job; leave it out, each job gets its own")
        del given["jid"]  # even a single job gets a fresh one: capture bulk_jid_one
    if not first:
        return
    sealed = envelope_of(item)
    shared = given if sealed is None else sealed.bulk(given, dialect=dialect)
    one_queue = sealed is None or sealed.queue_as is None
    common = template(shared | {"args": []}, now=now, dialect=dialect, jid=lambda: "")
    done = 0
    for part in _parts(lists, repeat(None) if moments is None else moments, size):
        if sealed is not None:
            part = _sealed(part, done, sealed, given, now, dialect)
        mine = jids(len(part.lists))
        if strict and not chain and one_queue and "expires_in" not in common:
            yield _stencilled(part, mine, done, common, clock(), dialect)
        else:
            jobs: Iterable[Job] = map(_job, repeat(common), part.lists, mine, part.moments)
            if not one_queue:
                jobs = ({**job, "queue": job["args"][0]["queue_name"]} for job in jobs)
            passed = [_finish(job, done + index, chain, strict) for index, job in enumerate(jobs)]
            kept = (job for job in passed if job is not None)
            yield Slice(
                plan(kept, now=clock(), dialect=dialect), [None if job is None else job.get("jid") for job in passed]
            )
        done += len(part.lists)


def _sealed(part: _Part, done: int, sealed: Envelope, given: Mapping[str, Any], now: float, dialect: Dialect) -> _Part:
    """The part with ActiveJob's envelope around each list of arguments."""
    written: list[Sequence[Any]] = []
    for args, at in zip(part.lists, part.moments, strict=True):
        try:
            written.append([sealed.data(given, args, at, now=now, dialect=dialect)])
        except PayloadError as error:
            raise _of_job(error, done + len(written)) from None
    return part._replace(lists=written)


def _stencilled(part: _Part, jids: list[str], done: int, common: Job, now: float, dialect: Dialect) -> Slice:
    """A slice that no middleware looks at: what the other way gives, byte for byte, in a fraction of the time."""
    later = dict(common)
    if dialect.strips_enqueued_at:
        later.pop("enqueued_at", None)
    at_once, at_a_moment = Stencil(common | {"enqueued_at": dialect.stamp(now)}, dialect), Stencil(later, dialect)
    queued: list[bytes] = []
    scheduled: list[tuple[int | float, bytes]] = []
    for args, jid, at in zip(_written(part.lists, done, dialect), jids, part.moments, strict=False):
        if at is None:
            queued.append(at_once.fill(args, jid))
        else:
            scheduled.append((at, at_a_moment.fill(args, jid)))
    batches = [PushBatch(common["queue"], False, tuple(queued))] if queued else []
    if scheduled:
        batches.append(PushBatch("", True, tuple(scheduled)))
    return Slice(batches, jids)


def _written(lists: Sequence[Sequence[Any]], done: int, dialect: Dialect) -> list[bytes]:
    """Each list of arguments, checked, as JSON without its brackets."""
    together = exactjson.dumps_flat(lists)
    if together is not None:
        return together
    written = []
    for args in lists:
        try:
            check_arguments(args)
            written.append(exactjson.dumps(args, dialect)[1:-1])
        except PayloadError as error:
            raise _of_job(error, done + len(written)) from None
    return written


def _job(common: Job, args: Sequence[Any], jid: str, at: int | float | None) -> Job:
    job = {**common, "args": args, "jid": jid}
    return job if at is None else {**job, "at": at}


def _finish(job: Job, index: int, chain: Chain[ClientMiddleware], strict: bool) -> Job | None:
    try:
        return finish(job, chain=chain, strict=strict)
    except PayloadError as error:
        raise _of_job(error, index) from None


def _of_job(error: PayloadError, index: int) -> PayloadError:
    return type(error)(f"job {index} of the bulk (counted from 0): {error}")


def _argument_lists(item: dict[str, Any]) -> Iterable[Any]:
    """The iterable of argument lists; checked now when it is a list."""
    lists = item.get("args")
    if isinstance(lists, (str, bytes, Mapping)) or not isinstance(lists, Iterable):
        raise PayloadError(f"`args` is {lists!r:.80}; expected one list of arguments per job, such as [[1], [2]]")
    if isinstance(lists, Sequence):
        _check_lists(lists, 0)
    return lists


def _check_lists(lists: Sequence[object], done: int) -> None:
    """Raise PayloadError for the first that is none; `done` lists came before these."""
    if _LISTS.issuperset(map(type, lists)):
        return
    for index, args in enumerate(lists, done):
        if not isinstance(args, (list, tuple)):
            raise PayloadError(
                f"`args[{index}]` is {args!r:.80}; expected a list of arguments per job, such as [[1], [2]]"
            )


def _moments(
    item: dict[str, Any], now: float, lists: Iterable[Any], rng: random.Random
) -> Iterator[int | float | None] | None:
    """One moment per job, None for jobs that run now. Takes `at` and `spread_interval` out of the item."""
    at = item.pop("at", None)
    spread = item.pop("spread_interval", None)
    if spread is not None:
        if at is not None:
            raise PayloadError("both `at` and `spread_interval` were given; pass one of them")
        seconds = float(duration(spread, "spread_interval"))
        if seconds <= 0:
            raise PayloadError(f"`spread_interval` is {spread!r}; expected a positive number of seconds")
        return _Spread(now, max(seconds, SPREAD_AT_LEAST), rng)
    if at is None:
        return None
    if isinstance(at, (str, bytes, timedelta)) or not isinstance(at, Iterable):
        return repeat(number(at))
    if isinstance(at, Sequence) and isinstance(lists, Sequence) and len(at) != len(lists):
        raise PayloadError(f"`at` has {len(at)} entries for {len(lists)} jobs; expected one per job, or a single one")
    return _strictly(at)


def _strictly(moments: Iterable[Any]) -> Iterator[int | float | None]:
    for index, moment in enumerate(moments):
        yield None if moment is None else number(moment, f"at[{index}]")


def _size(batch_size: int | None, *, scheduled: bool, dialect: Dialect) -> int:
    if batch_size is None:
        return SCHEDULED_SLICE_OF_8 if scheduled and dialect.major >= 8 else SLICE
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise PayloadError(f"`batch_size` is {batch_size!r}; expected a positive number of jobs")
    return batch_size


def _peek(lists: Iterable[Any], count: int) -> tuple[list[Any], Iterable[Any]]:
    rest = iter(lists)
    first = list(islice(rest, count))
    return first, joined(first, rest)


def _parts(lists: Iterable[Any], moments: Iterator[int | float | None], size: int) -> Iterator[_Part]:
    """The lists of arguments, `size` at a time, with the moment of each; None is now."""
    rest = iter(lists)
    done = 0
    ended = False
    while not ended:
        taken = list(islice(rest, size))
        ended = len(taken) < size
        _check_lists(taken, done)
        part = _Part(taken, list(islice(moments, len(taken))))
        done += len(part.moments)
        if len(part.moments) < len(taken):
            raise PayloadError(f"`at` ended after {done} entries, but there are more jobs; expected one per job")
        if ended and not isinstance(moments, (repeat, _Spread)) and next(moments, _END) is not _END:
            raise PayloadError(f"`at` has more entries than the {done} jobs; expected one per job")
        if taken:
            yield part


class _Spread(Iterator[float]):
    """Random moments, uniformly over `width` seconds from `start`, without end."""

    def __init__(self, start: float, width: float, rng: random.Random) -> None:
        self._start = start
        self._width = width
        self._rng = rng

    def __next__(self) -> float:
        return self._start + self._rng.random() * self._width
