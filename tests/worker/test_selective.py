"""Selective claiming: walks, windows and rests over a queue that is shared with Ruby."""

from __future__ import annotations

from typing import Any

import pytest

from pykiq.records import Foreign
from pykiq.store.claim import WINDOW
from pykiq.worker.selective import MOST_CLASSES, PACE, REST, SHARE, WHOLE_REST, Selective
from tests.store.jobs import berth


class Walker:
    """A process on the queue `default`; `look` plays one round trip of `took` seconds."""

    def __init__(self) -> None:
        self.selective = Selective(berth(), lambda: ["Mine"])
        self.selective.found_foreign("default", "Ruby")
        self.now = 100.0

    @property
    def asks(self) -> tuple[bytes, int, int]:
        """Behind which entry the next look begins, where that was, and whether that was long ago."""
        args: Any = self.selective.call("default", 10, self.now).args
        return args[4], args[5], args[6]

    def look(
        self,
        left: dict[bytes, int] | None = None,
        brought: int = 0,
        *,
        end: bool = False,
        newest: bytes = b"",
        place: int = 0,
        room: int = 10,
        took: float = 0.0,
    ) -> None:
        self.selective.call("default", room, self.now)
        self.now += took
        told = [item for pair in (left or {}).items() for item in pair]
        answer = [sum((left or {}).values()) + brought, int(end), newest, place, told, [b"{}"] * brought]
        assert len(self.selective.read("default", answer, room, self.now, 0.0)) == brought

    def window(self, **more: Any) -> None:
        """A look at a window full of foreign jobs."""
        self.look({b"Ruby": WINDOW}, newest=b"a", place=WINDOW, **more)

    def nothing_new(self, **more: Any) -> None:
        """A look behind the newest entry known, with nothing there."""
        self.look(end=True, place=WINDOW + 7, **more)

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
    walker.window()
    walker.look({b"Ruby": 7}, newest=b"b", place=WINDOW + 7, end=True)
    walker.wait()
    walker.selective.take_met()
    return walker


def test_a_queue_is_looked_through_from_the_moment_a_foreign_job_was_found() -> None:
    made = Selective(berth(), lambda: ["Mine"])
    assert made.due(0.0) is None
    assert made.next_look() is None
    made.found_foreign("default", "Ruby")
    assert "default" in made
    assert made.due(0.0) == "default"


def test_finding_another_foreign_job_does_not_start_the_walk_again(walker: Walker) -> None:
    walker.window()
    walker.selective.found_foreign("default", "Ruby")
    assert walker.asks == (b"a", WINDOW, 0)


def test_the_next_look_begins_behind_the_newest_entry_that_was_left(walker: Walker) -> None:
    assert walker.asks == (b"", 0, 0)
    walker.look({b"Ruby": 296}, brought=4, newest=b"a", place=296)
    assert walker.asks == (b"a", 296, 0)
    walker.look({}, brought=3, place=296)
    assert walker.asks == (b"a", 296, 0), "it left nothing"


def test_a_look_that_filled_the_room_goes_on_at_once_behind_what_it_left(walker: Walker) -> None:
    walker.look({b"Ruby": 37}, brought=3, room=3, newest=b"a", place=37, took=0.1, end=True)
    assert walker.asks == (b"a", 37, 0)
    assert walker.wait() == 0.0


def test_between_two_looks_redis_has_time_for_others(walker: Walker) -> None:
    walker.window(took=0.002)
    assert walker.wait() == pytest.approx(PACE * 0.002)


def test_the_more_of_what_a_look_saw_was_ours_the_sooner_comes_the_next(walker: Walker) -> None:
    walker.look({b"Ruby": 75}, brought=225, room=500, newest=b"a", place=75, took=0.002)
    assert walker.wait() == pytest.approx(PACE * 0.002 / 4)


def test_after_a_whole_walk_only_the_oldest_window_and_what_is_new_are_looked_at(walker: Walker) -> None:
    known(walker)
    assert walker.asks == (b"", 0, 0)
    walker.window()
    assert walker.asks == (b"b", WINDOW + 7, 1)
    walker.look({b"Ruby": 1}, brought=1, newest=b"c", place=WINDOW + 8, end=True)
    walker.wait()
    walker.window()
    assert walker.asks == (b"c", WINDOW + 8, 1)


def test_where_nothing_new_has_come_the_end_is_where_it_was(walker: Walker) -> None:
    known(walker)
    for _ in range(3):
        walker.window()
        walker.nothing_new()
        walker.wait()
    walker.window()
    assert walker.asks == (b"b", WINDOW + 7, 1)


