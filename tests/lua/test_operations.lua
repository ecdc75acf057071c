-- Each operation: what it answers where it finds something, where not, and where it is refused.
local check = require "check"
local coffer = require "coffer"
local test, equal, fails = check.test, check.equal, check.fails

local is_local = check.url:find("^mem:") ~= nil
local SOURCE = is_local and "near" or "remote"

test("get answers value, nil, source; a miss nil, nil", function(cache)
    equal({cache:get("k")}, {})
    equal(select("#", cache:get("k")), 3)
    equal(cache:set("k", "v"), true)
    local value, err, source = cache:get("k")
    equal({value, source}, {"v", SOURCE})
    equal(err, nil)
end)

test("false is a value", function(cache)
    assert(cache:set("k", false))
    local value, err, source = cache:get("k")
    equal(value, false)
    equal(err, nil)
    equal(source, SOURCE)
end)

test("a remembered absence is nil, nil, negative", function(cache)
    assert(cache:set("k", coffer.ABSENT))
    local value, err, source = cache:get("k")
    equal(value, nil)
    equal(err, nil)
    equal(source, "negative")
    equal(cache:get_entry("k").value, coffer.ABSENT)
    equal(cache:exists("k"), false)
end)

test("get_entry tells all that is known", function(cache)
    equal(cache:get_entry("k"), nil)
    assert(cache:set("k", {1, 2}, "1h"))
    local entry, err, source = assert(cache:get_entry("k"))
    equal(err, nil)
    equal(source, SOURCE)
    equal(entry.value, {1, 2})
    equal(entry.format, 2)
    equal(#entry.entry_id, 16)
    assert(entry.fresh > entry.created and entry.expires >= entry.fresh and entry.created > 1.6e9)
    assert(cache:set("k", 1, "forever"))
    equal(cache:get_entry("k").fresh, math.huge)
end)

test("add, replace and compare_and_set store where their condition holds", function(cache)
    equal(cache:replace("k", "a"), false)
    equal(cache:add("k", "a"), true)
    equal(cache:add("k", "b"), false)
    equal(cache:replace("k", {x = 1}), true)
    equal(cache:get("k"), {x = 1})
    local id = cache:get_entry("k").entry_id
    equal(cache:compare_and_set("k", id, "c"), true)
    equal(cache:compare_and_set("k", id, "d"), false)
    equal(cache:get("k"), "c")
    equal(cache:add("gone", coffer.ABSENT), true)
    equal(select(3, cache:get("gone")), "negative")
end)

test("delete, exists, ttl, expire and touch", function(cache)
    equal(cache:delete("k"), false)
    equal(cache:exists("k"), false)
    equal(cache:ttl("k"), nil)
    equal(cache:expire("k", 5), false)
    equal(cache:touch("k"), false)
    assert(cache:set("k", "v", {ttl = "forever"}))
    equal(cache:ttl("k"), math.huge)
    equal(cache:expire("k", "1m"), true)
    local left = cache:ttl("k")
    assert(left > 50 and left <= 60, left)
    equal(cache:touch("k"), true)
    equal(cache:exists("k"), true)
    equal(cache:delete("k"), true)
    equal(cache:get("k"), nil)
end)

test("counters are integers apart from values", function(cache)
    equal(cache:counter("n"), nil)
    equal(cache:increment("n"), 1)
    equal(cache:increment("n", 41), 42)
    equal(cache:increment("n", -2, {ttl = "1h"}), 40)
    equal(tostring(cache:counter("n")), "40")
    equal(cache:get("n"), nil)
    equal(cache:reset_counter("n"), true)
    equal(cache:reset_counter("n"), false)
end)

test("a counter keeps its value or is refused", function(cache)
    local limit = 2 ^ 53
    if math.type then
        equal(cache:increment("n", math.maxinteger), math.maxinteger)
        equal(cache:counter("n"), math.maxinteger)
        fails("NOT_INTEGER", cache:increment("n"))
    else
        equal(cache:increment("n", limit), limit)
        fails("UNSUPPORTED", cache:increment("n"))
        fails("UNSUPPORTED", cache:counter("n"))
    end
    check.raises("a delta is an integer", function() cache:increment("n", 1.5) end)
    check.raises("a delta is an integer", function() cache:increment("n", math.huge) end)
    check.raises("a delta is an integer", function() cache:increment("n", "1") end)
end)

test("many keys at once", function(cache)
    equal(cache:get_many({}), {})
    equal(cache:set_many({}), true)
    equal(cache:set_many({a = 1, b = "two", c = {three = {3}}, d = false, e = "\255"}, "1h"), true)
    equal(cache:get_many({"a", "b", "c", "d", "e", "nothing"}), {a = 1, b = "two", c = {three = {3}}, d = false, e = "\255"})
    equal(cache:delete_many({"a", "b", "nothing"}), 2)
    equal(cache:get_many({"a", "c"}), {c = {three = {3}}})
end)

test("a clear takes all of one namespace", function(cache)
    local other = assert(cache:namespace("others.x"))
    assert(other:set("k", "stays"))
    assert(cache:set_many({a = 1, ["b *?[c]"] = "two"}))
    assert(cache:set("absent", coffer.ABSENT))
    assert(cache:increment("n"))
    equal(cache:clear(), 4)
    equal(cache:clear({timeout = 5}), 0)
    equal(cache:get("a"), nil)
    equal(cache:counter("n"), nil)
    equal(other:get("k"), "stays")
    equal(other:clear(), 1)
    assert(cache:turn_off({operation = "clear"}))
    fails("UNSUPPORTED", cache:clear())
    assert(cache:turn_on({operation = "clear"}))
    check.raises("this call has no option all", function() cache:clear({all = true}) end)
    equal(select(3, cache:clear({timeout = -1})), "ARG")
end)

test("many large values, whose texts move while they are made", function(cache)
    local values, keys = {}, {}
    for i = 1, 200 do
        keys[i] = "k" .. i
        values[keys[i]] = i % 3 == 0 and {text = ("x"):rep(i * 7), n = i} or i % 3 == 1 and ("y"):rep(i) or i
    end
    assert(cache:set_many(values))
    equal(cache:get_many(keys), values)
    equal(cache:delete_many(keys), 200)
end)

test("keys and values are any bytes", function()
    local cache = check.open({key_rules = "bytes"})
    local all = {}
    for byte = 0, 255 do
        all[#all + 1] = string.char(byte)
    end
    local bytes = table.concat(all)
    for _, value in ipairs({bytes, "", "\0", "a\0b", "\195\164", ("x"):rep(100000)}) do
        assert(cache:set("k\0k", value))
        equal(cache:get("k\0k"), value)
    end
    equal(cache:get("k"), nil)
    cache:close()
end)

test("a ttl alone or in a table; its text is the core's", function(cache)
    for _, ttl in ipairs({30, 30.5, "30s", "short"}) do
        assert(cache:set("k", 1, ttl))
        assert(cache:set("k", 1, {ttl = ttl, timeout = "1s"}))
    end
    for _, ttl in ipairs({0, -1, math.huge, 0 / 0, "soon", ""}) do
        fails("ARG", cache:set("k", 2, ttl))
        fails("ARG", cache:expire("k", ttl))
        fails("ARG", cache:get("k", {timeout = ttl}))
    end
    fails("ARG", cache:get("k", {timeout = "forever"}))
    equal(cache:get("k"), 1)
end)

test("what data may bring is answered, not raised", function(cache)
    fails("KEY_INVALID", cache:set("", "v"))
    fails("KEY_INVALID", cache:get(""))
    fails("KEY_INVALID", cache:get_many({"a", ""}))
    local small = check.open({max_value = "10k"})
    fails("TOO_LARGE", small:set("k", ("x"):rep(20000)))
    small:close()
end)

test("stale values are answered where they are asked for", function()
    local cache = check.open({ttl = "5ms", stale_ttl = "1h", ttl_jitter = 0})
    assert(cache:set("k", "v"))
    local deadline = os.clock() + 5
    while cache:get("k") do
        assert(os.clock() < deadline)
    end
    local value, _, source = cache:get("k", {stale = true})
    equal({value, source}, {"v", "stale"})
    equal(cache:get_many({"k"}, {stale = true}), {k = "v"})
    cache:close()
end)

test("statistics count", function(cache)
    assert(cache:set("k", "v"))
    cache:get("k")
    cache:get("nothing")
    local stats = assert(cache:stats())
    equal({stats.hits, stats.misses, stats.sets, stats.hit_ratio}, {1, 1, 1, 0.5})
    equal(stats.latency.get.count, 2)
    equal(stats.pool.open, is_local and 0 or 1)
    equal(stats.refusals, {})
    equal({stats.topology.moved, stats.topology.refreshes, stats.topology.primary_switches}, {0, 0, 0})
    if is_local then
        equal(stats.store.entries, 1)
    end
    equal({cache:ping()}, {true})
    equal({cache:exists("k")}, {true})
    equal({cache:touch("nothing")}, {false})
end)

check.run()
