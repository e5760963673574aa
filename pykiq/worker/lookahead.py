"""The look-ahead: how many jobs beyond the free slots are worth claiming.

It is what this pool finishes in a few round trips, measured, so that slots never wait for Redis: they run one half of
it while Redis hands out the other. It is zero for jobs slower than two round trips and than `QUICK`, so that no job
waits long behind a busy process while another has a free slot.
"""

from __future__ import annotations

TRIPS = 4  # round trips' worth of jobs: with less than three it shrinks again, as the turns become shorter with it
SLOW = 2  # round trips of a job from which on a wait for Redis after each does not matter
QUICK = 0.005  # seconds of a job: below, it does all the same (of 1 ms jobs it is a third of a slot's time)
MOST = 1000  # jobs: more gains nothing measurable, and is more to hand back
BYTES = 4_000_000  # of jobs: of five times as many a third of all CPU time goes into fresh memory for them
MEMORY = 0.2  # weight of the newest measurement


class Lookahead:
    """Measures one pool and answers with a number of jobs."""

    def __init__(self) -> None:
        self.jobs = 0
        self._elapsed = 1.0  # seconds of one job: slow until measured otherwise
        self._trip = 0.001  # seconds of one round trip
        self._rate = 0.0  # jobs finished per second
        self._counted_at = 0.0

    def measured(self, now: float, finished: int, elapsed: float, trip: float, size: float) -> None:
        """A turn has ended at `now` (monotonic s): `finished` jobs since the last, `elapsed` seconds together.

        `size` is how many bytes a job has.
        """
        self._trip += (trip - self._trip) * MEMORY
        since, self._counted_at = now - self._counted_at, now
        if not finished:
            return
        self._elapsed += (elapsed / finished - self._elapsed) * MEMORY
        self._rate += (finished / max(since, 1e-6) - self._rate) * MEMORY
        if self._elapsed < max(SLOW * self._trip, QUICK):
            most = min(MOST, int(BYTES / max(size, 1)))
            self.jobs = min(most, int(self._rate * TRIPS * self._trip) + 1)
        else:
            self.jobs = 0

    def stalled(self) -> None:
        """The jobs under way take longer than expected: no look-ahead until they are measured quick again."""
        self.jobs = 0
        self._elapsed = max(self._elapsed, 1.0)
