-- A GET at a time from Lua: `lua5.4 bench/lua_get.lua MODE PORT COUNT [plain]`, or luajit.
--
-- Prints one line of JSON with percentiles of a GET in nanoseconds. `plain`: no clock is read, for
-- callgrind; the way `empty` is the loop alone.

local VALUE_BYTES, WARM_UP, LOCAL_BATCH = 100, 500, 64

local function open_coffer(url, options)
    options.prefix = "bench"
    return assert(require("coffer").open(url, options))
end

-- Copies of the server's values: read until one is had without a round trip.
local function open_near(port, options)
    options.raw, options.near_bytes, options.near_ttl = true, "16MiB", "1h"
    local cache = open_coffer("redis://127.0.0.1:" .. port .. "/0", options)
    local until_s = os.time() + 6
    repeat
        local value, err, source = cache:get("key:1")
        assert(value, err)
        assert(os.time() < until_s, "no copy was kept: is the channel live?")
    until source == "near"
    return function() return cache:get("key:1") end
end

local ways = {
    ["coffer-near"] = {batch = LOCAL_BATCH, open = function(port)
        return open_near(port, {near = "process"})
    end},
    ["coffer-near-shared"] = {batch = LOCAL_BATCH, open = function(port)
        return open_near(port, {near = "shared", near_name = "coffer-bench-" .. port})
    end},
    coffer = {batch = 1, open = function(port)
        local cache = open_coffer("redis://127.0.0.1:" .. port .. "/0", {raw = true})
        return function() return cache:get("key:1") end
    end},
    ["coffer-mem"] = {batch = LOCAL_BATCH, open = function()
        local cache = open_coffer("mem://", {})
        assert(cache:set("key:1", ("x"):rep(VALUE_BYTES)))
        return function() return cache:get("key:1") end
    end},
    ["coffer-off"] = {batch = LOCAL_BATCH, open = function()
        local cache = open_coffer("mem://", {enabled = false})
        local value = ("x"):rep(VALUE_BYTES)
        return function() return cache:get("key:1") == nil and value end
    end},
    empty = {batch = LOCAL_BATCH, open = function()
        local value = ("x"):rep(VALUE_BYTES)
        return function() return value end
    end},
}

-- The times of `count` GETs, in batches; sorted.
local function times_of(get, count, batch)
    local now_ns = require "bench_clock"
    local times = {}
    local last = now_ns()
    for i = 1, math.ceil(count / batch) do
        for _ = 1, batch do
            get()
        end
        local now = now_ns()
        times[i] = (now - last) / batch
        last = now
    end
    table.sort(times)
    return times
end

local mode, port, count, plain = arg[1], arg[2], tonumber(arg[3]), arg[4] == "plain"
local way = assert(ways[mode], "unknown mode")
local get = way.open(port)
for _ = 1, WARM_UP do
    local value, err = get()
    assert(type(value) == "string" and #value == VALUE_BYTES, err or "another value was read")
end
if plain then
    for _ = 1, count do
        get()
    end
    print("{}")
else
    local times = times_of(get, count, way.batch)
    local p50, p99 = times[math.ceil(#times / 2)], times[math.ceil(#times * 0.99)]
    print(('{"p50_ns": %.2f, "p99_ns": %.2f}'):format(p50, p99))
end
