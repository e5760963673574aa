"""Watching many queues over one connection: Redis tells when one of them has changed.

A blocking command waits on a connection of its own for each queue. With hundreds of queues those connections, arming
them and disarming them whenever the last slot fills cost more than the jobs. So of many queues only the busiest have a
doorbell; the others are watched by client-side caching: one connection asks for their lengths, Redis remembers who has
asked, and tells a second connection once about each that changes. That queue is fetched from and asked for again.

Nothing moves without having been asked for: a change that is told while no slot is free costs nothing and is lost to
nobody. A job that arrives wakes every idle process that watches its queue, and one of them gets it. So a queue that
changes often gets a doorbell, which wakes one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import redis

from pykiq.logger import get_logger
from pykiq.records import Claimed
from pykiq.store.claim import Berth
from pykiq.store.connection import Ear, close, descriptor
from pykiq.store.refusals import concerns_all
from pykiq.store.rights import CHANNEL
from pykiq.store.roundtrip import Command, packed
from pykiq.wire import keys
from pykiq.worker.descriptors import readable
from pykiq.worker.inbox import Inbox

CHECK = 5.0  # seconds between two looks whether both connections are alive
CHECKED = 10  # queues asked for again with each: all of them in turn, should a change ever not have been told
REST = 1.0  # seconds between two tries to connect
UNABLE = 60.0  # seconds until a server that cannot do it is asked again

log = get_logger()

News = Callable[[Sequence[str] | None], None]


class Watch:
    """Knows which queues are empty. Only the exchange's thread uses it."""

    def __init__(self, berth: Berth, connect: Callable[[], redis.Redis], inbox: Inbox[Any], news: News) -> None:
        """`news` is called with the queues that have changed, and with None when the connection was lost."""
        self.empty: dict[str, None] = {}
        """The queues that were empty when last asked for, and have not changed since; in the order of asking."""
        self._berth = berth
        self._clients = (connect(), connect())
        self._inbox = inbox
        self._news = news
        self._connections: list[tuple[Any, redis.Redis]] = []  # one that asks and one that is told, or none
        self._asking: Ear  # made with each connection
        self._hearing: Ear
        self._watched: list[int] = []  # the descriptors of the connections, while they are listened to
        self._check_at = self._again_at = self._unable_until = 0.0  # monotonic
        self._ponged = True  # the other connection has answered since the last look
        self._told = False  # that the server cannot do it

    @property
    def able(self) -> bool:
        """Whether the server can do it, as far as is known. Without it every queue needs a doorbell."""
        return time.monotonic() >= self._unable_until

    def connected(self) -> bool:
        """Whether it is connected, after trying to be."""
        if not self._connections and self.able and time.monotonic() >= self._again_at:
            self._connect()
        return bool(self._connections)

    def ask(self, queues: Iterable[str]) -> bool:
        """Find out which of these are empty, and hear of it when they change. Whether all of them are.

        Raises redis.RedisError or OSError when the connection is lost.
        """
        asked = [queue for queue in queues if queue not in self.empty]
        lengths = self._send([("LLEN", keys.queue(queue)) for queue in asked]) if asked else []
        self._read(asked, lengths)
        return not any(lengths)

    def fetch(self, queues: Sequence[str]) -> list[Claimed]:
        """One job from each of these that has one, in flight; the queues that are empty then are watched again.

        Raises redis.RedisError or OSError when the connection is lost: jobs may have been moved.
        """
        commands: list[Command] = []
        for queue in queues:
            commands.append(("LMOVE", keys.queue(queue), self._berth.inflight(queue), "RIGHT", "LEFT"))
            commands.append(("LLEN", keys.queue(queue)))
        answers = self._send(commands)
        self._read(queues, answers[1::2])
        now = time.time()
        jobs = zip(queues, answers[::2], strict=True)
        return [Claimed(queue, raw, now) for queue, raw in jobs if isinstance(raw, bytes)]

    def listen(self, *, on: bool) -> None:
        """Whether changes are told now. What comes meanwhile waits in the connection."""
        if not self._connections:
            return
        if on and not self._watched:
            self._watched = [descriptor(connection) for connection, _ in self._connections]
            # Whoever asks waits for the answer: what comes otherwise on that connection is its end.
            for number, hear in zip(self._watched, (self.lose, self._hear), strict=True):
                self._inbox.watch(number, hear)
        elif not on:
            for number in self._watched:
                self._inbox.unwatch(number)
            self._watched.clear()

    def look_after(self) -> None:
        """Now and then: are both connections alive, and is what is believed of some queues true?"""
        now = time.monotonic()
        if not self._connections or now < self._check_at:
            return
        self._check_at = now + CHECK
        try:
            if readable([descriptor(self._connections[1][0])], 0):
                self._hear()  # the answer to the last PING, while nobody listened
            if not self._ponged:
                raise redis.TimeoutError("no answer")
            self._ponged = False
            self._hearing.send(packed([("PING",)]))
            # A write, which a master that was demoted refuses. It changes nothing but the age of a lease that is there.
            self._send([("PEXPIRE", self._berth.lease, int(self._berth.lease_ttl * 1000))])
            some = list(islice(self.empty, CHECKED))
            for queue in some:
                del self.empty[queue]
            self.ask(some)
        except (redis.RedisError, OSError):
            self.lose()
            return
        changed = [queue for queue in some if queue not in self.empty]
        if changed:
            self._news(changed)

    def lose(self) -> None:
        """Hang up; nothing is known of any queue any more."""
        self._hang_up()
        self._news(None)

    def close(self) -> None:
        """Hang up for good."""
        self._hang_up()
        self._again_at = float("inf")
        for client in self._clients:
            close(client)

    def _connect(self) -> None:
        try:
            for client in self._clients:
                self._connections.append((client.connection_pool.get_connection(), client))
            self._asking, self._hearing = (Ear(connection) for connection, _ in self._connections)
            [number] = self._answer(self._hearing, [("CLIENT", "ID")])
            self._answer(self._hearing, [("SUBSCRIBE", CHANNEL)])
            # Not NOLOOP: with it nothing is told of keys that the server forgets, its table being full, at a command
            # of ours.
            self._send([("CLIENT", "TRACKING", "ON", "REDIRECT", number)])
        except redis.ResponseError as error:
            self._hang_up()
            if concerns_all(error):  # it is busy with a script, say
                self._again_at = time.monotonic() + REST
                return
            self._unable_until = time.monotonic() + UNABLE
            if not self._told:
                self._told = True
                log.warning(
                    "queues_not_watched",
                    error=str(error),
                    next="each queue is waited for on a connection of its own; allow CLIENT TRACKING and SUBSCRIBE",
                )
        except (redis.RedisError, OSError):
            self._hang_up()
            self._again_at = time.monotonic() + REST
        else:
            self._check_at = time.monotonic() + CHECK
            self._ponged = True

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        return self._answer(self._asking, commands)

    def _answer(self, ear: Ear, commands: Sequence[Command]) -> list[Any]:
        ear.send(packed(commands))
        answers: list[Any] = []
        refused: list[redis.ResponseError] = []
        for _ in commands:
            try:
                answers.append(ear.read())
            except redis.ResponseError as error:  # a key of another type holds no jobs; the claims tell of it
                answers.append(0)
                refused.append(error)
        if refused and (len(commands) == 1 or any(map(concerns_all, refused))):
            raise refused[0]
        return answers

    def _read(self, queues: Iterable[str], lengths: Iterable[int]) -> None:
        for queue, length in zip(queues, lengths, strict=True):
            if length:
                self.empty.pop(queue, None)
            else:
                self.empty[queue] = None

    def _hear(self) -> None:
        """Something has been told. Further messages may have come with it."""
        try:
            changed = self._hear_all()
        except (redis.RedisError, OSError):
            self.lose()
            return
        if changed:
            self._news(changed)

    def _hear_all(self) -> list[str]:
        """The queues that have changed, of which that was not known."""
        changed: dict[str, None] = {}
        for message in self._hearing.read_all():
            if isinstance(message, redis.RedisError):  # to the PING
                raise message
            if message[0] == b"pong":
                self._ponged = True
            elif message[0] == b"message":
                names = self.empty if message[2] is None else map(_queue, message[2])  # nil: all that there was is gone
                changed.update((name, None) for name in names if name in self.empty)
        for name in changed:
            del self.empty[name]
        return list(changed)

    def _hang_up(self) -> None:
        self.listen(on=False)
        self.empty.clear()
        for connection, client in self._connections:
            connection.disconnect()
            client.connection_pool.release(connection)
        self._connections.clear()


def _queue(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape").removeprefix(keys.queue(""))
