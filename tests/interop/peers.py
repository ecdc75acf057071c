"""Each language as somebody who can be asked to store and read: C and Lua in a process of their own (peer.c, peer.lua), Python here.

All answer the same lines, which peer.c describes; what a value looks like in them differs, so `reads` says what a peer has to
answer for a value. COFFER_INTEROP_BUILD names another build of the C peer, COFFER_LUA_FOLDER one of Lua's modules and
COFFER_LUA_PRELOAD libraries that it needs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

import coffer
from values import ABSENT, EXACT_DOUBLE, Json, Payload, Value, integers, lua_source, payload_of, shown, without_whole_floats

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "lua"))

from interpreters import INTERPRETERS, Interpreter  # noqa: E402

BUILD = Path(os.environ.get("COFFER_INTEROP_BUILD", ROOT / "build" / "release"))
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1


def hexed(text: str | bytes) -> str:
    return (text.encode() if isinstance(text, str) else text).hex()


class Peer:
    """Speaks the lines. `ask` may be used by itself; the methods are for what every test does."""

    name: str
    formats: ClassVar[tuple[int, ...]] = (0, 1, 2)  # that it writes

    def ask(self, *words: str) -> str:
        raise NotImplementedError

    def close(self) -> None:
        """Gives back what it holds."""

    def given(self, value: Value) -> str:
        """The word that stores the value."""
        raise NotImplementedError

    def form(self, value: Value) -> str:
        """The word that a read value is answered with."""
        raise NotImplementedError

    def refuses(self, value: Value) -> str | None:
        """The status with which it refuses to read what it cannot represent."""
        return None

    def can_write(self, value: Value) -> bool:
        is_known = value is ABSENT or payload_of(value).format in self.formats
        return is_known and not isinstance(value, Payload) and self.refuses(value) is None

    def stores(self, value: Value) -> Value:
        """What others read of it."""
        return value

    def open(self, url: str, **options: str) -> None:
        words = [word for name, text in options.items() for word in (name, hexed(text))]
        assert self.ask("open", hexed(url), *words) == "ok"

    def set(self, key: str, value: Value, *ttl: str) -> None:
        assert self.ask("set", hexed(key), self.given(value), *map(hexed, ttl)) == "ok"

    def get(self, key: str) -> str:
        return self.ask("get", hexed(key))

    def reads(self, value: Value, source: str = "remote") -> str:
        """What `get` has to answer."""
        if value is ABSENT:
            return "miss negative"
        refusal = self.refuses(value)
        return f"error {refusal}" if refusal else f"value {source} {self.form(value)}"


class Process(Peer):
    """A peer behind a pipe."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=ROOT)

    def ask(self, *words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(" ".join(words) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._ended(words)
        return line.rstrip("\n")

    def _ended(self, words: tuple[str, ...]) -> None:
        _, said = self._process.communicate(timeout=30)
        raise AssertionError(f"{self.name} ended with {self._process.returncode} at {words[:2]}: {said}")

    def close(self) -> None:
        """Ends it; what it says in the end (a sanitizer's report) is a failure."""
        _, said = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, said


JSON_PAYLOAD = re.compile(r"(?<= 2:)[0-9a-f]*")


def _json_form(payload: re.Match[str]) -> str:
    """C reads the text of a JSON value; here it is looked into as others do. One that is no JSON stays as it is."""
    try:
        return shown(json.loads(bytes.fromhex(payload[0]).decode(), parse_constant=int))
    except ValueError:
        return payload[0]


class CPeer(Process):
    name = "c"
    formats = (0, 1, 2, 3, 200)

    def __init__(self) -> None:
        program = BUILD / "tests" / "interop" / "interop_peer"
        if not program.exists():
            pytest.skip("the C peer is not built (./dev build)")
        super().__init__([str(program)])

    def ask(self, *words: str) -> str:
        return JSON_PAYLOAD.sub(_json_form, super().ask(*words))

    def given(self, value: Value) -> str:
        if value is ABSENT:
            return "absent"
        payload = payload_of(value)
        return f"{payload.format}:{payload.data.hex()}"

    def form(self, value: Value) -> str:
        return f"2:{shown(value.value)}" if isinstance(value, Json) else self.given(value)

    def can_write(self, value: Value) -> bool:
        return value is ABSENT or payload_of(value).format in self.formats


class LuaPeer(Process):
    def __init__(self, interpreter: Interpreter) -> None:
        self.name = interpreter.name
        self._has_integers = interpreter.has_integers
        program = shutil.which(interpreter.name)
        folder = Path(os.environ.get("COFFER_LUA_FOLDER", ROOT / "build" / "lua")) / interpreter.version
        if program is None or not (folder / "coffer" / "core.so").exists():
            pytest.skip(f"{interpreter.name} or its module is missing (./dev build)")
        super().__init__([program, str(HERE / "peer.lua")], interpreter.environment())

    def given(self, value: Value) -> str:
        if value is ABSENT:
            return "absent"
        if isinstance(value, Json):
            return f"lua:{hexed(lua_source(value.value))}"
        payload = payload_of(value)
        return f"{payload.format}:{payload.data.hex()}"

    def form(self, value: Value) -> str:
        if isinstance(value, Json) and not isinstance(value.value, str):
            return f"v:{shown(value.value, doubles=not self._has_integers)}"
        data = value.value.encode() if isinstance(value, Json) else payload_of(value).data
        return f"s:{data.hex()}"

    def stores(self, value: Value) -> Value:
        if isinstance(value, Json) and not self._has_integers:
            return Json(without_whole_floats(value.value))
        return value

    def refuses(self, value: Value) -> str | None:
        if isinstance(value, Payload) and value.format == 3:
            return "UNSUPPORTED"
        found = integers(value.value) if isinstance(value, Json) else []
        low, high = (INTEGER_MIN, INTEGER_MAX) if self._has_integers else (-EXACT_DOUBLE, EXACT_DOUBLE)
        return "UNSUPPORTED" if any(not low <= number <= high for number in found) else None

    def can_write(self, value: Value) -> bool:
        if isinstance(value, bytes) and _is_text(value):
            return False  # a string that is UTF-8 is stored as text
        return not (isinstance(value, Json) and isinstance(value.value, str)) and super().can_write(value)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class PythonPeer(Peer):
    name = "python"

    def __init__(self) -> None:
        self._cache: Any = None
        self._values: dict[str, Value] = {}

    def given(self, value: Value) -> str:
        """Values need no text here: the word names the value itself."""
        word = repr(value)
        self._values[word] = value
        return word

    def form(self, value: Value) -> str:
        if isinstance(value, Json):
            return self.form(value.value) if isinstance(value.value, str) else f"2:{shown(value.value)}"
        if isinstance(value, str):
            return f"1:{value.encode().hex()}"
        return f"0:{payload_of(value).data.hex()}"

    def refuses(self, value: Value) -> str | None:
        return "UNSUPPORTED" if isinstance(value, Payload) and value.format == 3 else None

    def ask(self, *words: str) -> str:
        try:
            return str(getattr(self, f"_do_{words[0]}")(*words[1:]))
        except coffer.Error as error:
            return f"error {error.status}"

    def close(self) -> None:
        if self._cache is not None:
            self._cache.close()

    def _python(self, word: str) -> Any:
        value = self._values[word]
        return value.value if isinstance(value, Json) else value

    def _form_of(self, got: Any) -> str:
        return self.form(got if isinstance(got, (bytes, str)) else Json(got))

    def _do_open(self, url: str, *words: str) -> str:
        self.close()
        options: dict[str, Any] = {name: _text(word) for name, word in zip(words[::2], words[1::2], strict=True)}
        self._cache = coffer.Cache(_text(url), **options)
        return "ok"

    def _do_set(self, key: str, value: str, *ttl: str) -> str:
        self._cache.set(_text(key), self._python(value), *map(_text, ttl))
        return "ok"

    def _do_add(self, key: str, value: str) -> str:
        return _truth(self._cache.add(_text(key), self._python(value)))

    def _do_replace(self, key: str, value: str) -> str:
        return _truth(self._cache.replace(_text(key), self._python(value)))

    def _do_compare_and_set(self, key: str, identity: str, value: str) -> str:
        return _truth(self._cache.compare_and_set(_text(key), int(identity, 16), self._python(value)))

    def _do_get(self, key: str, *, stale: bool = False) -> str:
        self._cache.get(_text(key), stale=stale)  # the call that most use; it raises what it may raise
        entry = self._cache.get_entry(_text(key), stale=stale)
        if entry is None:
            return "miss none"
        return "miss negative" if entry.value is ABSENT else f"value {entry.source} {self._form_of(entry.value)}"

    def _do_stale(self, key: str) -> str:
        return self._do_get(key, stale=True)

    def _do_id(self, key: str) -> str:
        return f"id {self._cache.get_entry(_text(key)).entry_id:016x}"

    def _do_get_many(self, *keys: str) -> str:
        names = [_text(key) for key in keys]
        found = self._cache.get_many(names)
        return " ".join(["many", *(self._form_of(found[name]) if name in found else "-" for name in names)])

    def _do_set_many(self, *words: str) -> str:
        self._cache.set_many({_text(key): self._python(value) for key, value in zip(words[::2], words[1::2], strict=True)})
        return "ok"

    def _do_delete(self, key: str) -> str:
        return _truth(self._cache.delete(_text(key)))

    def _do_delete_many(self, *keys: str) -> str:
        return f"number {self._cache.delete_many([_text(key) for key in keys])}"

    def _do_exists(self, key: str) -> str:
        return _truth(self._cache.exists(_text(key)))

    def _do_ttl(self, key: str) -> str:
        left = self._cache.ttl(_text(key))
        return "no" if left is None else f"number {-1 if left == float('inf') else round(left * 1000)}"

    def _do_expire(self, key: str, ttl: str) -> str:
        return _truth(self._cache.expire(_text(key), _text(ttl)))

    def _do_touch(self, key: str) -> str:
        return _truth(self._cache.touch(_text(key)))

    def _do_increment(self, key: str, delta: str) -> str:
        return f"number {self._cache.increment(_text(key), int(delta))}"

    def _do_counter(self, key: str) -> str:
        count = self._cache.counter(_text(key))
        return "no" if count is None else f"number {count}"

    def _do_load(self, key: str, value: str) -> str:
        loaded: list[str] = []

        def loader(name: str) -> Any:
            loaded.append(name)
            return self._python(value)

        got = self._cache.get_or_load(_text(key), loader)
        if got is None and self._values[value] is ABSENT:
            return "miss negative"
        return f"value {'loaded' if loaded else 'remote'} {self._form_of(got)}"

    def _do_refusals(self) -> str:
        return " ".join(["refusals", *(f"{name}={count}" for name, count in sorted(self._cache.stats().refusals.items()))])


def _text(word: str) -> str:
    return bytes.fromhex(word).decode()


def _truth(is_done: bool) -> str:
    return "ok" if is_done else "no"


MAKERS = {
    "c": CPeer,
    "python": PythonPeer,
    **{one.name: (lambda one=one: LuaPeer(one)) for one in INTERPRETERS},
}
LANGUAGES = tuple(MAKERS)
