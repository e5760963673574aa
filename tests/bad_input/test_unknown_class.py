"""A class without a handler here: left where it is, retried or dead, as `--foreign` says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py

from tests.bad_input.bench import Bench, payload
from tests.servers import Server, wait_until

STRANGE = [
    payload("Ruby::Only", [1]),
    b'{ "class" : "Ruby::Only" , "args" : [ 1e400 ] }',
    b'{"class":"\xff\xfe","args":["\xff"]}',
    payload("::GoodJob::Other", [3]),
    payload("goodjob", [4]),
    payload("os.system", ["true"], wrapped="GoodJob"),
    payload("GoodJob ", [5]),
]


def test_foreign_jobs_stay_where_they_were_byte_for_byte_and_the_others_go_on(bench: Bench) -> None:
    before, behind = STRANGE[:3], STRANGE[3:]
    bench.push(*before, payload("EchoJob", [1]), *behind, payload("EchoJob", [2]))
    wait_until(lambda: bench.ran == [(1,), (2,)], 10, "the jobs between and behind the foreign ones")
    for _ in range(3):
        bench.goes_on()
    wait_until(lambda: not bench.in_flight(), 10, "nothing in flight")
    assert bench.redis.lrange("queue:default", 0, -1) == list(reversed(STRANGE))
    bench.nothing_left()
    bench.redis.delete("queue:default")
    bench.goes_on()


def test_ten_thousand_foreign_jobs_do_not_hide_the_one_behind_them(bench: Bench) -> None:
    foreign = [payload("Ruby::Only", [number]) for number in range(10_000)]
    bench.push(*foreign, payload("EchoJob", ["behind"]))
    wait_until(lambda: bench.ran == [("behind",)], 20, "the job behind them")
    for _ in range(3):  # and what comes later is found too
        bench.goes_on()
    wait_until(lambda: not bench.in_flight(), 10, "nothing in flight")
    assert bench.redis.lrange("queue:default", 0, -1) == list(reversed(foreign))


def test_a_job_that_is_put_back_in_front_of_foreign_ones_is_found(bench: Bench) -> None:
    foreign = [payload("Ruby::Only", [number]) for number in range(1000)]
    bench.push(*foreign, payload("EchoJob", ["first"]))
    wait_until(lambda: bench.ran == [("first",)], 10, "the queue has been walked through")
    bench.redis.rpush("queue:default", payload("EchoJob", ["put back"]))
    wait_until(lambda: bench.ran == [("first",), ("put back",)], 10, "the job at the old end")


@pytest.fixture
def other(client: redis_py.Redis, own_server: Server, request: pytest.FixtureRequest) -> Iterator[Bench]:
    settings: dict[str, Any] = {"foreign": request.param}
    made = Bench(client, own_server.url.replace("/0", "/1"), **settings).start()
    yield made
    assert made.stop() == 0


@pytest.mark.parametrize("other", ["retry"], indirect=True)
def test_foreign_jobs_are_retried_when_asked_for(other: Bench) -> None:
    other.take(*STRANGE)
    jobs = [json.loads(raw.decode("utf-8", "replace")) for raw in other.entries("retry")]
    assert len(jobs) == len(STRANGE)
    assert {job["error_class"] for job in jobs} == {"pykiq.errors.UnknownClass"}


@pytest.mark.parametrize("other", ["dead"], indirect=True)
def test_foreign_jobs_are_dead_when_asked_for(other: Bench) -> None:
    other.take(*STRANGE)
    assert len(other.entries("dead")) == len(STRANGE)
    assert other.entries("retry") == []
