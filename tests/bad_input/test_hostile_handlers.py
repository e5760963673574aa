"""Handlers that do what no handler should: their job fails like any other, and the worker goes on."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

import pykiq
from pykiq.jobs.context import current_job
from tests.bad_input.bench import Bench, payload
from tests.servers import wait_until


def raiser(error: Callable[[], BaseException]) -> Callable[[], NoReturn]:
    def handler() -> NoReturn:
        raise error()

    return handler


def for_ever() -> NoReturn:
    for_ever()


def out_of_memory() -> None:
    bytearray(2**62)


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no message for you")


class Leaving(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class Unwilling(BaseException):
    def __repr__(self) -> NoReturn:
        raise RuntimeError("no text")

    __str__ = __repr__

    @property
    def __traceback__(self) -> NoReturn:  # type: ignore[override]
        raise MemoryError

    @property
    def __cause__(self) -> NoReturn:  # type: ignore[override]
        raise MemoryError


class _Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__qualname__", "__module__", "__name__"):
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=_Meta):
    pass


def anonymous() -> BaseException:
    made: type[Exception] = type("", (Exception,), {"__module__": None})
    return made("made on the fly")


def surrogates() -> BaseException:
    made: type[Exception] = type("OddModule", (Exception,), {"__module__": "m\udfff"})
    return made("half of a pair: \ud83d")


class SilentSnooze(pykiq.Snooze):
    def __init__(self) -> None:
        """Forgets the base class's own."""


class TalkativeSnooze(pykiq.Snooze):
    def __init__(self) -> None:
        self.seconds = "until noon"  # type: ignore[assignment]


class SilentDiscard(pykiq.Discard):
    def __init__(self) -> None:
        """Forgets the base class's own."""


class SilentKill(pykiq.Kill):
    def __init__(self) -> None:
        """Forgets the base class's own."""


FAILURES: dict[str, tuple[Callable[[], object], str, str]] = {
    "sys.exit": (raiser(lambda: SystemExit(1)), "SystemExit", "1"),
    "interrupt": (raiser(KeyboardInterrupt), "KeyboardInterrupt", ""),
    "generator exit": (raiser(GeneratorExit), "GeneratorExit", ""),
    "stop iteration": (raiser(StopIteration), "StopIteration", ""),
    "cancelled": (raiser(asyncio.CancelledError), "asyncio.exceptions.CancelledError", ""),
    "out of memory": (out_of_memory, "MemoryError", ""),
    "recursion": (for_ever, "RecursionError", "maximum recursion depth exceeded"),
    "a message that raises": (raiser(Mute), f"{__name__}.Mute", "!!! ERROR MESSAGE THREW AN ERROR !!!"),
    "a message that exits": (raiser(Leaving), f"{__name__}.Leaving", "!!! ERROR MESSAGE THREW AN ERROR !!!"),
    "an unwilling exception": (raiser(Unwilling), "", ""),
    "a class without a name": (raiser(Nameless), "", ""),
    "an anonymous class": (raiser(anonymous), "", "made on the fly"),
    "surrogates": (raiser(surrogates), "m\ufffd.OddModule", "half of a pair: \ufffd"),
    "a binary message": (
        raiser(lambda: ValueError(bytes(range(256)).decode("utf-8", "surrogateescape"))),
        "ValueError",
        bytes(range(128)).decode() + "\ufffd" * 128,
    ),
    "a huge message": (raiser(lambda: ValueError("x" * 20_000_000)), "ValueError", "x" * 10_000),
    "snooze for no time": (raiser(lambda: pykiq.Snooze(math.nan)), "pykiq.errors.Snooze", ""),
    "snooze for ever": (raiser(lambda: pykiq.Snooze(math.inf)), "pykiq.errors.Snooze", ""),
    "snooze without a time": (raiser(SilentSnooze), f"{__name__}.SilentSnooze", ""),
    "snooze for no number": (raiser(TalkativeSnooze), f"{__name__}.TalkativeSnooze", ""),
    "discard without a reason": (raiser(SilentDiscard), f"{__name__}.SilentDiscard", ""),
}


@pytest.mark.parametrize(("handler", "error_class", "message"), FAILURES.values(), ids=FAILURES.keys())
def test_whatever_is_raised_the_job_is_retried_and_says_why(
    bench: Bench, handler: Callable[[], object], error_class: str, message: str
) -> None:
    bench.handler("HostileJob", handler)
    raw = payload("HostileJob", [], note="kept", backtrace=True)
    bench.take(raw)
    job = bench.retried()
    assert job["note"] == "kept"
    assert job["retry_count"] == 0
    if error_class:
        assert job["error_class"] == error_class
    if message:
        assert job["error_message"] == message


@pytest.mark.parametrize(("handler", "error_class", "message"), FAILURES.values(), ids=FAILURES.keys())
def test_the_same_raised_by_an_async_handler(
    bench: Bench, handler: Callable[[], object], error_class: str, message: str
) -> None:
    async def hostile() -> None:
        await asyncio.sleep(0)
        handler()

    bench.handler("HostileJob", hostile)
    bench.take(payload("HostileJob"))
    job = bench.retried()
    if error_class and error_class != "StopIteration":  # a coroutine cannot raise that one
        assert job["error_class"] == error_class


def test_a_job_is_killed_also_by_a_kill_without_a_reason(bench: Bench) -> None:
    bench.handler("HostileJob", raiser(SilentKill))
    bench.take(payload("HostileJob"))
    assert json.loads(bench.only("dead"))["error_class"] == f"{__name__}.SilentKill"


