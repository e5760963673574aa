"""The builder: whatever JSON can hold survives it, and every job ends in exactly one batch."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pykiq
from pykiq.client.build import Declared, normalize, plan
from pykiq.errors import ArgumentsError, PayloadError
from pykiq.middleware.chain import Chain
from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect
from pykiq.wire.payload import parse

NOW = 1_795_315_352.25
DIALECTS = [SIX, SEVEN, EIGHT]
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
KNOWN = {"class", "args", "queue", "retry", "jid", "created_at", "enqueued_at", "at", "tags", "retry_for", "wrapped"}


def one(item: dict[str, Any], dialect: Dialect = SEVEN, **more: Any) -> dict[str, Any] | None:
    return normalize(item, now=NOW, dialect=dialect, jid=lambda: "j" * 24, **more)


def stored(item: dict[str, Any], dialect: Dialect = SEVEN) -> dict[str, Any]:
    job = one(item, dialect)
    assert job is not None
    (batch,) = plan([job], now=NOW, dialect=dialect)
    (raw,) = batch.entries
    assert isinstance(raw, bytes)
    return parse(raw)


@given(st.lists(JSON, max_size=4), st.sampled_from(DIALECTS))
def test_any_json_arguments_come_back_as_they_were(args: list[Any], dialect: Dialect) -> None:
    read = stored({"class": "A", "args": args}, dialect)["args"]
    assert read == args
    assert json.dumps(read) == json.dumps(args)  # == takes 1 for 1.0 and True


@given(st.dictionaries(st.text(min_size=1).filter(lambda key: key.isascii() and key not in KNOWN), JSON, max_size=5))
def test_keys_that_pykiq_does_not_know_survive_in_their_order(extra: dict[str, Any]) -> None:
    read = stored({"class": "A", "args": [], **extra})
    assert {key: read[key] for key in extra} == extra
    assert [key for key in read if key in extra] == list(extra)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.none() | st.floats(0, 4e9) | st.integers(0, 4_000_000_000)),
        max_size=30,
    ),
    st.sampled_from(DIALECTS),
)
def test_every_job_is_planned_once_in_its_own_queue_or_at_its_own_moment(
    wanted: list[tuple[str, float | None]], dialect: Dialect
) -> None:
    jobs = [
        {"class": "A", "queue": queue, "args": [number], **({} if at is None else {"at": at})}
        for number, (queue, at) in enumerate(wanted)
    ]
    found: dict[int, tuple[str, float | None]] = {}
    batches = plan(jobs, now=NOW, dialect=dialect)
    for batch in batches:
        for entry in batch.entries:
            at, raw = entry if isinstance(entry, tuple) else (None, entry)
            job = parse(raw)
            assert "at" not in job
            assert ("enqueued_at" in job) is (at is None)
            assert batch.scheduled or job["queue"] == batch.queue
            found[job["args"][0]] = (job["queue"], at)
    assert [found[number] for number in range(len(wanted))] == wanted
    assert len(batches) == len({queue for queue, at in wanted if at is None}) + any(at is not None for _, at in wanted)


@pytest.mark.parametrize(
    ("dialect", "stamp"), [(SIX, 1_795_315_352.25), (SEVEN, 1_795_315_352.25), (EIGHT, 1_795_315_352_250)]
)
def test_times_are_in_the_unit_of_the_dialect(dialect: Dialect, stamp: float) -> None:
    read = stored({"class": "A", "args": []}, dialect)
    assert [read["created_at"], read["enqueued_at"]] == [stamp, stamp]
    assert type(read["created_at"]) is type(stamp)


def test_a_jid_and_a_created_at_of_the_caller_are_kept() -> None:
    read = stored({"class": "A", "args": [], "jid": "mine", "created_at": 1.5}, EIGHT)
    assert (read["jid"], read["created_at"]) == ("mine", 1.5)


@pytest.mark.parametrize("missing", [{"jid": None}, {"jid": ""}, {"created_at": None}])
def test_what_is_null_counts_as_missing(missing: dict[str, Any]) -> None:
    read = stored({"class": "A", "args": [], **missing})
    assert (read["jid"], read["created_at"]) == ("j" * 24, NOW)


def test_the_callers_own_item_is_left_alone() -> None:
    item = {"class": "A", "args": [1], "at": 5}
    job = one(item)
    assert job is not None
    plan([job], now=NOW, dialect=SEVEN)
    assert item == {"class": "A", "args": [1], "at": 5}


def test_options_of_a_declared_class_lie_below_the_items_own_and_those_of_wrapped_in_between() -> None:
    outer: Declared = pykiq.remote("Wrapper", queue="outer", retry=1, backtrace=True)
    inner = pykiq.remote("Inner", queue="inner", tags=["x"])
    job = one({"class": outer, "wrapped": inner, "args": [], "retry": 9})
    assert job is not None
    assert [job[key] for key in ("class", "wrapped", "queue", "retry", "backtrace", "tags")] == [
        "Wrapper", "Inner", "inner", 9, True, ["x"],
    ]  # fmt: skip


def test_a_class_given_by_name_gets_only_the_defaults_which_may_be_others() -> None:
    assert stored({"class": "A", "args": []})["queue"] == "default"
    job = one({"class": "A", "args": []}, defaults={"retry": 3, "queue": "low"})
    assert job is not None
    assert (job["retry"], job["queue"]) == (3, "low")


@pytest.mark.parametrize("name", ["send_mail", "", "a.b", 5, None, ["A"]])
def test_a_class_that_is_no_constant_is_refused_at_push(name: Any) -> None:
    with pytest.raises(PayloadError, match=r"not a Ruby constant|the class of a job is"):
        one({"class": name, "args": []})


def test_arguments_are_checked_after_middleware_which_may_make_them_json() -> None:
    def encode(job: dict[str, Any], call_next: Any) -> Any:
        job["args"] = [str(value) for value in job["args"]]
        return call_next(job)

    def spoil(job: dict[str, Any], call_next: Any) -> Any:
        job["args"] = [object()]
        return call_next(job)

    job = one({"class": "A", "args": [object]}, chain=Chain(encode))
    assert job is not None
    assert job["args"] == ["<class 'object'>"]
    with pytest.raises(ArgumentsError):
        one({"class": "A", "args": []}, chain=Chain(spoil))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"queue": ""}, "`queue` is ''"),
        ({"queue": None}, "`queue` is None"),
        ({"queue": "caf\udce9"}, r"`queue` is 'caf\\udce9'; expected the name of a queue, in UTF-8"),
        ({"class": "x.y"}, "not a Ruby constant"),
        ({"at": "soon"}, "`at` is 'soon'"),
        ({"tags": "x"}, "`tags` is 'x'"),
    ],
)
def test_what_middleware_spoils_is_refused(changed: dict[str, Any], message: str) -> None:
    chain: Chain[Any] = Chain(lambda job, call_next: call_next({**job, **changed}))
    with pytest.raises(PayloadError, match=message):
        one({"class": "A", "args": []}, chain=chain)


def test_an_at_that_middleware_empties_means_now_and_is_not_stored() -> None:
    chain: Chain[Any] = Chain(lambda job, call_next: call_next({**job, "at": None}))
    job = one({"class": "A", "args": [], "at": 5}, chain=chain)
    assert job is not None
    (batch,) = plan([job], now=NOW, dialect=SEVEN)
    assert not batch.scheduled
    assert b'"at"' not in str(batch.entries).encode()


def test_the_order_of_queues_is_that_of_their_first_jobs() -> None:
    jobs = [{"class": "A", "args": [], "queue": queue} for queue in "bababc"]
    assert [batch.queue for batch in plan(jobs, now=NOW, dialect=SEVEN)] == ["b", "a", "c"]


def test_jids_are_asked_for_once_per_job() -> None:
    numbers = itertools.count()
    for expected in ("0", "1"):
        job = normalize({"class": "A", "args": []}, now=NOW, dialect=SEVEN, jid=lambda: str(next(numbers)))
        assert job is not None
        assert job["jid"] == expected


@pytest.mark.parametrize("args", [(1, 2), [1, 2]])
def test_middleware_sees_a_list_of_arguments_that_it_may_change(args: Any) -> None:
    def append(job: dict[str, Any], call_next: Any) -> Any:
        assert job["args"] == [1, 2]
        job["args"].append(3)
        return call_next(job)

    job = one({"class": "A", "args": args}, chain=Chain(append))
    assert job is not None
    assert job["args"] == [1, 2, 3]
    assert len(args) == 2
