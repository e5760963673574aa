"""Executing: one handler with a mode argument for every way in which a job can end."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any

import pytest

from pykiq.config import Config
from pykiq.errors import Discard, Interrupted, Kill, Snooze
from pykiq.jobs.context import JobContext, current_job
from pykiq.jobs.handler import for_class
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.jobs.registry import Registry
from pykiq.records import Acknowledge, Assigned, Bury, Later, Outcome, PutBack, Word
from pykiq.wire.exactjson import loads
from pykiq.wire.payload import legible
from pykiq.worker.execute import Executor
from pykiq.worker.loopslots import LoopThread
from tests.worker.stage import claimed, executor, handler, raw

KINDS = pytest.mark.parametrize("kind", ["def", "async def"])


class Untellable(Exception):
    def __str__(self) -> str:
        raise ValueError("the message raises")


class HalfMadeSnooze(Snooze):
    def __init__(self) -> None:
        pass


ENDINGS: dict[str, BaseException] = {
    "raise": ValueError("boom"),
    "untellable": Untellable(),
    "exit": SystemExit(3),
    "keyboard": KeyboardInterrupt(),
    "memory": MemoryError(),
    "stop iteration": StopIteration("odd"),
    "cancelled": asyncio.CancelledError(),
    "generator exit": GeneratorExit(),
    "snooze": Snooze(60),
    "snooze for ever": Snooze(float("inf")),
    "snooze never": Snooze(float("nan")),
    "half a snooze": HalfMadeSnooze(),
    "discard": Discard("no use"),
    "kill": Kill("hopeless"),
    "interrupted": Interrupted(),
}


def end(mode: str, *_: Any) -> str:
    if mode in ENDINGS:
        raise ENDINGS[mode].with_traceback(None)
    if mode == "sys.exit":
        sys.exit("farewell")
    return mode


async def aend(mode: str, *_: Any) -> str:
    await asyncio.sleep(0)
    return end(mode)


def ran(kind: str, payload: bytes, *middleware: Any, options: dict[str, Any] | None = None, **keys: Any) -> Outcome:
    """Run one job to its outcome."""
    handlers = keys.pop("handlers", None) or Registry()
    if not len(handlers):
        handlers.register(handler("Job", end if kind == "def" else aend, **(options or {})))
    between = keys.pop("between", lambda assigned: assigned)
    made = executor(handlers, *middleware, **keys)
    assigned = made.assign(claimed(payload)._replace(claimed_at=time.time()))
    if isinstance(assigned, Outcome):
        return assigned
    assigned = between(assigned)
    return made.run(assigned) if kind == "def" else asyncio.run(made.arun(assigned))


@KINDS
def test_a_job_that_returns_is_done(kind: str) -> None:
    outcome = ran(kind, raw("Job", "returns"))
    assert (outcome.word, type(outcome.write)) == (Word.DONE, Acknowledge)
    assert not outcome.discarded
    assert outcome.error_class is None
    assert (outcome.name, outcome.jid) == ("Job", loads(raw("Job", "returns"))["jid"])


@KINDS
@pytest.mark.parametrize(
    ("mode", "error_class"),
    [
        ("raise", "ValueError"),
        ("untellable", "tests.worker.test_execute.Untellable"),
        ("exit", "SystemExit"),
        ("sys.exit", "SystemExit"),
        ("keyboard", "KeyboardInterrupt"),
        ("memory", "MemoryError"),
        ("generator exit", "GeneratorExit"),
        ("cancelled", "asyncio.exceptions.CancelledError"),
        ("snooze for ever", "pykiq.errors.Snooze"),
        ("snooze never", "pykiq.errors.Snooze"),
        ("half a snooze", "tests.worker.test_execute.HalfMadeSnooze"),
    ],
)
def test_every_exception_is_the_jobs_failure(kind: str, mode: str, error_class: str) -> None:
    outcome = ran(kind, raw("Job", mode))
    assert (outcome.word, type(outcome.write)) == (Word.FAILED, Later)
    assert outcome.error_class == error_class
    assert isinstance(outcome.write, Later)
    assert outcome.write.key == "retry"
    assert loads(outcome.write.entry)["error_class"] == error_class


@KINDS
def test_a_snoozed_job_waits_in_schedule_as_if_it_had_never_run(kind: str) -> None:
    payload = raw("Job", "snooze", retry_count=3, failed_at=1.5, enqueued_at=2.5, unknown=1e20)
    outcome = ran(kind, payload)
    assert outcome.word is Word.SNOOZED
    assert isinstance(outcome.write, Later)
    assert outcome.write.key == "schedule"
    assert 55 < outcome.write.at - time.time() < 65
    assert outcome.write.entry == payload.replace(b',"enqueued_at":2.5', b"")


@KINDS
def test_a_discarded_job_is_dropped_with_its_reason(kind: str) -> None:
    outcome = ran(kind, raw("Job", "discard"))
    assert (outcome.word, type(outcome.write), outcome.discarded) == (Word.DONE, Acknowledge, True)
    assert outcome.error_message == "no use"


@KINDS
@pytest.mark.parametrize("keys", [{}, {"retry": 5}, {"retry": False}])
def test_a_killed_job_goes_to_dead_whatever_its_retries(kind: str, keys: dict[str, Any]) -> None:
    outcome = ran(kind, raw("Job", "kill", **keys))
    assert (outcome.word, type(outcome.write), outcome.died) == (Word.FAILED, Bury, True)


@KINDS
def test_an_interrupted_job_is_put_back(kind: str) -> None:
    if kind == "def":
        outcome = ran(kind, raw("Job", "interrupted"))
    else:
        outcome = ran(kind, raw("Job", "cancelled"), stopping=lambda: True)
    assert (outcome.word, type(outcome.write)) == (Word.INTERRUPTED, PutBack)


@KINDS
def test_wrong_arguments_fail_with_the_handlers_signature(kind: str) -> None:
    handlers = Registry()

    def charge(order_id: int) -> None: ...

    async def acharge(order_id: int) -> None: ...

    handlers.register(handler("Job", charge if kind == "def" else acharge))
    outcome = ran(kind, raw("Job", 1, 2, 3), handlers=handlers)
    assert outcome.error_class == "pykiq.errors.SignatureMismatch"
    assert outcome.error_message is not None
    assert "(order_id: int)" in outcome.error_message
    assert "3 arguments" in outcome.error_message


def test_each_execution_of_a_class_has_its_own_instance_and_a_failing_constructor_is_the_jobs_failure() -> None:
    made: list[Any] = []

    class Counting:
        def __init__(self) -> None:
            made.append(self)
            if len(made) == 3:
                raise ValueError("third")

        def perform(self) -> None:
            assert self is made[-1]

    handlers = Registry()
    handlers.register(for_class(Counting, "Job", {"retry": True, "queue": "default"}))
    words = [ran("def", raw("Job"), handlers=handlers).word for _ in range(3)]
    assert words == [Word.DONE, Word.DONE, Word.FAILED]
    assert len({id(one) for one in made}) == 3


# Time.


@KINDS
@pytest.mark.parametrize(
    ("created_at", "expires_in", "dropped"),
    [
        (-61, 60, True),
        (-59, 60, False),
        (-61, 60.5, True),
        (-61, "60", False),
        (-61, True, False),
        (-61, None, False),
        (-61, 10**400, False),
        (None, 1, False),
        ("ms", 60, True),
    ],
)
def test_a_job_that_waited_past_its_expiry_is_dropped_unrun(
    kind: str, created_at: Any, expires_in: Any, dropped: bool
) -> None:
    keys: dict[str, Any] = {"expires_in": expires_in, "created_at": None}
    if created_at is not None:
        keys["created_at"] = int((time.time() - 61) * 1000) if created_at == "ms" else time.time() + created_at
    outcome = ran(kind, raw("Job", "raise", **keys))
    assert outcome.discarded is dropped
    assert (outcome.word is Word.EXPIRED) is dropped


@KINDS
@pytest.mark.parametrize(("late", "dropped"), [(-60, False), (60, True)])
def test_an_expiry_is_obeyed_whatever_else_the_job_says(kind: str, late: float, dropped: bool) -> None:
    """As Sidekiq Pro writes it, beside an `expires_in` that was counted from another moment."""
    keys = {"expiry": time.time() - late, "expires_in": 1, "created_at": 1.5}
    outcome = ran(kind, raw("Job", "raise", **keys))
    assert (outcome.word is Word.EXPIRED) is dropped


@KINDS
def test_a_job_that_expires_while_it_waits_for_a_slot_is_dropped(kind: str) -> None:
    def wait(assigned: Assigned) -> Assigned:
        return assigned._replace(payload=assigned.payload | {"expiry": time.time() - 1})

    assert ran(kind, raw("Job", "raise"), between=wait).word is Word.EXPIRED


@pytest.mark.parametrize(("own", "options"), [(0.02, {}), (None, {"timeout": 0.02}), (0.02, {"timeout": 60})])
def test_an_async_job_past_its_timeout_is_cancelled_and_fails(own: float | None, options: dict[str, Any]) -> None:
    cleaned: list[bool] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    handlers = Registry()
    handlers.register(handler("Job", slow, **options))
    outcome = ran("async def", raw("Job", **({"timeout": own} if own else {})), handlers=handlers)
    assert outcome.error_class == "pykiq.errors.JobTimeout"
    assert outcome.error_message == "the job ran past its timeout of 0.02 s and was cancelled"
    assert isinstance(outcome.write, Later)
    assert cleaned == [True]


@pytest.mark.parametrize(("own", "options"), [(0.02, {}), (None, {"timeout": 0.02}), (0.02, {"timeout": 60})])
def test_a_job_on_a_thread_past_its_timeout_is_interrupted_and_fails(
    own: float | None, options: dict[str, Any]
) -> None:
    cleaned: list[bool] = []
    seen: list[BaseException] = []

    def slow() -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            cleaned.append(True)

    def middleware(job: JobContext) -> Generator[None]:
        try:
            yield
        except Exception as error:
            seen.append(error)
            raise

    handlers = Registry()
    handlers.register(handler("Job", slow, **options))
    outcome = ran("def", raw("Job", **({"timeout": own} if own else {})), middleware, handlers=handlers)
    assert outcome.error_class == "pykiq.errors.JobTimeout"
    assert outcome.error_message == "the job ran past its timeout of 0.02 s and was interrupted"
    assert isinstance(outcome.write, Later)
    assert cleaned == [True]
    assert [type(error).__name__ for error in seen] == ["JobTimeout"]


def test_a_handlers_own_timeout_error_stays_its_own() -> None:
    async def own() -> None:
        raise TimeoutError("the bank does not answer")

    handlers = Registry()
    handlers.register(handler("Job", own, timeout=60))
    outcome = ran("async def", raw("Job"), handlers=handlers)
    assert (outcome.error_class, outcome.error_message) == ("TimeoutError", "the bank does not answer")


@pytest.mark.parametrize("odd", [10**400, -1, 0, "5", True, [1]])
@KINDS
def test_an_odd_timeout_in_a_payload_is_no_reason_to_lose_the_job(kind: str, odd: object) -> None:
    outcome = ran(kind, raw("Job", "returns", timeout=odd))
    assert outcome.word in {Word.DONE, Word.FAILED}


@KINDS
def test_the_time_of_a_run_is_measured(kind: str) -> None:
    before = time.time()
    outcome = ran(kind, raw("Job", "returns"))
    assert before <= outcome.started_at <= time.time()
    assert 0 <= outcome.elapsed < 5


# What cannot run here.


@pytest.mark.parametrize("payload", [b"{not json", b"[]", b"5", b"null", b'"text"', b"", b"\xff"])
def test_what_is_no_job_goes_to_dead_with_its_bytes(payload: bytes) -> None:
    outcome = ran("def", payload)
    assert (outcome.word, outcome.write, outcome.error_class) == (Word.UNREADABLE, Bury(legible(payload)), "Unreadable")


def test_a_foreign_job_is_left_by_default() -> None:
    outcome = ran("def", raw("Ruby::Job"))
    assert (outcome.word, type(outcome.write), outcome.name) == (Word.FOREIGN, PutBack, "Ruby::Job")


@pytest.mark.parametrize(("setting", "write"), [("retry", Later), ("dead", Bury)])
def test_a_foreign_job_fails_where_the_setting_says_so(setting: str, write: type) -> None:
    outcome = ran("def", raw("Ruby::Job"), config=Config.of(foreign=setting))
    assert (outcome.word, type(outcome.write)) == (Word.FOREIGN, write)
    assert outcome.error_class == "pykiq.errors.UnknownClass"
    assert outcome.error_message is not None
    assert "Ruby::Job" in outcome.error_message
    assert "--require" in outcome.error_message


@pytest.mark.parametrize("name", [None, 5, "", ["Job"], {}])
@pytest.mark.parametrize("setting", ["leave", "retry", "dead"])
def test_a_job_without_a_class_fails_and_is_kept(name: object, setting: str) -> None:
    outcome = ran("def", raw("Job", **{"class": name}), config=Config.of(foreign=setting))
    assert outcome.word is Word.FAILED
    assert isinstance(outcome.write, Later)


def test_a_leading_double_colon_finds_the_handler() -> None:
    assert ran("def", raw("::Job", "returns")).word is Word.DONE


def test_no_name_from_a_payload_is_imported() -> None:
    assert ran("def", raw("os::system", "true")).word is Word.FOREIGN
    assert ran("def", raw("Job", "returns", wrapped="os.system")).word is Word.DONE


# Context and middleware.


@KINDS
def test_a_handler_sees_its_job(kind: str) -> None:
    seen: list[JobContext] = []

    def look(*_: Any) -> None:
        seen.append(current_job())

    async def alook(*_: Any) -> None:
        await asyncio.sleep(0)
        seen.append(current_job())

    handlers = Registry()
    handlers.register(handler("Job", look if kind == "def" else alook))
    ran(kind, raw("Job", 1, retry_count=2, queue="elsewhere"), handlers=handlers, stopping=lambda: True)
    [job] = seen
    assert (job.queue, job.attempt, job.stopping, job.name) == ("default", 3, True, "Job")
    with pytest.raises(Exception, match="no job is running"):
        current_job()


@KINDS
def test_what_middleware_and_handlers_do_to_the_payload_never_reaches_the_entry(kind: str) -> None:
    def spoil(job: JobContext) -> Generator[None, None, None]:
        job.payload["args"].append("spoilt")
        job.payload["spoilt"] = object()
        del job.payload["jid"]
        yield

    payload = raw("Job", "raise", keep={"a": [1]})
    outcome = ran(kind, payload, spoil)
    assert isinstance(outcome.write, Later)
    entry = loads(outcome.write.entry)
    assert outcome.error_message == "boom"
    assert {key: entry[key] for key in loads(payload)} == loads(payload)
    assert "spoilt" not in entry


@KINDS
def test_middleware_that_does_not_yield_keeps_the_handler_from_running(kind: str) -> None:
    def skip(job: JobContext) -> Generator[None, None, None]:
        if job.payload["args"] == ["never"]:
            yield

    assert ran(kind, raw("Job", "raise"), skip).word is Word.DONE


@KINDS
@pytest.mark.parametrize("when", ["before", "after"])
def test_middleware_that_raises_is_a_failure_of_the_job(kind: str, when: str) -> None:
    def broken(job: JobContext) -> Generator[None, None, None]:
        if when == "before":
            raise ValueError("before")
        yield
        raise ValueError("after")

    outcome = ran(kind, raw("Job", "returns"), broken)
    assert (outcome.word, outcome.error_message) == (Word.FAILED, when)


@KINDS
def test_middleware_that_swallows_the_error_makes_it_a_success(kind: str) -> None:
    def forgiving(job: JobContext) -> Generator[None, None, None]:
        try:
            yield
        except ValueError:
            return

    assert ran(kind, raw("Job", "raise"), forgiving).word is Word.DONE


@KINDS
def test_asynchronous_middleware_stands_around_both_kinds(kind: str) -> None:
    order: list[str] = []

    async def around(job: JobContext) -> AsyncGenerator[None, None]:
        order.append("before")
        await asyncio.sleep(0)
        yield
        order.append("after")

    assert ran(kind, raw("Job", "returns"), around).word is Word.DONE
    assert order == ["before", "after"]


def test_asynchronous_middleware_uses_the_workers_loop_once_it_runs() -> None:
    loop = LoopThread()
    seen: list[object] = []

    async def around(job: JobContext) -> AsyncGenerator[None, None]:
        seen.append(asyncio.get_running_loop())
        yield

    running = loop.loop
    assert ran("def", raw("Job", "returns"), around, loop=loop).word is Word.DONE
    assert seen == [running]
    loop.close()


# Memory.


class Precious:
    """Something a job's frame holds."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is freed here is freed by counting references."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def holding(references: list[weakref.ref[Any]]) -> Callable[..., None]:
    def hold(mode: str) -> None:
        precious = Precious()
        references.append(weakref.ref(precious))
        end(mode)

    return hold


