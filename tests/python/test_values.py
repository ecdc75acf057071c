"""Values come back as what they were, or are refused at the call."""

from __future__ import annotations

import array
import collections
import enum
import json
import math
import random
import string
import threading
from typing import Any

import pytest

import coffer
from support import name_of, together

pytestmark = pytest.mark.usefixtures("both")

EXACT: list[Any] = [
    b"",
    b"\x00",
    bytes(range(256)),
    b"x" * 100_000,
    "",
    "plain",
    "snow \u2603, a rocket \U0001f680, a nul \x00, crlf \r\n",
    None,
    True,
    False,
    0,
    -1,
    2**53 + 1,
    -(2**63),
    2**64,
    10**4000,
    0.0,
    1.0,
    0.1,
    5e-324,
    1.7976931348623157e308,
    [],
    {},
    [None, True, 1, 1.0, "a", [], {}],
    {"": {"nested": [{"deeper": ["\u2028", '"', "\\"]}]}},
]


@pytest.mark.parametrize("value", EXACT, ids=lambda value: type(value).__name__)
def test_value_comes_back_as_what_it_was(cache: coffer.Cache, value: Any) -> None:
    cache.set("key", value)
    found = cache.get("key", default="a default")
    assert found == value
    assert type(found) is type(value)


def test_minus_zero_keeps_its_sign(cache: coffer.Cache) -> None:
    cache.set("key", -0.0)
    assert math.copysign(1, cache.get("key")) == -1


def random_value(source: random.Random, depth: int = 0) -> Any:
    kinds = ["none", "bool", "int", "float", "str"] + (["list", "dict"] if depth < 4 else [])
    kind = source.choice(kinds)
    if kind == "list":
        return [random_value(source, depth + 1) for _ in range(source.randrange(5))]
    if kind == "dict":
        return {random_text(source): random_value(source, depth + 1) for _ in range(source.randrange(5))}
    if kind == "str":
        return random_text(source)
    scalars = {
        "none": None,
        "bool": source.random() < 0.5,
        "int": source.randrange(-(2 ** source.randrange(1, 200)), 2 ** source.randrange(1, 200)),
        "float": source.uniform(-1, 1) * 10 ** source.randrange(-300, 300),
    }
    return scalars[kind]


def random_text(source: random.Random) -> str:
    letters = string.printable + "\u00e9\u4e2d\U0001f600\u2028\x00\x7f"
    return "".join(source.choice(letters) for _ in range(source.randrange(12)))


@pytest.mark.parametrize("seed", range(20))
def test_random_json_values_come_back(memory: coffer.Cache, seed: int) -> None:
    source = random.Random(seed)
    for _ in range(100):
        value = random_value(source)
        memory.set("key", value)
        assert memory.get("key", default="a default") == value


def test_json_is_compact_and_as_other_languages_read_it(raw: Any, server: Any) -> None:
    with coffer.Cache(server.url, namespace="json", raw=True) as cache:
        cache.set("key", {"a": [1, "\u00e9"], "b": None})
        assert raw.get("_:json:key") == '{"a":[1,"\u00e9"],"b":null}'.encode()


def test_raw_namespace_gives_bytes(server: Any, raw: Any) -> None:
    with coffer.Cache(server.url, namespace="shared", raw=True) as cache:
        raw.call("SET", "_:shared:key", b"\x00from another program")
        assert cache.get("key") == b"\x00from another program"
        cache.set("text", "\u00e9")
        assert cache.get("text") == "\u00e9".encode()


class Text(str):
    pass


class Number(enum.IntEnum):
    TWO = 2


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (Text("a subclass"), "a subclass"),
        (Number.TWO, 2),
        (collections.OrderedDict(a=1), {"a": 1}),
        ({Text("key"): Text("value")}, {"key": "value"}),
        (bytearray(b"mutable"), b"mutable"),
        (memoryview(b"viewed")[1:4], b"iew"),
        (memoryview(array.array("i", [1, 2])), array.array("i", [1, 2]).tobytes()),
        (memoryview(b"123456").cast("B", (2, 3)), b"123456"),
    ],
)
def test_kin_of_a_type_is_stored_as_an_equal_value(cache: coffer.Cache, given: Any, found: Any) -> None:
    cache.set("key", given)
    assert cache.get("key") == found


class Odd:
    pass


UNFIT: list[Any] = [
    (1, 2),
    {1, 2},
    {1: "a"},
    {None: "a"},
    {True: "a"},
    {(1, 2): "a"},
    [b"bytes inside"],
    {"a": (1, 2)},
    object(),
    Odd(),
    1j,
    array.array("i", [1]),
    range(3),
    coffer.Cache,
    [coffer.ABSENT],
]


