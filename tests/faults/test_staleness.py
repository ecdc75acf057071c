"""F15, F16: how old a near copy may be, measured, while the channel that says what changes is cut, held up and killed at random, and while
those who lead are stopped and killed. Nothing is older than two seconds and a round trip, and when all is quiet nothing is stale."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import coffer
import on_loop
from support import Resp
from tools import BUILD, SEED, Proxy, Server, Tell, program, seconds

KEYS = 8
BOUND_MS, SLACK_MS = 2000, 250  # a round trip, and how late this machine wakes who sleeps
NEAR = "raw=true&near_bytes=1MiB&timeout=1s&on_outage=error&breaker=false&namespace=n&prefix=p"


class Writer:
    """Somebody on another host, who counts each key up, without an end. A number was written at `written_at(key, number)` at the latest."""

    def __init__(self, server: Server) -> None:
        self.client = Resp(server.path)
        self.times: list[list[float]] = [[] for _ in range(KEYS)]
        self.ends = threading.Event()
        for key in range(KEYS):
            self.set(key)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def set(self, key: int) -> None:
        assert self.client.call("SET", f"p:n:{key}", len(self.times[key])) == b"OK"
        self.times[key].append(time.monotonic())

    def run(self) -> None:
        at_random = random.Random(SEED)
        while not self.ends.is_set():
            self.set(at_random.randrange(KEYS))
            time.sleep(0.002)

    def stop(self) -> None:
        self.ends.set()
        self.thread.join()
        self.client.close()

    def age(self, key: int, number: int, read_at: float) -> float:
        """How long the number had been replaced when it was read."""
        times = self.times[key]
        return max(0.0, read_at - times[number + 1]) if number + 1 < len(times) else 0.0


@dataclass
class Readings:
    """What a reader has seen: for each key, numbers and when reading them began."""

    worst: dict[tuple[int, int], float] = field(default_factory=dict)
    count: int = 0

    def add(self, key: int, number: int, began: float) -> None:
        self.count += 1
        self.worst[key, number] = began  # the last time it was seen

    def join(self, other: Readings) -> None:
        self.count += other.count
        for place, began in other.worst.items():
            self.worst[place] = max(began, self.worst.get(place, 0.0))

    def worst_ms(self, writer: Writer) -> float:
        return max(1000 * writer.age(key, number, began) for (key, number), began in self.worst.items())


def read_until(cache: coffer.Cache, over: Callable[[], bool], readings: Readings) -> None:
    at_random = random.Random()
    while not over():
        key = at_random.randrange(KEYS)
        began = time.monotonic()
        with contextlib.suppress(coffer.Error):
            number = cache.get(str(key))
            if number is not None:
                readings.add(key, int(number), began)


def read_in_child(url: str, pipe: Connection) -> None:
    """A process like any other that shares the arena: reads until it is told to stop, and says what it saw."""
    readings = Readings()
    with coffer.Cache(url) as cache:
        pipe.send("ready")
        read_until(cache, pipe.poll, readings)
    pipe.send(readings)


def asked_count(server: Server) -> int:
    """How many reads came to the server; the others were answered by copies."""
    client = Resp(server.path)
    stats = client.call("INFO", "commandstats")
    client.close()
    assert isinstance(stats, bytes)
    found = re.search(rb"cmdstat_get:calls=(\d+)", stats)
    return int(found[1]) if found else 0


def settle_and_compare(cache: coffer.Cache, server: Server) -> None:
    """When all is quiet: what is near is what the server holds. First each has to be near, and the last change as old as a copy may be:
    who was harmed last may have led, and its channel counts as hearing until then."""
    quiet = time.monotonic() + (BOUND_MS + SLACK_MS) / 1000
    end = time.monotonic() + 20
    asked = -1
    while asked_count(server) != asked or time.monotonic() < quiet:
        asked = asked_count(server)
        with contextlib.suppress(coffer.Error):
            for key in range(KEYS):
                cache.get(str(key))
        assert time.monotonic() < end, "nothing is ever near again"
    time.sleep(0.1)  # what is on its way arrives
    values = [cache.get(str(key)) for key in range(KEYS)]
    client = Resp(server.path)
    assert values == [client.get(f"p:n:{key}") for key in range(KEYS)]
    client.close()


def judge(readings: Readings, writer: Writer, server: Server, tell: Tell, **figures: float) -> None:
    worst_ms = readings.worst_ms(writer)
    near_percent = 100 - 100 * asked_count(server) / readings.count
    tell(None, None, reads=readings.count, near_percent=round(near_percent, 1), stalest_ms=round(worst_ms), **figures)
    assert worst_ms <= BOUND_MS + SLACK_MS
    assert near_percent > 50


# ---- faults of the channel, in one process ------------------------------------------------------------------------------


def hold_up(server: Server, proxy: Proxy, ms: int) -> None:
    proxy.set("down", "withhold")
    time.sleep(ms / 1000)
    proxy.clear()


def kill_channel(server: Server, proxy: Proxy, ms: int) -> None:
    client = Resp(server.path)
    client.call("CLIENT", "KILL", "TYPE", "pubsub")
    client.close()


def cut_all(server: Server, proxy: Proxy, ms: int) -> None:
    proxy.say("reset")


def stand_still(server: Server, proxy: Proxy, ms: int) -> None:
    server.pause()
    time.sleep(ms / 1000)
    server.resume()


FAULTS = (hold_up, kill_channel, cut_all, stand_still)


@pytest.mark.parametrize("kind", ["thread", "asyncio"])
def test_no_copy_is_older_than_two_seconds_whatever_happens_to_the_channel(kind: str, server: Server, proxy: Proxy, tell: Tell) -> None:
    at_random = random.Random(SEED)
    faults, readings, over = 0, Readings(), threading.Event()
    make = coffer.Cache if kind == "thread" else on_loop.Cache
    with on_loop.on_a_loop(), make(f"{proxy.url}?{NEAR}&near=process") as cache:
        writer = Writer(server)
        reader = threading.Thread(target=read_until, args=(cache, over.is_set, readings))
        reader.start()
        end = time.monotonic() + seconds(8, 0.05)
        while time.monotonic() < end:
            time.sleep(at_random.uniform(0.05, 1.0))
            at_random.choice(FAULTS)(server, proxy, at_random.choice((50, 500, 1500, 2500)))
            faults += 1
        over.set()
        reader.join()
        writer.stop()
        judge(readings, writer, server, tell, faults=faults)
        settle_and_compare(cache, server)


# ---- several processes share an arena ----------------------------------------------------------------------------------


class Reader:
    """A process that shares the arena, and reads."""

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=read_in_child, args=(url, theirs))
        self.process.start()
        assert self.pipe.recv() == "ready"

    def send(self, which: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, which)

    def readings(self) -> Readings:
        self.pipe.send("stop")
        seen = self.pipe.recv()
        assert isinstance(seen, Readings)
        return seen

    def end(self) -> None:
        self.process.kill()
        self.process.join(10)


def forget_shared(name: str) -> None:
    for path in Path("/dev/shm").glob(f"{name}.*"):
        path.unlink()


def stop_for_a_moment(several: list[Reader], index: int, url: str, for_s: float) -> None:
    several[index].send(signal.SIGSTOP)
    time.sleep(for_s)
    several[index].send(signal.SIGCONT)


def kill_and_replace(several: list[Reader], index: int, url: str, for_s: float) -> None:
    several[index].end()
    several[index] = Reader(url)


@pytest.mark.parametrize("harm", [stop_for_a_moment, kill_and_replace])
def test_who_leads_may_be_stopped_or_killed_at_any_time(harm: Callable[..., None], server: Server, tell: Tell) -> None:
    """Any of four may lead; each is harmed in its turn."""
    at_random = random.Random(SEED)
    name, rounds, readings = f"coffer-test-{os.getpid()}-{harm.__name__}", 0, Readings()
    url = f"{server.url}?{NEAR}&near=shared&near_name={name}"
    writer, several = Writer(server), list[Reader]()
    try:
        several += [Reader(url) for _ in range(4)]
        end = time.monotonic() + seconds(8, 0.05)
        while time.monotonic() < end:
            time.sleep(at_random.uniform(0.2, 1.0))
            harm(several, rounds % len(several), url, at_random.choice((0.1, 1.9, 2.5)))
            rounds += 1
        for one in several:
            readings.join(one.readings())
        writer.stop()
        judge(readings, writer, server, tell, rounds=rounds)
        with coffer.Cache(url) as cache:
            settle_and_compare(cache, server)
    finally:
        writer.stop()
        for one in several:
            one.end()
        forget_shared(name)


# ---- the race of fills, for longer ----------------------------------------------------------------------------------------


@pytest.mark.skipif("COFFER_SOAK_MINUTES" not in os.environ, reason="io/test_near_race of ctest runs a tenth of it")
def test_a_million_fills_are_raced(tell: Tell) -> None:
    assert program("fault_load")  # it was built here
    race = subprocess.run(
        [str(BUILD / "tests" / "c" / "io_test_near_race")],
        env=os.environ | {"COFFER_NEAR_ROUNDS": "1000000"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert race.returncode == 0, race.stdout + race.stderr
    tell(None, None, rounds=1000000)
