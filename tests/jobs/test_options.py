"""Which option takes which value, at declaration and in `set`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import pykiq
from pykiq.errors import PayloadError, RegistrationError
from pykiq.jobs.options import OF_ONE_JOB, checked


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"retry": 0, "dead": False, "backtrace": 5}, {"retry": 0, "dead": False, "backtrace": 5}),
        ({"tags": ("a", "b")}, {"tags": ["a", "b"]}),
        ({"retry_for": 7200.9}, {"retry_for": 7200}),
        ({"retry_for": timedelta(hours=2)}, {"retry_for": 7200}),
        ({"timeout": timedelta(minutes=1), "expires_in": 1.5}, {"timeout": 60, "expires_in": 1.5}),
        ({"unique_for": timedelta(days=1), "unique_until": "start"}, {"unique_for": 86400, "unique_until": "start"}),
        ({"custom": {"nested": [1, None]}}, {"custom": {"nested": [1, None]}}),
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
    ({"expires_in": "1h"}, r"`expires_in` is '1h' \(str\); expected seconds"),
    ({"sync": True}, "`sync` is not an option here; call perform_inline"),
    ({"custom": {1, 2}}, "option `custom` is a set"),
    ({"custom": {"deep": [float("nan")]}}, r'option `custom\["deep"\]\[0\]` is nan'),
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


@pytest.mark.parametrize(
    ("given", "meant"),
    [("quue", "queue"), ("que", "queue"), ("tag", "tags"), ("retries", "retry"), ("max_retries", "retry")],
)
def test_an_option_that_looks_like_another_is_kept_with_a_warning_where_it_was_written(given: str, meant: str) -> None:
    warned = f"the option `{given}` is kept on the payload and means nothing to pykiq; did you mean `{meant}`"
    with pytest.warns(UserWarning, match=warned) as caught:
        job = pykiq.remote("A", **{given: 1})
    assert caught[0].filename == __file__
    assert job.job_options[given] == 1
    with pytest.warns(UserWarning, match=warned) as caught:
        job.set(**{given: 2})
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", ["lock", "lock_timeout", "unique_until", "on_conflict", "expiration", "pool"])
def test_options_of_ruby_gems_are_kept_without_a_word(name: str) -> None:
    assert checked({name: 1}, "A") == {name: 1}
