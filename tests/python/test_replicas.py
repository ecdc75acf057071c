"""Reads from replicas: a cluster and sentinels with replicas of our own, and where each command really went, by the servers' own counts."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import coffer
from support import RedisServer, Resp, free_port, has_redis, wait_until

pytestmark = pytest.mark.usefixtures("both")

SLOTS = 16384


class Replicated:
    """A cluster: two primaries, with two replicas and one."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.nodes: list[RedisServer] = []
        for index in range(5):
            place = folder / str(index)
            place.mkdir()
            arguments = ["--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", "3000"]
            arguments += ["--cluster-replica-no-failover", "yes", "--repl-diskless-sync-delay", "0"]
            self.nodes.append(RedisServer(place, *arguments))
            stack.callback(self.nodes[-1].stop)
        self.clients = [node.client() for node in self.nodes]
        for client in self.clients:
            stack.callback(client.close)
        self.primaries, self.replicas = (0, 1), (2, 3, 4)
        for index in self.primaries:
            self.clients[index].call("CLUSTER", "ADDSLOTSRANGE", index * SLOTS // 2, (index + 1) * SLOTS // 2 - 1)
            self.clients[index].call("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node, client in zip(self.nodes[1:], self.clients[1:], strict=True):
            bus = client.call("CONFIG", "GET", "cluster-port")
            assert isinstance(bus, list)
            self.clients[0].call("CLUSTER", "MEET", "127.0.0.1", node.port, bus[1])
        wait_until(lambda: all("cluster_known_nodes:5" in info(client, "CLUSTER", "INFO") for client in self.clients), 20)
        ids = [self.clients[index].call("CLUSTER", "MYID") for index in self.primaries]
        for replica, primary in ((2, 0), (3, 0), (4, 1)):
            one = ids[primary]
            assert isinstance(one, bytes)
            self.clients[replica].call("CLUSTER", "REPLICATE", one)
        wait_until(self.is_well, 30)
        self.url = f"redis+cluster://127.0.0.1:{self.nodes[0].port},127.0.0.1:{self.nodes[1].port}"

    def is_well(self) -> bool:
        """Each node knows of all slots, and each primary of its replicas, which are linked."""
        linked = all("master_link_status:up" in info(self.clients[index], "INFO", "replication") for index in self.replicas)
        named = [len(ranges) for client in self.clients if isinstance(ranges := client.call("CLUSTER", "SLOTS"), list)]
        sizes = [sorted(len(one) for one in client.call("CLUSTER", "SLOTS")) for client in self.clients]  # type: ignore[attr-defined]
        return linked and named == [2] * 5 and sizes == [[4, 5]] * 5

    def settle(self) -> None:
        """Replicas have what their primaries have."""
        for index in self.primaries:
            self.clients[index].call("WAIT", 2 - index, 5000)

    def reads(self) -> list[int]:
        return [reads_of(client) for client in self.clients]

    def forget(self) -> None:
        for client in self.clients:
            client.call("CONFIG", "RESETSTAT")


def info(client: Resp, *words: str) -> str:
    told = client.call(*words)
    assert isinstance(told, bytes)
    return told.decode()


def calls_of(client: Resp, command: str) -> int:
    found = re.search(rf"cmdstat_{command}:calls=(\d+)", info(client, "INFO", "commandstats"))
    return int(found[1]) if found else 0


def reads_of(client: Resp) -> int:
    return calls_of(client, "get") + calls_of(client, "mget")


@pytest.fixture(scope="module")
def replicated() -> Iterator[Replicated]:
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="coffer-"))
        yield Replicated(Path(folder), stack)


@pytest.fixture(autouse=True)
def empty(request: pytest.FixtureRequest) -> None:
    if "replicated" in request.fixturenames:
        replicated: Replicated = request.getfixturevalue("replicated")
        for index in replicated.primaries:
            replicated.clients[index].call("FLUSHALL")
        replicated.settle()


KEYS = [f"key:{number}" for number in range(60)]


