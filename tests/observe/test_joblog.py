from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from pykiq.observe import joblog
from pykiq.observe.joblog import JobLog
from pykiq.observe.log import Output, render_json
from pykiq.observe.observer import by_kind
from pykiq.records import Acknowledge, Bury, Fate, Foreign, Later, PutBack, Settled, Takeover, Word, Write
from tests.logs import capture_logs
from tests.observe.jobs import settled, started


class Lines(io.StringIO):
    """A log stream whose writes are counted."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


def tell(job_log: JobLog, *batch: Settled) -> None:
    """As the reporter does."""
    job_log.settled(batch)
    job_log.counted(by_kind(batch))


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def job_log(lines: Lines) -> JobLog:
    return JobLog(Output(lines, render_json, logging.INFO))


def test_a_start_line_names_class_jid_queue_and_attempt(job_log: JobLog, lines: Lines) -> None:
    job_log.started([started(args=["secret-argument"], retry_count=1)])
    (line,) = lines.all()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "start",
        "class": "Billing::ChargeJob",
        "jid": "ab12",
        "queue": "critical",
        "attempt": 2,
    }


def test_an_end_line_has_the_elapsed_seconds(job_log: JobLog, lines: Lines) -> None:
    job_log.settled([settled(elapsed=0.123456789)])
    (line,) = lines.all()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "done",
        "class": "Billing::ChargeJob",
        "jid": "ab12",
        "queue": "critical",
        "elapsed": 0.123457,
    }


@pytest.mark.parametrize(
    ("word", "fate", "write", "level", "event", "following"),
    [
        (Word.FAILED, Fate.RETRY, Later("retry", 1_700_000_027.8, b""), "warning", "fail", "retry in 17 s"),
        (Word.FAILED, Fate.DEAD, Bury(b""), "error", "fail", "dead"),
        (Word.EXPIRED, Fate.EXPIRED, Acknowledge(), "info", "expired", "dropped without being run"),
        (Word.FAILED, Fate.DISCARDED, Acknowledge(), "info", "fail", "discarded"),
        (Word.SNOOZED, Fate.SNOOZED, Later("schedule", 1_700_000_040.75, b""), "info", "snoozed", "again in 30 s"),
        (Word.INTERRUPTED, Fate.REQUEUED, PutBack(), "info", "interrupted", "requeued"),
        (Word.UNREADABLE, Fate.DEAD, Bury(b""), "error", "unreadable", joblog._WHAT_TO_DO[Word.UNREADABLE]),
        (Word.POISON, Fate.DEAD, Bury(b""), "error", "poison_pill", joblog._WHAT_TO_DO[Word.POISON]),
        (
            Word.DONE,
            Fate.TAKEN_OVER,
            Acknowledge(),
            "warning",
            "done",
            "taken over by another process: nothing written",
        ),
    ],
)
def test_an_end_line_says_what_happens_next(
    job_log: JobLog, lines: Lines, word: Word, fate: Fate, write: Write, level: str, event: str, following: str
) -> None:
    job_log.settled([settled(word, fate, write=write)])
    (line,) = lines.all()
    assert (line["level"], line["event"], line["next"]) == (level, event, following)


def taken(number: int, owner: str = "gone:1:x", **more: Any) -> Takeover:
    raw = json.dumps({"class": "ChargeJob", "jid": f"{number:04}", "args": ["secret-argument"]}).encode()
    return Takeover(owner, "critical", raw, **more)


@pytest.mark.parametrize(
    ("back", "dead", "following"),
    [
        (2, 0, "back at the head of their queues"),
        (0, 1, "dead as poison pills"),
        (2, 1, "2 back at the head of their queues, 1 dead as poison pills"),
    ],
)
def test_the_line_of_a_takeover_says_what_became_of_how_many(
    job_log: JobLog, lines: Lines, back: int, dead: int, following: str
) -> None:
    job_log.took_over([taken(number, dead_entry=b"{}" if number < dead else b"") for number in range(back + dead)])
    (line,) = lines.all()
    assert (line["level"], line["event"], line["identity"]) == ("warning", "took_over", "gone:1:x")
    assert (line["jobs"], line["back"], line["dead"], line["next"]) == (back + dead, back, dead, following)
    assert "unnamed" not in line


def test_each_process_that_died_has_a_line_with_how_many_jobs_have_none(job_log: JobLog, lines: Lines) -> None:
    job_log.took_over([taken(number) for number in range(500)] + [taken(1, "other:2:y")])
    first, second = lines.all()
    assert (first["jobs"], first["unnamed"]) == (500, 480)
    assert (second["identity"], second["jobs"]) == ("other:2:y", 1)


def test_a_class_without_a_handler_is_told_of_once_however_many_jobs_of_it_are_left(
    job_log: JobLog, lines: Lines
) -> None:
    foreign = settled(Word.FOREIGN, Fate.HANDED_BACK, write=PutBack())
    for _ in range(3):
        tell(job_log, foreign, foreign)
    (told,) = lines.all()
    assert told["level"] == "warning"
    assert told["class"] == foreign.outcome.name
    assert told["next"] == "left in the queue for a process that has one"


def test_classes_that_a_walk_passed_over_are_told_of_with_their_number_once_a_minute(
    job_log: JobLog, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = [Foreign("default", {"Ruby::Job": 7, "OtherJob": 1}, {})]
    for _ in range(2):
        job_log.met(walk)
    assert [(line["event"], line["class"], line["queue"], line["jobs"]) for line in lines.all()] == [
        ("no_handler_here", "Ruby::Job", "default", 7),
        ("no_handler_here", "OtherJob", "default", 1),
    ]
    monkeypatch.setattr(joblog, "FOREIGN_REST", -1.0)
    job_log._foreign.clear()
    for _ in range(2):
        job_log.met(walk)
    assert len(lines.all()) == 6


@pytest.mark.parametrize("fate", [Fate.RETRY, Fate.DEAD])
def test_a_class_without_a_handler_that_shall_fail_is_a_failure_like_any_other(
    job_log: JobLog, lines: Lines, fate: Fate
) -> None:
    job_log.settled([settled(Word.FOREIGN, fate, error_class="pykiq.errors.UnknownClass")])
    assert [line["event"] for line in lines.all()] == ["fail"]


def test_a_foreign_class_that_looks_like_a_slip_is_told_with_what_was_meant(lines: Lines) -> None:
    job_log = JobLog(Output(lines, render_json, logging.INFO), handled=lambda: ["ChargeJob", "Billing::ReportJob"])
    for name in ("ChargeJbo", "Billing::ReportsJob", "Another", "x" * 100_000):
        tell(job_log, settled(Word.FOREIGN, Fate.HANDED_BACK, write=PutBack(), name=name))
    job_log.met([Foreign("low", {"ChargeJobs": 3}, {})])
    left = "left in the queue for a process that has one"
    assert [line["next"] for line in lines.all()] == [
        f"{left}; did you mean `ChargeJob`?",
        f"{left}; did you mean `Billing::ReportJob`?",
        left,
        left,
        f"{left}; did you mean `ChargeJob`?",
    ]


def test_a_job_put_back_for_want_of_a_slot_is_only_worth_a_debug_line(lines: Lines) -> None:
    back = settled(Word.UNSTARTED, Fate.HANDED_BACK, write=PutBack())
    JobLog(Output(lines, render_json, logging.INFO)).settled([back])
    assert lines.getvalue() == ""
    JobLog(Output(lines, render_json, logging.DEBUG)).settled([back])
    assert '"next":"handed back"' in lines.getvalue()


def test_an_error_is_named_and_its_message_shortened(job_log: JobLog, lines: Lines) -> None:
    job_log.settled([settled(Word.FAILED, Fate.DEAD, error_class="stripe.CardError", error_message="x" * 10_000)])
    (line,) = lines.all()
    assert line["error_class"] == "stripe.CardError"
    assert line["error_message"] == "x" * 499 + "…"


def test_arguments_and_payloads_are_never_logged(job_log: JobLog, lines: Lines) -> None:
    job_log.started([started(args=["secret-argument"])])
    job_log.settled([settled(), settled(Word.UNREADABLE, Fate.DEAD, name="", write=Bury(b"secret-argument"))])
    assert "secret-argument" not in lines.getvalue()


def test_names_of_any_size_and_bytes_do_not_fill_the_log(job_log: JobLog, lines: Lines) -> None:
    job_log.started([started(name="X" * 100_000)])
    job_log.settled([settled(name="bad \udcff bytes"), settled(name="")])
    start, odd, nameless = lines.all()
    assert len(start["class"]) == 200
    assert odd["class"] == "bad \udcff bytes"
    assert nameless["class"] == "?"


def test_the_lines_of_one_batch_are_one_write(job_log: JobLog, lines: Lines) -> None:
    job_log.started([started() for _ in range(20)])
    job_log.settled([settled() for _ in range(30)])
    assert lines.writes == 2
    assert len(lines.all()) == 50


def test_above_info_only_what_went_wrong_is_written(lines: Lines) -> None:
    job_log = JobLog(Output(lines, render_json, logging.WARNING))
    job_log.started([started()])
    job_log.settled([settled(), settled(Word.FAILED, Fate.DEAD)])
    assert [line["event"] for line in lines.all()] == ["fail"]


def test_a_program_with_its_own_structlog_gets_the_lines_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykiq.observe.log._current", None)  # another test may have configured this process
    with capture_logs() as captured:
        job_log = JobLog()
        job_log.started([started()])
        job_log.settled([settled(Word.FAILED, Fate.DEAD)])
    assert [(line["event"], line["log_level"], line["class"]) for line in captured] == [
        ("start", "info", "Billing::ChargeJob"),
        ("fail", "error", "Billing::ChargeJob"),
    ]
