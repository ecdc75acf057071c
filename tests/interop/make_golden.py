"""Writes tests/interop/golden/*.hex and the end of docs/envelope.md, from the model.

One `name: value` a line. Bytes are hex; purpose, prefix, name and version are ASCII. `writes: no`
where the bytes come from a compressor, which may make others tomorrow: such a one is only read.
"""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import envelope_model as model
from envelope_model import Binding, Entry

FOLDER = Path(__file__).parent / "golden"
DOCUMENT = Path(__file__).parents[2] / "docs" / "envelope.md"
HEADING = "## Golden envelopes\n"
INTRODUCTION = """
The files of `tests/interop/golden`, made by `tests/interop/make_golden.py`. Bytes are hex; purpose,
prefix, name and version are ASCII; `key_id: 0` is the derived one. `writes: no` where the payload
comes from a compressor, which may make other bytes tomorrow: such a one is only read. The tests of
the core read them all and write the others again, byte for byte.
"""
MASTER = bytes(range(32))
NONCE = bytes(range(0x40, 0x58))


def repeated_by_zstd(byte: bytes, count: int) -> bytes:
    """One zstd frame of one run-length block (RFC 8878), made by hand."""
    assert count <= 255
    block = struct.pack("<I", 1 | 1 << 1 | count << 3)[:3] + byte
    return bytes.fromhex("28b52ffd") + bytes([0x20, count]) + block


def common(about: str, entry: Entry, binding: Binding) -> list[str]:
    return [
        f"# {about}",
        f"purpose: {binding.purpose.decode()}",
        f"prefix: {binding.prefix.decode()}",
        f"name: {binding.name.decode()}",
        f"version: {binding.version.decode()}",
        f"key: {binding.key.hex()}",
        f"entry_id: {entry.entry_id}",
        f"lease: {entry.lease}",
        f"created: {entry.created}",
        f"fresh: {entry.fresh}",
        f"expires: {entry.expires}",
        f"load_cost: {entry.load_cost}",
        f"kind: {entry.kind}",
        f"format: {entry.format}",
        f"tag_count: {len(entry.tags)}",
        f"tags: {entry.stored_tags().hex()}",
        f"payload: {entry.payload.hex()}",
        f"writes: {'yes' if entry.stored is None else 'no'}",
    ]


def save(name: str, lines: list[str], envelope: bytes, status: str = "OK") -> None:
    text = "\n".join([*lines, f"status: {status}", f"envelope: {envelope.hex()}"])
    (FOLDER / f"{name}.hex").write_text(text + "\n")


def save_plain(name: str, about: str, entry: Entry) -> None:
    save(name, common(about, entry, Binding()), model.plain(entry))


def save_sealed(name: str, about: str, entry: Entry, binding: Binding, key_id: int, pad: str) -> None:
    lines = common(about, entry, binding)
    lines += [f"master: {base64.b64encode(MASTER).decode()}", f"key_id: {key_id}"]
    lines += [f"pad: {pad}", f"nonce: {NONCE.hex()}"]
    lines += [f"aad: {binding.aad(entry.header(1, key_id or model.key_id_of(MASTER))).hex()}"]
    save(name, lines, model.sealed(entry, binding, MASTER, key_id, NONCE, pad))


def document(text: str) -> str:
    """The specification with its last section made anew."""
    files = sorted(FOLDER.glob("*.hex"))
    fences = "".join(f"\n### {file.stem}\n\n```\n{file.read_text()}```\n" for file in files)
    return text.partition(HEADING)[0] + HEADING + INTRODUCTION + fences


def main() -> None:
    save_all()
    DOCUMENT.write_text(document(DOCUMENT.read_text()))


def save_all() -> None:
    tags = ((b"team:7", 0x0102030405060708), (b"\xff", model.NEVER))
    text = Entry(payload="Grüße".encode(), format=1, load_cost=37)
    tagged = Entry(payload=b'{"id":42}', format=2, tags=tags, lease=1767225605000)
    absent = Entry(kind=1, fresh=1767225660000, expires=1767225660000)
    run = Entry(payload=b"a" * 200, expires=model.NEVER, stored=repeated_by_zstd(b"a", 200))
    own = Entry(payload=bytes(range(256)), format=200)
    elsewhere = Binding(b"_", b"_", b"3", bytes([0, 0xFF, 0x0D, 0x0A]))

    save_plain("plain-text", "not sealed: UTF-8 text", text)
    save_plain("plain-tags", "not sealed: JSON with two tags and a lease", tagged)
    save_plain("plain-absent", "not sealed: known to be absent", absent)
    save_plain("plain-zstd", "not sealed: compressed, and for ever", run)
    save_plain("plain-own-format", "not sealed: a format of the application's, all bytes", own)
    save_sealed("sealed-text", "sealed, the key's id derived", text, Binding(), 0, "none")
    save_sealed("sealed-tags-64", "sealed, padded to 64", tagged, Binding(), 7, "64")
    save_sealed("sealed-absent", "sealed: known to be absent", absent, elsewhere, 7, "none")
    save_sealed("sealed-zstd", "sealed and compressed", run, Binding(), 7, "none")
    save_sealed("sealed-padme", "sealed, padded by Padmé", own, elsewhere, 2**32 - 1, "padme")
    waiting = Entry(lease=1767225605000)
    lines = common("a load is under way", waiting, Binding())
    save("placeholder", lines, model.placeholder(waiting), "PLACEHOLDER")


if __name__ == "__main__":
    main()
