from __future__ import annotations

import io
import json
import logging
import re
import time
from collections.abc import Iterator
from typing import Any, TextIO

import pytest
import structlog

from pykiq import logger
from pykiq.errors import ConfigError
from pykiq.logger import Event, get_logger
from pykiq.observe import log
from pykiq.observe.output import Output


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
    handlers, level, last_resort = list(root.handlers), root.level, logging.lastResort
    yield
    logger.route(None)
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.lastResort = last_resort
    log._current = None


def set_up(format: str, level: str, stream: TextIO) -> Output:
    """What `pykiq run` does, for handlers' modules that configure nothing."""
    output = log.configure(format, level, stream)
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if isinstance(handler, log._Handler)]  # without pytest's
    log.serve_application(output)
    return output


def happens(event: str, level: str = "info", **more: Any) -> Event:
    return {"timestamp": time.time(), "level": level, "event": event, **more}


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_stream_that_is_no_terminal_gets_one_json_object_per_line() -> None:
    stream = io.StringIO()
    log.configure("auto", "info", stream)
    get_logger().info("hello", count=3, name="Zoë")
    (line,) = lines(stream)
    assert list(line) == ["timestamp", "level", "event", "count", "name"]
    assert (line["level"], line["event"], line["count"], line["name"]) == ("info", "hello", 3, "Zoë")
    assert line["timestamp"].endswith("Z")
    assert line["timestamp"][10] == "T"


def test_a_terminal_gets_readable_lines() -> None:
    stream = Terminal()
    log.configure("auto", "info", stream)
    get_logger().warning("hello", count=3)
    assert "hello" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())


def test_pretty_can_be_asked_for_in_a_file_and_has_no_colours_there() -> None:
    stream = io.StringIO()
    log.configure("pretty", "info", stream)
    get_logger().info("hello", count=3)
    assert "count=3" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    output = set_up("json", "warning", stream)
    get_logger().info("quiet")
    logging.getLogger("library").info("quiet")
    get_logger().error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]
    assert not output.wants("pykiq", logging.INFO)
    assert output.wants("pykiq", logging.WARNING)


def test_a_librarys_log_record_looks_like_our_own_lines() -> None:
    stream = io.StringIO()
    set_up("json", "info", stream)
    logging.getLogger("redis.sentinel").warning("no master for %s", "mymaster")
    (line,) = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["level"] == "warning"
    assert line["event"] == "no master for mymaster"
    assert line["logger"] == "redis.sentinel"
    assert line["timestamp"].endswith("Z")


def test_configuring_twice_does_not_write_a_librarys_line_twice() -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up("json", "info", first)
    set_up("json", "info", second)
    logging.getLogger("library").info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


@pytest.mark.parametrize("format", ["json", "pretty"])
def test_an_exception_is_written_with_its_traceback_and_without_local_variables(format: str) -> None:
    stream = io.StringIO()
    set_up(format, "info", stream)
    password = "hunter2-in-a-local"
    try:
        raise ValueError(f"no card for {len(password)}")
    except ValueError:
        get_logger().exception("it broke")
        logging.getLogger("library").exception("it broke there")
    written = stream.getvalue()
    assert written.count("ValueError: no card for 18") == 2
    assert written.count("Traceback (most recent call last)") == 2
    assert "hunter2" not in written


def test_a_jobs_traceback_on_a_terminal_stands_below_its_line_without_escapes_from_its_message() -> None:
    stream = io.StringIO()
    trace = "Traceback (most recent call last):\n  File ...\nValueError: \x1b[2J two\nlines\t\r"
    log.configure("pretty", "info", stream).lines("pykiq", [happens("fail", "error", exception=trace)])
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
    ours = get_logger()
    ours.info("odd", big=2**70, surrogate="a\udcff", when=Rude(), keyed={1: 2})
    ours.info("rude", value=Rude())
    odd, rude = lines(stream)
    assert odd["big"] == 2**70
    assert odd["surrogate"] == "a\udcff"
    assert "its repr raised RuntimeError" in rude["value"]


def test_a_broken_stream_never_raises() -> None:
    output = set_up("json", "info", Broken())
    get_logger().info("lost")
    logging.getLogger("library").error("lost")
    output.lines("pykiq", [happens("lost")])


def test_a_closed_stream_never_raises() -> None:
    stream = io.StringIO()
    output = set_up("json", "info", stream)
    stream.close()
    get_logger().info("lost")
    logging.getLogger("library").error("lost")
    output.lines("pykiq", [happens("lost")])


def test_a_log_record_that_cannot_be_formatted_says_so_and_does_not_raise() -> None:
    stream = io.StringIO()
    set_up("json", "info", stream)
    logging.getLogger("library").info("%d jobs", "not a number")
    assert "library: a log record could not be rendered: TypeError" in stream.getvalue()


def test_a_line_that_cannot_be_rendered_does_not_take_the_others_with_it() -> None:
    def picky(event: dict[str, Any]) -> str:
        if event["event"] == "bad":
            raise ValueError("no")
        return str(event["event"])

    stream = io.StringIO()
    Output(stream, picky, logging.INFO).lines("pykiq", [happens("one"), happens("bad"), happens("two")])
    one, bad, two = stream.getvalue().splitlines()
    assert (one, two) == ("one", "two")
    assert "could not be rendered: ValueError" in bad


def test_an_ascii_stream_gets_escapes_instead_of_an_error() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    log.configure("json", "info", stream)
    get_logger().info("Zoë")
    assert re.search(rb"Zo\\(xeb|u00eb)", raw.getvalue()), "the second is JSON's own, where there is no orjson"


def test_several_lines_are_one_write() -> None:
    stream = Counting()
    output = log.configure("json", "info", stream)
    output.lines("pykiq", [happens(str(number)) for number in range(50)])
    assert stream.writes == 1
    assert [line["event"] for line in lines(stream)] == [str(number) for number in range(50)]


def test_no_lines_are_no_write() -> None:
    stream = Counting()
    log.configure("json", "info", stream).lines("pykiq", [])
    assert stream.writes == 0


def test_a_value_cannot_break_out_of_its_pretty_line() -> None:
    stream = io.StringIO()
    output = log.configure("pretty", "info", stream)
    output.lines("pykiq", [happens("fail", error_message="a\n2026 done\x1b[2J\u202e")])
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "a␊2026 done␛[2J\ufffd" in stream.getvalue()


@pytest.mark.parametrize(
    ("format", "level", "message"),
    [
        ("jsn", "info", "log format 'jsn' is not one of auto, json, pretty; did you mean `json`?"),
        (
            "json",
            "warn",
            "log level 'warn' is not one of debug, info, warning, error, critical; did you mean `warning`?",
        ),
    ],
)
def test_an_unknown_format_or_level_names_the_nearest_one(format: str, level: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        log.configure(format, level, io.StringIO())
    assert str(caught.value) == message
