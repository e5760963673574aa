"""The command line on what real Ruby wrote: it tells what Ruby's API tells, and Ruby goes on with what it did."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.inside import Command
from tests.interop.conftest import Entries, Fleet, Scene, restore

pytestmark = pytest.mark.interop

A_FEW_BEATS = 45  # seconds; a process reads one command a beat
COMMANDS = {"retries": "retry", "scheduled": "schedule", "dead": "dead"}
QUEUED = "Sidekiq::Queue.all.flat_map { |queue| queue.map { |job| [queue.name, job.jid, job['retry_count']] } }"


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
def command(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(fleet.url, capsys)


@pytest.fixture
def jids(fleet: Fleet, ruby_entries: Entries) -> dict[str, list[str]]:
    """The sets as this Ruby left them; by set the jids, the lowest score first."""
    restore(fleet, ruby_entries)
    return {key: [json.loads(raw)["jid"] for raw, _ in entries] for key, entries in ruby_entries.items()}


def held(fleet: Fleet) -> dict[str, list[str]]:
    """What Ruby's API finds in each set that is not empty."""
    return {key: [entry["jid"] for entry in found] for key in COMMANDS.values() if (found := entries(fleet, key))}


def entries(fleet: Fleet, key: str) -> list[dict[str, Any]]:
    """A set as Ruby's API tells it, the lowest score first."""
    found: list[dict[str, Any]] = fleet.ask("entries(set)", set=key)
    return found[::-1]


@pytest.mark.parametrize(("name", "key"), COMMANDS.items())
def test_a_set_is_listed_as_ruby_s_api_tells_it(
    jids: dict[str, list[str]], fleet: Fleet, command: Command, name: str, key: str
) -> None:
    ruby = entries(fleet, key)
    lines = command(name, "--json").lines
    assert [line["jid"] for line in lines] == [entry["jid"] for entry in ruby] == jids[key]
    for line, entry in zip(lines, ruby, strict=True):
        assert (line["class"], line["queue"], line["score"]) == (entry["display_class"], entry["queue"], entry["score"])
        assert line["job"]["args"] == entry["args"]
        assert line["job"].get("error_message") == entry["error_message"]
    rows = command(name).out.splitlines()[1:]
    for row, entry in zip(rows, ruby, strict=True):
        assert entry["jid"] in row
        assert f"  {entry['display_class']}  " in row
        assert entry["error_message"] is None or row.endswith(f"{entry['error_class']}: {entry['error_message']}")
    told = command(name, jids[key][0]).out
    assert all(text in told for text in (jids[key][0], "Shared::Flaky", *([] if key == "schedule" else ["jobs.rb"])))


def by_jid(jids: list[str]) -> list[str]:
    return jids


def by_class(jids: list[str]) -> list[str]:
    return ["--class", "Shared::*", "--yes"]


def by_text(jids: list[str]) -> list[str]:
    return ["--match", "Flaky", "--since", "1h", "--yes"]


def all_of_them(jids: list[str]) -> list[str]:
    return ["--all", "--yes"]


CHOICES = [by_jid, by_class, by_text, all_of_them]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(("name", "key"), COMMANDS.items())
def test_ruby_finds_in_its_queues_what_was_retried(
    jids: dict[str, list[str]],
    fleet: Fleet,
    command: Command,
    name: str,
    key: str,
    choice: Callable[[list[str]], list[str]],
) -> None:
    mine = jids[key]
    assert command(name, "retry", *choice(mine)).out == f"pushed {len(mine)}\n"
    count = None if key == "schedule" else -1
    assert sorted(fleet.ask(QUEUED)) == sorted(["shared", jid, count] for jid in mine)
    assert held(fleet) == {other: theirs for other, theirs in jids.items() if other != key}


