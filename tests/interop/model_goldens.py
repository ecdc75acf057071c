"""The golden envelopes of the model: the whole table, and odd ones that no language writes but all have to read, or to refuse."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import struct
import urllib.parse
from collections.abc import Callable
from typing import Any

import envelope_model as model
from envelope_model import NEVER, Binding, Entry
from golden_table import SEAL_KEY, Case, cases
from values import ABSENT, Json, Payload, Value, payload_of, to_manifest

Golden = dict[str, Any]
Row = Callable[..., Golden]
MASTER = base64.b64decode(SEAL_KEY)
OTHER_KEY = base64.b64encode(bytes(range(32, 64))).decode()
PLAIN = {"prefix": "golden", "namespace": "odd"}
SEALED = {**PLAIN, "seal_key": SEAL_KEY, "seal_key_id": "7"}
RUN = b"a" * 200


def zstd_frame(*blocks: bytes | tuple[bytes, int]) -> bytes:
    """One frame (RFC 8878), made by hand: bytes as they are, and runs of one byte."""
    out, count = b"", 0
    for index, block in enumerate(blocks):
        is_last = index == len(blocks) - 1
        size = len(block) if isinstance(block, bytes) else block[1]
        kind = 0 if isinstance(block, bytes) else 1
        out += struct.pack("<I", is_last | kind << 1 | size << 3)[:3] + (block if isinstance(block, bytes) else block[0])
        count += size
    assert count <= 255
    return bytes.fromhex("28b52ffd") + bytes([0x20, count]) + out


# Values that are easily made compressed by hand: another (value, frame) for each format.
ZSTD: dict[int, tuple[Value, bytes]] = {
    0: (b"\xff" * 200, zstd_frame((b"\xff", 200))),
    1: (RUN.decode(), zstd_frame((b"a", 200))),
    2: (Json([RUN.decode(), 2**53]), zstd_frame(b'["', (b"a", 200), b'",9007199254740992]')),
    3: (Payload(3, b"\xdc\x00\xc8" + b"\xc0" * 200), zstd_frame(b"\xdc\x00\xc8", (b"\xc0", 200))),
    200: (Payload(200, RUN), zstd_frame((b"a", 200))),
}


def entry_of(name: str, value: Value, **fields: Any) -> Entry:
    known = {"payload": b"", "kind": 1} if value is ABSENT else {"payload": payload_of(value).data, "format": payload_of(value).format}
    identity = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return Entry(**{**known, "entry_id": identity, "fresh": NEVER, "expires": NEVER, **fields})


def wire_key(options: dict[str, str], key: str) -> str:
    version = options.get("version")
    escaped = urllib.parse.quote(key, safe=":_.@/+=,-").replace("~", "%7E")
    return f"{options['prefix']}:{options['namespace']}{f'@{version}' if version else ''}:{escaped}"


def bytes_of(name: str, entry: Entry, options: dict[str, str], key: str) -> bytes:
    """The envelope, sealed where the options have a key."""
    if "seal_key" not in options:
        return model.plain(entry)
    names = (options["prefix"], options["namespace"], options.get("version", ""), key)
    binding = Binding(*(part.encode() for part in names))
    nonce = hashlib.sha256(b"nonce " + name.encode()).digest()[:24]
    master = base64.b64decode(options["seal_key"])
    return model.sealed(entry, binding, master, int(options["seal_key_id"]), nonce, options.get("seal_pad", "none"))


# ---- the table ----


def of_case(row: Row, case: Case) -> Golden:
    value, stored = ZSTD[case.format] if case.codec == "zstd" else (case.value, None)
    times = {"fresh": Entry().created + 1} if case.age == "stale" else {}
    entry = entry_of(case.name, value, stored=stored, **times)
    envelope = bytes_of(case.name, entry, case.options, case.key)
    return row(case.name, case.options, case.key, wire_key(case.options, case.key), to_manifest(value), envelope, of=case)


# ---- odd ones ----


class Odd:
    """Collects them."""

    def __init__(self, row: Row) -> None:
        self.goldens: list[Golden] = []
        self._row = row

    def add(self, name: str, options: dict[str, str], value: Value | None, envelope: bytes, **more: Any) -> None:
        key = f"{name}:42"
        self.goldens.append(
            self._row(name, options, key, wire_key(options, key), None if value is None else to_manifest(value), envelope) | more
        )

    def reads(self, name: str, value: Value, options: dict[str, str] = PLAIN, **fields: Any) -> None:
        """One that is in order."""
        self.add(name, options, value, bytes_of(name, entry_of(name, value, **fields), options, f"{name}:42"))

    def answers(self, name: str, payload: Payload, **answers: str) -> None:
        """One whose envelope is in order and whose payload is not what its format says."""
        self.add(name, PLAIN, payload, model.plain(entry_of(name, payload)), answers=answers)

    def refused(self, name: str, why: str, envelope: bytes, options: dict[str, str] = PLAIN) -> None:
        """A miss to all, for this reason."""
        self.add(name, options, None, envelope, refusal=why)


TAGS = ((b"team:7", 0x0102030405060708), (b"\xff", NEVER))


def add_values(odd: Odd) -> None:
    odd.reads("tags-lease-cost", Json({"id": 42}), tags=TAGS, lease=1767225605000, load_cost=37)
    odd.reads("tags-lease-cost-sealed", Json({"id": 42}), SEALED, tags=TAGS, lease=NEVER, load_cost=2**32 - 1)
    odd.reads("nothing", b"")
    odd.reads("nothing-sealed", "", {**SEALED, "seal_pad": "64"})
    odd.reads("compressed-nothing", b"", stored=bytes.fromhex("28b52ffd2000010000"))
    odd.reads("application-255", Payload(255, b"\x00\xff"))
    numbers = [2**53, -(2**53), 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64, 0.1, 2.0, -0.0, 5e-324, 1.7976931348623157e308]
    for number in numbers:
        odd.reads(f"number-{number}", Json([number]))
    for word in (None, True, False, "text", [], {}):
        odd.reads(f"json-{word}", Json(word))
    text = b' { "\\u00e4\\ud83d\\ude00" : [ "\\n\\u0000\\/" , 1e2 , -1 ] ,\n "" : {} } '
    value = Json({"ä😀": ["\n\0/", 100.0, -1], "": {}})
    odd.add("json-escapes", PLAIN, value, model.plain(Entry(payload=text, format=2, fresh=NEVER, expires=NEVER)))


NO_TEXTS = {"not-utf-8": b"a\xff", "surrogate": b"\xed\xa0\x80", "overlong": b"\xc0\x80"}
NO_JSON = {
    "cut": b'{"a":',
    "empty": b"",
    "two": b"1 2",
    "nan": b"[NaN]",
    "not-utf-8": b'["\xff"]',
    "bom": b"\xef\xbb\xbf1",
}


def add_payloads(odd: Odd) -> None:
    broken = dict.fromkeys(("python", "lua5.4", "luajit"), "error BAD_FORMAT")  # C does not look into a payload
    for name, payload in NO_TEXTS.items():
        odd.answers(f"text-{name}", Payload(1, payload), **broken)
    for name, payload in NO_JSON.items():
        odd.answers(f"json-{name}", Payload(2, payload), **broken)


def summed(header: bytes, body: bytes) -> bytes:
    return header + body + model.u(4, model.crc32c(header[:16] + body))


def add_refused(odd: Odd) -> None:
    entry = entry_of("refused", "text")
    whole, header, body = model.plain(entry), entry.header(0, 0), entry.body()
    odd.add("placeholder", PLAIN, None, model.placeholder(dataclasses.replace(entry, lease=NEVER)))
    odd.add("expired", PLAIN, None, model.plain(dataclasses.replace(entry, fresh=Entry().created + 1, expires=Entry().created + 2)))
    odd.add("expired-absence", PLAIN, None, model.plain(entry_of("expired-absence", ABSENT, fresh=1, expires=1)))
    odd.refused("no-envelope", "BAD_MAGIC", b"some text")
    odd.refused("version-2", "BAD_VERSION", whole[:1] + b"\x02" + whole[2:])
    odd.refused("suite-3", "BAD_SUITE", whole[:2] + b"\x03" + whole[3:])
    odd.refused("a-flag", "BAD_FLAGS", summed(header[:3] + b"\x01" + header[4:], body))
    odd.refused("key-id-without-seal", "BAD_KEY_ID", summed(header[:4] + model.u(4, 7) + header[8:], body))
    odd.refused("cut", "BAD_LENGTH", whole[:40])
    odd.refused("a-bit", "BAD_CRC", whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    odd.refused("kind-2", "BAD_KIND", summed(header, b"\x02" + body[1:]))
    odd.refused("codec-3", "BAD_CODEC", summed(header, body[:1] + b"\x03" + body[2:]))
    odd.refused("dictionary", "BAD_DICTIONARY", summed(header, body[:1] + b"\x02" + body[2:]))
    odd.refused("format-4", "BAD_FORMAT", summed(header, body[:2] + b"\x04" + body[3:]))
    odd.refused("format-127", "BAD_FORMAT", summed(header, body[:2] + b"\x7f" + body[3:]))
    odd.refused("tags-beyond", "BAD_TAGS", summed(header, body[:3] + b"\x01" + body[4:]))
    odd.refused("not-zstd", "DECOMP", summed(header, body[:1] + b"\x01" + body[2:]))
    odd.refused("bomb", "DECOMP", model.plain(dataclasses.replace(entry, payload=b"a" * 2_000_000, stored=zstd_frame((b"a", 200)))))


def add_unopened(odd: Odd) -> None:
    def envelope(name: str, options: dict[str, str], key: str | None = None) -> bytes:
        return bytes_of(name, entry_of(name, "secret"), options, key or f"{name}:42")

    odd.refused("not-sealed", "DOWNGRADE", envelope("not-sealed", PLAIN), SEALED)
    odd.refused("no-key", "UNKNOWN_KEY", envelope("no-key", SEALED))
    odd.refused("another-id", "UNKNOWN_KEY", envelope("another-id", {**SEALED, "seal_key_id": "8"}), SEALED)
    odd.refused("another-key", "AUTH_FAILED", envelope("another-key", {**SEALED, "seal_key": OTHER_KEY}), SEALED)
    odd.refused("moved", "AUTH_FAILED", envelope("moved", SEALED, "elsewhere"), SEALED)
    odd.refused("another-namespace", "AUTH_FAILED", envelope("another-namespace", {**SEALED, "namespace": "even"}), SEALED)
    odd.refused("another-version", "AUTH_FAILED", envelope("another-version", {**SEALED, "version": "1"}), SEALED)
    odd.refused("another-prefix", "AUTH_FAILED", envelope("another-prefix", {**SEALED, "prefix": "test"}), SEALED)
    sealed = envelope("sealed-bit", SEALED)
    odd.refused("sealed-bit", "AUTH_FAILED", sealed[:60] + bytes([sealed[60] ^ 1]) + sealed[61:], SEALED)
    odd.refused("sealed-cut", "BAD_LENGTH", sealed[:100], SEALED)


def model_goldens(row: Row) -> list[Golden]:
    """All of them, the same each time."""
    odd = Odd(row)
    for add in (add_values, add_payloads, add_refused, add_unopened):
        add(odd)
    return [of_case(row, case) for case in cases()] + odd.goldens
