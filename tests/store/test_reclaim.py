"""Taking over what a dead process held."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.observe.heartbeat import Running, work_record
from pykiq.records import Takeover
from pykiq.store import leases, leftovers, reclaim, scripts
from pykiq.store.bounded import PORTION
from pykiq.store.claim import Berth
from pykiq.store.leftovers import POISON_TAKEOVERS, POISON_WINDOW
from pykiq.store.scripts import Call
from tests.logs import capture_logs
from tests.servers import Server, wait_until
from tests.store.jobs import CONFIG, berth, claim, in_flight, outcome, push, raw, settle, waiting

DEAD = "gone:1:aaaaaaaaaaaa"
LIVE = "live:2:bbbbbbbbbbbb"


@pytest.fixture(autouse=True)
def _short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reclaim, "TRIALS", 0.05)
    monkeypatch.setattr(leases, "AGAIN", 0.001)


def poison_entry(payload: bytes, queue: str, owner: str, now: float) -> bytes:
    return json.dumps([payload.decode("latin-1"), queue, owner]).encode()


def sweep(redis: redis_py.Redis, identity: str = LIVE, config: Config = CONFIG) -> list[Takeover]:
    """Sweep now, whoever swept a moment ago."""
    redis.delete("pykiq:sweep")
    return list(reclaim.sweep(redis, berth("default", identity=identity), config, poison_entry))


def counter(payload: bytes) -> str:
    """The key under which the takeovers of a job with a jid are counted."""
    return f"pykiq:takeovers:{json.loads(payload)['jid']}:{hashlib.sha1(payload).hexdigest()}"


def dies_with(redis: redis_py.Redis, place: Berth, room: int) -> None:
    """A process claims and is killed; its lease runs out."""
    claim(redis, place, room)
    redis.delete(place.lease)


def test_jobs_go_back_to_the_head_of_their_queues_in_order(redis: redis_py.Redis) -> None:
    place = berth("a", "b", identity=DEAD)
    push(redis, "a", raw(1), raw(2), raw(3))
    push(redis, "b", raw(4))
    dies_with(redis, place, 4)
    push(redis, "a", raw(5))
    taken = sweep(redis)
    assert waiting(redis, "a") == [raw(1), raw(2), raw(3), raw(5)]
    assert waiting(redis, "b") == [raw(4)]
    assert sorted(one.raw for one in taken) == sorted(map(raw, (1, 2, 3, 4)))
    assert {(one.owner, one.poison) for one in taken} == {(DEAD, False)}
    assert redis.smembers("queues") == {b"a", b"b"}


def test_thousands_go_back_in_their_order_in_few_round_trips(redis: redis_py.Redis) -> None:
    jobs = [raw(number) for number in range(3000)]
    push(redis, "default", *jobs)
    dies_with(redis, berth(identity=DEAD), len(jobs))
    redis.config_resetstat()
    assert len(sweep(redis)) == len(jobs)
    ran = redis.info("commandstats")
    assert ran["cmdstat_evalsha"]["calls"] < len(jobs) / 100
    assert ran["cmdstat_lrem"]["calls"] == ran["cmdstat_expire"]["calls"] == len(jobs)
    assert "cmdstat_lrange" not in ran, "of none an earlier takeover is looked up"
    assert waiting(redis) == jobs


def test_suspects_stay_in_their_order_between_those_that_go(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of more than one portion, and however large: of some Redis does not send the bytes."""
    monkeypatch.setattr(leftovers, "MOST", 7)
    jobs = [raw(number, note="x" * (PORTION if number % 10 == 4 else 9000)) for number in range(90)]
    suspects = {number for number in range(90) if number % 3 == 1}
    for number in suspects:
        redis.lpush(counter(jobs[number]), f"{time.time() - 100} another:1:cccccccccccc")
    push(redis, "default", *jobs)
    place = berth(identity=DEAD)
    for _ in jobs:  # a claim brings so many bytes at most
        redis.lmove("queue:default", place.inflight("default"), "RIGHT", "LEFT")
    place.renew(redis)
    redis.delete(place.lease)
    redis.hset("pykiq:suspect", mapping={"queue": "default", "raw": jobs[0]})
    monkeypatch.setattr(reclaim, "TRIALS", 0.0)
    assert len(sweep(redis)) == 60
    assert waiting(redis) == [job for number, job in enumerate(jobs) if number not in suspects]
    assert in_flight(redis, place) == [job for number, job in enumerate(jobs) if number in suspects]