@pytest.mark.parametrize(("name", "key"), [("retries", "retry"), ("scheduled", "schedule")])
def test_ruby_finds_dead_what_was_killed_and_brings_it_back(
    jids: dict[str, list[str]], fleet: Fleet, command: Command, name: str, key: str
) -> None:
    assert command(name, "kill", "--class", "Shared::Flaky", "--yes").out == f"killed {len(jids[key])}\n"
    assert set(held(fleet)["dead"]) == {*jids[key], *jids["dead"]}
    fleet.ask("Sidekiq::DeadSet.new.retry_all")
    assert {jid for _, jid, _ in fleet.ask(QUEUED)} == {*jids[key], *jids["dead"]}


@pytest.mark.parametrize(("name", "key"), [("retries", "retry"), ("scheduled", "schedule")])
def test_ruby_finds_due_at_its_new_time_what_was_rescheduled(
    jids: dict[str, list[str]], fleet: Fleet, command: Command, name: str, key: str
) -> None:
    before = time.time()
    assert command(name, "reschedule", "--all", "--in", "7200", "--yes").out == f"rescheduled {len(jids[key])}\n"
    for entry in entries(fleet, key):
        assert entry["at"] == pytest.approx(before + 7200, abs=10)
    fleet.ask("entry(set, jid).reschedule(at)", set=key, jid=jids[key][0], at=before + 60)
    assert {key: sorted(theirs) for key, theirs in held(fleet).items()} == {
        key: sorted(theirs) for key, theirs in jids.items()
    }


@pytest.mark.parametrize("action", [["delete", "--error", "ruby says"], ["delete", "--queue", "shared"], ["clear"]])
@pytest.mark.parametrize(("name", "key"), COMMANDS.items())
def test_ruby_finds_no_more_what_was_deleted(
    jids: dict[str, list[str]], fleet: Fleet, command: Command, name: str, key: str, action: list[str]
) -> None:
    gone = 0 if key == "schedule" and "--error" in action else len(jids[key])  # what is scheduled has not failed yet
    assert command(name, *action, "--yes").out == f"deleted {gone}\n"
    assert held(fleet) == {other: theirs for other, theirs in jids.items() if other != key or not gone}


def test_a_queue_is_listed_and_emptied_as_ruby_s_api_tells_it(fleet: Fleet, command: Command) -> None:
    fleet.ask("3.times { |n| Py::Note.perform_async('größe', n) }; Shared::Flaky.perform_async(2**70)")
    (python, shared) = command("queues", "--json").lines
    assert {queue["name"]: queue["size"] for queue in (python, shared)} == fleet.ask("Sidekiq::Stats.new.queues")
    assert [line["jid"] for line in command("queues", "python", "--json").lines] == fleet.ask(
        "Sidekiq::Queue.new('python').map(&:jid)"
    )
    assert [row.split()[-1] for row in command("queues", "python").out.splitlines()[1:]] == [
        f'"größe",{n}' for n in (2, 1, 0)
    ]
    assert command("queues", "python", "delete", "--match", '"größe",1]', "--yes").out == "deleted 1\n"
    assert fleet.ask("Sidekiq::Queue.new('python').map { |job| job.args[1] }") == [2, 0]
    assert command("queues", "python", "clear", "--yes").out == "deleted 2\n"
    assert fleet.ask("Sidekiq::Queue.all.map(&:name)") == ["shared"]


