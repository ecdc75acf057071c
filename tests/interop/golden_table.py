"""Which golden envelopes there have to be: every combination of suite, codec, format and padding, absences and stale values; and the
values that they hold. Each writer writes those whose format it can write; the model (make_written.py) writes all, and odd ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from values import ABSENT, Json, Payload, Value

SUITES = ("plain", "sealed")  # suite 2, the placeholder, has no body: the model writes one
CODECS = ("stored", "zstd")  # codec 2, a dictionary, is reserved: the model writes one that all refuse
FORMATS = {0: "bytes", 1: "text", 2: "json", 3: "msgpack", 200: "own"}
PADS = ("none", "64", "padme")
SEAL_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
FOR_EVER = "36500d"  # the longest stale_ttl that is not for ever: a hundred years

_NESTED = {"id": 42, "exact": 2**53, "float": 0.5, "list": [1, "two", {"three": [None, True]}, []], "quote": '"\\\n\x01', "name": "Zoë 😀"}
VALUES: dict[tuple[str, int], Value] = {
    ("stored", 0): b"\x00\xff\xfe\r\n\x80ab",
    ("stored", 1): "Grüße 😀 a\0b",
    ("stored", 2): Json(_NESTED),
    ("stored", 3): Payload(3, b"\x82\xa2id\x2a\xa4list\x92\x01\xc0"),
    ("stored", 200): Payload(200, bytes(range(64))),
    ("zstd", 0): b"\x00\xff\xfe\r\n\x80ab" * 40,
    ("zstd", 1): "Grüße 😀 " * 40,
    ("zstd", 2): Json([{"id": number, "name": f"name {number % 3}", "ratio": 0.5} for number in range(12)]),
    ("zstd", 3): Payload(3, b"\x92" + b"\x93\x01\xc0\xa3abc" * 2 + b"\xc0" * 200),
    ("zstd", 200): Payload(200, b"own" * 100),
}
_SEALS = {
    "none": {"seal_key_id": "0"},  # derived
    "64": {"seal_key_id": "7"},
    "padme": {"seal_key_id": "4294967295", "version": "3"},
}


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    suite: str
    codec: str = "stored"
    format: int = 0
    pad: str = "none"
    kind: str = "value"
    age: str = "fresh"

    @property
    def name(self) -> str:
        what = "absent" if self.kind == "absent" else FORMATS[self.format]
        pad = [f"pad-{self.pad}"] if self.suite == "sealed" else []
        age = [self.age] if self.age == "stale" else []
        return "-".join([self.suite, self.codec, what, *pad, *age])

    @property
    def key(self) -> str:
        return f"{self.name}:ä~"

    @property
    def value(self) -> Value:
        return ABSENT if self.kind == "absent" else VALUES[self.codec, self.format]

    @property
    def options(self) -> dict[str, str]:
        """Of the cache that writes it; also whoever reads it opens one with these."""
        options = {"prefix": "golden", "namespace": "table", "ttl_jitter": "0"}
        if self.suite == "sealed":
            options |= {"seal_key": SEAL_KEY, "seal_pad": self.pad, **_SEALS[self.pad]}
        if self.codec == "zstd":
            options |= {"compress": "always"} if self.suite == "plain" else {"compress": "trusted", "compress_threshold": "16"}
        else:
            options["compress"] = "never"
        if self.age == "stale":
            options["stale_ttl"] = FOR_EVER
        return options

    @property
    def ttl(self) -> str:
        return "1ms" if self.age == "stale" else "forever"


def cases() -> list[Case]:
    """The whole table."""
    wraps = [("plain", "none"), *(("sealed", pad) for pad in PADS)]
    values = [Case(suite, codec, number, pad) for (suite, pad), codec, number in itertools.product(wraps, CODECS, FORMATS)]
    absences = [Case(suite, pad=pad, kind="absent") for suite, pad in wraps]
    return [*values, *absences, *(Case(suite, format=1, age="stale") for suite in SUITES)]
