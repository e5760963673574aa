"""Every retry and dead entry that Ruby wrote in a capture: pykiq, given the same failure, writes the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pykiq.errors import Unreadable
from pykiq.wire.dialect import EIGHT, SEVEN, SIX
from pykiq.wire.exactjson import dumps, loads
from pykiq.wire.failure import Failure, decode_backtrace, is_exhausted, record_failure, retry_limit
from pykiq.wire.payload import parse, retry_count
from tests import captures

DIALECTS = {"6.4.1": SIX, "7.3.2": SEVEN, "8.1.7": EIGHT}

# Where pykiq's entry differs from Ruby's, and why.
OTHER_BYTES = {
    "python_style_json_retry_reserialised": "a float spelled as no Ruby spells it keeps its spelling; Ruby respells it",
}

# Where Ruby's decision came from something else than the payload.
OTHER_FATE = {
    "max_retries_config": "the server ran with max_retries 1",
    "retry_in_kill": "the job's sidekiq_retry_in hook answered :kill",
}
OTHER_DELAY = ("retry_in_", "aj_sidekiq_retry_in")  # the hook answered a number

# Jobs that Ruby loses when they fail, and that pykiq keeps: name → the entry's distinctive part.
KEPT_ALTHOUGH_RUBY_LOSES_IT = {
    "odd_fail_retry_count_string": b'"retry_count":0',  # taken for never failed
    "odd_fail_missing_retry_unknown_class": b'"failed_at":',  # retried like `retry: true`
    "odd_class_missing_no_retry": b'"failed_at":',
    "unserialisable_on_failure_1e400": b"[1e400]",  # written as it was read
    "unserialisable_on_failure_invalid_utf8": b'"bad \xff byte"',
}


@dataclass(frozen=True)
class Written:
    """A `retry` or `dead` entry, the job that Ruby had popped before, and what is needed to repeat the failure."""

    capture: captures.Capture
    key: str
    score: float
    entry: bytes
    popped: bytes
    queue: str

    def __str__(self) -> str:
        return f"{self.capture}-{self.key}-{loads(self.entry)['retry_count']}"

    @property
    def now(self) -> float:
        """The time of the failure. 8.1 cut it to milliseconds; half of one keeps doubles from falling below it."""
        first = retry_count(parse(self.popped)) is None
        stamp: Any = parse(self.entry)["failed_at" if first else "retried_at"]
        return (stamp + 0.5) / 1000 if isinstance(stamp, int) else float(stamp)


def failures(capture: captures.Capture) -> list[Written]:
    popped = [(key, raw) for key, raw in capture.by_hand if key.startswith("queue:")]
    found: dict[bytes, Written] = {}
    for command in capture.commands:
        key = command.words[0].decode() if command.words else ""
        if command.verb in ("lpush", "rpush") and key.startswith("queue:"):
            popped += [(key, raw) for raw in command.words[1:]]
        elif command.verb == "zadd" and key in ("retry", "dead") and command.words[2] not in found:
            entry = command.words[2]
            job = popped_job(entry, popped)
            if job is not None:
                score = float(command.words[1])
                found[entry] = Written(capture, key, score, entry, job[1], job[0].removeprefix("queue:"))
    return list(found.values())


def popped_job(entry: bytes, popped: list[tuple[str, bytes]]) -> tuple[str, bytes] | None:
    """The job that became this entry; None when the entry is no failed job, or its job was pushed before recording."""
    try:
        identity = [parse(entry).get(key) for key in ("jid", "args", "locale")]
        assert parse(entry).get("error_message") is not None
    except (Unreadable, AssertionError):
        return None
    for queue, raw in reversed(popped):
        if [loads(raw).get(key) for key in ("jid", "args", "locale")] == identity:
            return queue, raw
    return None


def recorded(written: Written) -> dict[str, Any]:
    """The job that Ruby had popped, after pykiq recorded the same failure on it."""
    ruby = parse(written.entry)
    failure = Failure(
        ruby["error_class"], ruby["error_message"], tuple(decode_backtrace(ruby.get("error_backtrace", "")))
    )
    payload = parse(written.popped)
    record_failure(
        payload,
        failure,
        queue=written.queue,
        now=written.now,
        dialect=DIALECTS[written.capture.version],
        default_retry=ruby.get("retry"),
    )
    return payload


WRITTEN = [written for capture in captures.every() for written in failures(capture)]


def of(version: str) -> list[Written]:
    return [written for written in WRITTEN if written.capture.version == version]


def test_there_are_entries_of_every_kind() -> None:
    names = {written.capture.name for written in WRITTEN}
    assert len(WRITTEN) >= 300
    for prefix in ("retry_", "exhausted_", "dead_", "odd_fail_", "odd_class_", "error_", "unknown_class", "aj_"):
        assert any(name.startswith(prefix) for name in names), prefix


@pytest.mark.parametrize("written", WRITTEN, ids=str)
def test_the_entry_has_the_bytes_that_ruby_wrote(written: Written) -> None:
    ours = dumps(recorded(written), DIALECTS[written.capture.version])
    if written.capture.name in OTHER_BYTES:
        assert ours != written.entry
        assert loads(ours) == loads(written.entry)
    else:
        assert ours == written.entry


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_every_entry_goes_where_ruby_put_it(version: str) -> None:
    for written in of(version):
        payload = recorded(written)
        limit = retry_limit(parse(written.popped), default_retry=payload["retry"])
        assert limit is not None
        ours = "dead" if is_exhausted(payload, limit, now=written.now, dialect=DIALECTS[version]) else "retry"
        expected = "retry" if written.capture.name in OTHER_FATE else written.key
        assert ours == expected, written


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_every_delay_of_ruby_is_one_that_the_formula_can_give(version: str) -> None:
    for written in of(version):
        count = recorded(written)["retry_count"]
        added = written.score - written.now - (count**4 + 15)
        if written.key == "dead":
            assert written.score - written.now < 1, written
        elif not written.capture.name.startswith(OTHER_DELAY):
            assert abs(added - round(added)) < 0.2, written  # Ruby reads the clock twice
            assert 0 <= round(added) < 10 * (count + 1), written
            assert not DIALECTS[version].stepped_jitter or round(added) % (count + 1) == 0, written


@pytest.mark.parametrize("version", captures.VERSIONS)
@pytest.mark.parametrize(("name", "part"), KEPT_ALTHOUGH_RUBY_LOSES_IT.items(), ids=list(KEPT_ALTHOUGH_RUBY_LOSES_IT))
def test_a_job_that_ruby_loses_on_failure_gets_an_entry(version: str, name: str, part: bytes) -> None:
    capture = captures.read(version, name)
    assert not {"retry", "dead"} & set(capture.data["redis"]), "Ruby lost it"
    [(_, raw)] = capture.by_hand
    payload = parse(raw)
    dialect = DIALECTS[version]
    assert retry_limit(payload, default_retry=None) == 25
    record_failure(
        payload, Failure("ValueError", "boom"), queue="default", now=1795315631.5, dialect=dialect, default_retry=None
    )
    entry = dumps(payload, dialect)
    assert part in entry
    assert not is_exhausted(parse(entry), 25, now=1795315631.5, dialect=dialect)


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_a_job_with_retry_false_gets_none_as_in_ruby(version: str) -> None:
    for name, default in (
        ("retry_false_failure", True),
        ("unknown_class_retry_false", None),
        ("odd_fail_retry_for_with_retry_false", True),
        ("odd_fail_missing_retry_class_retry_false", False),
    ):
        capture = captures.read(version, name)
        assert not {"retry", "dead"} & set(capture.data["redis"])
        assert [retry_limit(parse(raw), default_retry=default) for raw in capture.payloads()] == [None]
