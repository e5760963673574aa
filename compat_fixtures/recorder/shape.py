"""What two captures of the same case must have in common: keys, their order, types, and every value that is not a
time, an id or a measurement."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from typing import Any

# Values of these keys differ from run to run: only their type counts.
CHANGING = {
    "created_at", "enqueued_at", "failed_at", "retried_at", "discarded_at", "started_at", "beat", "rtt_us", "rss",
    "pid", "run_at", "busy", "quiet", "latency", "cancelled",
}  # fmt: skip
IDENTITY = re.compile(r"[\w.-]{1,64}:\d+:[0-9a-f]{12}")
JID = re.compile(r"\b[0-9a-f]{24}\b")
UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")
NOW = re.compile(r"\b202\d-\d\d-\d\d([T ])\d\d:\d\d:\d\d(?:\.(\d+))?")  # times that cases give are in other decades
MEASURED = re.compile(r"\d+\.\d{6,}")
SECONDS = re.compile(r"\b(?:1[7-9]|2[7-9])\d{8}\.\d+")  # near now, or a billion seconds after now
THREAD = re.compile(r"\b(pid=|tid=|TID-)\w+")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
METRICS = re.compile(r"^(j\|\d{6}\|)\d+:(\d+)$")
METRICS_OF_7 = re.compile(r"^j\|\d{8}\||^\w+-\d\d-\d\d:\d+$")  # there only if a heartbeat came after the job
HISTOGRAM = re.compile(r"-\d+-\d+:\d+$")
OBJECT = re.compile(r"0x[0-9a-f]{16}")
GREETING = re.compile(r'"PING"|"HELLO" "3"|"select" "\d"', re.IGNORECASE)
TOOK = re.compile(r" took \d+\.\d s$")
FIXED_JID = "0123456789abcdef01234567"
FIXED_UUID = "00000000-0000-4000-8000-000000000000"
LOOKS = {"brpop", "zrangebyscore"}
# These parts of a capture have rules of their own, or are free text.
SPECIAL = {"name", "sidekiq", "ruby", "redis", "commands", "commands_total", "events"}


def compare(stored: dict[str, Any], fresh: dict[str, Any]) -> list[str]:
    """Where the two differ, a line each; nothing when they have the same shape."""
    if "jitter_histogram" in stored:
        return compare(_one_of_many(stored), _one_of_many(fresh))
    differences = [f"the capture's keys: {list(stored)} → {list(fresh)}"] if list(stored) != list(fresh) else []
    for part in stored.keys() - SPECIAL:
        before, after = of(stored[part], part), of(fresh.get(part), part)
        if before != after:
            differences.append(f"{part}: {_first_difference(before, after)}")
    # a server's threads send their commands in any order and as often as time allows
    told = commands if "server" not in stored else effects
    before, after = (told(capture.get("commands", [])) for capture in (stored, fresh))
    if before != after:
        differences.append(f"commands: {_first_difference(before, after)}")
    differences += _keys(stored, fresh)
    return differences + _events(stored, fresh)


def _one_of_many(capture: dict[str, Any]) -> dict[str, Any]:
    """A capture of many equal retries: any five of them, the step of their waits and whether all are within 50 s."""
    waits = sorted(int(wait) for wait in capture["jitter_histogram"])
    same = re.sub(r"\[\d{1,3}\]", "[0]", json.dumps(capture["redis"]))
    kept = {key: value for key, value in capture.items() if key != "jitter_histogram"}
    jitter = [math.gcd(*waits), waits[0] >= 0, waits[-1] < 50, sum(capture["jitter_histogram"].values())]
    return kept | {"redis": json.loads(same), "jitter": jitter}


def of(value: Any, key: str = "") -> Any:
    """The shape of a value: what changes from run to run is replaced by its type."""
    if isinstance(value, dict):
        return [[of_key(name), of(item, name)] for name, item in value.items()]
    if isinstance(value, list):
        return [of(item, key) for item in value]
    if isinstance(value, str):
        return _text(value, key)
    if key in CHANGING and isinstance(value, int | float) and not isinstance(value, bool):
        return f"<{type(value).__name__}>"
    if isinstance(value, float) and 1.7e9 < value < 3e9 and not value.is_integer():
        return "<float>"
    if isinstance(value, int) and value > 1.6e9 and not isinstance(value, bool):
        return "<int>" if value % 1_000_000 else value
    return value


def commands(lines: list[str]) -> list[str]:
    """MONITOR's lines without times, connections and ids."""
    bare = (_without_ids(re.sub(r"^\S+ \[[^]]*\] ", "", line)) for line in lines)
    timeless = (re.sub(r"\b1[5-9]\d{11}\b", "<ms>", SECONDS.sub("<s>", line)) for line in bare)
    timeless = (DATE.sub("<date>", re.sub(r'"1[7-9]\d{8}"', '"<whole s>"', line)) for line in timeless)
    # a connection that was idle for long is asked whether it is still there, or opened again
    return [line for line in timeless if not GREETING.fullmatch(line)]


def effects(lines: list[str]) -> list[str]:
    """Which commands changed the queues and the sets, whatever their order.

    What only looks (BRPOP, a poller's ZRANGEBYSCORE) is left out: it comes as often as the server lives long enough.
    """
    found = (re.match(r'"(\w+)" "(queues|queue:[^"]*|retry|schedule|dead)"', line) for line in commands(lines))
    return sorted({f"{one[1].lower()} {one[2]}" for one in found if one and one[1].lower() not in LOOKS})


