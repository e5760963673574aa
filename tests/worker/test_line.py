"""The line: it says once that Redis is away, waits longer each time, and says once that it is back."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py

from pykiq.store.claim import Look, claim_known_call
from pykiq.worker.line import FIRST_WAIT, LONGEST_WAIT, Line
from tests.logs import capture_logs
from tests.store.jobs import berth, claim_in_order, push, raw
from tests.worker.stage import Flaky


def away(_: Any) -> None:
    raise redis_py.ConnectionError("away")


def call(queue: str = "default") -> Any:
    return claim_in_order(berth(queue), 1)


def test_answers_come_back_in_order(redis: redis_py.Redis) -> None:
    push(redis, "default", raw(1), raw(2))
    line = Line(redis)
    assert line.send([call(), call(), call()]) == [[1, raw(1)], [1, raw(2)], []]
    assert line.answering


def test_a_lost_answer_is_none_and_a_refusal_is_an_error(redis: redis_py.Redis) -> None:
    flaky = Flaky(redis)
    line = Line(flaky)  # type: ignore[arg-type]
    flaky.lost = 1
    assert line.send([call()]) is None
    assert not line.answering
    redis.set("queue:default", "text")
    look = claim_known_call(berth("default"), "default", 1, Look(), ["Job"])
    answers = line.send([look, call("other")])
    assert answers is not None
    assert isinstance(answers[0], redis_py.ResponseError)
    assert answers[1] == []
    assert line.answering, "a refusal of one call is none of the line's"


def test_what_is_refused_to_everybody_is_a_failure_of_the_line(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(redis)
    error = redis_py.ResponseError("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to")
    with monkeypatch.context() as patch:
        patch.setattr("pykiq.worker.line.send", lambda client, calls: [error])
        assert line.send([call()]) == [error]
    assert not line.answering
    line.send([call()])
    assert line.answering


def test_each_failure_doubles_the_wait_up_to_a_limit(redis: redis_py.Redis) -> None:
    line = Line(redis)
    waits = [line.ask(away) or line.backoff for _ in range(8)]
    assert waits[:4] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT, 8 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT
    assert line.ask(lambda client: client.ping())
    line.look()
    line.ask(away)
    assert line.backoff == FIRST_WAIT


def test_an_outage_is_one_line_and_its_end_another(redis: redis_py.Redis) -> None:
    line = Line(redis)
    with capture_logs() as lines:
        for _ in range(40):
            line.ask(away)
        line.look()
        line.look()
    assert [one["event"] for one in lines] == ["redis_does_not_answer", "redis_answers_again"]
    assert lines[1]["failures"] == 40