def test_a_job_can_be_snoozed_for_longer_than_anything_lasts(bench: Bench) -> None:
    bench.handler("HostileJob", raiser(lambda: pykiq.Snooze(1e300)))
    bench.take(payload("HostileJob", note="kept"))
    assert json.loads(bench.only("schedule"))["note"] == "kept"


def test_a_job_snoozed_into_the_past_runs_again_at_once(bench: Bench) -> None:
    def snoozes_once(number: int) -> None:
        bench.ran.append(number)
        if len(bench.ran) == 1:
            raise pykiq.Snooze(-1)

    bench.handler("HostileJob", snoozes_once)
    bench.push(payload("HostileJob", [5]))
    wait_until(lambda: bench.ran == [5, 5], 10, "the second run")
    bench.take()
    bench.nothing_left()


def test_a_handler_that_cancels_its_own_task_is_retried(bench: Bench) -> None:
    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(10)

    bench.handler("HostileJob", cancels_itself)
    bench.take(payload("HostileJob"))
    assert bench.retried()["error_class"] == "asyncio.exceptions.CancelledError"


def test_a_handler_that_cancels_its_own_task_and_returns_is_done(bench: Bench) -> None:
    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    bench.handler("HostileJob", cancels_itself)
    bench.take(payload("HostileJob"))
    bench.nothing_left()


def test_a_handler_that_cancels_every_task_fails_with_the_others_and_new_ones_run(bench: Bench) -> None:
    async def sleeper() -> None:
        await asyncio.sleep(10)

    async def cancels_all() -> None:
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(10)

    bench.handler("SleepJob", sleeper)
    bench.handler("HostileJob", cancels_all)
    bench.push(payload("SleepJob"))
    wait_until(lambda: len(bench.process.exchange.running()) == 1, 5, "the sleeper running")
    bench.take(payload("HostileJob"))
    assert sorted(json.loads(raw)["class"] for raw in bench.entries("retry")) == ["HostileJob", "SleepJob"]
    runs_async(bench)


def test_a_task_left_behind_that_exits_does_not_end_the_event_loop(bench: Bench) -> None:
    async def exits() -> None:
        raise SystemExit(4)

    left_behind: list[asyncio.Task[None]] = []

    async def leaves_a_task() -> None:
        left_behind.append(asyncio.create_task(exits()))

    bench.handler("HostileJob", leaves_a_task)
    bench.take(payload("HostileJob"))
    runs_async(bench)
    bench.nothing_left()
    # Asked for, or asyncio prints it wherever the task is collected; inside of an `ast.parse`, as an import under
    # pytest is one, Python before 3.11.8 takes the traceback's own use of `ast` for an error.
    assert isinstance(left_behind[0].exception(), SystemExit)


def test_a_handler_that_stops_the_event_loop_does_not_stop_the_others(bench: Bench) -> None:
    async def stops() -> None:
        asyncio.get_running_loop().stop()

    bench.handler("HostileJob", stops)
    bench.take(payload("HostileJob"))
    runs_async(bench)
    bench.nothing_left()


def runs_async(bench: Bench) -> None:
    async def asynchronous() -> None:
        await asyncio.sleep(0)
        bench.ran.append("async")

    bench.handler("AsyncJob", asynchronous)
    bench.take(payload("AsyncJob"))
    assert bench.ran == ["async"]


def test_an_async_handler_that_blocks_its_loop_does_not_hold_up_jobs_on_threads(bench: Bench) -> None:
    entered, go_on = threading.Event(), threading.Event()

    async def blocks() -> None:
        entered.set()
        go_on.wait(20)

    bench.handler("HostileJob", blocks)
    bench.push(payload("HostileJob"))
    try:
        assert entered.wait(10)
        bench.goes_on()
    finally:
        go_on.set()
    wait_until(bench.settled, 10, "the blocking job settled")
    bench.nothing_left()


def test_a_thread_left_running_by_a_handler_disturbs_nobody(bench: Bench) -> None:
    go_on = threading.Event()
    bench.handler("HostileJob", lambda: threading.Thread(target=go_on.wait, args=(20,), daemon=True).start())
    bench.take(payload("HostileJob"))
    go_on.set()
    bench.nothing_left()


def test_what_a_handler_does_to_its_payload_and_arguments_is_not_written(bench: Bench) -> None:
    def spoils(first: list[Any]) -> None:
        first.append("spoilt")
        current_job().payload.clear()
        current_job().payload["retry"] = False
        raise ValueError

    bench.handler("HostileJob", spoils)
    bench.take(payload("HostileJob", [[1]]))
    assert bench.retried()["args"] == [[1]]


@pytest.fixture
def pauses() -> Iterator[threading.Event]:
    go_on = threading.Event()
    yield go_on
    go_on.set()


def test_an_odd_payload_that_runs_during_a_heartbeat_is_shown_or_left_out_but_beats_go_on(
    bench: Bench, pauses: threading.Event
) -> None:
    bench.handler("SlowJob", lambda *args: pauses.wait(20))
    for raw in (b'{"class":"SlowJob","args":["\xff",1e400]}', b'{"class":"SlowJob","args":[%s]}' % (b"9" * 5000)):
        bench.push(raw)
    wait_until(lambda: len(bench.process.exchange.running()) == 2, 5, "two odd jobs running")
    before = time.time()
    identity = bench.process.identity

    def beaten() -> bool:
        beat = bench.redis.hget(identity, "beat")
        return beat is not None and float(beat) > before

    wait_until(beaten, 20, "a heartbeat")
    assert bench.redis.hlen(f"{identity}:work") == 2
    pauses.set()
    wait_until(bench.settled, 10, "the odd jobs done")
