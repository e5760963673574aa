"""A stage for the tests of this room: handlers, an exchange that runs beside the test, and a client that breaks."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis as redis_py

from pykiq.config import Config
from pykiq.jobs.handler import Handler, for_function
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.jobs.registry import Registry
from pykiq.middleware.chain import Chain, ServerMiddleware
from pykiq.records import Claimed, Foreign, Settled, Started, Takeover
from pykiq.store.claim import Berth
from pykiq.store.connection import connect
from pykiq.store.fleet import Fleet
from pykiq.worker.exchange import Exchange
from pykiq.worker.execute import Executor
from pykiq.worker.failing import Failing
from pykiq.worker.loopslots import LoopThread
from tests.servers import wait_until

ME = "me:1:aaaaaaaaaaaa"


def raw(name: str, *args: Any, **keys: Any) -> bytes:
    """A payload as Ruby pushes it; its arguments make its jid."""
    jid = f"{abs(hash((name, json.dumps(args)))) % 16**24:024x}"
    job = {"retry": True, "queue": "default", "args": list(args), "class": name, "jid": jid, "created_at": 1.5, **keys}
    return json.dumps(job, separators=(",", ":")).encode()


def handler(name: str, function: Callable[..., Any], **options: Any) -> Handler:
    hooks = {key: options.pop(key) for key in ("retry_in", "retries_exhausted") if key in options}
    return for_function(function, name, {"retry": True, "queue": "default", **options}, **hooks)


def registry(**functions: Callable[..., Any]) -> Registry:
    made = Registry()
    for name, function in functions.items():
        made.register(handler(name, function))
    return made


def claimed(payload: bytes, queue: str = "default") -> Claimed:
    return Claimed(queue, payload, 1_795_315_631.5)


def executor(
    handlers: Registry | None = None,
    *middleware: ServerMiddleware,
    config: Config | None = None,
    fleet: Fleet | None = None,
    hooks: Lifecycle | None = None,
    loop: LoopThread | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Executor:
    config = config or Config.of()
    failing = Failing(config, lambda: fleet or Fleet(), hooks or Lifecycle(), random.Random(1))
    return Executor(config, handlers or Registry(), Chain(*middleware), failing, loop or LoopThread(), stopping)


@dataclass
class Reports:
    """What the exchange reported, in order."""

    started: list[Started] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    met: list[Foreign] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)  # ("start" or a fate, class)

    def __call__(self, started: Sequence[Started], settled: Sequence[Settled], met: Sequence[Foreign] = ()) -> None:
        self.met += met
        self.started += started
        self.lines += [("start", assigned.name) for assigned, _ in started]
        self.settled += settled
        self.lines += [(str(one.fate), one.outcome.name) for one in settled]

    @property
    def fates(self) -> list[str]:
        return [str(one.fate) for one in self.settled]


class Stage:
    """One exchange in a thread of its own."""

    def __init__(
        self,
        url: str,
        handlers: Registry,
        *,
        client: Callable[[redis_py.Redis], Any] = lambda client: client,
        **keys: Any,
    ) -> None:
        middleware: Sequence[ServerMiddleware] = keys.pop("middleware", ())
        report = keys.pop("report", None)
        hooks = keys.pop("hooks", None)
        refused = keys.pop("refused", None)
        identity = keys.pop("identity", ME)
        self.config = Config.of(redis=url, **keys)
        self.berth = Berth(identity, self.config.queues, self.config.lease_ttl)
        self.reports = Reports()
        self.loop = LoopThread()
        self._stopping = threading.Event()
        self.executor = executor(
            *(handlers, *middleware),
            config=self.config,
            hooks=hooks,
            loop=self.loop,
            stopping=self._stopping.is_set,
        )
        self.exchange = Exchange(
            self.config,
            self.berth,
            client(connect(self.config)),
            lambda: connect(self.config, timeout=8.0),
            self.executor,
            self.loop,
            report or self.reports,
            refused,
            acknowledging=connect(self.config),
        )
        self.clean: bool | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="test-exchange", daemon=True)

    def _run(self) -> None:
        try:
            self.clean = self.exchange.run()
        except BaseException as error:
            self.error = error

    def start(self) -> Stage:
        self._thread.start()
        return self

    def stop(self, timeout: float = 5.0) -> bool | None:
        self._stopping.set()
        self.exchange.stop(timeout)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the exchange did not end"
        self.loop.close()
        self.executor.close()
        if self.error is not None:
            raise self.error
        return self.clean

    def quiet_turn(self) -> None:
        """Wait for a whole quiet turn that begins after this call: the second to end, for one may be under way."""
        for _ in range(2):
            ended = self.exchange.turned_at
            self.exchange.quiet()  # wakes it
            wait_until(lambda ended=ended: self.exchange.turned_at > ended)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()


@contextmanager
def staged(url: str, handlers: Registry, **keys: Any) -> Iterator[Stage]:
    stage = Stage(url, handlers, **keys).start()
    try:
        yield stage
    finally:
        if stage.alive:
            stage.stop(0.2)


class Flaky:
    """The exchange's client. It lets Redis run the next `lost` round trips and loses their answers."""

    def __init__(self, client: redis_py.Redis) -> None:
        self._client = client
        self.connection_pool = self  # of round trips; a pipeline is the real client's
        self.lost = 0  # answers to lose from now on
        self.refused = 0  # round trips that never reach Redis
        self.dropped = 0  # how many were lost or refused so far
        self.executed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_connection(self) -> Any:
        self._begin()
        return self._client.connection_pool.get_connection()

    def release(self, connection: Any) -> None:
        self._client.connection_pool.release(connection)
        self._end()

    def ping(self) -> Any:
        self._begin()
        answer = self._client.ping()
        self._end()
        return answer

    def pipeline(self, transaction: bool = True) -> Any:
        pipeline = self._client.pipeline(transaction=transaction)
        execute = pipeline.execute

        def flaky(raise_on_error: bool = True) -> Any:
            with pipeline:
                self._begin()
                answers = execute(raise_on_error)
                self._end()
                return answers

        pipeline.execute = flaky  # type: ignore[method-assign]
        return pipeline

    def _begin(self) -> None:
        if self.refused > 0:
            self.refused -= 1
            self.dropped += 1
            raise redis_py.ConnectionError("refused by the test")

    def _end(self) -> None:
        self.executed += 1
        if self.lost > 0:
            self.lost -= 1
            self.dropped += 1
            raise redis_py.ConnectionError("answer lost by the test")


