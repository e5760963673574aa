"""Which option takes which value, at declaration and in `set`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import pykiq
from pykiq.errors import PayloadError, RegistrationError
from pykiq.jobs import options, optiontypes
from pykiq.jobs.ajrules import Rules
from pykiq.jobs.options import GEMS_LOCKS, NOT_YET, OF_ONE_JOB, OPTIONS, checked
from pykiq.testing import fake


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"retry": 0, "dead": False, "backtrace": 5}, {"retry": 0, "dead": False, "backtrace": 5}),
        ({"tags": ("a", "b")}, {"tags": ["a", "b"]}),
        ({"retry_for": 7200.9}, {"retry_for": 7200}),
        ({"retry_for": timedelta(hours=2)}, {"retry_for": 7200}),
        ({"timeout": timedelta(minutes=1), "expires_in": 1.5}, {"timeout": 60, "expires_in": 1.5}),
        ({"custom": {"nested": [1, None]}}, {"custom": {"nested": [1, None]}}),
        (
            {"extra": {"unique_for": timedelta(days=1), "unique_until": "start", "qeue": "x"}, "retry": 1},
            {"unique_for": 86400, "unique_until": "start", "qeue": "x", "retry": 1},
        ),
        ({"extra": {"name": "x", "extra": 1, "wait": 5}}, {"name": "x", "extra": 1, "wait": 5}),
        ({"extra": {}}, {}),
    ],
)  # fmt: skip
def test_options_are_stored_as_a_payload_holds_them_in_their_order(given: Any, stored: Any) -> None:
    options = checked(given, "A")
    assert options == stored
    assert list(options) == list(stored)


BAD = [
    ({"queue": ""}, "`queue` is ''; expected the name of a queue"),
    ({"queue": None}, "`queue` is None; expected the name of a queue"),
    ({"retry_queue": 5}, "`retry_queue` is 5; expected the name of a queue"),
    ({"retry": -1}, "`retry` is -1; expected True, False or how many times"),
    ({"retry": "5"}, "`retry` is '5'; expected True, False or how many times"),
    ({"retry_for": 1_000_000_001}, "`retry_for` is 1000000001, more than 1000000000 seconds"),
    ({"retry_for": 0.5}, "`retry_for` is 0.5; expected at least one second"),
    ({"dead": 0}, "`dead` is 0; expected True or False"),
    ({"backtrace": "3"}, "`backtrace` is '3'; expected True, False or how many lines"),
    ({"tags": "alpha"}, "`tags` is 'alpha'; expected a list of strings"),
    ({"tags": [1]}, r"`tags` is \[1\]; expected a list of strings"),
    ({"timeout": 0}, "`timeout` is 0; expected a positive number of seconds"),
    ({"timeout": "1"}, r"`timeout` is '1' \(str\); expected seconds as a number, or a timedelta; did you mean 1\?"),
    ({"timeout": "1.5"}, r"`timeout` is '1.5' \(str\).*did you mean 1.5\?"),
    ({"expires_in": "1h30m"}, r"`expires_in` is '1h30m' \(str\).*; did you mean 5400\?"),
    ({"retry_for": "2 d"}, r"`retry_for` is '2 d' \(str\).*; did you mean 172800\?"),
    (
        {"timeout": datetime(2031, 5, 1, tzinfo=UTC)},
        r"`timeout` is .*\(datetime\); expected seconds as a number",
    ),
    ({"expires_in": "1h"}, r"`expires_in` is '1h' \(str\); expected seconds"),
    ({"sync": True}, "`sync` is not an option here; call perform_inline"),
    ({"custom": {1, 2}}, "option `custom` is a set"),
    ({"custom": {"deep": [float("nan")]}}, r'option `custom\["deep"\]\[0\]` is nan'),
    ({"extra": 5}, "`extra` is 5; expected a mapping"),
    ({"extra": {5: 1}}, "`extra` is {5: 1}; expected a mapping"),
    ({"extra": {"queue": "low"}}, "`extra` has `queue`, which is an option of its own"),
    ({"extra": {"jid": "x"}}, "`jid` belongs to one job and is not an option"),
    ({"extra": {"a": {1}}}, "option `a` is a set"),
    ({"extra": {"unique_for": 0}}, "`unique_for` is 0; expected a positive number"),
    ({"name": "B"}, "`name` is not an option here; it belongs to the declaration"),
    ({"retry_in": max}, "`retry_in` is not an option here; it is code of a handler"),
    *(({key: 1}, f"`{key}` belongs to one job and is not an option") for key in sorted(OF_ONE_JOB)),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_a_bad_option_is_refused_at_declaration_naming_the_class(options: Any, message: str) -> None:
    with pytest.raises(RegistrationError, match=f"HardJob: {message}"):
        pykiq.remote("HardJob", **options)


@pytest.mark.parametrize(("options", "message"), BAD)
def test_a_bad_option_is_refused_by_set_where_it_is_written(options: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        pykiq.remote("HardJob").set(**options)


@pytest.mark.parametrize("options", [{"wait": 5}, {"wait_until": 2e9}])
def test_what_is_for_one_push_is_refused_at_declaration(options: Any) -> None:
    with pytest.raises(RegistrationError, match=r"is for one push: charge\.set\(wait"):
        pykiq.remote("HardJob", **options)


@pytest.mark.parametrize("options", [{"active_job": True}, {"rescue": []}, {"like": max}, {"before_perform": max}])
def test_what_belongs_to_the_declaration_is_refused_by_set(options: Any) -> None:
    with pytest.raises(PayloadError, match=f"`{next(iter(options))}` is not an option here"):
        pykiq.remote("HardJob").set(**options)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("quue", "queue"), ("que", "queue"), ("Queue", "queue"), ("queue_name", "queue"), ("tag", "tags"),
        ("retries", "retry"), ("retires", "retry"), ("max_retries", "retry"), ("attempts", "retry"),
        ("expiresIn", "expires_in"), ("expires", "expires_in"), ("time_limit", "timeout"), ("countdown", "wait"),
        ("uniqe_for", "unique_for"),
    ],
)  # fmt: skip
def test_an_option_that_looks_like_another_is_kept_with_a_warning_where_it_was_written(given: str, meant: str) -> None:
    warned = f"the option `{given}` is kept on the payload and means nothing to pykiq; did you mean `{meant}`"
    wrong: dict[str, Any] = {given: 1}
    with pytest.warns(UserWarning, match=warned) as caught:
        job = pykiq.remote("A", **wrong)
    assert caught[0].filename == __file__
    assert job.job_options[given] == 1
    with pytest.warns(UserWarning, match=warned) as caught:
        job.set(**wrong)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", sorted(NOT_YET))
def test_an_option_of_a_feature_that_is_to_come_is_kept_with_a_warning(name: str) -> None:
    early: dict[str, Any] = {name: 1}
    warned = f"the option `{name}` is kept on the payload and pykiq does nothing with it yet"
    with pytest.warns(UserWarning, match=warned) as caught:
        remote = pykiq.remote("A", **early)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=warned) as caught:
        here = pykiq.job("B", **early)(lambda: None)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=warned):

        class C(pykiq.Job, **early):
            def perform(self) -> None: ...

    with pytest.warns(UserWarning, match=warned):
        here.set(**early)
    assert remote.job_options[name] == here.job_options[name] == C.job_options[name] == 1


@pytest.mark.parametrize("name", sorted(GEMS_LOCKS))
def test_a_lock_of_a_gem_is_warned_of_where_the_job_runs_here_and_not_where_it_runs_in_ruby(name: str) -> None:
    assert checked({name: 1}, "A", runs_here=False) == {name: 1}
    assert dict(pykiq.remote("A").set(**{name: 1})._overrides or {}) == {name: 1}
    with pytest.warns(UserWarning, match=f"the option `{name}` is kept on the payload and pykiq does nothing with it"):
        assert checked({name: 1}, "A") == {name: 1}


@pytest.mark.parametrize("name", ["expiration", "pool", "cattr", "throttle", "log_level", "args_filter", "locale"])
def test_options_of_ruby_gems_are_kept_without_a_word(name: str) -> None:
    assert checked({name: 1}, "A") == {name: 1}


def test_a_priority_is_warned_of_where_it_means_nothing() -> None:
    with pytest.warns(UserWarning, match="`priority` is kept .* means nothing without active_job=True") as caught:
        pykiq.job("A", priority=5)(lambda: None)
    assert caught[0].filename == __file__
    assert pykiq.job("B", priority=5, active_job=True)(lambda: None).job_options["priority"] == 5


def test_a_push_writes_what_stands_in_extra() -> None:
    job = pykiq.remote("A", extra={"custom": 1, "other": 2}).set(extra={"custom": 3})
    with fake() as jobs:
        job.perform_async()
    assert {key: jobs.jobs[0].payload[key] for key in ("custom", "other")} == {"custom": 3, "other": 2}
    assert "extra" not in jobs.jobs[0].payload


@pytest.mark.parametrize("documented", [pykiq.job.__doc__, options.__doc__])
def test_every_option_is_in_what_help_shows(documented: str) -> None:
    for name in {*OPTIONS, "priority"}:
        assert re.search(rf"\b{name}\b", documented), name


def test_type_checkers_know_every_option() -> None:
    known = set(optiontypes.JobOptions.__annotations__)
    assert known >= OPTIONS
    assert known - OPTIONS == {"priority", "active_job", *Rules._fields}