def of_key(name: str) -> str:
    """The name of a Redis key or of a field, without identities and dates."""
    name = _without_ids(DATE.sub("<date>", name))
    name = METRICS.sub(lambda found: f"{found[1]}<time>:{'N' * len(found[2])}", name)
    return re.sub(r"^j\|\d+\|", lambda found: f"j|<{len(found[0]) - 3} digits>|", HISTOGRAM.sub("<time>", name))


def _text(value: str, key: str) -> Any:
    if key == "error_backtrace":
        return ["<backtrace>", "\n" in value, value.endswith("\n"), _frames(value)]
    if key in CHANGING and not NOW.search(value):
        return "<number as text>"
    if value[:1] in "[{" and value != "[" and key != "args":
        try:
            return ["<json>", of(json.loads(value))]
        except ValueError:
            pass
    if MEASURED.fullmatch(value):
        return "<float as text>"
    return TOOK.sub(" took <seconds>", OBJECT.sub("<object>", _without_ids(value)))


def _frames(backtrace: str) -> Any:
    """The frames of a compressed backtrace, without line numbers; one that a case made up stays as it is."""
    try:
        frames = json.loads(zlib.decompress(base64.b64decode(backtrace)))
    except (ValueError, zlib.error):
        return backtrace
    return [re.sub(r":\d+:", ":", frame) for frame in frames]


def _without_ids(text: str) -> str:
    """Ids and times of day are replaced by their kind; those that cases give stay."""
    text = IDENTITY.sub("<identity>", NOW.sub(_time, text))
    text = THREAD.sub(lambda found: f"{found[1]}<id>", text)
    text = UUID.sub(lambda found: found[0] if found[0] == FIXED_UUID else "<uuid>", text)
    return JID.sub(lambda found: found[0] if found[0] == FIXED_JID else "<jid>", text)


def _time(found: re.Match[str]) -> str:
    """Ruby's `inspect` leaves out the last zeros of a fraction; in JSON it always has the same length."""
    between, fraction = found.groups(default="")
    return f"<time{between}{len(fraction) if between == 'T' else bool(fraction)}>"


def _keys(stored: dict[str, Any], fresh: dict[str, Any]) -> list[str]:
    before, after = (
        {
            of_key(name): _key(name, entry, _handed_back(capture))
            for name, entry in sorted(capture["redis"].items())
            if not METRICS_OF_7.match(name)
        }
        for capture in (stored, fresh)
    )
    differences = [f"Redis key gone: {name}" for name in before.keys() - after.keys()]
    differences += [f"Redis key new: {name}" for name in after.keys() - before.keys()]
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            differences.append(f"{name}: {_first_difference(before[name], after[name])}")
    return differences


def _handed_back(capture: dict[str, Any]) -> dict[str, int]:
    """How many jobs a stopping process put back into which queue at once: they come in any order."""
    pushed = (re.findall(r'"((?:[^"\\]|\\.)*)"', line) for line in capture.get("commands", []) if '"rpush"' in line)
    return {words[1]: len(words) - 2 for words in pushed}


def _key(name: str, entry: dict[str, Any], handed_back: dict[str, int]) -> Any:
    lives = "for ever" if entry["ttl"] == -1 else f"up to {10 ** len(str(entry['ttl']))} s"
    value = entry["value"]
    if name.startswith("j|"):  # a minute may end between two runs
        value = dict.fromkeys(sorted(value), "<number>")
    elif HISTOGRAM.search(name):
        value = "<counters>"
    elif entry["type"] == "zset":
        value = sorted(([_score(pair["score"]), of(pair["member"])] for pair in value), key=str)
    elif entry["type"] == "list" and (count := handed_back.get(name, 0)):
        value = [*value[:-count], *sorted(value[-count:], key=lambda job: str(json.loads(job)["args"]))]
    elif entry["type"] == "hash" and ":work" in name:
        value = sorted(value.values())
    elif entry["type"] == "hash":  # Redis gives the fields of a hash in any order
        value = dict(sorted(value.items()))
    return [entry["type"], lives, of(value)]


def _score(score: str) -> str:
    """A time near now, or 1e9 seconds after now, changes from run to run; all others are given by the case."""
    return "<time>" if 1.7e9 < float(score) < 1.9e9 or float(score) > 2.7e9 else score


def _events(stored: dict[str, Any], fresh: dict[str, Any]) -> list[str]:
    """Threads write their events in any order. A process that a signal killed may not have come to write its last."""
    before, after = (
        [json.dumps(of(line), ensure_ascii=False) for line in capture.get("events", [])] for capture in (stored, fresh)
    )
    if str(stored.get("exit_status", "")).startswith("signal"):
        common = min(len(before), len(after))
        before, after = before[:common], after[:common]
    gone = [f"event gone: {line}" for line in sorted(before) if line not in after]
    return gone + [f"event new: {line}" for line in sorted(after) if line not in before]


def _first_difference(before: Any, after: Any, at: str = "") -> str:
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            if one != other:
                return _first_difference(one, other, f"{at}[{place}]")
    return f"at {at or 'top'}: {before!r:.300} → {after!r:.300}"
