"""Two processes on one queue: neither keeps jobs waiting for which the other has a slot."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import redis

from tests.chaos.fleet import Fleet, in_flight, payload, push
from tests.servers import wait_until

QUICK = 4000
SLOW = 12
SLOTS = 2


def test_slow_jobs_behind_quick_ones_are_shared_evenly(
    crew: Fleet, store: redis.Redis, say: Callable[[object], None]
) -> None:
    """The quick ones have made the look-ahead large when the slow ones come: one process could take them all."""
    workers = [crew.start("-c", str(SLOTS)).ready(), crew.start("-c", str(SLOTS)).ready()]
    slow = range(QUICK, QUICK + SLOW)
    push(store, [payload(number) for number in range(QUICK)] + [payload(number, "QuickJob", 1.0) for number in slow])
    longest, begun = 0.0, None
    while crew.ledger.count().total() < QUICK + SLOW:
        lengths = [int(store.llen(key)) for key in in_flight(store)] + [0, 0]
        hoarded = store.llen("queue:default") == 0 and max(lengths) > SLOTS and sorted(lengths)[-2] < SLOTS
        begun = (begun or time.monotonic()) if hoarded else None
        longest = max(longest, time.monotonic() - begun) if begun else longest
        time.sleep(0.005)
    ran = Counter(where for what, number, where, _ in crew.ledger.lines() if what == "done" and number in slow)
    say(f"slow jobs by process: {dict(ran)}; waited beside a free slot for {longest:.2f} s at the longest")
    assert sum(ran.values()) == SLOW
    assert min(ran[worker.name] for worker in workers) >= SLOW // 2 - 1
    assert [worker.stop() for worker in workers] == [0, 0]
    assert in_flight(store) == []


def test_jobs_of_a_second_each_start_at_once_as_long_as_anybody_has_a_slot(
    crew: Fleet, store: redis.Redis, say: Callable[[object], None]
) -> None:
    """Three times as many jobs as there are slots in both: each process runs three times as many as it has slots."""
    workers = [crew.start("-c", str(SLOTS)).ready(), crew.start("-c", str(SLOTS)).ready()]
    for number in range(3 * 2 * SLOTS):
        push(store, [payload(number, "QuickJob", 1.0)])
    wait_until(lambda: crew.ledger.count().total() == 3 * 2 * SLOTS, 30, "all jobs done")
    ran = Counter(where for what, _, where, _ in crew.ledger.lines() if what == "done")
    say(f"jobs by process: {dict(ran)}")
    assert [ran[worker.name] for worker in workers] == [3 * SLOTS] * 2
    assert [worker.stop() for worker in workers] == [0, 0]