def test_reads_are_shared_by_the_replicas_and_writes_are_not(replicated: Replicated) -> None:
    with coffer.Cache(replicated.url, prefix="share", read_from="prefer_replica") as cache:
        cache.set_many({key: key for key in KEYS})
        replicated.settle()
        replicated.forget()
        assert [cache.get(key) for key in KEYS] == KEYS
        reads = replicated.reads()
        assert reads[:2] == [0, 0]
        assert sum(reads[2:]) == len(KEYS)
        assert abs(reads[2] - reads[3]) <= 1
        assert cache.get_many(KEYS) == {key: key for key in KEYS}
        assert all(cache.exists(key) for key in KEYS[:10])
        assert all(cache.ttl(key) is not None for key in KEYS[:10])
        assert [cache.get_or_load(key, lambda _: "not asked") for key in KEYS] == KEYS
        assert replicated.reads()[:2] == [0, 0]
        assert [calls_of(replicated.clients[index], "readonly") > 0 for index in range(5)] == [False, False, True, True, True]
        stats = cache.stats()
        assert stats.replica_reads == 3 * len(KEYS) + 30
        assert (stats.replica_fallbacks, stats.redirects, stats.errors) == (0, 0, 0)
        roles = {endpoint.name.rpartition(":")[2]: endpoint.role for endpoint in cache.health().endpoints}
        assert roles == {str(node.port): "primary" if index < 2 else "replica" for index, node in enumerate(replicated.nodes)}


def test_what_is_written_over_is_seen_on_the_primary(replicated: Replicated) -> None:
    with coffer.Cache(replicated.url, prefix="over", read_from="prefer_replica") as cache:
        cache.set_many({key: key for key in KEYS})
        replicated.settle()
        replicated.forget()
        for key in KEYS[:20]:
            assert not cache.add(key, "other")
            assert cache.replace(key, "new")
            assert cache.touch(key)
            assert cache.increment(key) == 1
            assert cache.counter(key) == 1
        assert sum(replicated.reads()[2:]) == 0
        assert cache.stats().replica_reads == 0


@contextlib.contextmanager
def cut_off(replicated: Replicated) -> Iterator[None]:
    """The replicas hear nothing from their primaries, and go on answering."""
    clients = [replicated.clients[index] for index in replicated.replicas]
    for client in clients:
        client.call("CONFIG", "SET", "masterauth", "wrong")
        client.call("CLIENT", "KILL", "TYPE", "MASTER")
        wait_until(lambda client=client: "master_link_status:down" in info(client, "INFO", "replication"))  # type: ignore[misc]
    try:
        yield
    finally:
        for client in clients:
            client.call("CONFIG", "SET", "masterauth", "")
        wait_until(replicated.is_well, 30)


def test_replicas_that_are_behind(replicated: Replicated) -> None:
    """A get may be behind. A load looks at the primary first: nothing is loaded that is there, and what is there is what it stores over."""
    keys = KEYS[:12]
    with coffer.Cache(replicated.url, prefix="behind", read_from="replica") as cache:
        cache.set_many(dict.fromkeys(keys[:6], "old"))
        replicated.settle()
        with cut_off(replicated):
            cache.set_many(dict.fromkeys(keys, "new"))
            assert cache.get_many(keys) == dict.fromkeys(keys[:6], "old")
            assert [cache.get_or_load(key, lambda _: "loaded") for key in keys[6:]] == ["new"] * 6
            cache.delete_many(keys[6:])
            assert [cache.get_or_load(key, lambda _: "loaded") for key in keys[6:]] == ["loaded"] * 6
            assert cache.stats().loads == 6
            assert cache.stats().fills_refused == 0
        wait_until(lambda: cache.get_many(keys) == {key: "new" if key in keys[:6] else "loaded" for key in keys})


def test_nothing_is_read_from_replicas_unless_it_is_asked_for(replicated: Replicated) -> None:
    replicated.forget()
    with coffer.Cache(replicated.url, prefix="plain") as cache:
        for key in KEYS:
            cache.set(key, key)
            assert cache.get(key) == key
        assert sum(replicated.reads()[2:]) == 0
        assert cache.stats().replica_reads == cache.stats().replica_fallbacks == 0
        assert all(endpoint.smoothed_round_trip is None for endpoint in cache.health().endpoints)


