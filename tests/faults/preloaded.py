"""A web application under `gunicorn --preload`: its cache is opened, and used, before the workers are forked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import coffer

cache = coffer.Cache(os.environ["CACHE_URL"], on_outage="error")
cache.set("preloaded", os.getpid())  # the master has a live connection


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    number = environ["PATH_INFO"].strip("/")
    mine = f"{os.getpid()}:{number}"
    cache.set(f"page:{number}", mine)
    right = cache.get(f"page:{number}") == mine and cache.get("preloaded") == os.getppid()
    start_response("200 OK" if right else "500 Wrong", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
