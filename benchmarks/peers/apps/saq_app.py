"""SAQ: one process, ten jobs at a time."""

import asyncio

import common
from saq import Queue

queue = Queue.from_url(common.URL)


async def noop(_: object, *, argument: object) -> None:
    pass


async def mark(_: object, *, argument: object) -> None:
    common.mark(argument)


async def stamp(_: object, *, argument: float) -> None:
    common.stamp(argument)


async def slow(_: object, *, argument: int) -> None:
    await asyncio.sleep(common.SLOW)
    common.note(argument)


settings = {"queue": queue, "functions": [noop, mark, stamp, slow], "concurrency": 10}

if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    loop.run_until_complete(queue.connect())
    common.push(lambda kind, argument: loop.run_until_complete(queue.enqueue(kind, argument=argument, ttl=-1)))
    loop.run_until_complete(queue.disconnect())
