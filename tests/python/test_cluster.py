"""A cluster of three redis-servers: keys that live everywhere, slots that move under load, a node that goes away."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import coffer
from clusters import NODES, Cluster
from support import RedisServer, free_port, has_redis, wait_until

pytestmark = pytest.mark.usefixtures("both")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="coffer-"))
        yield Cluster(Path(folder), stack)


@pytest.fixture(autouse=True)
def empty(request: pytest.FixtureRequest) -> None:
    if "cluster" in request.fixturenames:
        for client in request.getfixturevalue("cluster").clients:
            client.call("FLUSHALL")


def test_keys_live_on_all_nodes(cluster: Cluster) -> None:
    with coffer.Cache(cluster.url, prefix="spread") as cache:
        for number in range(300):
            cache.set(f"key:{number}", number)
        assert [cache.get(f"key:{number}") for number in range(300)] == list(range(300))
        assert cache.stats().errors == cache.stats().redirects == 0
    held = [len(client.call("KEYS", "spread:*")) for client in cluster.clients]  # type: ignore[arg-type]
    assert sum(held) == 300
    assert min(held) > 50


def test_batches_are_split_and_put_together_again(cluster: Cluster) -> None:
    with coffer.Cache(cluster.url, prefix="batch") as cache:
        cache.set_many({f"key:{number}": number for number in range(1000)})
        asked = [f"key:{number}" for number in range(0, 2000, 2)]
        assert cache.get_many(asked) == {key: int(key[4:]) for key in asked if int(key[4:]) < 1000}
        assert cache.delete_many(asked) == 500
        assert cache.get_many(asked) == {}


def test_a_clear_goes_to_all_nodes(cluster: Cluster) -> None:
    with coffer.Cache(cluster.url, prefix="clear", namespace="a.b", timeout=10) as cache:
        other = cache.namespace("other")
        cache.set_many({f"key:{number}": number for number in range(5000)})
        cache.increment("n")
        other.set("key", "stays")
        assert cache.clear() == 5001
        assert cache.get_many([f"key:{number}" for number in range(5000)]) == {}
        assert cache.clear() == 0
        assert other.get("key") == "stays"
        assert cache.stats().errors == 0


def test_a_clear_finds_keys_wherever_slots_have_moved(cluster: Cluster) -> None:
    """What it knows of the slots is of before; MOVED tells it the rest."""
    with coffer.Cache(cluster.url, prefix="cleared", timeout=10) as cache:
        cache.set_many({f"key:{number}": number for number in range(200)})
        slots = {int(str(cluster.clients[0].call("CLUSTER", "KEYSLOT", f"cleared:_:key:{number}"))) for number in range(20)}
        for slot in slots:
            source = cluster.owner(slot)
            cluster.move(slot, source, (source + 1) % NODES)
        assert cache.clear() == 200
        assert sum(len(client.call("KEYS", "cleared:*")) for client in cluster.clients) == 0  # type: ignore[arg-type]
        assert cache.stats().redirects > 0


def test_every_operation_works_across_nodes(cluster: Cluster) -> None:
    with coffer.Cache(cluster.url, prefix="every") as cache:
        for number in range(12):
            key = f"key:{number}"
            assert cache.add(key, "first")
            assert not cache.add(key, "second")
            assert cache.replace(key, "third")
            assert cache.exists(key)
            assert cache.ttl(key) is not None
            assert cache.touch(key)
            assert cache.increment(key) == 1
            assert cache.increment(key, 5) == 6
            assert cache.counter(key) == 6
            assert cache.get_or_load(key, lambda _: "not asked") == "third"
            assert cache.delete(key)
            assert cache.get_or_load(key, lambda loaded: f"loaded {loaded}") == f"loaded {key}"
        assert cache.stats().errors == 0


def test_scripts_go_to_a_node_that_does_not_know_them(cluster: Cluster) -> None:
    for client in cluster.clients:
        client.call("SCRIPT", "FLUSH")
    with coffer.Cache(cluster.url, prefix="scripts") as cache:
        assert [cache.increment(f"n:{number}") for number in range(30)] == [1] * 30


def test_slots_that_move_under_load_are_not_noticed(cluster: Cluster) -> None:
    wrong: list[str] = []
    over = threading.Event()
    rounds = [0] * 4

    def work(mine: int, cache: coffer.Cache) -> None:
        number = 0
        try:
            while not over.is_set():
                number += 1
                key = f"{mine}:{number % 40}"
                cache.set(key, [mine, number])
                if cache.get(key) != [mine, number]:
                    wrong.append(f"{key} is {cache.get(key)}")
                if cache.increment(f"count:{mine}") != number:
                    wrong.append(f"count:{mine} is not {number}")
                rounds[mine] = number
        except coffer.Error as fault:
            wrong.append(str(fault))

    with coffer.Cache(cluster.url, prefix="load") as cache:
        threads = [threading.Thread(target=work, args=(mine, cache)) for mine in range(4)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: min(rounds) > 20)
            # all to one node: where targets change before the nodes have heard of each other's epochs, they disagree for a while
            slots = {keyslot(cluster, f"load:_:{mine}:{number}") for mine in range(4) for number in range(40)}
            owners = {slot: cluster.owner(slot) for slot in slots}
            target = 0 if set(owners.values()) == {NODES - 1} else NODES - 1  # they are there already
            for slot, source in owners.items():
                if source != target:
                    cluster.move(slot, source, target)
        finally:
            over.set()
            for thread in threads:
                thread.join(30)
        assert wrong == []
        assert cache.stats().errors == 0
        assert cache.stats().redirects > 0
        topology = cache.stats().topology
        assert topology.moved + topology.asked == cache.stats().redirects
        assert topology.refreshes > 0
        assert topology.redirects_refused == topology.primary_switches == 0
    wait_until(cluster.is_well)


def test_a_node_that_is_stopped_fails_its_own_keys_by_their_deadline(cluster: Cluster) -> None:
    keys = [f"key:{number}" for number in range(60)]
    with coffer.Cache(cluster.url, prefix="away", timeout="400ms", on_outage="miss") as cache:
        cache.set_many({key: key for key in keys})
        lost = {key for key in keys if cluster.owner(keyslot(cluster, f"away:_:{key}")) == 2}
        assert 0 < len(lost) < len(keys)
        cluster.nodes[2].process.send_signal(19)  # SIGSTOP: it says nothing, and takes connections
        try:
            begun = time.monotonic()
            found = cache.get_many(keys)
            assert time.monotonic() - begun < 0.6
            assert found == {key: key for key in keys if key not in lost}
        finally:
            cluster.nodes[2].process.send_signal(18)
        wait_until(cluster.is_well)
        wait_until(lambda: cache.get_many(keys) == {key: key for key in keys})


def test_the_keys_of_other_nodes_are_written_while_one_is_stopped(cluster: Cluster) -> None:
    pairs = {f"key:{number}": number for number in range(2000)}
    for client in cluster.clients[:2]:
        client.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
    with coffer.Cache(cluster.url, prefix="many", timeout="600ms", on_outage="error") as cache:
        lost = {key for key in pairs if cluster.owner(keyslot(cluster, f"many:_:{key}")) == 2}
        cluster.nodes[2].process.send_signal(19)
        try:
            for work in (lambda: cache.set_many(pairs), lambda: cache.get_many(list(pairs)), lambda: cache.delete_many(list(pairs)[:700])):
                with pytest.raises(coffer.Error) as caught:
                    work()
                assert set(caught.value.failed) == lost & set(list(pairs)[: 700 if "delete" in str(caught.value) else None])
                assert set(caught.value.failed.values()) <= {"MAYBE_APPLIED", "TIMEOUT", "BREAKER_OPEN"}
        finally:
            cluster.nodes[2].process.send_signal(18)
        wait_until(cluster.is_well)
        well = [key for key in pairs if key not in lost]
        assert cache.get_many(well) == {key: pairs[key] for key in well if key not in list(pairs)[:700]}


def keyslot(cluster: Cluster, key: str) -> int:
    slot = cluster.clients[0].call("CLUSTER", "KEYSLOT", key)
    assert isinstance(slot, int)
    return slot


def test_a_server_that_is_no_cluster_is_told(server: RedisServer) -> None:
    with (
        coffer.Cache(f"redis+cluster://127.0.0.1:{server.port}", timeout="1s") as cache,
        pytest.raises(coffer.ServerError, match="cluster support disabled"),
    ):
        cache.get("key")


def test_no_node_at_all_is_told_at_once() -> None:
    with coffer.Cache(f"redis+cluster://127.0.0.1:{free_port()}", timeout="5s", on_outage="error") as cache:
        begun = time.monotonic()
        with pytest.raises(coffer.ConnectionError, match="CLUSTER"):
            cache.get("key")
        assert time.monotonic() - begun < 2


def test_a_database_is_refused() -> None:
    with pytest.raises(coffer.OptionError, match="database 0"):
        coffer.Cache("redis+cluster://127.0.0.1:7000/3")
