"""The common runner: all systems in turns; medians, and ratios pair by pair."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.machine import Bench
from benchmarks.systems import Floor, System

Once = Callable[[Bench, System], dict[str, float]]


@dataclass(frozen=True)
class Figure:
    """One number that a measurement yields, such as `jobs_per_s`."""

    key: str
    unit: str  # what the table calls it
    more_is_better: bool = False
    digits: int = 0


@dataclass(frozen=True)
class Measurement:
    name: str
    title: str
    figures: tuple[Figure, ...]
    once: Once
    plain: bool = False  # whether floor.py takes part
    slow: bool = False  # whether three rounds have to do where others have five


@dataclass(frozen=True)
class Spread:
    """What several rounds came to."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(values: Iterable[float]) -> Spread:
        several = sorted(values)
        return Spread(statistics.median(several), several[0], several[-1])


@dataclass(frozen=True)
class Result:
    measurement: Measurement
    rounds: tuple[dict[str, dict[str, float]], ...]  # of each round: system → key → value

    def spread(self, system: str, key: str) -> Spread | None:
        """None where the system took no part."""
        if not all(system in figures for figures in self.rounds):
            return None
        return Spread.of(figures[system][key] for figures in self.rounds)

    def ratio(self, key: str, other: str, system: str = "pykiq") -> Spread | None:
        """A system's value by another's of the same round: what slows the machine for a while slows both.

        None where the other has none of it.
        """
        if not all(system in figures and figures.get(other, {}).get(key) for figures in self.rounds):
            return None
        return Spread.of(figures[system][key] / figures[other][key] for figures in self.rounds)


def run(bench: Bench, measurement: Measurement, times: int, said: Callable[[str], None]) -> Result:
    """All rounds of one measurement, in turns; each round begins with another system."""
    rounds: list[dict[str, dict[str, float]]] = []
    first = measurement.figures[0]
    systems = [system for system in bench.systems if measurement.plain or not isinstance(system, Floor)]
    times = max(times * 3 // 5, 1) if measurement.slow else times
    for number in range(times):
        taken: dict[str, dict[str, float]] = {}
        at = number % len(systems)
        for system in systems[at:] + systems[:at]:
            bench.empty()
            taken[system.name] = measurement.once(bench, system)
        rounds.append(taken)
        shown = ", ".join(f"{name} {figures[first.key]:,.{first.digits}f}" for name, figures in taken.items())
        said(f"{measurement.name} {number + 1}/{times}: {shown} {first.unit}")
    return Result(measurement, tuple(rounds))
