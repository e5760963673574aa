"""What becomes of an error: Rails and Python with the same declarations in the same order, side by side."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import pytest

from pykiq.activejob import ActiveJob, DiscardOn, RescueFrom, RetryOn
from pykiq.errors import Discard
from pykiq.jobs.ajrules import Rescue, Rules, taken
from pykiq.jobs.handler import for_function
from pykiq.jobs.registry import Registry
from pykiq.records import Assigned, Later, Word
from pykiq.wire.activejob import WRAPPER
from tests.interop.conftest import Fleet
from tests.worker.stage import claimed, executor

pytestmark = pytest.mark.interop

Told = list[list[Any]]


class Base(Exception): ...


class Child(Base): ...


class Other(Exception): ...


class Stranger(Exception): ...


ERRORS: dict[str, type[Exception]] = {one.__name__: one for one in (Base, Child, Other, Stranger)}

DECLARED: list[dict[str, Any]] = [
    {"kind": "retry_on", "errors": ["Base"], "attempts": 2, "wait": 100},
    {"kind": "retry_on", "errors": ["Child", "Other"], "attempts": 3, "wait": 200, "queue": "hi", "priority": 4},
    {"kind": "retry_on", "errors": ["Child", "Other"], "attempts": 2, "wait": 250, "block": True},
    {"kind": "retry_on", "errors": ["Child"], "attempts": 1, "wait": 300, "block": True},
    {"kind": "retry_on", "errors": ["Other"], "attempts": 1, "wait": 300},
    {"kind": "discard_on", "errors": ["Base"], "block": True},
    {"kind": "discard_on", "errors": ["Other", "Child"]},
    {"kind": "rescue_from", "errors": ["Base"], "does": "nothing"},
    {"kind": "rescue_from", "errors": ["Other"], "does": "raise"},
    {"kind": "rescue_from", "errors": ["Child"], "does": "retry", "wait": 400, "queue": "slow"},
]  # fmt: skip
for number, one in enumerate(DECLARED):
    one["name"] = f"{one['kind']} {number}"

CHAINS = (
    *(["Base"], ["Child"], ["Other"], ["Stranger"]),
    *(["Stranger", "Child"], ["Other", "Base"], ["Base", "Child"], ["Stranger", "Stranger", "Other"]),
)
FRESH: dict[str, Any] = {"executions": 0, "exception_executions": {}}
TRIED = {"executions": 2, "exception_executions": {"[Err::Base]": 1, "[Err::Child, Err::Other]": 2}}
OLD = {"executions": 1, "exception_executions": None}  # enqueued by a Rails before 6.0

HOOKS = ["around outer", "around inner", "before", "after first", "after second"]


def rescue(told: Told, one: Mapping[str, Any]) -> Rescue:
    def tell(job: ActiveJob, error: BaseException) -> None:
        told.append([one["name"], spelled(error)])

    def handle(job: ActiveJob, error: BaseException) -> None:
        tell(job, error)
        if one["does"] == "retry":
            job.retry(wait=one["wait"], queue=one["queue"])
        if one["does"] == "raise":
            raise Stranger

    errors = [ERRORS[name] for name in one["errors"]]
    hook = tell if one.get("block") else None
    if one["kind"] == "discard_on":
        return DiscardOn(*errors, hook=hook)
    if one["kind"] == "rescue_from":
        return RescueFrom(*errors, handler=handle)
    names = [f"Err::{name}" for name in one["errors"]]
    given: dict[str, Any] = {key: one.get(key) for key in ("wait", "attempts", "queue", "priority")}
    return RetryOn(*errors, **given, jitter=0, exhausted=hook, counted_as=names)


def callback(told: Told, kind: str, does: str) -> Callable[..., Any]:
    def act(job: ActiveJob) -> None:
        told.append([kind])
        if does == "halts":
            raise Discard("halted")
        if does == "raises":
            raise Base

    def around(job: ActiveJob) -> Generator[None, None, None]:
        act(job)
        if does == "swallows":
            return
        yield
        told.append([f"{kind} out"])

    return around if kind.startswith("around") else act


def spelled(error: BaseException) -> str:
    return f"Err::{type(error).__name__}"


def fail_with(chain: Sequence[str]) -> None:
    if chain:
        try:
            fail_with(chain[1:])
        except Exception as cause:
            raise ERRORS[chain[0]] from cause
        raise ERRORS[chain[0]]


def outcome_here(
    levels: Sequence[Sequence[Mapping[str, Any]]],
    chain: Sequence[str],
    prior: Mapping[str, Any],
    hooks: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """What `Rescues.outcome` of rescues.rb tells, told by Python."""
    told: Told = []
    rules: Rules | None = None
    options: dict[str, Any] = {f"{kind}_perform": [] for kind in ("before", "around", "after")}
    for kind, does in hooks:
        options[f"{kind.split()[0]}_perform"].append(callback(told, kind, does))
    options["after_discard"] = lambda job, error: told.append(["after_discard", spelled(error)])
    for level in levels:
        rules, _ = taken({"active_job": True, "rescue": [rescue(told, one) for one in level], **options}, "X", rules)
        options = {}

    def perform() -> None:
        told.append(["perform"])
        fail_with(chain)

    handlers = Registry()
    handlers.register(for_function(perform, "RescuedAj", {"retry": True, "queue": "low"}, active_job=rules))
    data = {"job_class": "RescuedAj", "job_id": "x", "queue_name": "low", "priority": None, "arguments": [], **prior}
    payload = {"class": WRAPPER, "wrapped": "RescuedAj", "queue": "low", "args": [data], "jid": "0" * 24, "retry": True}
    made = executor(handlers)
    assigned = made.assign(claimed(json.dumps(payload).encode()))
    assert isinstance(assigned, Assigned)
    ended = made.run(assigned)
    failed = ended.word is Word.FAILED
    if isinstance(ended.write, Later) and not failed:
        again = json.loads(ended.write.entry)["args"][0]
        values = [again[key] for key in ("queue_name", "priority", "executions", "exception_executions")]
        told.append(["again", round(ended.write.at - time.time()), *values])
    return {"told": told, "raised": f"Err::{str(ended.error_class).rsplit('.', 1)[-1]}" if failed else None}


Case = tuple[Sequence[Any], Sequence[str], Mapping[str, Any], Sequence[tuple[str, str]]]


def asked(fleet: Fleet, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """What Rails makes of each case."""
    fleet.ask('%w[active_jobs rescues].each { |file| require "#{path}/#{file}" }', path=fleet.home.path)
    told: list[dict[str, Any]] = fleet.ask("cases.map { |one| Rescues.outcome(*one) }", cases=cases)
    return told


def compare(fleet: Fleet, cases: Sequence[Case]) -> None:
    """Run every case in Rails and here."""
    for case, theirs in zip(cases, asked(fleet, cases), strict=True):
        here = outcome_here(*case)
        if fleet.major == 6:  # Rails 6.1 has no after_discard
            here["told"] = [line for line in here["told"] if line[0] != "after_discard"]
        theirs["told"].sort(key=lambda line: line[0] == "again")  # here it is written when the hooks have run
        assert here == theirs, case


def test_the_order_of_declarations_means_what_it_means_in_rails(fleet: Fleet) -> None:
    pairs = [list(pair) for pair in itertools.permutations(DECLARED, 2)]
    lists = [[], *([one] for one in DECLARED), *pairs]
    rng = random.Random(4)
    lists += [rng.sample(DECLARED, rng.choice((3, 4, 5))) for _ in range(150)]
    compare(fleet, [([one], chain, prior, ()) for one in lists for chain in CHAINS for prior in (FRESH, TRIED)])


def test_a_subclass_adds_its_declarations_to_those_above_it(fleet: Fleet) -> None:
    pairs = itertools.permutations(DECLARED, 2)
    compare(fleet, [([[one], [other]], chain, OLD, ()) for one, other in pairs for chain in CHAINS])


@pytest.mark.parametrize("mood", ["goes on", "raises", "swallows"])
@pytest.mark.parametrize("where", HOOKS)
def test_callbacks_run_in_the_order_of_rails(fleet: Fleet, where: str, mood: str) -> None:
    hooks = [(kind, mood if kind == where else "goes on") for kind in HOOKS]
    levels: list[list[dict[str, Any]]] = [[], [DECLARED[0]], [DECLARED[5]]]
    compare(fleet, [([level], chain, FRESH, hooks) for level in levels for chain in ([], ["Child"])])


def test_discard_in_a_before_is_throw_abort_but_goes_through_the_arounds_as_an_error_does(fleet: Fleet) -> None:
    case: Case = ([[DECLARED[5]]], [], FRESH, [(kind, "halts" if kind == "before" else "goes on") for kind in HOOKS])
    (theirs,) = asked(fleet, [case])
    here = outcome_here(*case)
    assert here == {"told": [["around outer"], ["around inner"], ["before"]], "raised": None}
    later = ["around inner out", "around outer out"]
    if fleet.major == 6:  # its default; new applications of 6.1 have set it otherwise
        later = ["after second", "after first", *later]
    assert theirs == {**here, "told": [*here["told"], *([line] for line in later)]}
