"""A child's link to its parent, with the process, the parent's ends and the keeper's all in this one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.middleware.chain import Chain
from pykiq.observe.board import Board, Post
from pykiq.observe.merged import unpack
from pykiq.observe.tally import JOBS
from pykiq.worker.child import Link
from pykiq.worker.process import Process
from pykiq.worker.tether import Tether
from tests.servers import wait_until
from tests.worker.stage import push, raw, registry

NONCE = "0123456789ab"


class Childhood:
    def __init__(self, url: str) -> None:
        self.process = Process(
            Config.of(redis=url, timeout=5),
            handlers=registry(Job=lambda: None),
            hooks=Lifecycle(),
            on_push=Chain(),
            around_jobs=Chain(),
            embedded=True,
            nonce=NONCE,
        )
        self.board = Board(2)
        self.board.post(1, Post(os.getpid(), 0, time.monotonic(), NONCE))
        self.tether = Tether()
        self.link = Link(self.process, self.board, 1, self.tether, counting=True)
        self.code: int | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.code = self.process.run()

    def told(self) -> list[tuple[str, float]]:
        """The counters that have reached the keeper."""
        rows = []
        while (datagram := self.tether.heard()) is not None:
            rows += [(row.name, row.total) for row in unpack(datagram) if not row.counts]
        return rows


@pytest.fixture
def child(redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Childhood]:
    monkeypatch.setattr("pykiq.worker.child.PERIOD", 0.05)
    made = Childhood(redis_url)
    made.thread.start()
    made.link.start()
    yield made
    made.process.command("TERM")
    made.thread.join(20)
    made.link.close(clean=True)
    made.tether.let_go()
    made.link._watcher.join(5)
    made.tether.close()


def test_it_has_the_identity_that_its_parent_has_drawn_for_it(child: Childhood) -> None:
    host, pid, nonce = child.process.identity.rsplit(":", 2)
    assert host
    assert (pid, nonce) == (str(os.getpid()), NONCE)


def test_it_is_not_ready_before_it_has_started(child: Childhood) -> None:
    wait_until(lambda: child.board.row(1).report.answering)
    child.process.started.clear()  # as it is while `startup` hooks run
    wait_until(lambda: not child.board.row(1).report.answering)


def test_it_reports_how_it_is_again_and_again(child: Childhood) -> None:
    wait_until(lambda: child.board.row(1).report.answering, what="the first report")
    report = child.board.row(1).report
    assert report.rss_kb > 1000
    assert not report.quiet
    child.process.command("TSTP")
    wait_until(lambda: child.board.row(1).report.quiet, what="a report of the quiet")
    wait_until(lambda: child.board.row(1).report.turned > report.turned, what="a later turn")


def test_what_it_counts_is_sent_once_and_its_last_word_too(redis: redis_py.Redis, child: Childhood) -> None:
    told: list[tuple[str, float]] = []
    push(redis, *(raw("Job", number) for number in range(5)))
    wait_until(lambda: told.extend(child.told()) or sum(total for _, total in told) == 5, what="five jobs counted")
    child.process.command("TERM")
    child.thread.join(20)
    child.process.metrics.tally.add(unpack(b'[["pykiq_jobs",["A","low","done"],1,[]]]'))
    child.link.close(clean=True)
    assert child.told() == [("pykiq_jobs", 1)]
    assert child.board.row(1).report.stopped


def test_what_cannot_be_sent_is_sent_later(child: Childhood) -> None:
    full = False
    while not full:
        try:
            child.tether.report(b"[]")
        except BlockingIOError:
            full = True
    child.process.metrics.tally.counter(JOBS)["A", "low", "done"] = 1
    child.link._send()
    assert child.told() == []
    wait_until(lambda: child.told() == [("pykiq_jobs", 1)], what="the job counted")


def test_it_stops_when_its_parent_is_gone(child: Childhood) -> None:
    wait_until(lambda: child.board.row(1).report.answering, what="the first report")
    child.tether.let_go()
    child.thread.join(20)
    assert child.code == 0
