"""The bar ends when what it was drawn for ends, whatever ended it and whoever still holds on to it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

import pytest

from pykiq.cli.progress import count, matching, progress

SHOW_CURSOR = "\x1b[?25h\n"  # the last that a bar writes


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def interrupted(number: int) -> bool:
    if number == 3:
        raise KeyboardInterrupt
    return True


def test_an_interruption_while_it_looks_ends_the_bar_though_its_traceback_lives_on() -> None:
    with redirect_stderr(Screen()) as screen:
        try:
            for _ in matching(iter(range(9)), interrupted, 9, "looking"):
                pass
        except KeyboardInterrupt:
            assert screen.getvalue().endswith(SHOW_CURSOR)


def test_an_interruption_of_whoever_looks_ends_the_bar_when_it_is_closed() -> None:
    with redirect_stderr(Screen()) as screen:
        looked = matching(iter(range(1, 9)), bool, 8, "looking")
        try:
            for number in looked:
                interrupted(number)
        except KeyboardInterrupt:
            assert not screen.getvalue().endswith(SHOW_CURSOR)
            looked.close()
            assert screen.getvalue().endswith(SHOW_CURSOR)


def test_counting_ends_the_bar_when_what_is_counted_breaks_off() -> None:
    with redirect_stderr(Screen()) as screen:
        try:
            count(progress((n for n in range(9) if interrupted(n)), 9, "looking"))
        except KeyboardInterrupt:
            assert screen.getvalue().endswith(SHOW_CURSOR)


def test_without_a_label_or_a_terminal_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(matching(range(9), lambda n: n > 6, 9, None)) == [7, 8]
    assert count(progress(range(9), 9, "looking")) == 9
    assert capsys.readouterr().err == ""