def push(redis: redis_py.Redis, *payloads: bytes, queue: str = "default") -> None:
    redis.lpush(f"queue:{queue}", *payloads)


def waiting(redis: redis_py.Redis, queue: str = "default") -> list[bytes]:
    """The jobs of a queue, the next to run first."""
    return list(reversed(redis.lrange(f"queue:{queue}", 0, -1)))


def in_flight(redis: redis_py.Redis) -> list[bytes]:
    """All that is in anybody's in-flight list."""
    return [entry for key in redis.keys("pykiq:inflight:*") for entry in redis.lrange(key, 0, -1)]


_others: set[threading.Thread] = set()


def note_threads() -> None:
    """From now on `threads_here` leaves out the threads that run already: other tests' workers, in the same process."""
    _others.clear()
    _others.update(threading.enumerate())


def threads_here() -> list[threading.Thread]:
    """The threads that this test has started and that still run."""
    return [thread for thread in threading.enumerate() if thread not in _others]


class Reported:
    """Stands for a reporter: what the poller, the sweeper or the keeper had to tell."""

    def __init__(self) -> None:
        self.settled: list[Settled] = []
        self.taken: list[Takeover] = []

    def __call__(self, started: object, settled: Any, met: object = (), taken: Any = ()) -> None:
        self.settled += settled
        self.taken += taken
