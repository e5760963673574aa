"""A pool: what one capsule has claimed and not ended, and the slots it runs in.

Threads and tasks count against one concurrency. Beyond it jobs may wait in front of the slots, as many as the
look-ahead says, as long as only one kind of slot is in use; those that wait can be recalled until they start.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from pykiq.records import Assigned, Claimed, Outcome, Started
from pykiq.worker.acknowledger import Acknowledger
from pykiq.worker.execute import Executor
from pykiq.worker.inbox import Inbox
from pykiq.worker.intake import FRESH, Claim, Intake
from pykiq.worker.lookahead import QUICK, Lookahead
from pykiq.worker.loopslots import LoopSlots, LoopThread
from pykiq.worker.relay import Relay
from pykiq.worker.slots import Running, ThreadSlots


class Pool:
    """One capsule's share of this process. Only the exchange's thread uses it, but for `running`."""

    def __init__(
        self,
        name: str,
        concurrency: int,
        intake: Intake,
        executor: Executor,
        loop: LoopThread,
        inbox: Inbox[Any],
        acknowledger: Acknowledger | None = None,
        relay: Relay | None = None,
    ) -> None:
        self.concurrency = concurrency
        self.intake = intake
        self.lookahead = Lookahead()
        self.threads = ThreadSlots(concurrency, executor.run, self._thread_done, f"{name}-")
        self.tasks = LoopSlots(concurrency, loop, executor.arun, self._task_done)
        self._inbox = inbox
        self._held: deque[Assigned] = deque()  # jobs that wait for slots of the other kind to become free
        self._in_threads = self._in_tasks = 0
        self.at_rest = False  # slots are free and doorbells armed: jobs that are done are settled on their own threads
        self._acknowledger = acknowledger
        self.relay = relay
        self._given = self._told = 0  # jobs that went to the slots, and of how many the start has been told
        self._moved_at = 0.0  # monotonic: when a job last started or ended
        self._finished, self._elapsed = 0, 0.0  # since the last turn
        self._fresh_until = 0.0  # monotonic: the lease is far from running out
        self._trip = 0.001  # seconds of the last round trip

    @property
    def busy(self) -> int:
        """Jobs claimed and not ended."""
        return self._in_threads + self._in_tasks + len(self._held)

    @property
    def room(self) -> int:
        """How many more jobs may be claimed: free slots and the look-ahead."""
        return self.concurrency + self.lookahead.jobs - self.busy

    @property
    def portion(self) -> int:
        """How many to claim with this turn: half of the look-ahead, so that slots run it while Redis hands out more."""
        return min(self.room, max(self.concurrency, self.lookahead.jobs >> 1))

    @property
    def has_free_slot(self) -> bool:
        return self.busy < self.concurrency

    @property
    def waiting(self) -> int:
        """Jobs claimed and not started."""
        return len(self.threads.waiting) + len(self.tasks.waiting) + len(self._held)

    def wants_more(self) -> bool:
        """Whether a claim is worth a turn of its own: not for a small part of the look-ahead."""
        return self.room > self.lookahead.jobs >> 1 and self.intake.expects_jobs()

    def start(self, jobs: Sequence[Assigned], *, give_way: bool = True) -> None:
        """Give jobs to the slots, and let them begin unless the exchange is about to sleep anyway."""
        self._given += len(jobs)
        self._moved_at = time.monotonic()
        if len(jobs) == 1 and not (self._held or self._in_tasks or jobs[0].handler.is_async):  # the usual one
            self._in_threads += 1
            self.threads.submit(jobs, give_way=give_way)
            return
        self._held.extend(jobs)
        self._fill(give_way=give_way)

    def ended(self, assigned: Assigned, outcome: Outcome) -> None:
        """A job has left its slot."""
        if assigned.handler.is_async:
            self._in_tasks -= 1
        else:
            self._in_threads -= 1
        self._finished += 1
        self._elapsed += outcome.elapsed

    @property
    def _is_slow(self) -> bool:
        """Whether jobs have ended since the last turn, slow ones: the look-ahead takes longer to forget what was."""
        return self._finished > 0 and self._elapsed >= self._finished * QUICK

    @property
    def relays(self) -> bool:
        """Whether threads may fetch jobs themselves."""
        return self.relay is not None and self.relay.allowed

    def claimed(self, claim: Claim, jobs: Sequence[Claimed], lease_ttl: float) -> None:
        """A claim has brought these jobs: whether threads fetch the next ones themselves.

        They do when jobs are slow and there are more, all from one queue, which no other one goes before; and only
        until a queue that is shared with foreign jobs is to be looked through, which takes turns with it.
        """
        if self.relay is None:
            return
        if claim.call.script is not None:  # it has renewed the lease
            self._fresh_until = time.monotonic() + lease_ttl / FRESH
        first, alone = claim.order.queues[0], len(claim.order.queues) == 1
        plain = claim.looks_at is None and (alone or not claim.order.weights)
        full = len(jobs) == claim.room and all(one.queue == first for one in jobs)
        if plain and full and self._is_slow and not self.lookahead.jobs:
            look = self.intake.selective.next_look()
            self.relay.allow(first, self._fresh_until if look is None else min(look, self._fresh_until))
        else:
            self.relay.forbid()

    def forbid_relay(self) -> None:
        """Let threads fetch nothing more."""
        if self.relay:
            self.relay.forbid()

    @property
    def parked(self) -> bool:
        """Whether nothing can bring a job now but a claim."""
        return self.intake.parked() and (self.relay is None or self.relay.parked)

    def took(self) -> None:
        """The thread that was done with a job has gone on with the next."""
        self._in_threads += 1
        self._given += 1

    def turned(self, now: float, trip: float) -> None:
        """A round trip of `trip` seconds has ended at `now` (monotonic): measure, and fill what has become free."""
        self._trip = trip
        quick = self._finished > 0 and not self._is_slow
        self.intake.tripped(trip)
        self.lookahead.measured(now, self._finished, self._elapsed, trip, self.intake.job_size)
        self._finished, self._elapsed = 0, 0.0
        if quick or self.lookahead.jobs:
            self.forbid_relay()
        self._fill()

    def looked(self, now: float) -> None:
        """The exchange has had nothing to send at `now` (monotonic): threads fetch jobs themselves, perhaps."""
        if self.relays and self._finished:
            self.turned(now, self._trip)

    @property
    def untold(self) -> int:
        """Jobs claimed whose start has not been told yet."""
        return self._given - self._told

    def take_started(self) -> list[Started]:
        """The jobs that have started since the last call. One thread at a time."""
        started: list[Started] = []
        for source in (self.threads.started, self.tasks.started):
            started += [source.popleft() for _ in range(len(source))]
        self._told += len(started)
        if started or self._finished:
            self._moved_at = time.monotonic()
        return started

    def stalled(self) -> bool:
        """Whether jobs beyond the slots wait for jobs that turn out to be slow, all of them or most."""
        beyond = self.busy - self.concurrency
        if beyond <= 0 or not self.waiting:
            return False
        return self.lookahead.too_many(beyond) or self._resting_for() > self.lookahead.patience

    def _resting_for(self) -> float:
        """Seconds since a job last started or ended."""
        moved = self.threads.started or self.tasks.started or self._finished  # since the last look
        return 0.0 if moved else time.monotonic() - self._moved_at

    def recall(self, most: int) -> list[Assigned]:
        """Take back up to `most` jobs that have not started, those claimed last first."""
        recalled: list[Assigned] = []
        for source in (self._held, self.tasks.waiting, self.threads.waiting):
            while len(recalled) < most:
                try:
                    recalled.append(source.pop())
                except IndexError:
                    break
                if source is self.tasks.waiting:
                    self._in_tasks -= 1
                elif source is self.threads.waiting:
                    self._in_threads -= 1
        self._given -= len(recalled)
        return recalled

    def running(self) -> list[Running]:
        """What runs now."""
        return self.threads.running() + self.tasks.running()

    def interrupt(self) -> None:
        """Stop what runs now: it has been put back."""
        self.threads.interrupt()
        self.tasks.interrupt()

    def park(self) -> None:
        """Threads neither settle nor fetch anything any more; what is under way is waited for."""
        self.at_rest = False
        if self.relay:
            self.relay.close()

    def close(self) -> None:
        """Hang up the doorbells and end the threads of the slots."""
        self.park()
        self.intake.close()
        self.threads.close()

    def _fill(self, *, give_way: bool = True) -> None:
        threads: list[Assigned] = []
        tasks: list[Assigned] = []
        while self._held:
            in_task = self._held[0].handler.is_async
            of_other_kind = self._in_threads if in_task else self._in_tasks
            if of_other_kind and self._in_threads + self._in_tasks >= self.concurrency:
                break
            if in_task:
                self._in_tasks += 1
                tasks.append(self._held.popleft())
            else:
                self._in_threads += 1
                threads.append(self._held.popleft())
        if threads:
            self.threads.submit(threads, give_way=give_way)
        if tasks:
            self.tasks.submit(tasks)

    # On the slot's thread. While enough jobs wait there, the exchange need not hear of each one that ends.

    def _thread_done(self, outcome: Outcome) -> Assigned | None:
        """What to do with a job that has left its slot; the next one for that slot, if there is one already."""
        if self.at_rest:
            if self._acknowledger and self._acknowledger.settle(self, outcome):
                return None
        elif self.relay and self.relay.leave and not self.threads.waiting:
            relayed, following = self.relay.next(outcome)
            if relayed:
                return following
        inbox = self._inbox
        (inbox.leave if len(self.threads.waiting) > self.lookahead.jobs >> 1 else inbox.put)(outcome)
        return None

    def _task_done(self, outcome: Outcome) -> None:
        inbox = self._inbox
        (inbox.leave if len(self.tasks.waiting) > self.lookahead.jobs >> 1 else inbox.put)(outcome)
