"""The look-ahead: what a few round trips finish, and nothing for slow jobs."""

from __future__ import annotations

from pykiq.worker.lookahead import BYTES, MOST, QUICK, Lookahead


def measured(
    elapsed: float, finished: int, trip: float = 0.001, turns: int = 100, period: float = 0.001, size: float = 200
) -> Lookahead:
    made = Lookahead()
    for turn in range(1, turns + 1):
        made.measured(turn * period, finished, elapsed * finished, trip, size)
    return made


def test_nothing_is_known_at_first() -> None:
    assert Lookahead().jobs == 0


def test_quick_jobs_make_it_what_four_round_trips_finish() -> None:
    made = measured(elapsed=0.00002, finished=20)
    assert 70 <= made.jobs <= 82  # 20 per millisecond, four milliseconds


def test_jobs_slower_than_two_round_trips_have_none_unless_they_are_quick_all_the_same() -> None:
    assert measured(elapsed=2 * QUICK, finished=10).jobs == 0
    assert measured(elapsed=2 * QUICK, finished=10, trip=0.05, period=0.05).jobs > 0
    assert 0 < measured(elapsed=QUICK / 2, finished=10, period=QUICK / 2).jobs < 20


def test_it_has_a_limit() -> None:
    assert measured(elapsed=1e-7, finished=100_000).jobs == MOST


def test_large_jobs_fill_a_bounded_memory() -> None:
    assert measured(elapsed=1e-7, finished=100_000, size=BYTES / 20).jobs == 20
    assert measured(elapsed=1e-7, finished=100_000, size=BYTES + 1).jobs == 0
    assert measured(elapsed=0.00002, finished=20, size=BYTES / 400).jobs < 90, "and less when less is finished"


def test_one_stall_ends_it_until_jobs_are_quick_again() -> None:
    made = measured(elapsed=0.00002, finished=20)
    made.stalled()
    assert made.jobs == 0
    made.measured(10.0, 20, 0.0004, 0.001, 200)
    assert made.jobs == 0


def test_a_turn_without_an_end_changes_nothing_but_the_trip() -> None:
    made = measured(elapsed=0.00002, finished=20)
    before = made.jobs
    made.measured(5.0, 0, 0.0, 0.001, 200)
    assert made.jobs == before
