"""A web application for `gunicorn --preload -c python:preloaded`: its cache is opened, and used, before the workers are forked. The master
uses it again whenever one of them has ended."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

import coffer
from verified import works

cache = coffer.Cache(from_environment=True)
works(cache, os.getpid(), 0, 10)
cache.set("master", os.getpid())


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    number = int(environ["PATH_INFO"].strip("/"))
    works(cache, os.getpid(), number, 3)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"worker": os.getpid(), "number": number, "master": cache.get("master")}).encode()]


def child_exit(server: Any, worker: Any) -> None:
    """Gunicorn's hook, called in the master."""
    works(cache, os.getpid(), 0, 10)
    cache.set(f"ended{worker.pid}", {"master": os.getpid(), "made": cache.stats().pool.made})
