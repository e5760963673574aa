"""The traceback of a failed job, as the log has it."""

from __future__ import annotations

import ast
import linecache
import re
import traceback
from typing import Any

import pytest

from pykiq.observe.joblog import end_line
from pykiq.records import Fate, Outcome, Settled
from pykiq.worker import trace as tracing
from pykiq.worker.trace import FRAMES, LENGTH, trace
from tests.worker.stage import claimed, executor, raw, registry


def ran(function: Any) -> Outcome:
    run = executor(registry(Job=function))
    return run.run(run.assign(claimed(raw("Job"))))  # type: ignore[arg-type]


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_it_begins_in_the_handler_and_shows_what_led_to_the_error() -> None:
    def handler() -> None:
        try:
            {}["missing"]
        except KeyError as error:
            raise ValueError("no such order") from error

    line = end_line(Settled(ran(handler), Fate.RETRY))
    shown = line["exception"].splitlines()
    files = [text for text in shown if text.startswith("  File ")]
    assert len(files) == 2
    assert all(f'File "{__file__}", line ' in file and file.endswith("in handler") for file in files)
    assert shown[-1] == "ValueError: no such order"
    assert "KeyError: 'missing'" in shown
    assert 'raise ValueError("no such order") from error' in line["exception"]


def test_a_job_that_did_not_fail_has_none() -> None:
    assert "exception" not in end_line(Settled(ran(lambda: None), Fate.DONE))


def test_values_of_variables_are_not_in_it() -> None:
    def handler() -> None:
        password = "".join(["se", "cret"])
        raise ValueError(len(password))

    assert "secret" not in ran(handler).trace


def test_a_deep_one_has_its_innermost_frames_and_a_long_one_its_end() -> None:
    def even(n: int, message: str) -> None:  # in turns, so that no line is counted as a repetition
        odd(n - 1, message) if n else raised_here(message)

    def odd(n: int, message: str) -> None:
        even(n - 1, message)

    def raised_here(message: str) -> None:
        raise ValueError(message)

    def shown(depth: int, message: str) -> str:
        with pytest.raises(ValueError, match="end") as caught:
            even(depth, message)
        return trace(caught.value)

    assert shown(100, "the end").count("  File ") == FRAMES
    long = shown(0, "x" * 2 * LENGTH + " the end")
    assert (len(long), long[0], long[-8:]) == (LENGTH + 1, "…", " the end")


def test_an_error_that_cannot_be_asked_is_no_other_error() -> None:
    class Exits(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

    assert trace(raised(Exits())).endswith("Exits: <exception str() failed>")

    class Kind(type):
        @property
        def __module__(cls) -> str:  # type: ignore[override]
            raise SystemExit(3)

    assert trace(raised(Kind("Odd", (Exception,), {})())) == ""


MARKS = r"\n[ |]*[~^]+(?=\n|$)"


def descend(depth: int) -> None:
    if depth == 0:
        raise ValueError("at the bottom")
    descend(depth - 1)


def failed(depth: int) -> ValueError:
    with pytest.raises(ValueError, match="at the bottom") as caught:
        descend(depth)
    return caught.value


def during_another() -> None:
    try:
        descend(1)
    except ValueError:
        {}["missing"]


def from_another() -> None:
    try:
        during_another()
    except KeyError as error:
        error.add_note("looked up in\nan empty one")
        raise RuntimeError("two\nlines") from error


def in_a_group() -> None:
    errors = [failed(2), failed(5), ExceptionGroup("inner", [failed(4)])]
    raise ExceptionGroup("several", errors)


def misspelt() -> None:
    descent  # type: ignore[name-defined]  # noqa: B018, F821


def unreadable() -> None:
    compile("1 +* 2", "template.txt", "exec")


@pytest.mark.parametrize(
    "fails",
    [
        during_another,
        from_another,
        in_a_group,
        misspelt,
        unreadable,
        *(lambda n=n: descend(n) for n in (1, 2, 3, 4, 9)),
    ],
)
def test_it_is_what_python_writes_but_for_the_marks_beneath_the_lines(fails: Any) -> None:
    with pytest.raises(Exception) as caught:
        fails()
    written = "".join(traceback.format_exception(caught.value)).rstrip()
    ours = trace(caught.value)
    if fails is unreadable:  # these marks are of the error's own text
        assert re.search(MARKS, ours)
        ours = re.sub(MARKS, "", ours)
    assert ours == re.sub(MARKS, "", written)


def test_nothing_is_compiled_and_no_source_read_for_jobs_that_fail_where_others_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = trace(failed(10))

    def unexpected(*_: object, **__: object) -> None:
        raise AssertionError("once is enough")

    monkeypatch.setattr(ast, "parse", unexpected)
    monkeypatch.setattr(linecache, "getline", unexpected)
    assert trace(failed(10)) == first
    assert "descend(depth - 1)" in first


def test_a_line_that_could_not_be_read_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_texts", {})
    with monkeypatch.context() as patch:
        patch.setattr(linecache, "getline", lambda *_: "")
        assert "descend(depth - 1)" not in trace(failed(1))
    assert "descend(depth - 1)" in trace(failed(1))


def test_no_more_frames_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MOST_KEPT", 5)
    monkeypatch.setattr(tracing, "_texts", {})
    for number in range(20):
        name = f"made_{number}.py"
        linecache.cache[name] = (20, None, ["raise ValueError()\n"], name)
        with pytest.raises(ValueError) as caught:
            exec(compile("raise ValueError()", name, "exec"))
        assert name in trace(caught.value)
        del linecache.cache[name]
        assert len(tracing._texts) <= 5
