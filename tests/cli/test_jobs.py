"""`pykiq retries`, `scheduled`, `dead`: what they show, and that an action does to the right jobs what it says."""

from __future__ import annotations

import time

import pytest
import redis as redis_py

from tests.admin.conftest import failed, members, packed
from tests.cli.inside import Command

HOUR = 3600


@pytest.fixture
def filled(redis: redis_py.Redis) -> redis_py.Redis:
    """Four retries of two classes, two scheduled jobs, three dead ones of which one is no job."""
    now = time.time()
    redis.zadd(
        "retry",
        {
            failed(1, failed_at=now - 5 * HOUR): now + 10,
            failed(2, failed_at=now - 5 * HOUR, retried_at=now - 60): now + 20,
            failed(3, **{"class": "Billing::ChargeJob"}, error_message="card\x1b[31m declined", queue="high"): now + 30,
            failed(4, error_class="TimeoutError", error_message="slow"): now + 40,
        },
    )
    redis.zadd("schedule", {packed(11): now + HOUR, packed(12): now + 2 * HOUR})
    redis.zadd("dead", {failed(21): now - 3 * HOUR, failed(22): now - HOUR, b"not json": now - 60})
    return redis


def test_retries_are_a_table_with_the_next_one_first(filled: redis_py.Redis, command: Command) -> None:
    ran = command("retries")
    assert (ran.code, ran.err) == (0, "")
    head, *rows = ran.out.splitlines()
    assert head.split() == ["due", "jid", "queue", "class", "args", "retries", "error"]
    assert [row.split()[3] for row in rows] == [f"{n:024x}" for n in (1, 2, 3, 4)]
    assert rows[0].startswith("in ")
    assert rows[0].endswith("HardJob             1           0  OrderError: no stock")
    assert "card\\x1b[31m declined" in rows[2]


def test_an_error_s_class_is_told_without_its_modules(redis: redis_py.Redis, command: Command) -> None:
    redis.zadd("dead", {failed(1, error_class="app.billing.errors.CardError", error_message="declined."): 1})
    assert command("dead").out.splitlines()[1].endswith("  CardError: declined.")
    assert command("dead", "--error", "billing.errors", "--json").lines
    assert "app.billing.errors.CardError" in command("dead", f"{1:024x}").out


def test_scheduled_and_dead_jobs_are_tables_too(filled: redis_py.Redis, command: Command) -> None:
    scheduled = command("scheduled").out.splitlines()
    assert scheduled[0].split() == ["due", "jid", "queue", "class", "args"]
    assert [row.split()[-1] for row in scheduled[1:]] == ["11", "12"]
    dead = command("dead").out.splitlines()
    assert dead[0].split() == ["died", "jid", "queue", "class", "args", "error"]
    assert "not json" in dead[1]
    assert dead[2].startswith("1 h ")


def test_an_empty_set_says_so_beside_its_output(command: Command) -> None:
    assert command("retries")[:] == (0, "", "no retries\n")
    assert command("scheduled")[:] == (0, "", "nothing is scheduled\n")
    assert command("dead", "--json")[:] == (0, "", "")


def test_json_has_every_job_with_its_payload_as_it_is(redis: redis_py.Redis, command: Command) -> None:
    raw = b'{ "class":"A","args":[1e400, 12345678901234567890123, "\xff\xe2\x80\xa8"],\n "jid":"x"}'
    redis.zadd("dead", {raw: 5.5, b"not json": 6.5})
    ran = command("dead", "--json")
    assert '"job": { "class":"A","args":[1e400, 12345678901234567890123, "\ufffd\\u2028"],  "jid":"x"}}' in ran.out
    unreadable, odd = ran.out.strip().split("\n")
    assert '"job": null, "raw": "not json"' in unreadable
    assert '"set": "dead", "score": 5.5, "at": "1970-01-01T00:00:05.500000+00:00"' in odd


def test_a_long_set_is_cut_and_says_so(redis: redis_py.Redis, command: Command) -> None:
    redis.zadd("retry", {failed(n): n for n in range(150)})
    ran = command("retries")
    assert len(ran.out.splitlines()) == 101
    assert ran.err == "and more; --limit shows more than 100\n"
    assert len(command("retries", "--limit", "3").out.splitlines()) == 4
    assert len(command("retries", "--json").lines) == 150
    assert len(command("retries", "--json", "--limit", "2").lines) == 2


