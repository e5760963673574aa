"""The order of queues: what Ruby draws by shuffling a list, the script and Python draw by weight."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise, permutations

import pytest
import redis as redis_py

from pykiq.config import Capsule
from pykiq.store.claim import claim_call, firsts_served, read_claim
from pykiq.store.order import Order
from pykiq.store.roundtrip import packed
from pykiq.store.scripts import Call, run, send
from tests import captures
from tests.store.jobs import NOW, RNG, berth, push, raw

Queues = tuple[str, ...]
STRICT = Capsule(queues=(("a", 0), ("b", 0), ("c", 0)))
WEIGHTED = Capsule(queues=(("a", 3), ("b", 2), ("c", 1)))
RANDOM = Capsule(queues=(("a", 1), ("b", 1), ("c", 1)))
REPEATED = Capsule(queues=(("c", 0), ("a", 2), ("b", 2), ("a", 3)))  # `a` weighs 5
SHUFFLED = [WEIGHTED, RANDOM, REPEATED]
UNLIKELY = {1: 15.1, 2: 18.4, 5: 25.7, 8: 31.8}
"""By degrees of freedom: what chi-squared exceeds once in ten thousand times."""


def recorded_orders(version: str, name: str) -> list[Queues]:
    """The key order of every BRPOP that Ruby sent."""
    fetches = [command for command in captures.read(version, name).commands if command.verb == "brpop"]
    return [tuple(key.decode().removeprefix("queue:") for key in fetch.words[:-1]) for fetch in fetches]


@cache
def shuffled(tickets: Queues) -> Mapping[Queues, float]:
    """How likely each order is: every arrangement of the tickets, and each name where it comes first."""
    orders = Counter(tuple(dict.fromkeys(arranged)) for arranged in permutations(tickets))
    return {order: count / orders.total() for order, count in orders.items()}


def assert_as_likely(drawn: Iterable[object], expected: Mapping[object, float]) -> None:
    """Pearson's test of what was drawn. The seeds are fixed: it passes always or never."""
    found = Counter(drawn)
    assert set(found) <= set(expected)
    total = found.total()
    chi_squared = sum((found[one] - share * total) ** 2 / (share * total) for one, share in expected.items())
    assert chi_squared < UNLIKELY[len(expected) - 1]


