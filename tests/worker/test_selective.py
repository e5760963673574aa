"""Selective claiming: walks, windows and rests over a queue that is shared with Ruby."""

from __future__ import annotations

from typing import Any

import pytest

from pykiq.store.claim import WINDOW
from pykiq.worker.selective import PACE, REST, WHOLE_REST, WHOLE_SHARE, Selective
from tests.store.jobs import berth


class Walker:
    """A process on the queue `default`; `look` plays one round trip of `took` seconds."""

    def __init__(self) -> None:
        self.selective = Selective(berth(), lambda: ["Mine"])
        self.selective.found_foreign("default")
        self.now = 100.0

    @property
    def asks(self) -> tuple[bytes, bool]:
        """Behind which entry the next look begins, and whether that is sought from the new end."""
        args: Any = self.selective.call("default", 10, self.now).args
        return args[4], args[5] == 1

    def look(
        self, seen: int, brought: int = 0, *, end: bool = False, left: bytes = b"", room: int = 10, took: float = 0.0
    ) -> None:
        self.selective.call("default", room, self.now)
        self.now += took
        answer = [seen, int(end), left, *([b"{}"] * brought)]
        assert len(self.selective.read("default", answer, room, self.now, 0.0)) == brought

    def wait(self) -> float:
        """Sleep until the next look; how long that was."""
        due = self.selective.next_look()
        assert due is not None
        waited = due - self.now
        self.now = due
        return waited

    @property
    def at_it(self) -> bool:
        return "default" in self.selective


@pytest.fixture
def walker() -> Walker:
    return Walker()


def known(walker: Walker) -> Walker:
    """The same after its first whole walk, which left `b` as the newest entry."""
    walker.look(WINDOW, left=b"a")
    walker.look(7, left=b"b", end=True)
    assert walker.wait() == REST
    return walker


def test_a_queue_is_looked_through_from_the_moment_a_foreign_job_was_found() -> None:
    made = Selective(berth(), lambda: ["Mine"])
    assert made.due(0.0) is None
    assert made.next_look() is None
    made.found_foreign("default")
    assert "default" in made
    assert made.due(0.0) == "default"


def test_finding_another_foreign_job_does_not_start_the_walk_again(walker: Walker) -> None:
    walker.look(WINDOW, left=b"a")
    walker.selective.found_foreign("default")
    assert walker.asks == (b"a", False)


def test_the_next_look_begins_behind_the_newest_entry_that_was_left(walker: Walker) -> None:
    assert walker.asks == (b"", False)
    walker.look(WINDOW, brought=4, left=b"a")
    assert walker.asks == (b"a", False)


def test_a_look_that_filled_the_room_goes_on_at_once_behind_what_it_left(walker: Walker) -> None:
    walker.look(40, brought=3, room=3, left=b"a", took=0.1, end=True)
    assert walker.asks == (b"a", False)
    assert walker.wait() == 0.0


def test_between_two_looks_redis_has_time_for_others(walker: Walker) -> None:
    walker.look(WINDOW, left=b"a", took=0.002)
    assert walker.wait() == pytest.approx(PACE * 0.002)


def test_after_a_whole_walk_only_the_oldest_window_and_what_is_new_are_looked_at(walker: Walker) -> None:
    known(walker)
    assert walker.asks == (b"", False)
    walker.look(WINDOW, left=b"a")
    assert walker.asks == (b"b", True)
    walker.look(2, brought=1, left=b"c", end=True)
    assert walker.wait() == REST
    walker.look(WINDOW, left=b"a")
    assert walker.asks == (b"c", True)


def test_where_nothing_new_has_come_the_end_is_where_it_was(walker: Walker) -> None:
    known(walker)
    for _ in range(3):
        walker.look(WINDOW, left=b"a")
        walker.look(0, end=True)
        walker.wait()
    walker.look(WINDOW, left=b"a")
    assert walker.asks == (b"b", True)


def test_a_whole_walk_comes_again_after_some_seconds(walker: Walker) -> None:
    known(walker)
    ended = walker.now - REST
    while walker.now - ended < WHOLE_REST:
        walker.look(WINDOW, left=b"a")
        walker.look(0, end=True)
        walker.wait()
    walker.look(WINDOW, left=b"a")
    assert walker.asks == (b"a", False)


def test_whole_walks_take_a_bounded_share_of_the_time(walker: Walker) -> None:
    for _ in range(10):
        walker.look(WINDOW, left=b"a", took=0.1)
        walker.wait()
    walker.look(1, left=b"b", end=True)
    ended = walker.now
    walker.wait()
    while True:
        walker.look(WINDOW, left=b"a")
        if not walker.asks[1]:
            break
        walker.look(0, end=True)
        walker.wait()
    assert walker.now - ended >= 10 * 0.1 * WHOLE_SHARE


def test_a_whole_walk_that_met_no_foreign_job_ends_the_looking(walker: Walker) -> None:
    walker.look(3, left=b"a", end=True)  # the walk in which the foreign job was found
    walker.wait()
    walker.look(2, brought=2, end=True)
    assert not walker.at_it


def test_a_short_walk_that_met_none_does_not_for_it_has_not_seen_all(walker: Walker) -> None:
    known(walker)
    walker.look(WINDOW, brought=WINDOW, room=WINDOW + 1)
    walker.look(0, end=True)
    assert walker.at_it


def test_an_empty_queue_ends_it_too(walker: Walker) -> None:
    walker.look(1, left=b"a", end=True)
    walker.wait()
    walker.look(0, end=True)
    assert not walker.at_it


def test_queues_take_turns() -> None:
    made = Selective(berth(), lambda: ["Mine"])
    for queue in ("one", "two"):
        made.found_foreign(queue)
    first = made.due(0.0)
    assert first is not None
    made.call(first, 10, 1.0)
    made.read(first, [WINDOW, 0, b"a"], 10, 1.0, 0.0)
    assert made.due(2.0) not in {first, None}
