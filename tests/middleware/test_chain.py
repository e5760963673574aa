"""The order of a chain, and what it refuses to hold."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest

from pykiq.errors import ConfigError
from pykiq.middleware.chain import Chain, check_client, check_server


def a() -> None: ...
def b() -> None: ...
def c() -> None: ...
def d() -> None: ...


def test_the_first_one_added_is_the_outermost() -> None:
    assert list(Chain(a, b, c)) == [a, b, c]


def test_adding_returns_the_middleware_so_that_it_decorates() -> None:
    chain: Chain[Any] = Chain()

    @chain.add
    def decorated() -> str:
        return "still itself"

    assert decorated() == "still itself"
    assert list(chain) == [decorated]


def test_adding_one_again_moves_it_to_the_end_as_in_ruby() -> None:
    chain: Chain[Any] = Chain(a, b)
    chain.add(a)
    assert list(chain) == [b, a]


def test_prepending_one_again_moves_it_to_the_front() -> None:
    chain: Chain[Any] = Chain(a, b)
    chain.prepend(b)
    assert list(chain) == [b, a]


@pytest.mark.parametrize(
    ("verb", "existing", "new", "expected"),
    [
        ("insert_before", b, d, [a, d, b, c]),
        ("insert_after", b, d, [a, b, d, c]),
        ("insert_before", a, c, [c, a, b]),
        ("insert_after", a, c, [a, c, b]),
        ("insert_after", c, a, [b, c, a]),
    ],
)
def test_inserting_places_or_moves_next_to_the_existing_one(verb: str, existing: Any, new: Any, expected: Any) -> None:
    chain: Chain[Any] = Chain(a, b, c)
    getattr(chain, verb)(existing, new)
    assert list(chain) == expected


@pytest.mark.parametrize("verb", ["insert_before", "insert_after"])
def test_inserting_next_to_one_that_is_not_there_is_refused_and_changes_nothing(verb: str) -> None:
    chain: Chain[Any] = Chain(a)
    with pytest.raises(ConfigError, match=r"`c` is not in the chain, which holds a"):
        getattr(chain, verb)(c, d)
    assert list(chain) == [a]


def test_removing_and_clearing() -> None:
    chain: Chain[Any] = Chain(a, b)
    chain.remove(a)
    chain.remove(c)
    assert list(chain) == [b]
    assert chain.exists(b)
    assert not chain.exists(a)
    chain.clear()
    assert len(chain) == 0
    assert not chain


def test_a_run_that_is_under_way_keeps_the_entries_it_began_with() -> None:
    chain: Chain[Any] = Chain(a, b)
    under_way = iter(chain)
    chain.clear()
    assert list(under_way) == [a, b]


def test_adding_from_many_threads_at_once_loses_none() -> None:
    chain: Chain[Any] = Chain()
    entries = [functools.partial(a, number) for number in range(400)]
    start = threading.Barrier(4)

    def add(part: int) -> None:
        start.wait()
        for entry in entries[part::4]:
            chain.add(entry)

    threads = [threading.Thread(target=add, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(chain) == 400


def plain(job: Any) -> None: ...
async def coroutine(job: Any) -> None: ...
def generator(job: Any) -> Any:
    yield


async def async_generator(job: Any) -> Any:
    yield


class Generating:
    def __call__(self, job: Any) -> Any:
        yield


@functools.wraps(generator)
def wrapped(job: Any) -> Any:
    return generator(job)


@pytest.mark.parametrize("good", [generator, async_generator, Generating(), wrapped, functools.partial(generator)])
def test_server_middleware_may_be_anything_that_yields(good: Any) -> None:
    chain: Chain[Any] = Chain(check=check_server)
    chain.add(good)
    assert chain.exists(good)


@pytest.mark.parametrize(
    ("bad", "kind"), [(plain, "a plain function"), (coroutine, "an async function"), (Generating, "a class")]
)
def test_server_middleware_without_a_yield_is_refused_when_it_is_added(bad: Any, kind: str) -> None:
    chain: Chain[Any] = Chain(check=check_server)
    with pytest.raises(ConfigError, match=f"is {kind}; expected a generator function"):
        chain.add(bad)
    assert not chain


@pytest.mark.parametrize("bad", [generator, async_generator])
def test_client_middleware_that_yields_is_refused_when_it_is_added(bad: Any) -> None:
    chain: Chain[Any] = Chain(check=check_client)
    with pytest.raises(ConfigError, match=r"is a generator function; expected a function \(job, call_next\)"):
        chain.add(bad)


def test_what_cannot_be_called_is_refused() -> None:
    chain: Chain[Any] = Chain()
    with pytest.raises(ConfigError, match=r"'a name' is not callable"):
        chain.add("a name")  # type: ignore[type-var]


def test_middleware_that_cannot_take_what_it_is_given_is_refused_when_it_is_added() -> None:
    client: Chain[Any] = Chain(check=check_client)
    with pytest.raises(ConfigError, match=r"must take \(job, call_next\): too many positional arguments"):
        client.add(lambda job: job)

    def timing() -> Any:
        yield

    server: Chain[Any] = Chain(check=check_server)
    with pytest.raises(ConfigError, match=r"`.*timing` must take \(job\)"):
        server.add(timing)