@pytest.mark.parametrize("mode", ["returns", "raise", "snooze", "discard", "kill", "exit"])
@pytest.mark.parametrize("around", [False, True])
def test_nothing_of_a_job_is_kept_alive_by_its_outcome(no_collector: None, mode: str, around: bool) -> None:
    references: list[weakref.ref[Any]] = []

    def plain(job: JobContext) -> Generator[None, None, None]:
        yield

    ENDINGS.update({"raise": ValueError("boom"), "snooze": Snooze(60), "discard": Discard("no use")})
    ENDINGS.update({"kill": Kill("hopeless"), "exit": SystemExit(3)})
    handlers = Registry()
    handlers.register(handler("Job", holding(references)))
    outcome = ran("def", raw("Job", mode), *([plain] if around else []), handlers=handlers)
    if mode in ENDINGS:
        ENDINGS[mode].__traceback__ = None  # this file keeps its exceptions; they must not keep the frames
    assert outcome.raised is None
    assert references[0]() is None


def test_the_exception_travels_only_when_somebody_listens() -> None:
    hooks = Lifecycle()
    assert ran("def", raw("Job", "raise"), hooks=hooks).raised is None
    hooks.error_handler(lambda error, context: None)
    outcome = ran("def", raw("Job", "raise"), hooks=hooks)
    assert outcome.raised is not None
    job, error, _ = outcome.raised
    assert isinstance(error, ValueError)
    assert job["error_message"] == "boom"


