"""The scripts: known to the server when they run, and honest about the keys they touch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

import pytest
import redis as redis_py
from redis.exceptions import NoPermissionError, ResponseError

from pykiq.records import Bury, Claimed, Later, PutBack, Word
from pykiq.store import claim as claiming
from pykiq.store import due, leases, reclaim, sets
from pykiq.store.claim import Look, claim_known_call
from pykiq.store.due import Move, Moved
from pykiq.store.leadership import Leadership
from pykiq.store.leftovers import POISON_TAKEOVERS
from pykiq.store.scripts import Call, Script, run, script, send
from pykiq.store.settle import LARGE, in_order, settle_call, settle_unsent_call
from pykiq.store.sifting import sift
from tests.servers import Server
from tests.store.jobs import CONFIG, NOW, berth, claim, claim_in_order, outcome, push, raw, waiting

EVERY = {path.stem for path in (Path(claiming.__file__).parent / "lua").glob("*.lua")}


def test_a_script_the_server_does_not_know_is_sent_and_run(redis: redis_py.Redis) -> None:
    redis.script_flush()
    push(redis, "default", raw(1))
    assert len(claim(redis, berth(), 1)) == 1


def test_calls_that_ran_are_not_repeated_when_another_script_was_unknown(redis: redis_py.Redis) -> None:
    redis.script_flush()
    place = berth()
    push(redis, "default", raw(0, note="x" * LARGE), *map(raw, (1, 2, 3)))
    claim(redis, place, 2)  # the server knows claim.lua now, but not settle.lua
    first, second = (Claimed(one.queue, one.raw or b"", NOW) for one in place.held(redis))
    ends = settle_call(place, in_order([outcome(first), outcome(second, Bury(b"{}"))]), NOW, CONFIG)
    answers = send(redis, [ends, claim_in_order(place, 1)])
    assert answers == [[1, 1], [1, raw(2)]]
    assert waiting(redis) == [raw(3)]


def test_one_call_that_fails_does_not_stop_the_others(redis: redis_py.Redis) -> None:
    push(redis, "good", raw(1))
    redis.set("queue:bad", "of another type")
    good = berth("good")
    bad = claim_known_call(berth("bad"), "bad", 1, Look(), ["Job"])
    answers = send(redis, [bad, claim_in_order(good, 1)])
    assert isinstance(answers[0], ResponseError)
    assert answers[1] == [1, raw(1)]
    with pytest.raises(ResponseError):
        run(redis, bad)


def test_one_round_trip_carries_all_calls(redis: redis_py.Redis) -> None:
    place = berth()
    claim(redis, place, 1)
    before = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    send(redis, [claim_in_order(place, 1)] * 5)
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 5


class Watched:
    """Runs every call of this package as a user who may touch the keys it names and no other."""

    def __init__(self, redis: redis_py.Redis, server: Server) -> None:
        self._redis = redis
        self._server = server
        self.ran: list[str] = []

    def __call__(self, client: object, calls: list[Call]) -> list[object]:
        answers: list[object] = []
        for call in calls:
            assert call.script is not None
            self._redis.script_load(call.script.text)
            answers += self._as_user_of(list(call.keys), call)
            self.ran.append(call.script.name)
        return answers

    def _as_user_of(self, keys: list[str | bytes], call: Call) -> list[object]:
        patterns = [b"~" + (key.encode() if isinstance(key, str) else key).replace(b"*", b"\\*") for key in keys]
        name = f"declared-{threading.get_ident()}"  # a thread that another test has left may run scripts, too
        self._redis.execute_command("ACL", "SETUSER", name, "reset", "on", ">secret", "+@all", *patterns)
        with redis_py.Redis(port=self._server.port, username=name, password="secret", protocol=2) as user:
            answers = send(user, [call])
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise answer
        return answers


@pytest.fixture
def watched(redis: redis_py.Redis, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    watching = Watched(redis, server)
    monkeypatch.setattr("pykiq.store.scripts.send", watching)
    yield watching
    users = [name for name in redis.acl_users() if name.startswith("declared-")]
    redis.acl_deluser(*users)


def test_the_watch_sees_a_key_that_is_not_declared(redis: redis_py.Redis, watched: Watched) -> None:
    sneaky = Script("sneaky", "return redis.call('GET', 'elsewhere')", "2b0a9f0a5a6c8d7d3c7f4f4f0f9e5b7f8c9d0e1f")
    sneaky = Script("sneaky", sneaky.text, redis.script_load(sneaky.text))
    with pytest.raises((NoPermissionError, ResponseError), match=r"(?i)permission|ACL|can't access"):
        run(redis, Call(sneaky, ["declared-key"], []))


def test_every_script_touches_only_the_keys_it_is_given(
    redis: redis_py.Redis, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "AGAIN", 0.001)
    monkeypatch.setattr(reclaim, "TRIALS", 0.05)
    place, gone = berth("a", "b"), berth("a", identity="gone:1:cccccccccccc")
    push(redis, "a", *map(raw, range(6)))
    push(redis, "b", raw(10, "Mine"), raw(11, "Ruby"))
    claimed = claim(redis, place, 5)
    run(redis, claim_known_call(place, "b", 5, Look(b"gone"), ["Mine"]))
    writes = [Later("retry", NOW, b"{}"), Later("schedule", NOW, b"{}"), Bury(b"{}"), PutBack()]
    ends = [outcome(one, write, Word.FAILED) for one, write in zip(claimed[:4], writes, strict=True)]
    run(redis, settle_call(place, in_order([*ends, outcome(claimed[4])]), NOW, CONFIG))
    redis.zadd("schedule", {b"p": 1, b"l": 1, b"d": 1, b"x": 1})
    moves = [
        Move("push", b"p", queue="new", entry=b"p"),
        Move("later", b"l", entry=b"l", at=5),
        Move("dead", b"d", entry=b"d"),
        Move("drop", b"x"),
    ]
    assert due.move(redis, "schedule", moves, NOW, CONFIG) == [Moved.DONE] * 4
    for _ in range(POISON_TAKEOVERS):
        redis.delete("queue:a", "pykiq:sweep")
        push(redis, "a", raw(99))
        claim(redis, gone, 1)
        redis.delete(gone.lease)
        list(reclaim.sweep(redis, place, CONFIG, lambda *_: b"{}"))
    redis.zadd("retry", {b"due": 1})
    [late] = due.peek(redis, "retry", 2, 1)
    due.rest(redis, "retry", 2, late)
    assert due.next_score(redis) is not None
    redis.hset("pykiq:suspect", mapping={"queue": "a", "raw": raw(99)})
    push(redis, "a", raw(99), raw(98))
    claim(redis, gone, 9)
    redis.delete(gone.lease)
    redis.lpush(f"pykiq:takeovers:{98:024x}:{sha1(raw(98)).hexdigest()}", f"{time.time()} another")
    redis.delete("pykiq:sweep")
    list(reclaim.sweep(redis, place, CONFIG, lambda *_: b"{}"))
    seen = leases.Leases(place)
    seen.lapsed(redis)
    seen._offset = 2 * time.time()  # as if Redis' clock had been put back since
    with pytest.raises(leases.Doubtful):
        seen.lapsed(redis)
    run(redis, settle_unsent_call(place, outcome(claimed[0], PutBack()), NOW, CONFIG))
    place.renew(redis)
    leads = Leadership(place, "pykiq:poller", 3.0)
    assert leads.take(redis)
    leads.resign(redis)
    assert place.leave(redis) is False
    assert list(sets.pages(redis, "dead"))
    push(redis, "sifted", *map(raw, range(3)))
    assert sum(sift(redis, "sifted", lambda one: one != raw(1))) == 2
    assert set(watched.ran) == EVERY
    assert redis.zscore("dead", b"{}") is not None


def test_every_lua_file_says_what_its_keys_and_arguments_are() -> None:
    for name in EVERY:
        text = script(name).text
        assert text.startswith("-- ")
        assert "-- KEYS " in text
        assert "-- ARGV " in text
        assert "-- returns" in text


def test_the_window_of_a_look_is_a_number_of_entries() -> None:
    call = claim_known_call(berth(), "default", 1, Look(b"x", 7, long_ago=True), ["Mine"])
    assert list(call.args[3:8]) == [1, b"x", 7, 1, claiming.WINDOW]
