"""The steps of a case: what happens, in order, once its server process runs.

call            make the client's call                  signal TERM       send the process a signal
ruby CODE       make another call                       events NAME [2]   wait for as many such events
pause 1.5       wait that many seconds                  heartbeat         wait for the next one
idle            wait until every thread is              exit              wait for the end of the process
key PATTERN     wait for such a key in Redis            start             start the process again
page 4          wait until IterHash is at that page     log EXPRESSION    wait for such a line in its log
"""

from __future__ import annotations

import re
import signal
import time
from typing import Any

from compat_fixtures.recorder.fleet import Client, SidekiqServer, wait_for


def take(steps: list[str], call: str, client: Client, server: SidekiqServer) -> tuple[dict[str, Any], float]:
    """The answer of the last call, and how long the process took to exit after the last signal."""
    answer: dict[str, Any] = {}
    signalled = time.monotonic()
    took = 0.0
    for step in steps:
        verb, _, rest = step.partition(" ")
        match verb:
            case "call":
                answer = client.evaluate(call)
            case "ruby":
                answer = client.evaluate(rest)
            case "pause":
                time.sleep(float(rest))
            case "signal":
                signalled = time.monotonic()
                server.process.send_signal(signal.Signals[f"SIG{rest}"])
            case "events":
                name, _, times = rest.partition(" ")
                wait_for(lambda name=name, times=times: count(server, name) >= int(times or 1), step)
            case "heartbeat":
                before = beat(server)
                wait_for(lambda before=before: beat(server) != before, step)
            case "key":
                wait_for(lambda rest=rest: server.redis.keys(rest), step)
            case "page":
                wait_for(lambda rest=rest: server.page.exists() and server.page.read_text() == rest, step)
            case "log":
                wait_for(lambda rest=rest: re.search(rest, server.log.read_text(errors="replace")), step)
            case "idle":
                wait_for(server.is_idle, step)
            case "exit":
                wait_for(lambda: server.process.poll() is not None, step)
                took = time.monotonic() - signalled
            case "start":
                server.start()
                server.wait_for_heartbeat()
            case _:
                raise ValueError(f"no such step: {step}")
    return answer, took


def count(server: SidekiqServer, name: str) -> int:
    """How many events of that name were written down."""
    return sum(name in line[:2] for line in server.seen())


def beat(server: SidekiqServer) -> bytes | None:
    """When the last heartbeat was."""
    moment: bytes | None = server.redis.hget(server.identity(), "beat")
    return moment
