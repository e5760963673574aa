"""ActiveJobs of a real Rails run by Python and answered, and tried again across the border."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import pykiq
from pykiq import activejob as aj
from pykiq.client import configure
from tests.interop.conftest import Fleet
from tests.interop.ruby import RubyError

pytestmark = pytest.mark.interop

HANDLERS = str(Path(__file__).with_name("aj_handlers.py"))
NAMES = (
    "plain", "symbols", "hashes", "indifferent", "keywords", "times", "zoned", "dates", "durations", "decimals",
    "modules", "records", "ranges",
)  # fmt: skip


def rails(fleet: Fleet) -> Fleet:
    """The fleet with Rails' jobs in its console."""
    fleet.ask("require path", path=f"{fleet.home.path}/active_jobs")
    return fleet


def heard(fleet: Fleet, key: str) -> list[Any]:
    return [json.loads(line) for line in fleet.redis.lrange(key, 0, -1)]


def test_every_argument_of_rails_comes_back_from_python_as_it_was(fleet: Fleet) -> None:
    names = [name for name in NAMES if not (name == "ranges" and fleet.major == 6)]  # Rails 6.1 cannot write them
    for name in names:
        rails(fleet).ask("EchoAj.perform_later(name, *values(name))", name=name)
    fleet.ruby("-q", "ruby", "-c", "2", ACTIVE_JOB="1")  # first, for Python to see whom it writes to
    fleet.python("-q", "python", "-c", "2", "--require", HANDLERS)
    fleet.wait(lambda: len(heard(fleet, "back")) == len(names), what="every answer")

    back = {one["name"]: one for one in heard(fleet, "back")}
    assert {name: one["got"] for name, one in back.items()} == {name: one["expected"] for name, one in back.items()}
    assert fleet.members("retry") == []


def test_values_of_python_are_the_ruby_values_they_mean(fleet: Fleet) -> None:
    rails(fleet)
    fleet.ruby("-q", "low", "-c", "1", ACTIVE_JOB="1")
    native = pykiq.remote("NativeAj", active_job=True, queue="elsewhere", priority=3)
    expected = """
      [:sym, {a: 1, "b" => 2}, Time.utc(2030, 1, 2, 3, 4, 5, 6),
       Time.find_zone!("Europe/Paris").local(2030, 7, 1, 12), Date.new(2030, 1, 2),
       DateTime.new(2030, 1, 2, 3), 90.5.seconds, 1.month + 2.days, BigDecimal("1.50"), Kernel, Person.new("a/b"),
       {k: [1]}.with_indifferent_access]
    """
    pykiq.configure(redis=fleet.url)
    try:
        native.set(queue="low", priority=1).perform_async(
            *(aj.Symbol("sym"), aj.symbol_keys({"a": 1}) | {"b": 2}, datetime(2030, 1, 2, 3, 4, 5, 6, UTC)),
            *(datetime(2030, 7, 1, 12, tzinfo=ZoneInfo("Europe/Paris")), date(2030, 1, 2)),
            *(aj.DateTime(2030, 1, 2, 3, tzinfo=UTC), timedelta(seconds=90.5), aj.Duration.of(months=1, days=2)),
            *(Decimal("1.50"), aj.Module("Kernel"), aj.GlobalID.of("shop", "Person", "a/b")),
            aj.IndifferentHash({"k": [1]}),
            deep={"text": aj.Symbol("value")},
        )
        native.set(queue="low").perform_bulk([[], [aj.Keywords(x=aj.Symbol("y"))]])
    finally:
        configure.forget()
    fleet.wait(lambda: len(heard(fleet, "native")) == 3, what="all three jobs")

    first, second, third = heard(fleet, "native")
    wanted = fleet.ask(f"spelled(passed({expected}))")
    if fleet.major == 6:  # no zone is written: Rails shows the moment on the clocks of its own zone
        zoned = ["TimeWithZone", "2030-07-01T10:00:00.000000000Z", "Etc/UTC"]
        assert first["args"][4] == zoned
    assert first["args"] == wanted
    assert first["given"] == fleet.ask("spelled({deep: {'text' => :value}})")
    assert (first["queue"], first["priority"], second["priority"]) == ("low", 1, 3)
    assert (second["args"], third["given"]) == (["Array"], fleet.ask("spelled({x: :y})"))


