"""What one dead process left in flight, on its way back to the queues: in portions, each moved by one run of a script.

For a portion Redis is asked twice, however many jobs are in it: for their bytes, and to move them. Suspects, jobs that
were taken over before, are the exception: each has its turn when the one before it has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import redis

from pykiq.config import Config
from pykiq.errors import Unreadable
from pykiq.logger import about_job, get_logger
from pykiq.records import Takeover
from pykiq.store.bounded import Entry, portions
from pykiq.store.lastseen import LastSeen
from pykiq.store.refusals import Refusals, concerns_all
from pykiq.store.scripts import Call, run, script
from pykiq.wire import keys, payload

_BACK, _POISON, _STAYS = 1, 2, 3  # answers of the script

# A job taken over this often within POISON_WINDOW seconds kills its process: it goes to the dead set.
POISON_TAKEOVERS = 3
POISON_WINDOW = 72 * 3600
TOGETHER = 60  # seconds within which equal jobs that one process held count as taken over once
ALONE = 60  # seconds at most that one suspect keeps the others waiting
FIRST_GLANCE, LAST_GLANCE = 0.001, 0.02  # seconds between two looks whether it has ended: they grow
MOST = 400  # jobs that one run of the script moves: 4 to 5 ms of Redis
MOST_NAMED = 20  # jobs of one takeover that have a line in the log each

PoisonEntry = Callable[[bytes, str, str, float], bytes]
"""Makes the dead entry of a job that was taken over too often, of its bytes, queue, last owner and the time."""

log = get_logger()


class _Left(NamedTuple):
    """One job: the key under which its takeovers are counted, and when it began (epoch s), if that is known."""

    entry: Entry
    counter: str
    started_at: float | None


class Leftovers:
    """What `owner` left in flight. One thread at a time."""

    def __init__(
        self,
        client: redis.Redis,
        owner: str,
        config: Config,
        poison_entry: PoisonEntry,
        refusals: Refusals | None = None,
    ) -> None:
        self._client = client
        self._owner = owner
        self._config = config
        self._poison_entry = poison_entry
        self._refusals = refusals or Refusals()
        self._seen = LastSeen(client, owner)
        self._lines = 0
        self._suspects: list[tuple[str, list[_Left]]] = []  # by queue, the oldest last

    def taken(self, queue: str) -> Iterator[Takeover]:
        """Take over everything from `queue` but suspects, which are remembered.

        Newest claim first, each to the head of the queue: the oldest ends up as the next to run. A key that is no list
        keeps the others from nothing.
        """
        suspects: list[_Left] = []
        self._suspects.append((queue, suspects))
        with self._unless_refused(queue):
            stays = 0  # what goes is no more before the next portion; what stays is
            while entries := portions(self._client, keys.inflight(self._owner, queue), stays):
                jobs = [_Left(one, _counter(one), self._seen.started_at(queue, one.stand_in)) for one in entries]
                if self._lines < MOST_NAMED:
                    self._name(queue, jobs)
                for part in (jobs[start : start + MOST] for start in range(0, len(jobs), MOST)):
                    answers = self._moved(queue, part, "stay")
                    if not any(answers):
                        return  # its owner lives, or the queue refuses all of them
                    for one, answer in zip(part, answers, strict=True):
                        if answer == _POISON:
                            moved = list(self._buried(queue, one))
                            stays += not moved
                            yield from moved
                        elif answer == _BACK:
                            yield self._takeover(queue, one)
                        else:
                            stays += 1
                            if answer == _STAYS:
                                suspects.append(one)

    def let_go(self, until: float) -> Iterator[Takeover]:
        """Take over suspects: of those that are left the oldest, if none is under way, and so on `until` (monotonic).

        Where that is not the one that kills its process, it ends, and the next has its turn: now, while there is time,
        or with the next sweep. The one that does dies alone.
        """
        for queue, suspects in self._suspects:
            with self._unless_refused(queue):
                while suspects and (not _is_under_way(self._client) or _ends(self._client, until)):
                    one = suspects.pop()
                    self._say(queue, one)
                    [answer] = self._moved(queue, [one], "go")
                    if answer == _BACK:
                        yield self._takeover(queue, one)

    @contextmanager
    def _unless_refused(self, queue: str) -> Iterator[None]:
        try:
            yield
        except redis.ResponseError as error:
            if concerns_all(error):
                raise
            key = keys.inflight(self._owner, queue)
            self._refusals.key("takeover", key, str(error), "the other takeovers go on")
            log.error("not_taken_over", identity=self._owner, queue=queue, error=str(error))

    def _name(self, queue: str, jobs: Sequence[_Left]) -> None:
        """Name those that are about to go back, as far as there are lines left."""
        for one, answer in zip(jobs, self._moved(queue, jobs, "look"), strict=True):
            if answer == _BACK:
                self._say(queue, one)

    def _buried(self, queue: str, one: _Left) -> Iterator[Takeover]:
        """Move a poison pill to the dead set, if it is still there."""
        now, raw = time.time(), one.entry.raw
        dead_entry = b"" if raw is None else self._poison_entry(raw, queue, self._owner, now)
        [answer] = self._moved(queue, [one], "bury", now, dead_entry)
        if answer in (_BACK, _POISON):
            yield self._takeover(queue, one, (dead_entry or one.entry.stand_in) if answer == _POISON else b"")

    def _takeover(self, queue: str, one: _Left, dead_entry: bytes = b"") -> Takeover:
        return Takeover(self._owner, queue, one.entry.stand_in, one.started_at, dead_entry)

    def _moved(
        self, queue: str, jobs: Sequence[_Left], todo: str, now: float | None = None, dead_entry: bytes = b""
    ) -> list[int]:
        """What became of these jobs, or in a `look` what would. One round trip."""
        config, owner = self._config, self._owner
        now = time.time() if now is None else now
        lists = [keys.lease(owner), keys.inflight(owner, queue), keys.queue(queue), keys.QUEUES, keys.DEAD]
        args: list[Any] = [todo, queue, now, POISON_TAKEOVERS, POISON_WINDOW, now - config.dead_timeout]
        args += (config.dead_max_jobs, dead_entry, ALONE, owner, TOGETHER)
        for entry, _, _ in jobs:
            if entry.raw is None:
                args += (b"", f"{entry.size} {entry.digest}")
            else:
                args += (b"" if todo == "look" else entry.raw, b"")
        call = Call(script("reclaim"), [*lists, keys.SUSPECT, *(one.counter for one in jobs)], args)
        answers: list[int] = run(self._client, call)
        return answers

    def _say(self, queue: str, one: _Left) -> None:
        """Name a job before it goes back: it may kill whoever takes it, and this process may take it at once."""
        if self._lines == MOST_NAMED:
            return
        self._lines += 1
        job = payload.told(one.entry.stand_in)
        told = about_job(job.name, job.jid, queue)
        if one.started_at is not None:
            told["started"] = datetime.fromtimestamp(one.started_at, UTC).isoformat(timespec="seconds")
        log.warning("job_taken_over", **told, identity=self._owner, next="goes back to the head of its queue")


def _ends(client: redis.Redis, until: float) -> bool:
    """Wait for the end of the suspect that has its turn; False when `until` (monotonic) comes first."""
    glance = FIRST_GLANCE
    while time.monotonic() < until:
        time.sleep(glance)
        if not _is_under_way(client):
            return True
        glance = min(2 * glance, LAST_GLANCE)
    return False


def _is_under_way(client: redis.Redis) -> bool:
    """Whether the suspect that had its turn last waits in its queue yet, or is in flight somewhere."""
    with client.pipeline(transaction=False) as pipeline:
        pipeline.hget(keys.SUSPECT, "queue")
        pipeline.hkeys(keys.OWNERS)
        name, owners = pipeline.execute()
    if name is None:
        return False
    queue = name.decode("utf-8", "replace")
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
