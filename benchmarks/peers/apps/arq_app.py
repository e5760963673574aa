"""arq: one process, ten jobs at a time, results not kept."""

import asyncio

import common
from arq import create_pool
from arq.connections import RedisSettings


async def noop(_: object, __: object) -> None:
    pass


async def mark(_: object, argument: object) -> None:
    common.mark(argument)


async def stamp(_: object, pushed_at: float) -> None:
    common.stamp(pushed_at)


async def slow(_: object, number: int) -> None:
    await asyncio.sleep(common.SLOW)
    common.note(number)


class WorkerSettings:
    functions = (noop, mark, stamp, slow)
    redis_settings = RedisSettings.from_dsn(common.URL)
    max_jobs = 10
    keep_result = 0


if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    pool = loop.run_until_complete(create_pool(WorkerSettings.redis_settings))
    common.push(lambda kind, argument: loop.run_until_complete(pool.enqueue_job(kind, argument)))
    loop.run_until_complete(pool.aclose())
