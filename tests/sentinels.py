"""Real Sentinels for the tests."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import redis as redis_py

from tests.servers import Server, binary, free_port


class Sentinel:
    """One Sentinel process that watches one master under the name `main`."""

    def __init__(self, master: Server) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="pykiq-sentinel-")
        settings = Path(self._folder.name) / "sentinel.conf"
        settings.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._folder.name}\n"
            f"sentinel monitor main 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
        )
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([binary(), str(settings), "--sentinel"], stdout=quiet, stderr=quiet)

    def ask(self, *command: str) -> list[bytes] | None:
        try:
            with redis_py.Redis(port=self.port, protocol=2) as client:
                answer: list[bytes] | None = client.execute_command(*command)
                return answer
        except redis_py.RedisError:
            return None

    def url(self, db: int = 0) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/main/{db}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()
