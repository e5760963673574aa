"""Puts the results into README.md and docs/performance.md, between the marks that stand there.

python -m benchmarks.summary [FOLDER]
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.measurements import measurements
from benchmarks.rounds import Figure, Result

ROOT = Path(__file__).parent.parent
README, PAGE = ROOT / "README.md", ROOT / "docs" / "performance.md"
SHOWN = 8  # measurements on either side of the README's table
OF_ONE_KIND = 2  # of them with the same figure
LEFT_OUT = frozenset({"round_trips", "scripts", "requests_per_s"})  # of the README: what they cost is in other figures
LONG = frozenset({"sweep"})  # a chart, not a row
QUEUES = ("latency-1", "latency-8", "steady-50", "queues-20-45", "queues-200-45", "queues-500-last", "weights")
PROCESSES = ("noop", "processes-2", "processes-4", "idle", "idle-10-processes", "idle-40-processes")
CARRIED = ("noop", "activejob", "sleep-1ms", "sleep-5ms", "steady-1ms", "steady-50", "queues-20-45", "failing")
SIZES = ("noop", "depth", "payload-2kB", "payload-20kB", "payload-200kB", "payload-1000kB")


def main(folder: Path) -> None:
    order = [one.name for one in measurements(quick=False)]
    read = [report.read(folder / f"{name}.json") for name in order if (folder / f"{name}.json").exists()]
    results = {result.measurement.name: result for result, _ in read}
    around = read[0][1]
    between(README, "extremes", f"{taken(around)}\n\n{extremes(results.values(), around)}")
    between(PAGE, "growth", growth(results))
    versions: dict[str, str] = {name: str(around[name]) for name in ("pykiq", "Sidekiq", "floor") if name in around}
    rows = [result for result in results.values() if result.measurement.name not in LONG]
    between(PAGE, "figures", f"{taken(around)}\n\n{report.table(rows, versions)}")


def between(page: Path, name: str, text: str) -> None:
    """Replace what stands between two marks of a page."""
    before, begin, rest = page.read_text().partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->\n")
    if not end:
        raise SystemExit(f"{page} lacks the marks <!-- {name} --> and <!-- end of {name} -->")
    page.write_text(f"{before}{begin}{text}\n{end}{after}")


def taken(around: dict[str, Any]) -> str:
    return (
        f"Medians, taken on {around['date']}: pykiq {around['pykiq']} on Python {around['python']}, "
        f"Sidekiq {around['Sidekiq']}, Redis {around['redis']}, {around['cores']} cores ({around['cpu']}), load "
        f"{around['load']} at the start."
    )


def extremes(results: Iterable[Result], around: dict[str, Any]) -> str:
    """A measurement's worst figure each of those where pykiq is worst, and its best of those where it is best."""
    rated = [
        (ratio.median if figure.more_is_better else 1 / ratio.median, result, figure)
        for result in results
        if result.measurement.name not in LONG
        for figure in result.measurement.figures
        if figure.key not in LEFT_OUT and (ratio := result.ratio(figure.key, "Sidekiq")) and ratio.median
    ]
    rated.sort(key=lambda row: row[0])
    behind = _one_each([row for row in rated if row[0] < 1])
    ahead = _one_each([row for row in reversed(rated) if row[0] > 1])
    head = ("pykiq", f"Sidekiq {str(around['Sidekiq']).split()[0]}", "pykiq / Sidekiq")
    rows: list[Sequence[str]] = [("where pykiq is behind", *head), ("---",) * 4, *map(_row, behind)]
    rows += [("**where pykiq is ahead**", "", "", ""), *map(_row, ahead)]
    return lines(rows)


def _one_each(rated: Sequence[tuple[float, Result, Figure]]) -> list[tuple[Result, Figure]]:
    """The first row of each measurement, as many as are shown; no figure is in more than a few of them."""
    found: dict[str, tuple[Result, Figure]] = {}
    times: Counter[str] = Counter()
    for _, result, figure in rated:
        if result.measurement.name not in found and times[figure.key] < OF_ONE_KIND:
            times[figure.key] += 1
            found[result.measurement.name] = result, figure
    return list(found.values())[:SHOWN]


def _row(of: tuple[Result, Figure]) -> Sequence[str]:
    result, figure = of
    ratio = result.ratio(figure.key, "Sidekiq")
    values = [median(result, system, figure.key, figure.digits) for system in ("pykiq", "Sidekiq")]
    return (f"{result.measurement.title}: {figure.unit}", *values, f"**{ratio.median:.2f}**" if ratio else "")


def growth(results: dict[str, Result]) -> str:
    """How cost grows, a table a question; each cell is pykiq's median and Sidekiq's."""

    def table(title: str, names: Sequence[str], shown: Sequence[tuple[str, str, int]]) -> str:
        rows: list[Sequence[str]] = [(title, *(head for _, head, _ in shown)), ("---",) * (len(shown) + 1)]
        for result in (results[name] for name in names if name in results):
            cells = [pair(result, key, digits) for key, _, digits in shown]
            rows.append((result.measurement.title, *cells))
        return lines(rows)

    costs = [("cpu_us", "µs CPU per job", 0), ("redis_cpu_us", "µs CPU of Redis", 1), ("commands", "Redis commands", 2)]
    idle = [
        ("cpu_ms_per_s", "ms CPU/s", 1),
        ("redis_cpu_ms_per_s", "ms CPU/s of Redis", 1),
        ("commands_per_s", "commands/s", 1),
        ("connections", "connections", 0),
        ("rss_mb", "MB resident", 0),
    ]
    delays = [("p50_ms", "ms to start, p50", 2), ("p99_ms", "p99", 2)]
    rate = ("jobs_per_s", "jobs/s", 0)
    return "\n\n".join(
        (
            table("queues", QUEUES, [*costs, *delays]),
            table("queues, idle", ("idle", "idle-200-queues", "idle-500-queues"), idle),
            table("processes", PROCESSES[:3], [rate, *costs]),
            table("processes, idle", PROCESSES[3:], idle),
            table("payload and depth", SIZES, [rate, *costs, ("rss_mb", "MB resident", 0)]),
            carried(results),
        )
    )


def carried(results: dict[str, Result]) -> str:
    """What one Redis can carry: a second of its CPU by what a job takes of it, the push included where it was."""
    rows: list[Sequence[str]] = [("jobs/s that would keep one Redis busy", "pykiq", "Sidekiq"), ("---",) * 3]
    for result in (results[name] for name in CARRIED if name in results):
        spreads = [result.spread(system, "redis_cpu_us") for system in ("pykiq", "Sidekiq")]
        cells = [f"{1e6 / spread.median:,.0f}" if spread and spread.median else "" for spread in spreads]
        rows.append((result.measurement.title, *cells))
    return lines(rows)


def pair(result: Result, key: str, digits: int) -> str:
    if key not in result.rounds[0]["pykiq"]:
        return ""
    return " / ".join(median(result, system, key, digits) for system in ("pykiq", "Sidekiq"))


def median(result: Result, system: str, key: str, digits: int) -> str:
    spread = result.spread(system, key)
    return f"{spread.median:,.{digits}f}" if spread else ""


def lines(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "benchmarks" / "results")
