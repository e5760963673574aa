"""Walks through a real queue while everything else happens to it: others pop, push, put back and walk too."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
import redis as redis_py

from pykiq.store import claim
from pykiq.store.scripts import run
from pykiq.worker.selective import WHOLE_REST, Selective
from tests.store.jobs import berth, push, raw, waiting

PATIENCE = 60.0  # seconds of the walkers' clocks within which a job of theirs is found, once it is quiet


@dataclass
class Walker:
    """One process that has handlers for `name` alone, and remembers what it claimed."""

    redis: redis_py.Redis
    name: str
    now: float = 100.0
    claimed: list[bytes] = field(default_factory=list)
    new: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.selective = Selective(berth(identity=f"{self.name}:1:aaaaaaaaaaaa"), lambda: [self.name])

    def look(self, room: int) -> None:
        """The next look, as soon as it is due; what a plain claim would find when there is nothing to look through."""
        if "default" not in self.selective:
            popped = self.redis.rpop("queue:default")
            if popped is not None and f'"{self.name}"'.encode() in popped:
                self.claimed.append(popped)
            elif popped is not None:
                self.redis.rpush("queue:default", popped)
                self.selective.found_foreign("default", json.loads(popped)["class"])
            return
        self.now = max(self.now, self.selective.next_look() or 0.0)
        answer = run(self.redis, self.selective.call("default", room, self.now))
        self.now += 0.001
        self.claimed += [one.raw for one in self.selective.read("default", answer, room, self.now, 0.0)]
        for met in self.selective.take_met():
            self.new.update(met.new)


@pytest.mark.parametrize("seed", range(6))
def test_every_job_of_ours_is_claimed_once_and_the_others_stay_in_order(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(claim, "WINDOW", 25)
    rng = random.Random(seed)
    walkers = [Walker(redis, name) for name in ("Mine", "Yours")]
    pushed: dict[str, list[bytes]] = {name: [] for name in ("Mine", "Yours", "Ruby")}
    taken: list[bytes] = []  # by Ruby, whatever it is
    number = 0
    for _ in range(1500):
        action = rng.choices(["push", "pop", "requeue", "look"], [10, 2, 1, 40])[0]
        if action == "push":
            for _ in range(rng.choice((1, 1, 5, 60))):
                number += 1
                name = rng.choices(["Mine", "Yours", "Ruby"], [1, 1, 12])[0]
                pushed[name].append(raw(number, name))
                push(redis, "default", pushed[name][-1])
        elif action == "pop":
            many = rng.choices((1, 3, 40, 1200), (8, 8, 4, 0.5))[0]
            taken += redis.rpop("queue:default", many) or []
        elif action == "requeue" and taken:
            many = rng.choice((5, 60))
            back, taken = taken[-many:], taken[:-many]
            redis.rpush("queue:default", *reversed(back))
        else:
            rng.choice(walkers).look(rng.choice((1, 3, 10)))

    quiet = [walker.now for walker in walkers]
    for walker, since in zip(walkers, quiet, strict=True):
        while any(f'"{walker.name}"'.encode() in job for job in waiting(redis)):
            assert walker.now - since < PATIENCE, "a job of ours is not found"
            walker.look(10)

    left = waiting(redis)
    for walker in walkers:
        mine = [job for job in taken if f'"{walker.name}"'.encode() in job]
        assert Counter(walker.claimed + mine) == Counter(pushed[walker.name])
    ruby = [job for job in taken + left if b'"Ruby"' in job]
    assert ruby == pushed["Ruby"]


def test_a_job_of_ours_that_was_put_back_behind_foreign_ones_is_found_by_a_whole_walk(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "WINDOW", 25)
    walker = Walker(redis, "Mine")
    push(redis, "default", *(raw(number, "Ruby") for number in range(100)))
    for _ in range(20):
        walker.look(10)
    redis.rpush("queue:default", raw(500, "Mine"), *(raw(number, "Ruby") for number in range(200, 250)))
    since = walker.now
    while not walker.claimed:
        assert walker.now - since < PATIENCE
        walker.look(10)
    assert WHOLE_REST / 2 < walker.now - since < 2 * WHOLE_REST
    assert walker.new == {"Ruby": 99}, "one was handed back; what was put back in front is not new"
