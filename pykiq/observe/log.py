"""Setting up the log of a worker's process: pykiq's own lines, and what the application logs beside them.

pykiq's lines go to one `Output` and nowhere else, whatever the handlers' modules do to structlog or `logging`. The
application's own lines are its own affair. Only where it has configured nothing do they go to that output too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from pykiq import logger
from pykiq.config.settings import did_you_mean
from pykiq.errors import ConfigError
from pykiq.logger import LEVELS
from pykiq.observe.output import Output
from pykiq.observe.render import pretty_renderer, render_json

FORMATS = ("auto", "json", "pretty")

_current: Output | None = None


def current() -> Output | None:
    """The output that `configure` set up, or None when the host program owns the logging."""
    return _current


def share() -> None:
    """Other processes write to the same stream: from now on their lines come between ours, never within one."""
    if _current is not None:
        _current.stream.shared = True


def flush(seconds: float = 0.0) -> bool:
    """Write what has found no room yet, for as long as somebody reads and up to `seconds`. Whether nothing is left."""
    return _current is None or _current.stream.flush(seconds)


def configure(format: str = "auto", level: str = "info", stream: TextIO | None = None) -> Output:
    """Send pykiq's lines to `stream`, standard error by default. Call once, before the handlers are loaded.

    `format`: `json` (one object per line), `pretty` (columns, colours) or `auto`: pretty on a terminal. `level` is a
    name of `LEVELS`. Raises ConfigError for an unknown format or level.
    """
    global _current
    target: TextIO = sys.stderr if stream is None else stream
    if format not in FORMATS:
        raise ConfigError(_unknown("log format", format, FORMATS))
    if level not in LEVELS:
        raise ConfigError(_unknown("log level", level, LEVELS))
    pretty = format == "pretty" or (format == "auto" and _is_terminal(target))
    output = Output(target, pretty_renderer(_is_terminal(target)) if pretty else render_json, LEVELS[level])
    logger.route(output)
    # For warnings while the application has no handler, in place of plain text in the middle of a log of JSON.
    logging.lastResort = _Handler(output, logging.WARNING)
    _current = output
    return output


def serve_application(output: Output) -> None:
    """Have the application's own lines look like pykiq's, where it has configured nothing: when its modules are loaded.

    Not before: `logging.basicConfig` and `structlog.configure_once` do nothing where something is configured already,
    and `structlog.configure` would keep what it is not given.
    """
    if not structlog.is_configured():
        structlog.configure(
            processors=[*_CHAIN, _renderer(output)],
            wrapper_class=structlog.make_filtering_bound_logger(output.level),
            logger_factory=lambda *_: _Logger(output),
            cache_logger_on_first_use=False,  # it may yet configure it, in a `startup` hook
        )
    root = logging.getLogger()
    if all(isinstance(handler, _Handler) for handler in root.handlers):
        root.handlers[:] = [_Handler(output)]
        if root.level == logging.WARNING:  # as Python has left it
            root.setLevel(output.level)


_CHAIN: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def _renderer(output: Output) -> Any:
    def render(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        return output.render(dict(event))

    return render


class _Logger:
    """What the application's structlog calls at the end of its processors: every level is one write."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def msg(self, line: str) -> None:
        self._output.stream.write(line + "\n")

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


class _Handler(logging.Handler):
    """Standard library records, rendered like ours. Unlike logging's own handler it is silent about a broken stream."""

    def __init__(self, output: Output, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._output = output
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(output)],
                foreign_pre_chain=[*_CHAIN, structlog.stdlib.add_logger_name],
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:
            text = f"{record.name}: a log record could not be rendered: {type(error).__name__}"
        self._output.stream.write(text + "\n")


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def _unknown(what: str, given: object, known: Iterable[str] | Mapping[str, object]) -> str:
    names = list(known)
    return f"{what} {given!r} is not one of {', '.join(names)}{did_you_mean(str(given), names)}"
