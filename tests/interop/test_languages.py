"""What one language stores the others read: every pair of C, Python, Lua 5.4 and LuaJIT, over TCP and a unix socket."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from peers import LANGUAGES, Peer, hexed
from values import ABSENT, Json, Payload, Value, payload_of

SEAL_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER_KEY = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
PeerOf = Callable[[str], Peer]

NESTED = {"name": "Ada", "tags": ["a", "b"], "nested": {"deep": [1.5, -7, None, True]}, "quote": '"\\\n\x01/\u2028😀', "": []}
VALUES: dict[str, Value] = {
    "bytes": b"\xff\x00\xfe\r\n",
    "empty bytes": b"",
    "bytes that are text": b"plain",
    "text": "Ada Lovelace ä 😀",
    "empty": "",
    "zeros": "a\0b\0",
    "looks like JSON": '{"a":1}',
    "large bytes": bytes(range(256)) * 300,
    "large text": "coffer ä " * 10000,
    "null": Json(None),
    "yes": Json(True),
    "no": Json(False),
    "zero": Json(0),
    "integer": Json(-42),
    "2^53": Json(2**53),
    "-2^53": Json(-(2**53)),
    "2^53 + 1": Json(2**53 + 1),
    "2^63 - 1": Json(2**63 - 1),
    "-2^63": Json(-(2**63)),
    "2^63": Json([2**63]),
    "10^40": Json({"n": 10**40}),
    "float": Json(0.1),
    "whole float": Json(2.0),
    "large float": Json(1.7976931348623157e308),
    "small float": Json(5e-324),
    "minus zero": Json(-0.0),
    "list": Json([1, "two", {"three": 3}, False]),
    "empty list": Json([]),
    "empty dict": Json({}),
    "nested": Json(NESTED),
    "large list": Json([NESTED] * 200),
    "MessagePack": Payload(3, b"\x81\xa1a\x01"),
    "the application's": Payload(200, b"\x00\x01own"),
    "absent": ABSENT,
}
SEALED = {"seal_key": SEAL_KEY, "seal_key_id": "7"}
WAYS: dict[str, dict[str, str]] = {
    "plain": {"compress": "never"},
    "zstd": {"compress": "always"},
    "sealed": SEALED,
    "sealed-64": {**SEALED, "seal_pad": "64"},
    "sealed-padme-zstd": {**SEALED, "seal_pad": "padme", "compress": "trusted", "compress_threshold": "64", "version": "3"},
}
PAIRS = [pytest.param(writer, reader, id=f"{writer}-{reader}") for writer, reader in itertools.product(LANGUAGES, LANGUAGES)]
OTHERS = [pytest.param(a, b, id=f"{a}-{b}") for a, b in itertools.permutations(LANGUAGES, 2)]


def opened(peer: PeerOf, url: str, *names: str, **options: str) -> list[Peer]:
    peers = [peer(name) for name in names]
    for one in dict.fromkeys(peers):
        one.open(url, prefix="interop", namespace="values", **options)
    return peers


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("writing", "reading"), PAIRS)
def test_what_one_stored_the_other_reads(peer: PeerOf, server_url: str, writing: str, reading: str, way: str) -> None:
    writer, reader = opened(peer, server_url, writing, reading, **WAYS[way])
    stored = {key: value for key, value in VALUES.items() if writer.can_write(value)}
    assert len(stored) > 24
    for key, value in stored.items():
        writer.set(key, value)
    assert {key: reader.get(key) for key in stored} == {key: reader.reads(writer.stores(value)) for key, value in stored.items()}
    assert reader.ask("refusals") == "refusals"


def test_each_value_of_the_table_is_written_by_somebody(peer: PeerOf) -> None:
    for key, value in VALUES.items():
        assert [name for name in LANGUAGES if peer(name).can_write(value)], key
    assert not peer("luajit").can_write(VALUES["2^53 + 1"])
    assert not peer("lua5.4").can_write(VALUES["2^63"])


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_conditional_writes_see_each_other(peer: PeerOf, server_url: str, one: str, other: str) -> None:
    first, second = opened(peer, server_url, one, other)
    key = hexed("key")
    assert second.ask("replace", key, second.given("too early")) == "no"
    assert first.ask("add", key, first.given("first")) == "ok"
    assert second.ask("add", key, second.given("second")) == "no"
    assert second.get("key") == second.reads("first")
    identity = second.ask("id", key).removeprefix("id ")
    assert first.ask("id", key) == f"id {identity}"
    assert first.ask("replace", key, first.given(Json([1]))) == "ok"
    assert second.ask("compare_and_set", key, identity, second.given("late")) == "no"
    identity = first.ask("id", key).removeprefix("id ")
    assert second.ask("compare_and_set", key, identity, second.given("in time")) == "ok"
    assert first.get("key") == first.reads("in time")
    second.set("gone", ABSENT)
    assert (first.ask("exists", hexed("gone")), first.get("gone")) == ("no", "miss negative")
    assert first.ask("add", hexed("gone"), first.given("back")) == "ok"
    assert second.get("gone") == second.reads("back")


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_batches_are_read_by_others(peer: PeerOf, server_url: str, one: str, other: str) -> None:
    first, second = opened(peer, server_url, one, other, **SEALED)
    values: dict[str, Value] = {"a": "text", "b": Json({"n": [1]}), "c": b"\xff\x00", "d": "coffer " * 1000}
    words = [word for key, value in values.items() for word in (hexed(key), first.given(value))]
    assert first.ask("set_many", *words) == "ok"
    keys = [hexed(key) for key in (*values, "nobody's")]
    assert second.ask("get_many", *keys).split(" ") == ["many", *map(second.form, values.values()), "-"]
    assert second.ask("delete_many", *keys[1:]) == "number 3"
    assert first.ask("get_many", *keys).split(" ") == ["many", first.form("text"), "-", "-", "-", "-"]


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_lifetimes_and_deletions_are_seen_by_others(peer: PeerOf, server_url: str, one: str, other: str) -> None:
    first, second = opened(peer, server_url, one, other, ttl_jitter="0", ttl="10m")
    key = hexed("key")
    first.set("key", "value", "1h")
    assert 3_590_000 < number(second.ask("ttl", key)) <= 3_600_000
    assert second.ask("expire", key, hexed("30s")) == "ok"
    assert 20_000 < number(first.ask("ttl", key)) <= 30_000
    assert second.ask("touch", key) == "ok"
    assert 590_000 < number(first.ask("ttl", key)) <= 600_000
    assert first.get("key") == first.reads("value")
    first.set("key", Json([]), "forever")
    assert second.ask("ttl", key) == "number -1"
    assert second.ask("delete", key) == "ok"
    assert (first.get("key"), first.ask("exists", key), first.ask("delete", key)) == ("miss none", "no", "no")


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_counters_are_shared(peer: PeerOf, server_url: str, one: str, other: str) -> None:
    first, second = opened(peer, server_url, one, other)
    assert first.ask("increment", hexed("visits"), "7") == "number 7"
    assert second.ask("increment", hexed("visits"), "-2") == "number 5"
    assert first.ask("counter", hexed("visits")) == "number 5"
    assert first.get("visits") == "miss none"


@pytest.mark.parametrize("value", ["text", b"\xff\x00", Json({"list": [1, None]}), ABSENT], ids=["text", "bytes", "json", "absent"])
@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_what_one_loaded_the_other_has(peer: PeerOf, server_url: str, one: str, other: str, value: Value) -> None:
    first, second = opened(peer, server_url, one, other, **SEALED)
    assert first.ask("load", hexed("key"), first.given(value)) == first.reads(value, "loaded")
    assert second.get("key") == second.reads(value)
    assert second.ask("load", hexed("key"), second.given("never asked for" if value is not ABSENT else ABSENT)) == second.reads(value)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_a_wrong_key_namespace_or_none_opens_nothing(peer: PeerOf, server_url: str, one: str, other: str) -> None:
    first, second = opened(peer, server_url, one, other, **SEALED)
    first.set("key", "secret")
    second.open(server_url, prefix="interop", namespace="values", seal_key=OTHER_KEY, seal_key_id="7")
    assert (second.get("key"), second.ask("refusals").partition("=")[0]) == ("miss none", "refusals AUTH_FAILED")
    second.open(server_url, prefix="interop", namespace="values", seal_key=SEAL_KEY, seal_key_id="8")
    assert (second.get("key"), second.ask("refusals").partition("=")[0]) == ("miss none", "refusals UNKNOWN_KEY")
    second.open(server_url, prefix="interop", namespace="values")
    assert (second.get("key"), second.ask("refusals").partition("=")[0]) == ("miss none", "refusals UNKNOWN_KEY")
    second.set("key", "not sealed")
    assert (first.get("key"), first.ask("refusals").partition("=")[0]) == ("miss none", "refusals DOWNGRADE")


def number(answer: str) -> int:
    return int(answer.removeprefix("number "))


def test_payloads_of_c_are_what_the_table_says() -> None:
    assert payload_of(Json({"ä": [1.0]})) == Payload(2, '{"ä":[1.0]}'.encode())
