"""Runs one case against a real Sidekiq: the Redis it runs on, the recording client, the server process, MONITOR."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.interop.ruby import UTF8, Home, Ruby
from tests.servers import Server

SHOP = Path(__file__).parent / "shop"
PLACE = "/srv/shop"  # backtraces and configuration files name this path
OWN = "recorder"


class NotReached(Exception):
    """What a case waits for did not happen."""


class ShopTaken(Exception):
    """The place of the recording application is in use."""


def wait_for(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NotReached(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)


class Monitor:
    """The lines of MONITOR, without those of the recorder's own connection."""

    def __init__(self, port: int) -> None:
        self.lines: list[str] = []
        self.ended = threading.Event()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(b"MONITOR\r\n")
        self.stream = self.socket.makefile("rb")
        self.stream.readline()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        for line in self.stream:
            if b"the recorder has seen enough" in line:
                self.ended.set()
                return
            self.lines.append(line.decode(errors="replace").removeprefix("+").rstrip("\r\n"))

    def close(self, port: int, own: set[str]) -> list[str]:
        """Stop listening; the lines that were seen, up to the last one now."""
        with redis.Redis(port=port, protocol=2) as last:
            last.echo("the recorder has seen enough")
        wait_for(self.ended.is_set, "the end of MONITOR")
        self.thread.join()
        self.stream.close()
        self.socket.close()
        return [line for line in self.lines if line.split("[", 1)[1].split("]", 1)[0].split(" ")[1] not in own]


class Studio:
    """One Ruby with its own Redis: databases 0 for calls alone, and one for cases with a server process."""

    def __init__(self, ruby: Ruby) -> None:
        self.ruby = ruby
        self.lock = _lock_shop(ruby)
        self.home: Home = _open_shop(ruby)
        self.redis = Server("redis-server").start()
        self.clients: dict[tuple[str, str, int], Client] = {}
        self.own = {database: self._connection(database) for database in (0, ruby.major)}

    def url(self, database: int) -> str:
        return f"redis://127.0.0.1:{self.redis.port}/{database}"

    def _connection(self, database: int) -> redis.Redis:
        return redis.Redis.from_url(self.url(database), protocol=2, client_name=OWN, single_connection_client=True)

    def client(self, app: str, extra: str, database: int) -> Client:
        """The console of an application, with an EXTRA file or without; started when it is first asked for."""
        key = (app, extra, database)
        if key not in self.clients:
            self.clients[key] = Client(self, *key)
        return self.clients[key]

    def addresses(self) -> set[str]:
        """The connections of the recorder, and of `R` in its client: both have its name."""
        return {client["addr"] for client in self.own[0].client_list() if client["name"] == OWN}

    @contextmanager
    def monitor(self) -> Iterator[list[str]]:
        """The lines of the block are in the list once it has ended."""
        lines: list[str] = []
        listening = Monitor(self.redis.port)
        try:
            yield lines
        finally:
            lines.extend(listening.close(self.redis.port, self.addresses()))

    def close(self) -> None:
        for client in self.clients.values():
            client.close()
        for own in self.own.values():
            own.close()
        self.redis.stop()
        self.home.remove()
        os.close(self.lock)


