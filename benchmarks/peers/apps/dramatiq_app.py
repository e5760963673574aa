"""Dramatiq: one process, ten threads."""

import common
import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=common.URL))
actors = {kind: dramatiq.actor(handler) for kind, handler in common.KINDS.items()}

if __name__ == "__main__":
    common.push(lambda kind, argument: actors[kind].send(argument))
