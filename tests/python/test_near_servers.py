"""Near copies against real servers: what others change is seen, over TLS and with a password, after a channel was killed, in a cluster
whose slots move, and after a failover by sentinels."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import coffer
import on_loop
from clusters import SLOTS, Cluster
from sentinels import ASKED, SECRET, is_primary, is_promoted, plain_group
from support import Resp, free_port, has_redis, make_certificates, redis_server, wait_until

pytestmark = [pytest.mark.usefixtures("both"), pytest.mark.skipif(not has_redis(), reason="redis-server is not installed")]

NEAR = {"near": "process", "near_bytes": "1MiB", "raw": True, "namespace": "n", "prefix": "p", "timeout": 5}


def asked_count(clients: Iterable[Resp]) -> int:
    """How often servers were asked for a value."""
    stats = (client.call("INFO", "commandstats") for client in clients)
    found = (re.search(rb"cmdstat_get:calls=(\d+)", one) for one in stats if isinstance(one, bytes))
    return sum(int(one[1]) for one in found if one)


def is_near(cache: coffer.Cache | Another, clients: list[Resp], key: str) -> bool:
    """Whether it is answered without a server: from some moment on."""
    before = asked_count(clients)
    with contextlib.suppress(coffer.Error):
        cache.get(key)
    return asked_count(clients) == before


def assert_follows(cache: coffer.Cache | Another, clients: list[Resp], client: Resp, key: str) -> None:
    """It comes near, and goes as soon as somebody else changes it."""
    client.call("SET", f"p:n:{key}", "1")
    wait_until(lambda: is_near(cache, clients, key) and cache.get(key) == b"1")  # where a channel broke, an old copy may be seen once more
    client.call("SET", f"p:n:{key}", "2")
    wait_until(lambda: cache.get(key) == b"2", 5)
    client.call("DEL", f"p:n:{key}")
    wait_until(lambda: cache.get(key) is None, 5)


def test_what_others_change_is_seen() -> None:
    with redis_server() as server, contextlib.closing(server.client()) as client, coffer.Cache(server.url, **NEAR) as cache:
        assert_follows(cache, [client], client, "key")
        for _ in range(3):
            client.call("CLIENT", "KILL", "TYPE", "pubsub")
            assert_follows(cache, [client], client, "key")
        client.call("SET", "p:n:key", "1")
        wait_until(lambda: is_near(cache, [client], "key"))
        client.call("FLUSHALL")
        wait_until(lambda: cache.get("key") is None, 5)


LEADERS = {
    "blocking": """
        cache = coffer.Cache(url, **near)
        while cache.health().near != "live":
            cache.set("other", b"1")
        print("hears", flush=True)
        input()
        cache.close()
    """,
    "asyncio": """
        async def main():
            cache = coffer.aio.Cache(url, **near)
            while (await cache.health()).near != "live":
                await cache.set("other", b"1")
            print("hears", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, input)
            await cache.aclose()
        asyncio.run(main())
    """,
}


FOLLOWER = """
    with on_loop.on_a_loop(), (on_loop.Cache if is_async else coffer.Cache)(url, **near) as cache:
        cache.set("other", b"2")
        for line in filter(str.strip, sys.stdin):
            print(repr(cache.stats().near.takeovers if line == "takeovers\\n" else cache.get(line.rstrip())), flush=True)
