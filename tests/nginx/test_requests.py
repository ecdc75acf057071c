"""Many requests at once, that share their worker's connections: nobody gets what is somebody else's, one loads for all, and who goes
away in the middle disturbs nobody and leaves nothing behind."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hosting import Load, LuaError, Nginx, resident_bytes
from support import RedisServer, Resp, redis_server, together, wait_until

Host = Callable[..., Nginx]

ABORTING = "lua_check_client_abort on;"

# 50 light threads; each value begins with its key, so that a foreign one is seen at once.
WORKERS = """
    local right, wrong, codes, missed = 0, {}, {}, 0
    local function count(code) codes[code] = (codes[code] or 0) + 1 end
    local function look(key, value)
        if value:sub(1, #key + 1) == key .. ":" then right = right + 1 else wrong[#wrong + 1] = key .. " got " .. value:sub(1, 40) end
    end
    local function value_of(key) return key .. ":" .. ("x"):rep(math.random(0, 3000)) end
    local acts = {
        function(key, opts)
            local value, err, code = cache:get(key, opts)
            if value then look(key, value) elseif err then count(code) else missed = missed + 1 end
        end,
        function(key, opts)
            local _, err, code = cache:set(key, opts, value_of(key))
            if err then count(code) end
        end,
        function(key, opts)
            local other = "key" .. math.random(40)
            local found, err, code = cache:get_many({key, other}, opts)
            if err then return count(code) end
            for name, value in pairs(found) do look(name, value) end
        end,
        function(key, opts)
            local value, err, code = cache:get(key, opts, value_of, key)
            if value then look(key, value) else count(code or err or "absent") end
        end,
        function(key, opts)
            local _, err, code = cache:delete(key, opts)
            if err then count(code) end
        end,
    }
    local function work()
        local ends = ngx.now() + args.seconds
        while ngx.now() < ends do
            acts[math.random(#acts)]("key" .. math.random(40), {timeout = math.random(1, 50) / 1000})
            ngx.update_time()
        end
    end
    local threads = {}
    for index = 1, 50 do threads[index] = work end
    together(threads)
    return {right = right, wrong = wrong, codes = codes, missed = missed}
"""


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """One that may be stopped."""
    with redis_server() as running:
        yield running


class Pausing:
    """Stops a server for a moment, again and again."""

    def __init__(self, server: RedisServer, seed: int) -> None:
        self._server, self._random, self._is_over = server, random.Random(seed), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._is_over.wait(self._random.uniform(0.02, 0.2)):
            self._server.process.send_signal(signal.SIGSTOP)
            self._is_over.wait(self._random.uniform(0.005, 0.06))
            self._server.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(10)
        self._server.process.send_signal(signal.SIGCONT)


def right_values(host: Host, server: RedisServer, seconds: int) -> None:
    nginx = host(server.url, options='breaker = false, on_outage = "error", ttl = 60')
    with Pausing(server, seed=5):
        results: list[Any] = together(3, lambda _: nginx.value(WORKERS, seconds=seconds, timeout=seconds + 30))
    faults = [one for one in results if not isinstance(one, dict)]
    assert not faults
    assert [one["wrong"] for one in results if one["wrong"]] == []
    timed_out = sum(one["codes"].get("TIMEOUT", 0) for one in results)
    right = sum(one["right"] for one in results)
    assert right > 500 * seconds and timed_out > 5 * seconds, (right, timed_out)
    # nothing but what a deadline does
    assert {code for one in results for code in one["codes"]} <= {"TIMEOUT", "MAYBE_APPLIED", "NOT_SENT", "POOL_TIMEOUT"}
    nginx.lua('assert(cache:set("after", nil, "well")) assert(cache:get("after") == "well")')


def test_fifty_light_threads_with_random_deadlines_see_no_wrong_value(host: Host, own_server: RedisServer) -> None:
    right_values(host, own_server, 2)


@pytest.mark.slow
def test_they_see_none_for_longer(host: Host, own_server: RedisServer) -> None:
    for _ in range(2):
        right_values(host, own_server, 20)


# ---- one loads for all ----

SLOW_LOADER = """
    return cache:get(args.key, nil, function()
        ngx.shared.kept:incr("loads", 1, 0)
        ngx.sleep(0.3)
        return "loaded"
    end)
"""
LOADS = 'return ngx.shared.kept:get("loads") or 0'


@pytest.mark.parametrize("workers", [1, 2])
def test_one_loads_and_all_get_it(host: Host, server: RedisServer, workers: int) -> None:
    nginx = host(server.url, workers=workers)
    answers: list[Any] = together(30, lambda _: nginx.lua(SLOW_LOADER, key="one"))
    assert [one[0] for one in answers] == ["loaded"] * 30
    assert 1 <= nginx.value(LOADS) <= workers


def test_a_loader_that_fails_does_so_once_for_all_who_wait(host: Host, server: RedisServer) -> None:
    nginx = host(server.url, workers=1)
    code = """
        return cache:get("k", nil, function()
            ngx.sleep(0.01)
            if ngx.shared.kept:incr("loads", 1, 0) == 1 then error("the database is away") end
            return "second"
        end)
    """
    answers: list[Any] = together(20, lambda _: nginx.lua(code))
    assert [one[2] for one in answers if one[0] != "second"] == ["LOAD_FAILED"] * sum(one[0] is None for one in answers)
    assert sum("the database is away" in str(one[1]) for one in answers) == 1
    assert nginx.value(code) == "second"
    assert nginx.value(LOADS) == 2


def test_who_waited_for_a_loader_that_was_killed_loads_itself(host: Host, server: RedisServer) -> None:
    nginx = host(server.url, workers=1, http_lines=ABORTING)
    killed = """
        return cache:get("k", nil, function()
            ngx.shared.kept:set("is loading", true)
            ngx.sleep(20)
            return "never"
        end)
    """
    loads = """
        return cache:get("k", {timeout = 10}, function()
            ngx.shared.kept:incr("loads", 1, 0)
            ngx.sleep(0.05)
            return "in its place"
        end)
    """
    gone = threading.Thread(target=nginx.hang_up, args=(killed, 0.5))
    gone.start()
    wait_until(lambda: bool(nginx.value('return ngx.shared.kept:get("is loading")')))
    answers: list[Any] = together(10, lambda _: nginx.lua(loads))
    gone.join()
    assert [one[0] for one in answers] == ["in its place"] * 10, answers
    assert nginx.value(LOADS) == 1


def test_a_loader_may_use_the_cache_and_light_threads(nginx: Nginx) -> None:
    code = """
        return cache:get("outer", nil, function()
            local parts = together({
                function() return cache:get("a", nil, function() ngx.sleep(0.01) return "A" end) end,
                function() return cache:get("b", nil, function() return "B" end) end,
            })
            return parts[1] .. parts[2] .. cache:get("c", nil, function() return "C" end)
        end)
    """
    assert nginx.lua(code) == ["ABC", None, "loaded"]
    assert nginx.lua('return cache:get("b")')[::2] == ["B", "remote"]
    assert nginx.lua('return cache:get("x", nil, function() return cache:get("x", nil, tostring) end)')[2] == "LOAD_FAILED"


# ---- who goes away ----

USED = """
    collectgarbage() collectgarbage()
    return collectgarbage("count")
"""


def connections(raw: Resp) -> list[str]:
    """Those of caches."""
    said = raw.call("CLIENT", "LIST")
    assert isinstance(said, bytes)
    return [line for line in said.decode().splitlines() if "name=coffer" in line]


GONE = """
    local which = math.random(5)
    local key = "key" .. math.random(100)
    if which == 1 then cache:get(key) end
    if which == 2 then cache:set(key, nil, ("x"):rep(5000)) end
    if which == 3 then cache:get(key, nil, function() ngx.sleep(0.02) return ("y"):rep(5000) end) end
    if which == 4 then cache:get_many({key, "key1", "key2"}) end
    if which == 5 then
        together({function() cache:increment(key) end, function() cache:get(key) end, function() cache:delete(key) end})
    end
"""


def hang_up_often(nginx: Nginx, chance: random.Random, count: int) -> None:
    for _ in range(count):
        nginx.hang_up(GONE, chance.uniform(0, 0.03))


def rounds_of_hanging_up(host: Host, server: RedisServer, rounds: int, clients: int) -> None:
    nginx = host(server.url, workers=1, options="breaker = false", http_lines=ABORTING)
    chance = random.Random(11)
    used: list[float] = []
    resident: list[int] = []
    raw = server.client()
    for turn in range(rounds):
        if turn % 2 == 0:
            server.process.send_signal(signal.SIGSTOP)
        together(20, lambda _: hang_up_often(nginx, chance, clients // 20))
        server.process.send_signal(signal.SIGCONT)
        nginx.lua('assert(cache:set("after", nil, "turn" .. args.turn)) assert(cache:get("after") == "turn" .. args.turn)', turn=turn)
        used.append(nginx.value(USED))
        resident.append(resident_bytes(nginx.workers()[0]))
    assert len(connections(raw)) <= 2
    raw.close()
    half = rounds // 2
    assert used[-1] < max(used[:half]) + 96, used  # KiB
    assert resident[-1] < max(resident[:half]) + 4 * 2**20, resident
    assert nginx.value("return cache:stats().pool.open") <= 2


def test_clients_that_go_away_in_the_middle_leave_nothing(host: Host, own_server: RedisServer) -> None:
    rounds_of_hanging_up(host, own_server, rounds=8, clients=200)


@pytest.mark.slow
def test_many_more_of_them_leave_nothing(host: Host, own_server: RedisServer) -> None:
    rounds_of_hanging_up(host, own_server, rounds=60, clients=400)


def test_a_light_thread_that_is_killed_disturbs_no_other(nginx: Nginx, own_server: RedisServer) -> None:
    code = """
        local slow = open("slow", {url = args.url})
        slow:set("k", nil, "value of k")
        local victims, others = {}, {}
        for index = 1, 20 do
            victims[index] = ngx.thread.spawn(function() return slow:get("victim" .. index, nil, function() ngx.sleep(5) end) end)
            others[index] = ngx.thread.spawn(function() ngx.sleep(0) return (slow:get("k")) end)
        end
        for _, one in ipairs(victims) do ngx.thread.kill(one) end
        for _, one in ipairs(others) do
            local _, value = ngx.thread.wait(one)
            if value ~= "value of k" then return tostring(value) end
        end
        return "well"
    """
    for _ in range(20):
        assert nginx.value(code, url=own_server.url) == "well"


def test_a_slow_answer_holds_up_nobody_but_who_waits_for_it(nginx: Nginx, own_server: RedisServer) -> None:
    own_server.process.send_signal(signal.SIGSTOP)
    try:
        with Load(lambda number, turn: nginx.lua('open("slow", {url = args.url, timeout = "3s"}):get("k")', url=own_server.url), 2):
            for turn in range(50):
                nginx.lua(f'assert(cache:set("k{turn}", nil, {turn})) assert(cache:get("k{turn}") == {turn})')
            own_server.process.send_signal(signal.SIGCONT)
    finally:
        own_server.process.send_signal(signal.SIGCONT)


def test_misuse_is_raised_at_who_called(nginx: Nginx) -> None:
    for code, words in {
        "cache.get('k')": "not a cache",
        "cache:get(1)": "a key is a string",
        "cache:set('k', 'value')": "set(key, opts, value)",
        "cache:get('k', nil, 'callback')": "callback",
        "cache:get('k', {tll = 1})": "tll",
        "coffer.new()": "name",
    }.items():
        with pytest.raises(LuaError, match="^piece:1: coffer: .*" + words.replace("(", r"\(").replace(")", r"\)")):
            nginx.lua(code)


def test_times_may_come_from_data_so_they_are_answered(nginx: Nginx) -> None:
    assert nginx.lua("return cache:set('k', {ttl = -1}, 'v')")[2] == "ARG"
    assert nginx.lua("return cache:get('', nil)")[2] == "KEY_INVALID"


def test_the_blocking_cache_is_refused_in_a_request(nginx: Nginx, tmp_path: Path) -> None:
    with pytest.raises(LuaError, match=r"would stop this nginx worker \(phase content\).*resty\.coffer"):
        nginx.lua('require("coffer").open(url):get("k")')
