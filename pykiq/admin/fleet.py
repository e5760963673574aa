"""The processes of the fleet, Ruby's and Python's alike, and the jobs they run now."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pykiq.admin.access import Access, moment
from pykiq.admin.entries import JobRecord
from pykiq.client.sync import Client
from pykiq.errors import StoreError
from pykiq.observe.ghosts import clear_ghosts
from pykiq.store import processes
from pykiq.store.processes import Seen, Working
from pykiq.wire import untrusted


class Process:
    """One process as its last heartbeat tells it."""

    def __init__(self, access: Access, seen: Seen) -> None:
        self._access = access
        self.seen = seen

    def __getitem__(self, key: str) -> Any:
        """A field of what it said of itself at its start, or of its last beat (`busy`, `beat`, `rss`…)."""
        beaten = self.seen._asdict()
        return beaten[key] if key in beaten and key != "info" else self.seen.info.get(key)

    __iter__ = None  # Python would count up from process[0] for ever
    __contains__ = None

    @property
    def identity(self) -> str:
        return self.seen.identity

    @property
    def hostname(self) -> str:
        return untrusted.text(self["hostname"])

    @property
    def pid(self) -> int:
        return untrusted.whole(self["pid"])

    @property
    def tag(self) -> str:
        return untrusted.text(self["tag"])

    @property
    def labels(self) -> list[str]:
        return untrusted.texts(self["labels"])

    @property
    def queues(self) -> list[str]:
        """The queues it serves, each once, in its order."""
        found = untrusted.texts(self["queues"])
        for capsule in self.capsules.values() if not found else ():
            weights = capsule.get("weights")
            found += list(weights) if isinstance(weights, dict) else []
        return list(dict.fromkeys(found))

    @property
    def weights(self) -> list[Mapping[str, int]]:
        """Queue → weight per capsule; 0 is strict. Empty before Sidekiq 7."""
        weights = self["weights"]
        return [one for one in weights if isinstance(one, dict)] if isinstance(weights, list) else []

    @property
    def capsules(self) -> Mapping[str, Mapping[str, Any]]:
        """Name → `concurrency`, `mode`, `weights`. Empty before Sidekiq 8."""
        capsules = self["capsules"]
        found = capsules if isinstance(capsules, dict) else {}
        return {name: capsule for name, capsule in found.items() if isinstance(capsule, dict)}

    @property
    def concurrency(self) -> int:
        return self.seen.concurrency

    @property
    def busy(self) -> int:
        """Jobs it runs now."""
        return self.seen.busy

    @property
    def rss(self) -> int:
        """Memory in kilobytes."""
        return self.seen.rss

    @property
    def started_at(self) -> datetime | None:
        return moment(untrusted.moment(self["started_at"]))

    @property
    def beat(self) -> datetime | None:
        """Its last heartbeat, by its own clock; None when it does not say."""
        return moment(self.seen.beat or None)

    @property
    def version(self) -> str | None:
        """Sidekiq's version, `pykiq-…` for Python's; None before Sidekiq 7."""
        version = self["version"]
        return version if isinstance(version, str) else None

    @property
    def embedded(self) -> bool:
        return bool(self["embedded"])

    @property
    def stopping(self) -> bool:
        """Whether it is quiet: it takes no more jobs."""
        return self.seen.quiet

    def quiet(self) -> None:
        """Let it take no more jobs. It hears of it at its next beat, within 10 seconds.

        Raises StoreError for a process embedded in another program, which does not listen.
        """
        self._signal("TSTP")

    def stop(self) -> None:
        """Let it stop. Raises StoreError as `quiet`."""
        self._signal("TERM")

    def dump_threads(self) -> None:
        """Let it log the stack of every thread."""
        processes.signal(self._access.redis, [self.identity], "TTIN")

    def _signal(self, name: str) -> None:
        if self.embedded:
            raise StoreError(f"{self.identity} runs inside another program and does not listen; stop that program")
        processes.signal(self._access.redis, [self.identity], name)

    def __repr__(self) -> str:
        return f"<Process {self.identity}>"


class ProcessSet:
    """The processes whose heartbeat is there, in the order of their identities."""

    def __init__(self, client: Client | None = None) -> None:
        self._access = Access(client)

    def __iter__(self) -> Iterator[Process]:
        return iter([Process(self._access, seen) for seen in processes.read(self._access.redis)])

    def get(self, identity: str) -> Process | None:
        """The process of that identity; Ruby's `ProcessSet[identity]`."""
        return next((process for process in self if process.identity == identity), None)

    @property
    def size(self) -> int:
        """How many processes live. Ruby counts those that are listed and gone too, until a cleanup."""
        return sum(1 for _ in self)

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return True

    @property
    def total_concurrency(self) -> int:
        return sum(process.concurrency for process in self)

    @property
    def total_rss(self) -> int:
        """Memory of all processes in kilobytes."""
        return sum(process.rss for process in self)

    @property
    def leader(self) -> str:
        """The identity of the process that Sidekiq Enterprise has elected; empty without it."""
        found: Any = self._access.redis.get("dear-leader")
        return found.decode("utf-8", "replace") if found else ""

    def cleanup(self) -> int:
        """Remove what is listed and gone, at most once a minute for the whole fleet; how many that were."""
        return len(clear_ghosts(self._access.redis))


class Work:
    """One job that runs now, as far as its process has told: at `told_at`, by its own clock."""

    def __init__(self, access: Access, working: Working) -> None:
        self.process_id = working.identity
        self.thread_id = working.thread
        self.queue = working.queue
        self.run_at = moment(working.run_at or None)
        self.told_at = moment(working.told_at or None)
        self.job = JobRecord(access, working.raw, working.queue)
        self._since = working.run_at

    @property
    def payload(self) -> Mapping[str, Any]:
        return self.job.item

    @property
    def elapsed(self) -> float:
        """Seconds that it has run so far, by this machine's clock; 0 when nobody says since when."""
        return max(0.0, time.time() - self._since) if self._since else 0.0

    def __repr__(self) -> str:
        return f"<Work {self.job.display_class} {self.job.jid} on {self.process_id}>"


class WorkSet:
    """The jobs that run now, the longest running first.

    pykiq's processes tell of a job within a second of its start when it runs for longer than half of one, and of its
    end as soon; Ruby's with each heartbeat, which is up to 10 seconds later.
    """

    def __init__(self, client: Client | None = None) -> None:
        self._access = Access(client)

    def __iter__(self) -> Iterator[Work]:
        return iter([Work(self._access, working) for working in processes.work(self._access.redis)])

    @property
    def size(self) -> int:
        """How many jobs run, as the processes count them."""
        return sum(seen.busy for seen in processes.read(self._access.redis))

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return True

    def find_work(self, jid: str) -> Work | None:
        """The running job of that jid, or None."""
        return next((work for work in self if work.job.jid == jid), None)
