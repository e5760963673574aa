"""Huey: ten threads, results not kept."""

import common
from huey import RedisHuey

huey = RedisHuey("bench", url=common.URL, results=False)
tasks = {kind: huey.task(name=kind)(handler) for kind, handler in common.KINDS.items()}

if __name__ == "__main__":
    common.push(lambda kind, argument: tasks[kind](argument))
