from __future__ import annotations

import io
import json
import logging
import re
import select
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from pykiq.errors import ConfigError
from pykiq.observe import log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Counting(io.StringIO):
    """Counts how often it is written to."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """configure() sets process-wide state: put it back for the tests that come after."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    log._current = None


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_stream_that_is_no_terminal_gets_one_json_object_per_line() -> None:
    stream = io.StringIO()
    log.configure("auto", "info", stream)
    structlog.get_logger().info("hello", count=3, name="Zoë")
    (line,) = lines(stream)
    assert list(line) == ["timestamp", "level", "event", "count", "name"]
    assert (line["level"], line["event"], line["count"], line["name"]) == ("info", "hello", 3, "Zoë")
    assert line["timestamp"].endswith("Z")
    assert line["timestamp"][10] == "T"


def test_a_terminal_gets_readable_lines() -> None:
    stream = Terminal()
    log.configure("auto", "info", stream)
    structlog.get_logger().warning("hello", count=3)
    assert "hello" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())


def test_pretty_can_be_asked_for_in_a_file_and_has_no_colours_there() -> None:
    stream = io.StringIO()
    log.configure("pretty", "info", stream)
    structlog.get_logger().info("hello", count=3)
    assert "count=3" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    output = log.configure("json", "warning", stream)
    structlog.get_logger().info("quiet")
    logging.getLogger("library").info("quiet")
    structlog.get_logger().error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]
    assert not output.wants(logging.INFO)
    assert output.wants(logging.WARNING)


def test_a_librarys_log_record_looks_like_our_own_lines() -> None:
    stream = io.StringIO()
    log.configure("json", "info", stream)
    logging.getLogger("redis.sentinel").warning("no master for %s", "mymaster")
    (line,) = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["level"] == "warning"
    assert line["event"] == "no master for mymaster"
    assert line["logger"] == "redis.sentinel"
    assert line["timestamp"].endswith("Z")


def test_configuring_twice_does_not_write_a_librarys_line_twice() -> None:
    first, second = io.StringIO(), io.StringIO()
    log.configure("json", "info", first)
    log.configure("json", "info", second)
    logging.getLogger("library").info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


@pytest.mark.parametrize("format", ["json", "pretty"])
def test_an_exception_is_written_with_its_traceback_and_without_local_variables(format: str) -> None:
    stream = io.StringIO()
    log.configure(format, "info", stream)
    password = "hunter2-in-a-local"
    try:
        raise ValueError(f"no card for {len(password)}")
    except ValueError:
        structlog.get_logger().exception("it broke")
        logging.getLogger("library").exception("it broke there")
    written = stream.getvalue()
    assert written.count("ValueError: no card for 18") == 2
    assert written.count("Traceback (most recent call last)") == 2
    assert "hunter2" not in written


def test_a_jobs_traceback_on_a_terminal_stands_below_its_line_without_escapes_from_its_message() -> None:
    stream = io.StringIO()
    trace = "Traceback (most recent call last):\n  File ...\nValueError: \x1b[2J two\nlines\t\r"
    log.configure("pretty", "info", stream).lines([{"level": "error", "event": "fail", "exception": trace}])
    first, *below = stream.getvalue().splitlines()
    assert "fail" in first
    assert below == [
        "    Traceback (most recent call last):",
        "      File ...",
        "    ValueError: ␛[2J two",
        "    lines␉␍",
    ]


def test_what_json_cannot_say_is_still_one_line_of_json() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    stream = io.StringIO()
    log.configure("json", "info", stream)
    logger = structlog.get_logger()
    logger.info("odd", big=2**70, surrogate="a\udcff", when=Rude(), keyed={1: 2})
    logger.info("rude", value=Rude())
    odd, rude = lines(stream)
    assert odd["big"] == 2**70
    assert odd["surrogate"] == "a\udcff"
    assert "its repr raised RuntimeError" in rude["value"]


def test_a_broken_stream_never_raises() -> None:
    output = log.configure("json", "info", Broken())
    structlog.get_logger().info("lost")
    logging.getLogger("library").error("lost")
    output.lines([{"level": "info", "event": "lost"}])


