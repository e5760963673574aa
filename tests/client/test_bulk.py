"""Bulk pushes: lazily, in slices, one moment per job."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.client.bulk import Slice, slices
from pykiq.errors import ArgumentsError, PayloadError
from pykiq.middleware.chain import Chain
from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect
from pykiq.wire.payload import parse


def built(item: dict[str, Any], dialect: Dialect = SEVEN, **more: Any) -> Iterator[Slice]:
    numbers = itertools.count()
    more = {"clock": lambda: 1000.0, "chain": Chain(), "rng": random.Random(1), **more}
    return slices(
        {"class": "A", **item},
        dialect=dialect,
        jids=lambda count: [*map(str, itertools.islice(numbers, count))],
        **more,
    )


def jobs(part: Slice) -> list[tuple[float | None, dict[str, Any]]]:
    pairs = (entry if isinstance(entry, tuple) else (None, entry) for batch in part.batches for entry in batch.entries)
    return [(at, parse(raw)) for at, raw in pairs]


def counted(count: int, taken: list[int]) -> Iterable[list[int]]:
    for number in range(count):
        taken.append(number)
        yield [number]


@pytest.mark.parametrize("dialect", [SIX, SEVEN, EIGHT])
def test_slices_have_a_thousand_jobs(dialect: Dialect) -> None:
    sizes = [len(part.jids) for part in built({"args": [[]] * 2500}, dialect)]
    assert sizes == [1000, 1000, 500]


@pytest.mark.parametrize(("dialect", "size"), [(SIX, 1000), (SEVEN, 1000), (EIGHT, 100)])
def test_scheduled_slices_of_sidekiq_8_have_a_hundred(dialect: Dialect, size: int) -> None:
    for when in ({"at": 2e9}, {"spread_interval": 60}):
        assert len(next(built({"args": [[]] * 2500, **when}, dialect)).jids) == size


def test_a_generator_is_read_only_as_far_as_the_slice_needs() -> None:
    taken: list[int] = []
    parts = built({"args": counted(10, taken)}, batch_size=3)
    next(parts)
    assert taken == [0, 1, 2]
    next(parts)
    assert taken == [0, 1, 2, 3, 4, 5]


def test_all_jobs_of_a_bulk_share_created_at_and_each_has_a_jid_of_its_own() -> None:
    clock = itertools.count(1000.0)
    found = [
        job
        for part in built({"args": [[n] for n in range(5)]}, batch_size=2, clock=lambda: next(clock))
        for _, job in jobs(part)
    ]
    assert {job["created_at"] for job in found} == {1000.0}
    assert [job["enqueued_at"] for job in found] == [1001.0, 1001.0, 1002.0, 1002.0, 1003.0]
    assert [job["jid"] for job in found] == ["0", "1", "2", "3", "4"]


def test_nothing_comes_of_no_arguments() -> None:
    assert list(built({"args": []})) == []
    assert list(built({"args": iter([])})) == []


def test_jids_line_up_with_the_arguments_where_middleware_stops_some() -> None:
    odd: Chain[Any] = Chain(lambda job, call_next: call_next(job) if job["args"][0] % 2 else None)
    (part,) = built({"args": [[n] for n in range(4)]}, chain=odd)
    assert part.jids == [None, "1", None, "3"]


@pytest.mark.parametrize("as_iterator", [False, True])
def test_at_may_be_one_moment_per_job_and_none_for_now(as_iterator: bool) -> None:
    at: Any = [2e9, None, datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)]
    (part,) = built({"args": [[0], [1], [2]], "at": iter(at) if as_iterator else at})
    assert sorted((job["args"][0], moment) for moment, job in jobs(part)) == [(0, 2e9), (1, None), (2, 2e9)]


def test_at_of_another_length_is_refused_before_anything_is_built() -> None:
    for at in ([1.0], [1.0, 2.0, 3.0]):
        with pytest.raises(PayloadError, match=f"`at` has {len(at)} entries for 2 jobs"):
            next(built({"args": [[1], [2]], "at": at}))


@pytest.mark.parametrize(
    ("args", "at", "message"),
    [
        ([[1], [2]], [1.0], "`at` ended after 1 entries, but there are more jobs"),
        ([[1], [2]], [1.0, 2.0, 3.0], "`at` has more entries than the 2 jobs"),
    ],
)
def test_iterators_of_different_length_are_refused(args: list[Any], at: list[float], message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        list(built({"args": iter(args), "at": iter(at)}))


def test_spread_interval_draws_uniformly_and_at_least_over_five_seconds() -> None:
    for interval, width in ((60, 60), (1, 5)):
        moments = [
            at for part in built({"args": [[]] * 500, "spread_interval": interval}) for at, _ in jobs(part) if at
        ]
        assert len(moments) == 500
        assert 1000 <= min(moments) < 1000 + width * 0.1
        assert 1000 + width * 0.9 < max(moments) <= 1000 + width


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({}, "`args` is None; expected one list of arguments per job"),
        ({"args": "text"}, "`args` is 'text'; expected one list"),
        ({"args": {"a": 1}}, "expected one list of arguments per job"),
        ({"args": [[1], 2]}, r"`args\[1\]` is 2; expected a list"),
        ({"args": iter([[1], "ab"])}, r"`args\[1\]` is 'ab'; expected a list"),
        ({"args": [[1]], "spread_interval": 0}, "`spread_interval` is 0; expected a positive number"),
        ({"args": [[1]], "spread_interval": 5, "at": 5}, "both `at` and `spread_interval`"),
        ({"args": [[1]], "at": "soon"}, "`at` is 'soon'"),
        ({"args": [[1]], "at": ["soon"]}, r"`at\[0\]` is 'soon'"),
        ({"args": [[1], [2]], "jid": "abc"}, "`jid` was given for a bulk of more than one"),
        ({"args": [[1]], "class": "x"}, "not a Ruby constant"),
    ],
)
def test_what_makes_no_bulk_is_refused(item: dict[str, Any], message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        list(built(item))


def test_a_bad_job_is_named_by_its_number_and_its_path() -> None:
    args = ([n] if n != 1503 else [{"when": object()}] for n in range(5000))
    parts = built({"args": args})
    next(parts)
    with pytest.raises(
        ArgumentsError, match=r'job 1503 of the bulk \(counted from 0\): `args\[0\]\["when"\]` is an object'
    ):
        next(parts)


@pytest.mark.parametrize("size", [0, -1, True, 2.5])
def test_a_batch_size_must_be_a_positive_number(size: Any) -> None:
    with pytest.raises(PayloadError, match="`batch_size` is"):
        next(built({"args": [[1]]}, batch_size=size))


@given(
    extra=st.dictionaries(st.text("abcdef_", min_size=1, max_size=6), st.integers() | st.text('é"'), max_size=4),
    args=st.one_of(
        st.lists(
            st.lists(st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text('aé],["')), min_size=1
        ),
        st.lists(st.lists(st.integers() | st.floats(-9e99, 9e99) | st.lists(st.text("aé"))), min_size=1),
    ),
    before=st.booleans(),
    scheduled=st.booleans(),
    dialect=st.sampled_from([SIX, SEVEN, EIGHT]),
)
def test_jobs_that_no_middleware_looks_at_have_the_same_bytes_as_those_it_leaves_alone(
    extra: dict[str, Any], args: list[Any], before: bool, scheduled: bool, dialect: Dialect
) -> None:
    item: dict[str, Any] = {**extra, "args": args} if before else {"args": args, **extra}
    item |= {"at": [None if index % 3 == 0 else 2e9 + index for index in range(len(args))]} if scheduled else {}
    item |= {"enqueued_at": 5.5} if len(extra) > 1 else {}
    if len(args) == 1 and before:
        item = {"jid": "ignored", **item}
    untouched: Chain[Any] = Chain(lambda job, call_next: call_next(job))
    assert list(built(item, dialect)) == list(built(item, dialect, chain=untouched))
