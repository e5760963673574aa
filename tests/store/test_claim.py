"""Claiming: which job comes next, and where it is afterwards."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from hashlib import sha1

import pytest
import redis as redis_py
from redis.exceptions import ResponseError

from pykiq.store.bounded import PORTION, whole
from pykiq.store.claim import (
    WINDOW,
    Berth,
    Look,
    Looked,
    claim_call,
    claim_firsts_call,
    read_claim,
    read_refused,
)
from pykiq.store.order import Order
from pykiq.store.scripts import run
from pykiq.wire import payload
from tests import captures
from tests.servers import Server
from tests.store.jobs import (
    ANEW,
    NOW,
    RNG,
    berth,
    claim,
    claim_firsts,
    claim_in_order,
    claim_known,
    in_flight,
    push,
    raw,
    raws,
    waiting,
)

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


def test_one_claim_takes_the_oldest_first_and_drains_queues_in_order(redis: redis_py.Redis) -> None:
    push(redis, "a", raw(1), raw(2))
    push(redis, "b", raw(3), raw(4))
    place = berth("a", "b")
    claimed = claim(redis, place, 3)
    assert [(one.queue, one.raw) for one in claimed] == [("a", raw(1)), ("a", raw(2)), ("b", raw(3))]
    assert in_flight(redis, place, "a") == [raw(1), raw(2)]
    assert in_flight(redis, place, "b") == [raw(3)]
    assert waiting(redis, "b") == [raw(4)]


def test_nothing_more_than_the_room_is_taken(redis: redis_py.Redis) -> None:
    push(redis, "default", *map(raw, range(10)))
    assert len(claim(redis, berth(), 4)) == 4
    assert redis.llen("queue:default") == 6


def test_an_empty_claim_renews_the_lease_and_lists_the_owner(redis: redis_py.Redis) -> None:
    place = berth("a", "b", ttl=12.0)
    assert claim(redis, place, 5) == []
    assert 11_000 < redis.pttl(place.lease) <= 12_000
    assert redis.hgetall("pykiq:owners") == {place.identity.encode(): b'["a", "b"]'}


def test_the_lease_is_renewed_by_the_claim_that_takes_a_job(redis: redis_py.Redis) -> None:
    place = berth(ttl=12.0)
    redis.set(place.lease, place.identity, px=50)
    push(redis, "default", raw())
    claim(redis, place, 1)
    assert redis.pttl(place.lease) > 11_000


def test_more_queues_than_a_byte_can_number_are_served(redis: redis_py.Redis) -> None:
    names = tuple(f"tenant{number}" for number in range(300))
    for name in (names[0], names[150], names[299]):
        push(redis, name, raw(int(name.removeprefix("tenant"))))
    claimed = claim(redis, berth(*names), 10)
    assert [(one.queue, one.raw) for one in claimed] == [(names[n], raw(n)) for n in (0, 150, 299)]


def test_a_key_that_is_no_list_keeps_no_other_queue_from_being_served(redis: redis_py.Redis) -> None:
    redis.set("queue:broken", "not a list")
    push(redis, "good", raw(1), raw(2))
    place = berth("good", "broken")
    assert [one.raw for one in claim(redis, place, 5, "broken", "good")] == [raw(1), raw(2)]
    assert in_flight(redis, place, "good") == [raw(1), raw(2)]
    push(redis, "good", raw(3), raw(4))
    call = claim_in_order(place, 3, "broken", "good")
    answer = run(redis, call)
    assert [one.raw for one in read_claim(call, answer, NOW)] == [raw(3), raw(4)]
    assert read_refused(call, answer) == {"broken": WRONG_TYPE}, "it is told with the jobs of the others"
    assert read_refused(call, run(redis, call)) == {"broken": WRONG_TYPE}
    full = claim_in_order(place, 1, "good")
    assert read_refused(full, run(redis, full)) == {}


def test_of_what_is_large_in_flight_its_ends_and_its_digest_are_told(redis: redis_py.Redis) -> None:
    """Redis may hang up on who asks for it. The others come in portions."""
    large = raw(9, "Large", text="x" * PORTION)
    jobs = [raw(number, text="x" * 50_000) for number in range(20)]
    push(redis, "default", *jobs[:10], large, *jobs[10:])
    place = berth()
    claim(redis, place, 21)
    held = place.held(redis)
    assert [one.raw for one in held] == [*jobs[:10], None, *jobs[10:]]
    assert [one.place for one in held] == list(range(20, -1, -1))
    entry = held[10].entry
    assert (entry.size, entry.digest) == (len(large), sha1(large).hexdigest())
    assert payload.told(entry.stand_in)[:2] == ("Large", f"{9:024x}")
    assert whole(redis, held[10].key, held[10].place, entry) == large
    assert whole(redis, held[10].key, 0, entry) is None, "another one is there"


def test_an_in_flight_key_of_another_type_holds_nothing(redis: redis_py.Redis) -> None:
    place = berth("a", "b")
    push(redis, "b", raw(1), raw(2))
    claim(redis, place, 2)
    redis.set(place.inflight("a"), "no list")
    assert [one.raw for one in place.held(redis)] == [raw(1), raw(2)]
    assert place.count(redis) == 2


def test_held_tells_what_is_in_flight_oldest_first(redis: redis_py.Redis) -> None:
    push(redis, "a", raw(1), raw(2))
    push(redis, "b", raw(3))
    place = berth("a", "b")
    claim(redis, place, 3)
    assert [(one.queue, one.raw) for one in place.held(redis)] == [("a", raw(1)), ("a", raw(2)), ("b", raw(3))]


def test_leaving_with_nothing_in_flight_leaves_no_key(redis: redis_py.Redis) -> None:
    place = berth()
    place.renew(redis)
    assert redis.keys("pykiq:*")
    assert place.leave(redis) is True
    assert redis.keys("pykiq:*") == []


def test_leaving_with_jobs_in_flight_keeps_the_owner_findable(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", raw())
    claim(redis, place, 1)
    assert place.leave(redis) is False
    assert not redis.exists(place.lease)
    assert redis.hexists("pykiq:owners", place.identity)


# Large jobs: a transaction that takes from the queues tried first.


def test_a_transaction_takes_the_oldest_first_and_no_more_than_the_room(redis: redis_py.Redis) -> None:
    push(redis, "a", *map(raw, range(5)))
    place = berth("a", "b")
    claimed = claim_firsts(redis, place, 3)
    assert [(one.queue, one.raw) for one in claimed] == [("a", raw(n)) for n in range(3)]
    assert in_flight(redis, place, "a") == [raw(0), raw(1), raw(2)]
    assert waiting(redis, "a") == [raw(3), raw(4)]


def test_a_transaction_renews_the_lease_and_lists_the_owner(redis: redis_py.Redis) -> None:
    place = berth("a", "b", ttl=12.0)
    redis.set(place.lease, place.identity, px=50)
    push(redis, "a", raw())
    assert len(claim_firsts(redis, place, 5)) == 1
    assert redis.pttl(place.lease) > 11_000
    assert redis.hgetall("pykiq:owners") == {place.identity.encode(): b'["a", "b"]'}


def test_in_a_transaction_each_fetch_takes_from_the_queue_that_it_tries_first_or_nothing(redis: redis_py.Redis) -> None:
    order = Order(("a", "b", "c"), (3, 2, 1))
    firsts = order.firsts(60, random.Random(5))
    assert set(firsts) == {"a", "b", "c"}
    push(redis, "a", *map(raw, range(100)))
    push(redis, "b", raw(1000), raw(1001))
    claimed = claim_firsts(redis, berth("a", "b", "c"), 60, order, random.Random(5))
    assert [one.queue for one in claimed] == [
        name for number, name in enumerate(firsts) if name == "a" or (name == "b" and firsts[:number].count("b") < 2)
    ], "none for c, and none for b once it is empty"
    assert raws(one for one in claimed if one.queue == "a") == [raw(n) for n in range(firsts.count("a"))]


def test_in_a_transaction_a_key_that_is_no_list_keeps_no_other_queue_from_being_served(redis: redis_py.Redis) -> None:
    redis.set("queue:broken", "not a list")
    push(redis, "good", raw(1), raw(2))
    claimed = claim_firsts(redis, berth("good", "broken"), 20, Order(("broken", "good"), (1, 1)))
    assert [(one.queue, one.raw) for one in claimed] == [("good", raw(1)), ("good", raw(2))]


def test_a_transaction_that_may_not_renew_the_lease_takes_nothing(redis: redis_py.Redis, server: Server) -> None:
    push(redis, "a", raw(1))
    redis.execute_command("ACL", "SETUSER", "bound", "reset", "on", ">secret", "+@all", "-hset", "~*")
    try:
        user = redis_py.Redis(port=server.port, username="bound", password="secret", protocol=2)
        with user, pytest.raises(ResponseError):
            claim_firsts(user, berth("a"), 1)
    finally:
        redis.execute_command("ACL", "DELUSER", "bound")
    assert waiting(redis, "a") == [raw(1)]


def test_a_transaction_touches_the_keys_that_the_script_is_given() -> None:
    place = berth("b", "a")
    order = Order(("b", "a"), (1, 1))
    commands = claim_firsts_call(place, order, 30, RNG).before
    touched = {word for command in commands[1:-1] for word in command[1 : 3 if command[0] == "LMOVE" else 2]}
    assert touched == set(claim_call(place, order, 3, RNG).keys)


# A queue shared with other languages.


def test_foreign_jobs_stay_in_place_and_in_order(redis: redis_py.Redis) -> None:
    jobs = [raw(n, "Ruby::Job" if n % 3 else "Mine") for n in range(9)]
    push(redis, "default", *jobs)
    place = berth()
    looked = claim_known(redis, place, "default", 10, "Mine", "Other")
    assert looked[:5] == (9, True, jobs[8], 6, {"Ruby::Job": 6})
    assert raws(looked.claimed) == [jobs[0], jobs[3], jobs[6]] == in_flight(redis, place)
    assert waiting(redis) == [job for n, job in enumerate(jobs) if n % 3]


def test_a_selective_claim_stops_at_its_room(redis: redis_py.Redis) -> None:
    push(redis, "default", raw(1, "Mine"), raw(2, "Ruby"), raw(3, "Mine"), raw(4, "Mine"))
    assert raws(claim_known(redis, berth(), "default", 2, "Mine").claimed) == [raw(1, "Mine"), raw(3, "Mine")]
    assert waiting(redis) == [raw(2, "Ruby"), raw(4, "Mine")]


def test_a_selective_claim_renews_the_lease(redis: redis_py.Redis) -> None:
    place = berth(ttl=12.0)
    claim_known(redis, place, "default", 1, "Mine")
    assert redis.pttl(place.lease) > 11_000
    assert json.loads(redis.hget("pykiq:owners", place.identity)) == ["default"]


@pytest.mark.parametrize(
    "unreadable", [b"{not json", b"[1,2]", b'"text"', b"null", b'{"args":[1]}', b'{"class":5}', b'{"class":null}', b""]
)
def test_what_cannot_be_read_is_claimed_so_that_it_ends_in_dead(redis: redis_py.Redis, unreadable: bytes) -> None:
    push(redis, "default", raw(1, "Ruby"), unreadable)
    assert raws(claim_known(redis, berth(), "default", 5, "Mine").claimed) == [unreadable]


def test_a_leading_double_colon_does_not_make_a_class_foreign(redis: redis_py.Redis) -> None:
    push(redis, "default", raw(1, "::Mine"))
    assert raws(claim_known(redis, berth(), "default", 5, "Mine").claimed) == [raw(1, "::Mine")]


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_an_active_job_is_known_by_the_class_inside_of_its_wrapper(redis: redis_py.Redis, version: str) -> None:
    named = captures.read(version, "aj_minimal_job_data").payloads()[0]  # without `wrapped`
    wrapped = captures.read(version, "aj_plain").payloads()[0]
    other = captures.read(version, "aj_namespaced").payloads()[0]
    odd = [
        b'{"class":"Sidekiq::ActiveJob::Wrapper","args":%s}' % args
        for args in (b"[]", b"{}", b"5", b'[{"job_class":5}]')
    ]
    push(redis, "default", other, *odd, named, wrapped, b'{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"::AjOk"}')
    claimed = claim_known(redis, berth(), "default", 9, "AjOk").claimed
    assert raws(claimed) == [named, wrapped, b'{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"::AjOk"}']
    assert waiting(redis, "default") == [other, *odd]


def test_a_wrapper_without_a_class_inside_is_foreign_by_its_own_name_unless_that_has_a_handler(
    redis: redis_py.Redis,
) -> None:
    wrapper = "Sidekiq::ActiveJob::Wrapper"
    push(redis, "default", raw(1, wrapper, wrapped="AjOk"), raw(2, wrapper))
    assert claim_known(redis, berth(), "default", 9, "Mine").left == {"AjOk": 1, wrapper: 1}
    assert len(claim_known(redis, berth(), "default", 9, wrapper).claimed) == 2


def test_of_two_equal_payloads_both_are_claimed(redis: redis_py.Redis) -> None:
    push(redis, "default", raw(1, "Mine"), raw(2, "Ruby"), raw(1, "Mine"))
    place = berth()
    assert raws(claim_known(redis, place, "default", 5, "Mine").claimed) == [raw(1, "Mine")] * 2
    assert waiting(redis) == [raw(2, "Ruby")]


def test_one_look_sees_a_window_and_the_next_one_goes_on_behind_it(redis: redis_py.Redis) -> None:
    foreign = [raw(n, "Ruby") for n in range(WINDOW + 5)]
    push(redis, "default", *foreign, raw(9999, "Mine"))
    place = berth()
    first = claim_known(redis, place, "default", 5, "Mine")
    assert first == Looked(WINDOW, False, foreign[WINDOW - 1], WINDOW, {"Ruby": WINDOW}, [])
    second = claim_known(redis, place, "default", 5, "Mine", look=Look(first.newest_left, first.place))
    assert second[:5] == (6, True, foreign[-1], WINDOW + 5, {"Ruby": 5})
    assert raws(second.claimed) == [raw(9999, "Mine")]
    third = claim_known(redis, place, "default", 5, "Mine", look=Look(foreign[-1], second.place))
    assert third == Looked(0, True, b"", WINDOW + 5, {}, [])
    assert waiting(redis) == foreign


@pytest.mark.parametrize("long_ago", [False, True])
@pytest.mark.parametrize("taken", [0, 3, 900])
def test_a_look_behind_an_entry_sees_what_is_newer_whatever_was_taken_from_the_old_end(
    redis: redis_py.Redis, taken: int, long_ago: bool
) -> None:
    push(redis, "default", *(raw(n, "Ruby") for n in range(1000)), raw(1001, "Mine"), raw(1002, "Ruby"))
    if taken:
        redis.rpop("queue:default", taken)
    looked = claim_known(redis, berth(), "default", 5, "Mine", look=Look(raw(999, "Ruby"), 1000, long_ago))
    assert looked[:4] == (2, True, raw(1002, "Ruby"), 1001 - taken)
    assert raws(looked.claimed) == [raw(1001, "Mine")]


def test_an_entry_that_others_were_put_in_front_of_is_found_from_the_new_end(redis: redis_py.Redis) -> None:
    push(redis, "default", *(raw(n, "Ruby") for n in range(500)))
    redis.rpush("queue:default", *(raw(n, "Ruby") for n in range(1000, 1100)))
    looked = claim_known(redis, berth(), "default", 5, "Mine", look=Look(raw(490, "Ruby"), 491, long_ago=True))
    assert looked[:4] == (9, True, raw(499, "Ruby"), 600)


@pytest.mark.parametrize(("place", "long_ago", "seen"), [(1200, False, 9 + 1000), (1200, True, 1209), (5, False, 1209)])
def test_behind_an_entry_that_is_gone_a_look_begins_where_nothing_can_be_missed(
    redis: redis_py.Redis, place: int, long_ago: bool, seen: int
) -> None:
    push(redis, "default", *(raw(n, "Ruby") for n in range(1209)))
    found = 0
    look = Look(b"gone", place, long_ago)
    while True:
        looked = claim_known(redis, berth(), "default", 5, "Mine", look=look)
        found += looked.seen
        if looked.to_the_end:
            break
        look = Look(looked.newest_left, looked.place)
    assert found == seen


def test_a_look_ends_early_where_jobs_are_large(redis: redis_py.Redis) -> None:
    large = [raw(n, "Ruby", text="x" * 40_000) for n in range(20)]
    push(redis, "default", *large)
    looked = claim_known(redis, berth(), "default", 5, "Mine")
    assert (looked.seen, looked.to_the_end, looked.place) == (4, False, 4)
    assert looked.newest_left == b"sha1 " + sha1(large[3]).hexdigest().encode(), "it is not sent there and back"
    again = claim_known(redis, berth(), "default", 5, "Mine", look=Look(looked.newest_left, looked.place))
    assert (again.seen, again.place) == (4, 8)
    redis.ltrim("queue:default", 0, -4)  # others have taken three
    again = claim_known(redis, berth(), "default", 5, "Mine", look=Look(looked.newest_left, looked.place))
    assert (again.seen, again.place) == (4, 5)


@pytest.mark.parametrize("place", [0, 700, 1400])
def test_jobs_among_foreign_ones_are_taken_out_of_any_place_oldest_first(redis: redis_py.Redis, place: int) -> None:
    jobs = [raw(n, "Ruby") for n in range(1500)]
    mixed = [raw(n, "Ruby" if n % 3 else "Mine") for n in range(3000, 3030)]
    jobs[place:place] = mixed
    push(redis, "default", *jobs)
    look = Look(jobs[place - 1], place) if place else ANEW
    looked = claim_known(redis, berth(), "default", 8, "Mine", look=look)
    assert raws(looked.claimed) == mixed[::3][:8]
    assert (looked.seen, looked.newest_left, looked.place) == (22, mixed[20], place + 14)
    assert waiting(redis) == [job for job in jobs if job not in mixed[::3][:8]]


def test_whatever_bytes_stand_in_a_queue_are_claimed_or_stay(redis: redis_py.Redis) -> None:
    push(redis, "default", b"pykiq:taken", raw(1, "Ruby"), raw(2, "Mine"), raw(3, "Ruby"), b"pykiq:taken")
    looked = claim_known(redis, berth(), "default", 2, "Mine")
    assert raws(looked.claimed) == [b"pykiq:taken", raw(2, "Mine")]
    assert waiting(redis) == [raw(1, "Ruby"), raw(3, "Ruby"), b"pykiq:taken"]


def test_a_look_that_may_not_write_loses_nothing(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", raw(1, "Mine"))
    redis.set(place.inflight("default"), "not a list")
    with pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
        claim_known(redis, place, "default", 5, "Mine")
    assert waiting(redis) == [raw(1, "Mine")]


def test_a_look_that_filled_its_room_says_how_far_it_came(redis: redis_py.Redis) -> None:
    push(redis, "default", raw(1, "Ruby"), raw(2, "Mine"), raw(3, "Ruby"), raw(4, "Mine"))
    looked = claim_known(redis, berth(), "default", 1, "Mine")
    assert (looked.seen, looked.to_the_end, looked.newest_left) == (2, False, raw(1, "Ruby"))


def test_a_claim_names_every_key_it_touches() -> None:
    place: Berth = berth("b", "a")
    call = claim_in_order(place, 3)
    assert set(call.keys) == {
        place.lease, "pykiq:owners", "queue:a", "queue:b", place.inflight("a"), place.inflight("b"),
    }  # fmt: skip


def test_running_the_same_claim_call_again_claims_further_jobs(redis: redis_py.Redis) -> None:
    push(redis, "default", raw(1), raw(2))
    call = claim_in_order(berth(), 1)
    assert [run(redis, call)[1], run(redis, call)[1]] == [raw(1), raw(2)]


def test_of_two_equal_payloads_the_older_one_is_taken(redis: redis_py.Redis) -> None:
    push(redis, "default", raw(1, "Mine"), raw(2, "Ruby"), raw(1, "Mine"))
    assert raws(claim_known(redis, berth(), "default", 1, "Mine").claimed) == [raw(1, "Mine")]
    assert waiting(redis) == [raw(2, "Ruby"), raw(1, "Mine")]


@pytest.fixture
def fill(redis: redis_py.Redis) -> Iterator[Callable[[], None]]:
    """What leaves the server without memory for more."""

    def fill() -> None:
        redis.config_set("maxmemory", 1)

    yield fill
    redis.config_set("maxmemory", 0)


def test_a_server_that_is_full_still_gives_jobs_away(redis: redis_py.Redis, fill: Callable[[], None]) -> None:
    place = berth()
    push(redis, "default", raw(1), raw(2), raw(3))
    fill()
    assert raws(claim(redis, place, 1)) == [raw(1)]
    assert redis.pttl(place.lease) > 0
    assert raws(claim_known(redis, place, "default", 1, "Job").claimed) == [raw(2)]
    assert raws(place.held(redis)) == [raw(1), raw(2)]
    assert place.count(redis) == 2


def test_a_server_that_is_full_still_renews_the_lease(redis: redis_py.Redis, fill: Callable[[], None]) -> None:
    place = berth()
    fill()
    for _ in range(2):
        place.renew(redis)
        assert 11_000 < redis.pttl(place.lease) <= 12_000
        redis.pexpire(place.lease, 5000)
    assert redis.hexists("pykiq:owners", place.identity)


def test_more_jobs_than_a_script_takes_arguments_are_claimed_in_order(redis: redis_py.Redis) -> None:
    jobs = [raw(number) for number in range(10_001)]
    push(redis, "default", *jobs)
    assert raws(claim(redis, berth(), 10_000)) == jobs[:-1]
    assert in_flight(redis, berth()) == jobs[:-1]
    assert waiting(redis) == jobs[-1:]


def test_where_nothing_can_be_put_in_flight_the_jobs_stay_in_their_queue(redis: redis_py.Redis) -> None:
    place = berth("a", "b")
    push(redis, "a", raw(1), raw(2))
    push(redis, "b", raw(3))
    redis.set(place.inflight("a"), "no list")
    assert raws(claim(redis, place, 3)) == [raw(3)]
    assert waiting(redis, "a") == [raw(1), raw(2)]
    call = claim_in_order(place, 3)
    assert read_refused(call, run(redis, call)) == {"a": WRONG_TYPE}
    assert waiting(redis, "a") == [raw(1), raw(2)]
