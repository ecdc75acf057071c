"""A cluster of three primaries with a replica each, and a primary with a replica that three sentinels watch: servers that are killed,
stopped and started again one by one, and an oracle's view of who serves what."""

from __future__ import annotations

import binascii
import contextlib
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import Resp, free_port, wait_until
from tools import Oracle, Server, a_little, now_us

SLOTS, SHARDS = 16384, 3
NODE_TIMEOUT_MS, DOWN_AFTER_MS = 1000, 500
PATIENCE_S = 30


def slot_of(wire_key: str) -> int:
    """CRC16 (XMODEM), of keys without a hash tag."""
    return binascii.crc_hqx(wire_key.encode(), 0) % SLOTS


def words(value: object) -> str:
    """A bulk reply as text."""
    assert isinstance(value, bytes)
    return value.decode()


def ask(server: Server, *command: str | int) -> object:
    with contextlib.closing(Resp(server.path)) as client:
        return client.call(*command)


def field(server: Server, section: str, name: str) -> str:
    lines = words(ask(server, "INFO", section)).splitlines()
    return next((line.partition(":")[2] for line in lines if line.startswith(name + ":")), "")


def is_fit_replica(server: Server) -> bool:
    """A failover before that would not happen, or lose what was written."""
    with contextlib.suppress(OSError, RuntimeError):
        return field(server, "replication", "role") == "slave" and field(server, "replication", "master_link_status") == "up"
    return False


