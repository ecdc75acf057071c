-- Reads of what is near, hot: LuaJIT compiles them, and looks through its FFI. The other Luas answer the same by a call.
local check = require "check"
local coffer = require "coffer"
local core = require "coffer.core"
local test, equal, fails = check.test, check.equal, check.fails

local jit = rawget(_G, "jit")
local HOT = 300
local LARGE = ("large\255"):rep(20000)

local function opened(opts)
    return assert(coffer.open("mem://", opts))
end

local function never()
    error("the loader ran")
end

local STORED = {text = "ä", bytes = "\255\0", empty = "", no = false, number = 12.5, large = LARGE, json = {1, {a = coffer.null}}}

local function fill(cache)
    assert(cache:set_many(STORED) and cache:set("none", coffer.ABSENT))
    return cache
end

for _, kept in ipairs({0, 3, 100}) do
    test("what is hot is answered as an operation answers it, with near_objects = " .. kept, function()
        local cache = fill(opened({near_objects = kept}))
        for _ = 1, HOT do
            for key, wanted in pairs(STORED) do
                equal({cache:get(key)}, {wanted, nil, "near"})
                equal({cache:get(key, {stale = true})}, {wanted, nil, "near"})
                equal({cache:get_or_load(key, never)}, {wanted, nil, "near"})
            end
            equal({select("#", cache:get("none")), (cache:get("none"))}, {3, nil})
            equal(select(3, cache:get("none")), "negative")
            equal(select(3, cache:get_or_load("none", never)), "negative")
            equal({cache:get("nothing")}, {})
            equal(cache:get_or_load("loaded", function() return "l" end), "l")
            assert(cache:delete("loaded"))
            fails("KEY_INVALID", cache:get(""))
            fails("KEY_INVALID", cache:get_or_load("a\nkey", never))
            assert(not pcall(cache.get, cache, 1) and not pcall(cache.get, {}, "text"))
        end
        local get, load = cache:stats().latency.get, cache:stats().latency.get_or_load
        equal({get.count, load.count}, {HOT * (2 * 7 + 5), HOT * (7 + 3)})
        assert(get.timed_count >= HOT / 8 and load.timed_count >= HOT / 16, get.timed_count .. " " .. load.timed_count)
        cache:close()
    end)
end

test("a load's near hits are kept with get's", function()
    local cache = fill(opened({near_objects = 3}))
    for _ = 1, HOT do
        assert(rawequal(cache:get_or_load("json", never), cache:get("json")))
    end
    local wrapped, count = cache:cached("cached", function(id) return {id} end), 0
    local first = wrapped(7)
    for _ = 1, HOT do
        local value, err, source = wrapped(7)
        assert(value[1] == 7 and err == nil and source == "near")
        count = count + (rawequal(value, first) and 1 or 0)
        first = value
    end
    equal(count, HOT - 1) -- the first was the loader's own
    assert(cache:set("json", {2}))
    equal(cache:get_or_load("json", never), {2})
    cache:close()
end)

test("what was closed while it was hot answers so", function()
    for _, kept in ipairs({0, 3}) do
        for _, key in ipairs({"text", "json", "large", "none", "nothing"}) do
            local cache = fill(opened({near_objects = kept}))
            for i = 1, HOT do
                if i == HOT - 20 then
                    cache:close()
                end
                local _, _, code = cache:get(key)
                local _, _, load_code = cache:get_or_load(key, function() return 1 end)
                assert((code == "CLOSED_CACHE") == (i >= HOT - 20), key)
                assert((load_code == "CLOSED_CACHE") == (i >= HOT - 20), key)
            end
        end
    end
end)

local newproxy = rawget(_G, "newproxy") -- LuaJIT's tables have no __gc

local function when_collected(call)
    if not newproxy then
        return setmetatable({}, {__gc = call})
    end
    local watched = newproxy(true)
    getmetatable(watched).__gc = call
    return watched
end

test("what was collected is not read", function()
    local said, count = {}, 0
    local function make(kept)
        local cache
        local watched = when_collected(function() -- after the handle, which was made after this
            count = count + 1
            for _, key in ipairs({"text", "json"}) do
                said[tostring(select(2, pcall(cache.get, cache, key))):match("a cache that was collected") or key] = true
            end
        end)
        cache = fill(opened({near_objects = kept}))
        cache.watched = watched -- goes with it
        for _ = 1, HOT do
            cache:get("text")
            cache:get("json")
        end
    end
    for i = 1, 20 do
        make(i % 2)
    end
    collectgarbage()
    collectgarbage()
    assert(count >= 19, count)
    equal(said, {["a cache that was collected"] = true})
end)

