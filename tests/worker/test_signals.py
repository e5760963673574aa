"""Signals: delivered by name, and taken back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

from pykiq.worker import signals
from tests.servers import wait_until


@pytest.mark.parametrize("name", signals.NAMES)
def test_each_signal_is_delivered_by_its_name_and_put_back_afterwards(name: str) -> None:
    number = getattr(signal, f"SIG{name}")
    outside = signal.signal(number, signal.default_int_handler)  # whatever these tests were started with: `nohup`, say
    try:
        got: list[str] = []
        restore = signals.install(got.append)
        try:
            os.kill(os.getpid(), number)
            wait_until(lambda: got == [name])
        finally:
            restore()
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, outside)


def test_signals_sidekiq_does_not_handle_are_left_alone() -> None:
    before = {name: signal.getsignal(getattr(signal, name)) for name in ("SIGUSR1", "SIGUSR2", "SIGWINCH")}
    restore = signals.install(lambda name: None)
    assert {name: signal.getsignal(getattr(signal, name)) for name in before} == before
    restore()


def test_a_hup_that_is_ignored_stays_so() -> None:
    """As under `nohup`; by default it stops a worker, whose terminal has gone."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        restore = signals.install(lambda name: None)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        restore()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_dump_names_every_thread_and_shows_where_it_is() -> None:
    let_go = threading.Event()

    def waiting_here() -> None:
        let_go.wait(10)

    thread = threading.Thread(target=waiting_here, name="pykiq-test-7")
    thread.start()
    try:
        wait_until(lambda: "waiting_here" in signals.stacks().get("thread pykiq-test-7", ""))
        assert "thread MainThread" in signals.stacks()
    finally:
        let_go.set()
        thread.join()


async def test_the_dump_shows_tasks_too() -> None:
    async def sleeping_here() -> None:
        await asyncio.sleep(10)

    task = asyncio.create_task(sleeping_here(), name="pykiq abc")
    await asyncio.sleep(0)
    assert "sleeping_here" in signals.stacks([task])["task pykiq abc"]
    task.cancel()


def test_a_process_that_has_stopped_keeps_its_exit_code_whatever_it_is_sent_while_it_winds_up() -> None:
    code = (
        "import os, signal\nfrom pykiq.worker import signals\n"
        "class Late:\n    def __del__(self):\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "signals.install(lambda name: None)\nsignals.ignore()\n"
        "import sys\nsys.late = Late()  # goes when the interpreter does\n"
        "os.kill(os.getpid(), signal.SIGINT)\nraise SystemExit(7)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (7, "")
