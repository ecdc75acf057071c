"""The drivers of Python as the transcripts play them: the lines of player.c, through the package's public face.

`player.py` plays with coffer.Cache, each operation in a thread; `player.py aio` with coffer.aio.Cache, each in a task. The operations are
written once: what a call of the one answers is what one of the other is awaited for.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import coffer
import coffer.aio
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

    def given(self) -> bytes | None:
        if self.verb == "interrupt":
            raise KeyboardInterrupt
        if self.verb == "abort":
            raise LoaderFailed
        return self.value if self.verb == "supply" else None


async def had(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


class Player:
    def __init__(self) -> None:
        self.cache: Any = None
        self.aside: Any = None
        self.answers: dict[str, Answer] = {}
        self.lock = threading.Lock()

    def say(self, *words: str) -> None:
        with self.lock:
            print(*words, flush=True)

    # ---- operations ----

    def load(self, name: str) -> Any:
        answer = self.answers[name] = Answer()
        self.say("load", name)
        answer.wait()
        return answer.given()

    async def run(self, name: str, kind: str, given: dict[str, str]) -> None:
        try:
            fields = await getattr(self, "do_" + kind)(name, bytes.fromhex(given.get("key", "")), given)
        except coffer.Error as fault:
            fields = {"status": fault.status, "says": text(str(fault))}
            if fault.failed:
                keys = [bytes.fromhex(given["key"]), *OTHERS]
                fields["items"] = ",".join(fault.failed.get(key, "-") for key in keys)
        except LoaderFailed:
            fields = {"status": "LOAD_FAILED"}
        except (KeyboardInterrupt, asyncio.CancelledError):
            fields = {"status": "INTERRUPTED"}
        status = fields.pop("status", "OK")
        self.say("end", name, status, *(f"{field}={value}" for field, value in fields.items()))

    async def do_get(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        entry = await had(self.cache.get_entry(key, stale=given.get("stale") == "1", misses=True, timeout=timeout(given)))
        if entry.value is coffer.ABSENT:
            return {"status": "MISS", "source": entry.source}
        return {"status": "STALE" if entry.source == "stale" else "OK", "source": entry.source, "value": text(entry.value)}

    async def do_set(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        await had(self.cache.set(key, value_of(given), ttl(given), timeout=timeout(given)))
        return {"status": WELL}

    async def do_add(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return stored(await had(self.cache.add(key, value_of(given), ttl(given), timeout=timeout(given))))

    async def do_replace(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return stored(await had(self.cache.replace(key, value_of(given), ttl(given), timeout=timeout(given))))

    async def do_delete(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return stored(await had(self.cache.delete(key, timeout=timeout(given))))

    async def do_exists(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return stored(await had(self.cache.exists(key, timeout=timeout(given))))

    async def do_ttl(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        left = await had(self.cache.ttl(key, timeout=timeout(given)))
        if left is None:
            return {"status": "MISS"}
        return {"integer": str(-1 if math.isinf(left) else round(left * 1000))}

    async def do_expire(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        lifetime = ttl(given)
        assert lifetime is not None
        return stored(await had(self.cache.expire(key, lifetime, timeout=timeout(given))))

    async def do_increment(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        count = await had(self.cache.increment(key, int(given.get("delta", "1")), ttl(given), timeout=timeout(given)))
        return {"integer": str(count)}

    async def do_counter(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        count = await had(self.cache.counter(key, timeout=timeout(given)))
        return {"status": "MISS"} if count is None else {"integer": str(count)}

    async def do_get_many(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        keys = [key, *OTHERS]
        found = await had(self.cache.get_many(keys, timeout=timeout(given)))
        return {"items": ",".join("OK" if one in found else "MISS" for one in keys)}

    async def do_set_many(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        pairs: dict[bytes | str, bytes] = dict.fromkeys([key, *OTHERS], value_of(given))
        await had(self.cache.set_many(pairs, ttl(given), timeout=timeout(given)))
        return {"status": WELL, "items": "-,-,-"}

    async def do_delete_many(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return {"integer": str(await had(self.cache.delete_many([key, *OTHERS], timeout=timeout(given))))}

    async def do_get_or_load(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        value = await had(self.cache.get_or_load(key, lambda _: self.load(name), timeout=timeout(given)))
        return {"status": "MISS"} if value is None else {"status": "OK|STALE", "value": text(value)}

    async def do_clear(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        return {"integer": str(await had(self.cache.clear(timeout=timeout(given))))}

    async def do_ping(self, name: str, key: bytes, given: dict[str, str]) -> dict[str, str]:
        await had(self.cache.ping(timeout=timeout(given)))
        return {}

    # ---- what a line asks for ----

    def open(self, *words: str) -> None:
        if self.cache is not None:
            self.cache.close()
        self.cache = coffer.Cache(**options_of(words))
        self.aside = self.cache.namespace("aside", enabled=False)
        self.say("ok")

    def clock(self, now_us: str) -> None:
        core.clock_set(int(now_us))
        self.say("ok")

    def op(self, name: str, kind: str, *words: str) -> None:
        thread = threading.Thread(target=at_once, args=(self.run(name, kind, fields_of(words)),), daemon=True)
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
        self.aside.get("k")
        self.say("ok")

    def count(self, name: str) -> None:
        counted: Any = self.cache.stats()
        for part in name.split("."):
            counted = getattr(counted, part, "-")
        self.say("count", str(counted))

    def act(self, line: str) -> None:
        verb, *words = line.split()
        verbs: dict[str, Callable[..., None]] = {
            "open": self.open,
            "clock": self.clock,
            "op": self.op,
            "free": self.free,
            "pass": self.passing,
            "count": self.count,
        }
        if verb in verbs:
            verbs[verb](*words)
        else:
            self.tell(verb, *words)


class AsyncPlayer(Player):
    """Everything happens in one thread, but for the reading of lines."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.told: dict[str, asyncio.Event] = {}

    async def load(self, name: str) -> bytes | None:
        answer = self.answers[name] = Answer()
        told = self.told[name] = asyncio.Event()
        self.say("load", name)
        await told.wait()
        return answer.given()

    def open(self, *words: str) -> None:
        self.tasks["open"] = self.loop.create_task(self.reopen(*words))

    async def reopen(self, *words: str) -> None:
        if self.cache is not None:
            await self.cache.aclose()
        self.cache = coffer.aio.Cache(**options_of(words))
        self.say("ok")

    def op(self, name: str, kind: str, *words: str) -> None:
        self.say("ok", "0")
        self.tasks[name] = self.loop.create_task(self.run(name, kind, fields_of(words)))

    def tell(self, verb: str, name: str, value: str = "") -> None:
        told = self.told.pop(name)
        super().tell(verb, name, value)
        told.set()

    def free(self, name: str) -> None:
        self.tasks.pop(name).cancel()
        self.loop.call_soon(self.say, "ok")


def options_of(words: Iterable[str]) -> dict[str, Any]:
    return {name: bytes.fromhex(value).decode() for name, value in fields_of(words).items()}


def fields_of(words: Iterable[str]) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def at_once(operation: Coroutine[Any, Any, None]) -> None:
    """Runs what never has to wait for its loop."""
    try:
        operation.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


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


async def play_in_tasks() -> None:
    loop = asyncio.get_running_loop()
    player, over = AsyncPlayer(loop), asyncio.Event()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(player.act, line)
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=read, daemon=True).start()
    await over.wait()


def main() -> None:
    if sys.argv[1:] == ["aio"]:
        asyncio.run(play_in_tasks())
        return
    player = Player()
    for line in sys.stdin:
        player.act(line)


if __name__ == "__main__":
    main()