def test_nearest_asks_everybody_and_knows_how_far_they_are(replicated: Replicated) -> None:
    with coffer.Cache(replicated.url, prefix="near", read_from="nearest") as cache:
        cache.set_many({key: key for key in KEYS})
        replicated.settle()
        replicated.forget()

        def everybody_was_asked() -> bool:  # one that seems far is measured anew from time to time
            assert [cache.get(key) for key in KEYS] == KEYS
            return all(count > 0 for count in replicated.reads())

        wait_until(everybody_was_asked)
        assert all(endpoint.smoothed_round_trip is not None for endpoint in cache.health().endpoints if endpoint.role != "")


def test_a_replica_that_is_gone_is_passed_over(replicated: Replicated) -> None:
    with coffer.Cache(replicated.url, prefix="gone", read_from="prefer_replica", timeout="2s") as cache:
        cache.set_many({key: key for key in KEYS})
        replicated.settle()
        assert [cache.get(key) for key in KEYS] == KEYS
        # it goes on as a process, and takes no connections: those that it has are closed as well
        for index in (3, 4):
            port = replicated.clients[index].call("CONFIG", "GET", "port")
            assert isinstance(port, list)
            replicated.clients[index].call("CONFIG", "SET", "port", 0)
            with contextlib.suppress(RuntimeError):
                replicated.clients[index].call("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "yes")
        try:
            for _ in range(3):
                assert [cache.get(key) for key in KEYS] == KEYS
            stats = cache.stats()
            assert stats.errors == 0
            assert stats.replica_fallbacks > 0
        finally:
            for index in (3, 4):
                replicated.clients[index].call("CONFIG", "SET", "port", replicated.nodes[index].port)
        wait_until(replicated.is_well)
        replicated.forget()

        def is_read_again() -> bool:
            assert [cache.get(key) for key in KEYS] == KEYS
            return all(count > 0 for count in replicated.reads()[2:])

        wait_until(is_read_again)


def test_replicas_alone(replicated: Replicated) -> None:
    with coffer.Cache(replicated.url, prefix="alone", read_from="replica") as cache:
        cache.set_many({key: key for key in KEYS})
        replicated.settle()
        replicated.forget()
        assert cache.get_many(KEYS) == {key: key for key in KEYS}
        assert replicated.reads()[:2] == [0, 0]


def test_servers_that_do_not_tell_their_zone(replicated: Replicated) -> None:
    with coffer.Cache(replicated.url, prefix="zone", read_from="prefer_replica", availability_zone="west") as cache:
        cache.set_many({key: key for key in KEYS})
        replicated.settle()
        assert [cache.get(key) for key in KEYS] == KEYS
        health = cache.health()
        assert health.state == "healthy"
        assert any("do not tell their availability zone" in reason and "no effect" in reason for reason in health.reasons)
        assert {endpoint.zone for endpoint in health.endpoints} == {""}


@pytest.mark.parametrize("value", ["secondary", "", "PRIMARY!", "nearest,replica"])
def test_other_words_are_refused(value: str) -> None:
    with pytest.raises(coffer.OptionError, match="'primary', 'prefer_replica', 'replica', 'nearest'"):
        coffer.Cache("redis+cluster://127.0.0.1:7000", read_from=value)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379", "unix:///run/redis.sock", "rediss://127.0.0.1"])
def test_a_single_server_has_no_replicas_to_read_from(url: str) -> None:
    with pytest.raises(coffer.OptionError, match="cannot be other than 'primary' for a single server"):
        coffer.Cache(url, read_from="prefer_replica")
    coffer.Cache(url, read_from="primary").close()


def test_a_zone_without_a_choice_is_refused() -> None:
    with pytest.raises(coffer.OptionError, match="means nothing while 'read_from' is 'primary'"):
        coffer.Cache("redis+cluster://127.0.0.1:7000", availability_zone="west")
    with pytest.raises(coffer.OptionError, match="at most 63 printable"):
        coffer.Cache("redis+cluster://127.0.0.1:7000", read_from="nearest", availability_zone="we st")


def test_memory_takes_both_and_does_nothing() -> None:
    with coffer.Cache("mem://", read_from="nearest", availability_zone="west") as cache:
        cache.set("key", 1)
        assert cache.get("key") == 1
        assert cache.stats().replica_reads == 0
