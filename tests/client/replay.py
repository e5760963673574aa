"""Pushes a job again as a capture recorded it: same jids, same moments, and a note of every command that is sent."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis as redis_py

from pykiq import Client, Config
from pykiq.client import base, default, sync
from pykiq.jobs import enqueue
from pykiq.middleware.chain import Chain, ClientMiddleware
from pykiq.store.push import PushBatch, commands, push
from tests.captures import Capture


class Replay:
    """A client that lives through what a capture recorded. `sent` is every command, as bytes on the wire."""

    def __init__(self, capture: Capture, url: str, patch: pytest.MonkeyPatch, *, one_bulk: bool) -> None:
        self.capture = capture
        self.sent: list[tuple[bytes, ...]] = []
        self.middleware: Chain[ClientMiddleware] = Chain()
        self.client = Client(
            Config.of(redis=url, wire=capture.version[0]),
            middleware=self.middleware,
            clock=_moments(capture, one_bulk).__next__,
            rng=_Scripted(capture),
        )
        jids = iter(_jids(capture))
        patch.setattr(base, "new_jid", lambda: next(jids, "0" * 24))
        patch.setattr(base, "new_jids", lambda count: [next(jids, "0" * 24) for _ in range(count)])
        patch.setattr(default, "client", lambda: self.client)
        patch.setattr(sync, "push", self._noted_push)
        self._patch = patch

    def now(self, seconds: float) -> None:
        """Make this the time of the next `perform_in`."""
        self._patch.setattr(enqueue.time, "time", lambda: seconds)

    def interval_began(self, interval: float) -> None:
        """Make the time of the next `perform_in` the one that led to the recorded score."""
        score = self.capture.scores("schedule")[0]
        began = score - interval
        while began + interval != score:
            began = math.nextafter(began, math.inf if began + interval < score else 0)
        self.now(began)

    def _noted_push(self, client: redis_py.Redis, batches: Sequence[PushBatch]) -> None:
        encode = client.get_encoder().encode
        self.sent += [tuple(bytes(encode(word)) for word in command) for command in commands(batches)]
        push(client, batches)


def recorded(capture: Capture) -> list[tuple[bytes, ...]]:
    """The commands by which Ruby pushed."""
    verbs = ("sadd", "lpush", "zadd")
    return [(sent.verb.upper().encode(), *sent.words) for sent in capture.commands if sent.verb in verbs]


def pushed(capture: Capture) -> list[dict[str, Any]]:
    """The payloads Ruby pushed, in the order in which it made them."""
    return [job for entries in _entries(capture) for job in entries]


def _jids(capture: Capture) -> list[str]:
    """The jids in the order in which Ruby drew them: that of a bulk's result, whatever queues the jobs went to."""
    returned = capture.data["returned"]
    if isinstance(returned, list) and all(isinstance(jid, str) for jid in returned):
        return returned
    return [job["jid"] for job in pushed(capture)]


def _entries(capture: Capture) -> Iterator[list[dict[str, Any]]]:
    for sent in capture.commands:
        if sent.verb == "lpush":
            yield [json.loads(word) for word in sent.words[1:]]
        elif sent.verb == "zadd":
            yield [json.loads(word) for word in sent.words[2::2]]


def _moments(capture: Capture, one_bulk: bool) -> Iterator[float]:
    """What the client's clock says, call after call: `created_at` once per call, then the moment of every command."""
    created = [entries[0]["created_at"] for entries in _entries(capture)]
    enqueued = [entries[0].get("enqueued_at", entries[0]["created_at"]) for entries in _entries(capture)]
    for number, moments in enumerate(zip(created, enqueued, strict=True)):
        for moment in moments[1:] if one_bulk and number else moments:
            # Half a millisecond more, so that cutting off below the millisecond gives back what was recorded.
            yield moment / 1000 + 0.0005 if isinstance(moment, int) else moment
    while True:
        yield 1_795_315_352.5


class _Scripted(random.Random):
    """Says what Ruby's dice must have said for the scores of a bulk that was spread over 60 seconds."""

    def __init__(self, capture: Capture) -> None:
        super().__init__()
        self._capture = capture
        self.width = 60.0
        self._rolls = self._each()

    def random(self) -> float:
        return next(self._rolls)

    def _each(self) -> Iterator[float]:
        start = next(_moments(self._capture, True))
        zadd = next(sent for sent in self._capture.commands if sent.verb == "zadd")
        for score in map(float, zadd.words[1::2]):
            roll = (score - start) / self.width
            while start + roll * self.width != score:
                roll = math.nextafter(roll, 1.0 if start + roll * self.width < score else 0.0)
            yield roll
