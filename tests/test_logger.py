"""pykiq's loggers: nobody else's configuration changes them, and without a worker's output they are `logging`'s."""

from __future__ import annotations

import io
import logging
import logging.config
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from pykiq import logger
from pykiq.logger import get_logger
from tests.logs import capture_logs


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Through `logging`, whatever another test has left; and `logging` as it was afterwards."""
    before = logger.sink()
    logger.route(None)
    yield
    logger.route(before)
    structlog.reset_defaults()
    for name in ("pykiq", "pykiq.jobs"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    kept: list[logging.LogRecord] = []
    handler, ours = logging.Handler(), logging.getLogger("pykiq")
    handler.emit = kept.append  # type: ignore[method-assign]
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    yield kept
    ours.removeHandler(handler)


def test_a_line_is_a_record_with_its_values_in_the_message_and_as_a_dict(records: list[logging.LogRecord]) -> None:
    get_logger("pykiq.jobs").warning("fail", **{"class": "Charge", "error_message": "no card\nat all", "attempt": 2})
    (record,) = records
    assert (record.name, record.levelname) == ("pykiq.jobs", "WARNING")
    assert record.getMessage() == "fail class=Charge error_message='no card\\nat all' attempt=2"
    expected = {"event": "fail", "class": "Charge", "error_message": "no card\nat all", "attempt": 2}
    assert vars(record)["pykiq"] == expected


def test_values_named_as_the_parts_of_a_record_get_in_nobodys_way(records: list[logging.LogRecord]) -> None:
    names = ("name", "args", "msg", "message", "module", "level", "timestamp", "exc_text", "stack_info2", "pykiq")
    get_logger().info("odd", **dict.fromkeys(names, "x"))
    (record,) = records
    assert record.name == "pykiq"
    assert vars(record)["pykiq"]["args"] == "x"
    assert record.created > 1_700_000_000


def test_the_place_of_a_record_is_where_it_was_logged(records: list[logging.LogRecord]) -> None:
    get_logger().info("here")
    get_logger().bind(jid="x").error("and here")
    assert {record.filename for record in records} == {"test_logger.py"}
    assert {record.funcName for record in records} == {"test_the_place_of_a_record_is_where_it_was_logged"}


def test_an_exception_is_handed_on_as_one(records: list[logging.LogRecord]) -> None:
    error = ValueError("boom")
    try:
        raise error
    except ValueError:
        get_logger().exception("one")
        get_logger().error("two", exc_info=True)
    get_logger().error("three", exc_info=error)
    assert [record.exc_info[1] for record in records if record.exc_info] == [error] * 3
    assert {record.levelname for record in records} == {"ERROR"}


def test_a_traceback_that_is_text_and_a_stack_stand_below_the_message() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("pykiq.jobs").addHandler(handler)
    try:
        logger.StandardLogging().lines(
            "pykiq.jobs",
            [
                {"timestamp": 1.5, "level": "error", "event": "fail", "exception": "Traceback …\nValueError"},
                {"timestamp": 2.5, "level": "error", "event": "stack", "stack": "  File …\n    wait()"},
            ],
        )
    finally:
        logging.getLogger("pykiq.jobs").removeHandler(handler)
    assert stream.getvalue() == "fail\nTraceback …\nValueError\nstack\n  File …\n    wait()\n"


def test_half_a_surrogate_pair_in_a_traceback_does_not_lose_the_record(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "log", encoding="utf-8")
    logging.getLogger("pykiq.jobs").addHandler(handler)
    event = {"timestamp": 1.5, "level": "error", "event": "fail", "error_message": "\ud83d"}
    try:
        for text in ("exception", "stack"):
            logger.StandardLogging().line("pykiq.jobs", {**event, text: "m\udfff.Odd: half of \ud83d, é"})
    finally:
        logging.getLogger("pykiq.jobs").removeHandler(handler)
        handler.close()
    told = "fail error_message='\\ud83d'\nm\\udfff.Odd: half of \\ud83d, é\n"
    assert (tmp_path / "log").read_text("utf-8") == told * 2


def test_a_record_has_the_time_at_which_it_happened(records: list[logging.LogRecord]) -> None:
    logger.StandardLogging().lines("pykiq.jobs", [{"timestamp": 1_700_000_000.25, "level": "info", "event": "start"}])
    (record,) = records
    assert (record.created, record.msecs) == (1_700_000_000.25, 250.0)
    assert logging.Formatter("%(asctime)s").format(record).endswith(",250")


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1}, "two words", "", "\x1b[2J", "a\u202eb", float("nan"), None, b"\xff", object(), "ü" * 3, "a=b", ("a",),
    ],
)  # fmt: skip
def test_whatever_the_value_a_line_stays_one_line(records: list[logging.LogRecord], value: object) -> None:
    get_logger().info("odd", value=value, after="end")
    (record,) = records
    assert record.getMessage().isprintable()
    assert record.getMessage().endswith(" after=end")


def test_a_value_that_cannot_be_shown_raises_nothing(records: list[logging.LogRecord]) -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    get_logger().info("odd", value=Rude())
    assert "its repr raised RuntimeError" in records[0].getMessage()


def test_a_handler_of_the_program_that_raises_is_no_matter_of_ours() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("broken")

    handler = Broken()
    logging.getLogger("pykiq").addHandler(handler)
    try:
        get_logger().error("lost")
    finally:
        logging.getLogger("pykiq").removeHandler(handler)


def test_levels_of_the_program_decide(records: list[logging.LogRecord]) -> None:
    logging.getLogger("pykiq.jobs").setLevel(logging.ERROR)
    get_logger("pykiq.jobs").warning("not this")
    get_logger("pykiq").warning("but this")
    assert [record.getMessage() for record in records] == ["but this"]
    assert not logger.sink().wants("pykiq.jobs", logging.WARNING)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "warn", "error", "critical", "exception"])
def test_every_method_of_a_logger_has_its_level(level: str) -> None:
    with capture_logs() as lines:
        getattr(get_logger(), level)("x")
    expected = {"warn": "warning", "exception": "error"}.get(level, level)
    assert [line["log_level"] for line in lines] == [expected]


def test_a_configuration_that_disables_the_loggers_it_finds_does_not_silence_pykiq(
    records: list[logging.LogRecord],
) -> None:
    get_logger("pykiq.jobs").info("before")
    logging.config.dictConfig({"version": 1})  # `disable_existing_loggers` is its default
    get_logger("pykiq.jobs").info("after")
    assert logger.sink().wants("pykiq.jobs", logging.INFO)
    assert [record.getMessage() for record in records] == ["before", "after"]


def _cached() -> None:
    structlog.configure(cache_logger_on_first_use=True, processors=[structlog.processors.JSONRenderer()])


@pytest.mark.parametrize(
    "configure",
    [
        lambda: structlog.configure(processors=[]),
        lambda: structlog.configure(logger_factory=structlog.ReturnLoggerFactory()),
        lambda: structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)),
        lambda: structlog.configure(context_class=None),
        _cached,
        structlog.reset_defaults,
    ],
)
def test_the_applications_structlog_does_not_touch_our_lines(configure: Any) -> None:
    early = get_logger()
    configure()
    with capture_logs() as lines:
        early.info("early", a=1)
        get_logger("pykiq.job").bind(jid="x").info("late")
    assert lines == [
        {"event": "early", "a": 1, "log_level": "info"},
        {"event": "late", "jid": "x", "log_level": "info"},
    ]


def test_our_loggers_do_not_touch_the_applications_structlog() -> None:
    get_logger().info("x")
    assert not structlog.is_configured()


def test_what_the_application_binds_to_the_context_is_in_our_lines_too() -> None:
    with structlog.contextvars.bound_contextvars(request="r1", event="no", level="no"), capture_logs() as lines:
        get_logger().info("x")
    assert lines == [{"event": "x", "request": "r1", "log_level": "info"}]


def test_nothing_of_pykiq_logs_through_the_applications_structlog() -> None:
    package = Path(logger.__file__).parent
    users = [
        path.name
        for path in package.rglob("*.py")
        if re.search(r"structlog\.(stdlib\.)?get_logger\(", path.read_text("utf-8"))
    ]
    assert users == []
