"""Pushing, client side: `perform_async` in a loop, `perform_bulk` by the thousand."""

from __future__ import annotations

from benchmarks.machine import Bench
from benchmarks.rounds import Figure, Once
from benchmarks.systems import System

FIGURES = (Figure("jobs_per_s", "jobs/s", more_is_better=True), Figure("cpu_us", "µs CPU per job", digits=1))


def enqueue(kind: str, count: int) -> Once:
    """A measurement of `count` pushes, `kind` is `single` or `bulk`; the client has pushed 200 before."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        took = bench.push(system, kind, count)
        return {"jobs_per_s": count / took["seconds"], "cpu_us": took["cpu"] / count * 1e6}

    return once
