"""The sweeper: the jobs of dead processes back to the queues they came from, by looks at the leases of the fleet.

A lease that has run out tells of a process that has ended, unless nobody could renew his: then all run out, and who
sweeps first would take over what runs in processes that live. So it waits whenever that may have been.

One process sweeps for the whole fleet. The others wait for that one's end, and watch Redis and its clock meanwhile: one
that takes over from it must know whether the leases may have run out by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from pykiq.config import Config
from pykiq.logger import get_logger
from pykiq.store import reclaim
from pykiq.store.claim import Berth
from pykiq.store.leadership import pause
from pykiq.store.leases import Doubtful, Leases
from pykiq.store.outage import Outage
from pykiq.store.refusals import Refusals
from pykiq.worker.burials import Report, carry_out
from pykiq.worker.duty import Duty

DOUBT = 0.75  # of a lease's life: how long after a doubt, or after the start, no lease is taken for expired

log = get_logger()


class Sweeper(Duty):
    """Takes over what dead processes left in flight, on its own thread and connection."""

    failed = "sweep_failed"

    def __init__(
        self,
        config: Config,
        berth: Berth,
        client: redis.Redis,
        *,
        poison_entry: Callable[[bytes, str, str, float], bytes],
        report: Report,
        outage: Outage | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        super().__init__("sweeper", client, outage)
        self._config = config
        self._berth = berth
        self._poison_entry = poison_entry
        self._report = report
        self._refusals = refusals
        self._leases = Leases(berth)
        self._leadership = reclaim.leadership(berth, config)
        self._sweep_at = 0.0  # monotonic
        self._doubt()  # Redis may have come back just now

    def _round(self) -> float:
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + self._config.sweep_interval
            try:
                self._sweep_or_wait()
            except Doubtful as why:
                self._doubt()
                log.warning("takeovers_put_off", reason=str(why), next=f"again in {self._config.lease_ttl * DOUBT:g} s")
        return max(self._sweep_at - time.monotonic(), 0.0)

    def _sweep_or_wait(self) -> None:
        if not self._leadership.held:
            self._leases.notice(self._client)
            left = self._leadership.left(self._client)
            if left:
                self._sweep_at = time.monotonic() + pause(left)
                return
        about = (self._config, self._poison_entry, self._leases, self._refusals, self._leadership)
        try:
            carry_out(reclaim.sweep(self._client, self._berth, *about), self._report)
        except BaseException:
            self._leadership.held = False  # where this process fails, another one may not
            raise

    def _ended(self) -> None:
        self._leadership.resign(self._client)

    def _troubled(self, error: Exception) -> None:
        self._doubt()

    def _doubt(self) -> None:
        """Leave the others the time to renew their leases."""
        self._sweep_at = time.monotonic() + self._config.lease_ttl * DOUBT
