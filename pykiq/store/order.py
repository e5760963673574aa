"""The order in which a capsule's queues are tried for a job: as they stand, or drawn anew by weight (WIRE.md §5).

Ruby shuffles a list in which each queue stands as often as it weighs, for every fetch, and takes each name where it
comes first. The first of such a list is a queue with the probability weight / total; the first that is not empty is
one of those that are not, with the probability weight / their total; and what follows is drawn in the same way from
the queues that are left. So a job's queue can be drawn by weight, without a list: first among all queues, then among
those that have not turned out to be empty. The script that claims does so (`lua/claim.lua`), a few numbers a job.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Container
from typing import NamedTuple

from pykiq.config import Capsule

SEEDS = 31  # bits of a seed: what Lua's generator takes everywhere


class Order(NamedTuple):
    """The queues of a capsule; each with its weight, or, in strict order, without any."""

    queues: tuple[str, ...]
    weights: tuple[int, ...] = ()

    @classmethod
    def of(cls, capsule: Capsule) -> Order:
        """Shuffled queues have the heaviest first, where drawing finds it soonest."""
        if capsule.mode == "strict" or len(capsule.names) == 1:
            return cls(capsule.names)
        tickets = Counter(capsule.tickets).most_common()
        return cls(tuple(name for name, _ in tickets), tuple(weight for _, weight in tickets))

    def without(self, closed: Container[str]) -> Order:
        """The others, in the same order."""
        kept = [number for number, name in enumerate(self.queues) if name not in closed]
        if len(kept) == len(self.queues):
            return self
        weights = tuple(self.weights[number] for number in kept) if self.weights and len(kept) > 1 else ()
        return Order(tuple(self.queues[number] for number in kept), weights)

    def firsts(self, count: int, rng: random.Random) -> list[str]:
        """The queue that each of `count` fetches tries first."""
        if not self.weights:
            return [self.queues[0]] * count
        return rng.choices(self.queues, self.weights, k=count)
