"""assert_enqueued: what it accepts, and what it says when there is no such push."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import pytest

import pykiq
from pykiq.testing import Jobs

ChargeJob = pykiq.remote("Billing::ChargeJob", queue="critical", retry=5)
MailJob = pykiq.remote("MailJob")


@pytest.fixture(autouse=True)
def pushes(pykiq_jobs: Jobs) -> None:
    ChargeJob.perform_async(42, {"currency": "EUR", "pair": (1, 2)})
    ChargeJob.perform_in(3600, 43)
    MailJob.set(tags=["a"]).perform_async("hello")


def refused(jobs: Jobs, *args: Any, **wanted: Any) -> list[str]:
    with pytest.raises(AssertionError) as raised:
        jobs.assert_enqueued(*args, **wanted)
    return str(raised.value).splitlines()


def test_it_returns_the_pushes_that_are_meant(pykiq_jobs: Jobs) -> None:
    assert len(pykiq_jobs.assert_enqueued("Billing::ChargeJob", count=2)) == 2
    [job] = pykiq_jobs.assert_enqueued(ChargeJob, args=[43])
    assert job.at is not None
    pykiq_jobs.assert_enqueued("MailJob", count=0, args=["other"])


@pytest.mark.parametrize(
    "wanted",
    [
        {"args": (42, {"currency": "EUR", "pair": (1, 2)})},
        {"args": [42, ANY]},
        {"queue": "critical", "retry": 5},
        {"at": None},
        {"at": 3600},
        {"at": timedelta(hours=1)},
        {"args": [43], "at": ANY},
    ],
    ids=["tuples", "mock-any", "queue-and-key", "now", "interval", "timedelta", "any-time"],
)
def test_one_push_is_like_this(pykiq_jobs: Jobs, wanted: dict[str, Any]) -> None:
    assert pykiq_jobs.assert_enqueued(ChargeJob, **wanted)


def test_moments_are_compared_to_the_second(pykiq_jobs: Jobs) -> None:
    moment = time.time() + 86_400
    MailJob.perform_at(moment, "later")
    pykiq_jobs.assert_enqueued(MailJob, at=moment + 0.9, count=1)
    pykiq_jobs.assert_enqueued(MailJob, at=datetime.fromtimestamp(moment, UTC), count=1)
    pykiq_jobs.assert_enqueued(MailJob, at=moment + 1.1, count=0)


def test_what_has_run_was_enqueued_all_the_same(pykiq_jobs: Jobs) -> None:
    pykiq_jobs.drain()
    pykiq_jobs.assert_enqueued("MailJob")


def test_the_nearest_push_is_shown_with_what_differs(pykiq_jobs: Jobs) -> None:
    created = pykiq_jobs.pushed[1].payload["created_at"]
    at = pykiq_jobs.pushed[1].at
    assert at is not None
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shown = f"{moment} (in {at - created:g} s)"
    assert refused(pykiq_jobs, ChargeJob, args=[44], queue="low", at=60, tags=["x"]) == [
        "expected a push of Billing::ChargeJob args=[44] queue='low' at=60 tags=['x']; there were none",
        f"the nearest of 3 other pushes is Billing::ChargeJob args=[43] queue='critical' at={shown}",
        "    args: expected [44], pushed [43]",
        "    queue: expected 'low', pushed 'critical'",
        f"    at: expected in 60 s, pushed {shown}",
        "    tags: expected ['x'], the payload has none",
    ]


def test_a_class_misspelled_is_the_nearest(pykiq_jobs: Jobs) -> None:
    lines = refused(pykiq_jobs, "Billing::ChargedJob", args=[43])
    assert lines[1].startswith("the nearest of 3 other pushes is Billing::ChargeJob args=[43]")
    assert lines[2:] == ["    class: expected Billing::ChargedJob, pushed Billing::ChargeJob"]


def test_a_wrong_count_shows_what_there_is(pykiq_jobs: Jobs) -> None:
    lines = refused(pykiq_jobs, "MailJob", count=2)
    assert lines[0] == "expected 2 pushes of MailJob; there was 1"
    assert lines[1] == "    MailJob args=['hello'] queue='default' at=None"
    assert lines[2].startswith("the nearest of 2 other pushes is Billing::ChargeJob")
    assert refused(pykiq_jobs, "MailJob", count=0) == [
        "expected 0 pushes of MailJob; there was 1",
        "    MailJob args=['hello'] queue='default' at=None",
    ]


def test_nothing_at_all_is_said_so(pykiq_jobs: Jobs) -> None:
    pykiq_jobs.clear()
    assert refused(pykiq_jobs, "MailJob") == [
        "expected a push of MailJob; there were none",
        "nothing was pushed at all",
    ]


def test_a_view_asserts_about_its_part(pykiq_jobs: Jobs) -> None:
    pykiq_jobs.in_queue("critical").assert_enqueued(ChargeJob)
    assert refused(pykiq_jobs.in_queue("low"), ChargeJob)[-1] == "nothing was pushed at all"


def test_long_values_are_cut(pykiq_jobs: Jobs) -> None:
    MailJob.perform_async("x" * 10_000)
    assert max(map(len, refused(pykiq_jobs, MailJob, args=["y" * 10_000]))) < 1000


def test_of_large_arguments_the_places_that_differ_are_shown(pykiq_jobs: Jobs) -> None:
    def order(**changed: Any) -> dict[str, Any]:
        items: list[dict[str, Any]] = [{"id": n, "name": f"item {n}"} for n in range(40)]
        items[27] |= changed
        return {"items": items, "text": "long " * 50 + changed.get("name", "end")}

    pykiq_jobs.clear()
    MailJob.perform_async(order(), 1)
    assert refused(pykiq_jobs, MailJob, args=[order(name="other", more=1), 1, 2])[2:] == [
        "    args: expected a list of 3, pushed one of 2",
        "    args[0]['items'][27]['name']: expected 'other', pushed 'item 27'",
        "    args[0]['items'][27]['more']: expected 1, pushed without",
        "    args[0]['text']: from character 250 on expected 'other', pushed 'end'",
    ]
    assert refused(pykiq_jobs, MailJob, args=[{}, 1])[2].startswith("    args[0]['items']: expected none, pushed [{")
    pykiq_jobs.clear()
    MailJob.perform_async(list(range(100)))
    many = refused(pykiq_jobs, MailJob, args=[list(range(1, 101))])
    assert many[2:4] == ["    args[0][0]: expected 1, pushed 0", "    args[0][1]: expected 2, pushed 1"]
    assert many[-1] == "    args: more is different, further on"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"arg": [42]}, "was given arg=, a key that no push has; did you mean `args`?"),
        ({"quue": "low"}, "did you mean `queue`?"),
        ({"args": 42}, r"args is 42; expected the list of a job's arguments: \[42\]"),
        ({"args": "hello"}, r"expected the list of a job's arguments: \['hello'\]"),
    ],
)
def test_a_question_that_nothing_could_answer_is_refused(pykiq_jobs: Jobs, wanted: dict[str, Any], said: str) -> None:
    """With `count=0` it would pass for ever."""
    with pytest.raises(TypeError, match=said):
        pykiq_jobs.assert_enqueued(MailJob, **wanted, count=0)


def test_a_key_that_only_some_pushes_have_may_be_asked_for(pykiq_jobs: Jobs) -> None:
    pykiq_jobs.assert_enqueued(ChargeJob, tags=["a"], count=0)
    pykiq_jobs.assert_enqueued(ChargeJob, tenant="acme", count=0)
