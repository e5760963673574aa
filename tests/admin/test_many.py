"""A walk over a large set or queue needs no more memory than one over a small one, nor does an action on all of it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import redis as redis_py

from pykiq.config import Config
from tests.cli.command import environment

MANY = 100_000
FILL = """
for n = 1, tonumber(ARGV[1]) do
    local job = '{"retry":true,"queue":"low","class":"HardJob","args":[' .. n .. ',"' .. string.rep('x', 200) .. '"],'
        .. '"jid":"' .. string.format('%024x', n) .. '","created_at":1.5,"enqueued_at":1.5,"retry_count":0,'
        .. '"error_class":"OrderError","error_message":"no stock","failed_at":1.5}'
    redis.call('ZADD', KEYS[1], n, job)
    redis.call('ZADD', KEYS[2], 9e9 + n, job)
    redis.call('LPUSH', KEYS[3], job)
end
redis.call('SADD', 'queues', 'low')
"""
WALK = """
import resource, sys
import pykiq
from pykiq import admin

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB

client = pykiq.Client(pykiq.Config(redis=sys.argv[1]))
walks = {
    "set": lambda: admin.DeadSet(client),
    "reversed": lambda: reversed(admin.DeadSet(client)),
    "scan": lambda: admin.DeadSet(client).scan("no stock", 1000),
    "queue": lambda: admin.Queue("low", client),
    "retry": lambda: admin.DeadSet(client).retry_each(admin.DeadSet(client)),
    "kill": lambda: admin.RetrySet(client).kill_each(admin.RetrySet(client), notify=False),
}
for name, walk in walks.items():
    seen, early = 0, 0.0
    for job in walk():
        seen += 1
        if seen == 5_000:
            early = peak()
    print(name, seen, peak() - early)
"""


@pytest.mark.system
def test_memory_does_not_grow_with_what_is_walked_over(redis: redis_py.Redis, redis_url: str) -> None:
    redis.eval(FILL, 3, "dead", "retry", "queue:low", MANY)
    ran = subprocess.run(
        [sys.executable, "-c", WALK, redis_url], env=environment(), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    walks = {name: (int(seen), float(grown)) for name, seen, grown in map(str.split, ran.stdout.splitlines())}
    assert len(walks) == 6
    assert {seen for seen, _ in walks.values()} == {MANY}, ran.stdout
    assert max(grown for _, grown in walks.values()) < 3, ran.stdout
    assert redis.llen("queue:low") == 2 * MANY
    assert redis.zcard("dead") == Config.of().dead_max_jobs - 1  # Ruby's limit, and its way to count
