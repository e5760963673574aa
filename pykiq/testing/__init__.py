"""For tests of programs that push and handle jobs: pushes without Redis, and the jobs run when the test says so.

    with pykiq.testing.fake() as jobs:
        place_order(42)
        jobs.assert_enqueued("Billing::ChargeJob", args=[42])
        jobs.drain()

With pytest, the fixture `pykiq_jobs` is a `fake()` around the test.
"""

from pykiq.testing.jobs import Jobs
from pykiq.testing.memory import StoredJob
from pykiq.testing.modes import disable, fake, inline

__all__ = ["Jobs", "StoredJob", "disable", "fake", "inline"]