def test_the_numbers_and_the_fleet_are_what_ruby_s_api_tells(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    command, ask = Command(scene.fleet.url, capsys), scene.fleet.ask
    (numbers,), ruby = command("stats", "--json").lines, ask("stats")
    assert numbers.pop("queues") is not None
    # What Ruby has no number for: the job that Python runs is in flight, its process lives, every key can be read.
    assert [numbers.pop(ours) for ours in ("in_flight", "orphaned", "unreadable")] == [1, 0, []]
    assert numbers == {
        **{name: ruby[name] for name in ("processed", "failed", "enqueued")},
        **{name: ruby[f"{name}_size"] for name in ("dead", "processes")},
        "retries": ruby["retry_size"],
        "scheduled": ruby["scheduled_size"],
        "busy": ruby["workers_size"],
    }
    assert [line.split()[0] for line in command("stats").out.splitlines()[:2]] == ["processed", "failed"]

    seen = {process["identity"]: process for process in command("processes", "--json").lines}
    theirs = {process["identity"]: process for process in ask("processes")}
    assert set(seen) == set(theirs)
    rows, drawn = command("processes").out, command("top", "--once").out
    for identity, process in theirs.items():
        for name in ("tag", "queues", "busy", "rss", "pid", "hostname", "concurrency"):
            assert seen[identity][name] == process[name], name
        assert identity in rows
        assert identity in drawn

    (work,) = command("busy", "--json").lines
    (theirs_work,) = ask("work")
    assert (work["process"], work["thread"]) == (theirs_work["identity"], theirs_work["thread"])
    assert work["job"] == theirs_work["payload"]
    assert scene.busy in command("busy").out
    assert scene.busy in drawn


def test_the_doctor_knows_this_ruby_and_who_serves_what(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    fleet = scene.fleet
    fleet.ask("Sidekiq::Client.push('class' => 'Nobody', 'args' => [], 'queue' => 'nowhere')")
    ran = Command(fleet.url, capsys)("doctor", "--json")
    fleet.ask("Sidekiq::Queue.new('nowhere').clear")
    told = {line["check"]: line for line in ran.lines}
    assert ran.code == 1
    version = "6.x" if fleet.major == 6 else fleet.home.ruby.version
    assert told["versions"]["text"].startswith(f"Sidekiq {version}; new jobs are written in the dialect of Sidekiq")
    assert told["versions"]["text"].endswith(f" {fleet.major}")
    assert told["processes"]["text"].startswith("2 processes, 1 busy")
    assert (told["queues"]["level"], told["queues"]["text"]) == ("error", "nobody serves nowhere, with 1 job")
    assert told["clocks"]["level"] == "ok"
    assert told["in flight"]["text"] == "1 job in flight, all with a living owner"


def test_a_ruby_process_is_told_of_a_pause_and_made_quiet_and_stopped(fleet: Fleet, command: Command) -> None:
    server = fleet.ruby("-q", "ruby", "-c", "1", POLL="60")
    ran = command("pause", "ruby")
    assert ran.out == "ruby: paused\n"
    assert ran.err == "  1 Ruby process on it: only Sidekiq Pro heeds this, free Sidekiq not\n"
    assert command("queues").out == ""  # nothing was ever pushed to it
    if fleet.major >= 8:
        fleet.ask("RubyNote.perform_in(0.1, 1); Sidekiq::Client.push('class' => 'A', 'args' => [], 'queue' => 'ruby')")
        assert fleet.ask("Sidekiq::Stats.new.queue_summaries.map(&:paused?)") == [True]
    assert command("resume", "ruby").out == "ruby: resumed\n"

    assert command("quiet", server.identity[:-3]).out == f"{server.identity}: told to quiet, within 10 s\n"
    fleet.wait(lambda: command("processes", "--json").lines[0]["quiet"], A_FEW_BEATS, "a quiet process")
    assert command("processes").out.endswith("quiet\n")
    assert command("stop", "--all").code == 0
    fleet.wait(lambda: server.process.poll() is not None, A_FEW_BEATS, "the end of the Ruby process")
    assert server.process.returncode == 0
    assert command("processes")[:] == (0, "", "no processes\n")


def test_ruby_runs_what_the_command_line_pushed_and_retried(
    jids: dict[str, list[str]], fleet: Fleet, command: Command
) -> None:
    fleet.redis.set("shared:ok", "1")
    assert command("retries", "retry", "--all", "--yes").code == 0
    assert command("push", "RubyNote", '["größe", 18446744073709551616]', "-q", "ruby").code == 0
    fleet.ruby("-q", "shared", "-q", "ruby", "-c", "1", POLL="60")
    fleet.wait(lambda: len(fleet.notes("ruby")) == 3, what="all three jobs to run")
    assert ["größe", 2**64] in [note["args"] for note in fleet.notes("ruby")]
