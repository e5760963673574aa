"""Records captures from every real Sidekiq on this machine, or compares them with the stored ones.

    python -m compat_fixtures.recorder                      over the stored captures, all versions
    python -m compat_fixtures.recorder --out DIR --compare  elsewhere, and say where the shape differs
    python -m compat_fixtures.recorder --only 'retry_*' --sidekiq 8

The cases are in cases.json: `ruby` is the call (or `(raw) LPUSH key "…"`, an entry written by hand), `server` the flags
of the Sidekiq process, `env` the settings of its application (shop/app.rb), `hurry` how many retries to bring forward,
`steps` what happens while it runs (steps.py; a list, or one for each version), `histogram` the shortest wait of its
many retries in seconds, `database` "own" when a call without a server is made in the database of its version.
MANIFEST.md lists the families without cases; their captures stay as they are.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from compat_fixtures.recorder import shape, steps
from compat_fixtures.recorder.fleet import Client, NotReached, SidekiqServer, Studio, dump, wait_for
from tests.interop import ruby as rubies

HERE = Path(__file__).parent
STORED = HERE.parent
HURRIED = "The recorder moved the score of the retry entry to the past so that the poller would run it at once."
RAW = re.compile(r'\(raw\) (LPUSH|ZADD) (\S+) (?:([\d.]+) )?(".*")', re.DOTALL)
LONG = 400  # longer recordings of MONITOR are cut in the middle


def main() -> int:
    options = _options()
    cases = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
    cases = [case for case in cases if fnmatch.fnmatch(case["name"], options.only)]
    found = [ruby for ruby in rubies.available() if options.sidekiq in (None, ruby.major)]
    if not found:
        say("no Ruby with Sidekiq is here; tests/interop/install.sh fetches three on Debian")
        return 1
    with ThreadPoolExecutor(len(found)) as pool:
        failures = list(pool.map(lambda ruby: record_version(ruby, cases, options), found))
    return 1 if any(failures) else 0


def record_version(ruby: rubies.Ruby, cases: list[dict[str, Any]], options: argparse.Namespace) -> int:
    """Record every case of one version; how many failed or differ."""
    out = (options.out or STORED) / f"sidekiq-{ruby.version}"
    out.mkdir(parents=True, exist_ok=True)
    studio = Studio(ruby)
    recorded = wrong = 0
    try:
        for case in cases:
            if ruby.major not in case.get("versions", [ruby.major]):
                continue
            try:
                capture = record(studio, case)
            except NotReached as failure:
                wrong += 1
                say(f"{ruby.version} {case['name']}: {failure}")
                continue
            recorded += 1
            text = json.dumps(capture, ensure_ascii=False, indent=2) + "\n"
            if options.compare:
                wrong += report(ruby.version, capture)
            (out / f"{case['name']}.json").write_text(text, encoding="utf-8")
    finally:
        studio.close()
    say(f"{ruby.version}: {recorded} captures in {out}, {wrong} differ or failed")
    return wrong


def record(studio: Studio, case: dict[str, Any]) -> dict[str, Any]:
    """One capture."""
    database = studio.ruby.major if "server" in case or case.get("database") == "own" else 0
    own, client = studio.own[database], studio.clients[database]
    own.flushall()
    call = case["ruby"].replace("NOW", repr(time.time()))
    if "setup" in case:
        client.evaluate(case["setup"])
    if call.startswith("(raw) "):
        write_raw(client, call)
    capture: dict[str, Any] = {"name": case["name"], "sidekiq": studio.ruby.version}
    server_part: dict[str, Any] = {}
    answer: dict[str, Any] = {}
    with ExitStack() as afterwards, studio.monitor() as commands:
        if "server" not in case:
            answer = call_ruby(client, call)
            state = dump(own)
        else:
            answer, server_part, state = _with_server(studio, case, call, afterwards)
    capture["ruby"] = call or f"(no client call; sidekiq {case['server']})"
    if case.get("hurry"):
        capture["note"] = HURRIED
    elif "note" in case:
        capture["note"] = case["note"]
    if "server" in case:
        capture["server"] = f"sidekiq {case['server']}"
        if "env" in case:
            capture["server_env"] = case["env"]
    if (raw := RAW.fullmatch(call)) and raw[1] == "ZADD":
        capture["payload"] = client.evaluate(raw[4])["returned"]
    capture["redis"] = state
    capture["commands"] = _cut(commands)
    took = server_part.pop("took", 0.0)
    if "{took}" in capture.get("note", ""):
        capture["note"] = capture["note"].replace("{took}", f"{took:.1f} s")
    if "histogram" in case:
        del server_part["events"]
        capture |= {"commands": ["(omitted: hundreds of identical retries)"], "commands_total": len(commands)}
        capture |= server_part | {"jitter_histogram": _histogram(state, case["histogram"])}
    else:
        capture |= server_part
    if "raised" in answer:
        capture |= {"returned": None, "raised": answer["raised"]}
    elif answer:
        capture["returned"] = answer["returned"]
    return capture


def _with_server(
    studio: Studio, case: dict[str, Any], call: str, afterwards: ExitStack
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What the call answered, what the server process did, and what Redis held after it, or while it ran."""
    own = studio.own[studio.ruby.major]
    client = studio.clients[studio.ruby.major]
    answer = call_ruby(client, call) if case.get("push") != "running" and "steps" not in case else {}
    server = SidekiqServer(studio, case["server"], case.get("env", {}))
    afterwards.callback(server.stop)
    server.wait_for_heartbeat()
    if case.get("push") == "running":
        answer = call_ruby(client, call)
    took = 0.0
    if "steps" in case:
        chosen = case["steps"] if isinstance(case["steps"], list) else case["steps"][str(studio.ruby.major)]
        answer, took = steps.take(chosen, call, client, server)
    else:
        _settle(server, case)
    if case.get("dump") == "running":
        return answer, {"events": server.seen()}, dump(own)
    status = server.stop()
    ended = status if status >= 0 else f"signal {-status}"
    return answer, {"events": server.seen(), "exit_status": ended, "took": took}, dump(own)


