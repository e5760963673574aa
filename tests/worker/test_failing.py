"""Failing: what becomes of a job that raised, by Ruby's rules and with the user's hooks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from pykiq.config import Config
from pykiq.errors import Interrupted
from pykiq.jobs.handler import Handler
from pykiq.jobs.hooks import DISCARD, KILL
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.records import Acknowledge, Bury, Later, Outcome
from pykiq.store.fleet import Fleet
from pykiq.wire import failure
from pykiq.wire.dialect import EIGHT, SEVEN, SIX
from pykiq.wire.exactjson import dumps, loads
from pykiq.wire.failure import decode_backtrace
from pykiq.wire.payload import retry_count
from pykiq.worker.failing import Failing
from tests import captures
from tests.logs import capture_logs
from tests.wire.test_ruby_entries import OTHER_BYTES, OTHER_DELAY, WRITTEN, Written
from tests.worker.stage import claimed, handler, raw

DIALECTS = {"6.4.1": SIX, "7.3.2": SEVEN, "8.1.7": EIGHT}


def nothing(*_: Any) -> None: ...


def failing(hooks: Lifecycle | None = None, fleet: Fleet | None = None, **config: Any) -> Failing:
    return Failing(Config.of(**config), lambda: fleet or Fleet(), hooks or Lifecycle(), random.Random(1))


def failed(
    payload: bytes,
    error: BaseException | None = None,
    *,
    by: Handler | None = None,
    queue: str = "default",
    kill: bool = False,
    **config: Any,
) -> Outcome:
    """The outcome of a job whose handler raised."""
    try:
        raise error or ValueError("boom")
    except BaseException as raised:
        return failing(**config).outcome(
            claimed(payload, queue),
            by or handler("Job", nothing),
            raised,
            name="Job",
            jid="x",
            started_at=1.0,
            kill=kill,
        )


def entry(outcome: Outcome) -> dict[str, Any]:
    assert isinstance(outcome.write, (Later, Bury))
    made: dict[str, Any] = loads(outcome.write.entry)
    return made


def delay(outcome: Outcome) -> float:
    assert isinstance(outcome.write, Later)
    return outcome.write.at - time.time()


# The same failure as Ruby's.


def ruby_error(name: str | None, message: str) -> Exception:
    """An exception that calls itself as Ruby's did."""
    kind = type(name or "Anonymous", (Exception,), {"__module__": "builtins"})
    error: Exception = kind(message)
    return error


REPEATABLE = [
    written
    for written in WRITTEN
    if not written.capture.name.startswith(("aj_", *OTHER_DELAY))
    and written.capture.name not in {*OTHER_BYTES, "max_retries_config", "retry_in_kill"}
    and "error_backtrace" not in loads(written.entry)
    and loads(written.entry)["error_class"] is not None
]


def test_there_are_failures_of_every_version_to_repeat() -> None:
    assert {written.capture.version for written in REPEATABLE} == set(captures.VERSIONS)
    assert len(REPEATABLE) > 150