local function read_while_collecting(name, read)
    test("a collector that reads disturbs no text, " .. name, function()
        if jit and name == "interpreted" then
            jit.off()
            jit.flush()
        end
        local cache, texts = opened(), {}
        for i = 1, 500 do
            texts[i] = {"key" .. i, ("%d"):format(i)}
            assert(cache:set(texts[i][1], ("<%d>"):format(i):rep(50)))
        end
        assert(cache:set("other", ("other"):rep(100)))
        local collected, faults = 0, 0
        local function look()
            collected = collected + 1
            local is_done, got = pcall(read, cache, "other")
            faults = faults + (is_done and #got == 500 and got:sub(1, 5) == "other" and 0 or 1)
        end
        for i = 1, 20000 do
            when_collected(look)
            local one = texts[i % 500 + 1]
            local got = read(cache, one[1])
            assert(#got == 50 * (#one[2] + 2) and got:sub(2, #one[2] + 1) == one[2], got)
        end
        collectgarbage()
        assert(collected > 10000 and faults == 0, collected .. " " .. faults)
        cache:close()
        if jit then
            jit.on()
        end
    end)
end

local function get(cache, key)
    return (cache:get(key))
end

local function load(cache, key)
    return (cache:get_or_load(key, never))
end

read_while_collecting("compiled", get)
read_while_collecting("compiled, of a load", load)

test("a collector that closes the cache while a value is being kept ends no more than that", function()
    for _ = 1, 50 do
        local cache = fill(opened({near_objects = 100}))
        local has_closed = false
        for i = 1, 400 do
            assert(cache:set("key" .. i, {i}))
        end
        when_collected(function()
            cache:close()
            has_closed = true
        end)
        collectgarbage("setpause", 50)
        for i = 1, 400 do
            local value, _, code = cache:get("key" .. i)
            assert(value and value[1] == i or code == "CLOSED_CACHE", code)
        end
        collectgarbage("setpause", 200)
        collectgarbage()
        assert(has_closed)
        cache:close()
    end
end)

if jit then
    read_while_collecting("interpreted", get)

    -- Whether the loop that reads becomes machine code as a whole.
    local function is_compiled(read)
        local loops = 0
        local function watch(what, trace)
            if what == "stop" and require("jit.util").traceinfo(trace).linktype == "loop" then
                loops = loops + 1
            end
        end
        jit.flush()
        jit.attach(watch, "trace")
        for _ = 1, 5 do -- where it begins is a matter of chance
            for _ = 1, 1000 do
                read()
            end
        end
        jit.attach(watch)
        return loops > 0
    end

    test("near hits are compiled as a whole", function()
        local cache, kept = fill(opened()), fill(opened({near_objects = 10}))
        kept:get("json")
        equal(is_compiled(function() return cache:get("json") end), false) -- it is decoded
        equal({
            is_compiled(function() return cache:get("text") end),
            is_compiled(function() return cache:get_or_load("bytes", never) end),
            is_compiled(function() return kept:get("json") end),
            is_compiled(function() return kept:get_or_load("json", never) end),
        }, {true, true, true, true})
        cache:close()
        kept:close()
    end)

    test("where there is no FFI, or no compiler, the calls are used", function()
        local function ask() end
        local function loaded_anew()
            package.loaded["coffer.near"] = nil
            return require "coffer.near"
        end
        assert(loaded_anew().before("get", ask) ~= ask)
        jit.off()
        assert(loaded_anew().before("get", ask) == ask)
        jit.on()
        local ffi, preload = package.loaded.ffi, package.preload.ffi
        package.loaded.ffi, package.preload.ffi = nil, error
        assert(loaded_anew().before("get", ask) == ask)
        package.loaded.ffi, package.preload.ffi = ffi, preload
        local shared = core.near_shared
        core.near_shared = function()
            local held, text, size = shared()
            return held, text, size + 1
        end
        assert(loaded_anew().before("get", ask) == ask)
        core.near_shared = shared
        assert(loaded_anew().before("get", ask) ~= ask)
    end)
end

check.run()
