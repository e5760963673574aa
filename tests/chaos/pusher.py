"""Who pushes jobs while everything breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import redis

from tests.chaos.fleet import push


class Pusher:
    """Pushes jobs one by one from its own thread. A push without an answer is repeated until there is one.

    With `replicated` a push counts only when a replica has it; what has not been there in time is pushed again.
    """

    def __init__(
        self, client: Callable[[], redis.Redis], jobs: Iterable[bytes], pause: float, *, replicated: bool = False
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._pause = pause
        self._replicated = replicated
        self._stop = False
        self.pushed = 0
        self.repeated = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._client() as client:
            for job in self._jobs:
                while not self._done(client, job):
                    self.repeated += 1
                    time.sleep(0.01)
                self.pushed += 1
                if self._stop:
                    return
                time.sleep(self._pause)

    def _done(self, client: redis.Redis, job: bytes) -> bool:
        try:
            push(client, [job])
            return not self._replicated or bool(client.wait(1, 1000))
        except redis.RedisError:
            return False

    def finish(self, seconds: float = 60.0) -> None:
        """Wait until all jobs are pushed."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"only {self.pushed} jobs were pushed"

    def stop(self, seconds: float = 60.0) -> None:
        """Push no more; wait for the answer to the last one."""
        self._stop = True
        self.finish(seconds)
