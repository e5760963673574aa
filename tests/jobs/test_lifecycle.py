"""Hooks are called in order, and nothing one of them does stops the others."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pykiq.errors import ConfigError
from pykiq.jobs.lifecycle import EVENTS, Lifecycle
from tests.logs import capture_logs


@pytest.fixture
def hooks() -> Lifecycle:
    return Lifecycle()


@pytest.mark.parametrize("event", EVENTS)
def test_hooks_are_called_at_their_event_and_no_other(hooks: Lifecycle, event: str) -> None:
    called: list[str] = []
    for name in ("first", "second"):
        hooks.on(event)(lambda name=name: called.append(name))
    for other in EVENTS:
        if other != event:
            hooks.fire(other)
    assert called == []
    hooks.fire(event)
    in_reverse = event in ("quiet", "shutdown", "exit")
    assert called == (["second", "first"] if in_reverse else ["first", "second"])


def test_an_unknown_event_is_refused_with_the_nearest_one(hooks: Lifecycle) -> None:
    with pytest.raises(ConfigError, match="'shutdwon' is not an event; did you mean `shutdown`"):
        hooks.on("shutdwon")
    with pytest.raises(ConfigError, match="expected one of startup, quiet"):
        hooks.on("x")


def test_the_decorators_return_the_function(hooks: Lifecycle) -> None:
    def hook(*args: Any) -> str:
        return "itself"

    assert hooks.on("beat")(hook) is hook
    assert hooks.death_handler(hook) is hook
    assert hooks.error_handler(hook) is hook


def test_a_hook_that_raises_is_logged_told_to_the_error_handlers_and_passed_over(hooks: Lifecycle) -> None:
    called: list[Any] = []
    boom = ValueError("boom")

    @hooks.on("startup")
    def failing() -> None:
        raise boom

    hooks.on("startup")(lambda: called.append("the next one"))
    hooks.error_handler(lambda error, context: called.append((error, context["context"])))

    with capture_logs() as lines:
        hooks.fire("startup")

    assert called == [(boom, "startup hook"), "the next one"]
    assert [(line["event"], line["context"], line["log_level"]) for line in lines] == [
        ("hook_failed", "startup hook", "error")
    ]
    assert lines[0]["hook"].endswith("failing")


def test_death_handlers_get_job_and_error_whatever_the_others_do(hooks: Lifecycle) -> None:
    called: list[Any] = []

    @hooks.death_handler
    def failing(job: Any, error: BaseException) -> None:
        raise ValueError

    hooks.death_handler(lambda job, error: called.append((job, error)))
    died = KeyError("x")
    with capture_logs() as lines:
        hooks.fire_death({"jid": "a"}, died)
    assert called == [({"jid": "a"}, died)]
    assert [line["context"] for line in lines] == ["death handler"]


def test_an_error_handler_that_raises_is_only_logged_and_never_told_to_itself(hooks: Lifecycle) -> None:
    told: list[Any] = []

    @hooks.error_handler
    def failing(error: BaseException, context: Any) -> None:
        told.append(error)
        raise ValueError

    hooks.error_handler(lambda error, context: told.append(context))
    first = KeyError("x")
    with capture_logs() as lines:
        hooks.fire_error(first, {"context": "job"})
    assert told == [first, {"context": "job"}]
    assert [line["context"] for line in lines] == ["error handler"]


def test_an_async_hook_runs_on_the_workers_loop_or_on_one_of_its_own(hooks: Lifecycle) -> None:
    where: list[Any] = []

    @hooks.on("startup")
    async def hook() -> None:
        where.append(asyncio.get_running_loop())

    hooks.fire("startup")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    hooks.fire("startup", loop=loop)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert len(where) == 2
    assert where[0] is not loop
    assert where[1] is loop


def test_clear_forgets_all_of_them(hooks: Lifecycle) -> None:
    called: list[Any] = []
    hooks.on("beat")(lambda: called.append(1))
    hooks.death_handler(lambda job, error: called.append(2))
    hooks.error_handler(lambda error, context: called.append(3))
    hooks.clear()
    hooks.fire("beat")
    hooks.fire_death({}, ValueError())
    hooks.fire_error(ValueError(), {})
    assert called == []


@pytest.mark.parametrize("verb", ["death_handler", "error_handler", "startup"])
def test_what_cannot_be_called_is_no_hook(hooks: Lifecycle, verb: str) -> None:
    declare: Any = hooks.on("startup") if verb == "startup" else getattr(hooks, verb)
    with pytest.raises(ConfigError, match="was given 5; expected a function"):
        declare(5)
