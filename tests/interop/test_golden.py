"""The golden envelopes that each language once wrote (golden/written): all of them are read by every language, for ever."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import coffer
from coffer import _coffer_core as core
from golden_table import CODECS, FORMATS, PADS, SUITES, cases
from make_written import MODEL, WRITERS, by_language, load, row, text_of
from model_goldens import model_goldens
from peers import LANGUAGES, Peer, hexed
from support import RedisServer, Resp
from values import from_manifest

ROOT = Path(__file__).resolve().parents[2]
Golden = dict[str, Any]


def expected(reader: Peer, golden: Golden) -> str:
    if reader.name in golden.get("answers", {}):
        return str(golden["answers"][reader.name])
    if golden["value"] is None:
        return "miss none"
    is_stale = golden.get("age") == "stale"
    return reader.reads(from_manifest(golden["value"]), "stale" if is_stale else "remote")


def read(reader: Peer, url: str, golden: Golden) -> str:
    """As the application would: a cache with these options, and the key."""
    reader.open(url, **golden["options"])
    if golden.get("age") != "stale":
        return reader.get(golden["key"])
    assert reader.get(golden["key"]) == "miss none"
    return reader.ask("stale", hexed(golden["key"]))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_reads_what_each_once_wrote(
    peer: Callable[[str], Peer], shared_server: RedisServer, raw: Resp, language: str, writer: str
) -> None:
    reader = peer(language)
    goldens = load(writer)
    found, wanted = {}, {}
    for golden in goldens:
        raw.call("SET", golden["wire_key"], bytes.fromhex(golden["envelope"]))
        found[golden["name"]] = (read(reader, shared_server.url, golden), re.sub("=[0-9]+", "", reader.ask("refusals")))
        refusal = golden.get("refusal")
        wanted[golden["name"]] = (expected(reader, golden), f"refusals {refusal}" if refusal else "refusals")
    assert found == wanted
    assert len(found) == len(goldens) > 20


@pytest.mark.parametrize("writer", WRITERS)
def test_each_writer_wrote_its_whole_table(peer: Callable[[str], Peer], writer: str) -> None:
    wanted = [case.name for case in cases() if writer == MODEL or peer(writer).can_write(case.value)]
    names = [golden["name"] for golden in load(writer) if "suite" in golden]
    assert sorted(names) == sorted(wanted)
    formats = {golden["format"] for golden in load(writer) if "suite" in golden}
    assert formats == set(FORMATS if writer in (MODEL, "c") else (0, 1, 2))


@pytest.mark.parametrize("writer", WRITERS)
def test_each_golden_is_what_the_table_says_of_it(writer: str) -> None:
    for golden in (one for one in load(writer) if "suite" in one):
        envelope = bytes.fromhex(golden["envelope"])
        with coffer.Cache("mem://?memory=1MiB", **golden["options"]) as cache:
            seen = core.inspect(cache._handle, golden["key"], envelope)
        found = (SUITES[seen["suite"]], CODECS[seen["codec"]], seen["format"], ("value", "absent")[seen["kind"]])
        assert (seen["verdict"], *found) == ("OK", golden["suite"], golden["codec"], golden["format"], golden["kind"]), golden["name"]
        assert _pad_fits(golden["pad"], seen), golden["name"]
        assert (seen["fresh_unix_ms"] == 2**64 - 1) == (golden["age"] == "fresh"), golden["name"]


def _pad_fits(pad: str, seen: Any) -> bool:
    if seen["suite"] == 0:
        return bool(seen["pad_bytes"] == 0)
    length = 36 + seen["stored_bytes"] + seen["pad_bytes"]
    exponent = length.bit_length() - 1
    step = {"none": 1, "64": 64, "padme": 2 ** (exponent - exponent.bit_length())}[pad]
    return bool(length % step == 0 and (pad != "none" or seen["pad_bytes"] == 1))


def constants(file: str, pattern: str) -> dict[str, int]:
    text = (ROOT / file).read_text(encoding="utf-8")
    return {name: int(number) for name, number in re.findall(pattern, text)}


def test_the_table_has_all_that_the_core_can_write() -> None:
    """A new suite, codec, format or padding needs golden envelopes."""
    suites = constants("core/src/codec/envelope.c", r"\bSUITE_(\w+) = (\d+)")
    codecs = constants("core/src/codec/envelope_body.h", r"\bCOFFER__CODEC_(\w+) = (\d+)")
    formats = constants("core/include/coffer/value.h", r"\bCOFFER_FORMAT_(\w+) = (\d+)")
    pads = re.findall(r'X\(seal_pad, +"(\w+)"', (ROOT / "core/include/coffer/options.h").read_text(encoding="utf-8"))
    kinds = constants("core/src/codec/envelope.h", r"\bCOFFER__KIND_(\w+) = (\d+)")
    assert suites == {"PLAIN": 0, "SEALED": 1, "PLACEHOLDER": 2}
    assert codecs == {"STORED": 0, "ZSTD": 1, "DICTIONARY": 2}
    assert {number for number in formats.values() if number < 128} == set(FORMATS) - {200}
    assert tuple(pads) == PADS
    assert kinds == {"VALUE": 0, "ABSENT": 1}
    odd = {golden["name"] for golden in load(MODEL)}
    assert {"placeholder", "dictionary"} <= odd


def test_every_reason_to_refuse_has_a_golden() -> None:
    reasons = set(re.findall(r"X\((\w+), +-(?:6|7)\d,", (ROOT / "core/include/coffer/status.h").read_text(encoding="utf-8")))
    shown = {golden.get("refusal") for golden in load(MODEL)}
    # BAD_PAD: a seal around a wrong pad, tests/c/codec; no keyring revokes yet; the others are no reason to refuse
    assert reasons - shown == {"BAD_PAD", "REVOKED_KEY", "SEAL_UNFIT", "PLACEHOLDER"}


def test_the_models_are_the_same_each_time() -> None:
    assert text_of(load(MODEL)) == text_of(model_goldens(row))


def test_what_a_language_once_wrote_is_never_written_anew() -> None:
    for name in LANGUAGES:
        kept = {golden["name"]: golden for golden in load(name)}
        assert by_language(name, kept, "redis://nobody.invalid", None) == load(name)
