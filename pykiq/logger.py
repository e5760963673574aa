"""pykiq's own loggers, with a pipeline of their own: the application's structlog has no say in it, nor pykiq in that.

In a process of `pykiq run` the lines go to the output that `observe.log` has set up. Anywhere else, in a program that
embeds a worker or only pushes, they go to the standard library's `logging`, as records of `pykiq`, `pykiq.jobs`, ….
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable
from typing import Any, NoReturn, Protocol

import structlog
from structlog.typing import FilteringBoundLogger

Event = dict[str, Any]
"""A line before it is one: `timestamp` (epoch seconds), `level` (a name of `LEVELS`), `event`, and what belongs to it.

`exception` is a traceback as text, `exc_info` one to be made; `stack` is text of several lines too.
"""

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_SPELLINGS = {"warn": "warning", "exception": "error", "notset": "debug"}


NAME_LENGTH = 200  # characters of a class, a jid or a queue: they come from payloads and may be of any size


def about_job(name: str, jid: str, queue: str) -> Event:
    """What a line says of a job so that it can be found."""
    return {"class": (name or "?")[:NAME_LENGTH], "jid": jid[:NAME_LENGTH], "queue": queue[:NAME_LENGTH]}


class Sink(Protocol):
    """Where lines go. Nothing here raises: a log that fails must not stop a worker."""

    def wants(self, name: str, level: int) -> bool:
        """Whether lines of the logger `name` are written at this level of the standard library's."""
        ...

    def line(self, name: str, event: Event) -> None: ...

    def lines(self, name: str, events: Iterable[Event]) -> None:
        """A batch, in one go; none of them has an `exc_info`."""
        ...


class StandardLogging:
    """The host program's `logging`: it decides which lines are written, where they go and what they look like.

    A record's message is the event and its values, `start class=Charge jid=ab12`; `record.pykiq` has them as a dict.
    """

    def wants(self, name: str, level: int) -> bool:
        return _enabled(name).isEnabledFor(level)

    def line(self, name: str, event: Event) -> None:
        self.lines(name, [event])

    def lines(self, name: str, events: Iterable[Event]) -> None:
        try:
            logger = _enabled(name)
            for event in events:
                level = LEVELS[event.pop("level")]
                if logger.isEnabledFor(level):
                    logger.handle(_record(logger, level, event))
        except Exception:
            return  # the host's log is broken; the jobs are not


def _enabled(name: str) -> logging.Logger:
    """The logger; enabled, whatever a `dictConfig` has done that disables the loggers it finds, its default."""
    logger = logging.getLogger(name)
    logger.disabled = False
    return logger


def _record(logger: logging.Logger, level: int, event: Event) -> logging.LogRecord:
    at, what = float(event.pop("timestamp")), str(event.pop("event"))
    exc_info, trace, stack = event.pop("exc_info", None), event.pop("exception", None), event.pop("stack", None)
    message = " ".join([what, *(f"{key}={_shown(value)}" for key, value in event.items())])
    file, line, function = _caller()
    record = logger.makeRecord(
        *(logger.name, level, file, line, message, (), _exc_info(exc_info)),
        func=function,
        extra={"pykiq": {"event": what, **event}},
        sinfo=_writable(stack),
    )
    record.relativeCreated += (at - record.created) * 1000
    record.created, record.msecs = at, at % 1 * 1000
    if trace and not record.exc_info:
        record.exc_text = _writable(trace)  # where formatters keep the traceback once they have made it
    return record


def _writable(text: str | None) -> str | None:
    """Without lone surrogates, which a job's error may hold: no file takes them, and the whole record would be lost."""
    return text and text.encode("utf-8", "backslashreplace").decode()


def _shown(value: object) -> str:
    """One word: in quotes when it has blanks or anything that could be taken for the end of the line."""
    try:
        text = value if isinstance(value, str) else repr(value)
        return text if text.isprintable() and " " not in text and text else repr(text)
    except Exception as error:
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"


def _exc_info(given: Any) -> Any:
    """What `exc_info=` was given, as a record wants it."""
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    if isinstance(given, tuple):
        return given
    return sys.exc_info() if given else None


def _caller() -> tuple[str, int, str]:
    """File, line and function of whoever logs: the first frame outside of structlog and of this file."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(("structlog.", __name__)):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name


_sink: Sink = StandardLogging()


def sink() -> Sink:
    """Where pykiq's lines go now."""
    return _sink


def route(to: Sink | None) -> None:
    """Send pykiq's lines `to` this sink from now on, those of loggers that exist too; None: to `logging`."""
    global _sink
    _sink = StandardLogging() if to is None else to


class _Name:
    """What the processors end at: a logger of structlog's that knows its name."""

    def __init__(self, name: str) -> None:
        self.name = name


def _drop_unwanted(logger: _Name, method: str, event: Any) -> Any:
    if not _sink.wants(logger.name, LEVELS[_SPELLINGS.get(method, method)]):
        raise structlog.DropEvent
    return event


def _hand_over(logger: _Name, method: str, event: dict[str, Any]) -> NoReturn:
    head = {"timestamp": time.time(), "level": _SPELLINGS.get(method, method), "event": event.pop("event", "")}
    _sink.line(logger.name, head | {key: value for key, value in event.items() if key not in head})
    raise structlog.DropEvent  # structlog has nothing more to do


_PROCESSORS: list[Any] = [
    _drop_unwanted,
    structlog.contextvars.merge_contextvars,
    structlog.processors.StackInfoRenderer(),
    _hand_over,
]
_Bound: Any = structlog.make_filtering_bound_logger(logging.NOTSET)


def get_logger(name: str = "pykiq") -> FilteringBoundLogger:
    """A logger of pykiq's own; `name` is `pykiq` or begins with `pykiq.`."""
    logger: FilteringBoundLogger = _Bound(_Name(name), _PROCESSORS, {})
    return logger
