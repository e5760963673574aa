"""Pushing to Ruby: nothing runs here, a Sidekiq process of your Rails application takes these jobs.

python examples/push_to_ruby.py

# app/sidekiq/hard_job.rb
class HardJob
  include Sidekiq::Job
  sidekiq_options queue: "ruby"
  def perform(number, name, options = {}); end
end
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pykiq

HardJob = pykiq.remote("HardJob", queue="ruby", retry=5)


def with_the_class() -> None:
    """The verbs are those of a job in Ruby."""
    HardJob.perform_async(1, "two", {"three": 3})
    HardJob.perform_in(timedelta(minutes=5), 2, "later")
    HardJob.perform_at(datetime(2040, 1, 1, tzinfo=UTC), 3, "much later")
    HardJob.set(queue="low", tags=["night"]).perform_async(4, "elsewhere")
    HardJob.perform_bulk([[5, "a"], [6, "b"]], spread_interval=60)


def with_a_client() -> None:
    """Or say it with a mapping; any key of a payload may stand in it."""
    with pykiq.Client() as client:
        client.push({"class": "HardJob", "queue": "ruby", "args": [7, "with a client"], "retry": False})
        client.push_bulk({"class": "HardJob", "queue": "ruby", "args": ([n, "bulk"] for n in range(100))})


async def from_asyncio() -> None:
    await HardJob.aperform_async(8, "from asyncio")
    async with pykiq.AsyncClient() as client:
        await client.push({"class": "HardJob", "queue": "ruby", "args": [9, "and with a client"]})


def refused() -> None:
    """What JSON would change is refused, with the place where it is; nothing is written."""
    try:
        HardJob.perform_async(10, "when", {"at": datetime.now(UTC)})
    except pykiq.errors.ArgumentsError as error:
        print(error)


if __name__ == "__main__":
    with_the_class()
    with_a_client()
    asyncio.run(from_asyncio())
    refused()
