"""`assert_enqueued`: which push is meant, and what the nearest one has in its place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from pykiq.client.times import INTERVAL_BELOW, number
from pykiq.config.settings import did_you_mean
from pykiq.jobs.options import OF_ONE_JOB, OPTIONS
from pykiq.testing.memory import StoredJob
from pykiq.wire.dialect import seconds

TOLERANCE = 1.0  # seconds that `at` may be off
SHOWN = 5  # pushes in a message
WIDTH = 300  # characters of one value in a message
WHOLE = 100  # characters up to which two values are shown as they are; of longer ones only the places that differ
PLACES = 5  # of those in a message
CRITERIA = ("args", "queue", "at", "count")


class _Any:
    def __repr__(self) -> str:
        return "anything"


ANY: Any = _Any()
"""The value of a criterion that was not given. None means something: no `at`, or a key whose value is null."""


class Wanted(NamedTuple):
    """What a push shall be like."""

    job_class: str
    args: Any = ANY
    queue: Any = ANY
    at: Any = ANY
    keys: Mapping[str, Any] = {}

    def __str__(self) -> str:
        wishes = [f"{name}={_short(value)}" for name, value in self._criteria() if value is not ANY]
        return " ".join([self.job_class, *wishes])

    def _criteria(self) -> list[tuple[str, Any]]:
        return [("args", self.args), ("queue", self.queue), ("at", self.at), *self.keys.items()]

    def differences(self, job: StoredJob) -> Iterator[str]:
        """What is different about `job`, a line each; its class is looked at too."""
        if job.job_class != self.job_class:
            yield f"class: expected {self.job_class}, pushed {job.job_class}"
        if self.args is not ANY and _lists(self.args) != job.args:
            yield from _compared("args", _lists(self.args), job.args)
        if self.queue is not ANY and self.queue != job.queue:
            yield f"queue: expected {self.queue!r}, pushed {job.queue!r}"
        if self.at is not ANY and not self._is_due(job):
            yield f"at: expected {_moment(self.at)}, pushed {_delay(job)}"
        for key, value in self.keys.items():
            if key not in job.payload:
                yield f"{key}: expected {_short(value)}, the payload has none"
            elif _lists(value) != job.payload[key]:
                yield from _compared(key, _lists(value), job.payload[key])

    def _is_due(self, job: StoredJob) -> bool:
        if self.at == job.at:  # also `unittest.mock.ANY`
            return True
        if self.at is None or job.at is None:
            return False
        moment = float(number(self.at))
        if isinstance(self.at, timedelta) or moment < INTERVAL_BELOW:
            moment += _created(job)
        return abs(job.at - moment) <= TOLERANCE


def check(pushed: Sequence[StoredJob], wanted: Wanted, count: int | None) -> list[StoredJob]:
    """The pushes that are as `wanted`. Raises AssertionError when they are not `count`; None: when there is none.

    Raises TypeError for a question that nothing could answer: with `count=0` it would pass, whatever was pushed.
    """
    __tracebackhide__ = True
    _check_question(pushed, wanted)
    found = [job for job in pushed if not any(wanted.differences(job))]
    if (count is None and found) or count == len(found):
        return found
    expected = "a push" if count is None else "1 push" if count == 1 else f"{count} pushes"
    lines = [f"expected {expected} of {wanted}; there {'was' if len(found) == 1 else 'were'} {len(found) or 'none'}"]
    lines += [f"    {_shown(job)}" for job in found[:SHOWN]]
    others = [job for job in pushed if job not in found]
    if not pushed:
        lines.append("nothing was pushed at all")
    elif count is None or len(found) < count:
        lines += _nearest(others, wanted)
    raise AssertionError("\n".join(lines))


def _check_question(pushed: Sequence[StoredJob], wanted: Wanted) -> None:
    __tracebackhide__ = True
    if wanted.args is None or isinstance(wanted.args, (str, bytes, int, float, dict)):
        raise TypeError(f"args is {_short(wanted.args)}; expected the list of a job's arguments: [{wanted.args!r:.80}]")
    for key in wanted.keys:
        if key in OPTIONS or key in OF_ONE_JOB or any(key in job.payload for job in pushed):
            continue
        meant = did_you_mean(key, CRITERIA)
        if meant:
            raise TypeError(f"assert_enqueued was given {key}=, a key that no push has{meant}")


def _nearest(others: Sequence[StoredJob], wanted: Wanted) -> list[str]:
    if not others:
        return []
    nearest = min(others, key=lambda job: _distance(job, wanted))
    counted = "1 other push" if len(others) == 1 else f"{len(others)} other pushes"
    return [
        f"the nearest of {counted} is {_shown(nearest)}",
        *(f"    {difference}" for difference in wanted.differences(nearest)),
    ]


def _distance(job: StoredJob, wanted: Wanted) -> tuple[float, int, float]:
    """First the class, then how much differs, then how much the arguments look alike."""
    alike = 0.0 if wanted.args is ANY else _likeness(_short(_lists(wanted.args)), _short(job.args))
    different = {re.split(r"[\[:]", line, maxsplit=1)[0] for line in wanted.differences(job)}
    return -_likeness(wanted.job_class, job.job_class), len(different), -alike


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _shown(job: StoredJob) -> str:
    return f"{job.job_class} args={_short(job.args)} queue={job.queue!r} at={_delay(job)}"


def _delay(job: StoredJob) -> str:
    """When a job is due, from its push on: moments are hard to compare by eye."""
    return "None" if job.at is None else f"{_iso(job.at)} (in {job.at - _created(job):g} s)"


def _moment(at: Any) -> str:
    if at is None:
        return "None, a job for now"
    moment = float(number(at))
    return f"in {moment:g} s" if isinstance(at, timedelta) or moment < INTERVAL_BELOW else _iso(moment)


def _iso(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{moment:.3f}"  # no year that a calendar has


def _created(job: StoredJob) -> float:
    return seconds(job.payload.get("created_at")) or 0.0


def _lists(value: Any) -> Any:
    """Tuples as the lists that JSON makes of them; everything else as it is, `unittest.mock.ANY` too."""
    if isinstance(value, (list, tuple)):
        return [_lists(one) for one in value]
    if isinstance(value, dict):
        return {key: _lists(one) for key, one in value.items()}
    return value


def _compared(name: str, expected: Any, pushed: Any) -> Iterator[str]:
    """A line with both, or one for each place where large ones differ."""
    if max(len(repr(expected)), len(repr(pushed))) <= WHOLE:
        yield f"{name}: expected {expected!r}, pushed {pushed!r}"
        return
    places = list(islice(_places(name, expected, pushed), PLACES + 1))
    yield from places[:PLACES]
    if len(places) > PLACES:
        yield f"{name}: more is different, further on"


def _places(path: str, expected: Any, pushed: Any) -> Iterator[str]:
    if expected == pushed:
        return
    if isinstance(expected, dict) and isinstance(pushed, dict):
        for key in {**expected, **pushed}:
            if key not in pushed:
                yield f"{path}[{key!r}]: expected {_short(expected[key])}, pushed without"
            elif key not in expected:
                yield f"{path}[{key!r}]: expected none, pushed {_short(pushed[key])}"
            else:
                yield from _places(f"{path}[{key!r}]", expected[key], pushed[key])
    elif isinstance(expected, list) and isinstance(pushed, list):
        if len(expected) != len(pushed):
            yield f"{path}: expected a list of {len(expected)}, pushed one of {len(pushed)}"
        for index, pair in enumerate(zip(expected, pushed, strict=False)):
            yield from _places(f"{path}[{index}]", *pair)
    elif isinstance(expected, str) and isinstance(pushed, str) and max(len(expected), len(pushed)) > WHOLE:
        alike = next(
            (n for n, pair in enumerate(zip(expected, pushed, strict=False)) if pair[0] != pair[1]),
            min(len(expected), len(pushed)),
        )
        yield (
            f"{path}: from character {alike} on expected {_short(expected[alike:])}, pushed {_short(pushed[alike:])}"
        )
    else:
        yield f"{path}: expected {_short(expected)}, pushed {_short(pushed)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}…"
