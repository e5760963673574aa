"""Signals heard one by one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from pykiq.worker.ears import HEARD, Ears


@pytest.fixture
def ears() -> Iterator[Ears]:
    before = {number: signal.getsignal(number) for number in HEARD}
    made = Ears()
    yield made
    made.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_every_signal_is_heard_by_its_number(ears: Ears) -> None:
    for number in (signal.SIGTERM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGINT, signal.SIGCHLD):
        os.kill(os.getpid(), number)
        assert list(ears.wait(5.0)) == [number]


def test_silence_ends_the_waiting_in_time(ears: Ears) -> None:
    began = time.monotonic()
    assert ears.wait(0.01) == b""
    assert time.monotonic() - began < 5


def test_a_process_that_was_forked_hears_no_more(ears: Ears) -> None:
    ears.close()
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    os.kill(os.getpid(), signal.SIGTERM)  # nobody is there to write to a closed socket
