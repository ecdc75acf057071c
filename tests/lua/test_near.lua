-- Reads of what is in this host's memory, and values that are kept: on mem://, whose arena is what a server's near copies lie in too.
local check = require "check"
local coffer = require "coffer"
local testing = require "coffer.testing"
local test, equal, raises = check.test, check.equal, check.raises

local function opened(opts)
    return assert(coffer.open("mem://", opts))
end

local function kept(count)
    return opened({near_objects = count or 3})
end

test("what is near is answered as an operation would", function()
    local cache = opened()
    assert(cache:set("text", "ä") and cache:set("bytes", "\255\0") and cache:set("json", {1, {a = coffer.null}}))
    assert(cache:set("none", coffer.ABSENT) and cache:set("no", false) and cache:set("empty", ""))
    equal({cache:get("text")}, {"ä", nil, "near"})
    equal({cache:get("bytes")}, {"\255\0", nil, "near"})
    equal({cache:get("json", {stale = true})}, {{1, {a = coffer.null}}, nil, "near"})
    equal({cache:get("no", {timeout = 1})}, {false, nil, "near"})
    equal({cache:get("empty")}, {"", nil, "near"})
    local value, err, source = cache:get("none")
    assert(value == nil and err == nil and source == "negative")
    value, err, source = cache:get("nothing")
    assert(value == nil and err == nil and source == nil)
    local entry = cache:get_entry("json")
    equal({entry.value, entry.source, entry.format}, {{1, {a = coffer.null}}, "near", 2})
    equal(cache:get_entry("none").value, coffer.ABSENT)
    equal(cache:get_entry("nothing"), nil)
    check.fails("KEY_INVALID", cache:get(""))
    cache:close()
    check.fails("CLOSED_CACHE", cache:get("text"))
end)

test("each read is counted, and some are timed", function()
    local cache = opened()
    cache:set("key", "12345")
    for _ = 1, 200 do
        cache:get("key")
        cache:get("none")
    end
    local stats = cache:stats()
    equal({stats.hits, stats.misses, stats.bytes_read, stats.latency.get.count}, {200, 200, 1000, 400})
    assert(stats.latency.get.timed_count > 2)
    cache:close()
end)

test("large values come whole", function()
    local cache, large = opened(), ("\255x"):rep(300000)
    cache:set("large", large)
    cache:set("small", "s")
    for _ = 1, 3 do
        assert(cache:get("large") == large and cache:get("small") == "s")
    end
    cache:close()
end)

test("a collector that reads in the middle of a read disturbs nothing", function()
    local cache, other = opened(), ("other"):rep(200)
    cache:set("other", other)
    cache:set("key", {list = {{}, {}, {}, {}}, text = ("k"):rep(900)})
    local collected, faults = 0, 0
    local function read() -- a fault in a __gc would come out anywhere
        collected = collected + 1
        local is_done, got = pcall(cache.get, cache, "other")
        faults = faults + (is_done and got == other and 0 or 1)
    end
    local newproxy = rawget(_G, "newproxy") -- LuaJIT's tables have no __gc
    local function watch()
        if newproxy then
            getmetatable(newproxy(true)).__gc = read
        else
            setmetatable({}, {__gc = read})
        end
    end
    for _ = 1, 3000 do
        watch()
        local got = cache:get("key")
        assert(got.text == ("k"):rep(900) and #got.list == 4)
    end
    collectgarbage()
    assert(collected == 3000 and faults == 0, collected .. " " .. faults)
    cache:close()
end)

test("the same table is answered again, until it changes", function()
    local changes = {
        set = function(cache) assert(cache:set("key", {2})) end,
        set_many = function(cache) assert(cache:set_many({key = {2}})) end,
        same = function(cache) assert(cache:set("key", {1})) end,
        delete = function(cache) assert(cache:delete("key")) end,
        clear = function(cache) assert(cache:clear()) end,
        absent = function(cache) assert(cache:set("key", coffer.ABSENT)) end,
        off = function(cache) assert(cache:turn_off()) end,
    }
    for name, change in pairs(changes) do
        local cache = kept()
        local other = name == "off" and cache or cache:namespace("_")
        assert(cache:set("key", {1}))
        local first = cache:get("key")
        local again, err, source = cache:get("key")
        assert(rawequal(again, first) and err == nil and source == "near")
        change(other)
        local now = cache:get("key")
        assert(not rawequal(now, first), name)
        assert(now == nil or now[1] == 2 or name == "same", name)
        cache:close()
    end
end)

test("and no longer than its entry lives", function()
    local clock, cache = testing.clock(), kept()
    assert(cache:set("key", {1}, 10))
    assert(rawequal(cache:get("key"), cache:get("key")))
    clock:move("12s")
    equal(cache:get("key"), nil)
    clock:close()
    cache:close()
end)

test("as many are kept as was said, and the oldest goes first", function()
    local cache, first = kept(3), {}
    for name in ("abcd"):gmatch(".") do
        assert(cache:set(name, {name}))
        first[name] = cache:get(name)
    end
    for name in ("bcd"):gmatch(".") do
        assert(rawequal(cache:get(name), first[name]))
    end
    assert(not rawequal(cache:get("a"), first.a)) -- and took the place of b
    assert(not rawequal(cache:get("b"), first.b))
    for _ = 1, 100 do
        for name in ("abcdcba"):gmatch(".") do
            equal(cache:get(name), {name})
        end
    end
    cache:close()
end)

test("kept values go with the cache, and with what they were made of", function()
    local cache, watched = kept(2), setmetatable({}, {__mode = "v"})
    assert(cache:set("key", {1}))
    watched[1] = cache:get("key")
    collectgarbage()
    assert(watched[1])
    assert(cache:set("key", {2}))
    equal(cache:get("key"), {2})
    collectgarbage()
    equal(watched[1], nil)
    watched[1] = cache:get("key")
    cache:close()
    collectgarbage()
    equal(watched[1], nil)
end)

test("a namespace has its own", function()
    local cache = kept()
    local users, pages = cache:namespace("users"), cache:namespace("pages", {near_objects = 0})
    for _, one in ipairs({cache, users, pages}) do
        assert(one:set("key", {1}))
    end
    assert(rawequal(users:get("key"), users:get("key")))
    assert(not rawequal(users:get("key"), cache:get("key")))
    assert(not rawequal(pages:get("key"), pages:get("key")))
    cache:close()
end)

test("without the option each read makes its own", function()
    local cache = opened()
    assert(cache:set("key", {1}))
    assert(not rawequal(cache:get("key"), cache:get("key")))
    cache:close()
end)

test("other counts are raised", function(cache)
    for _, wrong in ipairs({-1, 1.5, 1e9, "3", true}) do
        raises("near_objects", function() coffer.open("mem://", {near_objects = wrong}) end)
        raises("near_objects", function() cache:namespace("n", {near_objects = wrong}) end)
    end
end)

check.run()
