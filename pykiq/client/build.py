"""From what a caller gives to what Redis gets: payloads and batches. Pure: no I/O, no clock, no chance of its own.

The one thing that is not handed in is the context (`carrying`), which belongs to the thread or task that pushes.

Where Ruby's own rule is dangerous we differ, and write what every Ruby version reads all the same:

    Ruby                                                      pykiq, and why
    -------------------------------------------------------   -------------------------------------------------------
    6.4, 7.3: a bulk whose middleware changed queues lands    one LPUSH per queue, as 8.1: a job in the list of another
      in the first job's list                                   queue runs where its author did not want it
    the first payload decides whether a batch is scheduled    each payload decides: a job would lose its `at`, or the
                                                                whole batch be refused for want of a score
    6.4: push_bulk of any size is one command                 slices of 1000: one command of a million jobs stops Redis
    6.4: perform_bulk stamps `created_at` per slice           one stamp per call, as 7.3 and 8.1
    6.4: jobs stopped in a bulk are left out of the result    None in their place, so that results line up with jobs
    6.4: only warns about arguments that JSON changes         refused, as 7.3 and 8.1 (`strict_args=False` allows them)
    6.4: `retry_for` kept as given, whatever its size         whole seconds, at most 1e9, as 7.3 and 8.1
    6.4: a `jid` for a bulk of many is ignored                refused, as 7.3 and 8.1
    8.1: perform_bulk(at: 60) runs at once                    perform_bulk reads a small number as an interval, as
                                                                perform_in does and as 8.1 documents it
    a class name that is no constant is accepted              refused: Ruby's pollers can lose such jobs (`naming.py`)
    `at: null` left by a middleware stays in the payload      dropped: it means nothing to any reader
    Pro: `expiry` of a job pushed with an `at` that is past   from now: it could not have been run any earlier
      counts from then, and the job is dropped
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pykiq.client import carrying
from pykiq.client.naming import is_queue, refusal
from pykiq.client.times import INTERVAL_BELOW, duration, number
from pykiq.errors import PayloadError
from pykiq.middleware.around import run_client
from pykiq.middleware.chain import Chain, ClientMiddleware, Job
from pykiq.store.push import PushBatch
from pykiq.wire import exactjson, expiry
from pykiq.wire.arguments import check_arguments
from pykiq.wire.dialect import Dialect

if TYPE_CHECKING:
    from pykiq.client.envelope import Envelope

DEFAULTS: Mapping[str, Any] = {"retry": True, "queue": "default"}
"""The options of a job whose class is given as a string (WIRE.md §4.1, capture string_class_push_known)."""

LONGEST_S = INTERVAL_BELOW  # seconds of `retry_for` and `expires_in`; a larger number is a moment, passed by mistake

_NO_CHAIN: Chain[ClientMiddleware] = Chain()


class Declared(Protocol):
    """What has a job's name and options: a decorated function, a Job class, a remote class."""

    @property
    def job_name(self) -> str: ...
    @property
    def job_options(self) -> Mapping[str, Any]: ...


def normalize(
    item: Mapping[str, Any],
    *,
    now: float,
    dialect: Dialect,
    jid: Callable[[], str],
    chain: Chain[ClientMiddleware] = _NO_CHAIN,
    strict: bool = True,
    defaults: Mapping[str, Any] | None = None,
) -> Job | None:
    """The payload of one push, `at` still in it; None when a client middleware stopped it (WIRE.md §4.1, §4.5).

    `item` needs `class` (a name, or something declared) and `args`; its other keys overlay the class's options.
    Raises PayloadError or ArgumentsError, and whatever a middleware raises.
    """
    if "args" not in item:
        raise PayloadError(f"the job has no `args`, only {_listed(item)}; pass a list, [] for no arguments")
    sealed = envelope_of(item)
    if sealed is not None:
        item = sealed.job(item, now=now, dialect=dialect)
    return finish(template(item, now=now, dialect=dialect, jid=jid, defaults=defaults), chain=chain, strict=strict)


def envelope_of(item: Mapping[str, Any]) -> Envelope | None:
    """The envelope for `item`; None when its class is only named, or is no ActiveJob."""
    return getattr(item.get("class"), "job_envelope", None)


def template(
    item: Mapping[str, Any],
    *,
    now: float,
    dialect: Dialect,
    jid: Callable[[], str],
    defaults: Mapping[str, Any] | None = None,
) -> Job:
    """`item` with its class's options below it, a jid and a `created_at`. Raises PayloadError.

    The order of keys is Ruby's: options, then the item's own, then what was missing, then the context.
    """
    for key in item:
        if not isinstance(key, str):
            raise PayloadError(f"the job has the key {key!r:.80}; keys must be strings, pass {str(key)!r:.80}")
    if "class" not in item:
        raise PayloadError(f"the job has no `class`, only {_listed(item)}; pass the name of the Ruby class")
    job: Job = dict(DEFAULTS if defaults is None else defaults)
    declared = {key: item[key] for key in ("class", "wrapped") if _is_declared(item.get(key))}
    for source in declared.values():
        job.update(source.job_options)
    job.update(item)
    for key, source in declared.items():
        job[key] = source.job_name
    _check_job(job)
    _check_expiry(job)
    if job.get("at") is not None:
        job["at"] = number(job["at"])
    if not job.get("jid"):
        job["jid"] = jid()
    if job.get("created_at") is None:
        job["created_at"] = dialect.stamp(now)
    for key, value in carrying.here().items():
        job.setdefault(key, value)
    return job


