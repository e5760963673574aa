"""Taking over: the jobs of a process whose lease has run out go back to the head of the queues they came from.

One process sweeps at a time, under a lock that expires. Every job is moved by one script run that looks at the lease
again, so a process that comes back in the middle keeps the rest of its jobs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from hashlib import sha1
from typing import Any

import redis
import structlog

from pykiq.config import Config
from pykiq.errors import Unreadable
from pykiq.records import Takeover
from pykiq.store.claim import Berth
from pykiq.store.lastseen import LastSeen
from pykiq.store.leases import Leases
from pykiq.store.scripts import Call, run, script
from pykiq.wire import keys, payload

_DEAD, _STAYS = 2, 3  # answers of the script

STEP = 1000  # keys that one sweep looks at for lists without an owner
WALK_TTL = 24 * 3600  # seconds

log = structlog.get_logger("pykiq")

# A job taken over this often within POISON_WINDOW seconds kills its process: it goes to the dead set.
POISON_TAKEOVERS = 3
POISON_WINDOW = 72 * 3600
TOGETHER = 60  # seconds within which equal jobs that one process held count as taken over once
ALONE = 60  # seconds at most that one suspect keeps the others waiting
TRIALS = 1.0  # seconds that one round of takeovers spends on letting suspects go, each when the last one has ended
GLANCE = 0.02  # seconds between two looks whether it has


def sweep(
    client: redis.Redis,
    berth: Berth,
    config: Config,
    poison_entry: Callable[[bytes, str, str, float], bytes],
    leases: Leases | None = None,
) -> Iterator[Takeover]:
    """Take over the jobs of every process without a lease; none if another process sweeps just now.

    Each is yielded when it is done: whoever iterates knows of all that were, also when a later one fails.
    `poison_entry(raw, queue, owner, now)` makes the dead entry of a job that has been taken over too often. `leases` is
    what this process has seen of them so far. Raises Doubtful when what it sees now is not to be believed.
    """
    identity, lease_ms, _ = berth.owner_args
    lock = (identity, lease_ms, max(1, int(config.sweep_interval * 750)))
    if not run(client, Call(script("sweep"), [berth.lease, keys.SWEEP], lock)):
        return
    list_unlisted(client, berth)
    until = time.monotonic() + TRIALS
    for owner, queues in (leases or Leases(berth)).lapsed(client).items():
        try:
            seen = LastSeen(client, owner)
            for queue in queues:
                yield from _take_over(client, owner, queue, config, poison_entry, seen, until)
            lists = [keys.inflight(owner, queue) for queue in queues]
            run(client, Call(script("forget"), [keys.lease(owner), keys.OWNERS, *lists], [owner]))
        except redis.ResponseError as error:  # one whose list is no list keeps the others from nothing
            log.error("not_taken_over", identity=owner, error=str(error))


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
    client: redis.Redis, gone: Berth, config: Config, poison_entry: Callable[[bytes, str, str, float], bytes]
) -> Iterator[Takeover]:
    """Take over at once what a process had in flight that is known to have ended, whatever its lease says.

    Each job is yielded when it is done. Suspects for whom there was no time are left to the sweeps. Raises
    redis.RedisError; a repeat takes over what is left.
    """
    client.delete(gone.lease)
    until = time.monotonic() + TRIALS
    seen = LastSeen(client, gone.identity)
    for queue in gone.queues:
        yield from _take_over(client, gone.identity, queue, config, poison_entry, seen, until)
    if not gone.count(client):
        # Redis may yet run what that process had sent, or serve its waiters: who sweeps after this lease finds those
        # jobs. With suspects left, the sweeps go on with them now.
        gone.renew(client)


def _take_over(
    client: redis.Redis,
    owner: str,
    queue: str,
    config: Config,
    poison_entry: Callable[[bytes, str, str, float], bytes],
    seen: LastSeen,
    until: float,
) -> Iterator[Takeover]:
    """Everything at once, but for suspects: of those the oldest, if none of them is under way.

    Where that is not the one that kills its process, it ends, and the next has its turn: now, until `until`
    (monotonic), or with the next sweep. The one that does dies alone.
    """
    inflight = keys.inflight(owner, queue)
    suspects: list[bytes] = []

    def taken(raw: bytes, suspect: str) -> Takeover | int:
        """The job, or the script's answer when it stays where it is or is there no more."""
        now = time.time()
        dead_entry = poison_entry(raw, queue, owner, now)
        call = Call(
            script("reclaim"),
            [
                *(keys.lease(owner), inflight, keys.queue(queue), keys.QUEUES, keys.DEAD),
                *(_counter(raw), keys.SUSPECT),
            ],
            [
                *(raw, queue, now, POISON_TAKEOVERS, POISON_WINDOW),
                *(now - config.dead_timeout, config.dead_max_jobs, dead_entry, suspect, ALONE, owner, TOGETHER),
            ],
        )
        answer = int(run(client, call))
        if answer in (0, _STAYS):
            return answer
        return Takeover(owner, queue, raw, seen.started_at(queue, raw), dead_entry if answer == _DEAD else b"")

    # Newest claim first, each to the head of the queue: the oldest ends up as the next to run.
    entries: Any = client.lrange(inflight, 0, -1)
    for raw in entries:
        answer = taken(raw, "stay")
        if isinstance(answer, Takeover):
            yield answer
        elif answer == _STAYS:
            suspects.append(raw)
    while suspects and (not _is_under_way(client) or _ends(client, until)):
        suspect = suspects.pop()
        answer = taken(suspect, "go")
        if isinstance(answer, Takeover):
            yield answer


def _ends(client: redis.Redis, until: float) -> bool:
    """Wait for the end of the suspect that has its turn; False when `until` (monotonic) comes first."""
    while time.monotonic() < until:
        time.sleep(GLANCE)
        if not _is_under_way(client):
            return True
    return False


def _is_under_way(client: redis.Redis) -> bool:
    """Whether the suspect that had its turn last waits in its queue yet, or is in flight somewhere."""
    answer: Any = client.hmget(keys.SUSPECT, "queue", "raw")
    name, raw = answer
    if raw is None:
        return False
    queue = (name or b"").decode("utf-8", "replace")
    # First the queue: from there it goes in flight, and not the other way round.
    owners: Any = client.hkeys(keys.OWNERS)
    places = [keys.queue(queue), *(keys.inflight(owner.decode("utf-8", "replace"), queue) for owner in owners)]
    with client.pipeline(transaction=False) as pipeline:
        for place in places:
            pipeline.lpos(place, raw, rank=-1)  # it was put at the old end
        found = pipeline.execute(raise_on_error=False)
    return any(isinstance(place, int) for place in found)


def _counter(raw: bytes) -> str:
    """The key under which takeovers of one job are counted. By its bytes too: applications give many jobs one jid.

    The jid is there for people; one of any bytes or of any length would be no name for a key.
    """
    try:
        jid = payload.parse(raw).get("jid")
    except Unreadable:
        jid = None
    plain = isinstance(jid, str) and jid.isascii() and len(jid) <= 100
    return keys.takeovers(str(jid) if plain else "", sha1(raw, usedforsecurity=False).hexdigest())
