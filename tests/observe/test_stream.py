"""A stream never makes anybody wait: real pipes, sockets and terminals that nobody reads."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykiq.observe import stream as stream_module
from pykiq.observe.stream import Stream, whole_lines
from tests.servers import wait_until

PAGE = 4096


class End:
    """The writing end of something as a text stream, and the other end to read from."""

    def __init__(self, writing: int, reading: int) -> None:
        self.reading = reading
        self.made: Stream | None = None
        self.text: IO[str] = os.fdopen(writing, "w", encoding="utf-8", errors="backslashreplace")

    def read(self) -> str:
        """All that is there now."""
        found = b""
        while select.select([self.reading], [], [], 0)[0]:
            with suppress(OSError):  # the other end of a terminal that was closed
                part = os.read(self.reading, 1 << 20)
                found += part
                if part:
                    continue
            break
        return found.decode().replace("\r\n", "\n")

    def stream(self) -> Stream:
        """What is tested, on the writing end."""
        self.made = Stream(self.text, lambda lost: f"lost {lost}\n")  # type: ignore[arg-type]
        return self.made

    def close(self) -> None:
        if self.made is not None:
            self.made.close()
        with suppress(OSError, ValueError):
            self.text.close()
        with suppress(OSError):
            os.close(self.reading)


def a_pipe() -> End:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PAGE)
    return End(writing, reading)


def a_socket() -> End:
    writing, reading = socket.socketpair()
    writing.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PAGE)
    return End(writing.detach(), reading.detach())


def a_terminal() -> End:
    reading, writing = pty.openpty()
    return End(writing, reading)


@pytest.fixture(params=[a_pipe, a_socket, a_terminal])
def end(request: pytest.FixtureRequest) -> Iterator[End]:
    made = request.param()
    yield made
    made.close()


@pytest.fixture
def pipe() -> Iterator[End]:
    made = a_pipe()
    yield made
    made.close()


def read_all(stream: Stream, end: End) -> list[str]:
    """Read until nothing is left to write."""
    text = ""
    deadline = time.monotonic() + 20
    while not stream.flush() and time.monotonic() < deadline:
        text += end.read()
    return (text + end.read()).splitlines()


def fill(stream: Stream, number: int = 1000) -> list[str]:
    lines = [f"line {count} {'x' * 100}" for count in range(number)]
    for line in lines:
        stream.write(line + "\n")
    return lines


def test_what_nobody_reads_waits_and_comes_whole_and_in_order(end: End) -> None:
    stream = end.stream()
    lines = fill(stream)
    assert not stream.flush(0.05)
    assert read_all(stream, end) == lines


def test_a_stop_waits_no_longer_than_it_says(end: End) -> None:
    stream = end.stream()
    fill(stream)
    begun = time.monotonic()
    assert not stream.flush(0.2)
    assert time.monotonic() - begun < 5


def test_a_reader_that_goes_on_reading_gets_everything_within_one_flush(pipe: End) -> None:
    stream = pipe.stream()
    lines = fill(stream)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(iter(lambda: os.read(pipe.reading, 1 << 16), b"")), daemon=True)
    reader.start()
    assert stream.flush(20)
    pipe.text.close()
    stream.close()
    reader.join(10)
    assert b"".join(got).decode().splitlines() == lines


@pytest.mark.parametrize(("bytes_", "lines_"), [(100_000, 1 << 30), (1 << 30, 500)])
def test_beyond_the_bounds_lines_are_dropped_and_counted_where_they_are_missing(
    pipe: End, monkeypatch: pytest.MonkeyPatch, bytes_: int, lines_: int
) -> None:
    monkeypatch.setattr(stream_module, "MOST_BYTES", bytes_)
    monkeypatch.setattr(stream_module, "MOST_LINES", lines_)
    stream = pipe.stream()
    lines = fill(stream, 5000)
    assert stream._bytes <= bytes_
    assert stream._lines <= lines_
    got = read_all(stream, pipe)
    kept, told = got[:-1], got[-1]
    assert kept == lines[: len(kept)]
    assert told == f"lost {5000 - len(kept)}"
    stream.write("after\n")
    assert read_all(stream, pipe) == ["after"]


def test_a_line_of_any_length_is_kept_when_nothing_else_waits(pipe: End, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "MOST_BYTES", 10_000)
    stream = pipe.stream()
    stream.write("x" * 50_000 + "\n")
    stream.write("y\n")
    assert read_all(stream, pipe) == ["x" * 50_000, "lost 1"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9000), st.booleans()), max_size=40), st.booleans())
def test_whatever_is_written_and_read_lines_are_whole_in_order_and_accounted_for(
    steps: list[tuple[int, bool]], shared: bool
) -> None:
    end, before = a_pipe(), stream_module.MOST_BYTES
    stream_module.MOST_BYTES = 20_000
    try:
        stream, text, number = end.stream(), "", 0
        stream.shared = shared
        for length, reads in steps:
            stream.write(f"{number} {'u' * length}\n")
            number += 1
            if reads:
                text += end.read()
        deadline = time.monotonic() + 20
        while not stream.flush() and time.monotonic() < deadline:
            text += end.read()
        text += end.read()
    finally:
        stream_module.MOST_BYTES = before
        end.close()
    expected = 0
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "lost":
            expected += int(rest)
        else:
            assert int(word) == expected
            assert set(rest) <= {"u"}
            expected += 1
    assert expected == number


def test_threads_get_through_a_stuck_log_and_their_lines_are_not_mixed(pipe: End) -> None:
    stream = pipe.stream()

    def tell(name: str) -> None:
        for number in range(200):
            stream.write(f"{name} {number} {'x' * 300}\n")

    threads = [threading.Thread(target=tell, args=(name,), daemon=True) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    got = [line.split() for line in read_all(stream, pipe)]
    for name in "abcd":
        assert [int(number) for who, number, _ in got if who == name] == list(range(200))


def test_the_descriptor_of_others_stays_as_it_is(end: End) -> None:
    number = end.text.fileno()
    before = os.get_blocking(number)
    fill(end.stream(), 100)
    assert os.get_blocking(number) is before is True


@pytest.mark.parametrize("make", [a_pipe, a_socket])
def test_where_it_cannot_be_opened_once_more_it_is_asked_for_room(
    make: Callable[[], End], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    end = make()
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(socket, "getdefaulttimeout", lambda: 0.000001)
    stream = end.stream()
    lines = fill(stream, 500)
    try:
        assert read_all(stream, end) == lines
    finally:
        end.close()


def test_a_signal_handler_may_log_in_the_middle_of_a_line(pipe: End) -> None:
    stream = pipe.stream()
    heard: list[int] = []

    def tell(number: int, _: object) -> None:
        heard.append(number)
        stream.write("a signal\n")

    before = signal.signal(signal.SIGALRM, tell)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        lines = fill(stream, 3000)
        wait_until(lambda: len(heard) > 10)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    got = read_all(stream, pipe)
    assert [line for line in got if line != "a signal"] == lines
    assert got.count("a signal") == len(heard)


def test_a_forked_process_writes_its_own_lines_and_none_of_its_parents(pipe: End) -> None:
    stream = pipe.stream()
    lines = fill(stream, 100)
    with stream._lock:  # as of a thread that does not exist in the new process
        stream._is_writing = True
        child = os.fork()
        if child == 0:
            stream.write(f"of the child {'x' * 200}\n")
            os._exit(0 if stream._waiting and stream._lines == 1 else 1)
        stream._is_writing = False
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read_all(stream, pipe) == lines


def test_a_full_disk_is_survived_and_what_it_cost_is_told_afterwards(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full, (tmp_path / "log").open("w") as log:
        stream = Stream(full, lambda lost: f"lost {lost}\n")
        for _ in range(7):
            stream.write("x\n")
        os.dup2(log.fileno(), full.fileno())
        stream.write("y\n")
    assert (tmp_path / "log").read_text() == "lost 7\ny\n"


def test_a_reader_that_has_gone_for_good_is_no_error(pipe: End) -> None:
    stream = pipe.stream()
    os.close(pipe.reading)
    fill(stream, 10)
    assert stream.flush(1)


@pytest.mark.parametrize("make", [a_pipe, a_socket, a_terminal])
def test_a_descriptor_that_is_redirected_is_followed(make: Callable[[], End], tmp_path: Path) -> None:
    end = make()
    stream = end.stream()
    stream.write("one\n")
    with (tmp_path / "log").open("w") as log:
        os.dup2(log.fileno(), end.text.fileno())
        stream.write("two\n")
    assert end.read() == "one\n"
    assert (tmp_path / "log").read_text() == "two\n"
    end.close()


def test_a_number_that_has_become_a_connection_is_not_written_to(pipe: End) -> None:
    stream = pipe.stream()
    stream.write("one\n")
    here, there = socket.socketpair()
    with here, there:
        os.dup2(here.fileno(), pipe.text.fileno())
        stream.write("two\n")
        assert not select.select([there], [], [], 0)[0]
    assert pipe.read() == "one\ntwo\n"


def test_a_descriptor_that_was_closed_is_no_error(pipe: End) -> None:
    stream = pipe.stream()
    stream.write("one\n")
    os.close(pipe.text.fileno())
    stream.write("two\n")
    assert pipe.read() == "one\ntwo\n"


def test_streams_without_a_descriptor_are_written_to_at_once() -> None:
    text = io.StringIO()
    stream = Stream(text, str)
    stream.write("one\n")
    assert text.getvalue() == "one\n"
    assert stream.flush()


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=6000).map(lambda line: line.replace("\n", " "))))
@settings(max_examples=50, deadline=None)
def test_pieces_are_whole_lines_that_a_pipe_takes_at_once(lines: list[str]) -> None:
    data = memoryview("".join(line + "\n" for line in lines).encode())
    pieces = [bytes(piece) for piece in whole_lines(data)]
    assert b"".join(pieces) == bytes(data)
    for piece in pieces:
        assert piece.endswith(b"\n")
        assert len(piece) <= select.PIPE_BUF or piece.count(b"\n") == 1


def test_processes_that_share_a_pipe_do_not_tear_each_others_lines() -> None:
    reading, writing = os.pipe()
    end = End(writing, reading)
    stream = end.stream()
    stream.shared = True
    children = []
    for name in "ab":
        child = os.fork()
        if child == 0:
            for number in range(50):
                stream.write("".join(f"{name} {number} {'x' * 90}\n" for _ in range(60)))
            os._exit(0 if stream.flush(20) else 1)
        children.append(child)
    text = ""
    ended: set[int] = set()
    deadline = time.monotonic() + 30
    while len(ended) < 2 and time.monotonic() < deadline:
        text += end.read()
        for child in set(children) - ended:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                assert status == 0
                ended.add(pid)
    text += end.read()
    end.close()
    lines = text.splitlines()
    assert len(lines) == 2 * 50 * 60
    assert all(line.split()[0] in "ab" and line.endswith(" " + "x" * 90) for line in lines)
