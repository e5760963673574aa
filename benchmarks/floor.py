"""The plainest worker that loses nothing: BLMOVE into a list of its own, the handler, LREM, on a bare socket.

python benchmarks/floor.py URL THREADS QUEUE

One thread has handlers that note the time and do nothing else: what is left is what Python itself costs. More threads,
each with its own connection, do what the jobs ask for. No retries, heartbeat, metrics, log, signals or recovery.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from typing import Any, BinaryIO
from urllib.parse import urlsplit

TIMES = open(os.environ.get("STAMPS", os.devnull), "ab")  # noqa: SIM115 (lives as long as the process)


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def run(job: dict[str, Any], working: bool) -> None:
    """Note when a timed job started; `working`: sleep and compute as it asks, too."""
    if job["class"] == "Bench::Timed":
        started = time.time()
        pushed_at, pause, compute = job["args"]
        TIMES.write(b"%.9f %.9f\n" % (pushed_at, started))
        if working and compute:
            burn(compute)
        if working and pause:
            time.sleep(pause)
    elif job["class"] == "Bench::Flush":
        TIMES.write(b"0 %d\n" % job["args"][0])
        TIMES.flush()
    elif job["class"] == "Bench::Sleep" and working:
        time.sleep(job["args"][0])


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def bulk(replies: BinaryIO) -> bytes:
    """A bulk reply."""
    length = int(replies.readline()[1:])
    return replies.read(length + 2)[:-2]


def serve(host: str, port: int, queue: bytes, held: bytes, working: bool) -> None:
    with socket.create_connection((host, port)) as connection, connection.makefile("rb") as replies:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wait = command(b"BLMOVE", b"queue:" + queue, held, b"RIGHT", b"LEFT", b"0")
        connection.sendall(wait)
        while True:
            raw = bulk(replies)
            run(json.loads(raw), working)
            connection.sendall(command(b"LREM", held, b"1", raw) + wait)
            replies.readline()


def main(url: str, threads: int, queue: str) -> None:
    address = urlsplit(url)
    host, port = address.hostname or "localhost", address.port or 6379
    first, *others = (
        (host, port, queue.encode(), b"pykiq:inflight:floor:%d:%d" % (os.getpid(), number), threads > 1)
        for number in range(threads)
    )
    for given in others:
        threading.Thread(target=serve, args=given).start()
    serve(*first)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
