"""Where log lines go and what they look like: one `Output`, shared by structlog, stdlib logging and `JobLog`."""

from __future__ import annotations

import difflib
import json
import logging
import re
import select
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

import structlog

from pykiq.errors import ConfigError
from pykiq.wire.quick import orjson

FORMATS = ("auto", "json", "pretty")
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_FIRST = ("timestamp", "level", "event")  # what the eye looks for first in a JSON line
_MULTILINE = frozenset({"event", "exception", "stack", "exc_info", "stack_info"})


class Sink(Protocol):
    """What a job's lines are handed to: an `Output`, or the host program's own logging."""

    def wants(self, level: int) -> bool: ...

    def lines(self, events: Iterable[dict[str, Any]]) -> None: ...


class Output:
    """A stream and the way lines are rendered for it. Nothing here raises: a log that fails must not stop a worker."""

    def __init__(self, stream: TextIO, render: Callable[[dict[str, Any]], str], level: int) -> None:
        self.stream = stream
        self.render = render
        self.level = level
        self.shared = False
        # Reentrant: a signal handler may log while its own thread is in the middle of a line.
        self._lock = threading.RLock()

    def wants(self, level: int) -> bool:
        return level >= self.level

    def lines(self, events: Iterable[dict[str, Any]]) -> None:
        """Render all of `events` (each begins with `level` and `event`, no `timestamp`) and write them with one write.

        They share one timestamp: they come from one turn, and formatting it costs as much as the rest of a line.
        """
        events = list(events)
        now = timestamp()
        rendered = self._fast(events, now) or [self._line(event, now) for event in events]
        if rendered:
            self.write("\n".join(rendered) + "\n")

    def _fast(self, events: list[dict[str, Any]], now: str) -> list[str] | None:
        """JSON without a copy of each event; None when this output or one of the events needs the long way.

        Two lines per job make this the dearest observer: half of what the long way costs.
        """
        if orjson is None or self.render is not render_json:
            return None
        head = f'{{"timestamp":"{now}",'
        try:
            return [head + orjson.dumps(event).decode()[1:] for event in events]
        except TypeError:
            return None

    def _line(self, event: dict[str, Any], now: str) -> str:
        try:
            return self.render({"timestamp": now, **event})
        except Exception as error:
            return f"{now} a log line could not be rendered: {type(error).__name__}"

    def write(self, text: str) -> None:
        try:
            with self._lock:
                for piece in _pieces(text) if self.shared else (text,):
                    self._write(piece)
        except Exception:
            # EPIPE, a full disk, a closed stream: there is nowhere left to say so.
            return

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except UnicodeEncodeError:  # a strict ASCII or Latin-1 stream
            encoding = self.stream.encoding or "ascii"
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self.stream.flush()


class _Logger:
    """What structlog calls at the end of its processors: every level is one write."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def msg(self, line: str) -> None:
        self._output.write(line + "\n")

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


class _Handler(logging.Handler):
    """Standard library records, rendered like ours. Unlike logging's own handler it is silent about a broken stream."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:
            text = f"{record.name}: a log record could not be rendered: {type(error).__name__}"
        self._output.write(text + "\n")


_current: Output | None = None


def current() -> Output | None:
    """The output that `configure` set up, or None when the host program owns the logging."""
    return _current


def share() -> None:
    """Other processes write to the same stream: from now on their lines come between ours, never within one."""
    if _current is not None:
        _current.shared = True


def _pieces(text: str) -> Iterator[str]:
    """Whole lines, together no longer than what a pipe takes in one go whatever others write to it."""
    piece, length = "", 0
    for line in re.findall(r".*\n|.+\Z", text):
        size = len(line.encode("utf-8", "surrogatepass"))
        if piece and length + size > select.PIPE_BUF:
            yield piece
            piece, length = "", 0
        piece, length = piece + line, length + size
    yield piece


def timestamp() -> str:
    """Now, as every line carries it: ISO 8601 in UTC with microseconds and a `Z`."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def configure(format: str = "auto", level: str = "info", stream: TextIO | None = None) -> Output:
    """Set up structlog and the standard library's logging to write alike to `stream` (standard error by default).

    `format`: `json` (one object per line), `pretty` (columns, colours) or `auto`: pretty on a terminal. `level` is a
    name of `LEVELS`. Call once, before the first line: structlog loggers keep what they were first used with.
    Raises ConfigError for an unknown format or level.
    """
    global _current
    target: TextIO = sys.stderr if stream is None else stream
    if format not in FORMATS:
        raise ConfigError(_unknown("log format", format, FORMATS))
    if level not in LEVELS:
        raise ConfigError(_unknown("log level", level, LEVELS))
    pretty = format == "pretty" or (format == "auto" and _is_terminal(target))
    output = Output(target, _pretty_renderer(_is_terminal(target)) if pretty else render_json, LEVELS[level])

    def render(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        return output.render(dict(event))

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if not pretty:  # the console renderer formats exceptions itself
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: _Logger(output),
        cache_logger_on_first_use=True,
    )
    _configure_stdlib(output, shared, render, LEVELS[level])
    _current = output
    return output


def _configure_stdlib(output: Output, shared: list[Any], render: Any, level: int) -> None:
    handler = _Handler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    root = logging.getLogger()
    for other in [known for known in root.handlers if isinstance(known, _Handler)]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level)


def render_json(event: dict[str, Any]) -> str:
    """One line of JSON, `timestamp`, `level` and `event` first. What JSON cannot say is written as its repr."""
    ordered = {key: event.pop(key) for key in _FIRST if key in event}
    ordered.update(event)
    if orjson is not None:
        with suppress(TypeError):  # lone surrogates (bytes of a payload that were not UTF-8), integers past 64 bits
            line: bytes = orjson.dumps(ordered, default=_safe_repr, option=orjson.OPT_NON_STR_KEYS)
            return line.decode()
    return json.dumps(ordered, default=_safe_repr, skipkeys=True, separators=(",", ":"))


def _pretty_renderer(colors: bool) -> Callable[[dict[str, Any]], str]:
    console = structlog.dev.ConsoleRenderer(
        colors=colors,
        sort_keys=False,
        # The default prints every local variable when `rich` is installed: passwords and payloads among them.
        exception_formatter=structlog.dev.plain_traceback,
    )

    def render(event: dict[str, Any]) -> str:
        for key, value in event.items():
            # A job's error message is somebody else's text: no new lines and no terminal escapes from it.
            if not isinstance(value, str) or value.isprintable():
                continue
            if key == "exception":  # a job's traceback, which ends with such a message
                event[key] = "\n".join(f"    {_printable(line)}" for line in value.split("\n"))
            elif key not in _MULTILINE:
                event[key] = _printable(value)
        rendered = console(None, str(event.get("level", "info")), event)
        return rendered if isinstance(rendered, str) else str(rendered)

    return render


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else _picture(c) for c in text)


def _picture(character: str) -> str:
    """A visible stand-in: ␊ for a new line, ␛ for an escape. A backslash form would be escaped again when quoted."""
    return chr(0x2400 + ord(character)) if character < " " else "\ufffd"


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def _unknown(what: str, given: object, known: Iterable[str] | Mapping[str, object]) -> str:
    names = list(known)
    near = difflib.get_close_matches(str(given), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{what} {given!r} is not one of {', '.join(names)}{hint}"
