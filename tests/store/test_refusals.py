"""Which refusals are everybody's, and which are one entry's."""

from __future__ import annotations

import pytest
import redis as redis_py
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from pykiq.store.refusals import concerns_all, is_demoted, is_wrong_type
from pykiq.store.scripts import Call, run, script


@pytest.mark.parametrize(
    ("error", "everybody"),
    [
        (ReadOnlyError("You can't write against a read only replica."), True),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), True),
        (BusyLoadingError("Redis is loading the dataset in memory"), True),
        (MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."), True),
        (ClusterDownError("The cluster is down"), True),
        (ResponseError("BUSY Redis is busy running a script."), True),
        (ResponseError("MISCONF Redis is configured to save RDB snapshots"), True),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), True),
        (ResponseError("Error running script (call to f_1): @user_script:4: -READONLY You can't write"), True),
        (ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), False),
        (ResponseError("Command # 1 (LPUSH queue:LOADING x) of pipeline caused error: WRONGTYPE Operation"), False),
        (ResponseError("value is not a valid float"), False),
        (NoPermissionError("No permissions to access a key"), False),
        (ValueError("anything else"), False),
    ],
)
def test_a_refusal_is_everybodys_or_one_entrys(error: Exception, everybody: bool) -> None:
    assert concerns_all(error) is everybody


def test_a_key_of_another_type_is_one_entrys_in_a_scripts_error_too(redis: redis_py.Redis) -> None:
    redis.set("pykiq:owners", "text")
    with pytest.raises(ResponseError) as told:
        run(redis, Call(script("lease"), ["pykiq:lease:BUSY LOADING", "pykiq:owners"], ["me", 1000, "[]"]))
    assert not concerns_all(told.value)


@pytest.mark.parametrize("error", [ReadOnlyError("You"), MasterDownError("Link"), BusyLoadingError("loading")])
def test_what_is_refused_for_want_of_a_master_is_refused_to_everybody(error: Exception) -> None:
    assert is_demoted(error)
    assert concerns_all(error)


@given(st.text())
def test_a_users_text_in_a_pipelines_error_says_nothing(text: str) -> None:
    told = ResponseError(f"Command # 1 (LPUSH q {text}: BUSY WRONGTYPE ) of pipeline caused error: ERR no")
    assert not concerns_all(told)
    assert not is_wrong_type(told)
