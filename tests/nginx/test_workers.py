"""Workers come and go: reloads under load, a worker that is killed, one that exits with writes in its queue."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable

import pytest

from hosting import Load, Nginx
from support import RedisServer, Resp, redis_server, wait_until

Host = Callable[..., Nginx]

USE = """
    local key = "key" .. args.key
    assert(cache:set(key, nil, key .. " turn " .. args.turn))
    local value, err = cache:get(key)
    assert(value == key .. " turn " .. args.turn, tostring(value or err))
    local loaded = cache:get(key .. "loaded", nil, function(given) ngx.sleep(0.001) return given end, key)
    assert(loaded == key, tostring(loaded))
    if args.turn % 7 == 0 then assert(cache:delete(key .. "loaded") ~= nil) end
    return true
"""


def used(nginx: Nginx) -> Load:
    return Load(lambda number, turn: nginx.lua(USE, key=number, turn=turn))


def connections(raw: Resp) -> int:
    said = raw.call("CLIENT", "LIST")
    assert isinstance(said, bytes)
    return said.count(b"name=coffer")


def has_new_workers(nginx: Nginx, instead_of: set[int]) -> bool:
    """Some of those have ended, or there are more."""
    now = set(nginx.workers())
    return not instead_of <= now or len(now) > len(instead_of)


def reloads(host: Host, server: RedisServer, raw: Resp, count: int) -> None:
    nginx = host(server.url)
    with used(nginx) as load:
        load.wait_for(20)
        for _ in range(count):
            before = set(nginx.workers())
            nginx.reload()
            load.wait_for(10)
            wait_until(functools.partial(has_new_workers, nginx, before))
            # of each generation two, and nobody waits for more than a moment
            assert connections(raw) <= 2 * len(nginx.workers()) + 2
        nginx.reload()
        last = time.monotonic()
        wait_until(lambda: len(nginx.workers()) == 2, 10)
        assert time.monotonic() - last < 5
        load.wait_for(20)
    assert load.faults == []
    wait_until(lambda: connections(raw) <= 2)


def test_reloads_under_load_fail_no_request(host: Host, server: RedisServer, raw: Resp) -> None:
    reloads(host, server, raw, 8)


@pytest.mark.slow
def test_five_hundred_reloads_fail_none(host: Host, server: RedisServer, raw: Resp) -> None:
    reloads(host, server, raw, 500)


def test_a_worker_without_work_exits_at_once(host: Host, server: RedisServer) -> None:
    nginx = host(server.url)
    for _ in range(10):
        nginx.lua('assert(cache:set("k", nil, 1))')
    old = set(nginx.workers())
    nginx.reload()
    begin = time.monotonic()
    wait_until(lambda: not old & set(nginx.workers()), 10)
    assert time.monotonic() - begin < 2.5


def test_a_reload_while_the_server_is_stopped_ends_too(host: Host) -> None:
    with redis_server() as server:
        nginx = host(server.url, options='timeout = "500ms", breaker = false')
        nginx.lua('assert(cache:set("k", nil, 1))')
        server.process.send_signal(signal.SIGSTOP)
        try:
            with Load(lambda number, turn: nginx.lua('return cache:get("k")'), 8) as load:
                load.wait_for(8)
                old = set(nginx.workers())
                nginx.reload()
                wait_until(lambda: not old & set(nginx.workers()), 10)
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert load.faults == []


def test_queued_writes_of_a_worker_that_exits_are_written(host: Host, server: RedisServer, raw: Resp) -> None:
    nginx = host(server.url, workers=1)
    for turn in range(5):
        queued = f'local all = {{}} for n = 1, 200 do local _, _, how = cache:set("{turn}:" .. n, nil, "value") all[n] = how end return all'
        assert nginx.value(queued, "log") == ["queued"] * 200
        nginx.reload()
    found = "local n, keys = 0, {} for turn = 0, 4 do for k = 1, 200 do keys[#keys + 1] = turn .. ':' .. k end end\
        for _ in pairs((assert(cache:get_many(keys)))) do n = n + 1 end return n"
    wait_until(lambda: nginx.value(found) == 1000)


def test_queued_writes_that_an_exiting_worker_cannot_write_are_told(host: Host) -> None:
    with redis_server() as server:
        nginx = host(server.url, workers=1, options='timeout = "300ms", on_outage = "error", breaker = false')
        server.process.send_signal(signal.SIGSTOP)
        try:
            nginx.lua('for n = 1, 200 do assert(cache:set("k" .. n, nil, "value")) end', "log")
            old = nginx.workers()[0]
            nginx.reload()
            wait_until(lambda: old not in nginx.workers())
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert "queued writes failed" in nginx.log()


def test_what_the_queue_has_no_room_for_is_told_and_counted(host: Host, server: RedisServer) -> None:
    nginx = host(server.url, workers=1, options="queue_max = 10")
    code = """
        local said = {}
        for n = 1, 15 do
            local done, words, code = cache:set("k" .. n, nil, "value")
            said[n] = pack(done, words, code)
        end
        local stats = cache:stats()
        return said, stats.queued, stats.queue_dropped
    """
    said, queued, dropped = nginx.lua(code, "header_filter")
    assert [one[2] for one in said] == ["queued"] * 10 + ["NOT_SENT"] * 5
    assert "queue_max" in said[10][1]
    assert (queued, dropped) == (10, 5)
    wait_until(lambda: nginx.value('return cache:get("k10")') == "value")
    assert nginx.value('return cache:get("k11")') is None


def test_a_large_queue_is_bounded_in_bytes(host: Host, server: RedisServer) -> None:
    nginx = host(server.url, workers=1, options="queue_max_bytes = 1000000")
    code = """
        local queued = 0
        for n = 1, 50 do
            if cache:set("k" .. n, nil, ("x"):rep(100000)) then queued = queued + 1 end
        end
        return queued
    """
    assert 5 <= nginx.value(code, "log") <= 10


def is_replaced(nginx: Nginx, victim: int) -> bool:
    now = nginx.workers()
    return victim not in now and len(now) == 3


def kills(host: Host, server: RedisServer, raw: Resp, count: int) -> None:
    nginx = host(server.url, workers=3)
    nginx.forgive(r"worker process \d+ exited on signal 9")
    # a key for each turn: what a worker sent before it was killed may be written after what its caller asks another to write next
    with Load(lambda number, turn: nginx.lua(USE, key=f"{number}.{turn}", turn=turn)) as load:
        load.wait_for(20)
        for _ in range(count):
            victim, others = nginx.workers()[0], set(nginx.workers()[1:])
            os.kill(victim, signal.SIGKILL)
            wait_until(functools.partial(is_replaced, nginx, victim))
            assert others <= set(nginx.workers())
            load.wait_for(20)
    # whose worker was killed, and nobody else: a connection each
    assert len(load.faults) <= 4 * count, load.faults
    assert all("piece" not in fault and "LuaError" not in fault for fault in load.faults), load.faults
    pids = set()
    for _ in range(100):
        pids.add(nginx.value('assert(cache:set("k", nil, 1)) return ngx.worker.pid()'))
    assert pids <= set(nginx.workers())
    wait_until(lambda: connections(raw) <= 3)


def test_a_worker_that_is_killed_disturbs_no_other(host: Host, server: RedisServer, raw: Resp) -> None:
    kills(host, server, raw, 5)


@pytest.mark.slow
def test_a_hundred_workers_that_are_killed_disturb_none(host: Host, server: RedisServer, raw: Resp) -> None:
    kills(host, server, raw, 100)


def test_each_worker_has_a_connection_of_its_own(host: Host, server: RedisServer, raw: Resp) -> None:
    nginx = host(server.url, workers=3)
    seen = {nginx.value('assert(cache:set("k", nil, 1)) return ngx.worker.pid()') for _ in range(200)}
    assert connections(raw) <= len(seen)


def test_what_the_master_opened_each_worker_uses(host: Host, server: RedisServer) -> None:
    nginx = host(server.url, workers=3)
    codes = [nginx.lua("return ngx.worker.pid(), cache:set('k', nil, 1), cache:get('k')") for _ in range(60)]
    assert all(one[1:3] == [True, 1] for one in codes)


def test_a_cache_that_was_closed_may_be_had_anew(host: Host, server: RedisServer) -> None:
    nginx = host(server.url, workers=1)
    nginx.lua('assert(cache:set("k", nil, 1)) assert(open("a", {namespace = "a"}):set("k", nil, 1))')
    assert nginx.lua('local one = open("a") one:close() return one:get("k")')[2] == "CLOSED_CACHE"
    assert nginx.value('return coffer.new("a", {url = url}):get("k")') == 1
    assert nginx.value('return cache:get("k")') == 1
