"""Values as the tests speak of them, and how each language is given and shows them.

    bytes, str              formats 0 and 1
    Json(...)               format 2: what JSON holds, or a text that is to be stored as it stands
    Payload(format, bytes)  any format, for those who write it themselves
    ABSENT                  known to have no value

`shown` writes a JSON value as a text in which equal values are written alike and all types can be told apart; peer.lua makes the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from coffer import ABSENT

EXACT_DOUBLE = 2**53


@dataclass(frozen=True)
class Json:
    value: Any

    @property
    def text(self) -> str:
        return json.dumps(self.value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Payload:
    format: int
    data: bytes


Value: TypeAlias = Any  # bytes | str | Json | Payload | ABSENT


def payload_of(value: Value) -> Payload:
    """What C stores of it."""
    if isinstance(value, bytes):
        return Payload(0, value)
    if isinstance(value, str):
        return Payload(1, value.encode())
    if isinstance(value, Json):
        return Payload(2, value.text.encode())
    assert isinstance(value, Payload)
    return value


def shown(value: Any, *, doubles: bool = False) -> str:
    """`doubles`: as where all numbers are doubles (LuaJIT)."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return f'"{value.encode().hex()}"'
    if isinstance(value, (int, float)):
        return _number(value, doubles)
    if isinstance(value, list):
        return "[" + ",".join(shown(item, doubles=doubles) for item in value) + "]"
    assert isinstance(value, dict)
    return "{" + ",".join(sorted(f"{shown(key)}:{shown(item, doubles=doubles)}" for key, item in value.items())) + "}"


def _number(number: int | float, doubles: bool) -> str:
    if isinstance(number, int) and not doubles:
        return str(number)
    text = f"{float(number):.17g}"
    return text if doubles or set(text) & set(".en") else text + ".0"


def lua_source(value: Any) -> str:
    """An expression that makes it."""
    if value is None:
        return "coffer.null"
    if value == -(2**63):
        return "(-9223372036854775807 - 1)"  # the literal's minus is an operator, and 2^63 no integer
    if isinstance(value, (bool, int)):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.17g}" if set(f"{value:.17g}") & set(".en") else f"{value:.17g}.0"
    if isinstance(value, str):
        return '"' + "".join(f"\\{byte:03d}" for byte in value.encode()) + '"'
    if isinstance(value, list):
        return "coffer.array{" + ",".join(lua_source(item) for item in value) + "}"
    assert isinstance(value, dict)
    return "{" + ",".join(f"[{lua_source(key)}]={lua_source(item)}" for key, item in value.items()) + "}"


def integers(value: Any) -> list[int]:
    """All integers in it."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [number for item in items for number in integers(item)]


def without_whole_floats(value: Any) -> Any:
    """As it is where a number that is whole has no other form."""
    if isinstance(value, float) and value.is_integer() and 0 < abs(value) <= EXACT_DOUBLE:
        return int(value)
    if isinstance(value, list):
        return [without_whole_floats(item) for item in value]
    if isinstance(value, dict):
        return {key: without_whole_floats(item) for key, item in value.items()}
    return value


# ---- as they stand in the files of golden envelopes: JSON ----


def to_manifest(value: Value) -> Any:
    if value is ABSENT:
        return "absent"
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Json):
        return {"json": value.value}
    assert isinstance(value, Payload)
    return {"format": value.format, "payload": value.data.hex()}


def from_manifest(form: Any) -> Value:
    if form == "absent":
        return ABSENT
    if "text" in form:
        return str(form["text"])
    if "bytes" in form:
        return bytes.fromhex(form["bytes"])
    if "json" in form:
        return Json(form["json"])
    return Payload(form["format"], bytes.fromhex(form["payload"]))
