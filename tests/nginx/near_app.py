"""A web application for gunicorn, each of whose workers opens a cache that shares its near copies with all processes of the host."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

import coffer

cache = coffer.Cache(from_environment=True)


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """/KEY is read; with a query that is stored as its value."""
    key, value = environ["PATH_INFO"].strip("/"), environ["QUERY_STRING"]
    if value:
        cache.set(key, value)
    entry = cache.get_entry(key)
    found = (None, None) if entry is None else (entry.value, entry.source)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([os.getpid(), *found]).encode()]