"""


class Another:
    """A process with a cache, and a clock that no test has moved: processes that share memory have to agree on it."""

    def __init__(self, code: str, **known: object) -> None:
        told = "".join(f"{name} = {value!r}\n" for name, value in known.items())
        command = [sys.executable, "-c", "import asyncio, sys, coffer, coffer.aio, on_loop\n" + told + textwrap.dedent(code)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def get(self, key: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{key}\n")
        self.process.stdin.flush()
        return ast.literal_eval(self.heard())

    def close(self) -> None:
        self.process.communicate("\n", timeout=20)
        assert self.process.returncode == 0


@pytest.mark.parametrize("leader", LEADERS)
def test_another_process_hears_at_once_when_the_one_that_did_closes(leader: str) -> None:
    near = NEAR | {"near": "shared", "near_name": f"coffer-test-{os.getpid()}-close"}
    known = {"near": near, "is_async": coffer.Cache is on_loop.Cache}
    try:
        with redis_server() as server, contextlib.closing(server.client()) as client:
            client.call("SET", "p:n:key", "1")
            with contextlib.closing(Another(LEADERS[leader], url=server.url, **known)) as first:
                assert first.heard() == "hears\n"
                second = Another(FOLLOWER, url=server.url, **known)
                wait_until(lambda: is_near(second, [client], "key"))
                takeovers = second.get("takeovers")
            with contextlib.closing(second):
                wait_until(lambda: is_near(second, [client], "key"), 1)  # what one that was killed keeps for itself is 2 s
                assert second.get("takeovers") > takeovers
                assert_follows(second, [client], client, "key")
    finally:
        for path in Path("/dev/shm").glob(f"{near['near_name']}.*"):
            path.unlink()


@pytest.mark.parametrize("loads", [False, True], ids=["get", "get_or_load"])
def test_no_copy_stays_that_was_overtaken(loads: bool) -> None:
    """Reads race with what another client changes; soon after the last change, long before a copy's time is over, all are what the
    server holds. (C: io/test_near_race, where it is known when all was heard.)"""
    keys = [f"k{number}" for number in range(16)]
    over = threading.Event()
    faults: list[BaseException] = []

    def read(cache: coffer.Cache) -> None:
        try:
            while not over.is_set():
                for key in keys:
                    cache.get_or_load(key, lambda _: b"loaded") if loads else cache.get(key)
        except BaseException as fault:
            faults.append(fault)

    with redis_server() as server, contextlib.closing(server.client()) as client, coffer.Cache(server.url, **NEAR) as cache:
        wait_until(lambda: is_near(cache, [client], "mark"))
        readers = [threading.Thread(target=read, args=(cache,)) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            for number in range(40):
                for turn in range(5):
                    for key in keys:
                        client.call("SET", f"p:n:{key}", f"{number}.{turn}")
                wait_until(lambda: [cache.get(key) for key in keys] == [f"{number}.4".encode()] * len(keys), 5)  # noqa: B023
        finally:
            over.set()
            for reader in readers:
                reader.join()
        assert faults == []
        assert cache.stats().near_hits > 0


def test_the_channel_logs_in_and_speaks_tls(tmp_path: Path) -> None:
    certificates, port = make_certificates(tmp_path), free_port()
    files = {"cert": "right.pem", "key": "server.key", "ca-cert": "ca.pem"}
    words = [word for name, file in files.items() for word in (f"--tls-{name}-file", f"{certificates}/{file}")]
    server = redis_server("--tls-port", str(port), "--tls-auth-clients", "no", *words, "--requirepass", "secret")
    with server as running, contextlib.closing(running.client()) as client:
        client.call("AUTH", "secret")
        url = f"rediss://:secret@127.0.0.1:{port}/0"
        with coffer.Cache(url, tls_ca_file=f"{certificates}/ca.pem", **NEAR) as cache:
            assert_follows(cache, [client], client, "key")


def test_without_the_right_to_be_told_copies_live_for_a_second() -> None:
    with redis_server() as server, contextlib.closing(server.client()) as client:
        client.call("ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", "-client|tracking")
        url = server.url.replace("://", "://plain:secret@")
        with coffer.Cache(url, **NEAR) as cache:
            client.call("SET", "p:n:key", "1")
            wait_until(lambda: is_near(cache, [client], "key"))
            client.call("SET", "p:n:key", "2")
            wait_until(lambda: cache.get("key") == b"2", 5)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        yield Cluster(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coffer-"))), stack)


def test_a_cluster_has_a_channel_to_each_of_its_nodes_and_slots_may_move(cluster: Cluster) -> None:
    with coffer.Cache(cluster.url, **NEAR) as cache:
        keys: dict[int, tuple[str, int]] = {}  # of each node, with its slot
        for number in range(100):
            slot = cluster.clients[0].call("CLUSTER", "KEYSLOT", f"p:n:{number}")
            assert isinstance(slot, int)
            keys.setdefault(cluster.owner(slot), (str(number), slot))
        assert len(keys) == 3
        for node, (key, _) in keys.items():
            assert_follows(cache, cluster.clients, cluster.clients[node], key)
        key, slot = keys[0]
        cluster.clients[0].call("SET", f"p:n:{key}", "1")
        wait_until(lambda: is_near(cache, cluster.clients, key))
        cluster.move(slot, 0, 1)
        try:
            cluster.clients[1].call("SET", f"p:n:{key}", "2")
            wait_until(lambda: cache.get(key) == b"2", 5)
            assert_follows(cache, cluster.clients, cluster.clients[1], key)
        finally:
            cluster.move(slot, 1, 0)
        assert 0 <= slot < SLOTS


def test_a_failover_by_sentinels_ends_what_was_near() -> None:
    with plain_group() as group, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(server.client())) for server in group.servers]
        for client in clients:
            client.call("AUTH", SECRET)
            client.call("SELECT", "3")
        old, new = (0, 1) if is_primary(group.servers[0]) else (1, 0)
        with coffer.Cache(group.url(), sentinel_password=ASKED, **NEAR) as cache:
            assert_follows(cache, clients, clients[old], "key")
            clients[old].call("SET", "p:n:key", "1")
            wait_until(lambda: is_near(cache, clients, "key"))
            group.ask(group.ports[0], "FAILOVER", "main")
            wait_until(lambda: is_promoted(group.servers[new]), 20)
            with contextlib.suppress(OSError):
                clients[new].close()
            clients[new] = stack.enter_context(contextlib.closing(group.servers[new].client()))
            clients[new].call("AUTH", SECRET)
            clients[new].call("SELECT", "3")
            clients[new].call("SET", "p:n:key", "2")
            wait_until(lambda: cache.get("key") == b"2", 5)
            clients[old] = stack.enter_context(contextlib.closing(group.servers[old].client()))
            clients[old].call("AUTH", SECRET)
            assert_follows(cache, clients, clients[new], "key")