@pytest.mark.parametrize("value", UNFIT, ids=name_of)
@pytest.mark.parametrize("operation", ["set", "add", "set_many", "get_or_load", "compare_and_set"])
def test_what_would_not_come_back_is_refused(memory: coffer.Cache, operation: str, value: Any) -> None:
    calls = {
        "set": lambda: memory.set("key", value),
        "add": lambda: memory.add("key", value),
        "set_many": lambda: memory.set_many({"key": value}),
        "get_or_load": lambda: memory.get_or_load("key", lambda _: value),
        "compare_and_set": lambda: memory.compare_and_set("key", 1, value),
    }
    with pytest.raises(coffer.ValueTypeError) as caught:
        calls[operation]()
    assert isinstance(caught.value, (coffer.Error, TypeError))
    assert caught.value.status == "ARG"
    assert memory.get("key", default="nothing") == "nothing"


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, [math.nan], "\ud800", ["\udfff"], {"\ud800": 1}, 10**5000],
    ids=lambda value: type(value).__name__,
)
def test_values_without_an_exact_form_are_refused(memory: coffer.Cache, value: Any) -> None:
    with pytest.raises(coffer.ArgumentError):
        memory.set("key", value)
    with pytest.raises(coffer.ArgumentError):
        memory.get_or_load("key", lambda _: value)


def test_endless_and_very_deep_values_are_refused(memory: coffer.Cache) -> None:
    endless: list[Any] = []
    endless.append(endless)
    deep: Any = None
    for _ in range(200_000):
        deep = [deep]
    for value in (endless, deep):
        with pytest.raises(coffer.ArgumentError):
            memory.set("key", value)
    while deep:  # taken apart, or freeing it would go as deep
        deep = deep[0]


def test_not_contiguous_memory_is_refused(memory: coffer.Cache) -> None:
    view = memoryview(bytes(10))[::2]
    for call in (lambda: memory.set("key", view), lambda: memory.add("key", view), lambda: memory.set_many({"key": view})):
        with pytest.raises(coffer.ValueTypeError, match="contiguous"):
            call()


def test_bytearray_cannot_be_resized_under_a_call(server: Any) -> None:
    """It is pinned while the call runs: either the resize fails, or the value is one that was there as a whole."""
    wanted = {bytes([letter]) * 300_000 for letter in b"ab"}
    with coffer.Cache(server.url, compress="never") as cache:
        shared = bytearray(b"a" * 300_000)
        stop = threading.Event()
        refused = 0

        def resize(_: int) -> None:
            nonlocal refused
            while not stop.is_set():
                try:
                    shared.clear()
                    shared.extend(b"b" * 300_000)
                except BufferError:
                    refused += 1

        def store(_: int) -> None:
            try:
                for _ in range(100):
                    cache.set("key", shared)
                    assert cache.get("key") in wanted | {b""}
            finally:
                stop.set()

        assert together(2, lambda index: (resize if index else store)(index)) == [None, None]
        assert refused > 0


def test_text_and_json_that_cannot_be_read_say_so(memory: coffer.Cache) -> None:
    core = coffer._coffer_core
    for form, data in ((1, b"\xff"), (2, b"\xff"), (2, b"{"), (2, b"NaN"), (2, b"[" * 100_000)):
        op = core.coffer_op_replace if memory.exists("key") else core.coffer_op_add
        core.op_run(op(memory._handle, "key", data, (0, form, False, 0)))
        with pytest.raises(coffer.FormatError) as caught:
            memory.get("key")
        assert caught.value.status == "BAD_FORMAT"
        with pytest.raises(coffer.FormatError):
            memory.get_many(["key"])


def test_formats_of_the_application_come_as_bytes_with_their_number(memory: coffer.Cache) -> None:
    core = coffer._coffer_core
    core.op_run(core.coffer_op_add(memory._handle, "key", b"own", (0, 200, False, 0)))
    entry = memory.get_entry("key")
    assert memory.get("key") == b"own"
    assert entry is not None
    assert entry.format == 200


def test_large_integers_keep_their_value_among_languages(server: Any, raw: Any) -> None:
    with coffer.Cache(server.url, namespace="json", raw=True) as cache:
        cache.set("key", 9007199254740993)
        assert json.loads(raw.get("_:json:key")) == 9007199254740993


@pytest.mark.parametrize("size", [0, 1, 1000, 1024])
def test_values_up_to_the_limit_are_stored(url: str, size: int) -> None:
    with coffer.Cache(url, max_value=1024) as cache:
        cache.set("key", bytes(size))
        assert cache.get("key") == bytes(size)


def test_values_above_the_limit_are_refused(url: str) -> None:
    with coffer.Cache(url, max_value=1024) as cache:
        for call in (lambda: cache.set("key", bytes(1025)), lambda: cache.set_many({"key": bytes(1025)})):
            with pytest.raises(coffer.TooLargeError):
                call()
        assert cache.get("key") is None
