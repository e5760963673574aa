"""In flight: the jobs this process holds in Redis, as far as it knows. Those that run, and those not settled yet."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Sequence
from hashlib import sha1

from pykiq.records import Assigned, Claimed, Outcome, PutBack, Settled, Word
from pykiq.store.claim import Held
from pykiq.store.refusals import concerns_all
from pykiq.store.settle import Batch, in_order, read_settled
from pykiq.worker.acknowledger import Answered
from pykiq.worker.pool import Pool
from pykiq.worker.relay import Relayed

REST = 5.0  # seconds until a settlement that was refused for its own sake (its key is no sorted set) is tried again
MOST_BREAKS = 2  # settlements in a row without an answer; then perhaps one of them breaks the connection


class Flight:
    """The exchange's book-keeping. It changes only with what Redis has answered."""

    def __init__(self, refused: Callable[[Outcome, Exception], None] = lambda outcome, error: None) -> None:
        """`refused` is told of a settlement that Redis refuses for its own sake, each time."""
        self.unsettled: list[Outcome] = []
        self.breaks = 0  # settlements in a row that were not answered
        self.withheld: list[Held] = []  # in flight in Redis, which does not send them
        self._tell_refused = refused
        self._resting: deque[tuple[float, Outcome]] = deque()  # until when (monotonic), in this order
        self._running: dict[int, tuple[Pool, Assigned]] = {}  # claimed and not ended, by the id of the Claimed
        self._sent: dict[int, Outcome] = {}  # by their ids: being settled by the threads that ran them
        self._doubtful: set[int] = set()  # ids of outcomes sent and not answered: Redis may have taken them
        self._one_by_one = False  # some of these were refused: find out which jobs that is because of

    def __len__(self) -> int:
        ended = len(self._sent) + len(self.unsettled) + len(self._resting)
        return len(self._running) + ended + len(self.withheld)

    @property
    def running(self) -> int:
        """How many jobs are claimed and not ended."""
        return len(self._running)

    @property
    def resting(self) -> int:
        """How many settlements were refused, and are tried again in a while."""
        return len(self._resting)

    @property
    def refused(self) -> int:
        """The same with those that are being tried again."""
        return len(self._resting) + (len(self.unsettled) if self._one_by_one else 0)

    def begin(self, pool: Pool, jobs: Iterable[Assigned]) -> None:
        """Claimed jobs go to the slots of `pool`."""
        for assigned in jobs:
            self._running[id(assigned.claimed)] = (pool, assigned)

    def end(self, outcome: Outcome) -> None:
        """A job has come back from its slot. One that was put back at the deadline is not ours to settle any more."""
        entry = self._running.pop(id(outcome.claimed), None)
        if entry is not None:
            pool, assigned = entry
            pool.ended(assigned, outcome)
            self.unsettled.append(outcome)

    def sent(self, outcome: Outcome) -> Pool | None:
        """A job has come back from its slot, and is being settled by the thread that ran it. The pool of that slot."""
        entry = self._running.pop(id(outcome.claimed), None)
        if entry is None:
            return None
        pool, assigned = entry
        pool.ended(assigned, outcome)
        self._sent[id(outcome)] = outcome
        return pool

    def heard(self, answered: Answered) -> None:
        """What has become of such jobs: those that are not settled are to be, with the others."""
        for outcome, _ in answered.settled:
            self._sent.pop(id(outcome), None)
        for outcome in (*answered.lost, *answered.refused):
            if self._sent.pop(id(outcome), None) is not None:
                self.unsettled.append(outcome)
        self._doubtful.update(map(id, answered.lost))

    def relayed(self, one: Relayed) -> Settled | None:
        """A job has been settled by the thread that ran it, or is still to be."""
        self.end(one.outcome)
        if not self.unsettled or self.unsettled[-1] is not one.outcome:
            return None
        if one.fate is None:
            if one.lost:
                self._doubtful.add(id(one.outcome))
            return None
        return Settled(self.unsettled.pop(), one.fate)

    def refuse(self, claimed: Claimed) -> None:
        """Hand back a job that has not started."""
        self._running.pop(id(claimed), None)
        self.unsettled.append(Outcome(claimed, Word.UNSTARTED, PutBack()))

    def abandon(self, now: float) -> bool:
        """Put back everything that still runs at `now` (epoch s); whether there was anything."""
        for _, assigned in self._running.values():
            put_back = (assigned.claimed, Word.INTERRUPTED, PutBack(), assigned.name, assigned.jid)
            begun = assigned.claimed.claimed_at
            self.unsettled.append(Outcome(*put_back, begun, max(0.0, now - begun)))
        abandoned = bool(self._running)
        self._running.clear()
        return abandoned

    def batches(self) -> list[Batch]:
        """What to settle now: everything in one step, or job by job after a refusal."""
        if self._one_by_one:
            return [in_order([outcome]) for outcome in in_order(self.unsettled)]
        return [in_order(self.unsettled)] if self.unsettled else []

    def wake(self, *, all_of_them: bool = False) -> None:
        """Those that have rested long enough are to be settled again, job by job; at a stop, all of them."""
        now = time.monotonic()
        while self._resting and (all_of_them or self._resting[0][0] <= now):
            self.unsettled.append(self._resting.popleft()[1])
            self._one_by_one = True

    def unanswered(self, batches: Sequence[Batch]) -> None:
        """`batches` were sent, and whether Redis has taken them is unknown."""
        if batches:
            self.breaks += 1
        self._doubtful.update(id(outcome) for batch in batches for outcome in batch)

    def answered(self, batches: Sequence[Batch], answers: Sequence[object]) -> list[Settled]:
        """Drop what is settled; what Redis refused stays and is tried again: at once job by job, and then at times."""
        self.breaks = 0
        kept: list[Outcome] = []
        settled: list[Settled] = []
        for batch, answer in zip(batches, answers, strict=False):
            if isinstance(answer, list):
                settled += read_settled(batch, answer, self._doubtful)
            elif self._one_by_one and isinstance(answer, Exception) and not concerns_all(answer):
                for outcome in batch:
                    self.rest(outcome, answer)
            else:
                kept += batch
        self.unsettled = kept
        # A refused batch was written up to the job that was refused.
        self._doubtful = {id(outcome) for outcome in kept}
        self._one_by_one = bool(kept)
        return settled

    def rest(self, outcome: Outcome, error: Exception) -> None:
        """Redis refuses to settle this one: it keeps no other waiting, and is tried again in a while."""
        self._resting.append((time.monotonic() + REST, outcome))
        self._tell_refused(outcome, error)

    def parted(self, batch: Batch, answer: Sequence[int]) -> list[Settled]:
        """A part of what was to be settled has been, on its own."""
        settled = read_settled(batch, answer, self._doubtful)
        self.drop({id(outcome) for outcome in batch})
        return settled

    def drop(self, ids: Container[int]) -> None:
        """Outcomes with these ids are not to be settled any more."""
        self.unsettled = [outcome for outcome in self.unsettled if id(outcome) not in ids]
        self._doubtful = {one for one in self._doubtful if one not in ids}

    def unknown(self, held: Iterable[Held]) -> list[Held]:
        """Those of `held`, which Redis has in flight, that this process does not know of."""
        ended = [*self.unsettled, *self._sent.values(), *(one for _, one in self._resting)]
        claimed = [*(one.claimed for _, one in self._running.values()), *(one.claimed for one in ended)]
        known = Counter((one.queue, sha1(one.raw, usedforsecurity=False).hexdigest()) for one in claimed)
        unknown = []
        for one in held:
            if known[one.queue, one.entry.digest] > 0:
                known[one.queue, one.entry.digest] -= 1
            else:
                unknown.append(one)
        return unknown
