"""Server middleware by Ruby's rules: what the captures of real Sidekiq show is what happens here."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

from pykiq.jobs.context import JobContext
from pykiq.jobs.registry import Registry
from pykiq.records import Acknowledge, Assigned, Later, Outcome, Word
from pykiq.wire.payload import parse
from tests.captures import VERSIONS, Capture, read
from tests.worker.stage import claimed, executor, handler


def ran(capture: Capture, middleware: Any, work: Any) -> Outcome:
    """Run the job that Ruby pushed in the capture."""
    payload = next(command.words[1] for command in capture.commands if command.verb == "lpush")
    handlers = Registry()
    handlers.register(handler(parse(payload)["class"], work))
    running = executor(handlers, middleware)
    assigned = running.assign(claimed(payload))
    assert isinstance(assigned, Assigned)
    return running.run(assigned)


def events(capture: Capture, name: str) -> list[Any]:
    return [event[1:] for event in capture.data["events"] if event[0] == name]


@pytest.mark.parametrize("version", VERSIONS)
def test_middleware_sees_the_job_and_its_queue(version: str) -> None:
    capture = read(version, "server_middleware_args")
    seen: list[Any] = []

    def look(job: JobContext) -> Generator[None]:
        seen.append([job.name, dict(job.payload), job.queue])
        yield

    assert ran(capture, look, lambda *args: None).word is Word.DONE
    assert seen == events(capture, "server_mw")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_that_middleware_does_not_yield_for_is_done(version: str) -> None:
    capture = read(version, "server_middleware_no_yield")
    performed: list[Any] = []

    def stop(job: JobContext) -> Generator[None]:
        if performed:
            yield

    outcome = ran(capture, stop, lambda *args: performed.append(args))
    assert (outcome.word, type(outcome.write), performed) == (Word.DONE, Acknowledge, events(capture, "perform"))
    assert {"retry", "dead"}.isdisjoint(capture.data["redis"])


@pytest.mark.parametrize("version", VERSIONS)
def test_an_error_of_middleware_is_the_job_s(version: str) -> None:
    capture = read(version, "server_middleware_raises")

    def fail(job: JobContext) -> Generator[None]:
        raise RuntimeError("server mw")
        yield

    outcome = ran(capture, fail, lambda *args: None)
    assert isinstance(outcome.write, Later)
    mine, ruby = parse(outcome.write.entry), parse(capture.members("retry")[0])
    assert list(mine) == list(ruby)
    assert (mine["error_message"], mine["retry_count"]) == (ruby["error_message"], ruby["retry_count"])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_handler_gets_changed_arguments_and_the_retry_the_pushed_ones(version: str) -> None:
    capture = read(version, "server_middleware_mutation_not_in_retry")

    def spoil(job: JobContext) -> Generator[None]:
        job.payload["args"].append("extra")
        job.payload["extra"] = True
        yield

    def boom(*args: Any) -> None:
        raise ValueError(f"boom {json.dumps(args)}")

    outcome = ran(capture, spoil, boom)
    assert isinstance(outcome.write, Later)
    mine, ruby = parse(outcome.write.entry), parse(capture.members("retry")[0])
    assert (mine["args"], mine["error_message"]) == (ruby["args"], ruby["error_message"]) == ([1], 'boom [1, "extra"]')
    assert list(mine) == list(ruby)
