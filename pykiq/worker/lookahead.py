"""The look-ahead, or prefetch: how many jobs beyond the free slots are worth claiming.

It is what this pool finishes in a few round trips, measured, so that slots never wait for Redis: they run one half of
it while Redis hands out the other. It is zero for jobs slower than two round trips and than `QUICK`, so that no job
waits long behind a busy process while another has a free slot.

Where jobs compute, a turn of the exchange waits for the interpreter's lock, which is no round trip: then turns are
long, many end at once, and a few jobs seem to be a multitude. So jobs are counted over a stretch of time instead of
turn by turn, the quickest trip of late is what Redis really takes, and what waits is bounded in seconds.
"""

from __future__ import annotations

from math import exp

TRIPS = 4  # round trips' worth of jobs: with less than three it shrinks again, as the turns become shorter with it
SLOW = 2  # round trips of a job from which on a wait for Redis after each does not matter
QUICK = 0.005  # seconds of a job: below, it does all the same (of 1 ms jobs it is a third of a slot's time)
LONGEST = 0.02  # seconds of jobs, or `FAR` of the quickest trips if these are more: more is hoarded, not needed
FAR = 8  # trips: on a link that is slow at all most are twice as long as its quickest
OVERDUE = 2.5  # times as long as jobs may wait: they have been misjudged
MOST = 1000  # jobs: more gains nothing measurable, and is more to hand back
BYTES = 4_000_000  # of jobs: of five times as many a third of all CPU time goes into fresh memory for them
MEMORY = 0.2  # weight of the newest round trip in their mean
WINDOW = 0.02  # seconds over which jobs are counted; those before weigh ever less
FORGETTING = 10.0  # seconds in which the quickest trip counts as e times as slow: Redis may have moved
STALL = 1.0  # seconds: after jobs were misjudged they count as slow, as if one had taken so long


class Lookahead:
    """Measures one pool and answers with a number of jobs."""

    def __init__(self) -> None:
        self.jobs = 0
        self._trip = 0.001  # seconds of one round trip, with what it waits for in this process
        self._quickest = 0.001  # seconds of the quickest of late
        self._count = self._elapsed = 0.0  # jobs finished within `WINDOW`, and their seconds together
        self._counted_at: float | None = None  # monotonic
        self._rate_before = 0.0  # jobs finished per second, as of the last turn but one

    def measured(self, now: float, finished: int, elapsed: float, trip: float, size: float) -> None:
        """A turn has ended at `now` (monotonic s): `finished` jobs since the last, `elapsed` seconds together.

        `size` is how many bytes a job has.
        """
        begun = now - trip  # jobs that have ended since then count next time
        if self._counted_at is None:
            self._counted_at, self._quickest = begun - WINDOW, trip
        since, self._counted_at = max(begun - self._counted_at, 1e-6), begun
        self._trip += (trip - self._trip) * MEMORY
        self._quickest = min(trip, self._quickest * exp(min(since / FORGETTING, 1.0)))
        self._rate_before = self._rate
        faded = exp(-since / WINDOW)
        within = (1 - faded) * WINDOW / since  # the share of what has finished since the last turn that counts
        self._count = self._count * faded + finished * within
        self._elapsed = self._elapsed * faded + elapsed * within
        if not finished:
            return
        if self._elapsed < max(SLOW * self._quickest, QUICK) * self._count:
            most = min(MOST, int(BYTES / max(size, 1)))
            self.jobs = min(most, int(self._rate * min(TRIPS * self._trip, self._longest)) + 1)
        else:
            self.jobs = 0

    @property
    def patience(self) -> float:
        """Seconds in which jobs that wait should have started: those that have not are better off elsewhere."""
        return OVERDUE * self._longest

    def too_many(self, waiting: int) -> bool:
        """Whether so many jobs take longer than that to start, at the rate of late.

        One slow turn tells nothing: perhaps the whole process stood still, for others used its cores.
        """
        rate = max(self._rate_before, self._rate)
        return self._counted_at is not None and waiting > rate * self.patience + 1

    def stalled(self) -> None:
        """The jobs under way take longer than expected: no look-ahead until they are measured quick again."""
        self.jobs = 0
        self._count, self._elapsed = 1.0, STALL
        self._rate_before = 0.0

    @property
    def _rate(self) -> float:
        """Jobs finished per second."""
        return self._count / WINDOW

    @property
    def _longest(self) -> float:
        """Seconds of jobs that may wait."""
        return max(LONGEST, FAR * self._quickest)
