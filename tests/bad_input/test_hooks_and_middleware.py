"""Users' hooks and middlewares that raise or exit: no job is lost, and the worker goes on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, NoReturn

import pytest

from pykiq.jobs.context import JobContext
from tests.bad_input.bench import Bench, payload
from tests.servers import wait_until

ERRORS = [ValueError, SystemExit, KeyboardInterrupt]


def fail(*args: object) -> NoReturn:
    raise ValueError("as asked")


def raising(error: type[BaseException]) -> Callable[..., Any]:
    def hook(*args: object) -> NoReturn:
        raise error("from a hook")

    return hook


@pytest.mark.parametrize("error", ERRORS)
def test_retry_in_that_raises_leaves_the_default_delay(bench: Bench, error: type[BaseException]) -> None:
    bench.handler("FailJob", fail, retry_in=lambda count, failure, job: raising(error)())
    bench.take(payload("FailJob", [1]))
    job = bench.retried()
    assert job["error_message"] == "as asked"
    ((_, score),) = bench.redis.zrange("retry", 0, -1, withscores=True)
    assert 10 < score - time.time() < 30


@pytest.mark.parametrize(
    "answer",
    [math.nan, math.inf, 10**400, -1, "soon", object(), [], True],
    ids=lambda answer: f"{type(answer).__name__} {str(answer)[:8]}",
)
def test_retry_in_that_answers_nonsense_loses_nothing(bench: Bench, answer: object) -> None:
    bench.handler("FailJob", fail, retry_in=lambda count, failure, job: answer)
    bench.take(payload("FailJob", [1]))
    (entry,) = bench.entries("retry") + bench.entries("dead")
    assert json.loads(entry)["args"] == [1]


@pytest.mark.parametrize("error", ERRORS)
def test_retries_exhausted_that_raises_does_not_keep_the_job_out_of_dead(
    bench: Bench, error: type[BaseException]
) -> None:
    bench.handler("FailJob", fail, retries_exhausted=lambda job, failure: raising(error)())
    bench.take(payload("FailJob", [1], retry=0))
    assert json.loads(bench.only("dead"))["error_message"] == "as asked"


def wait_until_all_is_told(bench: Bench) -> None:
    """The jobs before are told of in order, and gathered for a moment: until a last one is."""
    told: list[str] = []
    bench.hooks.error_handler(lambda failure, context: told.append(context["job"]["jid"]))
    last = payload("FailJob", [0])
    bench.handler("FailJob", fail)
    bench.take(last)
    wait_until(lambda: json.loads(last)["jid"] in told)
    bench.hooks.clear()
    bench.redis.delete("retry")


@pytest.mark.parametrize("error", ERRORS)
def test_death_and_error_handlers_that_raise_are_followed_by_the_others(
    bench: Bench, error: type[BaseException]
) -> None:
    told: list[str] = []
    wait_until_all_is_told(bench)
    try:
        bench.hooks.death_handler(raising(error))
        bench.hooks.death_handler(lambda job, failure: told.append("death"))
        bench.hooks.error_handler(raising(error))
        bench.hooks.error_handler(lambda failure, context: told.append(context["context"]))
        bench.handler("FailJob", fail)
        bench.take(payload("FailJob", [1], retry=0))
        wait_until(lambda: told == ["death handler", "death", "job"], 5, "the handlers after the ones that raised")
    finally:
        bench.hooks.clear()
    assert [json.loads(raw)["args"] for raw in bench.entries("dead")] == [[1]]


@pytest.fixture
def around(bench: Bench) -> Iterator[Bench]:
    yield bench
    bench.around_jobs.clear()
    bench.on_push.clear()


def only_hostile(middleware: Callable[[JobContext], Any]) -> Callable[[JobContext], Any]:
    """The middleware around jobs called HostileJob; the good job stays good."""

    def chosen(job: JobContext) -> Generator[None, Any, None]:
        if job.name == "HostileJob":
            yield from middleware(job)
        else:
            yield

    return chosen


def raises_before(job: JobContext) -> Generator[None, None, None]:
    raise SystemExit("before")
    yield


def raises_after(job: JobContext) -> Generator[None, None, None]:
    yield
    raise KeyboardInterrupt("after")


def yields_twice(job: JobContext) -> Generator[None, None, None]:
    yield
    yield


def spoils_the_payload(job: JobContext) -> Generator[None, None, None]:
    job.payload.clear()
    job.payload["args"] = object()
    yield
    raise ValueError("spoilt")


@pytest.mark.parametrize("middleware", [raises_before, raises_after, yields_twice, spoils_the_payload])
def test_server_middleware_that_misbehaves_fails_the_job(around: Bench, middleware: Callable[..., Any]) -> None:
    around.handler("HostileJob", lambda number: None)
    around.around_jobs.add(only_hostile(middleware))
    around.take(payload("HostileJob", [1]))
    job = around.retried()
    assert (job["class"], job["args"]) == ("HostileJob", [1])


def test_server_middleware_that_does_not_yield_counts_as_done(around: Bench) -> None:
    def swallows(job: JobContext) -> Generator[None, None, None]:
        return
        yield

    around.handler("HostileJob", fail)
    around.around_jobs.add(only_hostile(swallows))
    around.take(payload("HostileJob", [1]))
    around.nothing_left()


@pytest.mark.parametrize("error", ERRORS)
def test_client_middleware_that_raises_leaves_a_due_job_in_its_set_and_lets_the_others_through(
    around: Bench, error: type[BaseException]
) -> None:
    def hostile(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
        if job["class"] == "HostileJob":
            raise error("from a middleware")
        return call_next(job)

    around.on_push.add(hostile)
    raw = payload("HostileJob", [1])
    around.redis.zadd("schedule", {raw: 1.0, payload("EchoJob", ["due"]): 2.0})
    wait_until(lambda: around.ran == [("due",)], 10, "the due job behind the one whose middleware raises")
    assert around.only("schedule") == raw
    around.goes_on()


def spoil_args(job: dict[str, Any]) -> object:
    return job | {"args": object()}


def drop_queue(job: dict[str, Any]) -> object:
    return {key: value for key, value in job.items() if key != "queue"}


def not_a_dict(job: dict[str, Any]) -> object:
    return "next"


@pytest.mark.parametrize("answer", [spoil_args, drop_queue, not_a_dict])
def test_client_middleware_that_answers_nonsense_loses_no_due_job_and_holds_up_no_other(
    around: Bench, answer: Callable[[dict[str, Any]], object]
) -> None:
    def hostile(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
        return answer(job) if job["class"] == "HostileJob" else call_next(job)

    around.handler("HostileJob", lambda number: around.ran.append(number))
    around.on_push.add(hostile)
    around.redis.zadd("retry", {payload("HostileJob", [1]): 1.0, payload("EchoJob", ["due"]): 2.0})
    wait_until(lambda: ("due",) in around.ran, 10, "the due job behind the spoilt one")
    around.goes_on()
    wait_until(around.settled, 10, "nothing in flight")
    assert 1 in around.ran or json.loads(around.only("retry"))["args"] == [1]


@pytest.mark.parametrize("error", ERRORS)
def test_events_whose_hooks_raise_keep_no_worker_from_starting_beating_and_stopping(
    client: Any, own_server: Any, error: type[BaseException]
) -> None:
    other = Bench(client, own_server.url.replace("/0", "/1"), lease_ttl=1.0, sweep_interval=0.5)
    events = ("startup", "heartbeat", "beat", "quiet", "shutdown", "exit")
    fired: list[str] = []

    def hook(event: str) -> Callable[[], None]:
        def call() -> None:
            fired.append(event)
            raise error(event)

        return call

    for event in events:
        other.hooks.on(event)(hook(event))
    other.start()
    other.goes_on()
    seen = client.hget(other.process.identity, "beat")
    other.process.command("TSTP")
    wait_until(lambda: client.hget(other.process.identity, "beat") != seen, 15, "a second heartbeat")
    assert client.hget(other.process.identity, "quiet") == b"true"
    assert other.stop() == 0
    assert set(fired) == set(events)
    assert client.hlen("pykiq:owners") == 0
