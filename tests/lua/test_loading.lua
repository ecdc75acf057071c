-- get_or_load: what a loader may answer, and what becomes of a load whose loader fails.
local check = require "check"
local coffer = require "coffer"
local test, equal, fails = check.test, check.equal, check.fails

test("a loader runs once, with the key", function(cache)
    local keys = {}
    local function loader(key)
        keys[#keys + 1] = key
        return {id = key}
    end
    local value, err, source = cache:get_or_load("42", loader)
    equal({value, source}, {{id = "42"}, "loaded"})
    equal(err, nil)
    value, err, source = cache:get_or_load("42", loader, "1h")
    equal(value, {id = "42"})
    equal(err, nil)
    assert(source == "near" or source == "remote")
    equal(keys, {"42"})
    equal(cache:stats().loads, 1)
end)

test("nil and ABSENT are absences that are remembered", function(cache)
    local count = 0
    for _, absence in ipairs({"nil", coffer.ABSENT}) do
        local key = tostring(absence)
        local function loader()
            count = count + 1
            if absence ~= "nil" then
                return absence
            end
        end
        for _ = 1, 2 do
            local value, err, source = cache:get_or_load(key, loader)
            equal(value, nil)
            equal(err, nil)
            equal(source, "negative")
        end
    end
    equal(count, 2)
end)

test("false and null are values", function(cache)
    equal(cache:get_or_load("f", function() return false end), false)
    equal(cache:get("f"), false)
    equal(cache:get_or_load("n", function() return coffer.null end), coffer.null)
    equal(cache:get("n") == coffer.null, true)
end)

test("nil and an error is a failed load, not an absence", function(cache)
    local fault = {code = 7}
    local value, err, code = cache:get_or_load("k", function() return nil, fault end)
    equal(value, nil)
    equal(err == fault, true)
    equal(code, "LOAD_FAILED")
    equal(cache:get_or_load("k", function() return "now" end), "now")
end)

test("a loader's error ends the load and comes back as it was", function(cache)
    local fault = setmetatable({}, {__tostring = function() return "mine" end})
    local value, err, code = cache:get_or_load("k", function() error(fault) end)
    equal(value, nil)
    equal(err == fault, true)
    equal(code, "LOAD_FAILED")
    fails("LOAD_FAILED", cache:get_or_load("k", function() error("words") end))
    fails("LOAD_FAILED", cache:get_or_load("k", function() error(nil) end))
    equal(select(2, cache:get_or_load("k", function() error("words", 0) end)), "words")
    for i = 1, 300 do -- more than the pool has connections
        fails("LOAD_FAILED", cache:get_or_load("k" .. i, function() error("again") end))
    end
    equal(cache:get_or_load("k", function() return "now" end), "now")
    equal(cache:stats().pool.in_use, 0)
end)

test("a failed load answers a stale value where one may be served", function()
    local cache = check.open({ttl = "5ms", stale_ttl = "1h", ttl_jitter = 0})
    assert(cache:set("k", "old"))
    local deadline = os.clock() + 5
    while cache:get("k") do
        assert(os.clock() < deadline)
    end
    local value, err, source = cache:get_or_load("k", function() error("down") end)
    equal({value, source}, {"old", "stale"})
    equal(err, nil)
    value, err, source = cache:get_or_load("k", function() return {print} end)
    equal({value, source}, {"old", "stale"})
    equal(err, nil)
    cache:close()
end)

test("a value that cannot be stored is told of", function(cache)
    fails("ARG", cache:get_or_load("k", function() return {0 / 0} end))
    fails("ARG", cache:get_or_load("k", function() return print end))
    equal(cache:get_or_load("k", function() return 1 end), 1)
end)

test("a loader may use the cache and load other keys, not its own", function(cache)
    local inner
    local value = cache:get_or_load("outer", function()
        assert(cache:set("other", 1))
        inner = {cache:get_or_load("outer", function() return "never" end)}
        return cache:get_or_load("middle", function()
            fails("LOAD_RECURSIVE", cache:get_or_load("outer", function() return "never" end))
            return "deep"
        end)
    end)
    equal(value, "deep")
    equal(inner[3], "LOAD_RECURSIVE")
    equal(cache:get("outer"), "deep")
end)

test("a loader that yields has failed, and leaves nothing behind", function(cache)
    local outer = coroutine.wrap(function()
        return cache:get_or_load("k", function() coroutine.yield("x") end)
    end)
    fails("LOAD_FAILED", outer())
    equal(cache:get_or_load("k", function() return 1 end), 1)
end)

test("a value written meanwhile is not overwritten by the load", function(cache)
    cache:get_or_load("k", function()
        assert(cache:set("k", "newer"))
        return "older"
    end)
    equal(cache:get("k"), "newer")
end)

test("a cache that its loader closes comes to its end", function()
    local cache = check.open()
    local value, err, code = cache:get_or_load("k", function()
        cache:close()
        return "v"
    end)
    assert(value == "v" or (err and code), tostring(err))
    fails("CLOSED_CACHE", cache:get("k"))
end)

test("a cached function runs once for the same arguments", function(cache)
    local runs = {}
    local user = cache:cached("user", function(id, part)
        runs[#runs + 1] = id
        if id == "nobody" then
            return nil
        elseif id == "down" then
            return nil, "the database is down"
        end
        return {id = id, part = part}
    end, "10m")
    equal(user(42, "a:b"), {id = 42, part = "a:b"})
    equal(user(42, "a:b"), {id = 42, part = "a:b"})
    equal(runs, {42})
    equal(user.key(42, "a:b"), "user:42:a%3Ab")
    equal(user.refresh(42, "a:b"), {id = 42, part = "a:b"})
    equal(user.invalidate(42, "a:b"), true)
    equal(user.invalidate(42, "a:b"), false)
    equal(select(3, user.refresh("nobody")), "negative")
    equal(select(3, user("nobody")), "negative")
    fails("LOAD_FAILED", user("down"))
    fails("LOAD_FAILED", user.refresh("down"))
    equal(#runs, 5)
    check.raises("a part of a key", function() local _ = user({}) end)
    check.raises("what is cached is a function", function() local _ = cache:cached("x", 1) end)
end)

test("a namespace's loads are its own", function(cache)
    local other = assert(cache:namespace("other"))
    equal(cache:get_or_load("k", function(key)
        return other:get_or_load(key, function() return "of the other" end) .. "!"
    end), "of the other!")
    equal(other:get("k"), "of the other")
    equal(cache:get("k"), "of the other!")
end)

check.run()