@pytest.mark.parametrize(
    ("flags", "numbers"),
    [
        (["--class", "HardJob"], [1, 2, 4]),
        (["--class", "Billing::*"], [3]),
        (["--queue", "high"], [3]),
        (["--error", "timeout"], [4]),
        (["--since", "1h"], [2]),
        (["--match", "declined"], [3]),
        (["--match", "slow*Hard"], []),
        (["--match", "Hard*slow"], [4]),
        (["--class", "HardJob", "--error", "stock"], [1, 2]),
    ],
)
def test_a_filter_shows_and_deletes_the_same_jobs(
    filled: redis_py.Redis, command: Command, flags: list[str], numbers: list[int]
) -> None:
    assert [line["job"]["args"][0] for line in command("retries", *flags, "--json").lines] == numbers
    ran = command("retries", "delete", *flags, "--yes")
    assert (ran.code, ran.out) == (0, f"deleted {len(numbers)}\n")
    assert [job["args"][0] for job in members(filled, "retry")] == [n for n in (1, 2, 3, 4) if n not in numbers]


def test_one_job_is_shown_with_all_that_it_says(filled: redis_py.Redis, command: Command) -> None:
    ran = command("retries", f"{3:024x}")
    shown = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert shown["class"] == "Billing::ChargeJob"
    assert shown["error_message"] == "card\\x1b[31m declined"
    assert shown["queue"] == "high"
    assert shown["failed_at"].startswith("2026-11-22 02:36:42 UTC (")
    assert command("retries", f"{3:024x}", "--json").lines[0]["jid"] == f"{3:024x}"


def test_a_job_that_is_not_there_is_named_and_a_misspelt_action_guessed(command: Command) -> None:
    assert command("retries", "abc")[:] == (1, "", "pykiq: no job abc in retry\n")
    assert command("retries", "retyr").err == "pykiq: no job retyr in retry; did you mean `retry`?\n"


def test_jobs_are_retried_killed_deleted_and_rescheduled_by_jid_without_asking(
    filled: redis_py.Redis, command: Command
) -> None:
    assert command("retries", "retry", f"{1:024x}").out == "pushed 1\n"
    assert [job["retry_count"] for job in members(filled, "queue:low")] == [-1]
    assert command("retries", "kill", f"{2:024x}", f"{3:024x}").out == "killed 2\n"
    assert filled.zcard("dead") == 5
    assert command("retries", "delete", f"{4:024x}").out == "deleted 1\n"
    assert filled.exists("retry") == 0
    assert command("scheduled", "reschedule", f"{12:024x}", "--at", "2000000000").out == "rescheduled 1\n"
    assert filled.zscore("schedule", packed(12)) == 2_000_000_000
    assert command("scheduled", "retry", f"{11:024x}").out == "pushed 1\n"
    assert "retry_count" not in members(filled, "queue:low")[0]


def test_a_whole_set_is_rescheduled_and_no_job_is_counted_twice(redis: redis_py.Redis, command: Command) -> None:
    redis.zadd("retry", {failed(n): 1_900_000_000 + n for n in range(250)})
    for at in ("1900000200.25", "2000000000", "1000000000"):
        assert command("retries", "reschedule", "--all", "--at", at, "--yes").out == "rescheduled 250\n"
        assert {score for _, score in redis.zrange("retry", 0, -1, withscores=True)} == {float(at)}


def test_an_action_can_be_limited(filled: redis_py.Redis, command: Command, answer: list[str]) -> None:
    answer.append("yes")
    assert command("retries", "delete", "--class", "HardJob", "--limit", "2").out == "deleted 2\n"
    assert command("retries", "kill", "--all", "--limit", "1").out == "killed 1\n"
    assert answer[1:] == ["delete 2 of 4 jobs in retry?", "kill 1 of 2 jobs in retry?"]


def test_nothing_changes_when_one_of_the_jobs_is_not_there(filled: redis_py.Redis, command: Command) -> None:
    ran = command("retries", "delete", f"{1:024x}", "nobody")
    assert ran[:] == (1, "", "pykiq: no job nobody in retry; nothing was changed\n")
    assert filled.zcard("retry") == 4


def test_what_cannot_be_retried_stays_and_the_exit_code_tells(filled: redis_py.Redis, command: Command) -> None:
    ran = command("dead", "retry", "--all", "--yes")
    assert ran.code == 1
    assert ran.out == "pushed 2, 1 could not be and stay\n"
    assert ran.err.startswith("  1 × the bytes are not JSON that Ruby reads")
    assert filled.zrange("dead", 0, -1) == [b"not json"]


def test_the_outcome_is_json_for_programs(filled: redis_py.Redis, command: Command) -> None:
    told = command("dead", "retry", "--all", "--yes", "--json").lines[0]
    reasons = told.pop("reasons")
    assert told == {"done": 2, "gone": 0, "failed": 1}
    assert list(reasons.values()) == [1]
    assert command("dead", "clear", "--yes", "--json").lines == [{"done": 1, "gone": 0, "failed": 0, "reasons": {}}]


