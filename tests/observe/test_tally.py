"""Counters and histograms that can be taken, sent and added up."""

from __future__ import annotations

from prometheus_client.core import Metric

from pykiq.observe.merged import pack, unpack
from pykiq.observe.tally import DURATION, JOBS, TAKEOVERS, WAIT, Row, Tally, sendable


def samples(tally: Tally) -> dict[tuple[str, ...], float]:
    """Every sample of a tally but buckets and zeros, by name and label values."""
    families: list[Metric] = list(tally.collect())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_bucket") and sample.value
    }


def counted(jobs: int = 1, name: str = "A") -> Tally:
    tally = Tally()
    tally.counter(JOBS)[name, "default", "done"] = jobs
    tally.histogram(DURATION, (name,)).observe([0.3])
    return tally


def test_what_is_taken_and_added_elsewhere_is_counted_there_and_no_longer_here() -> None:
    one, all_of_them = counted(2), counted(3)
    all_of_them.add(unpack(pack(one.take())))
    assert samples(one) == {}
    assert samples(all_of_them) == {
        ("pykiq_jobs_total", "A", "default", "done"): 5,
        ("pykiq_job_duration_seconds_count", "A"): 2,
        ("pykiq_job_duration_seconds_sum", "A"): 0.6,
    }


def test_what_was_taken_can_be_given_back() -> None:
    tally = counted()
    before = samples(tally)
    tally.add(tally.take())
    assert samples(tally) == before


def test_buckets_are_added_up() -> None:
    one, other = Tally(), Tally()
    for tally, seconds in ((one, 0.001), (one, 0.2), (other, 0.2), (other, 99_999)):
        tally.histogram(WAIT, ("low",)).observe([seconds])
    one.add(other.take())
    buckets = {
        sample.labels["le"]: sample.value
        for family in one.collect()
        for sample in family.samples
        if sample.name.endswith("_bucket")
    }
    assert (buckets["0.005"], buckets["0.25"], buckets["21600.0"], buckets["+Inf"]) == (1, 3, 3, 4)


def test_names_beyond_the_limit_are_counted_together_also_when_each_child_knows_other_ones() -> None:
    merged = Tally(max_names=2)
    for name in ("A", "B", "C", "D", "A"):
        merged.add(counted(name=name).take())
    jobs = {key[1]: value for key, value in samples(merged).items() if key[0] == "pykiq_jobs_total"}
    assert jobs == {"A": 2, "B": 1, "other": 2}


def test_rows_of_another_version_are_left_out() -> None:
    tally = Tally()
    tally.add([Row("pykiq_new", ("a",), 1), Row(JOBS.name, ("a",), 1), Row(WAIT.name, ("q",), 1, (1,))])
    assert samples(tally) == {}


def test_a_datagram_holds_no_more_than_fits_whatever_the_names() -> None:
    tally = Tally()
    for number in range(200):
        name = tally.label("class", f"{number:03}" + "\x01" * 197)
        tally.counter(JOBS)[name, tally.label("queue", "\x02" * 200), "handed_back"] = 1
        tally.histogram(DURATION, (name,)).observe([0.3])
    portions = [pack(portion) for portion in sendable(tally.take())]
    assert max(map(len, portions)) < 100_000  # a Unix socket takes twice that
    assert sum(len(unpack(portion)) for portion in portions) == 400


def test_what_has_no_labels_is_there_before_it_happens_and_not_sent_until_then() -> None:
    """`rate()` sees the first takeover only if there was a zero before it."""
    tally = Tally()
    names = {sample.name: sample.value for family in tally.collect() for sample in family.samples}
    assert names == {"pykiq_takeovers_total": 0, "pykiq_poison_pills_total": 0}
    assert tally.take() == []
    tally.counter(TAKEOVERS)[()] += 2
    assert tally.take() == [Row(TAKEOVERS.name, (), 2)]
