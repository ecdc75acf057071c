"""Reads from the nearest: a primary and its replica in a cluster, each behind a proxy that makes it slow."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import coffer
from support import free_port, wait_until
from tools import Proxy, Server, Tell
from topologies import SLOTS, Cluster, ask, is_fit_replica, words

SLOW_MS = 20
READS = 50


def follows(replica: Server, primary: Server) -> bool:
    """It has to have heard of it first."""
    with contextlib.suppress(RuntimeError):
        return ask(replica, "CLUSTER", "REPLICATE", words(ask(primary, "CLUSTER", "MYID"))) == b"OK"
    return False


@pytest.fixture
def pair() -> Iterator[tuple[Proxy, Proxy]]:
    """The proxies of the primary and of the replica. Who asks for the cluster's slots is given their ports."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coffer-")))
        servers = []
        for name in ("primary", "replica"):
            (folder / name).mkdir()
            bus = ["--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--repl-diskless-sync-delay", "0"]
            servers.append(Server(folder / name, extra=bus))
            stack.callback(servers[-1].kill)
        primary, replica = servers
        ask(primary, "CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        ask(replica, "CLUSTER", "MEET", "127.0.0.1", primary.port, primary.extra[3])
        wait_until(lambda: follows(replica, primary), 20)
        proxies = [stack.enter_context(Proxy(server.port)) for server in servers]
        for server, proxy in zip(servers, proxies, strict=True):
            ask(server, "CONFIG", "SET", "cluster-announce-port", proxy.port)

        def is_announced() -> bool:
            named = [[node[1] for node in one[2:]] for one in Cluster.slots(primary)]
            return named == [[proxy.port for proxy in proxies]] and is_fit_replica(replica)

        wait_until(is_announced, 20)
        yield proxies[0], proxies[1]


def share_of_replica(cache: coffer.Cache) -> float:
    before = cache.stats().replica_reads
    for _ in range(READS):
        assert cache.get("key") == "value"
    return (cache.stats().replica_reads - before) / READS


def test_reads_go_to_whoever_answers_fastest(pair: tuple[Proxy, Proxy], tell: Tell) -> None:
    primary, replica = pair
    with coffer.Cache(f"redis+cluster://127.0.0.1:{primary.port}", read_from="nearest", timeout="5s") as cache:
        cache.set("key", "value")
        wait_until(lambda: share_of_replica(cache) > 0)
        replica.set("down", "latency", ms=SLOW_MS)
        wait_until(lambda: share_of_replica(cache) <= 0.04, 20)  # one read in 5 s finds out whether it is still slow
        to_the_fast = 1 - share_of_replica(cache)
        replica.clear()
        primary.set("down", "latency", ms=SLOW_MS)
        wait_until(lambda: share_of_replica(cache) >= 0.96, 20)
        trips = {one.role: one.smoothed_round_trip for one in cache.health().endpoints}
        assert trips["replica"] is not None and trips["primary"] is not None
        assert trips["replica"] < trips["primary"]
        assert cache.stats().errors == 0
        tell(None, replica, slow_ms=SLOW_MS, to_the_fast_percent=round(100 * to_the_fast))
