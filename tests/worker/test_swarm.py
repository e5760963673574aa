"""What a parent decides, without a fork; tests/chaos has the real children."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pykiq.config import Config
from pykiq.errors import AddressTaken
from pykiq.observe.board import ALIVE, Post, Report
from pykiq.observe.heartbeat import STUCK
from pykiq.observe.systemd import Systemd
from pykiq.worker.swarm import Child, Swarm
from tests.logs import capture_logs
from tests.servers import Server, heard


@pytest.fixture
def swarm() -> Iterator[Callable[..., Swarm]]:
    made: list[Swarm] = []

    def make(**settings: Any) -> Swarm:
        made.append(Swarm(Config.of(**settings)))
        return made[-1]

    yield make
    for one in made:
        one._tether.close()


def child(parent: Swarm, place: int = 0, lived: float = 0.0, **report: Any) -> Child:
    """A child that the parent has, as far as it and the board know."""
    row = parent._board.take()
    assert row is not None
    started = time.monotonic() - lived
    parent._board.post(row, Post(2**22 + row, place, started, "0" * 12))
    parent._board.report(row, Report(time.monotonic(), **report))
    made = Child(2**22 + row, row, parent._places[place], started)
    parent._children.append(made)
    return made


def is_too_big(parent: Swarm, one: Child) -> bool:
    return parent._is_too_big(one, time.monotonic(), parent._board.row(one.row).report)


def test_memory_above_the_limit_is_too_much_and_a_limit_alone_means_one_child(swarm: Callable[..., Swarm]) -> None:
    parent = swarm(max_rss=100)
    assert len(parent._places) == 1
    one = child(parent, rss_kb=100 * 1024)
    assert not is_too_big(parent, one)
    parent._board.report(one.row, Report(time.monotonic(), rss_kb=100 * 1024 + 4))
    assert is_too_big(parent, one)


def test_without_a_limit_no_child_is_too_big(swarm: Callable[..., Swarm]) -> None:
    parent = swarm(processes=1)
    assert not is_too_big(parent, child(parent, rss_kb=10**9))


def test_a_limit_that_every_child_exceeds_at_once_does_not_replace_them_in_a_hurry(
    swarm: Callable[..., Swarm],
) -> None:
    parent = swarm(max_rss=1)
    for _ in range(4):
        parent._places[0].restarts.ended(0.5)
    assert not is_too_big(parent, child(parent, rss_kb=9999, lived=7.0))
    assert is_too_big(parent, child(parent, rss_kb=9999, lived=9.0))


def test_one_child_of_a_place_is_replaced_at_a_time_for_its_size(swarm: Callable[..., Swarm]) -> None:
    parent = swarm(processes=2, max_rss=1)
    child(parent, 0, rss_kb=9999).recycling = True
    assert not is_too_big(parent, child(parent, 0, rss_kb=9999))
    assert is_too_big(parent, child(parent, 1, rss_kb=9999))


def test_a_quiet_swarm_replaces_nobody_for_its_size(swarm: Callable[..., Swarm]) -> None:
    parent = swarm(max_rss=1)
    parent._quiet = True
    assert not is_too_big(parent, child(parent, rss_kb=9999))


def test_a_child_that_ends_with_zero_without_having_stopped_has_crashed(swarm: Callable[..., Swarm]) -> None:
    """A handler called os._exit(0): its jobs are in flight."""
    parent = swarm(processes=2)
    for one in (child(parent, 0), child(parent, 1, stopped=True)):
        one.place.due = None
        parent._children.remove(one)
        parent._account(one, 0)
    assert parent._board.totals() == (1, 0)
    assert parent._places[0].due is not None
    assert parent._places[1].due is None
    assert not any(parent._board.in_state(ALIVE))


def test_threads_that_no_child_will_have_are_told_of(swarm: Callable[..., Swarm]) -> None:
    let_go = threading.Event()
    thread = threading.Thread(target=let_go.wait, args=(10,), name="of-a-module", daemon=True)
    thread.start()
    with capture_logs() as lines:
        swarm(processes=1)._announce()
    let_go.set()
    thread.join()
    (told,) = [line for line in lines if line["event"] == "threads_before_fork"]
    assert "of-a-module" in told["threads"]


def test_a_metrics_port_that_is_taken_is_refused_before_anything_is_forked(server: Server) -> None:
    with pytest.raises(AddressTaken, match="--metrics-port"):
        Swarm(Config.of(processes=1, metrics_port=server.port, metrics_host="127.0.0.1"))


def test_the_watchdog_hears_nothing_while_a_child_hangs(manager: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1"}
    parent = Swarm(Config.of(processes=2), systemd=Systemd(environ))
    one, other = child(parent, 0), child(parent, 1)

    def told(turned: float, *, answering: bool = True) -> list[str]:
        parent._board.report(one.row, Report(time.monotonic() - turned, answering=answering))
        for each in (one, other):
            parent._look_at(each)
        parent._tell_systemd()
        return heard(manager)

    assert told(0.0, answering=False) == ["WATCHDOG=1"], "nobody takes jobs yet"
    assert told(0.0) == ["READY=1", "WATCHDOG=1"]
    assert told(STUCK + 1) == []
    assert told(0.0) == ["WATCHDOG=1"]
    parent._stopping = True
    assert told(0.0) == ["STOPPING=1", "WATCHDOG=1"]
    parent._tether.close()
