"""One case, one capture: sets Redis up, makes the call, lets a server process run, and notes down what could be seen.

A case of cases.json:

    ruby       the call, or `(raw) LPUSH key "…"`, an entry written by hand; one text, or one for each version
    app, env   the application's file (app.rb unless told; config/environment.rb is the Rails application), and the
               settings of the server process (EXTRA is the client's too)
    server     the flags of the Sidekiq process; `embedded` instead is the code that runs one inside a Ruby program
    setup      a call before the recording
    steps      what happens while the process runs (steps.py); one list, or one for each version
    push       "running": the call is made when the process runs; otherwise before it
    until      "busy", "quiet", "drained": what the process must have reached; otherwise it must be idle
    hurry      the sets whose entries are brought forward, one after the other; `pause` seconds after each failure
    dump       "running": Redis is read while the process runs
    database   "own": a call without a server is made in the database of its version
    log        a name, and the expression for the lines of the server's log to be kept under it
    histogram  the shortest wait of its many retries, in seconds
    script     a Ruby program that prints the whole capture
    versions   the major versions it is for; all, unless told
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

from compat_fixtures.recorder import steps
from compat_fixtures.recorder.fleet import PLACE, Client, NotReached, SidekiqServer, Studio, dump, wait_for
from tests.interop.ruby import UTF8

HURRIED = "The recorder moved the score of the {} entry to the past so that the poller would run it at once."
RAW = re.compile(r'(LPUSH|ZADD) (\S+) (?:([\d.]+) )?(".*")', re.DOTALL)
COLOUR = re.compile(r"\x1b\[\d*m")
RAILS_APP = "config/environment.rb"
LONG = 400  # longer recordings of MONITOR are cut in the middle


def record(studio: Studio, case: dict[str, Any]) -> dict[str, Any]:
    """One capture."""
    if "script" in case:
        return _printed_by(studio, case["script"])
    has_server = "server" in case or "embedded" in case
    database = studio.ruby.major if has_server or case.get("database") == "own" else 0
    own = studio.own[database]
    client = studio.client(case.get("app", "app.rb"), case.get("env", {}).get("EXTRA", ""), database)
    own.flushall()
    call = _of_version(case["ruby"], studio).replace("NOW", repr(time.time()))
    if "setup" in case:
        client.evaluate(case["setup"])
    _write_raw(client, call)
    seen: dict[str, Any] = {}
    with ExitStack() as afterwards, studio.monitor() as commands:
        if has_server:
            answer, seen, state = _with_server(studio, client, case, call, afterwards)
        else:
            answer, state = _call(client, call), dump(own)
    took = seen.pop("took", 0.0)
    capture = {"name": case["name"], "sidekiq": studio.ruby.version} | _described(case, call, took)
    if (raw := RAW.fullmatch(call.removeprefix("(raw) "))) and raw[1] == "ZADD":
        capture["payload"] = client.evaluate(raw[4])["returned"]
    capture["redis"] = state
    capture["commands"] = _cut(commands)
    if "histogram" in case:
        del seen["events"]
        capture |= {"commands": ["(omitted: hundreds of identical retries)"], "commands_total": len(commands)}
        capture |= seen | {"jitter_histogram": _histogram(state, case["histogram"])}
    else:
        capture |= seen
    if "raised" in answer:
        capture |= {"returned": None, "raised": answer["raised"]}
    elif answer:
        capture["returned"] = answer["returned"]
    return capture


def _described(case: dict[str, Any], call: str, took: float) -> dict[str, Any]:
    """What the capture says about how it was made."""
    server = case["embedded"] if "embedded" in case else f"sidekiq {case.get('server')}"
    told: dict[str, Any] = {"ruby": call or f"(no client call; {server})"}
    if "hurry" in case:
        told["note"] = HURRIED.format(case["hurry"][0])
    elif "note" in case:
        told["note"] = case["note"].replace("{took}", f"{took:.1f} s")
    if "server" in case or "embedded" in case:
        told["server"] = server
        if "env" in case:
            told["server_env"] = case["env"]
    return told


def _with_server(
    studio: Studio, client: Client, case: dict[str, Any], call: str, afterwards: ExitStack
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What the call answered, what the server process did, and what Redis held after it, or while it ran."""
    own = studio.own[studio.ruby.major]
    answer = _call(client, call) if case.get("push") != "running" and "steps" not in case else {}
    server = SidekiqServer(studio, _program(case), case.get("env", {}))
    afterwards.callback(server.stop)
    server.wait_for_heartbeat()
    if case.get("push") == "running":
        answer = _call(client, call)
    took = 0.0
    if "steps" in case:
        answer, took = steps.take(_of_version(case["steps"], studio), call, client, server)
    else:
        _settle(server, case)
    if case.get("dump") == "running":
        return answer, {} if "embedded" in case else {"events": server.seen()}, dump(own)
    status = server.stop()
    seen = {"events": server.seen(), "exit_status": status if status >= 0 else f"signal {-status}", "took": took}
    if "log" in case:
        name, expression = case["log"]
        seen[name] = re.findall(expression, COLOUR.sub("", server.log.read_text(errors="replace")))
    return answer, seen, dump(own)


