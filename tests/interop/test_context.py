"""What a job carries crosses the border and comes back: Rails' CurrentAttributes, the locale, a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import pykiq
from tests.captures import FIXTURES
from tests.interop.conftest import HERE, Fleet
from tests.interop.ruby import Console

pytestmark = pytest.mark.interop

HANDLERS = HERE / "context_handlers.py"
OTEL = "opentelemetry-instrumentation-sidekiq-0.29.0"

PUSH = """
Current.user_id = 42
Current.role = :admin
Tenancy.tenant = "größe"
I18n.with_locale(:fr) { [Ctx::Relay.perform_async("plain"), Ctx::AsyncRelay.perform_async("async")] }
"""


@pytest.fixture(scope="session")
def console(lasting_fleet: Fleet) -> Iterator[Console]:
    """A console of its own: what CurrentAttributes add to every push is not for other tests."""
    console = lasting_fleet.home.console(lasting_fleet.url)
    console("require path", path=f"{lasting_fleet.home.path}/context")
    yield console
    console.close()


@pytest.fixture
def rails(fleet: Fleet, console: Console) -> Fleet:
    """A console with CurrentAttributes, and a Sidekiq that has them too."""
    console("Current.reset; Tenancy.reset")
    fleet.ruby("-q", "ruby", "-c", "1", EXTRA=f"{fleet.home.path}/context.rb")
    return replace(fleet, ask=console)


def test_current_attributes_and_locale_set_in_rails_are_read_in_python_and_come_back(rails: Fleet) -> None:
    rails.ask(PUSH)
    rails.python("-q", "python", "-c", "2", require=HANDLERS)
    rails.wait(lambda: len(rails.notes("ruby")) == 2, what="both jobs back in Ruby")

    tenant = {} if rails.major == 6 else {"tenant": "größe"}  # 6.4 keeps one class only
    python = {note["name"]: note for note in rails.notes("python")}
    assert set(python) == {"plain", "async"}
    for note in python.values():
        seen = {name: value for name, value in note["attributes"].items() if value is not None}
        assert seen == {"user_id": 42, "role": "admin", **tenant}
        assert note["locale"] == "fr"
    for note in rails.notes("ruby"):
        assert (note["user_id"], note["role"], note["tenant"]) == (42, "admin", tenant.get("tenant"))
        assert note["locale"] == "fr"


def test_what_python_carries_is_set_in_rails(rails: Fleet) -> None:
    more: dict[str, Any] = {} if rails.major == 6 else {"cattr_1": {"tenant": "acme"}}
    with pykiq.carry(locale="de", cattr={"user_id": 7, "role": "guest"}, **more):
        rails.push_from_python("ContextBack", ["carried"], queue="ruby")
    rails.push_from_python("ContextBack", ["bare"], queue="ruby")
    rails.wait(lambda: len(rails.notes("ruby")) == 2, what="both jobs in Ruby")
    carried, bare = rails.notes("ruby")
    assert (carried["user_id"], carried["role"], carried["locale"]) == (7, "guest", "de")
    assert carried["tenant"] == (more or {"cattr_1": {"tenant": None}})["cattr_1"]["tenant"]
    assert (bare["user_id"], bare["role"], bare["tenant"], bare["locale"]) == (None, None, None, "en")


@pytest.mark.parametrize("poller", ["ruby", "python"])
def test_a_poller_s_push_runs_client_middleware_once_more_in_either_language(rails: Fleet, poller: str) -> None:
    rails.ask("Ctx::Later.perform_in(3600)")
    assert [job["pushes"] for job in rails.members("schedule")] == [1]
    if poller == "python":
        rails.kill_all()
    else:
        rails.hurry("schedule")
        rails.wait(lambda: rails.redis.llen("queue:python") == 1, what="Ruby's poller")
    rails.hurry("schedule")
    rails.python("-q", "python", "-c", "1", require=HANDLERS)
    rails.wait(lambda: rails.notes("python"), what="the job in Python")
    assert [note["pushes"] for note in rails.notes("python")] == [2]


def test_a_trace_that_began_in_ruby_runs_through_python_and_on_to_ruby(
    rails: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No Debian packages the Ruby gem: its half is a payload that it wrote, byte for byte."""
    monkeypatch.setenv("TRACED", "1")
    rails.kill_all()
    steps = json.loads((FIXTURES / OTEL / "payloads_child_job_class.json").read_text("utf-8"))["steps"]
    [web] = [step for step in steps if step["step"] == "inside an active span, with baggage"]
    rails.redis.lpush("queue:python", web["raw"].encode())
    rails.python("-q", "python", "-c", "1", require=HANDLERS)
    rails.wait(lambda: rails.redis.llen("spans") == 2, what="two spans")

    spans = {span["name"]: span for span in map(json.loads, rails.redis.lrange("spans", 0, -1))}
    process, publish = spans["python process"], spans["ruby publish"]
    [ruby] = [span for span in web["client_spans"] if span["kind"] == "producer"]
    assert process["parent_id"] == f"0x{ruby['span_id']}"
    assert publish["parent_id"] == process["context"]["span_id"]
    assert {span["context"]["trace_id"] for span in spans.values()} == {f"0x{ruby['trace_id']}"}
    [pushed] = rails.members("queue:ruby")
    assert pushed["traceparent"].split("-")[1:3] == [ruby["trace_id"], publish["context"]["span_id"][2:]]
    assert pushed["baggage"] == web["payload"]["baggage"]


def test_a_live_ruby_s_trace_runs_through_python_and_arrives_in_ruby_again(
    rails: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The context is where OpenTelemetry's middleware has it; the spans of Python alone are real."""
    monkeypatch.setenv("TRACED", "1")
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    rails.ask("Ctx::Relay.set('traceparent' => given).perform_async('traced')", given=f"00-{trace_id}-{span_id}-01")
    rails.python("-q", "python", "-c", "1", require=HANDLERS)
    rails.wait(lambda: rails.notes("ruby") and rails.redis.llen("spans") == 2, what="the job in Ruby and two spans")

    spans = {span["name"]: span for span in map(json.loads, rails.redis.lrange("spans", 0, -1))}
    process, publish = spans["python process"], spans["ruby publish"]
    assert process["parent_id"] == f"0x{span_id}"
    assert publish["parent_id"] == process["context"]["span_id"]
    [note] = rails.notes("ruby")
    assert note["trace"] == f"00-{trace_id}-{publish['context']['span_id'][2:]}-01"
