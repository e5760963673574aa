"""The look-ahead: what a few round trips finish, nothing for slow jobs, and never more than what soon has its turn."""

from __future__ import annotations

from pykiq.worker.lookahead import BYTES, LONGEST, MOST, OVERDUE, QUICK, Lookahead
from tests.worker.turns import computing


def measured(
    elapsed: float, finished: int, trip: float = 0.001, turns: int = 200, period: float = 0.001, size: float = 200
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
    made.measured(0.201, 20, 0.0004, 0.001, 200)
    assert made.jobs == 0
    for turn in range(202, 400):
        made.measured(turn * 0.001, 20, 0.0004, 0.001, 200)
    assert 70 <= made.jobs <= 82


def test_a_turn_without_an_end_changes_nothing_but_the_trip() -> None:
    made = measured(elapsed=0.00002, finished=20)
    before = made.jobs
    made.measured(5.0, 0, 0.0, 0.001, 200)
    assert made.jobs == before


def test_jobs_that_compute_are_no_multitude_because_turns_wait_for_the_interpreters_lock() -> None:
    """A recording: ten jobs at a time, trips of 0.1 ms and of 260, jobs that end while a turn waits."""
    made, most = Lookahead(), 0
    for end, finished, elapsed, trip in computing():
        made.measured(end, finished, elapsed, trip, 200)
        most = max(most, made.jobs)
    assert 0 < most < 10


def test_what_ends_at_once_is_counted_over_the_time_it_took() -> None:
    """Eight jobs every 40 ms, told of in eight turns right after each other, are 200 a second."""
    made = Lookahead()
    for burst in range(1, 20):
        for turn in range(8):
            made.measured(burst * 0.04 + turn * 0.0001, 1, 0.004, 0.02 if turn == 0 else 0.0001, 200)
            assert made.jobs < 10


def test_no_op_jobs_reach_hundreds_within_a_tenth_of_a_second() -> None:
    """80,000 a second, as many as a worker does, in turns of 4 ms."""
    made = Lookahead()
    for turn in range(1, 26):
        made.measured(turn * 0.005, 400, 400 * 0.000002, 0.004, 200)
    assert 800 < made.jobs <= MOST


def test_long_turns_make_it_no_longer_than_a_bound_in_time() -> None:
    """Where the turn waits for the interpreter's lock a trip seems long: what Redis takes is the quickest."""
    made = Lookahead()
    for turn in range(1, 200):
        made.measured(turn * 0.05, 50, 50 * 0.001, 0.0003 if turn % 20 == 0 else 0.045, 200)
    assert made.jobs <= 1000 * LONGEST + 1


def test_a_slow_link_has_four_trips_of_it() -> None:
    """Trips that are all slow are the link's own: 20 ms each way to a Redis far away."""
    made = measured(elapsed=0.001, finished=40, trip=0.04, turns=600, period=0.04)
    assert 150 <= made.jobs <= 165  # 1,000 a second, 160 ms
    assert made.patience > OVERDUE * LONGEST


def test_a_link_that_is_mostly_twice_as_slow_as_at_its_best_keeps_slots_busy_for_three_trips() -> None:
    """With less than that the look-ahead shrinks, and the rate with it, and the look-ahead with that."""
    made = Lookahead()
    for turn in range(1, 400):
        made.measured(turn * 0.012, 60, 60 * 0.0011, 0.006 if turn % 20 == 0 else 0.012, 200)
    assert made.jobs >= 5000 * 3 * 0.012


def test_after_idleness_it_grows_from_nothing() -> None:
    made = measured(elapsed=0.00002, finished=20)
    made.measured(60.0, 1, 0.00002, 0.001, 200)
    assert made.jobs == 1


def test_more_than_soon_has_its_turn_is_too_many() -> None:
    made = measured(elapsed=0.001, finished=1)  # 1,000 a second
    soon = int(1000 * OVERDUE * LONGEST)
    assert not made.too_many(soon - 5)
    assert made.too_many(soon + 5)


def test_one_slow_turn_makes_nothing_too_many_but_two_do() -> None:
    """In the first the whole process may have stood still."""
    made = measured(elapsed=0.001, finished=1)
    made.measured(1.201, 1, 0.001, 0.001, 200)
    assert made.jobs == 1
    assert not made.too_many(40)
    made.measured(2.201, 1, 0.001, 0.001, 200)
    assert made.too_many(40)


def test_after_a_stall_nothing_need_wait() -> None:
    made = measured(elapsed=0.001, finished=1)
    soon = int(1000 * OVERDUE * LONGEST)
    made.stalled()
    assert made.too_many(soon)