def test_a_closed_stream_never_raises() -> None:
    stream = io.StringIO()
    output = log.configure("json", "info", stream)
    stream.close()
    structlog.get_logger().info("lost")
    logging.getLogger("library").error("lost")
    output.lines([{"level": "info", "event": "lost"}])


def test_a_log_record_that_cannot_be_formatted_says_so_and_does_not_raise() -> None:
    stream = io.StringIO()
    log.configure("json", "info", stream)
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if isinstance(handler, log._Handler)]  # pytest's raise
    logging.getLogger("library").info("%d jobs", "not a number")
    assert "library: a log record could not be rendered: TypeError" in stream.getvalue()


def test_a_line_that_cannot_be_rendered_does_not_take_the_others_with_it() -> None:
    def picky(event: dict[str, Any]) -> str:
        if event["event"] == "bad":
            raise ValueError("no")
        return str(event["event"])

    stream = io.StringIO()
    log.Output(stream, picky, logging.INFO).lines([{"event": "one"}, {"event": "bad"}, {"event": "two"}])
    one, bad, two = stream.getvalue().splitlines()
    assert (one, two) == ("one", "two")
    assert "could not be rendered: ValueError" in bad


def test_an_ascii_stream_gets_escapes_instead_of_an_error() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    log.configure("json", "info", stream)
    structlog.get_logger().info("Zoë")
    assert re.search(rb"Zo\\(xeb|u00eb)", raw.getvalue()), "the second is JSON's own, where there is no orjson"


def test_several_lines_are_one_write() -> None:
    stream = Counting()
    output = log.configure("json", "info", stream)
    output.lines([{"level": "info", "event": str(number)} for number in range(50)])
    assert stream.writes == 1
    assert [line["event"] for line in lines(stream)] == [str(number) for number in range(50)]


def test_no_lines_are_no_write() -> None:
    stream = Counting()
    log.configure("json", "info", stream).lines([])
    assert stream.writes == 0


def test_a_value_cannot_break_out_of_its_pretty_line() -> None:
    stream = io.StringIO()
    output = log.configure("pretty", "info", stream)
    output.lines([{"level": "info", "event": "fail", "error_message": "a\n2026 done\x1b[2J\u202e"}])
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "a␊2026 done␛[2J\ufffd" in stream.getvalue()


@pytest.mark.parametrize(
    ("format", "level", "message"),
    [
        ("jsn", "info", "log format 'jsn' is not one of auto, json, pretty; did you mean 'json'?"),
        (
            "json",
            "warn",
            "log level 'warn' is not one of debug, info, warning, error, critical; did you mean 'warning'?",
        ),
    ],
)
def test_an_unknown_format_or_level_names_the_nearest_one(format: str, level: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        log.configure(format, level, io.StringIO())
    assert str(caught.value) == message


def test_whole_lines_are_written_at_a_time_where_other_processes_write_too() -> None:
    class Writes(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.written: list[str] = []

        def write(self, text: str) -> int:
            self.written.append(text)
            return len(text)

    stream = Writes()
    output = log.configure("json", stream=stream)
    lines = [{"level": "info", "event": "done", "jid": f"{number:03}", "name": "ü" * 300} for number in range(40)]
    output.lines(lines)
    log.share()
    output.lines(lines)
    together, *pieces = stream.written
    assert len(pieces) > 1
    assert all(piece.endswith("\n") and len(piece.encode()) <= select.PIPE_BUF for piece in pieces)
    assert [json.loads(line)["jid"] for line in "".join(pieces).splitlines()] == [line["jid"] for line in lines]
    assert len("".join(pieces)) == len(together)


def test_a_line_longer_than_a_pipe_takes_at_once_is_written_nonetheless() -> None:
    stream = io.StringIO()
    output = log.configure("json", stream=stream)
    log.share()
    output.lines([{"level": "info", "event": "x" * 10_000}, {"level": "info", "event": "y"}])
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["x" * 10_000, "y"]