def _program(case: dict[str, Any]) -> list[str]:
    """The command line of the server process."""
    if "embedded" in case:
        return ["ruby", "-r", f"{PLACE}/app.rb", "-e", f"{case['embedded']}; sleep"]
    return ["sidekiq", "-r", PLACE if case.get("app") == RAILS_APP else f"{PLACE}/app.rb", *shlex.split(case["server"])]


def _settle(server: SidekiqServer, case: dict[str, Any]) -> None:
    """Wait until the case has happened; bring entries forward as often as it asks for."""
    match case.get("until"):
        case "busy":
            wait_for(lambda: server.redis.hget(server.identity(), "busy") == b"2", "a heartbeat with two busy threads")
            return
        case "quiet":
            wait_for(lambda: server.redis.hget(server.identity(), "quiet") == b"true", "a quiet heartbeat")
            return
        case "drained":
            wait_for(lambda: server.redis.zcard("schedule") == 0, "an empty schedule")
    wait_for(server.is_idle, "an idle server")
    for key in case.get("hurry", []):
        wait_for(lambda key=key: _failed_before(server, key, time.time() - case.get("pause", 0)), "the pause")
        for member in server.redis.zrange(key, 0, -1):
            server.redis.zadd(key, {member: 1000.5}, xx=True)
        wait_for(server.is_idle, "an idle server after the retry")


def _failed_before(server: SidekiqServer, key: str, moment: float) -> bool:
    failed = [json.loads(member).get("failed_at", 0) for member in server.redis.zrange(key, 0, -1)]
    return all((at / 1000 if isinstance(at, int) else at) < moment for at in failed)


def _of_version(value: Any, studio: Studio) -> Any:
    """A case may give one value for all versions, or one for each."""
    return value[str(studio.ruby.major)] if isinstance(value, dict) else value


def _call(client: Client, call: str) -> dict[str, Any]:
    """Make the client's call, when the case has one."""
    return client.evaluate(call) if call and not call.startswith("(raw) ") else {}


def _write_raw(client: Client, call: str) -> None:
    """Write the entries that `(raw) COMMAND key [score] "ruby string"` asks for; any other text is a remark."""
    if not call.startswith("(raw) "):
        return
    for entry in call.removeprefix("(raw) ").split("; (raw) "):
        found = RAW.fullmatch(entry)
        if found is None:
            continue
        command, key, score, literal = found.groups()
        if command == "LPUSH":
            client.evaluate(f'redis("SADD", "queues", "{key.removeprefix("queue:")}")')
        wrote = client.evaluate(f'redis("{command}", "{key}", {score + ", " if score else ""}{literal})')
        if "raised" in wrote:
            raise NotReached(f"writing {entry[:80]}: {wrote['raised']}")


def _printed_by(studio: Studio, script: str) -> dict[str, Any]:
    """The capture that a Ruby program prints."""
    ended = studio.ruby.run(f'load "{PLACE}/{script}"', env=UTF8, timeout=300)
    if ended.returncode != 0:
        raise NotReached(f"the end of {script}: {ended.stderr[-1000:]}")
    capture: dict[str, Any] = json.loads(ended.stdout)
    return capture


def _histogram(state: dict[str, Any], least: int) -> dict[str, int]:
    """How often the retries wait for how many seconds more than the least; of the entries, five stay in the dump."""
    waits: Counter[int] = Counter()
    for entry in state["retry"]["value"]:
        at = json.loads(entry["member"])["retried_at"]
        waits[round(float(entry["score"]) - (at / 1000 if isinstance(at, int) else at) - least)] += 1
    del state["retry"]["value"][5:]
    return {str(wait): waits[wait] for wait in sorted(waits)}


def _cut(lines: list[str]) -> list[str]:
    half = LONG // 2
    return lines if len(lines) <= LONG else [*lines[:half], f"… {len(lines) - LONG} more …", *lines[-half:]]
