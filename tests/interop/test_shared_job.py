"""One job fails in Ruby, again in Python, and again in Ruby: each side continues what the other wrote."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.conftest import Fleet

pytestmark = pytest.mark.interop


def one(fleet: Fleet, retry_count: int) -> dict[str, Any]:
    """The only retry entry, when it has that count."""

    def there() -> bool:
        return [job.get("retry_count") for job in fleet.members("retry")] == [retry_count]

    fleet.wait(there, what=f"the entry with retry_count {retry_count}")
    return fleet.members("retry")[0]


@pytest.mark.parametrize("with_ruby_beside", [True, False], ids=["beside-ruby", "alone"])
def test_a_job_of_ruby_that_fails_in_both_keeps_its_keys_and_its_dialect(fleet: Fleet, with_ruby_beside: bool) -> None:
    # Given a job that failed in Ruby
    fleet.ask("Shared::Flaky.perform_async('ärger', 2**70, 1.5e-07)")
    fleet.ruby("-q", "shared", "-c", "1", POLL="60")
    first = one(fleet, 0)
    fleet.kill_all()

    # When it fails in Python too, which in one case sees no Ruby in the fleet and only has the job's own times to go by
    fleet.redis.delete("processes")
    if with_ruby_beside:
        fleet.ruby("-q", "ruby", "-c", "1", POLL="60")
    fleet.python("-q", "shared", "-c", "1")
    fleet.hurry("retry")
    second = one(fleet, 1)
    fleet.kill_all()

    # Then every key is where Ruby put it, `retried_at` comes after, and the times are in Ruby's unit
    changed = {"error_class", "error_message", "error_backtrace", "retry_count", "enqueued_at"}
    assert list(second) == [*first, "retried_at"]
    assert {k: v for k, v in second.items() if k not in changed | {"retried_at"}} == {
        k: v for k, v in first.items() if k not in changed
    }
    assert (second["error_class"].split(".")[-1], second["error_message"]) == ("OrderError", "python says no")
    assert type(second["retried_at"]) is type(first["failed_at"])
    unit = 1000 if isinstance(first["failed_at"], int) else 1
    assert 0 <= second["retried_at"] - first["failed_at"] < 60 * unit
    assert second["error_backtrace"].endswith("\n") is (fleet.major == 6 and with_ruby_beside)
    told = fleet.ask("entries('retry')")[0]
    assert len(told["backtrace"]) == 2
    assert "handlers.py" in told["backtrace"][0]

    # And Ruby goes on from there
    fleet.hurry("retry")
    fleet.ruby("-q", "shared", "-c", "1")
    third = one(fleet, 2)
    assert (third["error_class"], third["error_message"]) == ("ArgumentError", "ruby says no")
    assert third["failed_at"] == first["failed_at"]
    assert third["retried_at"] > second["retried_at"]
    assert list(third) == list(second)
    assert "jobs.rb" in fleet.ask("entries('retry')")[0]["backtrace"][0]
    assert [note["by"] for note in fleet.notes()] == ["ruby", "python", "ruby"]
    assert all(note["args"] == ["ärger", 2**70, 1.5e-07] for note in fleet.notes())
