from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pykiq.observe.observer import by_kind
from pykiq.observe.prometheus import Metrics
from pykiq.observe.tally import DURATION_BUCKETS
from pykiq.records import Fate, Foreign, Takeover, Word
from tests.observe.jobs import settled, started

Sample = tuple[str, frozenset[tuple[str, str]]]


def scrape(metrics: Metrics) -> dict[Sample, float]:
    """Every sample of one scrape, through the text format and back, by name and labels."""
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def sample(name: str, **labels: str) -> Sample:
    # `class` cannot be a keyword argument.
    return name, frozenset(("class" if label == "class_" else label, value) for label, value in labels.items())


def metrics(max_classes: int = 200) -> Metrics:
    return Metrics(concurrency=10, busy=lambda: 3, in_flight=lambda: 4, quiet=lambda: False, max_classes=max_classes)


def test_jobs_are_counted_by_class_queue_and_outcome() -> None:
    seen = metrics()
    seen.counted(by_kind([settled(), settled(), settled(Word.FAILED, Fate.RETRY)]))
    seen.counted(by_kind([settled(), settled(Word.FAILED, Fate.DEAD, name="B", queue="low")]))
    samples = scrape(seen)
    charge = {"class_": "Billing::ChargeJob", "queue": "critical"}
    assert samples[sample("pykiq_jobs_total", **charge, outcome="done")] == 3
    assert samples[sample("pykiq_jobs_total", **charge, outcome="retry")] == 1
    assert samples[sample("pykiq_jobs_total", class_="B", queue="low", outcome="dead")] == 1
    assert len([name for name, _ in samples if name == "pykiq_jobs_total"]) == 3


@pytest.mark.parametrize("fate", list(Fate))
def test_every_fate_is_an_outcome(fate: Fate) -> None:
    seen = metrics()
    seen.counted(by_kind([settled(Word.FAILED, fate)]))
    found = [dict(labels)["outcome"] for name, labels in scrape(seen) if name == "pykiq_jobs_total"]
    assert found == [fate.value]


def test_durations_fall_into_cumulative_buckets() -> None:
    seen = metrics()
    seen.counted(by_kind([settled(name="A", elapsed=elapsed) for elapsed in (0.0004, 0.25, 0.3, 99_999.0)]))
    samples = scrape(seen)

    def at_most(bound: str) -> float:
        return samples[sample("pykiq_job_duration_seconds_bucket", class_="A", le=bound)]

    assert (at_most("0.001"), at_most("0.1"), at_most("0.25"), at_most("0.5"), at_most("3600.0")) == (1, 1, 2, 3, 3)
    assert at_most("+Inf") == samples[sample("pykiq_job_duration_seconds_count", class_="A")] == 4
    assert samples[sample("pykiq_job_duration_seconds_sum", class_="A")] == pytest.approx(99_999.5504)
    buckets = [labels for name, labels in samples if name == "pykiq_job_duration_seconds_bucket"]
    assert len(buckets) == len(DURATION_BUCKETS) + 1


@pytest.mark.parametrize("word", [Word.FOREIGN, Word.UNREADABLE, Word.POISON, Word.EXPIRED])
def test_what_never_ran_has_no_duration(word: Word) -> None:
    seen = metrics()
    seen.counted(by_kind([settled(word, Fate.DEAD)]))
    assert not [name for name, _ in scrape(seen) if name.startswith("pykiq_job_duration")]


@pytest.mark.parametrize("enqueued_at", [1_700_000_008.5, 1_700_000_008_500])
def test_the_wait_is_read_in_either_unit(enqueued_at: float) -> None:
    seen = metrics()
    seen.started([started(queue="low", enqueued_at=enqueued_at)])
    samples = scrape(seen)
    assert samples[sample("pykiq_job_wait_seconds_sum", queue="low")] == pytest.approx(1.5)
    assert samples[sample("pykiq_job_wait_seconds_bucket", queue="low", le="1.0")] == 0
    assert samples[sample("pykiq_job_wait_seconds_bucket", queue="low", le="2.5")] == 1