def test_no_suspect_keeps_the_first_takeover_of_another_process_s_job_waiting(redis: redis_py.Redis) -> None:
    gone = crash_twice_with(redis, raw(1), raw(2))
    assert in_flight(redis, gone) == [raw(2)]
    redis.delete("queue:default", "pykiq:suspect")
    push(redis, "default", raw(3))
    dies_with(redis, berth(identity="zzz:1:aaaaaaaaaaaa"), 1)
    assert [one.raw for one in sweep(redis)] == [raw(3), raw(2)]


def test_the_dead_process_is_forgotten_and_leaves_no_key_but_the_counters(redis: redis_py.Redis) -> None:
    place = berth(identity=DEAD)
    push(redis, "default", raw(1))
    dies_with(redis, place, 1)
    sweep(redis)
    redis.delete("pykiq:sweep", "pykiq:walk")
    assert redis.keys("pykiq:*") == [counter(raw(1)).encode()]
    assert 0 < redis.ttl(counter(raw(1))) <= POISON_WINDOW


def test_a_process_whose_lease_holds_keeps_its_jobs(redis: redis_py.Redis) -> None:
    place = berth(identity=DEAD)
    push(redis, "default", raw(1))
    claim(redis, place, 1)
    assert sweep(redis) == []
    assert in_flight(redis, place) == [raw(1)]
    assert redis.hexists("pykiq:owners", DEAD)


