"""The blocking driver of Python as the transcripts play it: the lines of player.c, through the package's public face."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import coffer
from coffer import _coffer_core as core

OTHERS: list[bytes | str] = ["second", "third"]
WELL = "OK|NOT_STORED"  # the language does not say which


class LoaderFailed(Exception):
    """What a loader raises here."""


def text(value: Any) -> str:
    return (value.encode() if isinstance(value, str) else value).hex()


class Answer(threading.Event):
    """What a loader is to do."""

    verb, value = "", b""


class Player:
    def __init__(self) -> None:
        self.cache: coffer.Cache | None = None
        self.aside: coffer.Cache | None = None
        self.answers: dict[str, Answer] = {}
        self.lock = threading.Lock()

    def say(self, *words: str) -> None:
        with self.lock:
            print(*words, flush=True)

    # ---- operations ----

    def load(self, name: str) -> bytes | None:
        answer = self.answers[name] = Answer()
        self.say("load", name)
        answer.wait()
        if answer.verb == "interrupt":
            raise KeyboardInterrupt
        if answer.verb == "abort":
            raise LoaderFailed
        return answer.value if answer.verb == "supply" else None

    def run(self, name: str, kind: str, given: dict[str, str]) -> None:
        try:
            fields = getattr(self, "do_" + kind)(name, bytes.fromhex(given.get("key", "")), given)
        except coffer.Error as fault:
            fields = {"status": fault.status, "says": text(str(fault))}
            if fault.failed:
                keys = [bytes.fromhex(given["key"]), *OTHERS]
                fields["items"] = ",".join(fault.failed.get(key, "-") for key in keys)
        except LoaderFailed:
            fields = {"status": "LOAD_FAILED"}
        except KeyboardInterrupt:
            fields = {"status": "INTERRUPTED"}
        status = fields.pop("status", "OK")
        self.say("end", name, status, *(f"{field}={value}" for field, value in fields.items()))

    def do_get(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        entry = self.opened.get_entry(key, stale=given.get("stale") == "1", misses=True, timeout=timeout(given))
        assert entry is not None
        if entry.value is coffer.ABSENT:
            return {"status": "MISS", "source": entry.source}
        return {"status": "STALE" if entry.source == "stale" else "OK", "source": entry.source, "value": text(entry.value)}

    def do_set(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        self.opened.set(key, value_of(given), ttl(given), timeout=timeout(given))
        return {"status": WELL}

    def do_add(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return stored(self.opened.add(key, value_of(given), ttl(given), timeout=timeout(given)))

    def do_replace(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return stored(self.opened.replace(key, value_of(given), ttl(given), timeout=timeout(given)))

    def do_delete(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return stored(self.opened.delete(key, timeout=timeout(given)))

    def do_exists(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return stored(self.opened.exists(key, timeout=timeout(given)))

    def do_ttl(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        left = self.opened.ttl(key, timeout=timeout(given))
        if left is None:
            return {"status": "MISS"}
        return {"integer": str(-1 if math.isinf(left) else round(left * 1000))}

    def do_expire(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        lifetime = ttl(given)
        assert lifetime is not None
        return stored(self.opened.expire(key, lifetime, timeout=timeout(given)))

    def do_increment(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        count = self.opened.increment(key, int(given.get("delta", "1")), ttl(given), timeout=timeout(given))
        return {"integer": str(count)}

    def do_counter(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        count = self.opened.counter(key, timeout=timeout(given))
        return {"status": "MISS"} if count is None else {"integer": str(count)}

    def do_get_many(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        keys = [key, *OTHERS]
        found = self.opened.get_many(keys, timeout=timeout(given))
        return {"items": ",".join("OK" if one in found else "MISS" for one in keys)}

    def do_set_many(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        pairs: dict[bytes | str, bytes] = dict.fromkeys([key, *OTHERS], value_of(given))
        self.opened.set_many(pairs, ttl(given), timeout=timeout(given))
        return {"status": WELL, "items": "-,-,-"}

    def do_delete_many(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return {"integer": str(self.opened.delete_many([key, *OTHERS], timeout=timeout(given)))}

    def do_get_or_load(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        value = self.opened.get_or_load(key, lambda _: self.load(name), timeout=timeout(given))
        return {"status": "MISS"} if value is None else {"status": "OK|STALE", "value": text(value)}

    def do_clear(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return {"integer": str(self.opened.clear(timeout=timeout(given)))}

    def do_ping(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        self.opened.ping(timeout=timeout(given))
        return {}

    @property
    def opened(self) -> coffer.Cache:
        assert self.cache is not None
        return self.cache

    # ---- what a line asks for ----

    def open(self, *words: str) -> None:
        if self.cache is not None:
            self.cache.close()
        options = {name: bytes.fromhex(value).decode() for name, _, value in (word.partition("=") for word in words)}
        self.cache = coffer.Cache(options.pop("url"), **options)  # type: ignore[arg-type]
        self.aside = self.cache.namespace("aside", enabled=False)
        self.say("ok")

    def clock(self, now_us: str) -> None:
        core.clock_set(int(now_us))
        self.say("ok")

    def op(self, name: str, kind: str, *words: str) -> None:
        given = {field: value for field, _, value in (word.partition("=") for word in words)}
        thread = threading.Thread(target=self.run, args=(name, kind, given), daemon=True)
        with self.lock:
            thread.start()
            print("ok", thread.native_id, flush=True)

    def tell(self, verb: str, name: str, value: str = "") -> None:
        answer = self.answers.pop(name)
        answer.verb, answer.value = verb, bytes.fromhex(value)
        answer.set()
        self.say("ok")

    def free(self, name: str) -> None:
        self.tell("interrupt", name)

    def passing(self) -> None:
        assert self.aside is not None
        self.aside.get("k")
        self.say("ok")

    def count(self, name: str) -> None:
        counted: Any = self.opened.stats()
        for part in name.split("."):
            counted = getattr(counted, part, "-")
        self.say("count", str(counted))


def value_of(given: dict[str, str]) -> bytes:
    return bytes.fromhex(given.get("value", ""))


def duration(given: dict[str, str], name: str) -> str | None:
    ms = given.get(name)
    return None if ms is None else "forever" if int(ms) == 2**64 - 1 else f"{ms}ms"


def ttl(given: dict[str, str]) -> str | None:
    return duration(given, "ttl_ms")


def timeout(given: dict[str, str]) -> str | None:
    return duration(given, "timeout_ms")


def stored(done: bool) -> dict[str, str]:
    return {"status": "OK" if done else "MISS|NOT_STORED"}


def main() -> None:
    player = Player()
    verbs: dict[str, Callable[..., None]] = {
        "open": player.open,
        "clock": player.clock,
        "op": player.op,
        "free": player.free,
        "pass": player.passing,
        "count": player.count,
    }
    for line in sys.stdin:
        verb, *words = line.split()
        if verb in verbs:
            verbs[verb](*words)
        else:
            player.tell(verb, *words)


if __name__ == "__main__":
    main()