def finish(job: Job, *, chain: Chain[ClientMiddleware], strict: bool) -> Job | None:
    """What the chain makes of a complete job, checked; None when it was stopped.

    Arguments are checked after the chain, as in 7.3 and 8.1: a middleware may be what turns them into JSON.
    """
    if chain and isinstance(job["args"], (list, tuple)):
        job["args"] = list(job["args"])  # whatever verb was used, and not the caller's own list
    passed = run_client(chain, job)
    if passed is None:
        return None
    if chain:
        _check_job(passed)
        if passed.get("at") is not None:
            passed["at"] = number(passed["at"])
    args = passed["args"]
    if strict:
        check_arguments(args)
    elif not isinstance(args, (list, tuple)):
        raise PayloadError(f"`args` is {args!r:.80}; the arguments of a job are a list; pass [value]")
    return passed


def plan(jobs: Iterable[Job], *, now: float, dialect: Dialect) -> list[PushBatch]:
    """Group finished jobs into batches: one per queue, one for all scheduled ones; `now` becomes `enqueued_at`.

    Changes the jobs: `at` is taken out, `enqueued_at` is set or taken out, `expiry` is set beside `expires_in`.
    """
    queued: dict[str, list[bytes]] = {}
    scheduled: list[tuple[int | float, bytes]] = []
    stamp = dialect.stamp(now)
    for job in jobs:
        at = job.pop("at", None)
        expiry.stamp(job, now if at is None else max(at, now))
        if at is None:
            job["enqueued_at"] = stamp
            queued.setdefault(job["queue"], []).append(exactjson.dumps(job, dialect))
        else:
            if dialect.strips_enqueued_at:
                job.pop("enqueued_at", None)
            scheduled.append((at, exactjson.dumps(job, dialect)))
    batches = [PushBatch(queue, False, tuple(entries)) for queue, entries in queued.items()]
    if scheduled:
        batches.append(PushBatch("", True, tuple(scheduled)))
    return batches


def _is_declared(value: object) -> bool:
    return not isinstance(value, str) and hasattr(value, "job_options")


def _check_job(job: Job) -> None:
    """Raise PayloadError for a job that Ruby's client would refuse, or should. Makes `retry_for` an integer."""
    refused = refusal(job.get("class"))
    if refused:
        raise PayloadError(refused)
    queue = job.get("queue")
    if not is_queue(queue):
        raise PayloadError(f"`queue` is {queue!r:.80}; expected the name of a queue, in UTF-8")
    if "tags" in job and not isinstance(job["tags"], (list, tuple)):
        raise PayloadError(f"`tags` is {job['tags']!r:.80}; expected a list of strings, as every Web UI does")
    if job.get("retry_for") is not None:
        job["retry_for"] = retry_for(job["retry_for"])


def retry_for(value: object) -> int:
    """`retry_for` in whole seconds (capture set_retry_for_float). Raises PayloadError, above 1e9 too."""
    seconds = int(duration(value, "retry_for"))
    if seconds > LONGEST_S:
        raise PayloadError(
            f"`retry_for` is {value!r}, more than {LONGEST_S} seconds; it is how long to retry, not until when"
        )
    return seconds


def _check_expiry(job: Job) -> None:
    """Raise PayloadError for an `expires_in` or an `expiry` that nobody could obey. Makes them numbers."""
    if job.get("expires_in") is not None:
        job["expires_in"] = expires_in(job["expires_in"])
    if job.get("expiry") is not None:
        job["expiry"] = float(number(job["expiry"], "expiry"))
        if job["expiry"] < INTERVAL_BELOW:
            raise PayloadError(
                f"`expiry` is {job['expiry']:g}; it is until when to start; pass `expires_in` for how long"
            )


def expires_in(value: object) -> int | float:
    """`expires_in` in seconds. Raises PayloadError, above 1e9 too."""
    seconds = duration(value, "expires_in")
    if not 0 < seconds <= LONGEST_S:
        raise PayloadError(
            f"`expires_in` is {value!r:.80}; expected a positive number of seconds, {LONGEST_S} at most;"
            " it is how long a job may wait, not until when"
        )
    return seconds


def _listed(item: Mapping[str, Any] | Sequence[Any]) -> str:
    return ", ".join(f"`{key}`" for key in item) or "no keys at all"