def drawn_orders(redis: redis_py.Redis, capsule: Capsule, count: int, *, empty: Sequence[str] = ()) -> list[Queues]:
    """The orders that the script draws: one claim takes all of queues with one job each, but for the empty ones."""
    full = [name for name in capsule.names if name not in empty]
    pushes = [("LPUSH", f"queue:{name}", raw()) for name in full]
    rng = random.Random(11)
    order = Order.of(capsule)
    drawn = []
    run(redis, claim_call(berth(*capsule.names), order, 1, rng))  # the script is loaded: pushes and claims in turns now
    for _ in range(count // 500):
        claims = [claim_call(berth(*capsule.names), order, len(full), rng) for _ in range(500)]
        calls = [Call(claim.script, claim.keys, claim.args, pushes) for claim in claims]
        answers = [answer[len(pushes) :] for answer in send(redis, calls)]
        drawn += [
            tuple(one.queue for one in read_claim(claim, answer, NOW))
            for claim, answer in zip(claims, answers, strict=True)
        ]
    return drawn


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_strict_is_the_one_order_that_ruby_fetches_in(redis: redis_py.Redis, version: str) -> None:
    assert set(recorded_orders(version, "fetch_strict")) == {("a", "b", "c")} == {Order.of(STRICT).queues}
    assert set(drawn_orders(redis, STRICT, 500)) == {("a", "b", "c")}


@pytest.mark.parametrize("version", captures.VERSIONS)
@pytest.mark.parametrize(("name", "capsule"), [("fetch_weighted", WEIGHTED), ("fetch_random", RANDOM)])
def test_shuffled_orders_are_those_that_ruby_draws(
    redis: redis_py.Redis, version: str, name: str, capsule: Capsule
) -> None:
    ours = set(drawn_orders(redis, capsule, 2000))
    assert len(ours) == 6
    assert set(recorded_orders(version, name)) <= ours
    assert len(set(recorded_orders(version, name))) > 1


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_an_unweighted_queue_among_weighted_ones_counts_once(redis: redis_py.Redis, version: str) -> None:
    recorded = recorded_orders(version, "fetch_mixed_weight")
    server = captures.read(version, "fetch_mixed_weight").data["server"]
    queues = [word.partition(",") for word in server.split() if "," in word or word in {"a", "b", "c"}]
    capsule = Capsule(queues=tuple((name, int(weight or 0)) for name, _, weight in queues))
    assert capsule.mode == "weighted"
    assert set(recorded) <= set(drawn_orders(redis, capsule, 2000))


@pytest.mark.parametrize("capsule", SHUFFLED)
def test_each_order_is_as_likely_as_when_a_list_of_tickets_is_shuffled(redis: redis_py.Redis, capsule: Capsule) -> None:
    assert_as_likely(drawn_orders(redis, capsule, 6000), shuffled(capsule.tickets))


@pytest.mark.parametrize("capsule", SHUFFLED)
@pytest.mark.parametrize("empty", ["a", "b", "c"])
def test_empty_queues_leave_the_others_the_order_that_a_shuffled_list_gives_them(
    redis: redis_py.Redis, capsule: Capsule, empty: str
) -> None:
    expected: Counter[Queues] = Counter()
    for order, share in shuffled(capsule.tickets).items():
        expected[tuple(name for name in order if name != empty)] += share  # type: ignore[assignment]
    assert_as_likely(drawn_orders(redis, capsule, 3000, empty=[empty]), expected)


@pytest.mark.parametrize("capsule", SHUFFLED)
def test_of_many_jobs_in_one_claim_each_has_a_draw_of_its_own(redis: redis_py.Redis, capsule: Capsule) -> None:
    for name in capsule.names:
        push(redis, name, *map(raw, range(5000)))
    claim = claim_call(berth(*capsule.names), Order.of(capsule), 5000, random.Random(3))
    queues = [one.queue for one in read_claim(claim, run(redis, claim), NOW)]
    weights = Counter(capsule.tickets)
    shares = {name: weight / weights.total() for name, weight in weights.items()}
    assert_as_likely(queues, shares)
    assert_as_likely(pairwise(queues), {(one, two): shares[one] * shares[two] for one in shares for two in shares})


@pytest.mark.parametrize("capsule", SHUFFLED)
def test_what_a_transaction_tries_first_is_as_likely_as_the_first_of_a_shuffled_list(capsule: Capsule) -> None:
    expected: Counter[str] = Counter()
    for order, share in shuffled(capsule.tickets).items():
        expected[order[0]] += share  # type: ignore[assignment]
    assert_as_likely(Order.of(capsule).firsts(6000, random.Random(2)), expected)


def test_in_strict_order_every_fetch_tries_the_first_queue() -> None:
    assert Order.of(STRICT).firsts(3, RNG) == ["a", "a", "a"]


def test_a_queue_given_twice_weighs_both_and_the_heaviest_is_tried_first() -> None:
    assert Order.of(REPEATED) == Order(("a", "b", "c"), (5, 2, 1))


def test_without_some_queues_the_others_keep_their_weights() -> None:
    order = Order.of(WEIGHTED)
    assert order.without({"b"}) == Order(("a", "c"), (3, 1))
    assert order.without({"a", "b"}) == Order(("c",)), "nothing is drawn of one"
    assert order.without({"a", "b", "c"}) == Order(())
    assert Order.of(STRICT).without({"b"}) == Order(("a", "c"))


def test_a_claim_of_a_thousand_jobs_draws_and_sends_no_more_than_one_of_a_single_job() -> None:
    class Counted(random.Random):
        drawn = 0

        def getrandbits(self, bits: int, /) -> int:
            self.drawn += 1
            return super().getrandbits(bits)

    capsule = Capsule(queues=tuple((f"q{weight}", weight) for weight in range(1, 21)))
    rng = Counted(1)
    one, many = (claim_call(berth(), Order.of(capsule), room, rng) for room in (1, 1000))
    assert rng.drawn == 2
    assert len(many.args) == len(one.args)
    assert len(packed([many.args])) < len(packed([one.args])) + 20


def test_what_of_its_weight_is_not_empty_tells_how_many_fetches_find_a_job_at_first(redis: redis_py.Redis) -> None:
    order = Order.of(WEIGHTED)
    push(redis, "a", *map(raw, range(1000)))
    for full, served in (((), 3 / 6), (("b",), 5 / 6), (("b", "c"), 1.0)):
        for name in full:
            push(redis, name, *map(raw, range(1000)))
        call = claim_call(berth("a", "b", "c"), order, 100, random.Random(7))
        answer = run(redis, call)
        assert firsts_served(order, 100, call, answer, read_claim(call, answer, NOW)) == pytest.approx(served)
