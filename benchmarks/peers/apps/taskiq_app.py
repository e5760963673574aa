"""Taskiq: the broker on Redis streams, which acknowledges; one process, ten tasks."""

import asyncio

import common
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(url=common.URL)


@broker.task(task_name="noop")
async def noop(_: object) -> None:
    pass


@broker.task(task_name="mark")
async def mark(argument: object) -> None:
    common.mark(argument)


@broker.task(task_name="stamp")
async def stamp(pushed_at: float) -> None:
    common.stamp(pushed_at)


@broker.task(task_name="slow")
async def slow(number: int) -> None:
    await asyncio.sleep(common.SLOW)
    common.note(number)


TASKS = {"noop": noop, "mark": mark, "stamp": stamp, "slow": slow}

if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    loop.run_until_complete(broker.startup())
    common.push(lambda kind, argument: loop.run_until_complete(TASKS[kind].kiq(argument)))
    loop.run_until_complete(broker.shutdown())