def test_a_job_that_does_not_say_when_it_was_enqueued_has_no_wait() -> None:
    seen = metrics()
    seen.started([started(enqueued_at="yesterday"), started()])
    assert not [name for name, _ in scrape(seen) if name.startswith("pykiq_job_wait")]


def test_a_pushers_clock_that_is_ahead_makes_no_negative_wait() -> None:
    seen = metrics()
    seen.started([started(queue="low", enqueued_at=1_700_000_099.5)])
    assert scrape(seen)[sample("pykiq_job_wait_seconds_sum", queue="low")] == 0


def test_the_process_says_whether_it_is_up_busy_and_quiet() -> None:
    quiet, busy = False, 3
    seen = Metrics(concurrency=10, busy=lambda: busy, in_flight=lambda: 0, quiet=lambda: quiet)

    def gauges() -> list[float]:
        samples = scrape(seen)
        return [samples[sample(f"pykiq_{name}")] for name in ("up", "concurrency", "busy", "quiet")]

    assert gauges() == [1, 10, 3, 0]
    quiet, busy = True, 0
    assert gauges() == [1, 10, 0, 1]


def test_classes_beyond_the_limit_are_counted_together() -> None:
    seen = metrics(max_classes=2)
    seen.counted(by_kind([settled(name=name) for name in ("A", "B", "C", "D", "A")]))
    counted = {
        dict(labels)["class"]: value for (name, labels), value in scrape(seen).items() if name == "pykiq_jobs_total"
    }
    assert counted == {"A": 2, "B": 1, "other": 2}
    durations = {dict(labels)["class"] for name, labels in scrape(seen) if name.startswith("pykiq_job_duration")}
    assert durations == {"A", "B", "other"}


@pytest.mark.parametrize("fate", [Fate.HANDED_BACK, Fate.RETRY, Fate.DEAD])
def test_jobs_without_a_handler_are_counted_by_class(fate: Fate) -> None:
    seen = metrics()
    seen.counted(by_kind([settled(Word.FOREIGN, fate, name="Ruby::Job"), settled()]))
    assert scrape(seen)[sample("pykiq_foreign_jobs_total", class_="Ruby::Job")] == 1


def test_jobs_that_were_passed_over_are_counted_when_they_are_new() -> None:
    seen = metrics()
    seen.met([Foreign("default", {"Ruby::Job": 9, "Old": 3}, {"Ruby::Job": 2}), Foreign("low", {}, {"Ruby::Job": 1})])
    counted = scrape(seen)
    assert counted[sample("pykiq_foreign_jobs_total", class_="Ruby::Job")] == 3
    assert sample("pykiq_foreign_jobs_total", class_="Old") not in counted


def test_what_a_process_holds_is_told() -> None:
    samples = scrape(metrics())
    assert samples[sample("pykiq_in_flight")] == 4
    assert samples[sample("pykiq_rss_bytes")] > 1_000_000


def test_odd_names_from_payloads_survive_the_text_format() -> None:
    seen = metrics()
    seen.counted(
        by_kind([settled(name='a"b\\c\nd'), settled(name="bad \udcff"), settled(name=""), settled(name="X" * 10_000)])
    )
    classes = {dict(labels)["class"] for name, labels in scrape(seen) if name == "pykiq_jobs_total"}
    assert classes == {'a"b\\c\nd', "bad ?", "?", "other"}


def test_two_processes_metrics_in_one_program_do_not_mix() -> None:
    one, two = metrics(), metrics()
    one.counted(by_kind([settled()]))
    assert not [name for name, _ in scrape(two) if name == "pykiq_jobs_total"]


def test_jobs_taken_over_are_counted_and_poison_pills_among_them() -> None:
    seen = metrics()
    seen.took_over([Takeover("a:1:x", "low", b"{}", None, entry) for entry in (b"", b"{}", b"")])
    samples = scrape(seen)
    assert samples[sample("pykiq_takeovers_total")] == 3
    assert samples[sample("pykiq_poison_pills_total")] == 1
