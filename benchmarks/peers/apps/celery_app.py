"""Celery: a prefork pool, results ignored."""

import common
from celery import Celery

app = Celery("bench", broker=common.URL)
app.conf.task_ignore_result = True
tasks = {kind: app.task(name=kind)(handler) for kind, handler in common.KINDS.items()}

if __name__ == "__main__":
    common.push(lambda kind, argument: tasks[kind].delay(argument))
