"""The traceback of a failed job, as the log has it."""

from __future__ import annotations

from typing import Any

import pytest

from pykiq.observe.joblog import end_line
from pykiq.records import Fate, Outcome, Settled
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
