"""Ruby's API and `pykiq.admin` on the same data: both read the same, and each goes on with what the other wrote."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

import pykiq
from pykiq import admin
from tests.interop.conftest import Entries, Fleet, Scene, restore
from tests.test_docs import code, table

pytestmark = pytest.mark.interop

SETS = {"retry": admin.RetrySet, "schedule": admin.ScheduledSet, "dead": admin.DeadSet}
PLACES = ("queue:shared", "queue:python", *SETS)
A_FEW_BEATS = 45  # seconds; a process reads one command a beat


def client_of(fleet: Fleet) -> pykiq.Client:
    return pykiq.Client(pykiq.Config(redis=fleet.url))


@pytest.fixture
def client(fleet: Fleet) -> Iterator[pykiq.Client]:
    with client_of(fleet) as made:
        yield made


@pytest.fixture(params=["ruby_entries", "python_entries"], ids=["ruby's", "python's"])
def entries(request: pytest.FixtureRequest, fleet: Fleet) -> Entries:
    """All three sets as one side wrote them."""
    written: Entries = request.getfixturevalue(request.param)
    fleet.redis.flushdb()
    restore(fleet, written)
    return written


def held(fleet: Fleet) -> dict[str, int]:
    """How many jobs each place has."""
    return {place: len(jobs) for place in PLACES if (jobs := fleet.members(place))}


def told(entry: admin.SortedEntry) -> dict[str, Any]:
    """What `told` of reading.rb says, in Python."""
    return {
        **{name: getattr(entry, name) for name in ("jid", "klass", "display_class", "args", "queue", "tags", "score")},
        **{name: seconds(getattr(entry, name)) for name in ("created_at", "at", "failed_at", "retried_at")},
        **{name: getattr(entry, name) for name in ("error", "error_class", "error_message")},
        "retry_count": entry["retry_count"],
        "backtrace": entry.error_backtrace,
    }


def seconds(moment: datetime | None) -> Any:
    return None if moment is None else pytest.approx(moment.timestamp(), abs=0.002)


@pytest.mark.parametrize("key", SETS)
def test_both_read_the_same_of_every_entry_in_the_same_order(
    entries: Entries, fleet: Fleet, client: pykiq.Client, key: str
) -> None:
    ruby = fleet.ask("entries(set)", set=key)
    python = list(SETS[key](client))
    assert len(python) == len(entries[key])
    assert all(entry.pop("latency") >= 0 for entry in ruby)
    assert ruby == [told(entry) for entry in python]


def test_both_find_the_same_job(entries: Entries, fleet: Fleet, client: pykiq.Client) -> None:
    jid = json.loads(entries["retry"][0][0])["jid"]
    found = admin.RetrySet(client).find_job(jid)
    assert found is not None
    assert fleet.ask("entry('retry', jid).score", jid=jid) == found.score
    assert [one.jid for one in admin.RetrySet(client).fetch(found.score, jid)] == [jid]


def payload_after(fleet: Fleet, entries: Entries, act: Callable[[], object]) -> str:
    """The job that an action leaves in a queue, as text without the time it was enqueued."""
    fleet.redis.flushdb()
    restore(fleet, entries)
    act()
    (queue,) = [place for place in held(fleet) if place.startswith("queue:")]
    (raw,) = fleet.redis.lrange(queue, 0, -1)
    stamp = json.loads(raw)["enqueued_at"]
    assert isinstance(stamp, int if isinstance(json.loads(raw)["created_at"], int) else float)
    assert fleet.redis.smembers("queues") == {queue.removeprefix("queue:").encode()}
    return raw.decode().replace(f'"enqueued_at":{stamp}', "").replace(json.dumps(stamp), "")


@pytest.mark.parametrize(
    ("key", "verb"), [("retry", "retry"), ("retry", "add_to_queue"), ("schedule", "add_to_queue"), ("dead", "retry")]
)
def test_what_python_pushes_again_is_what_ruby_pushes_again(
    entries: Entries, fleet: Fleet, client: pykiq.Client, key: str, verb: str
) -> None:
    jid = json.loads(entries[key][0][0])["jid"]

    def python() -> None:
        found = SETS[key](client).find_job(jid)
        assert found is not None
        assert getattr(found, verb)()

    by_ruby = payload_after(fleet, entries, lambda: fleet.ask(f"entry(set, jid).{verb}", set=key, jid=jid))
    assert payload_after(fleet, entries, python) == by_ruby


def test_ruby_goes_on_with_what_python_killed_and_rescheduled(
    entries: Entries, fleet: Fleet, client: pykiq.Client
) -> None:
    before = held(fleet)
    raw, _ = entries["retry"][0]
    jid, then = json.loads(raw)["jid"], time.time() + 7200
    found = admin.RetrySet(client).find_job(jid)
    assert found is not None

    # Python moves it in time, and Ruby moves it again: still one entry, with its bytes
    assert found.reschedule(then)
    assert fleet.ask("entry('retry', jid).at.to_f", jid=jid) == pytest.approx(then, abs=0.01)
    fleet.ask("entry('retry', jid).reschedule(at)", jid=jid, at=then + 60)
    assert held(fleet) == before
    assert fleet.redis.zscore("retry", raw) == pytest.approx(then + 60, abs=0.01)

    # Python kills it, Ruby finds it dead and retries it
    assert found.kill()
    assert fleet.ask("entries('dead')")[0]["jid"] == jid
    assert fleet.redis.zrange("dead", -1, -1) == [raw]
    fleet.ask("entry('dead', jid).retry", jid=jid)
    (queue,) = [place for place in held(fleet) if place.startswith("queue:")]
    waiting = admin.Queue(queue.removeprefix("queue:"), client).find_job(jid)
    assert waiting is not None
    assert waiting["retry_count"] == -1
    assert waiting.delete()
    assert fleet.ask("Sidekiq::Queue.all.sum(&:size)") == 0


def test_ruby_goes_on_with_what_python_did_to_whole_sets(entries: Entries, fleet: Fleet, client: pykiq.Client) -> None:
    retries, dead = len(entries["retry"]), len(entries["dead"])
    assert admin.RetrySet(client).kill_all() == retries
    assert fleet.ask("Sidekiq::DeadSet.new.size") == retries + dead
    fleet.ask("Sidekiq::DeadSet.new.retry_all")
    (queue,) = admin.Queue.all(client)
    assert fleet.ask("Sidekiq::Queue.new(name).size", name=queue.name) == queue.size == retries + dead
    assert [job.jid for job in queue] == fleet.ask("Sidekiq::Queue.new(name).map(&:jid)", name=queue.name)
    assert queue.latency == pytest.approx(fleet.ask("Sidekiq::Queue.new(name).latency", name=queue.name), abs=2)
    queue.clear()
    assert fleet.ask("Sidekiq::Queue.all.size") == 0
    admin.ScheduledSet(client).clear()
    assert held(fleet) == {}


def test_a_ruby_worker_runs_what_python_retried(ruby_entries: Entries, fleet: Fleet, client: pykiq.Client) -> None:
    fleet.redis.flushdb()
    restore(fleet, ruby_entries)
    fleet.redis.set("shared:ok", "1")
    assert admin.RetrySet(client).retry_all() == 2
    fleet.ruby("-q", "shared", "-c", "1", POLL="60")
    fleet.wait(lambda: len(fleet.notes("ruby")) == 2, what="both jobs to run")
    assert fleet.redis.zcard("retry") == 0


def test_both_name_a_wrapped_job_a_mail_and_a_secret_alike(fleet: Fleet, client: pykiq.Client) -> None:
    wrapper = "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper"
    mail = {"job_class": "M", "arguments": ["UserMailer", "welcome", "deliver_now", {"args": [1, "two"]}]}
    jobs = [
        {"class": wrapper, "wrapped": "InvoiceJob", "args": [{"job_class": "InvoiceJob", "arguments": [1, "two"]}]},
        {"class": wrapper, "wrapped": "ActionMailer::MailDeliveryJob", "args": [mail]},
        {"class": "SecretJob", "args": [1, {"card": "4111"}], "encrypt": True},
        {"class": "Plain", "args": []},
    ]
    if fleet.major >= 7:  # 6.4 shows the keys of Rails' own
        order = {"order": {"_aj_globalid": "gid://shop/Order/1"}, "_aj_symbol_keys": ["order"]}
        data = {"job_class": "OrderJob", "arguments": [{"_aj_globalid": "gid://shop/Order/2"}, [order]]}
        jobs.insert(0, {"class": wrapper, "wrapped": "OrderJob", "args": [data]})
    for job in jobs:
        fleet.ask("Sidekiq::Client.push(job)", job={**job, "queue": "named"})
    ruby = fleet.ask("Sidekiq::Queue.new('named').map { |job| [job.display_class, job.display_args] }")
    python = [[job.display_class, job.display_args] for job in admin.Queue("named", client)]
    if fleet.major >= 7:
        assert ruby[2] == ["UserMailer#welcome", [None, [1, "two"]]]  # 6.4 shows the mailer's own arguments, as we do
        ruby[2] = python[2]
    assert python == ruby


def test_both_read_the_same_fleet_and_the_same_numbers(scene: Scene) -> None:
    fleet = scene.fleet
    with client_of(fleet) as client:
        numbers, ruby = admin.Stats(client), fleet.ask("stats")
        for name in (
            *("processed", "failed", "retry_size", "dead_size", "scheduled_size", "enqueued"),
            *("processes_size", "workers_size", "queues", "default_queue_latency"),
        ):
            assert getattr(numbers, name) == ruby[name], name
        (day,) = numbers.history(1).items()
        assert ruby["history"] == {"processed": {str(day[0]): day[1][0]}, "failed": {str(day[0]): day[1][1]}}

        python = {process.identity: process for process in admin.ProcessSet(client)}
        for seen in fleet.ask("processes"):
            process = python.pop(seen["identity"])
            for name in ("tag", "labels", "queues", "stopping", "pid", "hostname", "busy", "rss"):
                assert getattr(process, name) == seen[name], name
            for name in ("version", "embedded", "capsules"):
                if seen[name] is not None:
                    assert getattr(process, name) == seen[name], name
            assert seconds(process.started_at) == seen["started_at"]
            assert process.beat is not None
        assert python == {}

        ruby_work = {(work["identity"], work["thread"]): work for work in fleet.ask("work")}
        python_work = {(work.process_id, work.thread_id): work for work in admin.WorkSet(client)}
        assert set(python_work) == set(ruby_work)
        for place, work in python_work.items():
            assert (work.queue, work.payload) == (ruby_work[place]["queue"], ruby_work[place]["payload"])
            assert seconds(work.run_at) == ruby_work[place]["run_at"]


NAMES = """
    %w[Stats Queue Job JobRecord SortedEntry SortedSet JobSet ScheduledSet RetrySet DeadSet ProcessSet Process Workers
       WorkSet Work].to_h do |name|
      found = Sidekiq.const_defined?(name) ? Sidekiq.const_get(name) : nil
      [name, found.is_a?(Class) ? found.public_instance_methods(false) + found.singleton_methods(false) : []]
    end
