"""File descriptors: how many a worker needs, room for them made at its start, and waiting on those of any number."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable

from pykiq.config import Config
from pykiq.errors import ConfigError
from pykiq.logger import get_logger

try:
    import resource
except ImportError:  # not POSIX, where there is no such limit
    resource = None  # type: ignore[assignment]

OWN = 64  # connections that do not wait, pipes, the event loop, the metrics port and who asks there
PER_SLOT = 4  # for what handlers open

log = get_logger()


def needed(config: Config) -> int:
    """How many a process will have open: what it has now, a connection for each queue of each capsule, and the rest.

    Of many queues most share two connections, where the server allows it, which is not known yet.
    """
    waiters = sum(len(capsule.names) for capsule in config.capsules)
    return _open_now() + waiters + OWN + PER_SLOT * config.concurrency


def make_room(config: Config) -> None:
    """Raise this process's limit if it is too low, as far as that goes, and that of processes it starts.

    No further than needed: there are programs that a handler may start which close every number below the limit.

    Raises:
        ConfigError: the system allows fewer. The worker would run, and fail at its first jobs.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed(config)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # beyond the hard limit, or the system's
        raise ConfigError(
            f"{_load(config)} need {wanted} file descriptors, each queue may need a connection, and the limit"
            f" is {soft} (hard limit {hard}); expected fewer queues, or a higher limit: ulimit -n,"
            " LimitNOFILE= in a unit of systemd, --ulimit nofile= of Docker"
        ) from None
    log.info("descriptor_limit_raised", limit=wanted, was=soft, queues=len(config.queues))


def _load(config: Config) -> str:
    queues = len(config.queues)
    return f"{queues} {'queue' if queues == 1 else 'queues'} and {config.concurrency} at a time"


def readable(descriptors: Iterable[int], seconds: float) -> set[int]:
    """Those that there is something to read from, or an end, after waiting up to `seconds` for the first.

    Not with select(), which takes no number above 1,023.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(seconds * 1000)}


def _open_now() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder))
        except OSError:
            continue
    return 0
