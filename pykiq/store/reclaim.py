"""Taking over: the jobs of a process whose lease has run out go back to the head of the queues they came from.

One process sweeps at a time, under a lock that expires. Every job is moved by one script run that looks at the lease
again, so a process that comes back in the middle keeps the rest of its jobs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import redis

from pykiq.config import Config
from pykiq.errors import Unreadable
from pykiq.logger import about_job, get_logger
from pykiq.records import Takeover
from pykiq.store.bounded import Entry, portions
from pykiq.store.claim import Berth
from pykiq.store.lastseen import LastSeen
from pykiq.store.leases import Leases
from pykiq.store.refusals import Refusals, concerns_all
from pykiq.store.scripts import Call, run, script, send
from pykiq.store.sifting import is_pass, put_back
from pykiq.wire import keys, payload

_BACK, _DEAD, _STAYS = 1, 2, 3  # answers of the script

STEP = 1000  # keys that one sweep looks at for lists without an owner
WALK_TTL = 24 * 3600  # seconds

log = get_logger()

# A job taken over this often within POISON_WINDOW seconds kills its process: it goes to the dead set.
POISON_TAKEOVERS = 3
POISON_WINDOW = 72 * 3600
TOGETHER = 60  # seconds within which equal jobs that one process held count as taken over once
ALONE = 60  # seconds at most that one suspect keeps the others waiting
TRIALS = 1.0  # seconds that one round of takeovers spends on letting suspects go, each when the last one has ended
GLANCE = 0.02  # seconds between two looks whether it has
MOST_NAMED = 20  # jobs of one takeover that have a line in the log each


def sweep(
    client: redis.Redis,
    berth: Berth,
    config: Config,
    poison_entry: Callable[[bytes, str, str, float], bytes],
    leases: Leases | None = None,
    refusals: Refusals | None = None,
) -> Iterator[Takeover]:
    """Take over the jobs of every process without a lease; none if another process sweeps just now.

    Each is yielded when it is done: whoever iterates knows of all that were, also when a later one fails.
    `poison_entry(raw, queue, owner, now)` makes the dead entry of a job that has been taken over too often. `leases` is
    what this process has seen of them so far. Raises Doubtful when what it sees now is not to be believed.
    """
    identity, lease_ms, _ = berth.owner_args
    lock = (identity, lease_ms, max(1, int(config.sweep_interval * 750)))
    # Not again on another server: nobody could renew a lease there until now, so the refusal is to raise the doubt.
    if not run(client, Call(script("sweep"), [berth.lease, keys.SWEEP], lock), again=False):
        return
    list_unlisted(client, berth)
    lapsed = (leases or Leases(berth)).lapsed(client)  # takes a second where there are any
    until = time.monotonic() + TRIALS
    for owner, queues in sorted(lapsed.items(), key=lambda one: is_pass(one[0])):  # theirs are many, and none ran
        if is_pass(owner):
            _put_back(client, owner, queues, refusals or Refusals())
            continue
        left = _Leftovers(client, owner, config, poison_entry, until, refusals)
        for queue in queues:
            yield from left.taken(queue)
        lists = [keys.inflight(owner, queue) for queue in queues]
        run(client, Call(script("forget"), [keys.lease(owner), keys.OWNERS, *lists], [owner]))


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
    poison_entry: Callable[[bytes, str, str, float], bytes],
    refusals: Refusals | None = None,
) -> Iterator[Takeover]:
    """Take over at once what a process had in flight that is known to have ended, whatever its lease says.

    Each job is yielded when it is done. Suspects for whom there was no time are left to the sweeps. Raises
    redis.RedisError; a repeat takes over what is left.
    """
    client.delete(gone.lease)
    left = _Leftovers(client, gone.identity, config, poison_entry, time.monotonic() + TRIALS, refusals)
    for queue in gone.queues:
        yield from left.taken(queue)
    if not gone.count(client):
        # Redis may yet run what that process had sent, or serve its waiters: who sweeps after this lease finds those
        # jobs. With suspects left, the sweeps go on with them now.
        gone.renew(client)


class _Leftovers:
    """What one dead process left in flight, on its way back; `until` (monotonic) there is time for suspects."""

    def __init__(
        self,
        client: redis.Redis,
        owner: str,
        config: Config,
        poison_entry: Callable[[bytes, str, str, float], bytes],
        until: float,
        refusals: Refusals | None,
    ) -> None:
        self._client = client
        self._owner = owner
        self._config = config
        self._poison_entry = poison_entry
        self._until = until
        self._refusals = refusals or Refusals()
        self._seen = LastSeen(client, owner)
        self._lines = 0

    def taken(self, queue: str) -> Iterator[Takeover]:
        """Take over everything at once, but for suspects: of those the oldest, if none of them is under way.

        Where that is not the one that kills its process, it ends, and the next has its turn: now, while there is time,
        or with the next sweep. The one that does dies alone. A key that is no list keeps the others from nothing.
        """
        try:
            yield from self._all_but_suspects(queue, suspects := list[Entry]())
            while suspects and (not _is_under_way(self._client) or _ends(self._client, self._until)):
                yield from self._moved(queue, suspects.pop(), "go", back=True)
        except redis.ResponseError as error:
            if concerns_all(error):
                raise
            key = keys.inflight(self._owner, queue)
            self._refusals.key("takeover", key, str(error), "the other takeovers go on")
            log.error("not_taken_over", identity=self._owner, queue=queue, error=str(error))

    def _all_but_suspects(self, queue: str, suspects: list[Entry]) -> Iterator[Takeover]:
        # Newest claim first, each to the head of the queue: the oldest ends up as the next to run. What goes is no more
        # before the next portion; what stays is.
        stays = 0
        while entries := portions(self._client, keys.inflight(self._owner, queue), stays):
            for entry, fate in zip(entries, self._fates(queue, entries), strict=True):
                if fate == _STAYS:
                    suspects.append(entry)
                    stays += 1
                    continue
                moved = list(self._moved(queue, entry, "stay", back=fate == _BACK))
                stays += not moved
                yield from moved

    def _fates(self, queue: str, entries: Sequence[Entry]) -> list[int]:
        """What would become of these jobs now."""
        answers = send(self._client, [self._call(queue, entry, "look") for entry in entries])
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _moved(self, queue: str, entry: Entry, mode: str, *, back: bool) -> Iterator[Takeover]:
        """Move one job, if it is still there: `back` to its queue, as far as can be told beforehand."""
        seen = entry.stand_in
        started_at = self._seen.started_at(queue, seen)
        if back:
            self._say(queue, seen, started_at)
        now, raw = time.time(), entry.raw
        dead_entry = b"" if raw is None else self._poison_entry(raw, queue, self._owner, now)
        answer = int(run(self._client, self._call(queue, entry, mode, now, dead_entry)))
        if answer in (_BACK, _DEAD):
            yield Takeover(self._owner, queue, seen, started_at, (dead_entry or seen) if answer == _DEAD else b"")

    def _call(self, queue: str, entry: Entry, mode: str, now: float | None = None, dead_entry: bytes = b"") -> Call:
        config, owner = self._config, self._owner
        raw = b"" if mode == "look" or entry.raw is None else entry.raw
        now = time.time() if now is None else now
        return Call(
            script("reclaim"),
            [
                *(keys.lease(owner), keys.inflight(owner, queue), keys.queue(queue), keys.QUEUES, keys.DEAD),
                *(_counter(entry), keys.SUSPECT),
            ],
            [
                *(raw, queue, now, POISON_TAKEOVERS, POISON_WINDOW),
                *(now - config.dead_timeout, config.dead_max_jobs, dead_entry, mode, ALONE, owner, TOGETHER),
                *(entry.size, entry.digest),
            ],
        )

    def _say(self, queue: str, raw: bytes, started_at: float | None) -> None:
        """Name a job before it goes back: it may kill whoever takes it, and this process may take it at once."""
        if self._lines == MOST_NAMED:
            return
        self._lines += 1
        job = payload.told(raw)
        told = about_job(job.name, job.jid, queue)
        if started_at is not None:
            told["started"] = datetime.fromtimestamp(started_at, UTC).isoformat(timespec="seconds")
        log.warning("job_taken_over", **told, identity=self._owner, next="goes back to the head of its queue")


def _ends(client: redis.Redis, until: float) -> bool:
    """Wait for the end of the suspect that has its turn; False when `until` (monotonic) comes first."""
    while time.monotonic() < until:
        time.sleep(GLANCE)
        if not _is_under_way(client):
            return True
    return False


def _is_under_way(client: redis.Redis) -> bool:
    """Whether the suspect that had its turn last waits in its queue yet, or is in flight somewhere."""
    name: Any = client.hget(keys.SUSPECT, "queue")
    if name is None:
        return False
    queue = name.decode("utf-8", "replace")
    owners: Any = client.hkeys(keys.OWNERS)
    places = [keys.inflight(owner.decode("utf-8", "replace"), queue) for owner in owners]
    return bool(run(client, Call(script("under_way"), [keys.SUSPECT, keys.queue(queue), *places], [name])))


def _counter(entry: Entry) -> str:
    """The key under which takeovers of one job are counted. By its bytes too: applications give many jobs one jid.

    The jid is there for people; one of any bytes or of any length would be no name for a key.
    """
    try:
        jid = payload.parse(entry.stand_in).get("jid")
    except Unreadable:
        jid = None
    plain = isinstance(jid, str) and jid.isascii() and len(jid) <= 100
    return keys.takeovers(str(jid) if plain else "", entry.digest)
