"""Taking over: the jobs of a process whose lease has run out go back to the head of the queues they came from.

One process sweeps for all (leadership.py). Every portion is moved by one script run that looks at the lease again, so
a process that comes back in the middle keeps the rest of its jobs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import redis

from pykiq.config import Config
from pykiq.logger import get_logger
from pykiq.records import Takeover
from pykiq.store.claim import Berth
from pykiq.store.leadership import Leadership
from pykiq.store.leases import Leases
from pykiq.store.leftovers import Leftovers, PoisonEntry
from pykiq.store.refusals import Refusals, concerns_all
from pykiq.store.scripts import Call, run, script
from pykiq.store.sifting import is_pass, put_back
from pykiq.wire import keys

STEP = 1000  # keys that one sweep looks at for lists without an owner
WALK_TTL = 24 * 3600  # seconds
TRIALS = 1.0  # seconds that one round of takeovers spends on letting suspects go, each when the last one has ended

log = get_logger()


def sweep(
    client: redis.Redis,
    berth: Berth,
    config: Config,
    poison_entry: PoisonEntry,
    leases: Leases | None = None,
    refusals: Refusals | None = None,
    leads: Leadership | None = None,
) -> Iterator[Takeover]:
    """Take over the jobs of every process without a lease; none if it is another process that sweeps.

    Each is yielded when it is done: whoever iterates knows of all that were, also when a later one fails.
    Suspects come last: what waits for their ends keeps no other job waiting. `leases` is what this process has seen of
    them so far, `leads` whether it is the one that sweeps. Raises Doubtful when what it sees now is not to be believed.
    """
    # Not again on another server: nobody could renew a lease there until now, so the refusal is to raise the doubt.
    if not (leads or leadership(berth, config)).take(client, again=False):
        return
    list_unlisted(client, berth)
    lapsed = (leases or Leases(berth)).lapsed(client)  # takes a second where there are any
    gone = {owner: queues for owner, queues in lapsed.items() if not is_pass(owner)}
    everything = {owner: Leftovers(client, owner, config, poison_entry, refusals) for owner in gone}
    for owner, left in everything.items():
        for queue in gone[owner]:
            yield from left.taken(queue)
    until = time.monotonic() + TRIALS
    for owner, left in everything.items():
        yield from left.let_go(until)
        _forget(client, owner, gone[owner])
    for owner in lapsed.keys() - gone.keys():  # theirs are many, and none ran
        _put_back(client, owner, lapsed[owner], refusals or Refusals())


def _forget(client: redis.Redis, owner: str, queues: Sequence[str]) -> None:
    lists = [keys.inflight(owner, queue) for queue in queues]
    run(client, Call(script("forget"), [keys.lease(owner), keys.OWNERS, *lists], [owner]))


def leadership(berth: Berth, config: Config) -> Leadership:
    """Who sweeps. Not for longer than a lease: the end of the one that sweeps must not put off its own takeover."""
    return Leadership(berth, keys.SWEEP, min(2 * config.sweep_interval, config.lease_ttl))


def _put_back(client: redis.Redis, owner: str, queues: Sequence[str], refusals: Refusals) -> None:
    """What a deletion from a queue held that was killed: no job of it ran, so it is no takeover and counts as none."""
    for queue in queues:
        try:
            put_back(client, owner, queue)
            log.warning(
                "deletion_was_killed", identity=owner, queue=queue, next="what it had looked at is in its place"
            )
        except redis.ResponseError as error:
            if concerns_all(error):
                raise
            refusals.key("takeover", keys.inflight(owner, queue), str(error), "the other takeovers go on")


def list_unlisted(client: redis.Redis, berth: Berth) -> None:
    """Look at a few more of all keys for in-flight lists of processes that nobody knows, and list those again.

    A second net: whatever moves a job in flight lists its owner, but for the BLMOVE of a process that was frozen until
    it was forgotten and is killed just when it wakes; and somebody may delete the hash of owners. One step of a SCAN
    for each sweep of the fleet costs the same however many keys there are, and in the end sees all of them.
    """
    try:
        begun: Any = client.get(keys.WALK)
        answer: Any = client.scan(int(begun or 0), match=keys.inflight("*", "*"), count=STEP)
        cursor, found = answer
        places = (keys.owner_and_queue(key.decode("utf-8", "replace")) for key in found)
        queues = {place[0]: place[1] for place in places if place}
        pairs = [part for owner, queue in queues.items() for part in (owner, json.dumps([queue]))]
        walked = (berth.owner_args[1], cursor, WALK_TTL, *pairs)
        for owner in run(client, Call(script("walked"), [berth.lease, keys.WALK, keys.OWNERS], walked)):
            name = owner.decode()
            log.warning("owner_was_not_listed", identity=name, queue=queues[name], next="its jobs are taken over")
    except (redis.ResponseError, ValueError) as error:  # SCAN may be forbidden: the takeovers go on
        log.debug("not_looked_for_unlisted", error=str(error))


def take_over(
    client: redis.Redis,
    gone: Berth,
    config: Config,
    poison_entry: PoisonEntry,
    refusals: Refusals | None = None,
) -> Iterator[Takeover]:
    """Take over at once what a process had in flight that is known to have ended, whatever its lease says.

    Each job is yielded when it is done. Suspects for whom there was no time are left to the sweeps. Raises
    redis.RedisError; a repeat takes over what is left.
    """
    client.delete(gone.lease)
    left = Leftovers(client, gone.identity, config, poison_entry, refusals)
    for queue in gone.queues:
        yield from left.taken(queue)
    yield from left.let_go(time.monotonic() + TRIALS)
    if not gone.count(client):
        # Redis may yet run what that process had sent, or serve its waiters: who sweeps after this lease finds those
        # jobs. With suspects left, the sweeps go on with them now.
        gone.renew(client)
