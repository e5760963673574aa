"""A worker's processes: started, waited for, killed; their CPU time and memory."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

# What clock_getcpuclockid(3) answers for another process: its number, inverted, and the clock of the scheduler.
PID_SHIFT = 3
SCHEDULER_CLOCK = 2


class BenchmarkError(Exception):
    """Something is not here, or did not do what it should have: one line."""


class Worker:
    """A running worker of one process or several; killed when its `with` block ends: whatever it had to do is done."""

    def __init__(
        self, commands: Sequence[Sequence[str]], env: Mapping[str, str], output: Path, folder: Path | None = None
    ) -> None:
        self._output = output
        with output.open("ab") as stream:
            self._processes = [
                subprocess.Popen(
                    command,
                    stdout=stream,
                    stderr=stream,
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, **env},
                    cwd=folder,
                    start_new_session=True,
                )
                for command in commands
            ]

    def wait(self, condition: Callable[[], object], seconds: float, what: str, pause: float = 0.01) -> None:
        """Wait for `condition()`. Raises BenchmarkError when the worker ends or `seconds` have passed."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{what}: not within {seconds} s; {self._last_words()}")
            time.sleep(pause)

    def check(self) -> None:
        """Raise BenchmarkError when a process of the worker has ended."""
        ended = [process.returncode for process in self._processes if process.poll() is not None]
        if ended:
            raise BenchmarkError(f"the worker ended with {ended[0]}: {self._last_words()}")

    def _last_words(self) -> str:
        return self._output.read_text(errors="replace")[-2000:] if self._output.is_file() else "it logs nowhere"

    def pids(self) -> list[int]:
        """Of all its processes, and their children."""
        return [pid for process in self._processes for pid in family(process.pid)]

    def rss(self) -> float:
        """Resident memory now, in MB."""
        return sum(resident(pid) for process in self._processes for pid in family(process.pid))

    def cpu(self) -> float:
        """CPU seconds used so far."""
        return sum(cpu_seconds(pid) for process in self._processes for pid in family(process.pid))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        members = [pid for process in self._processes for pid in family(process.pid)]
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            process.wait()
        while any(Path(f"/proc/{pid}").exists() for pid in members):  # a child's connection may still take a job
            time.sleep(0.01)


def family(pid: int) -> Iterator[int]:
    """A process and its children, and theirs."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:  # a thread that has just ended
            continue
        for child in children:
            yield from family(int(child))


def resident(pid: int) -> float:
    """Resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, user and system, to the nanosecond.

    /proc/PID/stat counts in hundredths of a second: at ten jobs a second a round takes fewer than ten of them.
    """
    return time.clock_gettime((~pid << PID_SHIFT) | SCHEDULER_CLOCK)
