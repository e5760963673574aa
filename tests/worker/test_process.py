"""One process: started in order, stopped in order, with an exit code that says how it went."""

from __future__ import annotations

import gc
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from pykiq.client.sync import Client
from pykiq.config import Config
from pykiq.errors import AddressTaken, Interrupted, StoreError
from pykiq.jobs.lifecycle import EVENTS, Lifecycle
from pykiq.jobs.registry import Registry
from pykiq.middleware.chain import Chain
from pykiq.observe.systemd import Systemd
from pykiq.store.claim import Berth
from pykiq.worker.process import Process
from tests.logs import capture_logs
from tests.servers import Server, free_port, heard, wait_until
from tests.worker.stage import in_flight, push, raw, registry, threads_here, waiting


class Running:
    """A Process in a thread of its own, with hooks that record every event."""

    def __init__(self, url: str, handlers: Registry | None = None, **config: Any) -> None:
        self.events: list[str] = []
        self.hooks = Lifecycle()
        for event in EVENTS:
            self.hooks.on(event)(lambda event=event: self.events.append(event))
        self.process = Process(
            Config.of(redis=url, **{"timeout": 5, **config}),
            handlers=handlers or registry(Job=lambda: None),
            hooks=self.hooks,
            on_push=Chain(),
            around_jobs=Chain(),
            embedded=True,
        )
        self.code: int | None = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.code = self.process.run()
        except BaseException as error:
            self.error = error

    def start(self) -> Running:
        self.thread.start()
        wait_until(lambda: "beat" in self.events or not self.thread.is_alive(), what="the first beat")
        return self

    def stop(self) -> int | None:
        self.process.command("TERM")
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.code


@pytest.fixture
def running(redis: redis_py.Redis, redis_url: str) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start(handlers: Registry | None = None, **config: Any) -> Running:
        made.append(Running(redis_url, handlers, **config))
        return made[-1].start()

    yield start
    for one in made:
        if one.thread.is_alive():
            one.stop()


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


INHERITED: ContextVar[str] = ContextVar("inherited", default="nothing")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_jobs_begin_without_the_context_of_whoever_started_the_worker(
    redis: redis_py.Redis, running: Callable[..., Running], kind: str
) -> None:
    seen: list[str] = []

    async def look() -> None:
        seen.append(INHERITED.get())

    token = INHERITED.set("a request")
    try:
        running(registry(Job=look if kind == "async def" else lambda: seen.append(INHERITED.get())))
    finally:
        INHERITED.reset(token)
    push(redis, raw("Job"))
    wait_until(lambda: seen)
    assert seen == ["nothing"]


def test_events_fire_in_rubys_order(running: Callable[..., Running]) -> None:
    one = running()
    assert one.stop() == 0
    assert one.events[:3] == ["startup", "heartbeat", "beat"]
    # A beat may come at any time: the dashboards are told at once that it is quiet.
    assert [event for event in one.events[3:] if event != "beat"] == ["quiet", "shutdown", "exit"]


@pytest.mark.parametrize("event", ["quiet", "shutdown"])
def test_a_hook_that_hangs_does_not_keep_running_jobs_from_being_put_back(
    redis: redis_py.Redis, running: Callable[..., Running], event: str
) -> None:
    go_on = threading.Event()
    one = running(registry(Slow=lambda: go_on.wait(30)), timeout=0.2)
    one.hooks.on(event)(lambda: go_on.wait(30))
    push(redis, raw("Slow"))
    wait_until(lambda: len(one.process.exchange.running()) == 1)
    one.process.command("TERM")
    wait_until(lambda: waiting(redis) == [raw("Slow")], 10, "the job back in its queue")
    go_on.set()
    assert one.stop() == 0


def test_quiet_comes_once_although_a_stop_follows(running: Callable[..., Running]) -> None:
    one = running()
    one.process.command("TSTP")
    one.process.command("TSTP")
    wait_until(lambda: "quiet" in one.events)
    assert one.thread.is_alive()
    assert one.stop() == 0
    assert [event for event in one.events[3:] if event != "beat"] == ["quiet", "shutdown", "exit"]


