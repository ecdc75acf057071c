"""What callers may give: keys, times, options, numbers. What they may not is refused at the call, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import coffer
from support import name_of

pytestmark = pytest.mark.usefixtures("both")


@pytest.mark.parametrize("key", ["a", "a:b", "{}", "{a}{b}", "a{b", "%s%n", "\u00e9\u4e2d", " spaced ", "x" * 250, b"bytes", "a/b+c=d,e@f"])
def test_a_good_key_finds_its_value_and_no_other(cache: coffer.Cache, key: str | bytes) -> None:
    cache.set("neighbour", "other")
    cache.set(key, "mine")
    assert cache.get(key) == "mine"
    assert cache.get_many([key, "neighbour", "nobody"]) == {key: "mine", "neighbour": "other"}
    assert cache.delete(key)
    assert cache.get("neighbour") == "other"


@pytest.mark.parametrize("key", ["", b"", "x" * 251, "nul\x00", "line\r\n", "\x7f", b"\xff\xfe", "\ud800"], ids=name_of)
def test_a_bad_key_is_refused(memory: coffer.Cache, key: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: memory.get(key),
        lambda: memory.set(key, 1),
        lambda: memory.delete(key),
        lambda: memory.exists(key),
        lambda: memory.increment(key),
        lambda: memory.get_many([key]),
        lambda: memory.set_many({key: 1}),
        lambda: memory.delete_many([key]),
        lambda: memory.get_or_load(key, lambda _: 1),
    ]
    for call in calls:
        with pytest.raises(coffer.KeyInvalidError):
            call()


class Name(str):
    pass


def test_a_subclass_of_str_is_a_key_by_its_text(cache: coffer.Cache) -> None:
    cache.set(Name("key"), 1)
    assert cache.get("key") == 1
    assert cache.get_many([Name("key")]) == {"key": 1}


def test_bytes_rules_take_any_key(url: str) -> None:
    with coffer.Cache(url, key_rules="bytes") as cache:
        for key in (bytes(range(256)), b"\r\n\x00", b"\xff"):
            cache.set(key, key)
            assert cache.get(key) == key


@pytest.mark.parametrize("key", [None, 42, 1.5, ("a",), ["a"], bytearray(b"a"), memoryview(b"a")], ids=name_of)
def test_a_key_is_str_or_bytes(memory: coffer.Cache, key: Any) -> None:
    with pytest.raises(coffer.ValueTypeError, match=f"not {type(key).__name__}"):
        memory.get(key)
    with pytest.raises(TypeError):
        memory.set(key, 1)


def test_one_key_is_no_list_of_keys(memory: coffer.Cache) -> None:
    for call in (memory.get_many, memory.delete_many):
        with pytest.raises(coffer.ValueTypeError):
            call("abc")


def test_joined_keys_never_meet() -> None:
    assert coffer.key("a", "b:c") == "a:b%3Ac"
    assert coffer.Cache.key("user", 42) == "user:42"
    parts = ["", "a", ":", "%", "a:", ":a", "%3A", "a%3Ab", "::"]
    lists = [(one,) for one in parts] + [(one, two) for one in parts for two in parts]
    assert len({coffer.key(*given) for given in lists}) == len(lists)
    for bad in ((), (None,), (True,), (1.5,), (b"a",)):
        with pytest.raises(coffer.ArgumentError):
            coffer.key(*bad)  # type: ignore[arg-type]


# ---- times ----

BAD_TIMES: list[Any] = [
    0,
    -1,
    0.0,
    -0.5,
    math.nan,
    math.inf,
    -math.inf,
    1e308,
    2**63,
    10**400,
    True,
    False,
    timedelta(0),
    timedelta(seconds=-1),
    "",
    "0",
    "-1s",
    "soon",
    "1 fortnight",
    "nan",
    "inf",
    "5m5",
    "\ud800",
    b"30m",
    [1],
    object(),
]


@pytest.mark.parametrize("ttl", BAD_TIMES, ids=name_of)
def test_a_bad_ttl_is_refused_and_never_for_ever(memory: coffer.Cache, ttl: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: memory.set("key", 1, ttl=ttl),
        lambda: memory.add("key", 1, ttl=ttl),
        lambda: memory.set_many({"key": 1}, ttl=ttl),
        lambda: memory.expire("key", ttl),
        lambda: memory.increment("key", ttl=ttl),
        lambda: memory.get_or_load("key", lambda _: 1, ttl=ttl),
        lambda: memory.get("key", timeout=ttl),
    ]
    for call in calls:
        with pytest.raises(coffer.ArgumentError) as caught:
            call()
        assert isinstance(caught.value, ValueError)
    assert not memory.exists("key")


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        (timedelta(minutes=2), 120),
        ("30m", 1800),
        ("250ms", 0.25),
        ("90", 90),
        ("short", 300),
        ("persistent", 604_800),
        ("forever", math.inf),
    ],
)
def test_a_ttl_is_seconds_a_timedelta_or_text(url: str, ttl: Any, seconds: float) -> None:
    with coffer.Cache(url, ttl_jitter=0) as cache:
        cache.set("key", 1, ttl=ttl)
        left = cache.ttl("key")
        assert left is not None
        assert left == seconds or seconds - 0.2 < left <= seconds


def test_a_millisecond_is_a_ttl(memory: coffer.Cache) -> None:
    memory.set("key", 1, ttl=0.001)
    memory.set("key", 1, ttl=timedelta(milliseconds=1))
    memory.set("key", 1, ttl="1ms")


def test_a_timeout_cannot_be_for_ever(memory: coffer.Cache) -> None:
    with pytest.raises(coffer.ArgumentError):
        memory.get("key", timeout="forever")


def test_expire_needs_a_ttl(memory: coffer.Cache) -> None:
    with pytest.raises(coffer.ArgumentError):
        memory.expire("key", None)  # type: ignore[arg-type]


# ---- numbers ----


@pytest.mark.parametrize("number", [True, 1.0, "1", None, 2**63, -(2**63) - 1], ids=name_of)
def test_a_delta_is_an_int_of_64_bits(memory: coffer.Cache, number: Any) -> None:
    with pytest.raises(coffer.ArgumentError):
        memory.increment("key", number)
    assert memory.counter("key") is None


@pytest.mark.parametrize("number", [True, 1.0, None, -1, 2**64], ids=name_of)
def test_an_entry_id_is_an_int_of_64_bits(memory: coffer.Cache, number: Any) -> None:
    with pytest.raises(coffer.ArgumentError):
        memory.compare_and_set("key", number, 1)


# ---- options ----


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": math.nan},
        {"ttl": "soon"},
        {"ttl": True},
        {"namespace": "a b"},
        {"prefix": "x" * 65},
        {"namespace": ""},
        {"pool_max": 0},
        {"port": 70_000},
        {"compress": "sometimes"},
        {"memory": "1KiB"},
        {"enabled": "maybe"},
        {"seal_key": "short"},
        {"timeout": math.inf},
        {"timeout": timedelta(seconds=-1)},
        {"timeout": [1]},
        {"nothing_like_it": 1},
        {"client_name": "\ud800"},
    ],
    ids=name_of,
)
def test_a_bad_option_is_refused_with_its_name(options: dict[str, Any]) -> None:
    with pytest.raises(coffer.ArgumentError) as caught:
        coffer.Cache(**options)
    assert next(iter(options)) in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "redis", "http://localhost", "redis://h:port", "mem://?nothing=1", "mem://?ttl=0", "redis+sentinel://localhost"]
)
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises((coffer.OptionError, coffer.UnsupportedError)):
        coffer.Cache(url)


def test_secrets_are_in_no_error() -> None:
    for options in ({"seal_key": "canary-secret"}, {"password": "canary-secret", "port": 0}):
        with pytest.raises(coffer.OptionError) as caught:
            coffer.Cache("redis://localhost", **options)
        assert "canary" not in str(caught.value)
    with pytest.raises(coffer.OptionError) as caught:
        coffer.Cache("redis://user:canary-secret@localhost:99999/")
    assert "canary" not in str(caught.value)


def test_options_are_given_as_python_has_them() -> None:
    with coffer.Cache("mem://?ttl=1h", stale_ttl=timedelta(minutes=1), negative_ttl=0, timeout=0.25, enabled=True, memory="2MiB") as cache:
        shown = {name: cache.option(name) for name in ("ttl", "stale_ttl", "negative_ttl", "timeout", "enabled")}
    assert shown["enabled"] == "true"
    assert shown["ttl"] in ("1h", "60m", "3600s")
    assert shown["timeout"] == "250ms"


def test_an_option_is_shown_without_its_secret() -> None:
    with coffer.Cache("redis://localhost", password="canary-secret") as cache:
        assert cache.option("password") == "***"
        assert "canary" not in repr(cache)
        with pytest.raises(coffer.OptionError):
            cache.option("nothing_like_it")


def test_the_table_of_options_can_be_read() -> None:
    table = {option.name: option for option in coffer.options()}
    assert table["ttl"].per_namespace
    assert table["password"].secret
    assert table["url"].default == "mem://"
    assert all(option.help for option in table.values())


def test_the_environment_is_read_only_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COFFER_TTL", "77s")
    monkeypatch.setenv("COFFER_NAMESPACE", "from_environment")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    with coffer.Cache() as plain:
        assert plain.option("namespace") == "_"
    with coffer.Cache(from_environment=True) as asked:
        assert asked.option("namespace") == "from_environment"
        assert asked.option("port") == "1"
    with coffer.Cache("mem://?memory=1MiB", from_environment=True, namespace="given") as both:
        both.set("key", 1)
        assert both.option("namespace") == "given"


def test_a_bad_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COFFER_TTL", "0")
    with pytest.raises(coffer.OptionError, match=r"TTL|ttl"):
        coffer.Cache(from_environment=True)


def test_a_namespace_takes_no_option_of_the_client(memory: coffer.Cache) -> None:
    with pytest.raises(coffer.OptionError):
        memory.namespace("users", nothing_like_it=1)
    with pytest.raises(coffer.OptionError):
        memory.namespace("a b")