class Cluster:
    """Nodes 0 to 2 begin as primaries; node i + 3 is their replica, or the other way round after a failover."""

    def __init__(self, folder: Path) -> None:
        self.nodes: list[Server] = []
        for index in range(2 * SHARDS):
            place = folder / str(index)
            place.mkdir()
            bus = ["--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
            bus += ["--repl-diskless-sync-delay", "0", "--cluster-allow-replica-migration", "no", "--cluster-replica-validity-factor", "0"]
            self.nodes.append(Server(place, extra=bus))
        self.ids = [words(ask(node, "CLUSTER", "MYID")) for node in self.nodes]
        for index, node in enumerate(self.nodes):
            ask(node, "CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            ask(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", node.port, node.extra[3])
        for shard in range(SHARDS):
            ask(self.nodes[shard], "CLUSTER", "ADDSLOTSRANGE", shard * SLOTS // SHARDS, (shard + 1) * SLOTS // SHARDS - 1)
        wait_until(lambda: all(self._knows_all(node) for node in self.nodes), PATIENCE_S)
        for shard in range(SHARDS):
            ask(self.nodes[shard + SHARDS], "CLUSTER", "REPLICATE", self.ids[shard])
        self.wait_until_well()
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:SHARDS])

    def _knows_all(self, node: Server) -> bool:
        return f"cluster_known_nodes:{2 * SHARDS}" in words(ask(node, "CLUSTER", "INFO"))

    def wait_until_well(self) -> None:
        """Every node sees every slot served, and every replica follows."""
        wait_until(self._is_well, PATIENCE_S)

    def _is_well(self) -> bool:
        with contextlib.suppress(OSError, RuntimeError):
            replicas = [node for node in self.nodes if field(node, "replication", "role") == "slave"]
            fine = all("cluster_state:ok" in words(ask(node, "CLUSTER", "INFO")) for node in self.nodes)
            views = {str(sorted((one[0], one[1], one[2][1]) for one in self.slots(node))) for node in self.nodes}
            return fine and len(views) == 1 and len(replicas) == SHARDS and all(is_fit_replica(node) for node in replicas)
        return False

    @staticmethod
    def slots(node: Server) -> list[Any]:
        """[first, last, [host, port, ...], ...] ..."""
        ranges = ask(node, "CLUSTER", "SLOTS")
        assert isinstance(ranges, list)
        return ranges

    def pair(self, shard: int) -> tuple[Server, Server]:
        """Who is the primary, and who the replica."""
        first, second = self.nodes[shard], self.nodes[shard + SHARDS]
        return (first, second) if field(first, "replication", "role") == "master" else (second, first)

    def shard_of(self, slot: int) -> int:
        return next(shard for shard in range(SHARDS) if slot < (shard + 1) * SLOTS // SHARDS)

    def oracle(self, shard: int, server: Server) -> Oracle:
        """Says when this server takes writes to the shard."""
        key = next(f"probe:{n}" for n in range(1000) if self.shard_of(slot_of(f"probe:{n}")) == shard)
        return Oracle(server.port, f"SET {key} x", "+OK")


class Mover:
    """Moves slots between the primaries, as redis-cli does: the keys one by one, then everybody is told. Keeps its connections."""

    def __init__(self, cluster: Cluster, stack: contextlib.ExitStack) -> None:
        self.primaries = [cluster.pair(shard)[0] for shard in range(SHARDS)]
        self.clients = [Resp(node.path) for node in self.primaries]
        for client in self.clients:
            stack.callback(client.close)
        self.ids = [words(client.call("CLUSTER", "MYID")) for client in self.clients]
        self.keys_moved = 0

    def owned(self) -> dict[int, list[int]]:
        """The slots of each primary, by its index."""
        ports = [node.port for node in self.primaries]
        owned: dict[int, list[int]] = {index: [] for index in range(SHARDS)}
        for one in Cluster.slots(self.primaries[0]):
            owned[ports.index(one[2][1])] += range(one[0], one[1] + 1)
        return owned

    def move(self, slot: int, source: int, target: int) -> None:
        self.clients[target].call("CLUSTER", "SETSLOT", slot, "IMPORTING", self.ids[source])
        self.clients[source].call("CLUSTER", "SETSLOT", slot, "MIGRATING", self.ids[target])
        while keys := self.clients[source].call("CLUSTER", "GETKEYSINSLOT", slot, 10):
            assert isinstance(keys, list)
            self.clients[source].call("MIGRATE", "127.0.0.1", self.primaries[target].port, "", 0, 5000, "REPLACE", "KEYS", *keys)
            self.keys_moved += len(keys)
        for index in (target, source, *range(SHARDS)):
            self.clients[index].call("CLUSTER", "SETSLOT", slot, "NODE", self.ids[target])


class Group:
    """Two servers and three sentinels that watch them as "main"."""

    def __init__(self, folder: Path) -> None:
        (folder / "a").mkdir()
        (folder / "b").mkdir()
        self.follow = ["--repl-diskless-sync-delay", "0"]
        self.servers = [Server(folder / "a", extra=self.follow)]
        self.servers.append(Server(folder / "b", extra=[*self.follow, "--replicaof", f"127.0.0.1 {self.servers[0].port}"]))
        self.ports = [free_port() for _ in range(3)]
        self.processes = [self._start_sentinel(folder / str(port), port) for port in self.ports]
        wait_until(lambda: all(self._sees_all(port) for port in self.ports), PATIENCE_S)
        self.url = "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in self.ports) + "/main"

    def _start_sentinel(self, home: Path, port: int) -> subprocess.Popen[bytes]:
        home.mkdir()
        config = home / "sentinel.conf"
        config.write_text(
            f"bind 127.0.0.1\nport {port}\ndir {home}\nsentinel monitor main 127.0.0.1 {self.servers[0].port} 2\n"
            f"sentinel down-after-milliseconds main {DOWN_AFTER_MS}\nsentinel failover-timeout main 3000\n"
        )
        return subprocess.Popen(["redis-server", str(config), "--sentinel"], stdout=subprocess.DEVNULL)

    def said(self, port: int) -> dict[str, str]:
        """What a sentinel says of the master."""
        with contextlib.suppress(OSError, RuntimeError), contextlib.closing(Resp(("127.0.0.1", port))) as client:
            fields = client.call("SENTINEL", "MASTER", "main")
            assert isinstance(fields, list)
            texts = [words(one) for one in fields]
            return dict(zip(texts[::2], texts[1::2], strict=True))
        return {}

    def _sees_all(self, port: int) -> bool:
        seen = self.said(port)
        return (seen.get("num-slaves"), seen.get("num-other-sentinels"), seen.get("flags")) == ("1", "2", "master")

    def pair(self) -> tuple[Server, Server]:
        first, second = self.servers
        return (first, second) if field(first, "replication", "role") == "master" else (second, first)

    def wait_until_well(self) -> None:
        """Everybody agrees, and a failover would succeed."""
        wait_until(self._is_well, PATIENCE_S)

    def _is_well(self) -> bool:
        with contextlib.suppress(OSError, RuntimeError):  # who is demoted hangs up
            primary, replica = self.pair()
            named = {self.said(port).get("port") for port in self.ports}
            return named == {str(primary.port)} and is_fit_replica(replica) and all(self._sees_all(port) for port in self.ports)
        return False

    def order_failover(self) -> None:
        """A replica that has come back is "no suitable" one until the sentinel has asked it again."""
        wait_until(self._is_ordered, PATIENCE_S)

    def _is_ordered(self) -> bool:
        with contextlib.suppress(RuntimeError), contextlib.closing(Resp(("127.0.0.1", self.ports[0]))) as client:
            return client.call("SENTINEL", "FAILOVER", "main") == b"OK"
        return False

    def first_named_us(self, server: Server) -> int:
        """Waits until one of the sentinels names this server: the moment."""
        end = time.monotonic() + PATIENCE_S
        clients = [Resp(("127.0.0.1", port)) for port in self.ports]
        try:
            while time.monotonic() < end:
                for client in clients:
                    named = client.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
                    if isinstance(named, list) and words(named[1]) == str(server.port):
                        return now_us()
                time.sleep(0.002)
        finally:
            for client in clients:
                client.close()
        raise AssertionError("no sentinel names it")

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)


