"""The exchange loop: one thread owns the connection that moves jobs.

Each turn is one round trip: settle what has finished since the last turn, claim what there is room for. Then the new
jobs go to the slots. Between turns the loop sleeps on its inbox, where slots put outcomes and doorbells put arrivals.
Where a turn for one job would cost more than the job, slots settle on their own threads: `acknowledger` while there is
room for more, `relay` while a queue is full of slow jobs. What has become of those jobs is kept here all the same.

Where is a job if the process dies between two lines of this file? In the in-flight list in Redis, always: it leaves
it only by the step that also writes what follows. Where is a job if an answer is lost? A settlement is repeated
(the script writes nothing the second time); a claim may have moved jobs that nobody here knows of, so `_reconcile`
compares Redis with memory before anything new is claimed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import redis

from pykiq.config import Capsule, Config
from pykiq.logger import get_logger
from pykiq.records import Assigned, Claimed, Foreign, Outcome, PutBack, Settled, Started, Word
from pykiq.store.claim import Berth
from pykiq.store.outage import Outage
from pykiq.store.settle import settle_call
from pykiq.worker.acknowledger import Acknowledger, Answered, Sent
from pykiq.worker.bells import FEW, Bells
from pykiq.worker.doorbell import Doorbell
from pykiq.worker.doubt import Doubt
from pykiq.worker.execute import Executor
from pykiq.worker.flight import MOST_BREAKS, Flight
from pykiq.worker.inbox import Inbox
from pykiq.worker.intake import Claim, Intake
from pykiq.worker.line import Line
from pykiq.worker.loopslots import LoopThread
from pykiq.worker.pool import Pool
from pykiq.worker.refused import Refused
from pykiq.worker.relay import MOST as RELAY_CONNECTIONS
from pykiq.worker.relay import Relay, Relayed
from pykiq.worker.selective import Selective
from pykiq.worker.singly import Singly
from pykiq.worker.slots import Running
from pykiq.worker.teller import Teller
from pykiq.worker.watch import Watch

IDLE = 1.0  # seconds an idle loop sleeps at most
TICK = 0.02  # seconds between looks while claimed jobs have not started, as far as is known here
PARKING = 0.05  # seconds between two looks whether the doorbells have let go
CLEANUP = 3.0  # seconds that interrupted jobs have for their clean-up code (WIRE.md §17)
LAST_WORD = 10.0  # seconds a stop waits for Redis to take the last settlements; after that the lease decides
MOST_REFUSED = 1000  # settlements; each is a job in memory, and in the list that Redis searches for the others
HURRIED = 0.5  # seconds for either when somebody waits at a terminal

log = get_logger()


class _Wake:
    """Something outside has changed (quiet, stop): look now."""


class _Pause(NamedTuple):
    """These queues are paused, and no others."""

    queues: frozenset[str]


class Exchange:
    """Moves jobs between Redis and the slots until told to stop. `run` is the body of its thread."""

    def __init__(
        self,
        config: Config,
        berth: Berth,
        client: redis.Redis,
        door_client: Callable[[], redis.Redis],
        executor: Executor,
        loop: LoopThread,
        report: Callable[[Sequence[Started], Sequence[Settled], Sequence[Foreign]], None],
        refused: Refused | None = None,
        outage: Outage | None = None,
        acknowledging: redis.Redis | None = None,
    ) -> None:
        """`acknowledging` is a client of its own for what slots settle themselves; without one they leave all here."""
        self._config = config
        self._berth = berth
        self._line = Line(client, outage)
        self._executor = executor
        self._rng = random.Random()
        self._inbox: Inbox[Outcome | Sent | Answered | Relayed | _Wake | _Pause] = Inbox()
        self._refused = refused or Refused()
        self._flight = Flight(self._refused.settlement)
        self._singly = Singly(berth, self._line, self._flight, config, self._refused)
        self._doubt = Doubt(berth, self._line, self._flight, self._refused)
        self._teller = Teller(report)
        self._acknowledging = acknowledging
        self._acknowledger = Acknowledger(berth, acknowledging, self._inbox, self._teller) if acknowledging else None
        self._quiet = self._stop = self._hurried = False
        self._settled: list[Settled] = []  # by the slots' threads, and not told yet
        self._at_rest = False  # nothing but rings is expected before the next turn
        self._turn_at = 0.0  # monotonic: the next turn, whatever comes
        self._crowded = False  # as many settlements are refused as may be
        self._deadline = 0.0
        self.turned_at = time.monotonic()  # when the last turn ended: the health endpoint's proof of life
        self._pools = {capsule.name: self._pool(capsule, door_client, loop) for capsule in config.capsules}
        self._teller.pools = tuple(self._pools.values())

    def _pool(self, capsule: Capsule, door_client: Callable[[], redis.Redis], loop: LoopThread) -> Pool:
        berth, executor = self._berth, self._executor
        ring = partial(self._rung, capsule.name)

        def door(queue: str) -> Doorbell:
            return Doorbell(queue, berth, door_client(), self._inbox, partial(ring, queue))

        many = len(capsule.names) > FEW
        watch = Watch(berth, door_client, self._inbox, partial(self._changed, capsule.name)) if many else None
        intake = Intake(
            capsule, berth, Bells(capsule.names, door, watch), Selective(berth, executor.classes), self._refused
        )
        relay = None
        if self._acknowledging and capsule.concurrency > 1:  # one at a time runs in order: no second way to fetch
            own = (self._acknowledging.connection_pool.max_connections - 1) // len(self._config.capsules)
            relay = Relay(
                *(capsule.name, berth, self._acknowledging, self._inbox, executor.assign), min(RELAY_CONNECTIONS, own)
            )
        return Pool(capsule.name, capsule.concurrency, intake, executor, loop, self._inbox, self._acknowledger, relay)

    # For other threads.

    def quiet(self) -> None:
        """Take no more jobs; those that run go on."""
        self._quiet = True
        self._inbox.put(_Wake())

    def stop(self, timeout: float) -> None:
        """Take no more jobs, give the running ones `timeout` seconds, then put them back. A repeat changes nothing."""
        if not self._stop:
            self._deadline = time.monotonic() + timeout
            self._stop = True
            self.quiet()

    def hurry(self) -> None:
        """End the time that `stop` gives: what runs goes back at once. May be called from a signal handler."""
        self._hurried = True
        self._inbox.put(_Wake())

    def pause(self, queues: frozenset[str]) -> None:
        """Take nothing from `queues` until told otherwise."""
        self._inbox.put(_Pause(queues))

    @property
    def answering(self) -> bool:
        """Whether Redis answered the last turn."""
        return self._line.answering

    @property
    def in_doubt(self) -> bool:
        """Whether Redis may yet move a job to this process, for a connection that broke a moment ago."""
        return self._doubt.lasting

    @property
    def parked(self) -> bool:
        """Whether no doorbell can bring anything now. Once the loop is quiet, it stays so."""
        return all(pool.parked for pool in self._pools.values())

    def in_flight(self) -> int:
        """How many jobs are claimed and not settled. May be called from any thread."""
        return max(len(self._flight) - len(self._inbox), 0)  # what lies there has been settled, or will be at once

    def running(self) -> list[Running]:
        """Thread (or task) number, job and start (epoch s) of what runs now."""
        return [one for pool in self._pools.values() for one in pool.running()]

    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks of `async def` jobs that run now, for a dump of their stacks."""
        return [task for pool in self._pools.values() for task in pool.tasks.tasks()]

    # The loop.

    def run(self) -> bool:
        """Turn until stopped. True when everything is settled, False when Redis did not take the last word."""
        wait = 0.0
        try:
            while not self._stopped():
                self._collect(wait)
                wait = self._turn_at - time.monotonic() if self._at_rest else 0.0
                if wait <= 0:
                    wait = self._turn()
                    self.turned_at = time.monotonic()
                    self._turn_at = self.turned_at + wait
                    if self._acknowledger:
                        at = self._acknowledger.plan(self._turn_at)
                        if self._line.answering:
                            self._turn_at, wait = at, at - self.turned_at
            return self._last_word()
        finally:  # also when it fails: a doorbell that waits on would take a job that nobody runs
            for pool in self._pools.values():
                pool.intake.wait(self._line.client, open_to_work=False)
                pool.close()
            self._line.client.close()

    def _stopped(self) -> bool:
        return self._stop and (self._hurried or not self._flight.running or time.monotonic() >= self._deadline)

    def _collect(self, wait: float) -> None:
        """Take what is in the inbox, after sleeping up to `wait` seconds for the first message."""
        self._inbox.sleep(wait)
        self._take()

    def _take(self) -> None:
        for message in self._inbox.take():
            if type(message) is Outcome:
                self._flight.end(message)
            elif type(message) is Sent:
                pool = self._flight.sent(message.outcome)
                if pool is None or pool.at_rest:
                    continue
                # All slots were taken when this thread last looked, so nothing is waited for: now one is free.
            elif type(message) is Answered:
                self._flight.heard(message)
                if not message.lost and not message.refused:
                    continue
            elif type(message) is Relayed:
                self._relayed(message)
                if message.fate is not None and message.taken is not None:
                    continue
            elif type(message) is _Pause:
                for pool in self._pools.values():
                    pool.forbid_relay()
                    pool.intake.pause(message.queues)
            self._at_rest = False

    def _relayed(self, message: Relayed) -> None:
        """A slot's thread has settled its job, and has perhaps gone on with another."""
        pool = self._pools[message.capsule]
        settled = self._flight.relayed(message)
        if settled is not None:
            self._settled.append(settled)
        if message.lost:
            self._doubt.raised()
        if type(message.following) is Assigned:
            self._flight.begin(pool, [message.following])
            if message.taken is not None:
                pool.took()
            else:
                pool.start([message.following])
        elif type(message.following) is Outcome:
            self._unrunnable(pool, message.following)

    def _unrunnable(self, pool: Pool, outcome: Outcome) -> None:
        """What cannot run here is settled with the next turn."""
        self._flight.unsettled.append(outcome)
        if outcome.word is Word.FOREIGN and isinstance(outcome.write, PutBack):
            pool.intake.selective.found_foreign(outcome.claimed.queue, outcome.name)

    def _rung(self, capsule: str, queue: str, claimed: Claimed | None, waited: float) -> None:
        """A doorbell has brought a job after `waited` seconds, or has lost its connection (None).

        With slots to spare the bell is armed again at once, and that is all: no turn for one job that comes alone.
        """
        pool = self._pools[capsule]
        if claimed is None:
            pool.intake.silent()
            self._doubt.raised_by_waiter()
            self._at_rest = False
            return
        pool.intake.rang(waited)
        self._take()  # what has ended by now has left its slot
        jobs = self._assigned(pool, [claimed])
        now = time.monotonic()
        if now + TICK < self._turn_at:
            self._turn_at = now + TICK
            if self._acknowledger:
                self._acknowledger.plan(self._turn_at)
        free = pool.busy + len(jobs) < pool.concurrency
        if now - self.turned_at > TICK or not (free and pool.intake.rearm(queue)):
            self._at_rest = False
        # Last, and then this thread sleeps: the slot's finds the interpreter's lock free.
        pool.start(jobs, give_way=not self._at_rest)

    def _changed(self, capsule: str, queues: Sequence[str] | None) -> None:
        """Jobs have come to queues that were watched and empty; or nobody watches any more (None)."""
        pool = self._pools[capsule]
        self._at_rest = False
        if queues is None:
            pool.intake.silent()
            return
        pool.forbid_relay()  # it fetches from a queue that comes after these, perhaps
        self._take()
        room = pool.concurrency - pool.busy if self._takes_jobs() else 0
        try:
            self._accept(pool, pool.intake.fetch(queues, room))
        except (redis.RedisError, OSError):
            self._doubt.raised()
            pool.intake.silent()

    def _turn(self) -> float:
        """One round trip. Returns how long to sleep before the next one; 0 when there is more to do."""
        if self._acknowledger:
            self._acknowledger.look()
            self._take()
        self._doubt.audit()
        self._recall()
        settled, self._settled = self._settled, []
        self._tell(settled)
        self._flight.wake(all_of_them=self._stop)
        if self._flight.breaks >= MOST_BREAKS and self._flight.unsettled:
            singly = self._singly.settle()
            if singly is None:
                return self._line.backoff
            self._tell(singly)
        if not self._takes_jobs():
            for pool in self._pools.values():
                pool.forbid_relay()
        if self._doubt.here:
            self._reconcile()
        claims = self._claims() if self._takes_jobs() else []
        batches = self._flight.batches()
        if not batches and not claims:
            if not self._doubt.here and not self._stop:  # at a stop asking would only take time
                self._line.look()
            for pool in self._pools.values():
                pool.looked(time.monotonic())
            return self._pause()
        now, begun = time.time(), time.monotonic()
        calls = [settle_call(self._berth, batch, now, self._config) for batch in batches]
        answers = self._line.send(calls + [claim.call for _, claim in claims])
        if answers is None:
            for pool, _ in claims:
                self._doubt.raised()
                pool.intake.broke()
            self._flight.unanswered(batches)
            return self._line.backoff
        self._tell(self._flight.answered(batches, answers))
        for (pool, claim), answer in zip(claims, answers[len(batches) :], strict=True):
            if isinstance(answer, list):
                claimed = pool.intake.read(claim, answer)
                self._accept(pool, claimed)
                pool.claimed(claim, claimed, self._berth.lease_ttl)
            elif isinstance(answer, Exception):
                if not pool.intake.refused(claim, answer):
                    self._line.failed(answer)
                self._doubt.raised()  # a script that fails half-way keeps what it had moved by then
        ended = time.monotonic()
        for pool in self._pools.values():
            pool.turned(ended, ended - begun)
        return self._pause()

    def _recall(self) -> None:
        """Hand back jobs that wait for a slot in vain: all of them when quiet, else those beyond the slots."""
        for pool in self._pools.values():
            if self._quiet:
                recalled = pool.recall(pool.waiting)
            elif pool.stalled():
                pool.forbid_relay()  # a thread would fetch what comes behind those that go back
                recalled = pool.recall(pool.busy - pool.concurrency)
                pool.lookahead.stalled()
            else:
                continue
            for assigned in reversed(recalled):
                self._flight.refuse(assigned.claimed)

    def _takes_jobs(self) -> bool:
        """Whether new jobs are claimed: not when they would only add to those that Redis refuses to settle."""
        crowded = self._flight.refused >= MOST_REFUSED
        if crowded is not self._crowded:
            self._crowded = crowded
            if crowded:
                log.error(
                    "claims_stopped", refused=self._flight.refused, next="jobs wait until Redis takes settlements"
                )
            else:
                log.info("claims_go_on")
        return not self._quiet and not self._doubt.here and not crowded

    def _claims(self) -> list[tuple[Pool, Claim]]:
        claims = ((pool, pool.intake.claim(pool.portion, self._rng)) for pool in self._pools.values())
        return [(pool, claim) for pool, claim in claims if claim is not None]

    def _accept(self, pool: Pool, claimed: Iterable[Claimed]) -> None:
        """Hand claimed jobs to the slots."""
        jobs = self._assigned(pool, claimed)
        if jobs:
            pool.start(jobs)

    def _assigned(self, pool: Pool, claimed: Iterable[Claimed]) -> list[Assigned]:
        """Those of them that are to run here; the others are settled with the next turn."""
        jobs: list[Assigned] = []
        room = pool.room
        for one in claimed:
            if self._quiet or len(jobs) >= room:
                self._flight.refuse(one)
                continue
            assigned = self._executor.assign(one)
            if isinstance(assigned, Outcome):
                self._unrunnable(pool, assigned)
                continue
            jobs.append(assigned)
        if jobs:
            self._flight.begin(pool, jobs)
        return jobs

    def _tell(self, settled: list[Settled]) -> None:
        """Report what has started, what has been settled and which foreign jobs were met since the last turn."""
        met = [foreign for pool in self._pools.values() for foreign in pool.intake.selective.take_met()]
        self._teller.tell(settled, met)

    def _pause(self) -> float:
        """How long the inbox may be slept on: not at all while there is something to do."""
        self._at_rest = False
        if not self._line.answering:
            return self._line.backoff
        takes_jobs = self._takes_jobs()
        for pool in self._pools.values():
            open_to_work = takes_jobs and pool.has_free_slot
            pool.intake.wait(self._line.client, open_to_work=open_to_work, insist=self._quiet)
            pool.at_rest = open_to_work and pool.intake.dry and not pool.waiting
        if self._flight.unsettled:
            return 0.0
        if self._doubt.here or (self._quiet and not self.parked) or (self._stop and self._flight.resting):
            return PARKING
        if takes_jobs and any(pool.wants_more() for pool in self._pools.values()):
            return 0.0
        pools = self._pools.values() if takes_jobs else ()
        looks = [pool.intake.selective.next_look() for pool in pools if pool.has_free_slot]
        until = [look for look in looks if look is not None] + ([self._deadline] if self._stop else [])
        self._at_rest = not self._quiet
        told = not any(pool.untold or pool.relays for pool in self._pools.values())
        longest = IDLE if told else TICK
        return min(longest, max(min(until, default=float("inf")) - time.monotonic(), 0.001))

    def _reconcile(self) -> None:
        """In doubt: adopt what is in flight in Redis and unknown here, as soon as that can be told."""
        for pool in self._pools.values():
            pool.intake.wait(self._line.client, open_to_work=False, insist=True)
        if not self.parked:
            return
        self._collect(0.0)
        for one in self._doubt.settled() or ():
            pool = next(pool for pool in self._pools.values() if one.queue in pool.intake.queues)
            self._accept(pool, [one])

    def _last_word(self) -> bool:
        """Put back what still runs, settle everything, then interrupt (WIRE.md §17: first the queue, then the job)."""
        begun = time.monotonic()
        for pool in self._pools.values():
            pool.park()
        if self._acknowledger:
            self._acknowledger.close()
        self._collect(0.0)  # what has ended by now is not run again elsewhere
        self._recall()
        abandoned = self._flight.abandon(time.time())
        self._doubt.raised()  # doorbells may have brought something in the last moment
        wait = 0.0
        while (self._doubt.here or len(self._flight)) and self._has_time(begun, LAST_WORD):
            self._collect(wait)
            wait = self._turn()
            self.turned_at = time.monotonic()
            if self._flight.withheld and not self._doubt.here:
                self._singly.give_back()
        if abandoned:
            self._interrupt()
        clean = not len(self._flight) and not self._doubt.here
        if not clean:
            log.error("stopped_unsettled", jobs=len(self._flight), next="another process takes them over")
        return clean

    def _interrupt(self) -> None:
        for pool in self._pools.values():
            pool.interrupt()
        begun = time.monotonic()
        while self.running() and self._has_time(begun, CLEANUP):
            time.sleep(0.02)

    def _has_time(self, begun: float, limit: float) -> bool:
        return time.monotonic() - begun < (HURRIED if self._hurried else limit)
