"""Sockets at rest go into nginx's pool and are used again: by whom they belong to alone, and never with a reply that is still due."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable

from hosting import Nginx
from support import Command, RedisServer, Resp, ScriptedServer, redis_server, together, wait_until

Host = Callable[..., Nginx]


def clients(server: RedisServer | Resp) -> list[dict[str, str]]:
    """Those of caches, as CLIENT LIST has them."""
    raw = server if isinstance(server, Resp) else server.client()
    said = raw.call("CLIENT", "LIST")
    if raw is not server:
        raw.close()
    assert isinstance(said, bytes)
    lines = [dict(word.split("=", 1) for word in line.split(" ")) for line in said.decode().splitlines()]
    return [line for line in lines if line["name"] == "coffer"]


def wait_for_rest(nginx: Nginx, *caches: str) -> None:
    """Until no connection is held by these: all that there are lie in the pool."""
    for cache in caches:
        wait_until(lambda cache=cache: nginx.value(f"return {cache}:stats().pool.open") == 0)  # type: ignore[misc]


def test_a_connection_in_the_pool_holds_up_no_exit(host: Host, server: RedisServer) -> None:
    nginx = host(server.url, workers=1)
    nginx.lua('assert(cache:set("k", nil, 1))')
    wait_for_rest(nginx, "cache")
    old = set(nginx.workers())
    nginx.reload()
    begin = time.monotonic()
    wait_until(lambda: not old & set(nginx.workers()))
    assert time.monotonic() - begin < 2.5
    wait_until(lambda: len(clients(server)) == 0)


def test_two_users_never_share_a_socket(host: Host) -> None:
    with redis_server() as server, contextlib.closing(server.client()) as client:
        client.call("ACL", "SETUSER", "ada", "on", ">secret-of-ada", "~*:ada:*", "+@all")
        client.call("ACL", "SETUSER", "bob", "on", ">secret-of-bob", "~*:bob:*", "+@all")
        nginx = host(server.url, workers=1, options='on_outage = "error"')
        code = """
            local function of(name, user, db)
                local at = ("redis://%s:secret-of-%s@127.0.0.1:%d/%d"):format(user, user, args.port, db)
                return open(name, {url = at, on_outage = "error", namespace = user})
            end
            local ada, bob, elsewhere = of("one", "ada", 0), of("two", "bob", 0), of("three", "ada", 1)
            if args.turn == "0" then
                assert(ada:set("k", nil, "of ada")) assert(bob:set("k", nil, "of bob")) assert(elsewhere:set("k", nil, "in 1"))
            end
            local order, said = {ada, bob, elsewhere}, {}
            for step = 1, 3 do
                local asked = args.turn == "1" and 4 - step or step
                said[asked] = assert(order[asked]:get("k"))
            end
            return said
        """
        ids = set()
        for turn in range(3):  # in both orders, whichever the pool gives them back in
            assert nginx.value(code, port=server.port, turn=turn) == ["of ada", "of bob", "in 1"]
            wait_for_rest(nginx, 'open("one")', 'open("two")', 'open("three")')
            known = clients(server)
            assert sorted(f"{one['user']}@{one['db']}" for one in known) == ["ada@0", "ada@1", "bob@0"]
            ids |= {one["id"] for one in known}
        assert len(ids) == 3


def test_who_asks_while_a_socket_goes_to_rest_gets_what_is_theirs(host: Host) -> None:
    is_resting = threading.Event()

    def answer(command: Command) -> bytes:
        if command[0] == b"PING":  # before it goes into the pool
            is_resting.set()
            time.sleep(0.15)
            return b"$%d\r\n%s\r\n" % (len(command[1]), command[1])
        time.sleep(0.02)
        value = b"value of " + command[1].rpartition(b":")[2]
        return b"$%d\r\n%s\r\n" % (len(value), value)

    chance = random.Random(3)
    with ScriptedServer(answer) as server:
        nginx = host(server.url, workers=1, options='raw = true, on_outage = "error"')

        def ask(key: str) -> None:
            time.sleep(chance.uniform(0, 0.25))
            assert nginx.lua(f'return cache:get("{key}")')[:2] == [f"value of {key}", None]

        for turn in range(2):
            is_resting.clear()
            ask("first")
            assert is_resting.wait(10)
            assert together(6, lambda number, turn=turn: ask(f"{turn}.{number}")) == [None] * 6  # type: ignore[misc]


def test_bytes_that_nobody_asked_for_end_a_socket_and_disturb_nobody(host: Host) -> None:
    greeted = []

    def answer(command: Command) -> bytes:
        if command[0] == b"PING":
            greeted.append(command)
            return b"$5\r\nghost\r\n$8\r\nof other\r\n"
        return b"$4\r\nmine\r\n"

    with ScriptedServer(answer) as server:
        nginx = host(server.url, workers=1, options='raw = true, on_outage = "error"')
        assert nginx.value('return cache:get("k")') == "mine"
        wait_until(lambda: len(greeted) == 1)
        wait_for_rest(nginx, "cache")
        assert nginx.value('return cache:get("k")') == "mine"
