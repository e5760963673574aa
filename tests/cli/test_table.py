"""Tables line up whatever is in them, and lengths of time read as people say them."""

from __future__ import annotations

import pytest

from pykiq.cli.output import printable
from pykiq.cli.table import PIPE_WIDTH, Column, counted, cut, output_width, span, table, wide

COLUMNS = (Column("name", soft=True), Column("size", right=True), Column("note", soft=True))


def test_columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() -> None:
    assert table(COLUMNS, [["a", "1", "x"], ["longer", "1,000", ""]], None).splitlines() == [
        "name     size  note",
        "a           1  x",
        "longer  1,000",
    ]


def test_wide_characters_take_two_columns() -> None:
    lines = table(COLUMNS, [["日本", "1", "x"], ["ab", "2", "e\u0301"]], None).splitlines()
    assert lines[1] == "日本     1  x"
    assert lines[2] == "ab       2  e\u0301"
    assert (wide("日本"), wide("e\u0301"), wide("")) == (4, 1, 0)


def test_a_narrow_terminal_cuts_the_longest_column_first_and_never_a_number() -> None:
    lines = table(COLUMNS, [["n" * 30, "123,456,789", "e" * 50]], 50).splitlines()
    assert [len(line) for line in lines[1:]] == [50]
    assert "123,456,789" in lines[1]
    assert lines[1].count("…") == 2
    assert "1" * 40 in table((Column("x"),), [["1" * 40]], 10)


def test_of_a_name_with_a_namespace_the_end_is_kept() -> None:
    columns = (Column("class", soft=True, tail=True), Column("jid"))
    assert table(columns, [["Billing::Invoices::ChargeJob", "1234"]], 18).splitlines() == [
        "class         jid",
        "…::ChargeJob  1234",
    ]
    assert table(columns, [["短い::仕事です", "1"]], 13).splitlines()[1] == "…事です   1"


def test_what_a_terminal_would_obey_is_shown_instead() -> None:
    assert printable("\x1b[31mred\x07\nline\u202e\udcff") == "\\x1b[31mred\\x07 line\\u202e\\xff"
    assert "\x1b" not in table((Column("x"),), [["\x1b]0;title\x07"]], None)


def test_a_cut_text_ends_in_an_ellipsis() -> None:
    assert (cut("abc", 3), cut("abcd", 3), cut("日本語", 4)) == ("abc", "ab…", "日…")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (59, "59 s"), (60, "1 m"), (200, "3 m 20 s"), (7320, "2 h 2 m"), (90000, "1 d 1 h"),
     (86400 * 40, "40 d"), (-30, "-30 s")],
)  # fmt: skip
def test_a_length_of_time_is_told_in_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_count_has_its_noun() -> None:
    assert [counted(1, "job"), counted(0, "job"), counted(2000, "process")] == ["1 job", "0 jobs", "2,000 processes"]


def test_one_cell_of_megabytes_makes_no_row_of_megabytes_and_takes_no_time() -> None:
    lines = table(COLUMNS, [["n", "1", "e" * 3_000_000], ["m", "2", "x"]], 300).splitlines()
    assert max(map(len, lines)) == 300


def test_a_pipe_has_a_width_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.__stdout__", None)  # no terminal, whatever runs the tests
    assert output_width() == PIPE_WIDTH
    monkeypatch.setenv("COLUMNS", "77")
    assert output_width() == 77