@pytest.mark.parametrize("written", REPEATABLE, ids=str)
def test_the_outcome_writes_what_ruby_wrote_where_ruby_wrote_it(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruby = loads(written.entry)
    monkeypatch.setattr("pykiq.worker.failing.time.time", lambda: written.now)
    known = handler("Job", nothing, retry=ruby.get("retry", True))
    outcome = failed(
        written.popped,
        ruby_error(ruby["error_class"], ruby["error_message"]),
        by=known,
        queue=written.queue,
        wire=written.capture.version[0],
    )
    assert isinstance(outcome.write, (Later, Bury))
    assert outcome.write.entry == written.entry
    assert ("dead" if isinstance(outcome.write, Bury) else outcome.write.key) == written.key
    if isinstance(outcome.write, Later):
        count = retry_count(ruby)
        assert count is not None
        base = count**4 + 15
        assert base <= outcome.write.at - written.now < base + 10 * (count + 1)


@pytest.mark.parametrize(
    ("created_at", "fleet", "type_of_stamp"),
    [
        (1_795_000_000_500, [], int),
        (1_795_000_000.5, [], float),
        (1_795_000_000.5, ["8.1.7"], float),
        (None, ["8.1.7"], int),
        (None, ["8.1.7", "7.3.2"], float),
        (None, [], float),
    ],
)
def test_times_are_in_the_unit_of_the_job_and_then_of_the_fleet(
    created_at: float | None, fleet: list[str], type_of_stamp: type
) -> None:
    payload = raw("Job", **({} if created_at is None else {"created_at": created_at}))
    if created_at is None:
        payload = dumps({key: value for key, value in loads(payload).items() if key != "created_at"})
    made = failing(fleet=Fleet(frozenset(fleet)))
    outcome = made.outcome(
        claimed(payload), handler("Job", nothing), ValueError("boom"), name="Job", jid="x", started_at=1.0
    )
    assert type(entry(outcome)["failed_at"]) is type_of_stamp


# The options of a job.


@pytest.mark.parametrize(
    ("keys", "write", "died"),
    [
        ({}, Later, False),
        ({"retry": 3}, Later, False),
        ({"retry": 0}, Bury, True),
        ({"retry": -2}, Bury, True),
        ({"retry": False}, Acknowledge, True),
        ({"retry": "false"}, Later, False),
        ({"retry": 2, "retry_count": 0}, Later, False),
        ({"retry": 2, "retry_count": 1}, Bury, True),
        ({"retry_count": 23}, Later, False),
        ({"retry_count": 24}, Bury, True),
        ({"retry_count": "24"}, Later, False),
        ({"retry_count": 24, "dead": False}, Acknowledge, True),
        ({"retry_count": 24, "dead": None}, Bury, True),
        ({"retry_count": 24, "dead": "false"}, Bury, True),
        ({"retry_for": 10**9}, Later, False),
    ],
)
def test_the_options_decide_what_is_written(keys: dict[str, Any], write: type, died: bool) -> None:
    outcome = failed(raw("Job", **keys))
    assert (type(outcome.write), outcome.died) == (write, died)
    assert outcome.discarded is (write is Acknowledge)


@pytest.mark.parametrize(("wire", "write"), [("6", Later), ("7", Bury), ("8", Bury)])
def test_retry_for_counts_from_the_first_failure(wire: str, write: type) -> None:
    first = int((time.time() - 100) * 1000) if wire == "8" else time.time() - 100
    outcome = failed(raw("Job", retry_for=60, retry_count=1, failed_at=first), wire=wire)
    assert type(outcome.write) is write


def test_the_configured_limit_holds_for_retry_true() -> None:
    assert isinstance(failed(raw("Job", retry_count=0), max_retries=2).write, Later)
    assert isinstance(failed(raw("Job", retry_count=1), max_retries=2).write, Bury)


def test_the_retry_queue_is_where_the_retry_goes() -> None:
    assert entry(failed(raw("Job", retry_queue="slow"), queue="fast"))["queue"] == "slow"
    assert entry(failed(raw("Job", queue="written"), queue="popped"))["queue"] == "popped"


@pytest.mark.parametrize(("option", "lines"), [(True, None), (1, 1), (0, 0), ("1", 1)])
@pytest.mark.parametrize("wire", ["6", "7", "8"])
def test_the_backtrace_is_kept_as_far_as_asked(option: object, lines: int | None, wire: str) -> None:
    made = entry(failed(raw("Job", backtrace=option), wire=wire))
    kept = decode_backtrace(made["error_backtrace"])
    assert len(kept) >= 1 if lines is None else len(kept) == lines
    assert ("\n" in made["error_backtrace"]) is (wire == "6")
    if kept:
        assert "test_failing.py" in kept[0]


def test_a_backtrace_nobody_asked_for_is_not_kept_nor_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[BaseException] = []
    monkeypatch.setattr(failure, "backtrace_of", made.append)
    monkeypatch.setattr("pykiq.worker.failing.backtrace_of", made.append)
    for option in ({}, {"backtrace": None}, {"backtrace": False}):
        assert "error_backtrace" not in entry(failed(raw("Job", **option)))
    assert made == []


def test_a_missing_retry_is_the_handlers_own() -> None:
    payload = dumps({key: value for key, value in loads(raw("Job")).items() if key != "retry"})
    assert entry(failed(payload, by=handler("Job", nothing, retry=7)))["retry"] == 7
    assert isinstance(failed(payload, by=handler("Job", nothing, retry=False)).write, Acknowledge)


# Hooks.


def asking(**hooks: Callable[..., Any]) -> Handler:
    return handler("Job", nothing, **hooks)


def answering(answer: object) -> Callable[..., object]:
    def hook(count: int, error: BaseException, job: Mapping[str, Any]) -> object:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return hook


@pytest.mark.parametrize("answer", [1000, 1000.9, "1000", timedelta(seconds=1000)])
def test_seconds_from_the_hook_are_waited_with_jitter(answer: object) -> None:
    assert 999 <= delay(failed(raw("Job"), by=asking(retry_in=answering(answer)))) < 1011


@pytest.mark.parametrize("answer", [None, 0, -5, "x", object(), True, float("nan"), float("inf")])
def test_anything_else_means_the_usual_delay(answer: object) -> None:
    assert 14 <= delay(failed(raw("Job"), by=asking(retry_in=answering(answer)))) < 26


@pytest.mark.parametrize("answer", [ValueError("broken hook"), SystemExit(1), KeyboardInterrupt()])
def test_a_hook_that_raises_means_the_usual_delay(answer: BaseException) -> None:
    assert 14 <= delay(failed(raw("Job"), by=asking(retry_in=answering(answer)))) < 26


def test_an_interruption_inside_a_hook_is_no_answer() -> None:
    with pytest.raises(Interrupted):
        failed(raw("Job"), by=asking(retry_in=answering(Interrupted())))


@pytest.mark.parametrize("answer", [10**400, 10**30])
def test_a_delay_beyond_all_time_loses_no_job(answer: int) -> None:
    outcome = failed(raw("Job"), by=asking(retry_in=answering(answer)))
    assert isinstance(outcome.write, (Later, Bury))


def test_the_hook_may_kill() -> None:
    outcome = failed(raw("Job"), by=asking(retry_in=answering(KILL)))
    assert (type(outcome.write), outcome.died) == (Bury, True)
    assert entry(outcome)["retry_count"] == 0


def test_the_hook_may_discard_and_death_handlers_see_when() -> None:
    hooks = Lifecycle()
    hooks.death_handler(nothing)
    made = failing(hooks)
    outcome = made.outcome(
        claimed(raw("Job")),
        asking(retry_in=answering(DISCARD)),
        ValueError("boom"),
        name="Job",
        jid="x",
        started_at=1.0,
    )
    assert (type(outcome.write), outcome.discarded, outcome.died) == (Acknowledge, True, True)
    assert outcome.raised is not None
    assert "discarded_at" in outcome.raised[0]


def test_the_hook_is_told_count_error_and_a_copy_of_the_job() -> None:
    asked: list[Any] = []

    def hook(count: int, error: BaseException, job: dict[str, Any]) -> None:
        asked.append((count, str(error), job["error_message"]))
        job.clear()

    assert entry(failed(raw("Job", retry_count=4), by=asking(retry_in=hook)))["retry_count"] == 5
    assert asked == [(5, "boom", "boom")]


def test_the_hook_is_not_asked_when_there_are_no_retries_left() -> None:
    asked: list[int] = []
    known = asking(retry_in=lambda count, error: asked.append(count))
    failed(raw("Job", retry=0), by=known)
    failed(raw("Job"), by=known, kill=True)
    assert asked == []


@pytest.mark.parametrize(
    ("answer", "write"),
    [(None, Bury), (DISCARD, Acknowledge), (KILL, Bury), ("discard", Bury), (ValueError("broken"), Bury)],
)
def test_the_exhausted_hook_may_keep_a_job_out_of_dead(answer: object, write: type) -> None:
    told: list[Any] = []

    def hook(job: dict[str, Any], error: BaseException) -> object:
        told.append((job["error_message"], str(error)))
        job.clear()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    outcome = failed(raw("Job", retry=0), by=asking(retries_exhausted=hook))
    assert (type(outcome.write), outcome.died) == (write, True)
    assert told == [("boom", "boom")]
    if write is Bury:
        assert "discarded_at" not in entry(outcome)
        assert entry(outcome)["error_message"] == "boom"


def test_the_exhausted_hook_is_not_asked_while_retries_are_left() -> None:
    told: list[Any] = []
    failed(raw("Job"), by=asking(retries_exhausted=lambda job, error: told.append(job)))
    failed(raw("Job", retry=False), by=asking(retries_exhausted=lambda job, error: told.append(job)))
    assert told == []


# Never raises.


def test_when_the_bookkeeping_fails_the_bytes_go_to_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("bookkeeping")

    monkeypatch.setattr("pykiq.worker.failing.record_failure", broken)
    outcome = failed(raw("Job"))
    assert outcome.write == Bury(raw("Job"))
    assert isinstance(outcome.write, Bury)
    assert outcome.error_message == "boom"


@pytest.mark.parametrize(
    "odd",
    [
        b'{"class":"Job","args":[1e400],"retry":true}',
        b'{"class":"Job","args":["\xff"],"retry":true}',
        b'{"class":"Job","retry_count":"5","retry_for":"x","failed_at":{},"tags":5,"backtrace":[]}',
        b'{"class":"Job","retry_count":1e300,"retry":1e300}',
        b'{"class":"Job","retry_for":1e999,"failed_at":-1e999,"retry_count":3}',
        b'{"class":"Job","backtrace":1e999}',
    ],
)
@pytest.mark.parametrize("wire", ["6", "7", "8"])
def test_an_odd_payload_is_kept_when_it_fails(odd: bytes, wire: str) -> None:
    outcome = failed(odd, wire=wire)
    assert isinstance(outcome.write, (Later, Bury))
    assert set(loads(odd)) <= set(entry(outcome))


@pytest.mark.parametrize("payload", [raw("Job"), b"{broken", b"[]", b'{"class":"Job","retry_count":1e999}', b"{}"])
def test_a_poison_pill_has_an_entry_that_says_so_or_its_bytes(payload: bytes) -> None:
    made = failing().poisoned(payload, "default", "it kills its process", 1_795_315_631.5)
    if payload.startswith(b"{") and payload != b"{broken":
        assert loads(made)["error_message"] == "it kills its process"
        assert loads(made)["error_class"] == "pykiq.PoisonPill"
        assert loads(made)["queue"] == "default"
    else:
        assert made == (payload if payload == b"{broken" else b"not a job: " + payload)


def test_a_hook_that_raises_is_told_to_the_error_handlers_by_its_handlers_name() -> None:
    hooks = Lifecycle()
    hooks.error_handler(lambda error, context: None)
    by = asking(retry_in=answering(KeyError("broken hook")))
    with capture_logs() as lines:
        outcome = failing(hooks).outcome(
            claimed(raw("Job")), by, ValueError("boom"), name="Job", jid="x", started_at=1.0
        )
    [(name, error)] = outcome.broken_hooks
    assert (name, type(error)) == ("Job.retry_in", KeyError)
    [line] = lines
    assert (line["event"], line["hook"], line["error_class"]) == ("hook_failed", "Job.retry_in", "KeyError")


def test_an_answer_of_retry_in_that_means_nothing_is_told_of() -> None:
    with capture_logs() as lines:
        failed(raw("Job"), by=asking(retry_in=answering("soon")))
        failed(raw("Job"), by=asking(retry_in=answering(None)))
    assert [(line["event"], line["given"]) for line in lines] == [("retry_in_not_understood", "'soon'")]


def test_a_failure_that_cannot_be_recorded_is_told_with_its_own_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("the bookkeeping broke")

    hooks = Lifecycle()
    hooks.death_handler(lambda job, error: None)
    made = failing(hooks)
    monkeypatch.setattr(made, "_decide", breaks)
    error = ValueError("boom")
    outcome = made.outcome(claimed(raw("Job", 1)), None, error, name="Job", jid="x", started_at=1.0)
    assert (outcome.write, outcome.died) == (Bury(raw("Job", 1)), True)
    assert outcome.raised is not None
    assert (outcome.raised.error, outcome.raised.job["class"]) == (error, "Job")
