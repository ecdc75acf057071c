"""coffer inspect: keys on a real server, files, what cannot be opened, and what is no envelope."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import coffer
from coffer.cli import main
from support import RedisServer, Resp, free_port

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER_KEY = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
SEALED = {"seal_key": KEY, "seal_key_id": 7}
Inspect = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _no_keys_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COFFER_SEAL_KEY", raising=False)
    monkeypatch.delenv("COFFER_SEAL_KEY_ID", raising=False)


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str]) -> Inspect:
    def inspect(*arguments: str) -> tuple[int, str, str]:
        status = main(["inspect", *arguments])
        out, err = capsys.readouterr()
        for secret in (KEY, OTHER_KEY):
            assert secret not in out + err
        return status, out, err

    return inspect


@pytest.fixture
def fields(inspect: Inspect) -> Callable[..., Any]:
    def fields(*arguments: str, expect: int = 0) -> Any:
        status, out, err = inspect(*arguments, "--json", "-")
        assert status == expect, err
        return json.loads(out)

    return fields


@pytest.fixture
def stored(server: RedisServer, raw: Resp) -> Callable[..., bytes]:
    """Stores a value as prod:users:42 and answers its bytes on the server."""

    def stored(value: object, **options: Any) -> bytes:
        ttl = options.pop("ttl", "10m")
        with coffer.Cache(server.url, prefix="prod", namespace="users", ttl_jitter=0, **options) as cache:
            cache.set("42", value, ttl)
        version = f"@{options['version']}" if "version" in options else ""
        return raw.get(f"prod:users{version}:42")

    return stored


def at(server: RedisServer) -> list[str]:
    return ["--url", server.url, "--prefix", "prod", "--namespace", "users"]


def saved(folder: Path, data: bytes) -> str:
    path = folder / "envelope.bin"
    path.write_bytes(data)
    return str(path)


def key_file(folder: Path, key: str) -> str:
    path = folder / "key"
    path.write_text(key + "\n")
    path.chmod(0o600)
    return str(path)


# ---- keys on a server ----


def test_a_key_shows_every_field(server: RedisServer, stored: Callable[..., bytes], fields: Callable[..., Any]) -> None:
    envelope = stored({"rows": ["Ada"] * 400})
    found = fields("42", *at(server))
    assert (found["schema"], found["key"], found["bytes"]) == ("coffer-inspect/1", "prod:users:42", len(envelope))
    assert (found["verdict"], found["state"]) == ("OK", "fresh")
    header = found["envelope"]
    assert (header["version"], header["suite"], header["flags"], header["key_id"], header["opened"]) == (1, 0, 0, None, None)
    assert header["entry_id"] == envelope[8:16].hex()
    assert header["lease_unix_ms"] is None
    body = found["body"]
    assert (body["kind"], body["format"], body["format_name"], body["codec"], body["tags"]) == ("value", 2, "JSON", 1, 0)
    assert body["payload_bytes"] == len('{"rows":[]}') + 400 * len('"Ada",') - 1
    assert body["stored_bytes"] == len(envelope) - 24 - 36 - 4
    assert body["ratio"] == pytest.approx(body["payload_bytes"] / body["stored_bytes"], abs=0.001)
    assert body["fresh_unix_ms"] - body["created_unix_ms"] == 600_000
    assert (body["expires_unix_ms"], body["never"]) == (body["fresh_unix_ms"], [])
    assert 590_000 < found["server_ttl_ms"] <= 600_000
    assert not {"value", "value_hex"} & found.keys()


def test_a_person_sees_the_same(server: RedisServer, stored: Callable[..., bytes], inspect: Inspect) -> None:
    stored({"secret word": ["Ada"] * 400})
    status, out, err = inspect("42", *at(server))
    assert (status, err) == (0, "")
    for part in ("prod:users:42 on redis://", "OK, fresh", "0, not sealed, CRC-32C", "2, JSON", "1, zstd", "x smaller", "in 10.0 min"):
        assert part in out
    assert "secret word" not in out
    assert "Ada" not in out


def test_the_value_is_shown_where_it_is_asked_for(
    server: RedisServer, stored: Callable[..., bytes], inspect: Inspect, fields: Callable[..., Any]
) -> None:
    stored("Zoë\x1b[31m\n")
    assert inspect("42", *at(server), "--value")[1].endswith("\n\nZoë\\x1b[31m\\n\n")
    assert fields("42", *at(server), "--value")["value"] == "Zoë\x1b[31m\n"
    stored(b"\xff\x00")
    assert inspect("42", *at(server), "--value")[1].endswith("\n\nff00\n")
    assert fields("42", *at(server), "--value")["value_hex"] == "ff00"


def test_for_ever_absent_and_a_version(
    server: RedisServer, stored: Callable[..., bytes], fields: Callable[..., Any], inspect: Inspect
) -> None:
    stored(coffer.ABSENT, version=3, ttl="forever")
    arguments = ["42", "--url", server.unix_url, "--prefix", "prod", "--namespace", "users@3"]
    found = fields(*arguments)
    assert (found["key"], found["state"], found["body"]["kind"], found["server_ttl_ms"]) == ("prod:users@3:42", "negative", "absent", None)
    assert found["body"]["never"] == ["fresh", "expires"]
    out = inspect(*arguments, "--value")[1]
    assert "none: for ever" in out
    assert "no value to show" in out
    assert not {"value", "value_hex"} & fields(*arguments, "--value").keys()


def test_a_key_as_on_the_server(server: RedisServer, inspect: Inspect, fields: Callable[..., Any]) -> None:
    with coffer.Cache(server.url, prefix="prod", namespace="users", version=3) as cache:
        cache.set("a b:ä~", "x")
    found = fields("prod:users@3:a%20b:%C3%A4%7E", "--full-key", "--url", server.url)
    assert (found["verdict"], found["key"]) == ("OK", "prod:users@3:a%20b:%C3%A4%7E")
    assert fields("a b:ä~", "--url", server.url, "--prefix", "prod", "--namespace", "users@3")["key"] == found["key"]
    for wrong, words in {
        "prod:users": "prefix:namespace:key",
        "prod:users:#visits": "counter",
        "prod:users:a b": "not how coffer writes a key",
        "prod:users@x:a": "a namespace is",
    }.items():
        status, _, err = inspect(wrong, "--full-key", "--url", server.url)
        assert (status, words in err) == (2, True), err


def test_names_may_stand_in_the_url(server: RedisServer, stored: Callable[..., bytes], fields: Callable[..., Any]) -> None:
    stored("x", **SEALED)
    key = KEY.replace("=", "%3D")
    found = fields("42", "--url", f"{server.url}?prefix=prod&namespace=users&seal_key={key}&seal_key_id=7")
    assert (found["key"], found["verdict"], found["envelope"]["opened"]) == ("prod:users:42", "OK", True)
    wrong = OTHER_KEY.replace("=", "%3D")
    fields("42", "--url", f"{server.url}?prefix=prod&namespace=users&seal_key={wrong}&seal_key_id=7", expect=1)


def test_nothing_there_and_no_server(server: RedisServer, raw: Resp, inspect: Inspect) -> None:
    status, out, err = inspect("43", *at(server))
    assert (status, out) == (1, "")
    assert err.startswith("coffer: there is nothing under prod:users:43 on redis://")
    raw.call("LPUSH", "prod:users:list", "x")
    status, _, err = inspect("list", *at(server))
    assert (status, err.startswith("coffer: prod:users:list on redis://"), "another type" in err or "wrong kind" in err) == (
        1,
        True,
        True,
    ), err
    status, _, err = inspect("42", "--url", f"redis://user:hunter2@127.0.0.1:{free_port()}")
    assert (status, "cannot be read" in err, "hunter2" in err) == (1, True, False)


# ---- sealed ----


def test_a_sealed_one_without_a_key_shows_its_header(
    server: RedisServer, stored: Callable[..., bytes], inspect: Inspect, fields: Callable[..., Any]
) -> None:
    stored("secret", **SEALED)
    found = fields("42", *at(server))
    assert (found["state"], found["verdict"], found["body"]) == ("sealed", "UNKNOWN_KEY", None)
    assert (found["envelope"]["suite"], found["envelope"]["key_id"], found["envelope"]["opened"]) == (1, 7, False)
    assert "sealed, and no key was given (COFFER_SEAL_KEY" in inspect("42", *at(server))[1]


def test_the_smallest_one_is_told_in_the_singular(
    server: RedisServer, stored: Callable[..., bytes], inspect: Inspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored("x", seal_pad="none", **SEALED)
    monkeypatch.setenv("COFFER_SEAL_KEY", KEY)
    monkeypatch.setenv("COFFER_SEAL_KEY_ID", "7")
    out = inspect("42", *at(server))[1]
    assert "  payload        1 byte\n" in out
    assert "  padding        none\n" in out


@pytest.mark.parametrize("by", ["environment", "file"])
def test_the_key_at_hand_opens_it(
    server: RedisServer, stored: Callable[..., bytes], fields: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    stored("secret", seal_pad="64", **SEALED)
    more = []
    if by == "environment":
        monkeypatch.setenv("COFFER_SEAL_KEY", KEY)
        monkeypatch.setenv("COFFER_SEAL_KEY_ID", "7")
    else:
        monkeypatch.setenv("COFFER_SEAL_KEY", OTHER_KEY)
        more = ["--seal-key-file", key_file(tmp_path, KEY), "--seal-key-id", "7"]
    found = fields("42", *at(server), *more)
    assert (found["state"], found["envelope"]["opened"]) == ("fresh", True)
    assert (36 + found["body"]["stored_bytes"] + found["body"]["pad_bytes"]) % 64 == 0


def test_a_wrong_key_is_a_refusal(
    server: RedisServer, stored: Callable[..., bytes], inspect: Inspect, fields: Callable[..., Any], tmp_path: Path
) -> None:
    stored("secret", **SEALED)
    wrong = ["--seal-key-file", key_file(tmp_path, OTHER_KEY), "--seal-key-id"]
    assert fields("42", *at(server), *wrong, "7", expect=1)["verdict"] == "AUTH_FAILED"
    assert fields("42", *at(server), *wrong, "8", expect=1)["verdict"] == "UNKNOWN_KEY"
    status, out, _ = inspect("42", *at(server), *wrong, "7")
    assert (status, "refused: AUTH_FAILED, an envelope whose seal does not verify" in out) == (1, True)
    stored("not sealed")
    found = fields("42", *at(server), *wrong, "7", expect=1)
    assert (found["verdict"], found["body"]["format_name"]) == ("DOWNGRADE", "text")


def test_key_files_are_the_owners_alone(server: RedisServer, inspect: Inspect, tmp_path: Path) -> None:
    name = key_file(tmp_path, KEY)
    os.chmod(name, 0o640)
    status, _, err = inspect("42", *at(server), "--seal-key-file", name)
    assert (status, "chmod 600" in err) == (2, True)
    for content, words in {"": "is empty", "a passphrase": "seal_key", KEY[:-4]: "seal_key"}.items():
        status, _, err = inspect("42", *at(server), "--seal-key-file", key_file(tmp_path, content))
        assert (status, words in err, content[:8] in err if content else False) == (2, True, False), err
    status, _, err = inspect("42", *at(server), "--seal-key-file", str(tmp_path / "none"))
    assert (status, "cannot read the key file" in err) == (2, True)


# ---- files ----


@pytest.mark.parametrize("form", ["raw", "hex", "lines of hex", "standard input"])
def test_a_file_holds_bytes_or_hex(
    stored: Callable[..., bytes], fields: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    envelope = stored("text")
    text = envelope.hex().upper().encode()
    lines = b"\n".join(text[at : at + 32] for at in range(0, len(text), 32)) + b"\r\n"
    name = saved(tmp_path, {"raw": envelope, "hex": text, "lines of hex": lines}.get(form, b"x"))
    if form == "standard input":
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(envelope)))
        name = "-"
    found = fields(name, "--value")
    assert (found["verdict"], found["value"], found["key"], found["server_ttl_ms"]) == ("OK", "text", None, None)
    assert found["bytes"] == len(envelope)


def test_a_sealed_file_opens_as_what_it_was_stored_as(
    stored: Callable[..., bytes], fields: Callable[..., Any], inspect: Inspect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = saved(tmp_path, stored("text", version=3, **SEALED))
    monkeypatch.setenv("COFFER_SEAL_KEY", KEY)
    monkeypatch.setenv("COFFER_SEAL_KEY_ID", "7")
    assert fields(name)["state"] == "sealed"
    assert "--key, --prefix and --namespace" in inspect(name)[1]
    assert fields(name, "--prefix", "prod", "--namespace", "users@3", "--key", "42")["verdict"] == "OK"
    assert fields(name, "--prefix", "prod", "--namespace", "users", "--key", "42", expect=1)["verdict"] == "AUTH_FAILED"


def test_golden_envelopes_are_shown(fields: Callable[..., Any], tmp_path: Path) -> None:
    """Those of the model: tags, leases, costs, and every reason for which all refuse one."""
    rows = json.loads((Path(__file__).parents[2] / "interop/golden/written/model.json").read_text(encoding="utf-8"))
    refused = 0
    for row in rows:
        if "seal_key" in row["options"]:
            continue
        is_refused = row.get("refusal", "UNKNOWN_KEY") != "UNKNOWN_KEY"  # that one: no key was given
        envelope = bytes.fromhex(row["envelope"])
        found = fields(saved(tmp_path, envelope), expect=int(is_refused))
        if found["envelope"] is not None:
            assert [found["envelope"][name] for name in ("version", "suite", "flags")] == list(envelope[1:4]), row["name"]
        if "refusal" in row:
            assert found["verdict"] == row["refusal"], row["name"]
            refused += 1
    assert refused > 12


def test_leases_tags_and_ends_of_life(fields: Callable[..., Any], tmp_path: Path) -> None:
    rows = json.loads((Path(__file__).parents[2] / "interop/golden/written/model.json").read_text(encoding="utf-8"))
    by_name = {row["name"]: fields(saved(tmp_path, bytes.fromhex(row["envelope"]))) for row in rows if row["name"] in STATES}
    assert {name: found["state"] for name, found in by_name.items()} == STATES
    tagged = by_name["tags-lease-cost"]
    assert (tagged["envelope"]["lease_unix_ms"], tagged["body"]["tags"], tagged["body"]["load_cost_ms"]) == (1767225605000, 2, 37)


STATES = {
    "tags-lease-cost": "fresh",
    "plain-stored-text-stale": "stale",
    "plain-stored-absent": "negative",
    "expired": "expired",
    "expired-absence": "expired",
    "placeholder": "placeholder",
}


def test_bad_files_have_a_sentence(inspect: Inspect, tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(3 * 1024**3)
    for name, words in {
        str(tmp_path / "none"): "No such file",
        str(tmp_path): "Is a directory",
        saved(tmp_path, b""): "is empty",
        str(huge): "larger than any envelope",
        "a\0b": "cannot read a\\x00b",
    }.items():
        status, out, err = inspect(name)
        assert (status, out, err.startswith("coffer: "), words in err) == (2, "", True, True), err
        assert err.count("\n") == 1
    status, _, err = inspect(saved(tmp_path, b"c50100\n0"))
    assert (status, "odd number of hex digits" in err) == (2, True)
    status, _, err = inspect(saved(tmp_path, b" \n "))
    assert (status, "is empty" in err) == (2, True)


def test_what_is_no_envelope_is_refused_in_the_words_of_the_counters(
    stored: Callable[..., bytes], inspect: Inspect, fields: Callable[..., Any], tmp_path: Path
) -> None:
    envelope = stored("text")
    for data, verdict in {b"some text": "BAD_MAGIC", envelope[:30]: "BAD_LENGTH", envelope[:-1]: "BAD_CRC", b"\xc5": "BAD_LENGTH"}.items():
        found = fields(saved(tmp_path, data), expect=1)
        assert (found["verdict"], found["state"], found["body"]) == (verdict, "refused", None)
    status, out, _ = inspect(saved(tmp_path, envelope[:-1]))
    assert (status, "refused: BAD_CRC, an envelope with a wrong checksum" in out) == (1, True)
    assert "no value to show" in inspect(saved(tmp_path, envelope[:-1]), "--value")[1]


def test_arguments_that_do_not_go_together(inspect: Inspect, server: RedisServer, tmp_path: Path) -> None:
    name = saved(tmp_path, b"x")
    for arguments, words in (
        (["42", "--url", "mem://"], "lives in the process"),
        (["42", "--url", server.url, "--key", "42"], "with --url the argument is the key"),
        ([name, "--full-key"], "give --url too"),
        (["a:b:c", "--url", server.url, "--full-key", "--prefix", "a"], "without --prefix"),
        (["42", "--url", server.url, "--prefix", "a:b"], "prefix"),
        (["42", "--url", "http://x"], "must begin with"),
        (["42", "--url", server.url, "--namespace", "a b"], "a namespace is"),
    ):
        status, out, err = inspect(*arguments)
        assert (status, out, words in err) == (2, "", True), err
    assert main(["inspect"]) == 2


def test_json_goes_to_a_file(stored: Callable[..., bytes], inspect: Inspect, tmp_path: Path) -> None:
    name = saved(tmp_path, stored("text"))
    assert inspect(name, "--json", str(tmp_path / "out.json")) == (0, "", "")
    assert json.loads((tmp_path / "out.json").read_text())["state"] == "fresh"
    assert inspect(name, "--json", str(tmp_path / "none" / "out.json"))[0] == 2


def test_times_that_never_were(stored: Callable[..., bytes], inspect: Inspect, tmp_path: Path) -> None:
    """A header's lease is nobody's word: any number."""
    envelope = stored("text")
    for lease, words in {2**64 - 1: "never", 2**63: "after the year 9999", 1: "1970-01-01 00:00:00.001 UTC"}.items():
        status, out, _ = inspect(saved(tmp_path, envelope[:16] + lease.to_bytes(8, "big") + envelope[24:]))
        assert (status, words in out) == (0, True)


def test_the_readme_shows_what_is_shown(server: RedisServer, stored: Callable[..., bytes], inspect: Inspect, tmp_path: Path) -> None:
    stored({"rows": ["Ada"] * 400}, compress="trusted", seal_pad="64", **SEALED)
    key = ["--seal-key-file", key_file(tmp_path, KEY), "--seal-key-id", "7"]
    shown = inspect("42", *at(server), *key)[1]
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    fence = readme.partition("\n```\nprod:users:42 on redis://localhost\n\n")[2].partition("```\n")[0]
    assert [line[:17] for line in fence.splitlines()] == [line[:17] for line in shown.splitlines()[2:]]