def _lock_shop(ruby: Ruby) -> int:
    """Lock the folder above the recording application for as long as the result is open: one recorder at a time."""
    above = ((ruby.root or Path("/")) / PLACE.lstrip("/")).parent
    lock = os.open(above, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ShopTaken(f"another recorder is at work in {above}; start this one again when it has ended") from None
    return lock


def _open_shop(ruby: Ruby) -> Home:
    """The recording application at its place; what a recorder left there that was killed is removed."""
    left = (ruby.root or Path("/")) / PLACE.lstrip("/")
    if (left / "surroundings.rb").exists():
        shutil.rmtree(left)
    if left.exists():
        raise ShopTaken(f"{left} exists and is not the recording application; move it away")
    return ruby.place(SHOP, PLACE)


class Client:
    """The recording application's console: evaluates the call of a case."""

    def __init__(self, studio: Studio, app: str, extra: str, database: int) -> None:
        env = {"REDIS_URL": studio.url(database), "APP": app, **UTF8}
        if extra:
            env["EXTRA"] = extra
        self.process = subprocess.Popen(
            studio.ruby.command("ruby", f"{PLACE}/client.rb", env=env, folder=PLACE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.evaluate("redis('PING')")  # the connection's greeting belongs to no case

    def evaluate(self, code: str) -> dict[str, Any]:
        """`{"returned": …}` or `{"raised": …}`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(code).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise NotReached(f"an answer of the client to {code}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class SidekiqServer:
    """The Sidekiq process of a case: `sidekiq`, or a program with one inside."""

    def __init__(self, studio: Studio, program: Sequence[str], env: dict[str, str]) -> None:
        self.redis = studio.own[studio.ruby.major]
        self.log = studio.home.outside / "sidekiq.log"
        self.events = studio.home.outside / "events.jsonl"
        self.page = studio.home.outside / "page"
        for left in (self.log, self.events, self.page):
            left.unlink(missing_ok=True)
        url = studio.url(studio.ruby.major)
        surroundings = {"REDIS_URL": url, "EVENTS": f"{PLACE}/events.jsonl", **UTF8}
        self.command = studio.ruby.command(*program, env=surroundings | env, folder=PLACE)
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def wait_for_heartbeat(self) -> None:
        wait_for(lambda: self.identity() or self.process.poll() is not None, "the first heartbeat")
        if self.process.poll() is not None:
            raise NotReached(f"the server ended at its start: {self.log.read_text(errors='replace')[-1000:]}")

    def identity(self) -> str:
        for member in self.redis.smembers("processes"):
            if f":{self.process.pid}:" in member.decode() and self.redis.hexists(member, "info"):
                return str(member.decode())
        return ""

    def threads(self) -> int:
        info = json.loads(self.redis.hget(self.identity(), "info") or b"{}")
        return int(self.redis.hget(self.identity(), "concurrency") or info["concurrency"])

    def is_idle(self) -> bool:
        """Nothing is due, and every thread waits for a job."""
        now = time.time()
        due = sum(self.redis.zcount(key, "-inf", now) for key in ("retry", "schedule"))
        return due == 0 and sum("b" in client["flags"] for client in self.redis.client_list()) == self.threads()

    def seen(self) -> list[Any]:
        if not self.events.exists():
            return []
        return [json.loads(line) for line in self.events.read_text(encoding="utf-8").split("\n") if line]

    def stop(self) -> int:
        """TERM if it still runs, and its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def dump(client: redis.Redis) -> dict[str, Any]:
    """Every key: type, time to live, value."""
    return {key.decode(): _dump_key(client, key) for key in sorted(client.keys("*"))}


def _dump_key(client: redis.Redis, key: bytes) -> dict[str, Any]:
    kind = client.type(key).decode()
    raw = client.execute_command  # without redis-py's conversions: scores as Redis prints them
    value: Any
    match kind:
        case "string":
            value = _text(client.get(key))
        case "list":
            value = [_text(item) for item in client.lrange(key, 0, -1)]
        case "set":
            value = sorted(_text(item) for item in client.smembers(key))
        case "zset":
            flat = raw("ZRANGE", key, 0, -1, "WITHSCORES")
            pairs = zip(flat[::2], flat[1::2], strict=True)
            value = [{"member": _text(member), "score": _text(score)} for member, score in pairs]
        case "hash":
            value = {_text(name): _text(item) for name, item in client.hgetall(key).items()}
    return {"type": kind, "ttl": client.ttl(key), "value": value}


def _text(raw: bytes) -> Any:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}
    return {"base64": base64.b64encode(raw).decode()} if "\0" in text else text
