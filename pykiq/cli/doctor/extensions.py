"""The gems around Sidekiq that have left keys in Redis, and what that means for Python beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Extension(NamedTuple):
    """A gem, the keys by which it is known (whole names, or beginnings that end in `*`), and what to do about it."""

    name: str
    keys: tuple[str, ...]
    advice: str


EXTENSIONS = (
    Extension(
        "sidekiq-cron",
        ("cron_jobs", "cron_jobs:*", "cron_job:*"),
        "pykiq does not fire its schedules: keep a Ruby process with it running",
    ),
    Extension(
        "sidekiq-scheduler",
        ("schedules", "schedules_changed", "sidekiq-scheduler:*"),
        "pykiq does not fire its schedules: keep a Ruby process with it running",
    ),
    Extension(
        "sidekiq-unique-jobs",
        ("uniquejobs:*",),
        "pykiq neither takes nor releases its locks: do not push classes with a `lock` from Python, and leave such"
        " classes to Ruby, or their locks stay until they expire",
    ),
    Extension("sidekiq-batch", ("BID-*",), "pykiq keeps `bid` on a payload and does not count for the batch"),
    Extension(
        "Sidekiq Pro batches",
        ("b-*", "batches"),
        "pykiq keeps `bid` on a payload and does not count for the batch: leave its jobs to Ruby",
    ),
    Extension(
        "Sidekiq Pro super_fetch",
        ("queue:sq|*", "super_processes"),
        "its private lists are Ruby's to recover; pykiq leaves them alone",
    ),
    Extension(
        "GitLab's reliable fetcher or sidekiq-power-fetch",
        ("working:queue:*", "reliable-fetcher-*", "sidekiq-power-fetch-*"),
        "its working lists are Ruby's to recover; pykiq leaves them alone",
    ),
    Extension("Sidekiq Enterprise", ("dear-leader", "lmtr-*"), "pykiq heeds neither its limiters nor its unique locks"),
    Extension("sidekiq-throttled", ("throttled:*",), "pykiq does not heed its limits"),
    Extension("sidekiq-status", ("sidekiq:status:*",), "the status of a job that Python runs is not updated"),
    Extension("sidekiq-failures", ("failed",), "failures in Python do not appear in its tab; they are in `retries`"),
)


def seen(keys: Iterable[str]) -> list[tuple[Extension, int]]:
    """The extensions that some of `keys` belong to, each with how many."""
    counts = dict.fromkeys(EXTENSIONS, 0)
    for key in keys:
        for extension in EXTENSIONS:
            if any(key.startswith(known[:-1]) if known.endswith("*") else key == known for known in extension.keys):
                counts[extension] += 1
    return [(extension, count) for extension, count in counts.items() if count]