"""


def test_every_name_of_ruby_s_api_is_here_or_said_to_be_called_otherwise(fleet: Fleet) -> None:
    otherwise = table("docs/operating.md", "A few names of Ruby's are called otherwise, or are not here:\n")
    told = {word for row in otherwise for name in code(row[0]) for word in re.findall(r"[\w?!💣]+|\[\]", name)}
    told |= {"pop_each", "[]"}
    pythons = {"Job": "JobRecord", "SortedSet": "JobSet", "Workers": "WorkSet"}
    asked = 0
    for name, methods in fleet.ask(NAMES).items():
        python = getattr(admin, pythons.get(name, name))
        has = {*dir(python), *python.__init__.__code__.co_names, *getattr(python, "__annotations__", ())}
        for method in methods:
            assert method.rstrip("?!") in has or method in told, f"{name}.{method}"
        asked += len(methods)
    assert asked > 80


def test_ruby_sees_a_queue_that_python_paused(fleet: Fleet, client: pykiq.Client) -> None:
    fleet.ask("Sidekiq::Client.push('class' => 'Plain', 'args' => [], 'queue' => 'low')")
    admin.Queue("low", client).pause()
    if fleet.major >= 8:
        assert fleet.ask("Sidekiq::Stats.new.queue_summaries.map { |queue| queue.paused? }") == [True]
    assert [(queue.name, queue.paused) for queue in admin.Stats(client).queue_summaries] == [("low", True)]


def test_python_quiets_and_stops_a_ruby_process(fleet: Fleet, client: pykiq.Client) -> None:
    server = fleet.ruby("-q", "ruby", "-c", "1", POLL="60")
    process = admin.ProcessSet(client).get(server.identity)
    assert process is not None
    process.quiet()
    process.stop()
    fleet.wait(lambda: server.process.poll() is not None, A_FEW_BEATS, "the end of the Ruby process")
    assert server.process.returncode == 0
    assert admin.ProcessSet(client).size == 0
