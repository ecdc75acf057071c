"""A cluster of three redis-servers of our own, whose slots may be moved."""

from __future__ import annotations

import contextlib
from pathlib import Path

from support import RedisServer, Resp, free_port, wait_until

SLOTS = 16384
NODES = 3


class Cluster:
    """Three primaries, each with a third of the slots."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.nodes: list[RedisServer] = []
        for index in range(NODES):
            place = folder / str(index)
            place.mkdir()
            bus = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", "1000")
            self.nodes.append(RedisServer(place, *bus, "--repl-diskless-sync-delay", "0"))
            stack.callback(self.nodes[-1].stop)
        self.clients: list[Resp] = [node.client() for node in self.nodes]
        for client in self.clients:
            stack.callback(client.close)
        self.buses = [self._bus(index) for index in range(NODES)]
        for index, client in enumerate(self.clients):
            client.call("CLUSTER", "ADDSLOTSRANGE", index * SLOTS // NODES, (index + 1) * SLOTS // NODES - 1)
            client.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node, bus_port in zip(self.nodes[1:], self.buses[1:], strict=True):
            self.clients[0].call("CLUSTER", "MEET", "127.0.0.1", node.port, bus_port)
        wait_until(self.is_well, 20)
        self.ids = [text(client.call("CLUSTER", "MYID")) for client in self.clients]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])

    def _bus(self, index: int) -> int:
        return int(text(self.clients[index].call("CONFIG", "GET", "cluster-port"), 1))

    def is_well(self) -> bool:
        """Each node knows of all slots."""
        infos = [text(client.call("CLUSTER", "INFO")) for client in self.clients]
        return all("cluster_state:ok" in info and f"cluster_known_nodes:{NODES}" in info for info in infos)

    def owner(self, slot: int) -> int:
        ranges = self.clients[0].call("CLUSTER", "SLOTS")
        assert isinstance(ranges, list)
        port = next(one[2][1] for one in ranges if one[0] <= slot <= one[1])
        return next(index for index, node in enumerate(self.nodes) if node.port == port)

    def is_agreed(self) -> bool:
        """Each node knows of all slots as the others do, and of the newest epoch."""
        infos = [text(client.call("CLUSTER", "INFO")) for client in self.clients]
        epochs = {line for info in infos for line in info.splitlines() if line.startswith("cluster_current_epoch:")}
        maps = [sorted(map(repr, client.call("CLUSTER", "SLOTS"))) for client in self.clients]  # type: ignore[arg-type]
        return len(epochs) == 1 and all(one == maps[0] for one in maps)

    def move(self, slot: int, source: int, target: int) -> None:
        """As redis-cli does: the keys of the slot one by one, then everybody is told. All agree before: a node that had not heard of the
        newest epoch would take the slot with too low a one, and lose it, and its keys, to the next old message of who had it."""
        wait_until(self.is_agreed, 20)
        self.clients[target].call("CLUSTER", "SETSLOT", slot, "IMPORTING", self.ids[source])
        self.clients[source].call("CLUSTER", "SETSLOT", slot, "MIGRATING", self.ids[target])
        while keys := self.clients[source].call("CLUSTER", "GETKEYSINSLOT", slot, 10):
            assert isinstance(keys, list)
            for key in keys:
                self.clients[source].call("MIGRATE", "127.0.0.1", self.nodes[target].port, key, 0, 5000, "REPLACE")
        for index in (target, source, *range(NODES)):
            self.clients[index].call("CLUSTER", "SETSLOT", slot, "NODE", self.ids[target])


def text(value: object, index: int = 0) -> str:
    one = value[index] if isinstance(value, list) else value
    assert isinstance(one, bytes)
    return one.decode()