def test_it_asks_how_many_jobs_are_meant_and_takes_no_for_an_answer(
    filled: redis_py.Redis, command: Command, answer: list[str]
) -> None:
    answer.append("no")
    assert command("retries", "kill", "--class", "HardJob").out == ""
    assert command("dead", "clear").out == ""
    assert answer[1:] == ["kill 3 of 4 jobs in retry?", "delete 3 of 3 jobs in dead?"]
    assert (filled.zcard("retry"), filled.zcard("dead")) == (4, 3)


def test_a_yes_is_enough(filled: redis_py.Redis, command: Command, answer: list[str]) -> None:
    answer.append("yes")
    assert command("retries", "kill", "--class", "HardJob").out == "killed 3\n"
    assert command("dead", "clear").out == "deleted 6\n"
    assert command("retries", "delete", "--class", "Nobody").err == "nothing matches\n"
    assert answer[1:] == ["kill 3 of 4 jobs in retry?", "delete 6 of 6 jobs in dead?"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["retries", "kill"], "kill which jobs? Give JIDs, or filters such as --class, or --all"),
        (["dead", "clear", "--class", "A", "--yes"], "clear empties the whole set; use delete with JIDs, a filter"),
        (["dead", "clear", "abc", "--yes"], "clear empties the whole set; use delete with JIDs, a filter"),
        (
            ["dead", "delete", "abc", "--class", "A"],
            "delete which jobs? Give JIDs, or filters such as --class, or --all",
        ),
        (
            ["retries", "delete", "--all"],
            "this asks before it changes anything, and standard input is no terminal; add",
        ),
        (
            ["retries", "reschedule", "--all", "--yes"],
            "reschedule to when? Give --in LENGTH, such as 15m, or",
        ),
        (["retries", "kill", "--all", "--in", "5"], "--in and --at are for reschedule; kill happens now"),
        (["retries", "--since", "soon"], '--since is "soon"; expected how long ago'),
        (["retries", "--limit", "0"], '--limit is "0"; expected a whole number, 1 or more'),
        (["retries", "--limit", "x"], '--limit is "x"; expected a whole number, 1 or more'),
        (["retries", "reschedule", "--all", "--at", "15", "--yes"], '--at is "15"; expected epoch seconds or a time'),
        (["dead", "kill", "--all", "--yes"], "kill is no action on dead; expected retry, delete or clear\n"),
        (["dead", "--all"], "--all is given and no action on dead; expected retry, delete or clear\n"),
        (
            ["retries", "retyr", "--class", "A", "--yes"],
            "--yes is given and no action on retries; expected retry, kill, delete, reschedule or clear; did you",
        ),
        (["scheduled", "--in", "5"], "--in is given and no action on scheduled; expected retry, kill, delete, resch"),
        (["dead", "abc", "--class", "A"], "JIDs and filters are both given; expected one of them\n"),
    ],
)
def test_what_is_not_clear_is_refused(command: Command, arguments: list[str], message: str) -> None:
    ran = command(*arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"pykiq: {message}")


def test_a_question_says_when_the_dead_set_cannot_hold_so_many(
    redis: redis_py.Redis, command: Command, answer: list[str]
) -> None:
    answer.append("no")
    now = time.time()
    redis.zadd("dead", {packed(n): now + n for n in range(9_900)})
    redis.zadd("retry", {failed(n): now + n for n in range(200)})
    command("retries", "kill", "--all")
    command("retries", "kill", "--all", "--limit", "50")
    assert answer[1:] == [
        "kill 200 of 200 jobs in retry? The dead set keeps 10,000 and has 9,900: the oldest will be dropped.",
        "kill 50 of 200 jobs in retry?",
    ]


@pytest.mark.parametrize("words", [["dead"], ["queues", "low"]], ids=" ".join)
def test_many_jids_are_looked_up_in_one_walk(redis: redis_py.Redis, command: Command, words: list[str]) -> None:
    """`pykiq dead --json | jq -r .jid | xargs pykiq dead delete`."""
    jobs = [failed(n) for n in range(3000)]
    redis.zadd("dead", {job: n for n, job in enumerate(jobs)})
    redis.lpush("queue:low", *jobs)
    redis.sadd("queues", "low")
    jids = [f"{n:024x}" for n in range(0, 3000, 2)]
    redis.config_resetstat()
    assert [line["jid"] for line in command(*words, *jids, "--json").lines] == jids
    ran = command(*words, "delete", *jids, "nobody")
    assert ran[:] == (1, "", f"pykiq: no job nobody in {words[-1]}; nothing was changed\n")
    assert command(*words, "delete", *jids, jids[0]).out == "deleted 1,500\n"
    assert (redis.zcard("dead"), redis.llen("queue:low")) in ((1500, 3000), (3000, 1500))
    calls = {name.removeprefix("cmdstat_"): told["calls"] for name, told in redis.info("commandstats").items()}
    assert calls.get("zscan", 0) + calls.get("lrange", 0) + calls.get("evalsha", 0) < 100
