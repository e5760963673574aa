"""One set of metrics and one state of health for all children of a swarm."""

from __future__ import annotations

import time

import pytest
import redis as redis_py

from pykiq.observe.backlog import Backlog
from pykiq.observe.board import ALIVE, DEAD, FREE, Board, Post, Report
from pykiq.observe.heartbeat import STUCK
from pykiq.observe.merged import Merged
from pykiq.observe.tally import JOBS, Tally


class Children:
    """A board with children that the test starts and ends, and what is merged of them."""

    def __init__(self, redis: redis_py.Redis, rows: int = 6) -> None:
        self.board = Board(rows)
        self.merged = Merged(self.board, concurrency=5, backlog=Backlog(lambda: redis, ["low"]))

    def start(self, place: int, *, turned: float = 0.0, **report: object) -> int:
        """A child whose exchange turned `turned` seconds ago. Returns its row."""
        number = self.board.take()
        assert number is not None
        now = time.monotonic()
        self.board.post(number, Post(1000 + number, place, now, f"{number:012x}"))
        self.board.report(number, Report(now - turned, **report))  # type: ignore[arg-type]
        return number

    def scrape(self) -> dict[tuple[str, ...], float]:
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in self.merged.registry.collect()
            for sample in family.samples
        }


@pytest.fixture
def children(redis: redis_py.Redis) -> Children:
    return Children(redis)


def test_a_row_tells_what_was_written_by_parent_and_child(children: Children) -> None:
    number = children.start(3, rss_kb=7, busy=2, in_flight=5, quiet=True, answering=True)
    (row,) = children.board.in_state(ALIVE)
    assert (row.number, row.post.pid, row.post.place, row.post.nonce) == (number, 1000, 3, "000000000000")
    assert (row.report.rss_kb, row.report.busy, row.report.quiet, row.report.answering) == (7, 2, True, True)
    assert (row.report.in_flight, row.report.stopped) == (5, False)


def test_a_row_is_free_again_when_nothing_is_left_to_do_for_its_child(children: Children) -> None:
    numbers = [children.start(0) for _ in range(6)]
    assert numbers == list(range(6))
    assert children.board.take() is None
    children.board.mark(2, DEAD)
    assert children.board.take() is None
    children.board.mark(2, FREE)
    assert children.board.take() == 2


def test_busy_slots_and_memory_are_put_together(children: Children) -> None:
    children.start(0, busy=2, rss_kb=100)
    children.start(1, busy=3, rss_kb=200)
    children.start(1, busy=1, rss_kb=50, quiet=True)  # is being recycled
    children.board.count(crashed=4, recycled=1)
    found = children.scrape()
    gauges = ("up", "quiet", "busy", "concurrency", "children")
    assert [found[(f"pykiq_{name}",)] for name in gauges] == [1, 0, 6, 15, 3]
    assert found["pykiq_child_rss_bytes", "0"] == 102_400
    assert found["pykiq_child_rss_bytes", "1"] == 256_000
    assert found["pykiq_child_ends_total", "crashed"] == 4
    assert found["pykiq_child_ends_total", "recycled"] == 1


def test_what_waits_in_redis_is_told_once(children: Children, redis: redis_py.Redis) -> None:
    redis.lpush("queue:low", "{}")
    children.start(0)
    children.start(1)
    assert children.scrape()["pykiq_queue_size", "low"] == 1


def test_counters_do_not_go_backwards_when_a_child_is_replaced(children: Children) -> None:
    key = ("pykiq_jobs_total", "A", "low", "done")
    number = children.start(0)
    theirs = Tally()
    theirs.counter(JOBS)[key[1:]] = 5
    children.merged.tally.add(theirs.take())
    children.board.mark(number, FREE)
    assert children.scrape()[key] == 5
    children.start(0)
    theirs.counter(JOBS)[key[1:]] = 1
    children.merged.tally.add(theirs.take())
    assert children.scrape()[key] == 6


def test_one_child_that_hangs_makes_the_swarm_not_alive(children: Children) -> None:
    children.start(0)
    number = children.start(1, turned=STUCK + 1)
    assert not children.merged.alive()
    children.board.report(number, Report(time.monotonic()))
    assert children.merged.alive()


def test_a_swarm_without_children_is_alive_only_for_a_moment(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = children.start(0)
    assert children.merged.alive()
    children.board.mark(number, FREE)
    assert children.merged.alive()
    monkeypatch.setattr("pykiq.observe.merged.STUCK", -1.0)
    assert not children.merged.alive()


@pytest.mark.parametrize(
    ("report", "ready"),
    [
        ({"answering": True}, True),
        ({"answering": False}, False),
        ({"answering": True, "quiet": True}, False),
        ({"answering": True, "turned": STUCK + 1}, False),
    ],
)
def test_a_swarm_is_ready_when_one_of_its_children_takes_jobs(
    children: Children, report: dict[str, float], ready: bool
) -> None:
    assert not children.merged.ready()
    children.start(0, quiet=True, answering=True)
    children.start(1, **report)
    assert children.merged.ready() is ready