def test_a_stop_leaves_nothing_behind_but_what_ruby_leaves(
    redis: redis_py.Redis, running: Callable[..., Running]
) -> None:
    push(redis, *(raw("Job", jid=str(number)) for number in range(5)))
    one = running()
    wait_until(lambda: redis.llen("queue:default") == 0 and not in_flight(redis))
    assert one.stop() == 0
    identity = one.process.identity.encode()
    left = set(redis.keys("*"))
    assert left >= {identity, b"stat:processed"}
    counts = (b"stat:", b"j|", b"h|Job-", b"Job-")
    own = (b"pykiq:fleet", b"pykiq:walk")
    assert {key for key in left if not key.startswith((*counts, *own))} <= {identity, b"process_cleanup"}
    assert redis.ttl("pykiq:fleet") > 0
    assert redis.ttl(identity) > 0
    assert redis.get("stat:processed") == b"5"


def test_the_lease_is_given_up_by_a_process_that_no_longer_renews_it(
    running: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renewed once more after that, it would list a process that is gone."""
    renewing: list[bool] = []
    leave = Berth.leave

    def watched(place: Berth, client: redis_py.Redis) -> bool:
        renewing.append(any(thread.name == "pykiq-lease" for thread in threads_here()))
        return leave(place, client)

    monkeypatch.setattr(Berth, "leave", watched)
    assert running().stop() == 0
    assert renewing == [False]


def test_no_thread_outlives_the_process(redis: redis_py.Redis, running: Callable[..., Running]) -> None:
    async def task() -> None: ...

    push(redis, raw("Job"), raw("Task"))
    one = running(registry(Job=lambda: None, Task=task), metrics_port=0, metrics_host="127.0.0.1")
    wait_until(lambda: redis.llen("queue:default") == 0 and not in_flight(redis))
    assert one.stop() == 0
    wait_until(lambda: not [one for one in threads_here() if one.name.startswith("pykiq")])


def test_the_second_term_changes_nothing(redis: redis_py.Redis, running: Callable[..., Running]) -> None:
    let_go, started = threading.Event(), threading.Event()
    push(redis, raw("Job"))
    one = running(registry(Job=lambda: started.set() or let_go.wait(10)))
    assert started.wait(5)
    for name in ("TERM", "INT", "TERM", "TSTP"):
        one.process.command(name)
    wait_until(lambda: "shutdown" in one.events)
    assert one.thread.is_alive()
    let_go.set()
    assert one.stop() == 0
    assert one.events.count("shutdown") == one.events.count("quiet") == 1
    assert redis.get("stat:processed") == b"1"
    assert redis.get("stat:failed") in (None, b"0")


def test_a_job_past_the_deadline_is_counted_as_ruby_counts_it(
    redis: redis_py.Redis, running: Callable[..., Running]
) -> None:
    started, interrupted = threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        try:
            while True:
                time.sleep(0.005)
        except Interrupted:
            interrupted.set()
            raise

    push(redis, raw("Job"))
    one = running(registry(Job=slow), timeout=0.1)
    assert started.wait(5)
    assert one.stop() == 0
    assert interrupted.is_set()
    assert waiting(redis) == [raw("Job")]
    assert (redis.get("stat:processed"), redis.get("stat:failed")) == (b"1", b"1")


def test_a_hook_that_exits_stops_no_process(redis: redis_py.Redis, running: Callable[..., Running]) -> None:
    one = running()

    @one.hooks.on("quiet")
    def exits() -> None:
        one.events.append("exits")
        sys.exit(7)

    one.process.command("TSTP")
    wait_until(lambda: "exits" in one.events)
    assert one.stop() == 0
    assert one.error is None
    assert [event for event in one.events if event != "beat"][-2:] == ["shutdown", "exit"]


def test_what_nobody_knows_is_ignored_and_a_dump_stops_nothing(
    redis: redis_py.Redis, running: Callable[..., Running]
) -> None:
    one = running()
    one.process.command("NONSENSE")
    one.process.command("TTIN")
    push(redis, raw("Job"))
    wait_until(lambda: redis.llen("queue:default") == 0)
    assert one.stop() == 0


def test_the_dashboard_can_quiet_and_stop_it(redis: redis_py.Redis, running: Callable[..., Running]) -> None:
    one = running()
    for name, event in (("TSTP", "quiet"), ("TERM", "exit")):
        redis.lpush(f"{one.process.identity}-signals", name)
        one.process._pulse.hurry()
        wait_until(lambda: event in one.events, 10, event)  # noqa: B023
    one.thread.join(10)
    assert one.code == 0


def test_a_queue_that_is_paused_keeps_its_jobs_until_it_is_resumed(
    redis: redis_py.Redis, running: Callable[..., Running]
) -> None:
    redis.sadd("paused", "low")
    push(redis, raw("Job", queue="low"), queue="low")
    push(redis, raw("Job"))
    running(queues=["low", "default"], lease_ttl=0.8, sweep_interval=0.2)
    wait_until(lambda: not waiting(redis), what="the job of the other queue to be taken")
    assert len(waiting(redis, "low")) == 1
    redis.srem("paused", "low")
    wait_until(lambda: not waiting(redis, "low"), what="the job to be taken")


def test_live_and_ready_tell_quiet_from_dead(redis: redis_py.Redis, running: Callable[..., Running]) -> None:
    let_go, started = threading.Event(), threading.Event()
    push(redis, raw("Job"))
    handlers = registry(Job=lambda: started.set() or let_go.wait(10))
    one = running(handlers, metrics_port=0, metrics_host="127.0.0.1")
    assert one.process._endpoint is not None
    port = one.process._endpoint.port
    wait_until(lambda: get(port, "/ready")[0] == 200)
    assert get(port, "/live")[0] == 200
    assert started.wait(5)
    one.process.command("TSTP")
    wait_until(lambda: "quiet" in one.events)
    assert (get(port, "/live")[0], get(port, "/ready")) == (200, (503, "not ready: quiet or stopping\n"))
    metrics = get(port, "/metrics")[1]
    assert "pykiq_quiet 1.0" in metrics
    assert "pykiq_busy 1.0" in metrics
    let_go.set()
    assert one.stop() == 0
    with pytest.raises(OSError):
        get(port, "/live")


def test_a_loop_that_no_longer_turns_is_not_alive_although_the_process_is(
    running: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.process.STUCK", 1.5)  # an idle loop turns once a second
    one = running(metrics_port=0, metrics_host="127.0.0.1")
    assert one.process._endpoint is not None
    port, let_go = one.process._endpoint.port, threading.Event()
    turn = one.process.exchange._turn

    def hangs() -> float:
        let_go.wait(20)
        return turn()

    wait_until(lambda: get(port, "/ready")[0] == 200)
    assert get(port, "/live")[0] == 200
    one.process.exchange._turn = hangs  # type: ignore[method-assign]
    wait_until(lambda: get(port, "/live")[0] == 503, what="a bad health")
    assert get(port, "/ready") == (503, "not ready: the loop that moves jobs does not turn\n")
    assert get(port, "/metrics")[0] == 200
    let_go.set()
    wait_until(lambda: get(port, "/live")[0] == 200, what="a good health again")


def test_a_worker_whose_startup_hooks_still_run_is_not_ready(redis_url: str) -> None:
    one = Running(redis_url, metrics_port=0, metrics_host="127.0.0.1")
    seen: list[Any] = []

    @one.hooks.on("startup")
    def look() -> None:
        assert one.process._endpoint is not None
        seen.extend(get(one.process._endpoint.port, path) for path in ("/live", "/ready"))

    assert one.start().stop() == 0
    assert seen == [(200, "alive\n"), (503, "not ready: starting\n")]


def test_a_loop_that_no_longer_turns_stops_answering_the_watchdog(
    redis_url: str, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Running(redis_url)
    one.process._systemd = Systemd({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1"})
    hanging, let_go, turn = threading.Event(), threading.Event(), one.process.exchange._turn

    def hangs() -> float:
        hanging.set()
        let_go.wait(20)
        return turn()

    def looked() -> None:
        """The main thread has been round once more: it takes the second command when it is done with the first."""
        for _ in range(2):
            one.process.command("")
        wait_until(one.process._commands.empty)

    one.start()
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"WATCHDOG=1"]
    one.process.exchange._turn = hangs  # type: ignore[method-assign]
    one.process.exchange.pause(frozenset())  # it turns now
    assert hanging.wait(5)
    with monkeypatch.context() as impatient:
        impatient.setattr("pykiq.worker.process.STUCK", 0.05)
        wait_until(lambda: not one.process._alive())
        looked()
        heard(manager)
        looked()
        assert heard(manager) == []
    let_go.set()
    wait_until(lambda: "WATCHDOG=1" in heard(manager), what="a sign of life again")
    assert one.stop() == 0
    assert "STOPPING=1" in heard(manager)


def test_an_exchange_that_fails_ends_the_process_with_1(redis: redis_py.Redis, running: Callable[..., Running]) -> None:
    one = running()

    def broken() -> float:
        raise RuntimeError("a bug")

    one.process.exchange._turn = broken  # type: ignore[method-assign]
    one.thread.join(10)
    assert one.code == 1
    assert one.events[-1] == "exit"
    assert redis.exists(one.process.berth.lease), "what it holds is taken over when the lease has run out"
    wait_until(lambda: not [one for one in threads_here() if one.name.startswith("pykiq")])
    push(redis, raw("Job"))
    assert waiting(redis) == [raw("Job")], "no doorbell is left that would take it"


def test_a_server_that_is_away_at_the_start_is_one_clear_error() -> None:
    one = Running(f"redis://:secret@127.0.0.1:{free_port()}/0")
    one.thread.start()
    one.thread.join(10)
    assert isinstance(one.error, StoreError)
    assert "secret" not in str(one.error)
    assert one.events == []


def test_a_port_that_is_taken_is_one_clear_error(redis: redis_py.Redis, redis_url: str, server: Server) -> None:
    one = Running(redis_url, metrics_port=server.port, metrics_host="127.0.0.1")
    one.thread.start()
    one.thread.join(10)
    assert isinstance(one.error, AddressTaken)
    assert "--metrics-port" in str(one.error)


def test_a_start_that_fails_half_way_leaves_no_thread(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise redis_py.ResponseError("MISCONF")

    monkeypatch.setattr("pykiq.worker.pulse.Pulse.start", refused)
    one = Running(redis_url, metrics_port=0, metrics_host="127.0.0.1")
    one.thread.start()
    one.thread.join(10)
    assert one.code == 1
    wait_until(lambda: not [one for one in threads_here() if one.name.startswith("pykiq")])


def test_an_idle_process_hardly_asks_anything(redis: redis_py.Redis, running: Callable[..., Running]) -> None:
    """Blocked, not polling: a waiter per queue for 5 s at a time, the lease, a standing order, and what is due."""
    one = running(queues=["a", "b", "c"])
    wait_until(lambda: redis.info("clients")["blocked_clients"] == 4)

    def commands() -> dict[str, int]:
        stats: dict[str, dict[str, int]] = redis.info("commandstats")
        return {
            name.removeprefix("cmdstat_"): row["calls"]
            for name, row in stats.items()
            if not name.startswith("cmdstat_info")
        }

    before, began = commands(), time.monotonic()
    wait_until(lambda: time.monotonic() - began > 2)
    spent = {name: calls - before.get(name, 0) for name, calls in commands().items()}
    asked = {name: calls for name, calls in spent.items() if calls}
    assert asked.get("evalsha", 0) == 0, asked
    assert sum(asked.values()) <= 30, asked
    assert one.stop() == 0


def test_a_redis_that_forbids_standing_orders_is_told_of_once_and_jobs_are_done(
    redis: redis_py.Redis, redis_url: str
) -> None:
    redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", "~*", "+@all", "-brpop")
    ran: list[int] = []
    try:
        with capture_logs() as lines:
            jobs = registry(Job=ran.append)
            one = Running(redis_url.replace("//", "//narrow:secret@"), jobs, lease_ttl=0.4, sweep_interval=0.1).start()
            push(redis, *(raw("Job", number) for number in range(3)))
            wait_until(lambda: len(ran) == 3, what="the jobs done")
            wait_until(lambda: [line for line in lines if line["event"] == "standing_orders_refused"])
            assert one.stop() == 0
    finally:
        redis.execute_command("ACL", "DELUSER", "narrow")
    assert len([line for line in lines if line["log_level"] == "warning"]) == 1
    assert redis.get("stat:processed") == b"3"


def test_a_child_gives_no_standing_orders_because_its_parent_has_a_keeper(
    redis: redis_py.Redis, redis_url: str
) -> None:
    config = Config.of(redis=redis_url)
    for nonce, orders in ((None, 1), ("0123456789ab", 0)):
        process = Process(config, handlers=registry(Job=lambda: None), hooks=Lifecycle(), embedded=True, nonce=nonce)
        thread = threading.Thread(target=process.run, daemon=True)
        thread.start()
        wait_until(lambda process=process: process.is_answered(), what="a turn")  # type: ignore[misc]
        waiters = [one["cmd"] for one in redis.client_list() if "b" in one["flags"]]
        assert waiters.count("brpop") == orders
        process.command("TERM")
        thread.join(20)


def test_two_processes_share_the_work_and_one_takes_over_from_the_other(
    redis: redis_py.Redis, running: Callable[..., Running]
) -> None:
    first, second = running(sweep_interval=0.5, lease_ttl=1), running(sweep_interval=0.5, lease_ttl=1)
    gone = "gone:1:cccccccccccc"
    redis.hset("pykiq:owners", gone, json.dumps(["default"]))
    redis.lpush(f"pykiq:inflight:{gone}:default", raw("Job"))
    wait_until(lambda: not redis.hexists("pykiq:owners", gone), 15, "the takeover")
    wait_until(lambda: not in_flight(redis))
    assert first.stop() == second.stop() == 0


SCRIPT = """
    import gc, os, signal, sys, threading, time
    from pykiq.config import Config
    from pykiq.jobs.handler import for_function
    from pykiq.jobs.registry import Registry
    from pykiq.worker.process import Process

    def slow():
        while True:
            time.sleep(0.01)

    def astray():
        # As the system does when it picks this thread for a signal to the process.
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    def spared():
        if gc.get_freeze_count():
            os.kill(os.getpid(), signal.SIGTERM)

    handlers = Registry()
    handlers.register(for_function(slow, "Slow", {"retry": True, "queue": "default"}))
    handlers.register(for_function(astray, "Astray", {"retry": True, "queue": "default"}))
    handlers.register(for_function(spared, "Spared", {"retry": True, "queue": "default"}))
    handlers.register(for_function(lambda: None, "Job", {"retry": True, "queue": "default"}))
    sys.exit(Process(Config.of(redis=sys.argv[1], timeout=0.2), handlers=handlers).run())
"""


@pytest.fixture
def child(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(SCRIPT))
    made = subprocess.Popen(
        [sys.executable, str(script), redis_url],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield made
    made.kill()
    made.wait()


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGINT])
def test_a_process_obeys_the_signals_of_the_system(
    redis: redis_py.Redis, child: subprocess.Popen[bytes], last: signal.Signals
) -> None:
    push(redis, raw("Slow"))
    wait_until(lambda: in_flight(redis))
    [identity] = redis.smembers("processes")
    child.send_signal(signal.SIGTTIN)
    child.send_signal(signal.SIGTSTP)
    wait_until(lambda: redis.hget(identity, "quiet") == b"true", what="the dashboard to show it quiet")
    push(redis, raw("Job"))
    child.send_signal(last)
    child.send_signal(signal.SIGTERM)
    assert child.wait(15) == 0
    assert waiting(redis) == [raw("Slow"), raw("Job")]
    assert in_flight(redis) == []


def test_a_signal_that_the_system_hands_to_another_thread_is_heard(
    redis: redis_py.Redis, child: subprocess.Popen[bytes]
) -> None:
    push(redis, raw("Astray"))
    assert child.wait(10) == 0
    assert redis.get("stat:processed") == b"1"


def test_what_is_there_before_the_first_job_is_spared_by_the_garbage_collector(
    redis: redis_py.Redis, child: subprocess.Popen[bytes]
) -> None:
    push(redis, raw("Spared"))
    assert child.wait(10) == 0


def test_a_worker_inside_another_program_leaves_its_garbage_collector_alone(running: Callable[..., Running]) -> None:
    before = gc.get_freeze_count()
    running()
    assert gc.get_freeze_count() == before


def test_a_job_expires_after_it_was_due_and_says_so_instead_of_a_start(
    redis: redis_py.Redis, redis_url: str, running: Callable[..., Running]
) -> None:
    ran: list[str] = []
    with capture_logs() as lines:
        one = running(registry(Job=ran.append), poll_interval=0.1)
        with Client(Config.of(redis=redis_url), redis) as client:
            job = {"class": "Job", "expires_in": 2}
            jids = {
                "late": client.push({**job, "args": ["late"], "at": time.time() + 2.5}),
                "pro": client.push({**job, "args": ["pro"], "expiry": time.time() - 1}),
                "retry": client.push({**job, "args": ["retry"], "expiry": time.time() - 1, "retry_count": 0}),
                "fine": client.push({**job, "args": ["fine"]}),
            }
        wait_until(lambda: "late" in ran, 10, "the job that was due later than it might have waited")
        one.stop()
    assert sorted(ran) == ["fine", "late"]
    told = [(line["event"], line["jid"]) for line in lines if line.get("jid")]
    assert [jid for event, jid in told if event == "expired"] == [jids["pro"], jids["retry"]]
    for name in ("late", "fine"):
        assert [event for event, jid in told if jid == jids[name]] == ["start", "done"]
    assert {event for event, jid in told if jid in (jids["pro"], jids["retry"])} == {"expired"}
    assert redis.get("stat:processed") == b"4"
    assert not redis.exists("dead", "retry")


def test_whatever_goes_to_dead_without_a_failing_handler_is_told_to_everybody(
    redis: redis_py.Redis, redis_url: str
) -> None:
    told: list[tuple[str, str]] = []
    gone, pill = "gone:1:cccccccccccc", raw("Pill")
    redis.hset("pykiq:owners", gone, json.dumps(["default"]))
    redis.lpush(f"pykiq:inflight:{gone}:default", pill)
    counter = f"pykiq:takeovers:{json.loads(pill)['jid']}:{hashlib.sha1(pill).hexdigest()}"
    redis.lpush(counter, f"{time.time()} a:1:x", f"{time.time()} b:1:x")
    redis.zadd("schedule", {b'{"class":"Due","jid":"d","args":{}}': 1})
    redis.zadd("retry", {b"{broken": 1})
    push(redis, b"[1]")
    with capture_logs() as lines:
        one = Running(redis_url, lease_ttl=1, sweep_interval=0.2, poll_interval=0.1)
        one.hooks.death_handler(lambda job, error: told.append((job["class"], type(error).__name__)))
        one.start()
        wait_until(lambda: len(told) == 4, 20, "the burials told")
        one.stop()
    unreadable = [("?", "Unreadable"), ("?", "Unreadable"), ("Due", "Unreadable")]
    assert sorted(told) == [*unreadable, ("Pill", "PoisonPill")]
    assert redis.zcard("dead") == 4
    dead = [line for line in lines if str(line.get("next", "")).startswith("dead") and "class" in line]
    assert sorted((line["event"], line["class"]) for line in dead) == [
        ("poison_pill", "Pill"),
        ("unreadable", "?"),
        ("unreadable", "?"),
        ("unreadable", "Due"),
    ]
    rows = {row.labels: row.total for row in one.process.metrics.tally.take() if row.name == "pykiq_jobs"}
    assert sum(total for (_, _, outcome), total in rows.items() if outcome == "dead") == 4
