"""RQ: a pool of ten workers, each of which forks for every job."""

import common
from redis import Redis
from rq import Queue

if __name__ == "__main__":
    queue = Queue(connection=Redis.from_url(common.URL))
    common.push(lambda kind, argument: queue.enqueue(f"common.{kind}", argument, result_ttl=0))
