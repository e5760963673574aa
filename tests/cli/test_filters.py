"""Which jobs a filter means, and which moments `--since` understands."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import redis as redis_py

from pykiq import Client, Config
from pykiq.admin import JobRecord
from pykiq.admin.access import Access
from pykiq.cli.filters import Filter
from pykiq.cli.times import since
from pykiq.errors import ConfigError
from pykiq.store import sets
from tests.admin.conftest import failed, packed
from tests.cli.inside import Command

ACCESS = Access(Client(Config.of()))  # never connects
WRAPPED = packed(9, **{"class": "Sidekiq::ActiveJob::Wrapper", "wrapped": "Billing::InvoiceJob"})


def passes(given: Filter, raw: bytes, moment: float | None = None) -> bool:
    return given.passes(JobRecord(ACCESS, raw), lambda job: moment)


@pytest.mark.parametrize(
    ("given", "raw", "expected"),
    [
        (Filter(), b"not json", True),
        (Filter(klass="HardJob"), packed(), True),
        (Filter(klass="::HardJob"), packed(**{"class": "::HardJob"}), True),
        (Filter(klass="Hard"), packed(), False),
        (Filter(klass=""), packed(), False),
        (Filter(klass="Hard*"), packed(), True),
        (Filter(klass="Billing::*"), WRAPPED, True),
        (Filter(klass="Sidekiq::ActiveJob::Wrapper"), WRAPPED, True),
        (Filter(klass="A"), b"not json", False),
        (Filter(queue="low"), packed(), True),
        (Filter(queue="high"), packed(), False),
        (Filter(error="STOCK"), failed(), True),
        (Filter(error="ordererror"), failed(), True),
        (Filter(error="OrderError: no*"), failed(), True),
        (Filter(error="other"), failed(), False),
        (Filter(error=""), packed(), False),
        (Filter(match='"args":[1]'), packed(), True),
        (Filter(match="not"), b"not json", True),
        (Filter(match="HardJob*retry"), packed(), False),
        (Filter(match="retry*HardJob"), packed(), True),
        (Filter(klass="HardJob", queue="high"), packed(), False),
    ],
)
def test_a_job_passes_when_all_of_it_fits(given: Filter, raw: bytes, expected: bool) -> None:
    assert passes(given, raw) is expected


def test_since_is_about_a_moment_and_without_one_a_job_is_not_meant() -> None:
    assert passes(Filter(since=100.0), packed(), 100.0)
    assert not passes(Filter(since=100.0), packed(), 99.9)
    assert not passes(Filter(since=100.0), packed(), None)


def test_only_an_empty_filter_is_none() -> None:
    assert not Filter()
    assert Filter(match="")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", 910.0),
        ("1.5m", 910.0),
        ("2h", 1000.0 - 7200),
        ("3d", 1000.0 - 3 * 86400),
        ("1w", 1000.0 - 604800),
        ("1795627245.5", 1795627245.5),
        ("20310501", datetime(2031, 5, 1, tzinfo=UTC).timestamp()),
        ("2031-05-01", datetime(2031, 5, 1, tzinfo=UTC).timestamp()),
        ("2031-05-01T12:00+02:00", datetime(2031, 5, 1, 10, tzinfo=UTC).timestamp()),
    ],
)
def test_since_takes_a_length_or_a_moment(text: str, moment: float) -> None:
    assert since(text, 1000.0) == moment


@pytest.mark.parametrize("text", ["yesterday", "15", "2031", "-5m", "1e99999", ""])
def test_since_refuses_what_is_neither_and_a_number_that_lacks_its_unit(text: str) -> None:
    with pytest.raises(ConfigError, match=rf'--since is "{text}"; expected how long ago, such as 15m'):
        since(text, 1000.0)


@pytest.mark.parametrize("flag", ["--class", "--queue", "--error", "--match"])
@pytest.mark.parametrize("command_of", ["retries", "dead"])
def test_an_empty_text_means_no_job_at_all(redis: redis_py.Redis, command: Command, flag: str, command_of: str) -> None:
    """`--class "$CLASS"` in a shell without that variable."""
    redis.zadd("retry", {failed(1): 1})
    ran = command(command_of, "delete", flag, "", "--yes")
    assert (ran.code, ran.err) == (2, f'pykiq: {flag} is ""; expected what the jobs have; leave it out for any\n')
    assert redis.zcard("retry") == 1


def test_redis_is_asked_for_the_same_text(redis: redis_py.Redis) -> None:
    redis.zadd("retry", {packed(): 1, b'a\\b [1]? "x"': 2})
    for match, found in (("[1]", 2), ("\\b", 1), ("?", 1), ("a*x", 1), ("class*args", 1), ("y*z", 0)):
        assert len(list(sets.scan(redis, "retry", Filter(match=match).pattern))) == found, match
