"""Selective claiming: passes, windows and rests over a queue that is shared with Ruby."""

from __future__ import annotations

from pykiq.store.claim import WINDOW
from pykiq.worker.selective import REST, Selective
from tests.store.jobs import berth


def selective() -> Selective:
    made = Selective(berth(), lambda: ["Mine"])
    made.found_foreign("default")
    return made


def looked(made: Selective, seen: int, brought: int = 0, room: int = 10, now: float = 100.0) -> None:
    made.read("default", [seen, *([b"{}"] * brought)], room, now, 0.0)


def skipped(made: Selective) -> int:
    return int(made.call("default", 10).args[4])


def test_a_queue_is_looked_through_from_the_moment_a_foreign_job_was_found() -> None:
    made = Selective(berth(), lambda: ["Mine"])
    assert made.due(0.0) is None
    assert made.next_look() is None
    made.found_foreign("default")
    assert "default" in made
    assert made.due(0.0) == "default"


def test_finding_another_foreign_job_does_not_start_the_pass_again() -> None:
    made = selective()
    looked(made, WINDOW)
    made.found_foreign("default")
    assert skipped(made) == WINDOW


def test_the_next_look_goes_on_behind_what_was_left() -> None:
    made = selective()
    looked(made, WINDOW, brought=4)
    assert skipped(made) == WINDOW - 4
    assert made.due(100.0) == "default", "at once"


def test_a_look_that_filled_the_room_is_repeated_at_the_same_place() -> None:
    made = selective()
    looked(made, WINDOW, brought=3, room=3)
    assert skipped(made) == 0
    assert made.due(100.0) == "default"


def test_a_pass_that_met_foreign_jobs_rests_and_begins_anew() -> None:
    made = selective()
    looked(made, WINDOW)
    looked(made, 7)
    assert skipped(made) == 0
    assert made.due(100.0) is None
    assert made.next_look() == 100.0 + REST
    assert made.due(100.0 + REST) == "default"


def test_a_pass_that_met_none_ends_the_looking() -> None:
    made = selective()
    looked(made, 3)  # the pass in which the foreign job was found
    looked(made, 2, brought=2, now=101.0)
    assert "default" not in made


def test_an_empty_queue_ends_it_too() -> None:
    made = selective()
    looked(made, 1)
    looked(made, 0)
    assert "default" not in made


def test_queues_take_turns() -> None:
    made = selective()
    made.found_foreign("other")
    first = made.due(0.0)
    assert first is not None
    made.read(first, [WINDOW], 10, 1.0, 0.0)
    assert made.due(2.0) not in {first, None}
