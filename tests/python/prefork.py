"""Tasks for `celery -A prefork worker`: the cache is opened, and used, before the pool forks its processes, and those that replace them."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutdown

import coffer
from verified import works

TASKS = 24

app = Celery("prefork", broker="memory://")
cache = coffer.Cache(from_environment=True)
works(cache, os.getpid(), 0, 10)


@app.task
def work(number: int) -> None:
    works(cache, os.getpid(), number, 3)
    cache.set(f"task{number}", os.getpid())


@worker_ready.connect
def send(**_: Any) -> None:
    for number in range(TASKS):
        work.delay(number)


@worker_shutdown.connect
def end(**_: Any) -> None:
    works(cache, os.getpid(), 0, 10)
    cache.set("ended", {"master": os.getpid(), "made": cache.stats().pool.made})