def test_one_executor_serves_many_threads() -> None:
    handlers = Registry()
    seen: list[tuple[object, str]] = []

    def check(number: int) -> None:
        time.sleep(0.001)
        seen.append((number, str(current_job().payload["args"][0])))

    handlers.register(handler("Job", check))
    made: Executor = executor(handlers)
    assigned = [made.assign(claimed(raw("Job", number))) for number in range(40)]
    threads = [threading.Thread(target=made.run, args=(one,)) for one in assigned if isinstance(one, Assigned)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted((number, str(number)) for number in range(40))


def test_a_plain_wrapper_around_an_async_handler_fails_instead_of_not_running() -> None:
    async def inner(mode: str) -> None:
        raise AssertionError("nobody awaits this")

    handlers = Registry()
    handlers.register(handler("Wrapped", lambda mode: inner(mode)))
    running = executor(handlers)
    assigned = running.assign(claimed(raw("Wrapped", "x")))
    assert isinstance(assigned, Assigned)
    outcome = running.run(assigned)
    assert outcome.word is Word.FAILED
    assert outcome.error_class == "TypeError"
    assert "coroutine" in str(outcome.error_message)


def test_one_around_a_generator_too() -> None:
    def inner(mode: str) -> Generator[None, None, None]:
        raise AssertionError("nobody runs this")
        yield

    async def asynchronous(mode: str) -> AsyncGenerator[None, None]:
        raise AssertionError("nobody runs this")
        yield

    for generator in (inner, asynchronous):
        handlers = Registry()
        handlers.register(handler("Wrapped", lambda mode, generator=generator: generator(mode)))
        running = executor(handlers)
        assigned = running.assign(claimed(raw("Wrapped", "x")))
        assert isinstance(assigned, Assigned)
        outcome = running.run(assigned)
        assert (outcome.word, outcome.error_class) == (Word.FAILED, "TypeError")
        assert "the handler returned a generator, which nobody runs" in str(outcome.error_message)


@KINDS
def test_the_handler_gets_the_arguments_that_the_middleware_left(kind: str) -> None:
    """As in Ruby (capture server_middleware_mutation_not_in_retry), whether they are changed or replaced."""

    def add(job: JobContext) -> Generator[None, None, None]:
        job.payload["args"].append("extra")
        job.payload["args"] = [*job.payload["args"], "replaced"]
        yield

    seen: list[Any] = []

    def plain(*args: Any) -> None:
        seen.extend(args)

    async def awaited(*args: Any) -> None:
        seen.extend(args)

    handlers = Registry()
    handlers.register(handler("Job", plain if kind == "def" else awaited))
    assert ran(kind, raw("Job", 1), add, handlers=handlers).word is Word.DONE
    assert seen == [1, "extra", "replaced"]
