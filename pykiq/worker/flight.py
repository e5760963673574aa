"""In flight: the jobs this process holds in Redis, as far as it knows. Those that run, and those not settled yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pykiq.records import Assigned, Claimed, Outcome, PutBack, Settled, Word
from pykiq.store.settle import Batch, in_order, read_settled
from pykiq.worker.pool import Pool


class Flight:
    """The exchange's book-keeping. It changes only with what Redis has answered."""

    def __init__(self) -> None:
        self.unsettled: list[Outcome] = []
        self._running: dict[int, tuple[Pool, Assigned]] = {}  # claimed and not ended, by the id of the Claimed
        self._doubtful: set[int] = set()  # ids of outcomes sent and not answered: Redis may have taken them
        self._one_by_one = False  # the last settlement was refused as a whole: find out which job it is

    def __len__(self) -> int:
        return len(self._running) + len(self.unsettled)

    @property
    def running(self) -> int:
        """How many jobs are claimed and not ended."""
        return len(self._running)

    def begin(self, pool: Pool, jobs: Iterable[Assigned]) -> None:
        """Claimed jobs go to the slots of `pool`."""
        self._running.update((id(assigned.claimed), (pool, assigned)) for assigned in jobs)

    def end(self, outcome: Outcome) -> None:
        """A job has come back from its slot. One that was put back at the deadline is not ours to settle any more."""
        entry = self._running.pop(id(outcome.claimed), None)
        if entry is not None:
            pool, assigned = entry
            pool.ended(assigned, outcome)
            self.unsettled.append(outcome)

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
            return [in_order([outcome]) for outcome in self.unsettled]
        return [in_order(self.unsettled)] if self.unsettled else []

    def unanswered(self, batches: Sequence[Batch]) -> None:
        """`batches` were sent, and whether Redis has taken them is unknown."""
        self._doubtful.update(id(outcome) for batch in batches for outcome in batch)

    def answered(self, batches: Sequence[Batch], answers: Sequence[object]) -> list[Settled]:
        """Drop what is settled; what Redis refused stays and is tried again."""
        kept: list[Outcome] = []
        settled: list[Settled] = []
        for batch, answer in zip(batches, answers, strict=False):
            if isinstance(answer, list):
                settled += read_settled(batch, answer, self._doubtful)
            else:
                kept += batch
        self.unsettled = kept
        # A refused batch was written up to the job that was refused.
        self._doubtful = {id(outcome) for outcome in kept}
        self._one_by_one = bool(kept)
        return settled

    def unknown(self, held: Iterable[Claimed]) -> list[Claimed]:
        """Those of `held`, which Redis has in flight, that this process does not know of."""
        known = Counter((one.claimed.queue, one.claimed.raw) for _, one in self._running.values())
        known.update((one.claimed.queue, one.claimed.raw) for one in self.unsettled)
        unknown = []
        for one in held:
            if known[one.queue, one.raw] > 0:
                known[one.queue, one.raw] -= 1
            else:
                unknown.append(one)
        return unknown
