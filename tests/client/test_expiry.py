"""`expires_in` at the push: `expiry` is written, counted from when the job is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pykiq.client import bulk
from pykiq.client.build import normalize, plan
from pykiq.errors import PayloadError, RegistrationError
from pykiq.jobs.declare import remote
from pykiq.middleware.chain import Chain
from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect
from pykiq.wire.exactjson import dumps, loads

NOW = 1_795_315_352.25
DIALECTS = [SIX, SEVEN, EIGHT]


def pushed(item: dict[str, Any], dialect: Dialect = SEVEN, chain: Chain[Any] | None = None) -> dict[str, Any]:
    job = normalize(item, now=NOW, dialect=dialect, jid=lambda: "j" * 24, chain=chain or Chain())
    assert job is not None
    return entries(plan([job], now=NOW, dialect=dialect))[0]


def entries(batches: Any) -> list[dict[str, Any]]:
    raws = [entry if isinstance(entry, bytes) else entry[1] for batch in batches for entry in batch.entries]
    return [loads(raw) for raw in raws]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("at", "expiry"),
    [
        (None, NOW + 60),
        (NOW + 3600, NOW + 3660),
        (int(NOW) + 3600, int(NOW) + 3660.0),
        (datetime.fromtimestamp(NOW + 7200, UTC), NOW + 7260),
        (NOW - 86_400, NOW + 60),
        (0, NOW + 60),
    ],
    ids=["now", "later", "whole", "datetime", "past", "long-past"],
)
def test_a_job_may_start_until_that_long_after_it_is_due(at: Any, expiry: float, dialect: Dialect) -> None:
    job = pushed({"class": "Job", "args": [], "expires_in": 60, "at": at}, dialect)
    assert (job["expires_in"], job["expiry"], type(job["expiry"])) == (60, expiry, float)


def test_the_keys_are_where_a_middleware_of_ruby_would_put_them() -> None:
    job = pushed({"class": "Job", "args": [], "expires_in": 60})
    assert list(job)[-2:] == ["expiry", "enqueued_at"]


def test_no_job_without_expires_in_gets_an_expiry() -> None:
    assert "expiry" not in pushed({"class": "Job", "args": []})


def test_a_moment_that_is_given_stays() -> None:
    given = datetime.fromtimestamp(NOW + 5, UTC)
    for item in ({"expiry": NOW + 5}, {"expiry": NOW + 5, "expires_in": 60}, {"expiry": given}):
        assert pushed({"class": "Job", "args": [], **item})["expiry"] == NOW + 5


def test_what_a_middleware_makes_of_the_job_counts() -> None:
    def later(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
        return call_next({**job, "at": NOW + 100, "expires_in": 7})

    assert pushed({"class": "Job", "args": []}, chain=Chain(later))["expiry"] == NOW + 107


@pytest.mark.parametrize("active", [False, True])
def test_of_a_declared_class_the_option_counts(active: bool) -> None:
    job_class = remote("Reports::Job", expires_in=timedelta(minutes=1), active_job=active)
    assert pushed({"class": job_class, "args": []})["expiry"] == NOW + 60
    assert pushed({"class": job_class, "args": [], "at": NOW + 10.5, "expires_in": 5})["expiry"] == NOW + 15.5


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("chain", [Chain(), Chain(lambda job, call_next: call_next(job))], ids=["none", "middleware"])
@pytest.mark.parametrize(
    ("at", "expiries"),
    [
        (None, [NOW + 60] * 3),
        (NOW + 100, [NOW + 160] * 3),
        ([NOW + 100, None, NOW - 5], [NOW + 160, NOW + 60, NOW + 60]),
    ],
)
def test_each_job_of_a_bulk_counts_from_its_own_moment(
    at: Any, expiries: list[float], chain: Chain[Any], active: bool
) -> None:
    item: dict[str, Any] = {
        "class": remote("Job", active_job=active), "args": [[0], [1], [2]], "expires_in": 60, "at": at
    }  # fmt: skip
    slices = bulk.slices(
        item,
        clock=lambda: NOW,
        dialect=SEVEN,
        jids=lambda count: [f"{number:024x}" for number in range(count)],
        chain=chain,
    )
    found = [job for part in slices for job in entries(part.batches)]
    assert sorted((job["jid"], job["expiry"]) for job in found) == [
        (f"{number:024x}", expiry) for number, expiry in enumerate(expiries)
    ]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"expires_in": "1h"}, "expected seconds"),
        ({"expires_in": 0}, "expected a positive number"),
        ({"expires_in": -1}, "expected a positive number"),
        ({"expires_in": float("nan")}, "expected a finite number"),
        ({"expires_in": float("inf")}, "expected a finite number"),
        ({"expires_in": NOW + 60}, "how long a job may wait, not until when"),
        ({"expires_in": 10**300}, "expected a finite number of seconds"),
        ({"expiry": "tomorrow"}, "`expiry` is 'tomorrow'"),
        ({"expiry": 60}, "pass `expires_in` for how long"),
        ({"expiry": timedelta(minutes=1)}, "pass `expires_in` for how long"),
    ],
)
def test_what_nobody_could_obey_is_refused(item: dict[str, Any], message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        pushed({"class": "Job", "args": [], **item})
    if "expires_in" in item:
        with pytest.raises(RegistrationError, match=message):
            remote("Job", **item)


def test_a_timedelta_is_written_in_seconds() -> None:
    job = pushed({"class": "Job", "args": [], "expires_in": timedelta(hours=1)})
    assert dumps({"expires_in": job["expires_in"]}) == b'{"expires_in":3600}'
