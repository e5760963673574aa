"""Standing orders: the lease is extended by Redis as long as a connection is open, and not a moment longer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.store import standing
from pykiq.store.claim import Berth
from pykiq.store.connection import connect
from pykiq.store.leases import renewal
from pykiq.store.standing import ORDERS, PERIOD, StandingOrders
from tests.logs import capture_logs
from tests.servers import Server, wait_until
from tests.store.jobs import berth

LEASE = 0.4  # seconds
LASTS = (ORDERS * PERIOD + 1) * LEASE  # seconds that orders given now keep the lease, and not much longer


class Owner:
    """A process with a lease and standing orders that nobody tops up."""

    def __init__(self, url: str, watching: redis_py.Redis, ttl: float = LEASE) -> None:
        self.berth: Berth = berth(ttl=ttl)
        self.redis = watching
        self.orders = StandingOrders(self.berth, connect(Config.of(redis=url)))
        self.key = f"pykiq:standing:{self.berth.identity}"

    def start(self) -> Owner:
        self.berth.renew(self.redis)
        self.orders.top_up()
        wait_until(lambda: self.connections() == 1, what="the first order under way")
        return self

    def connections(self) -> int:
        """How many connections wait for an order to be over."""
        return len([one for one in self.redis.client_list() if one["cmd"] == "brpop" and "b" in one["flags"]])

    def keeps_its_lease(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.redis.exists(self.berth.lease)


@pytest.fixture
def give(redis: redis_py.Redis, redis_url: str) -> Iterator[Callable[..., Owner]]:
    made: list[Owner] = []

    def start(url: str = "", watching: redis_py.Redis | None = None, ttl: float = LEASE) -> Owner:
        made.append(Owner(url or redis_url, redis if watching is None else watching, ttl))
        return made[-1]

    yield start
    for owner in made:
        owner.orders.close()


def worked_off(redis: redis_py.Redis) -> int:
    row: dict[str, int] = redis.info("commandstats").get("cmdstat_pexpire", {})
    return row.get("calls", 0)


@pytest.mark.system
def test_the_lease_outlives_its_time_although_nobody_does_anything_and_runs_out_in_the_end(
    give: Callable[..., Owner],
) -> None:
    owner = give().start()
    owner.keeps_its_lease(5 * LEASE)
    wait_until(lambda: not owner.redis.exists(owner.berth.lease), LASTS, "the lease to run out")


def test_the_bounds_that_are_documented_follow_from_the_settings_nobody_changed() -> None:
    lease, sweep = Config().lease_ttl, Config().sweep_interval
    topped_up = renewal(lease)  # seconds ago, at most
    assert (ORDERS - 1) * PERIOD * lease + lease - topped_up > 60  # that a lock may be held
    assert (ORDERS * PERIOD + 1) * lease + sweep < 80  # until a frozen process is taken over from


def test_a_connection_that_is_closed_ends_all_its_orders_at_once(give: Callable[..., Owner]) -> None:
    owner = give().start()
    owner.orders.withdraw()
    wait_until(lambda: owner.connections() == 0, LEASE / 2, "Redis hearing of it")
    wait_until(lambda: not owner.redis.exists(owner.berth.lease), 2 * LEASE, "the lease to run out")


def test_a_lease_that_was_given_up_stays_so(give: Callable[..., Owner]) -> None:
    owner = give().start()
    assert owner.berth.leave(owner.redis)
    before = worked_off(owner.redis)
    wait_until(lambda: worked_off(owner.redis) >= before + 2, what="two orders worked off")
    assert not owner.redis.exists(owner.berth.lease)


def test_a_top_up_gives_as_many_orders_as_are_missing(give: Callable[..., Owner]) -> None:
    """Whatever is pushed to their list ends one order before its time: what is left of it tells how many stood."""
    owner = give().start()
    for _ in range(2):
        owner.orders.top_up()
        owner.orders.top_up()
        owner.redis.rpush(owner.key, *range(100))
        wait_until(lambda: owner.redis.llen(owner.key) == 100 - ORDERS, what="every order ended")
        owner.redis.delete(owner.key)


def test_what_must_be_worked_off_by_now_is_given_again_before_anything_is_read(
    give: Callable[..., Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among handlers that hold the interpreter's lock, there may be time for one system call and no more."""
    owner = give().start()
    given = time.monotonic()
    wait_until(lambda: time.monotonic() - given > 4.5 * PERIOD * LEASE)
    stood: list[int] = []

    def count() -> None:
        owner.redis.rpush(owner.key, *range(100))
        wait_until(lambda: owner.connections() == 0, what="every order ended")
        stood.append(100 - owner.redis.llen(owner.key))
        owner.redis.delete(owner.key)

    monkeypatch.setattr(owner.orders, "_read", count)
    owner.orders.top_up()
    assert stood in ([ORDERS], [ORDERS + 1])  # one may have taken a little longer than the clock says