@pytest.mark.parametrize(("took", "rest"), [(0.0, REST[0]), (0.002, 2 * 0.002 * SHARE), (0.1, REST[1])])
def test_the_rest_between_two_short_walks_is_a_share_of_what_the_last_one_took(
    walker: Walker, took: float, rest: float
) -> None:
    known(walker)
    walker.window(took=took)
    walker.nothing_new(took=took)
    assert walker.wait() == pytest.approx(rest)


def walk_until_whole(walker: Walker) -> None:
    """Short walks until a whole one has begun."""
    while True:
        walker.window()
        if not walker.asks[2]:
            return
        walker.nothing_new()
        walker.wait()


def test_a_whole_walk_comes_again_after_some_seconds(walker: Walker) -> None:
    known(walker)
    begun = walker.now
    walk_until_whole(walker)
    assert walker.asks == (b"a", WINDOW, 0)
    assert WHOLE_REST - 1 <= walker.now - begun <= WHOLE_REST + 1


def test_whole_walks_take_a_bounded_share_of_the_time(walker: Walker) -> None:
    for _ in range(10):
        walker.window(took=0.1)
        walker.wait()
    walker.look({b"Ruby": 1}, newest=b"b", end=True)
    ended = walker.now
    walker.wait()
    walk_until_whole(walker)
    assert walker.now - ended >= 10 * 0.1 * SHARE


def test_what_comes_during_a_whole_walk_is_new_to_the_next_short_one(walker: Walker) -> None:
    known(walker)
    walk_until_whole(walker)
    walker.look({b"Ruby": 9}, newest=b"z", place=WINDOW + 9, end=True)
    walker.wait()
    walker.window()
    assert walker.asks == (b"b", WINDOW + 7, 1)


def test_a_whole_walk_that_met_no_foreign_job_ends_the_looking(walker: Walker) -> None:
    walker.look({}, brought=2, end=True)  # Ruby has taken the one that was found
    assert not walker.at_it


def test_an_oldest_window_that_is_the_whole_queue_and_has_no_foreign_job_ends_it_too(walker: Walker) -> None:
    walker.look({b"Ruby": 1}, newest=b"a", place=1, end=True)
    walker.wait()
    walker.look({}, brought=2, end=True)
    assert not walker.at_it


def test_a_short_walk_that_met_none_does_not_for_it_has_not_seen_all(walker: Walker) -> None:
    known(walker)
    walker.look({}, brought=WINDOW, room=WINDOW + 1)
    walker.nothing_new()
    assert walker.at_it


def test_an_empty_queue_ends_it(walker: Walker) -> None:
    walker.look({b"Ruby": 1}, newest=b"a", place=1, end=True)
    walker.wait()
    walker.look(end=True)
    assert not walker.at_it


def test_every_foreign_job_is_new_once_also_those_that_were_handed_back(walker: Walker) -> None:
    walker.selective.found_foreign("default", "Ruby")  # two have been claimed, told of and put back
    walker.window()
    walker.look({b"Ruby": 7, b"Other": 1}, newest=b"b", place=WINDOW + 8, end=True)
    everything = {"Ruby": WINDOW + 7, "Other": 1}
    assert walker.selective.take_met() == [Foreign("default", everything, {"Ruby": WINDOW + 5, "Other": 1})]
    assert walker.selective.take_met() == []

    walker.wait()
    walker.window()
    walker.look({b"Ruby": 3}, newest=b"c", place=WINDOW + 11, end=True)
    assert walker.selective.take_met() == [Foreign("default", {"Ruby": 3}, {"Ruby": 3})]

    walker.wait()
    walk_until_whole(walker)
    assert walker.selective.take_met() == []
    walker.look({b"Ruby": 10}, newest=b"c", place=WINDOW + 11, end=True)
    assert walker.selective.take_met() == [Foreign("default", {"Ruby": WINDOW + 10}, {})]


def test_names_of_classes_do_not_fill_the_memory(walker: Walker) -> None:
    for start in range(0, 5 * WINDOW, WINDOW):
        walker.look({str(n).encode(): 1 for n in range(start, start + WINDOW)}, newest=b"a", place=start + WINDOW)
    walker.look({b"last": 1}, newest=b"b", end=True)
    (met,) = walker.selective.take_met()
    assert len(met.jobs) < MOST_CLASSES + WINDOW


def test_queues_take_turns() -> None:
    made = Selective(berth(), lambda: ["Mine"])
    for queue in ("one", "two"):
        made.found_foreign(queue, "Ruby")
    first = made.due(0.0)
    assert first is not None
    made.call(first, 10, 1.0)
    made.read(first, [WINDOW, 0, b"a", WINDOW, [b"Ruby", WINDOW], []], 10, 1.0, 0.0)
    assert made.due(2.0) not in {first, None}
