"""What one language stores the other reads: the values of interop.lua, with and without a seal, over TCP and a unix socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import coffer
from interpreters import Interpreter, every_interpreter

SCRIPT = Path(__file__).with_name("interop.lua")
SEAL_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

VALUES: dict[str, Any] = {
    "text": "Ada Lovelace ä 😀",
    "empty": "",
    "zeros": "a\0b",
    "bytes": b"\xff\x00\xfe",
    "integer": 42,
    "exact": 2**53,
    "float": 0.1,
    "yes": True,
    "no": False,
    "null": None,
    "list": [1, "two", {"three": 3}, False],
    "no_list": [],
    "no_dict": {},
    "dict": {"name": "Ada", "tags": ["a", "b"], "nested": {"deep": [1.5, -7]}, "quote": '"\\\n\x01'},
    "large": "coffer " * 10000,
}

sealed_or_not = pytest.mark.parametrize("seal_key", [None, SEAL_KEY], ids=["plain", "sealed"])


def opened(url: str, seal_key: str | None) -> coffer.Cache:
    return coffer.Cache(url, prefix="interop", namespace="values", seal_key=seal_key)


def run(lua: Interpreter, url: str, what: str, seal_key: str | None) -> None:
    lua.run(SCRIPT, url, what, *([seal_key] if seal_key else []))


@sealed_or_not
@every_interpreter
def test_lua_reads_what_python_stored(lua: Interpreter, server_url: str, seal_key: str | None) -> None:
    with opened(server_url, seal_key) as cache:
        cache.set_many({**VALUES, "wide": 2**53 + 1, "wider": [2**63]})
        cache.set("absent", coffer.ABSENT)
        cache.increment("visits", 7)
    run(lua, server_url, "check", seal_key)


@sealed_or_not
@every_interpreter
def test_python_reads_what_lua_stored(lua: Interpreter, server_url: str, seal_key: str | None) -> None:
    run(lua, server_url, "set", seal_key)
    with opened(server_url, seal_key) as cache:
        for key, value in VALUES.items():
            got = cache.get(key, default="nothing")
            assert got == value
            assert type(got) is type(value)
        entry = cache.get_entry("absent")
        assert entry is not None
        assert entry.value is coffer.ABSENT
        assert cache.counter("visits") == 7


@every_interpreter
def test_each_lua_reads_what_it_stored_itself(lua: Interpreter, server_url: str) -> None:
    run(lua, server_url, "set", None)
    with opened(server_url, None) as cache:
        cache.set_many({"wide": 2**53 + 1, "wider": 2**64})
    run(lua, server_url, "check", None)
