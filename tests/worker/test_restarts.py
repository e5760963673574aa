"""Back-off: a child that crashes is replaced at once, one that crashes again and again later and later."""

from __future__ import annotations

from pykiq.worker.restarts import LONGEST, STEADY, Restarts


def test_the_first_end_is_followed_at_once_and_later_ones_by_longer_and_longer_rests() -> None:
    restarts = Restarts()
    rests = [restarts.ended(0.1) for _ in range(9)]
    assert rests == [0, 1, 2, 4, 8, 16, LONGEST, LONGEST, LONGEST]


def test_a_child_that_has_lived_long_enough_is_replaced_at_once_again() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.ended(0.1)
    assert restarts.ended(STEADY) == 0
    assert [restarts.ended(0.1) for _ in range(2)] == [1, 2]


def test_asking_changes_nothing_and_thousands_of_ends_do_not_overflow() -> None:
    restarts = Restarts()
    assert [restarts.rest(1), restarts.rest(1)] == [0, 0]
    for _ in range(5000):
        restarts.ended(0.1)
    assert restarts.rest(0.1) == LONGEST
