"""What is told of running jobs between two beats: those that are long, once each, and their end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pykiq.observe.heartbeat import Running
from pykiq.observe.picture import LONG, Change, Picture


def runs(thread: int, run_at: float) -> Running:
    return Running(thread, "default", b"{}", run_at)


def test_a_job_is_told_of_when_it_has_run_for_a_while_and_once() -> None:
    picture = Picture()
    job = runs(1, 100.0)
    assert picture.change([job], 100.0 + LONG / 2) is None
    change = picture.change([job], 100.0 + LONG)
    assert change == Change((job,), ())
    picture.told(change)
    assert picture.change([job], 200.0) is None


def test_its_end_is_told_and_that_of_one_whose_thread_runs_another() -> None:
    picture = Picture()
    picture.told(Change((runs(1, 100.0), runs(2, 100.0)), ()))
    assert picture.change([runs(1, 100.0), runs(2, 100.0)], 101.0) is None
    change = picture.change([runs(2, 101.0)], 101.1)
    assert change is not None
    assert sorted(change.ended) == [1, 2]
    picture.told(change)
    assert picture.change([runs(2, 101.0)], 101.2) is None
    assert picture.change([runs(2, 101.0)], 101.0 + LONG) == Change((runs(2, 101.0),), ())


def test_what_a_beat_told_need_not_be_told_and_short_jobs_in_it_are_no_reason_to_write() -> None:
    picture = Picture()
    picture.told_all([runs(1, 100.0), runs(2, 100.0)], 100.1)
    assert picture.change([runs(1, 100.1), runs(2, 100.1)], 100.2) is None
    assert picture.change([], 100.3) is None
    # Whatever is written takes them along.
    change = picture.change([runs(3, 100.2)], 101.0)
    assert change is not None
    assert (change.begun, sorted(change.ended)) == ((runs(3, 100.2),), [1, 2])


Steps = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.1, 0.4, 0.6, 3.0]), st.booleans()), max_size=40)


@given(Steps)
def test_redis_has_every_long_job_and_none_that_has_ended_and_writes_are_few(
    steps: list[tuple[int, float, bool]],
) -> None:
    """A thread turns to its next job, some time passes, perhaps a beat is due; `redis` is what has been written."""
    picture, redis, now = Picture(), dict[int, float](), 100.0
    threads: dict[int, float] = {}
    writes, seen_long = 0, set[tuple[int, float]]()
    for thread, passed, beats in steps:
        threads[thread] = now
        now += passed
        running = [runs(*item) for item in threads.items()]
        long = {item for item in threads.items() if now - item[1] >= LONG}
        if beats:
            picture.told_all(running, now)
            redis = dict(threads)
        elif change := picture.change(running, now):
            writes += 1
            redis |= {one.thread: one.run_at for one in change.begun}
            for ended in change.ended:
                del redis[ended]
            picture.told(change)
            assert all(threads.get(thread) == run_at for thread, run_at in redis.items())
        seen_long |= long
        assert long <= set(redis.items())
        assert {item for item in redis.items() if item in seen_long} <= set(threads.items())
    assert writes <= 2 * len(seen_long)