class Witness:
    """Whether a server carries out writes for callers after it has told one of them READONLY: MONITOR, and its own count of refusals."""

    def __init__(self, server: Server, servers: set[int]) -> None:
        self.server = server
        self.servers = servers  # what comes from one of these is replication
        self.refused_at = 0.0  # seconds of the wall clock, as MONITOR's
        self.was_refused = False
        self.writes: list[float] = []
        self._monitor = Resp(server.path)
        self._monitor.call("MONITOR")
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._read_writes, self._watch_refusals)]
        for one in self._threads:
            one.start()

    def _read_writes(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._monitor.lines():
                at, _, rest = line[1:].partition(b" [")
                address, _, command = rest.partition(b"] ")
                if command.upper().startswith(b'"SET"') and int(address.rpartition(b":")[2] or 0) not in self.servers:
                    self.writes.append(float(at))

    def _watch_refusals(self) -> None:
        before = self._refusals()
        while not self._ends.is_set() and self._refusals() in ("", before):
            a_little()
        self.refused_at = time.time()
        self.was_refused = self._refusals() not in ("", before)

    def _refusals(self) -> str:
        with contextlib.suppress(OSError, RuntimeError):
            return field(self.server, "errorstats", "errorstat_READONLY")
        return ""

    def end(self) -> int:
        """How many there were; `writes` are all of them, refused or not."""
        self._ends.set()
        self._monitor.hang_up()
        for one in self._threads:
            one.join(10)
        self._monitor.close()
        return sum(at > self.refused_at for at in self.writes)


def needs_redis() -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")


@contextlib.contextmanager
def cluster_of_its_own() -> Iterator[Cluster]:
    needs_redis()
    with tempfile.TemporaryDirectory(prefix="coffer-") as folder:
        running = Cluster(Path(folder))
        try:
            yield running
        finally:
            for node in running.nodes:
                node.kill()


@contextlib.contextmanager
def group_of_its_own() -> Iterator[Group]:
    needs_redis()
    with tempfile.TemporaryDirectory(prefix="coffer-") as folder:
        running = Group(Path(folder))
        try:
            yield running
        finally:
            running.stop()
            for server in running.servers:
                server.kill()


def wait_a_moment(seconds: float) -> None:
    """A load goes on for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        a_little()