@pytest.mark.system
def test_topped_up_now_and_then_the_lease_is_kept_for_good(give: Callable[..., Owner]) -> None:
    owner = give().start()
    until = time.monotonic() + 2 * LASTS
    while time.monotonic() < until:
        owner.orders.top_up()
        owner.keeps_its_lease(LEASE)
    assert owner.connections() == 1


@pytest.mark.parametrize("how", ["killed", "paused", "demoted"])
def test_after_a_lost_connection_the_next_top_up_but_one_stands_again(
    give: Callable[..., Owner], victim: Server, store: redis_py.Redis, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = give(victim.url, store).start()
    if how == "killed":
        store.client_kill_filter(_type="normal", skipme=True)
    elif how == "paused":
        monkeypatch.setattr(standing, "LATE", 0.1)
        owner.orders.withdraw()
        owner.orders.top_up()
        store.client_pause(1500)
    else:
        store.execute_command("REPLICAOF", "127.0.0.1", "1")
        store.execute_command("REPLICAOF", "NO", "ONE")
    told: list[Exception] = []

    def failed() -> bool:
        try:
            owner.orders.top_up()
        except (redis_py.RedisError, OSError) as error:
            told.append(error)
        return bool(told)

    wait_until(failed, 5, "a top-up that fails")
    owner.orders.top_up()
    wait_until(lambda: owner.connections() == 1, what="an order under way")
    expected = {"killed": redis_py.ConnectionError, "paused": redis_py.TimeoutError, "demoted": redis_py.RedisError}
    assert isinstance(told[0], expected[how])


def test_redis_away_at_a_top_up_is_told_and_no_order_is_forgotten_when_it_is_back(
    give: Callable[..., Owner], victim: Server, store: redis_py.Redis
) -> None:
    owner = give(victim.url, store).start()
    victim.kill()
    for _ in range(2):
        with pytest.raises((redis_py.RedisError, OSError)):
            owner.orders.top_up()
    victim.start()
    owner.start()
    owner.keeps_its_lease(3 * LEASE)


def test_orders_are_carried_out_by_a_redis_that_is_full(
    give: Callable[..., Owner], victim: Server, store: redis_py.Redis
) -> None:
    owner = give(victim.url, store).start()
    store.config_set("maxmemory", 1)
    owner.orders.withdraw()
    owner.orders.top_up()
    owner.keeps_its_lease(3 * LEASE)


@pytest.mark.parametrize("rule", ["-brpop", "resetkeys ~pykiq:lease:*"])
def test_a_redis_that_forbids_them_is_told_of_once_and_asked_no_more(
    give: Callable[..., Owner], redis: redis_py.Redis, redis_url: str, rule: str
) -> None:
    redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", "~*", "+@all", *rule.split())
    owner = give(redis_url.replace("//", "//narrow:secret@"))
    owner.berth.renew(redis)
    try:
        with capture_logs() as lines:
            wait_until(lambda: owner.orders.top_up() or lines, what="a warning")
            connected = redis.info("stats")["total_connections_received"]
            owner.orders.top_up()
    finally:
        redis.execute_command("ACL", "DELUSER", "narrow")
    (line,) = lines
    assert line["event"] == "standing_orders_refused"
    assert line["key"] == owner.key
    assert line["next"] == "a handler that holds the interpreter's lock for longer than 0.4 s loses its jobs"
    assert redis.info("stats")["total_connections_received"] == connected
    assert owner.connections() == 0


def test_another_refusal_is_no_reason_to_give_up(
    give: Callable[..., Owner], victim: Server, store: redis_py.Redis
) -> None:
    store.config_set("min-replicas-to-write", 1)
    owner = give(victim.url, store)
    with pytest.raises(redis_py.ResponseError):
        wait_until(lambda: owner.orders.top_up(), what="a refusal")
    store.config_set("min-replicas-to-write", 0)
    owner.start()


def test_a_forked_process_closes_its_copy_of_the_connection_and_leaves_the_other(give: Callable[..., Owner]) -> None:
    owner = give().start()
    with owner.redis.client() as watching:
        child = os.fork()
        if child == 0:
            try:
                before = sockets()
                owner.orders.disown()
                os._exit(0 if len(before - sockets()) == 1 else 3)
            finally:
                os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        before = worked_off(watching)
    wait_until(lambda: worked_off(owner.redis) >= before + 2, what="two more orders worked off")
    owner.orders.top_up()
    assert owner.connections() == 1


def sockets() -> set[str]:
    """The descriptors of this process that are sockets."""
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            found[link.name] = link.readlink().as_posix()
        except OSError:
            continue  # of this very look
    return {name for name, target in found.items() if target.startswith("socket:")}


def test_orders_go_through_a_socket_in_the_file_system(give: Callable[..., Owner], tmp_path: Path) -> None:
    running = Server(options=("--unixsocket", str(tmp_path / "redis.sock"))).start()
    try:
        with running.client() as client:
            owner = give(f"unix://{tmp_path}/redis.sock", client).start()
            owner.keeps_its_lease(3 * LEASE)
            owner.orders.close()
            wait_until(lambda: owner.connections() == 0, what="Redis hearing of it")
    finally:
        running.stop()
