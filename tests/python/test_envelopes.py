"""What is on the server: sealed values tell nothing, and whatever is wrong with one is a miss that is counted."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest

import coffer
from support import RedisServer, Resp

pytestmark = pytest.mark.usefixtures("both")

SEAL_KEY = base64.b64encode(random.Random(1).randbytes(32)).decode()
OTHER_KEY = base64.b64encode(random.Random(2).randbytes(32)).decode()
SECRET = "a canary that nobody may read"
WIRE = "_:users:42"


def opened(server: RedisServer, sealed: bool = True, **options: Any) -> coffer.Cache:
    if sealed:
        options.setdefault("seal_key", SEAL_KEY)
    return coffer.Cache(server.url, **{"namespace": "users", **options})


def test_a_sealed_value_is_unreadable_and_an_open_one_is_not(server: RedisServer, raw: Resp) -> None:
    with opened(server) as cache:
        cache.set("42", SECRET)
        assert cache.get("42") == SECRET
        assert SECRET.encode() not in raw.get(WIRE)
    with opened(server, sealed=False) as cache:
        cache.set("42", SECRET)
        assert SECRET.encode() in raw.get(WIRE)


def test_two_seals_of_one_value_differ(server: RedisServer, raw: Resp) -> None:
    with opened(server) as cache:
        seen = set()
        for _ in range(20):
            cache.set("42", SECRET)
            seen.add(raw.get(WIRE))
        assert len({value[48:] for value in seen}) == 20


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "open"])
def test_every_flipped_bit_is_a_counted_miss(server: RedisServer, raw: Resp, sealed: bool) -> None:
    """But for the lease (bytes 16 to 23), which is not authenticated: the value is as it was."""
    with opened(server, sealed) as cache:
        cache.set("42", "abc")
        good = raw.get(WIRE)
        refused = 0
        for bit in range(len(good) * 8):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << (bit % 8)
            raw.call("SET", WIRE, bytes(bad))
            found = cache.get("42", default="a miss")
            if 16 <= bit // 8 < 24:
                assert found == "abc"
            else:
                assert found == "a miss", f"bit {bit} of {len(good) * 8}"
                refused += 1
                assert cache.stats().unreadable == refused, f"bit {bit} of {len(good) * 8}"
        stats = cache.stats()
        assert stats.misses == refused
        assert sum(stats.refusals.values()) == stats.unreadable
        raw.call("SET", WIRE, good)
        assert cache.get("42") == "abc"


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "open"])
def test_a_cut_envelope_is_a_miss(server: RedisServer, raw: Resp, sealed: bool) -> None:
    with opened(server, sealed) as cache:
        cache.set("42", "abc")
        good = raw.get(WIRE)
        for length in range(len(good)):
            raw.call("SET", WIRE, good[:length])
            assert cache.get("42", default="a miss") == "a miss", length
        raw.call("SET", WIRE, good + b"\x00")
        assert cache.get("42", default="a miss") == "a miss"


def refusals_of(cache: coffer.Cache) -> dict[str, int]:
    assert cache.get("42", default="a miss") == "a miss"
    return dict(cache.stats().refusals)


def test_each_refusal_has_its_name(server: RedisServer, raw: Resp) -> None:
    with opened(server) as writer:
        writer.set("42", SECRET)
    sealed = raw.get(WIRE)
    with opened(server, seal_key=OTHER_KEY) as reader:
        assert refusals_of(reader) == {"UNKNOWN_KEY": 1}
    with opened(server, sealed=False) as writer:
        writer.set("42", SECRET)
    with opened(server) as reader:
        assert refusals_of(reader) == {"DOWNGRADE": 1}
    raw.call("SET", WIRE, "not an envelope")
    with opened(server) as reader:
        assert refusals_of(reader) == {"BAD_MAGIC": 1}
    raw.call("SET", WIRE, sealed[:1] + b"\x02" + sealed[2:])
    with opened(server) as reader:
        assert refusals_of(reader) == {"BAD_VERSION": 1}
    raw.call("SET", WIRE, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with opened(server) as reader:
        assert refusals_of(reader) == {"AUTH_FAILED": 1}


def test_a_sealed_value_opens_nowhere_else(server: RedisServer, raw: Resp) -> None:
    with opened(server) as writer:
        writer.set("42", SECRET)
    sealed = raw.get(WIRE)
    for wire, options in {
        "_:users:43": {"key": "43"},
        "_:pages:42": {"namespace": "pages"},
        "prod:users:42": {"prefix": "prod"},
        "_:users@2:42": {"version": 2},
    }.items():
        raw.call("SET", wire, sealed)
        key = options.pop("key", "42")
        with opened(server, **options) as cache:
            assert cache.get(str(key), default="a miss") == "a miss", wire
            assert cache.stats().refusals == {"AUTH_FAILED": 1}


def test_bad_entries_are_loaded_anew(server: RedisServer, raw: Resp) -> None:
    raw.call("SET", WIRE, "not an envelope")
    with opened(server) as cache:
        assert cache.get_or_load("42", lambda _: "loaded") == "loaded"
        assert cache.get("42") == "loaded"
        assert cache.get_many(["42"]) == {"42": "loaded"}


def test_another_type_of_data_is_no_value(server: RedisServer, raw: Resp) -> None:
    raw.call("LPUSH", WIRE, "an element")
    with opened(server) as cache, pytest.raises(coffer.ServerError) as caught:
        cache.get("42")
    assert caught.value.status == "WRONGTYPE"


@pytest.mark.parametrize("key", ["", "c2hvcnQ=", "A" * 44, base64.b64encode(bytes(32)).decode(), SEAL_KEY + " ", "a passphrase"])
def test_a_bad_seal_key_is_refused_and_not_shown(key: str) -> None:
    if not key:
        return
    with pytest.raises(coffer.OptionError) as caught:
        coffer.Cache("mem://", seal_key=key)
    assert "seal_key" in str(caught.value)
    assert key not in str(caught.value)


def test_values_are_compressed_where_it_saves(server: RedisServer, raw: Resp) -> None:
    with opened(server, sealed=False) as cache:
        cache.set("42", "abc" * 10_000)
        assert len(raw.get(WIRE)) < 1000
        assert cache.get("42") == "abc" * 10_000
        stats = cache.stats()
        assert stats.stored_bytes < 1000 < stats.bytes_written
    with opened(server) as cache:
        cache.set("42", "abc" * 10_000)
        assert len(raw.get(WIRE)) > 30_000


def test_a_compressed_bomb_costs_a_miss(server: RedisServer, raw: Resp) -> None:
    """Forged raw length: the limit is looked at before anything is allocated."""
    with opened(server, sealed=False, max_value="1MiB") as small, opened(server, sealed=False, max_value="32MiB") as large:
        large.set("42", bytes(2**22))
        assert small.get("42", default="a miss") == "a miss"
        assert small.stats().unreadable == 1


def test_the_password_opens_the_server(server: RedisServer, raw: Resp) -> None:
    raw.call("ACL", "SETUSER", "ada", "on", ">open sesame", "+@all", "~*")
    try:
        address = f"127.0.0.1:{server.port}/1"
        with coffer.Cache(f"redis://ada:open%20sesame@{address}") as cache:
            cache.set("key", 1)
            assert cache.get("key") == 1
        with coffer.Cache(f"redis://ada:canary-wrong@{address}") as cache, pytest.raises(coffer.AuthenticationError) as caught:
            cache.get("key")
        assert "canary" not in str(caught.value)
        raw.call("SELECT", 1)
        assert raw.call("EXISTS", "_:_:key") == 1
    finally:
        raw.call("ACL", "DELUSER", "ada")
