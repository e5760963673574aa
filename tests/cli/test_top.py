"""`pykiq top`: a frame fits its terminal whatever there is to show, and the command draws one after another."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import redis as redis_py

from pykiq.admin import Process, Work
from pykiq.admin.access import Access
from pykiq.cli.frame import Look, Rates, frame, rates
from pykiq.cli.table import wide
from pykiq.client.sync import Client
from pykiq.config import Config
from pykiq.store.processes import Seen, Working
from pykiq.store.stats import QueueStats, Stats
from tests.admin.conftest import packed
from tests.cli.inside import Command
from tests.cli.terminal import Terminal
from tests.servers import Server, free_port, wait_until

ACCESS = Access(Client(Config.of()))  # never connects
NOW = 1_795_315_631.5


def look(at: float = NOW, *, processed: int = 1000, failed: int = 5, enqueued: int = 40, of_each: int = 2) -> Look:
    queues = tuple(QueueStats(f"queue-{n}", 10 * n, 3.5, n == 1) for n in range(of_each))
    stats = Stats(processed, failed, enqueued, 3, 2, 1, of_each, of_each, 7, 2, queues)
    info = {"queues": ["queue-0"], "tag": "shop", "version": "8.1.7", "started_at": NOW - 4000}
    seen = [Seen(f"web-{n}:{n}:abc", info, 5, 1, NOW - 3, n == 1, 40960, 90) for n in range(of_each)]
    works = [Working(f"web-{n}:{n}:abc", "t", "queue-0", NOW - 100, packed(n)) for n in range(of_each)]
    return Look(at, stats, [Process(ACCESS, one) for one in seen], [Work(ACCESS, one) for one in works])


def test_a_frame_has_totals_rates_queues_processes_and_jobs() -> None:
    lines = frame(look(), Rates(12.5, 0.5, -3.0), width=140, height=30, place="redis://here/0")
    assert lines[:4] == [
        "pykiq top  redis://here/0",
        "processed 1,000 (12.5/s)  failed 5 (0.5/s)",
        "enqueued 40 (-3.0/s)  oldest 3.5 s  retries 3  scheduled 2  dead 1",
        "busy 2 of 10  in flight 7 (2 orphaned)  processes 2  told by 2 processes 3.0 s ago",
    ]
    text = "\n".join(lines)
    assert "queue-1    10    3.5 s  paused" in text
    assert "web-1:1:abc  8.1.7    shop  queue-0   1/5   40 MB  1 h 6 m  3.0 s  quiet" in text
    assert f"1 m 40 s  web-0:0:abc  queue-0  {0:024x}  HardJob  0" in text
    assert lines[-1] == "q quit"


@pytest.mark.parametrize("of_each", [0, 1, 5, 300])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (20, 5), (1, 1)])
def test_a_frame_fits_its_terminal_exactly(of_each: int, width: int, height: int) -> None:
    lines = frame(look(of_each=of_each), Rates(), width=width, height=height, place="redis://here/0")
    assert len(lines) == height
    assert max(map(wide, lines)) <= width


def test_what_does_not_fit_is_counted_and_what_one_table_leaves_the_next_one_gets() -> None:
    lines = frame(look(of_each=100), Rates(), width=120, height=50, place="")
    assert [line for line in lines if "more" in line] == ["… 88 more"] * 3
    few = frame(look(of_each=3), Rates(), width=120, height=50, place="")
    assert not [line for line in few if "more" in line]


def test_an_empty_fleet_says_so() -> None:
    text = frame(look(of_each=0), Rates(), width=80, height=24, place="")
    assert {"no queues", "no processes", "nothing runs"} <= set(text)


def test_rates_are_per_second_between_two_looks_and_never_negative_after_a_reset() -> None:
    before, now = look(NOW - 4), look(NOW, processed=1100, failed=7, enqueued=20)
    assert rates(None, now) == Rates(None, None, None)
    assert rates(before, now) == Rates(25.0, 0.5, -5.0)
    assert rates(now, look(NOW + 4, processed=0, failed=0)) == Rates(0.0, 0.0, 5.0)
    assert rates(now, now) == Rates(None, None, None)


def test_one_frame_can_be_printed_without_a_terminal(redis: redis_py.Redis, command: Command) -> None:
    redis.set("stat:processed", 77)
    ran = command("top", "--once")
    assert ran.code == 0
    assert "processed 77" in ran.out


def test_without_a_terminal_it_is_refused(command: Command) -> None:
    ran = command("top")
    assert ran[:] == (
        2,
        "",
        "pykiq: top draws on a terminal, and this is none; expected --once, or `pykiq stats --json`\n",
    )


@pytest.mark.system
def test_it_draws_on_a_terminal_until_q_is_pressed(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> None:
    redis.set("stat:processed", 41)
    redis.sadd("queues", "low")
    redis.sadd("processes", "web:1:a")
    redis.hset("web:1:a", mapping={"info": json.dumps({"queues": ["low"]}), "busy": 0, "beat": time.time()})
    with Terminal("top", "--interval", "0.2", "--redis", redis_url, cwd=tmp_path) as terminal:
        wait_until(lambda: terminal.shows("processed 41"), 20, "the first frame")
        redis.set("stat:processed", 42)
        wait_until(lambda: terminal.shows("processed 42 ("), 20, "the number after the change, with a rate")
        assert "web:1:a" in terminal.shown
        terminal.press("q")
        wait_until(lambda: terminal.shows("\x1b[?1049l"), 20, "the terminal's own screen")
        assert terminal.process.wait(10) == 0


def killed(terminal: Terminal, number: int) -> int:
    terminal.process.send_signal(number)
    code = terminal.process.wait(10)
    wait_until(lambda: terminal.shows("\x1b[?1049l"), 20, "the terminal's own screen")
    return code


@pytest.mark.system
def test_a_new_size_is_drawn_at_once(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> None:
    with Terminal("top", "--interval", "3600", "--redis", redis_url, cwd=tmp_path) as terminal:
        wait_until(lambda: terminal.shows("q quit"), 20, "the first frame")
        for lines, columns in ((12, 60), (40, 30)):
            terminal.resize(lines, columns)
            wait_until(lambda lines=lines: len(terminal.frame()) == lines, 20, f"a frame of {lines} lines")
        redis.set("stat:processed", 77)
        terminal.press(" ")
        wait_until(lambda: terminal.shows("processed 77"), 20, "another look, for a key was pressed")
        terminal.press("\x03")
        assert terminal.process.wait(10) == 0


@pytest.mark.system
def test_a_redis_that_restarts_is_waited_for(tmp_path: Path) -> None:
    server = Server().start()
    try:
        with Terminal("top", "--interval", "0.2", "--redis", server.url, cwd=tmp_path) as terminal:
            wait_until(lambda: terminal.shows("busy 0 of 0"), 20, "the first frame")
            server.kill()
            wait_until(lambda: terminal.shows("pykiq top  no answer for "), 20, "the word that it is away")
            server.start()
            server.client().set("stat:processed", 78)
            wait_until(lambda: terminal.shows("processed 78"), 20, "what is there after it")
    finally:
        server.stop()


@pytest.mark.system
def test_a_master_that_was_demoted_is_told(tmp_path: Path) -> None:
    server = Server().start()
    try:
        with Terminal("top", "--interval", "0.2", "--redis", server.url, cwd=tmp_path) as terminal:
            wait_until(lambda: terminal.shows("busy 0 of 0"), 20, "the first frame")
            assert not terminal.shows("replica")
            server.client().execute_command("REPLICAOF", "127.0.0.1", free_port())
            wait_until(lambda: terminal.shows("(a replica: what it shows may be old)"), 20, "the word that it is one")
    finally:
        server.stop()


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_it_the_terminal_is_as_it_was(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path, number: int
) -> None:
    with Terminal("top", "--redis", redis_url, cwd=tmp_path) as terminal:
        before = terminal.modes()
        wait_until(lambda: terminal.shows("q quit"), 20, "the first frame")
        assert terminal.modes() != before
        assert killed(terminal, number) == 128 + number
        assert terminal.modes() == before


@pytest.mark.system
def test_in_the_background_it_leaves_the_terminal_to_the_shell(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    with Terminal("top", "--redis", redis_url, cwd=tmp_path) as terminal:
        before = terminal.modes()
        wait_until(lambda: terminal.shows("q quit"), 20, "the first frame")
        terminal.process.send_signal(signal.SIGTSTP)
        wait_until(lambda: terminal.shows("\x1b[?1049l") and terminal.modes() == before, 20, "the shell's terminal")
        terminal.shown = ""
        terminal.process.send_signal(signal.SIGCONT)
        wait_until(lambda: terminal.shows("\x1b[?1049h") and terminal.shows("q quit"), 20, "the other screen again")
