"""Executing ActiveJobs: by the envelope to the handler, and what retry_on and its kin make of an error."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest

import pykiq
from pykiq.activejob import (
    DeserializationError,
    DiscardOn,
    GlobalID,
    RescueFrom,
    RetryOn,
    Symbol,
    current,
    locator,
)
from pykiq.client import configure
from pykiq.config import Config
from pykiq.errors import Discard, Interrupted, PykiqError, RegistrationError, Snooze
from pykiq.jobs import activejob
from pykiq.jobs.ajrules import taken
from pykiq.jobs.context import current_job
from pykiq.jobs.handler import Handler, for_function
from pykiq.jobs.registry import Registry
from pykiq.records import Acknowledge, Assigned, Later, Outcome, Word
from pykiq.wire.exactjson import dumps, loads
from tests.captures import Capture, every, read
from tests.worker.stage import claimed, executor, raw

KINDS = pytest.mark.parametrize("kind", ["def", "async def"])
NEW = "Sidekiq::ActiveJob::Wrapper"
OLD = "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper"


def pushed(version: str, name: str) -> bytes:
    """The payload as Rails first pushed it."""
    return read(version, name).payloads()[0]


def envelope(*arguments: Any, data: dict[str, Any] | None = None, **keys: Any) -> bytes:
    inside = {
        "job_class": "InvoiceJob", "job_id": "7fbcf3ce-f795-4fbb-b58e-c552667f042b", "provider_job_id": None,
        "queue_name": "default", "priority": None, "arguments": list(arguments), "executions": 0,
        "exception_executions": {}, "locale": "de", "timezone": "Berlin",
        "enqueued_at": "2026-11-22T03:01:05.881821331Z", "scheduled_at": None, **(data or {}),
    }  # fmt: skip
    payload = {"retry": True, "queue": "default", "wrapped": "InvoiceJob", "args": [inside], "class": OLD}
    return json.dumps(
        {**payload, "jid": "43d063a8411b7a513804036e", "created_at": 1.5, "enqueued_at": 2.5, **keys}
    ).encode()


def handling(function: Callable[..., Any], name: str = "InvoiceJob", **options: Any) -> Handler:
    rules, rest = taken({"active_job": True, **options}, name)
    return for_function(function, name, {"retry": True, "queue": "default", **rest}, active_job=rules)


def ran(payload: bytes, handler: Handler, *middleware: Any, **keys: Any) -> Outcome:
    handlers = Registry()
    handlers.register(handler)
    made = executor(handlers, *middleware, **keys)
    assigned = made.assign(claimed(payload))
    assert isinstance(assigned, Assigned), assigned
    assert assigned.name == handler.name
    return asyncio.run(made.arun(assigned)) if handler.is_async else made.run(assigned)


def failing(kind: str, error: BaseException) -> Callable[..., Any]:
    def fails(*_: Any, **__: Any) -> None:
        raise error.with_traceback(None)

    async def afails(*_: Any, **__: Any) -> None:
        raise error.with_traceback(None)

    return fails if kind == "def" else afails


def entry(outcome: Outcome) -> dict[str, Any]:
    assert isinstance(outcome.write, Later)
    read: dict[str, Any] = json.loads(outcome.write.entry)
    return read


@KINDS
@pytest.mark.parametrize("wrapper", [OLD, NEW, f"::{OLD}"])
def test_the_handler_of_the_class_inside_gets_its_arguments_and_keywords(kind: str, wrapper: str) -> None:
    seen: list[Any] = []

    def take(number: int, *rest: Any, customer: str) -> None:
        job = current()
        seen.append(
            [number, *rest, customer, job.executions, job.locale, job.timezone, job.arguments, current_job().name]
        )

    async def atake(number: int, *rest: Any, customer: str) -> None:
        take(number, *rest, customer=customer)

    symbol = {"_aj_serialized": "ActiveJob::Serializers::SymbolSerializer", "value": "s"}
    keywords = {"customer": "c", "_aj_ruby2_keywords": ["customer"]}
    outcome = ran(envelope(7, symbol, keywords, **{"class": wrapper}), handling(take if kind == "def" else atake))
    assert (outcome.word, type(outcome.write), outcome.error_class) == (Word.DONE, Acknowledge, None)
    assert seen == [[7, Symbol("s"), "c", 1, "de", "Berlin", [7, "s"], "InvoiceJob"]]


@pytest.mark.parametrize("name", ["aj_minimal_job_data", "aj_new_wrapper_class_name", "aj_old_wrapper_class_name"])
@pytest.mark.parametrize("version", ["6.4.1", "7.3.2", "8.1.7"])
def test_payloads_without_wrapped_or_with_either_wrapper_find_their_handler(version: str, name: str) -> None:
    seen: list[Any] = []
    ran(pushed(version, name), handling(lambda *args: seen.append(args), "AjOk"))
    assert [args[0] for args in seen] == [1]


def test_a_plain_handler_of_the_name_runs_it_too_and_an_active_job_runs_a_plain_payload_as_a_plain_job() -> None:
    seen: list[Any] = []

    def take(*args: Any, **keywords: Any) -> None:
        seen.append((args, keywords, current_job().active_job is not None))

    plain = for_function(take, "InvoiceJob", {"retry": True, "queue": "default"})
    ran(envelope(1, {"a": 2, "_aj_ruby2_keywords": ["a"]}), plain)
    ran(raw("InvoiceJob", 1), handling(take, before_perform=lambda job: seen.append("never")))
    assert seen == [((1,), {"a": 2}, True), ((1,), {}, False)]


def test_outside_of_an_envelope_there_is_no_active_job() -> None:
    outcome = ran(raw("InvoiceJob"), handling(lambda: current()))
    assert outcome.error_message == "the job that is running here is no ActiveJob: it came without Rails' envelope"
    with pytest.raises(PykiqError, match="no job is running here"):
        current()


@pytest.mark.parametrize(
    ("payload", "error", "message"),
    [
        (envelope(1, 2), "SignatureMismatch", r"`InvoiceJob` is take(number: int); too many positional arguments"),
        (envelope(data={"arguments": 5}), "DeserializationError", "`arguments` is 5"),
        (envelope(args=[5]), "DeserializationError", "the ActiveJob's data is 5; expected the object"),
        (envelope(args=[]), "SignatureMismatch", "it was given 0 arguments, takes 1"),
        (envelope({"_aj_serialized": 1}), "DeserializationError", "`arguments[0]` has 1 as _aj_serialized"),
    ],
)
def test_what_the_handler_cannot_take_fails_with_the_reason(payload: bytes, error: str, message: str) -> None:
    def take(number: int) -> None: ...

    outcome = ran(payload, handling(take))
    assert outcome.word is Word.FAILED
    assert outcome.error_class == f"pykiq.errors.{error}"
    assert message in (outcome.error_message or "")
    assert entry(outcome)["retry_count"] == 0


def test_a_class_without_a_handler_is_foreign_by_its_own_name() -> None:
    outcome = executor(Registry()).assign(claimed(envelope()))
    assert isinstance(outcome, Outcome)
    assert (outcome.word, outcome.name) == (Word.FOREIGN, "InvoiceJob")
    outcome = executor(Registry(), config=Config.of(foreign="retry")).assign(claimed(envelope()))
    assert isinstance(outcome, Outcome)
    assert "no handler for `InvoiceJob` in this process" in (outcome.error_message or "")


# retry_on

RETRIED = {
    "aj_retry_on_first_failure": ("AjRetryOn", RetryOn(ValueError, wait=30, attempts=3, counted_as=["ArgumentError"])),
    "aj_retry_on_second_failure": ("AjRetryOn", RetryOn(ValueError, wait=30, attempts=3, counted_as=["ArgumentError"])),
    "aj_retry_on_options_queue_priority": (
        "AjRetryOnNoJitter",
        RetryOn(ValueError, wait=30, jitter=0, queue="low", priority=3, counted_as=["ArgumentError", "TypeError"]),
    ),
    "aj_retry_on_poly": ("AjRetryPoly", RetryOn(ValueError, wait="polynomially_longer", counted_as=["ArgumentError"])),
}  # fmt: skip
MASKED = ("jid", "created_at")
MASKED_INSIDE = ("enqueued_at", "scheduled_at")


@KINDS
@pytest.mark.parametrize("capture", [c for name in RETRIED for c in every(name)], ids=str)
def test_a_retry_is_the_entry_that_rails_was_recorded_writing(capture: Capture, kind: str) -> None:
    name, rescue = RETRIED[capture.name]
    (theirs,) = capture.members("schedule")
    pushes = [raw for raw in capture.payloads() if raw != theirs]
    last = max(pushes, key=lambda raw: (loads(raw)["args"][0]["executions"], "enqueued_at" in loads(raw)))
    before = time.time()

    outcome = ran(last, handling(failing(kind, ValueError("aj boom")), name, rescue=[rescue]))

    assert (outcome.word, outcome.error_class, outcome.discarded) == (Word.DONE, "ValueError", False)
    assert isinstance(outcome.write, Later)
    assert outcome.write.key == "schedule"
    mine, other = loads(outcome.write.entry), loads(theirs)
    for ours, recorded, masked in ((mine, other, MASKED), (mine["args"][0], other["args"][0], MASKED_INSIDE)):
        for key in masked:
            assert (key in ours) is (key in recorded)
            if key in ours:
                assert type(ours[key]) is type(recorded[key])
                assert key == "created_at" or len(ours[key]) == len(recorded[key])
                ours[key] = recorded[key]
    assert dumps(mine) == dumps(other)
    lowest = {"aj_retry_on_poly": 3.0}.get(capture.name, 30.0)
    assert before + lowest <= outcome.write.at <= time.time() + lowest * 1.15


def test_the_last_attempt_goes_to_sidekiqs_own_retry_with_the_job_as_it_came() -> None:
    rescue = RetryOn(ValueError, attempts=3, counted_as=["ArgumentError"])
    data = {"executions": 2, "exception_executions": {"[ArgumentError]": 2}}
    outcome = ran(envelope("x", data=data), handling(failing("def", ValueError("boom")), rescue=rescue))
    assert (outcome.word, outcome.error_class) == (Word.FAILED, "ValueError")
    job = entry(outcome)
    assert (job["retry_count"], job["args"][0]["executions"]) == (0, 2)
    assert job["args"][0]["exception_executions"] == {"[ArgumentError]": 2}


def test_every_retry_on_counts_its_own_and_unlimited_ones_never_end() -> None:
    rescue = [RetryOn(ValueError, attempts=3), RetryOn(KeyError, OSError, attempts="unlimited", wait=1, jitter=0)]
    data = {"executions": 40, "exception_executions": {"[ValueError]": 2, "[KeyError, OSError]": 38}}
    outcome = ran(envelope(data=data), handling(failing("def", OSError("boom")), rescue=rescue))
    inside = entry(outcome)["args"][0]
    assert (inside["executions"], inside["exception_executions"]["[KeyError, OSError]"]) == (41, 39)
    assert inside["exception_executions"]["[ValueError]"] == 2


def test_an_exhausted_hook_ends_the_job_as_rails_block_does() -> None:
    told: list[Any] = []
    rescue = RetryOn(ValueError, attempts=1, exhausted=lambda job, error: told.append((job.job_id[:4], str(error))))
    after = lambda job, error: told.append("discarded")  # noqa: E731
    outcome = ran(envelope(), handling(failing("def", ValueError("boom")), rescue=rescue, after_discard=after))
    assert (outcome.word, type(outcome.write), outcome.discarded) == (Word.DONE, Acknowledge, True)
    assert told == [("7fbc", "boom"), "discarded"]


@KINDS
def test_discard_on_ends_the_job_and_tells(kind: str) -> None:
    told: list[Any] = []
    discard = DiscardOn(KeyError, ValueError, hook=lambda job, error: told.append(("hook", type(error).__name__)))
    after = lambda job, error: told.append("after_discard")  # noqa: E731
    outcome = ran(envelope(), handling(failing(kind, ValueError("boom")), rescue=discard, after_discard=[after]))
    assert (outcome.word, type(outcome.write), outcome.discarded) == (Word.DONE, Acknowledge, True)
    assert (outcome.error_class, outcome.error_message) == ("ValueError", "boom")
    assert told == [("hook", "ValueError"), "after_discard"]


def test_the_last_declaration_that_fits_answers_and_the_cause_is_asked_after_the_error() -> None:
    told: list[str] = []
    first = RescueFrom(Exception, handler=lambda job, error: told.append(f"first {error}"))
    second = RescueFrom(LookupError, handler=lambda job, error: told.append(f"second {error}"))

    def wrapped() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise RuntimeError("outer") from error

    assert ran(envelope(), handling(failing("def", KeyError("x")), rescue=[first, second])).word is Word.DONE
    assert ran(envelope(), handling(wrapped, rescue=[second])).word is Word.DONE
    assert ran(envelope(), handling(wrapped, rescue=[second, first])).word is Word.DONE
    assert told == ["second 'x'", "second 'inner'", "first outer"]


@KINDS
def test_a_retry_on_without_attempts_left_raises_the_cause_that_it_was_asked_about(kind: str) -> None:
    inner = KeyError("inner")
    outer = RuntimeError("outer")
    outer.__cause__ = inner
    outcome = ran(envelope(), handling(failing(kind, outer), rescue=RetryOn(KeyError, attempts=1)))
    assert (outcome.word, outcome.error_class) == (Word.FAILED, "KeyError")


def test_rescue_from_may_enqueue_the_job_again() -> None:
    rescue = RescueFrom(ValueError, handler=lambda job, error: job.retry(wait=60, queue="slow", error=error))
    outcome = ran(envelope(tags=["a"], cattr={"user": 1}), handling(failing("def", ValueError("x")), rescue=rescue))
    job = entry(outcome)
    assert (job["queue"], job["args"][0]["queue_name"], job["args"][0]["executions"]) == ("slow", "slow", 1)
    assert (job["tags"], job["cattr"]) == (["a"], {"user": 1})
    assert job["jid"] != job["args"][0]["provider_job_id"] == "43d063a8411b7a513804036e"
    assert "enqueued_at" not in job


@pytest.mark.parametrize(
    ("keys", "expiry"),
    [
        ({"expires_in": 5, "expiry": 4e9}, 65.0),
        ({"expires_in": 5}, 65.0),
        ({"expiry": 4e9}, None),
        ({"expires_in": "5"}, None),
    ],
)
def test_a_job_that_is_enqueued_again_may_expire_anew(keys: dict[str, Any], expiry: float | None) -> None:
    """To Rails it is another push. A moment that nothing makes anew stays."""
    rescue = RescueFrom(ValueError, handler=lambda job, error: job.retry(wait=60, error=error))
    handlers = handling(failing("def", ValueError()), rescue=rescue)
    outcome = ran(envelope(created_at=time.time(), enqueued_at=time.time(), **keys), handlers)
    assert isinstance(outcome.write, Later)
    found = entry(outcome).get("expiry")
    assert found == (keys.get("expiry") if expiry is None else pytest.approx(outcome.write.at + 5, abs=1e-6))


def test_an_error_that_nobody_declared_or_that_a_hook_raises_is_sidekiqs() -> None:
    told: list[str] = []

    def breaks(job: Any, error: BaseException) -> None:
        told.append(str(error))
        raise RuntimeError("the hook broke")

    unknown = ran(envelope(), handling(failing("def", ValueError("x")), after_discard=lambda job, e: told.append("!")))
    broken = ran(envelope(), handling(failing("def", ValueError("x")), rescue=RescueFrom(ValueError, handler=breaks)))
    after = ran(
        envelope(), handling(failing("def", ValueError("y")), rescue=DiscardOn(ValueError), after_discard=breaks)
    )
    assert (unknown.word, unknown.error_class) == (Word.FAILED, "ValueError")
    assert [(one.word, one.error_message) for one in (broken, after)] == [(Word.FAILED, "the hook broke")] * 2
    assert told == ["!", "x", "y"]


@KINDS
@pytest.mark.parametrize(
    ("error", "word"), [(Snooze(5), Word.SNOOZED), (Discard("no"), Word.DONE), (Interrupted(), Word.INTERRUPTED)]
)
def test_signals_are_no_errors_that_a_rescue_gets(kind: str, error: BaseException, word: Word) -> None:
    told: list[Any] = []
    rescue = RescueFrom(BaseException, handler=lambda *args: told.append(args))
    outcome = ran(envelope(), handling(failing(kind, error), rescue=rescue, after_discard=lambda *a: told.append(a)))
    assert (outcome.word, told) == (word, [])


def test_a_missing_record_can_be_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activejob, "_locators", {})

    @locator("Person")
    def person(record: GlobalID) -> str:
        if record.id == "404":
            raise LookupError("gone")
        return f"person {record.id}"

    seen: list[Any] = []
    handler = handling(lambda who: seen.append(who), "AjOk", rescue=DiscardOn(DeserializationError))
    record = {"_aj_globalid": "gid://shop/Person/7"}
    assert ran(envelope(record, data={"job_class": "AjOk"}, wrapped="AjOk"), handler).word is Word.DONE
    outcome = ran(pushed("7.3.2", "aj_globalid_missing_record"), handler)
    assert (outcome.word, outcome.discarded, seen) == (Word.DONE, True, ["person 7"])
    with pytest.raises(RegistrationError, match="records of `Person` are located by"):
        locator("Person")(lambda record: None)


@pytest.mark.parametrize("bad", [5, asyncio.sleep, lambda: None])
def test_a_locator_is_a_plain_function_of_the_record(bad: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activejob, "_locators", {})
    with pytest.raises(RegistrationError, match="the locator of `Person` is "):
        locator("Person")(bad)
    assert activejob._locators == {}


# callbacks


@KINDS
@pytest.mark.parametrize("mode", ["returns", "raises", "halts", "halts around"])
def test_callbacks_run_around_the_handler_as_in_rails(kind: str, mode: str) -> None:
    told: list[str] = []

    def before(job: Any) -> None:
        told.append("before")
        if mode == "halts":
            raise Discard("not today")

    def outer(job: Any) -> Generator[None, None, None]:
        told.append("outer in")
        if mode == "halts around":
            return
        yield
        told.append("outer out")

    async def inner(job: Any) -> AsyncGenerator[None, None]:
        told.append("inner in")
        yield
        told.append("inner out")

    def perform() -> None:
        told.append("perform")
        if mode == "raises":
            raise ValueError("x")

    async def aperform() -> None:
        perform()

    async def aafter(job: Any) -> None:
        told.append("after 1")

    last = aafter if kind == "async def" else lambda job: told.append("after 1")
    handler = handling(
        perform if kind == "def" else aperform,
        before_perform=before,
        around_perform=[outer, inner],
        after_perform=[last, lambda job: told.append("after 2")],
        rescue=DiscardOn(ValueError),
    )  # fmt: skip
    outcome = ran(envelope(), handler)
    assert outcome.word is Word.DONE
    assert told == {
        "returns": [
            "outer in", "inner in", "before", "perform", "after 2", "after 1", "inner out", "outer out"
        ],
        "raises": ["outer in", "inner in", "before", "perform"],
        "halts": ["outer in", "inner in", "before"],
        "halts around": ["outer in"],
    }[mode]  # fmt: skip
    assert outcome.discarded is (mode in ("raises", "halts"))


def test_client_middleware_is_asked_about_a_retry_inside_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def watch(job: dict[str, Any], call_next: Any) -> Any:
        seen.append((current_job().jid, job["at"] > time.time(), job["wrapped"]))
        return call_next({**job, "seen": True}) if len(seen) == 1 else None

    monkeypatch.setattr(pykiq.client_middleware, "entries", (watch,))
    handler = handling(failing("def", ValueError("x")), rescue=RetryOn(ValueError, wait=60))
    assert entry(ran(envelope(), handler))["seen"] is True
    stopped = ran(envelope(), handler)
    assert (type(stopped.write), stopped.discarded) == (Acknowledge, True)
    assert seen == [("43d063a8411b7a513804036e", True, "InvoiceJob")] * 2


def test_a_client_middleware_that_takes_the_time_away_wants_the_retry_now(monkeypatch: pytest.MonkeyPatch) -> None:
    def hurries(job: dict[str, Any], call_next: Any) -> Any:
        return call_next({**job, "at": None})

    monkeypatch.setattr(pykiq.client_middleware, "entries", (hurries,))
    outcome = ran(envelope(), handling(failing("def", ValueError("x")), rescue=RetryOn(ValueError, wait=60)))
    assert isinstance(outcome.write, Later)
    assert outcome.write.at <= time.time()


def test_a_client_middleware_that_raises_makes_the_job_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(job: Any, call_next: Any) -> Any:
        raise RuntimeError("no push today")

    monkeypatch.setattr(pykiq.client_middleware, "entries", (breaks,))
    outcome = ran(envelope(), handling(failing("def", ValueError("x")), rescue=RetryOn(ValueError)))
    assert (outcome.word, outcome.error_message) == (Word.FAILED, "no push today")


def test_what_a_middleware_did_to_its_payload_is_not_in_the_retry() -> None:
    def meddles(job: Any) -> Generator[None, None, None]:
        job.payload["args"][0]["priority"] = 99
        job.payload["extra"] = 1
        yield

    job = entry(ran(envelope(), handling(failing("def", ValueError("x")), rescue=RetryOn(ValueError)), meddles))
    assert "extra" not in job


@KINDS
@pytest.mark.parametrize(("attempts", "word"), [(2, Word.DONE), (1, Word.FAILED)])
def test_a_rescued_error_keeps_nothing_of_the_job_alive(kind: str, attempts: int, word: Word) -> None:
    class Big:
        pass

    held: list[weakref.ref[Big]] = []

    def fails() -> None:
        big = Big()
        held.append(weakref.ref(big))
        raise ValueError("x")

    async def afails() -> None:
        fails()

    handler = handling(fails if kind == "def" else afails, rescue=RetryOn(ValueError, attempts=attempts))
    gc.collect()
    gc.disable()
    try:
        outcome = ran(envelope(), handler)
        assert (outcome.word, held[0]()) == (word, None)
    finally:
        gc.enable()


# inline


def test_perform_inline_goes_through_the_envelope_and_raises_what_would_be_tried_again(redis_url: str) -> None:
    pykiq.configure(redis=redis_url)
    before = dict(pykiq.jobs.registry.registry._handlers)  # type: ignore[attr-defined]
    try:

        @pykiq.job("InlineJob", active_job=True, rescue=[RetryOn(ValueError), DiscardOn(KeyError)])
        def inline(mode: Any, *, number: int = 0) -> Any:
            if mode == "value":
                raise ValueError("x")
            if mode == "key":
                raise KeyError("x")
            return mode, number, current().executions

        assert inline.perform_inline(Symbol("s"), number=5) == ("s", 5, 1)
        assert type(inline.perform_inline(Symbol("s"))[0]) is Symbol
        assert inline.perform_inline("key") is None
        with pytest.raises(ValueError, match="x"):
            inline.perform_inline("value")
    finally:
        pykiq.jobs.registry.registry._handlers = before  # type: ignore[attr-defined]
        configure.forget()