def _settle(server: SidekiqServer, case: dict[str, Any]) -> None:
    """Wait until the case has happened; bring retries forward as often as it asks for."""
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
    for _ in range(case.get("hurry", 0)):
        wait_for(lambda: _failed_before(server, time.time() - case.get("pause", 0)), "the pause")
        for member in server.redis.zrange("retry", 0, -1):
            server.redis.zadd("retry", {member: 1000.5}, xx=True)
        wait_for(server.is_idle, "an idle server after the retry")


def _failed_before(server: SidekiqServer, moment: float) -> bool:
    failed = [json.loads(member).get("failed_at", 0) for member in server.redis.zrange("retry", 0, -1)]
    return all((at / 1000 if isinstance(at, int) else at) < moment for at in failed)


def call_ruby(client: Client, call: str) -> dict[str, Any]:
    """Make the client's call, when the case has one."""
    return client.evaluate(call) if call and not call.startswith("(raw) ") else {}


def write_raw(client: Client, call: str) -> None:
    """Write the entry that `(raw) COMMAND key [score] "ruby string"` asks for; any other text is a remark."""
    found = RAW.fullmatch(call)
    if found is None:
        return
    command, key, score, literal = found.groups()
    if command == "LPUSH":
        client.evaluate(f'redis("SADD", "queues", "{key.removeprefix("queue:")}")')
    wrote = client.evaluate(f'redis("{command}", "{key}", {score + ", " if score else ""}{literal})')
    if "raised" in wrote:
        raise NotReached(f"writing {call[:80]}: {wrote['raised']}")


def _histogram(state: dict[str, Any], least: int) -> dict[str, int]:
    """How often the retries wait for how many seconds more than the least; of the entries, five stay in the dump."""
    waits: Counter[int] = Counter()
    for entry in state["retry"]["value"]:
        at = json.loads(entry["member"])["retried_at"]
        waits[round(float(entry["score"]) - (at / 1000 if isinstance(at, int) else at) - least)] += 1
    del state["retry"]["value"][5:]
    return {str(wait): waits[wait] for wait in sorted(waits)}


def report(version: str, capture: dict[str, Any]) -> int:
    """Print where a capture's shape differs from the stored one; 1 if it does."""
    path = STORED / f"sidekiq-{version}" / f"{capture['name']}.json"
    if not path.exists():
        say(f"{version} {capture['name']}: no stored capture")
        return 1
    differences = shape.compare(json.loads(path.read_text(encoding="utf-8")), capture)
    for difference in differences:
        say(f"{version} {capture['name']}: {difference}")
    return 1 if differences else 0


def _cut(lines: list[str]) -> list[str]:
    half = LONG // 2
    return lines if len(lines) <= LONG else [*lines[:half], f"… {len(lines) - LONG} more …", *lines[-half:]]


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Record compat_fixtures/ from real Sidekiqs.")
    parser.add_argument("--out", type=Path, help="write to DIR/sidekiq-VERSION instead of over the stored captures")
    parser.add_argument("--compare", action="store_true", help="say where the shape differs from the stored capture")
    parser.add_argument("--only", default="*", help="cases whose name matches, such as 'retry_*'")
    parser.add_argument("--sidekiq", type=int, help="this major version only")
    return parser.parse_args()