def test_a_process_that_comes_back_in_the_middle_keeps_the_rest(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = berth(identity=DEAD)
    push(redis, "default", raw(1), raw(2), raw(3))
    dies_with(redis, place, 3)
    monkeypatch.setattr(leftovers, "MOST", 1)
    takeovers = reclaim.sweep(redis, berth(identity=LIVE), CONFIG, poison_entry)
    assert next(takeovers).raw == raw(3), "the newest claim is the first to go"
    place.renew(redis)
    assert list(takeovers) == []
    assert in_flight(redis, place) == [raw(1), raw(2)]
    assert redis.hexists("pykiq:owners", DEAD)
    assert settle(redis, place, outcome(claim(redis, place, 1)[0])) == ["done"]


def test_a_process_never_sweeps_itself(redis: redis_py.Redis) -> None:
    place = berth(identity=LIVE)
    push(redis, "default", raw(1))
    dies_with(redis, place, 1)  # a handler held the interpreter for longer than the lease
    assert sweep(redis, LIVE) == []
    assert in_flight(redis, place) == [raw(1)]
    assert redis.hexists("pykiq:owners", LIVE)


def test_the_third_takeover_is_the_last(redis: redis_py.Redis) -> None:
    push(redis, "default", raw(1))
    for number in range(1, POISON_TAKEOVERS + 1):
        place = berth(identity=f"gone:{number}:aaaaaaaaaaaa")
        dies_with(redis, place, 1)
        [taken] = sweep(redis)
        assert taken.poison is (number == POISON_TAKEOVERS == 3)
    assert waiting(redis) == []
    [(entry, _)] = redis.zrange("dead", 0, -1, withscores=True)
    assert json.loads(entry) == [raw(1).decode(), "default", "gone:3:aaaaaaaaaaaa"]
    assert redis.keys("pykiq:takeovers:*") == [], "a dead job that is retried by hand starts from nought"


def test_the_dead_set_is_trimmed_when_a_poison_pill_arrives(redis: redis_py.Redis) -> None:
    redis.zadd("dead", {b"ancient": 1})
    redis.lpush(counter(raw(1)), *[time.time()] * (POISON_TAKEOVERS - 1))
    push(redis, "default", raw(1))
    dies_with(redis, berth(identity=DEAD), 1)
    sweep(redis)
    assert redis.zcard("dead") == 1


def crash_twice_with(redis: redis_py.Redis, *jobs: bytes) -> Berth:
    """Two processes die with all of these in flight; the second one's place, after a sweep."""
    push(redis, "default", *jobs)
    for number in (1, 2):
        place = berth(identity=f"gone:{number}:aaaaaaaaaaaa")
        dies_with(redis, place, len(jobs))
        taken = sweep(redis)
    assert [one.raw for one in taken] == [jobs[0]]
    return place


def test_jobs_that_were_taken_over_before_have_their_turn_one_after_the_other(redis: redis_py.Redis) -> None:
    """One of them kills its process, and the others would die with it."""
    gone = crash_twice_with(redis, raw(1), raw(2), raw(3))
    assert in_flight(redis, gone) == [raw(2), raw(3)]
    assert waiting(redis) == [raw(1)]
    assert sweep(redis) == [], "it has not run yet"

    [first] = claim(redis, berth(identity=LIVE), 1)
    assert sweep(redis) == [], "it runs"
    settle(redis, berth(identity=LIVE), outcome(first))
    assert [one.raw for one in sweep(redis)] == [raw(2)]

    dies_with(redis, berth(identity="gone:3:aaaaaaaaaaaa"), 1)
    taken = sweep(redis) + sweep(redis)
    assert [(one.raw, one.poison) for one in taken] == [(raw(2), True), (raw(3), False)]
    assert redis.zcard("dead") == 1
    assert waiting(redis) == [raw(3)]
    assert in_flight(redis, gone) == []


def test_those_that_end_soon_have_their_turns_within_one_sweep(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it has looked at the leases before: that took as long as there was time for them."""
    crash_twice_with(redis, *map(raw, range(1, 9)))
    monkeypatch.setattr(reclaim, "TRIALS", 20.0)
    clock, lapsed = time.monotonic, leases.Leases.lapsed

    def slowly_lapsed(self: leases.Leases, client: redis_py.Redis) -> leases.Owners:
        found = lapsed(self, client)
        monkeypatch.setattr(time, "monotonic", lambda: clock() + 30.0)
        return found

    monkeypatch.setattr(leases.Leases, "lapsed", slowly_lapsed)
    done: list[bytes] = []
    swept = threading.Event()

    def work() -> None:
        with redis_py.Redis(connection_pool=redis.connection_pool) as mine:
            while not swept.is_set() or waiting(mine):
                for one in claim(mine, berth(identity=LIVE), 10):
                    done.append(one.raw)
                    time.sleep(0.01)  # it takes its time
                    assert waiting(mine) == [], "there is never a second one"
                    settle(mine, berth(identity=LIVE), outcome(one))

    worker = threading.Thread(target=work)
    worker.start()
    taken = sweep(redis)
    swept.set()
    worker.join(10)
    assert [one.raw for one in taken] == list(map(raw, range(2, 9)))
    assert done == list(map(raw, range(1, 9)))


def test_of_a_process_that_is_known_to_have_ended_the_sweeps_let_the_others_go_at_once(redis: redis_py.Redis) -> None:
    """Not when its lease, which is renewed for what Redis may yet do for it, has run out."""
    gone = crash_twice_with(redis, raw(1), raw(2), raw(3))
    gone.renew(redis)
    assert list(reclaim.take_over(redis, gone, CONFIG, poison_entry)) == []
    settle(redis, berth(identity=LIVE), outcome(claim(redis, berth(identity=LIVE), 1)[0]))
    assert [one.raw for one in sweep(redis)] == [raw(2)]
    settle(redis, berth(identity=LIVE), outcome(claim(redis, berth(identity=LIVE), 1)[0]))
    assert [one.raw for one in list(reclaim.take_over(redis, gone, CONFIG, poison_entry))] == [raw(3)]
    assert redis.exists(gone.lease)


def test_a_job_that_is_taken_over_for_the_first_time_does_not_wait_for_the_others(redis: redis_py.Redis) -> None:
    gone = crash_twice_with(redis, raw(1), raw(2))
    push(redis, "default", raw(3))
    dies_with(redis, berth(identity="gone:3:aaaaaaaaaaaa"), 2)
    taken = sweep(redis)
    assert {(one.raw, one.poison) for one in taken} >= {(raw(1), True), (raw(3), False)}
    assert [one.raw for one in taken + sweep(redis) if one.raw == raw(2)] == [raw(2)]
    assert in_flight(redis, gone) == []


def test_a_suspect_is_not_looked_for_in_the_whole_of_a_long_queue(redis: redis_py.Redis) -> None:
    crash_twice_with(redis, raw(1), raw(2))
    with redis.pipeline() as pipeline:
        for start in range(10, 20_010, 1000):
            pipeline.lpush("queue:default", *map(raw, range(start, start + 1000)))
        pipeline.execute()
    assert sweep(redis) == [], "it waits at the old end"
    assert redis.rpop("queue:default") == raw(1)
    redis.lpush("queue:default", raw(1))
    assert [one.raw for one in sweep(redis)] == [raw(2)], "as far from there it is not looked for"


def test_one_that_takes_long_does_not_keep_the_others_waiting_for_ever(redis: redis_py.Redis) -> None:
    crash_twice_with(redis, raw(1), raw(2))
    claim(redis, berth(identity=LIVE), 1)
    assert sweep(redis) == []
    assert 0 < redis.ttl("pykiq:suspect") <= leftovers.ALONE
    redis.delete("pykiq:suspect")
    assert [one.raw for one in sweep(redis)] == [raw(2)]


def test_takeovers_that_lie_further_apart_do_not_make_a_poison_pill(redis: redis_py.Redis) -> None:
    """A job that is retried for weeks may be taken over once in a while."""
    now = time.time()
    redis.lpush(counter(raw(1)), now - POISON_WINDOW - 60, now - POISON_WINDOW / 2)
    push(redis, "default", raw(1))
    for number, poison in enumerate([False, True]):
        dies_with(redis, berth(identity=f"gone:{number}:aaaaaaaaaaaa"), 1)
        [taken] = sweep(redis)
        assert taken.poison is poison, "the second of the two is the third within the window"


def crash_with(redis: redis_py.Redis, number: int, *jobs: bytes) -> list[Takeover]:
    """A process claims these jobs alone and dies; what a sweep takes over then."""
    push(redis, "default", *jobs)
    dies_with(redis, berth(identity=f"gone:{number}:aaaaaaaaaaaa"), len(jobs))
    return sweep(redis)


def test_jobs_that_share_a_jid_are_not_buried_for_each_others_takeovers(redis: redis_py.Redis) -> None:
    one_jid = [raw(number, jid="the same") for number in range(6)]
    assert {one.raw for one in crash_with(redis, 0, *one_jid) if not one.poison} == set(one_jid)
    redis.delete("queue:default")
    for number in range(1, POISON_TAKEOVERS):
        assert [one.poison for one in crash_with(redis, number, raw(99, jid="the same"))] == [False]
        redis.delete("queue:default")
    assert [one.poison for one in crash_with(redis, 9, one_jid[3])] == [False], "four deaths, and one of them its own"


@pytest.mark.parametrize("copies", [2, 3, 4, 10])
def test_equal_jobs_that_one_process_held_are_taken_over_once(redis: redis_py.Redis, copies: int) -> None:
    taken = crash_with(redis, 0, *[raw(1)] * copies)
    assert [one.poison for one in taken] == [False] * copies
    assert waiting(redis) == [raw(1)] * copies
    assert redis.llen(counter(raw(1))) == 1
    redis.delete("queue:default", "pykiq:suspect")
    assert [one.poison for one in crash_with(redis, 1, raw(1))] == [False]
    redis.delete("queue:default", "pykiq:suspect")
    assert [one.poison for one in crash_with(redis, 2, raw(1))] == [True], "the third process that died with it"


def test_a_process_that_freezes_with_a_job_again_and_again_is_counted_again_and_again(redis: redis_py.Redis) -> None:
    """Two that take turns would hand it to each other for ever."""
    before = time.time() - leftovers.TOGETHER - 1
    redis.lpush(counter(raw(1)), f"{before - 100} {LIVE}", f"{before} {DEAD}")
    push(redis, "default", raw(1))
    dies_with(redis, berth(identity=DEAD), 1)
    assert [one.poison for one in sweep(redis)] == [True]


def named(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [line for line in lines if line["event"] == "job_taken_over"]


def goes_away(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Redis does, when so many portions have been moved."""
    moves = itertools.count()

    def run(client: redis_py.Redis, call: Call) -> Any:
        if call.args[0] == "stay" and next(moves) == after:
            raise redis_py.ConnectionError("away")
        return scripts.run(client, call)

    monkeypatch.setattr(leftovers, "run", run)


def test_a_job_says_what_it_was_and_where_it_had_started_before_it_goes_back(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may kill the process that has put it back, before anything else is written."""
    push(redis, "default", raw(1, args=["secret"]), raw(2))
    dies_with(redis, berth(identity=DEAD), 2)
    record = work_record(Running(1, "default", raw(1, args=["secret"]), 1_700_000_000.0))
    redis.hset(f"{DEAD}:work", "tid", record)
    goes_away(monkeypatch, after=0)
    with capture_logs() as lines, pytest.raises(redis_py.ConnectionError):
        sweep(redis)
    assert in_flight(redis, berth(identity=DEAD)) == [raw(1, args=["secret"]), raw(2)]
    assert [line["jid"] for line in named(lines)] == [f"{2:024x}", f"{1:024x}"]
    first = next(line for line in named(lines) if line["jid"] == f"{1:024x}")
    assert first == {
        "log_level": "warning",
        "event": "job_taken_over",
        "class": "Job",
        "jid": f"{1:024x}",
        "queue": "default",
        "identity": DEAD,
        "started": "2023-11-14T22:13:20+00:00",
        "next": "goes back to the head of its queue",
    }
    assert "secret" not in str(lines)


def test_of_a_large_takeover_the_first_jobs_have_lines_in_all_of_its_queues_together(redis: redis_py.Redis) -> None:
    push(redis, "a", *map(raw, range(15)))
    push(redis, "b", *map(raw, range(15)))
    dies_with(redis, berth("a", "b", identity=DEAD), 30)
    with capture_logs() as lines:
        assert len(sweep(redis)) == 30
    assert len(named(lines)) == leftovers.MOST_NAMED == 20


def test_a_suspect_is_named_when_it_has_its_turn_and_a_poison_pill_never(redis: redis_py.Redis) -> None:
    """Its own line is that of every job that goes to `dead`."""
    crash_twice_with(redis, raw(1), raw(2))
    with capture_logs() as lines:
        for _ in range(3):
            assert sweep(redis) == []
        assert named(lines) == []
        dies_with(redis, berth(identity="gone:3:aaaaaaaaaaaa"), 1)
        assert {(one.raw, one.poison) for one in sweep(redis) + sweep(redis)} == {(raw(1), True), (raw(2), False)}
    assert [line["jid"] for line in named(lines)] == [f"{2:024x}"]


@pytest.mark.parametrize("odd", [b"{broken", b"[]", b'{"class":7,"jid":[]}', b"\xff\xfe", b'{"class":"' + b"x" * 9999])
def test_what_is_no_job_has_its_line_too(redis: redis_py.Redis, odd: bytes) -> None:
    push(redis, "default", odd)
    dies_with(redis, berth(identity=DEAD), 1)
    with capture_logs() as lines:
        sweep(redis)
    [line] = named(lines)
    assert (line["class"], line["jid"], line["queue"]) == ("?", "", "default")


def test_what_was_taken_over_before_a_failure_is_known(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    push(redis, "default", raw(1), raw(2))
    dies_with(redis, berth(identity=DEAD), 2)
    monkeypatch.setattr(leftovers, "MOST", 1)
    goes_away(monkeypatch, after=1)
    taken = []
    with pytest.raises(redis_py.ConnectionError):  # noqa: PT012 -- what is looped over raises
        for one in reclaim.sweep(redis, berth(identity=LIVE), CONFIG, poison_entry):
            taken.append(one.raw)  # noqa: PERF401 -- a list() would be gone
    assert taken == [raw(2)]


def test_a_counter_of_another_type_loses_no_job(redis: redis_py.Redis) -> None:
    redis.set(counter(raw(1)), 2)
    push(redis, "default", raw(1))
    dies_with(redis, berth(identity=DEAD), 1)
    assert [one.poison for one in sweep(redis)] == [False]
    assert waiting(redis) == [raw(1)]


def test_an_inflight_key_of_another_type_keeps_nobody_else_from_a_takeover(redis: redis_py.Redis) -> None:
    redis.hset("pykiq:owners", "a:1:aaaaaaaaaaaa", '["default"]')
    redis.set("pykiq:inflight:a:1:aaaaaaaaaaaa:default", "no list")
    push(redis, "default", raw(1))
    dies_with(redis, berth(identity=DEAD), 1)
    assert [one.raw for one in sweep(redis)] == [raw(1)]


def test_what_a_process_holds_that_nobody_knows_of_is_found_in_the_end(redis: redis_py.Redis) -> None:
    place = berth("a:b", identity=DEAD)
    push(redis, "a:b", raw(1))
    dies_with(redis, place, 1)
    redis.delete("pykiq:owners")
    redis.mset({f"cache:{number}": 1 for number in range(3 * reclaim.STEP)})
    taken: list[Takeover] = []

    def swept() -> bool:
        taken.extend(sweep(redis))
        return bool(taken)

    wait_until(swept, 10, "the takeover, within one walk through all keys")
    assert taken == [Takeover(DEAD, "a:b", raw(1))]
    assert waiting(redis, "a:b") == [raw(1)]
    assert 0 < redis.ttl("pykiq:walk") <= reclaim.WALK_TTL


def test_a_walk_costs_one_step_for_each_sweep(redis: redis_py.Redis) -> None:
    redis.mset({f"cache:{number}": 1 for number in range(3 * reclaim.STEP)})
    redis.config_resetstat()
    sweep(redis)
    assert redis.info("commandstats")["cmdstat_scan"]["calls"] == 1
    assert int(redis.get("pykiq:walk")) > 0


def test_the_sweep_goes_on_where_a_walk_is_forbidden(redis: redis_py.Redis, server: Server) -> None:
    redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", "~*", "+@all", "-scan")
    push(redis, "default", raw(1))
    dies_with(redis, berth(identity=DEAD), 1)
    with redis_py.Redis(port=server.port, username="narrow", password="secret", protocol=2) as user:
        assert [one.raw for one in sweep(user)] == [raw(1)]
    redis.execute_command("ACL", "DELUSER", "narrow")


@pytest.mark.parametrize(
    "odd",
    [
        b"{not json",
        b"[1]",
        b'{"class":"Job","args":[]}',
        b'{"class":"Job","jid":5}',
        b'{"class":"Job","jid":""}',
        b'{"class":"Job","jid":"\xff"}',
        b'{"class":"Job","jid":"' + b"a" * 5000 + b'"}',
        b'{"class":"Job","jid":' + b"1" * 5000 + b"}",
    ],
    ids=["broken", "array", "none", "number", "empty", "not-utf8", "long", "huge-number"],
)
def test_a_job_without_a_usable_jid_is_counted_by_its_bytes(redis: redis_py.Redis, odd: bytes) -> None:
    push(redis, "default", odd)
    for number in range(POISON_TAKEOVERS):
        dies_with(redis, berth(identity=f"gone:{number}:aaaaaaaaaaaa"), 1)
        sweep(redis)
        assert all(len(key) < 200 for key in redis.keys("pykiq:takeovers:*"))
    assert redis.zcard("dead") == 1


def test_only_one_process_sweeps_at_a_time(redis: redis_py.Redis) -> None:
    push(redis, "default", raw(1))
    dies_with(redis, berth(identity=DEAD), 1)
    redis.set("pykiq:sweep", "somebody else", px=60_000)
    assert list(reclaim.sweep(redis, berth(identity=LIVE), CONFIG, poison_entry)) == []
    redis.delete("pykiq:sweep")
    assert len(list(reclaim.sweep(redis, berth(identity=LIVE), CONFIG, poison_entry))) == 1


@pytest.mark.parametrize(("settings", "least", "most"), [({}, 6000, 8000), ({"lease_ttl": 5}, 4000, 5000)])
def test_who_has_swept_goes_on_with_it_and_others_need_not_wait_for_longer_than_a_lease(
    redis: redis_py.Redis, settings: dict[str, float], least: int, most: int
) -> None:
    for _ in range(2):
        list(reclaim.sweep(redis, berth(identity=LIVE), Config.of(sweep_interval=4, **settings), poison_entry))
        assert redis.get("pykiq:sweep") == LIVE.encode()
        assert least < redis.pttl("pykiq:sweep") <= most
        redis.pexpire("pykiq:sweep", 100)


def test_a_queue_that_refuses_the_job_leaves_it_in_flight(redis: redis_py.Redis) -> None:
    place = berth(identity=DEAD)
    push(redis, "default", raw(1))
    dies_with(redis, place, 1)
    redis.set("queue:default", "of another type")
    assert sweep(redis) == []
    assert in_flight(redis, place) == [raw(1)]
    assert redis.hexists("pykiq:owners", DEAD), "it stays findable"
    redis.delete("queue:default")
    assert len(sweep(redis)) == 1


def test_a_queue_that_refuses_a_portion_leaves_it_in_flight_in_its_order(redis: redis_py.Redis) -> None:
    place = berth(identity=DEAD)
    jobs = [raw(number) for number in range(1000)]
    push(redis, "default", *jobs)
    dies_with(redis, place, len(jobs))
    redis.set("queue:default", "of another type")
    assert sweep(redis) == []
    assert in_flight(redis, place) == jobs
    assert redis.keys("pykiq:takeovers:*") == []
    redis.delete("queue:default")
    sweep(redis)
    assert waiting(redis) == jobs


def test_equal_payloads_are_each_taken_over(redis: redis_py.Redis) -> None:
    push(redis, "default", raw(1), raw(1))
    dies_with(redis, berth(identity=DEAD), 2)
    assert len(sweep(redis)) == 2
    assert waiting(redis) == [raw(1), raw(1)]


def test_a_settlement_after_the_takeover_writes_nothing(redis: redis_py.Redis) -> None:
    place = berth(identity=DEAD)
    push(redis, "default", raw(1))
    [claimed] = claim(redis, place, 1)
    redis.delete(place.lease)
    sweep(redis)
    assert settle(redis, place, outcome(claimed)) == ["taken_over"]
    assert waiting(redis) == [raw(1)]


def test_a_process_is_forgotten_only_without_lease_and_jobs(redis: redis_py.Redis) -> None:
    place = berth(identity=DEAD)
    for prepare, forgotten in [
        (lambda: place.renew(redis), False),
        (lambda: redis.delete(place.lease), True),
    ]:
        run: Callable[[], object] = prepare
        run()
        sweep(redis)
        assert redis.hexists("pykiq:owners", DEAD) is not forgotten


def test_the_jobs_of_a_process_known_to_have_ended_are_taken_over_although_its_lease_still_holds(
    redis: redis_py.Redis,
) -> None:
    gone = berth("a", "b", identity=DEAD)
    push(redis, "a", raw(1), raw(2))
    push(redis, "b", raw(3))
    claim(redis, gone, 3)
    assert redis.exists(gone.lease)
    taken = list(reclaim.take_over(redis, gone, CONFIG, poison_entry))
    assert sorted(one.raw for one in taken) == sorted(map(raw, (1, 2, 3)))
    assert (waiting(redis, "a"), waiting(redis, "b")) == ([raw(1), raw(2)], [raw(3)])
    assert in_flight(redis, gone) == []


def test_what_arrives_for_it_after_that_is_found_when_its_last_lease_has_run_out(redis: redis_py.Redis) -> None:
    """Redis may serve a waiter of a process that has gone a moment ago: nobody may have forgotten it by then."""
    gone = berth(identity=DEAD)
    push(redis, "default", raw(1))
    claim(redis, gone, 1)
    list(reclaim.take_over(redis, gone, CONFIG, poison_entry))
    assert sweep(redis) == []
    redis.lmove("queue:default", gone.inflight("default"), "RIGHT", "LEFT")
    assert 0 < redis.pttl(gone.lease) <= CONFIG.lease_ttl * 1000
    redis.delete(gone.lease)
    assert [one.raw for one in sweep(redis)] == [raw(1)]
    assert redis.hlen("pykiq:owners") == 0


def test_a_takeover_from_a_crashed_child_counts_like_any_other(redis: redis_py.Redis) -> None:
    push(redis, "default", raw(1))
    for number in range(POISON_TAKEOVERS):
        gone = berth(identity=f"gone:{number}:aaaaaaaaaaaa")
        claim(redis, gone, 1)
        (taken,) = list(reclaim.take_over(redis, gone, CONFIG, poison_entry))
        assert taken.poison is (number == POISON_TAKEOVERS - 1)
    assert redis.zcard("dead") == 1