def test_each_rails_reads_the_job_data_of_the_other(fleet: Fleet) -> None:
    rails(fleet)
    other = "7.2" if fleet.major == 6 else "6.1"
    native = pykiq.remote("NativeAj", active_job=True, queue="low")
    pykiq.configure(redis=fleet.url, wire=str(fleet.major), rails=other)
    try:
        native.perform_async(
            *(aj.Symbol("sym"), aj.symbol_keys({"a": 1}), datetime(2030, 1, 2, 3, 4, 5, 6, UTC), date(2030, 1, 2)),
            *(aj.DateTime(2030, 1, 2, 3, tzinfo=UTC), aj.Duration.of(months=1, days=2), aj.Module("Kernel")),
            *(aj.GlobalID.of("shop", "Person", "a/b"), aj.IndifferentHash({"k": [1]})),
            *(datetime(2030, 7, 1, 12, tzinfo=ZoneInfo("Europe/Paris")), aj.Keywords(deep=aj.Symbol("x"))),
        )
        native.perform_async(Decimal("1.50"))
        native.perform_in(60, 1)
    finally:
        configure.forget()
    (scheduled,) = fleet.members("schedule")
    second, first = (job["args"][0] for job in fleet.members("queue:low"))
    assert ("scheduled_at" in scheduled["args"][0]) is (other == "7.2")

    read = (
        "spelled(ActiveJob::Base.deserialize(data).tap { |job| job.send(:deserialize_arguments_if_needed) }.arguments)"
    )
    values = """
      [:sym, {a: 1}, Time.utc(2030, 1, 2, 3, 4, 5, 6), Date.new(2030, 1, 2), DateTime.new(2030, 1, 2, 3),
       1.month + 2.days, Kernel, Person.new("a/b"), {k: [1]}.with_indifferent_access,
       Time.utc(2030, 7, 1, 10).in_time_zone, {deep: :x}]
    """
    wanted = fleet.ask(f"spelled(passed({values}))")
    assert fleet.ask(read, data=first) == wanted
    assert fleet.ask(read, data=scheduled["args"][0]) == fleet.ask("spelled([1])")
    if fleet.major == 6:
        with pytest.raises(RubyError, match=r"DeserializationError.*BigDecimalSerializer is not known"):
            fleet.ask(read, data=second)
    else:
        assert fleet.ask(read, data=second) == fleet.ask("spelled(['1.5'])")


@pytest.mark.parametrize("first", ["python", "ruby"])
def test_retry_on_counts_the_tries_of_both_sides_together(fleet: Fleet, first: str) -> None:
    rails(fleet).ask("FlakyAj.perform_later('größe', {a: :b})")
    pushed = fleet.members("queue:shared")[0]
    sides = [first, "ruby" if first == "python" else "python", first]

    entries = []
    for number, side in enumerate(sides, 1):
        if side == "python":
            fleet.python("-q", "shared", "-c", "1", "--require", HANDLERS)
        else:
            fleet.ruby("-q", "shared", "-c", "1", ACTIVE_JOB="1")
        fleet.hurry("schedule")
        key = "schedule" if number < 3 else "retry"
        fleet.wait(lambda n=number, k=key: len(heard(fleet, "tries")) == n and fleet.members(k), what=f"try {number}")  # type: ignore[misc]
        fleet.kill_all()
        entries.append(fleet.members(key)[0])

    tries = heard(fleet, "tries")
    assert [(side, executions) for side, executions, *_ in tries] == list(zip(sides, (1, 2, 3), strict=True))
    assert [counted for _, _, counted, *_ in tries] == [{}, {"[ArgumentError]": 1}, {"[ArgumentError]": 2}]
    assert len({job_id for *_, job_id in tries}) == 1

    # Each try is a new Sidekiq job of the same form, until the attempts are used up and Sidekiq's own retries begin
    inside = [entry["args"][0] for entry in (pushed, *entries)]
    assert len({entry["jid"] for entry in (pushed, *entries[:2])}) == 3
    assert [data["provider_job_id"] for data in inside[1:3]] == [pushed["jid"], entries[0]["jid"]]
    assert [list(entry) for entry in entries[:2]] == [[key for key in pushed if key != "enqueued_at"]] * 2
    assert [list(data) for data in inside] == [list(inside[0])] * 4
    assert [len(data["enqueued_at"]) for data in inside] == [len(inside[0]["enqueued_at"])] * 4
    assert (entries[2]["retry_count"], inside[3]["executions"]) == (0, 2)
    assert fleet.members("schedule") == []
