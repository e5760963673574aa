"""The metrics and the health of a swarm: its children's, put together by the process that has the port.

Counters and histograms are added up, `pykiq_busy` and `pykiq_concurrency` too; what waits in Redis is read once, not by
every child; how much memory each child has is told per place, of which there are as many as children.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from pykiq.observe.backlog import Backlog
from pykiq.observe.board import ALIVE, Board
from pykiq.observe.board import Row as Child
from pykiq.observe.heartbeat import STUCK
from pykiq.observe.tally import Row, Tally

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric


def pack(rows: Iterable[Row]) -> bytes:
    """Rows of a tally as one datagram."""
    return json.dumps([tuple(row) for row in rows], ensure_ascii=False, separators=(",", ":")).encode()


def unpack(datagram: bytes) -> list[Row]:
    """The rows of a datagram."""
    return [Row(name, tuple(labels), total, tuple(counts)) for name, labels, total, counts in json.loads(datagram)]


class Merged:
    """The metrics of a swarm. `concurrency` is one child's."""

    def __init__(self, board: Board, *, concurrency: int, backlog: Backlog, max_classes: int = 200) -> None:
        self.tally = Tally(max_classes)
        self._board = board
        self._concurrency = concurrency
        self._last_turn = time.monotonic()
        self._backlog = backlog

    @cached_property
    def registry(self) -> CollectorRegistry:
        """These metrics and the backlog, for who exposes them."""
        from pykiq.observe.exposition import registry_of

        return registry_of(self, self._backlog)

    def collect(self) -> Iterator[Metric]:
        """All but the backlog."""
        from pykiq.observe.exposition import CounterMetricFamily, GaugeMetricFamily

        yield from self.tally.collect()
        children = list(self._board.in_state(ALIVE))
        quiet = bool(children) and all(child.report.quiet for child in children)
        slots = self._concurrency * len(children)
        yield GaugeMetricFamily("pykiq_up", "1 while the process runs.", value=1)
        yield GaugeMetricFamily("pykiq_quiet", "1 when it takes no new jobs.", value=int(quiet))
        yield GaugeMetricFamily("pykiq_busy", "Jobs running now.", value=sum(child.report.busy for child in children))
        yield GaugeMetricFamily("pykiq_concurrency", "Jobs it can run at once.", value=slots)
        yield GaugeMetricFamily("pykiq_children", "Children that run.", value=len(children))
        held = sum(child.report.in_flight for child in children)
        yield GaugeMetricFamily("pykiq_in_flight", "Jobs claimed and not settled.", value=held)
        resident = sum(child.report.rss_kb for child in children) * 1024
        yield GaugeMetricFamily("pykiq_rss_bytes", "Resident memory.", value=resident)
        memory = GaugeMetricFamily("pykiq_child_rss_bytes", "Resident memory of a child.", labels=["child"])
        for place, bytes_held in _memory(children).items():
            memory.add_metric([str(place)], bytes_held)
        yield memory
        crashed, recycled = self._board.totals()
        ends = CounterMetricFamily("pykiq_child_ends", "Children that ended unasked.", labels=["reason"])
        ends.add_metric(["crashed"], crashed)
        ends.add_metric(["recycled"], recycled)
        yield ends

    def alive(self) -> bool:
        """Whether every child's exchange turns; with no child at all, whether one has turned a moment ago."""
        turns = [child.report.turned for child in self._board.in_state(ALIVE)]
        self._last_turn = max([self._last_turn, *turns])
        return time.monotonic() - min(turns, default=self._last_turn) < STUCK

    def ready(self) -> bool:
        """Whether a child takes jobs."""
        now = time.monotonic()
        return any(
            child.report.answering and not child.report.quiet and now - child.report.turned < STUCK
            for child in self._board.in_state(ALIVE)
        )


def _memory(children: Iterable[Child]) -> dict[int, int]:
    """Bytes by place; one that is being recycled has two children for a while."""
    held: dict[int, int] = {}
    for child in children:
        held[child.post.place] = held.get(child.post.place, 0) + child.report.rss_kb * 1024
    return dict(sorted(held.items()))
