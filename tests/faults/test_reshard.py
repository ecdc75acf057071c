"""P4: slots that move under load are not noticed: no error, no wrong value, no count that was lost."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator

import pytest

from support import Resp
from tools import SEED, SMALL_MINUTES, Load, Server, Tell, assert_right, seconds
from topologies import SHARDS, SLOTS, Cluster, Mover, cluster_of_its_own, slot_of, wait_a_moment

LONG_MS, THREADS, KEYS, SOME_SLOTS = 15000, 12, 150, 400
NAME = "under-test"
IS_SOAK = seconds(SMALL_MINUTES, 1) > 0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of_its_own() as running:
        yield running


def slots_to_move(prefix: str) -> set[int]:
    """All of them; where there is no time for that, those of the keys and some more."""
    if IS_SOAK:
        return set(range(SLOTS))
    used = {slot_of(f"{prefix}:_:key{n}") for n in range(KEYS)} | {slot_of(f"{prefix}:_:#count{n}") for n in range(THREADS)}
    return used | set(random.Random(SEED).sample(range(SLOTS), SOME_SLOTS))


class Breaker(threading.Thread):
    """Cuts the connections of whom is under test, and stops a server for a moment, again and again."""

    def __init__(self, servers: list[Server]) -> None:
        super().__init__()
        self.servers = servers
        self.faults = 0
        self._ends = threading.Event()
        self._random = random.Random(SEED)

    def run(self) -> None:
        while not self._ends.wait(0.1):
            server = self._random.choice(self.servers)
            if self._random.random() < 0.3:
                server.pause()
                self._ends.wait(0.05)
                server.resume()
                self.faults += 1
            else:
                self.faults += self._cut(server)

    @staticmethod
    def _cut(server: Server) -> int:
        with contextlib.closing(Resp(server.path)) as client:
            listed = client.call("CLIENT", "LIST", "TYPE", "normal")
            assert isinstance(listed, bytes)
            fields = [dict(word.split("=", 1) for word in line.split()) for line in listed.decode().splitlines()]
            own = [one["id"] for one in fields if one["name"] == NAME]
            for one in own:
                with contextlib.suppress(RuntimeError):  # it has gone by itself
                    client.call("CLIENT", "KILL", "ID", one)
            return len(own)

    def end(self) -> None:
        self._ends.set()
        self.join(10)


@pytest.mark.parametrize("kind", ["calm", "with_faults"])
def test_every_slot_moves(kind: str, cluster: Cluster, tell: Tell) -> None:
    url = f"{cluster.url}?prefix={kind}&on_outage=error&pool_max=4&client_name={NAME}"
    running = Load(url, threads=THREADS, keys=KEYS, ms=3_600_000, timeout_ms=LONG_MS, count_permille=100, pause_us=3000, hang_ms=3000)
    wait_a_moment(0.5)
    wanted, faults = slots_to_move(kind), kind == "with_faults"
    with contextlib.ExitStack() as stack:
        mover = Mover(cluster, stack)
        breaker = Breaker(mover.primaries)
        if faults:
            breaker.start()
            stack.callback(breaker.end)
        for source, slots in mover.owned().items():
            for slot in [slot for slot in slots if slot in wanted]:
                mover.move(slot, source, (source + 1) % SHARDS)
    wait_a_moment(0.3)
    running.stop()
    outcome = running.outcome()
    figures = {"slots": len(wanted), "keys_moved": mover.keys_moved, "faults": breaker.faults, "redirects": outcome["redirects"]}
    tell(outcome, **figures, errors=str(outcome.errors))
    assert_right(outcome)
    may_be_applied = {"MAYBE_APPLIED"} if faults else set[str]()  # a write whose connection was cut
    assert set(outcome.errors) <= may_be_applied
    assert outcome["timed_out"] == 0
    assert outcome["redirects"] > 100
    cluster.wait_until_well()
