"""A class as a job, with a word in what happens when it fails.

    pykiq run --require examples/class_job.py          # in one terminal
    python examples/class_job.py                       # in another

Sidekiq's jitter is added to what `retry_in` returns: up to 10 s at the first failure, up to 20 s at the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pykiq


class Unreachable(Exception):
    """The other side does not answer; it may do so later."""


class Gone(Exception):
    """There is nothing there, and there will not be."""


class ImportJob(pykiq.Job, name="Feeds::ImportJob", retry=2, backtrace=5):
    def perform(self, url: str) -> None:
        job = pykiq.current_job()
        if "gone" in url:
            raise Gone(url)
        if "down" in url or ("flaky" in url and job.attempt == 0):
            raise Unreachable(url)
        job.log.info("imported", url=url, attempt=job.attempt)

    def retry_in(self, count: int, error: BaseException, job: Mapping[str, Any]) -> object:
        """Seconds until the next try, KILL, DISCARD, or None for Sidekiq's own delay."""
        return pykiq.KILL if isinstance(error, Gone) else 1 + 2 * count

    def retries_exhausted(self, job: Mapping[str, Any], error: BaseException) -> None:
        """No retries are left; after this the job goes to the dead set."""
        pykiq.remote("Feeds::GiveUpJob", queue="ruby").perform_async(*job["args"])


if __name__ == "__main__":
    for url in ("https://example.com/fine", "https://flaky.example.com", "https://example.com/gone"):
        print(url, ImportJob.perform_async(url))
