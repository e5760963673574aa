"""What ties a swarm together, with all of its ends in one process."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import pytest

from pykiq.worker.tether import Tether


@pytest.fixture
def tether() -> Iterator[Tether]:
    made = Tether()
    yield made
    made.close()


def readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_the_end_of_the_parent_is_read_and_nothing_before_it(tether: Tether) -> None:
    assert not readable(tether.life)
    tether.let_go()
    assert readable(tether.life)
    assert os.read(tether.life, 1) == b""


def test_a_bell_that_nobody_hears_does_not_hold_the_parent_up(tether: Tether) -> None:
    for _ in range(100_000):
        tether.ring()
    assert readable(tether.bell)


def test_reports_arrive_whole_and_in_order_and_a_full_line_is_an_error(tether: Tether) -> None:
    assert tether.heard() is None
    tether.report(b"one")
    tether.report(b"two" * 20_000)
    assert [tether.heard(), tether.heard(), tether.heard()] == [b"one", b"two" * 20_000, None]
    full = False
    while not full:
        try:
            tether.report(b"again")
        except OSError:
            full = True
