"""pykiq.embed: a worker that starts and stops with a block of another program."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py

import pykiq
from pykiq import logger
from pykiq.client import configure
from pykiq.errors import AddressTaken, ConfigError, StoreError
from pykiq.jobs.lifecycle import lifecycle
from tests.jobs.conftest import own_registry
from tests.logs import capture_logs
from tests.servers import free_port, wait_until

__all__ = ["own_registry"]


@pytest.fixture(autouse=True)
def config(redis_url: str, own_registry: None) -> Iterator[pykiq.Config]:
    pykiq.job("Other")(lambda: None)  # without any handler it does not start
    yield pykiq.configure(redis=redis_url, timeout=1, concurrency=2)
    configure.forget()
    lifecycle.clear()


def notes(ran: list[Any]) -> Any:
    @pykiq.job("Note")
    def note(what: Any) -> None:
        ran.append(what)

    return note


def test_jobs_run_inside_the_block_and_the_worker_leaves_cleanly(redis: redis_py.Redis) -> None:
    ran: list[Any] = []
    threads = set(threading.enumerate())
    before = signal.getsignal(signal.SIGTERM)
    with pykiq.embed() as worker:
        notes(ran).perform_async(1)
        wait_until(lambda: ran == [1], what="the job")
        assert worker.is_running
        assert redis.smembers("processes") == {str(worker.identity).encode()}
        assert redis.hget(str(worker.identity), "info") is not None
        assert signal.getsignal(signal.SIGTERM) is before
    assert (worker.is_running, worker.exit_code) == (False, 0)
    assert redis.smembers("processes") == set()
    wait_until(lambda: set(threading.enumerate()) <= threads, what="the end of its threads")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_handlers_that_push_share_one_connection_when_there_is_one(
    kind: str, redis_url: str, redis: redis_py.Redis
) -> None:
    pykiq.configure(redis=f"{redis_url}?max_connections=1", timeout=1, concurrency=20)
    child = pykiq.remote("ChildJob", queue="children")

    @pykiq.job("Push")
    def push(number: int) -> None:
        child.perform_async(number)

    @pykiq.job("Apush")
    async def apush(number: int) -> None:
        await asyncio.gather(*(child.aperform_async(number) for _ in range(3)))

    with pykiq.embed():
        if kind == "def":
            push.perform_bulk([[number] for number in range(60)])
        else:
            apush.perform_bulk([[number] for number in range(20)])
        wait_until(lambda: redis.llen("queue:children") == 60, 30, "the children")
    assert not redis.exists("retry")


async def test_in_an_asyncio_program_the_loop_is_not_blocked(redis: redis_py.Redis) -> None:
    ran = asyncio.Event()
    loop = asyncio.get_running_loop()

    @pykiq.job
    async def ring() -> None:
        assert asyncio.get_running_loop() is not loop
        loop.call_soon_threadsafe(ran.set)

    async with pykiq.embed() as worker:
        await ring.aperform_async()
        await asyncio.wait_for(ran.wait(), 10)
    assert worker.exit_code == 0


def test_a_job_that_outlives_the_timeout_is_back_in_its_queue(redis: redis_py.Redis, config: pykiq.Config) -> None:
    started = threading.Event()

    @pykiq.job
    async def linger() -> None:
        started.set()
        await asyncio.sleep(60)

    with pykiq.embed(pykiq.Config.of(redis=config.redis, timeout=0.1)):
        linger.perform_async()
        assert started.wait(10)
    assert redis.llen("queue:default") == 1


def test_two_workers_may_be_embedded_one_for_each_kind_of_queue(config: pykiq.Config, redis: redis_py.Redis) -> None:
    ran: list[Any] = []
    note = notes(ran)
    slow = pykiq.Config.of(redis=config.redis, queues=("slow",), concurrency=1)
    with pykiq.embed(), pykiq.embed(slow):
        assert redis.scard("processes") == 2
        note.set(queue="slow").perform_async("slow")
        note.perform_async("default")
        wait_until(lambda: sorted(ran) == ["default", "slow"], what="both jobs")


def test_stop_on_the_dashboard_ends_it_and_the_program_can_see_that(redis: redis_py.Redis) -> None:
    with pykiq.embed() as worker:
        worker.quiet()
        worker.stop()
        assert (worker.is_running, worker.exit_code) == (False, 0)
        with pytest.raises(ConfigError, match="started before"):
            worker.start()


def test_without_redis_the_block_is_not_entered() -> None:
    config = pykiq.Config.of(redis=f"redis://:s3cret@127.0.0.1:{free_port()}/0")
    with pytest.raises(StoreError, match="does not answer") as raised, pykiq.embed(config):
        pytest.fail("entered")
    assert "s3cret" not in str(raised.value)


def test_without_handlers_it_is_refused() -> None:
    from pykiq.jobs.registry import registry

    registry.clear()
    with pytest.raises(ConfigError, match="no handlers"), pykiq.embed():
        pytest.fail("entered")


def test_only_a_config_will_do() -> None:
    with pytest.raises(ConfigError, match="expected a Config"):
        pykiq.embed({"redis": "redis://x"})  # type: ignore[arg-type]


def test_what_its_start_raises_is_raised_here(config: pykiq.Config) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = pykiq.Config.of(redis=config.redis, metrics_host="127.0.0.1", metrics_port=taken.getsockname()[1])
        with pytest.raises(AddressTaken, match="metrics port"), pykiq.embed(busy):
            pytest.fail("entered")


def test_it_is_warned_of_what_run_warns_of(redis: redis_py.Redis, config: pykiq.Config) -> None:
    pykiq.job("Mine", queue="mine")(lambda: None)
    redis.lpush("queue:default", b'{"class":"Ruby","args":[],"jid":"a"}')
    with capture_logs() as lines, pykiq.embed(pykiq.Config.of(redis=config.redis, processes=3, timeout=1)):
        pass
    told = [(line["event"], line.get("queue")) for line in lines if line["log_level"] == "warning"]
    assert told[:3] == [
        ("queue_not_served", "mine"),
        ("waiting_without_handler", "default"),
        ("setting_without_meaning", None),
    ]


@pytest.mark.parametrize("query", ["bogus=1", "connection_pool=x"])
def test_a_url_with_an_option_that_cannot_be_used_is_one_line(config: pykiq.Config, query: str) -> None:
    with pytest.raises((ConfigError, StoreError)), pykiq.embed(pykiq.Config.of(redis=f"{config.redis}?{query}")):
        pytest.fail("entered")


def test_its_lines_go_through_the_programs_logging(redis: redis_py.Redis, config: pykiq.Config) -> None:
    kept: list[logging.LogRecord] = []
    handler, ours = logging.Handler(), logging.getLogger("pykiq")
    handler.emit = kept.append  # type: ignore[method-assign]
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    before = logger.sink()
    logger.route(None)  # whatever another test has left

    @pykiq.job("Tells")
    def tells() -> None:
        pykiq.current_job().log.warning("half way", done=50)

    try:
        with pykiq.embed():
            jid = tells.perform_async()
            wait_until(lambda: "done" in {record.getMessage().split()[0] for record in kept}, what="the job done")
    finally:
        ours.removeHandler(handler)
        ours.setLevel(logging.NOTSET)
        logger.route(before)
    of_job = [(record.name, record.getMessage()) for record in kept if jid in record.getMessage()]
    assert ("pykiq.jobs", f"start class=Tells jid={jid} queue=default attempt=0") in of_job
    assert ("pykiq.job", f"half way class=Tells jid={jid} done=50") in of_job
    assert of_job[-1][1].startswith(f"done class=Tells jid={jid} queue=default elapsed=")
    assert "running" in {record.getMessage().split()[0] for record in kept if record.name == "pykiq"}
