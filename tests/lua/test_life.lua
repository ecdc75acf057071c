-- Opening, closing, collecting; options; and misuse, which is raised at the caller.
local check = require "check"
local coffer = require "coffer"
local test, equal, fails, raises = check.test, check.equal, check.fails, check.raises

test("options are named as everywhere", function()
    local cache = check.open({prefix = "prod", namespace = "users", ttl = 90, timeout = 1.5, stale_ttl = "1h"})
    equal(cache:option("prefix"), "prod")
    equal(cache:option("namespace"), "users")
    equal(cache:option("timeout"), "1500ms")
    fails("OPTION", cache:option("colour"))
    local child = assert(cache:namespace("pages", {ttl = "5m"}))
    equal(child:option("prefix"), "prod")
    equal(child:option("namespace"), "pages")
    assert(#coffer.options() > 20 and coffer.options()[1].name)
    equal(tostring(child), "coffer.Cache (prefix=prod namespace=pages)")
    cache:close()
    equal(tostring(child), "coffer.Cache (closed)")
end)

test("what cannot be opened is told of", function()
    fails("OPTION", coffer.open("gopher://localhost"))
    fails("OPTION", coffer.open("mem://", {colour = "red"}))
    fails("OPTION", coffer.open("mem://", {ttl = "soon"}))
    fails("OPTION", coffer.open("mem://", {ttl = -1.5}))
    fails("OPTION", coffer.open("mem://", {ttl = 0 / 0}))
    local _, message = coffer.open("mem://", {seal_key = "secret"})
    assert(message and not message:find("secret", 1, true), message)
    assert(coffer.open():set("k", 1))
end)

test("a server that is away is an error, at run time", function()
    local cache = assert(coffer.open("redis://127.0.0.1:1", {timeout = "200ms", breaker = false, on_outage = "error"}))
    fails("CONNECT", cache:get("k"))
    fails("CONNECT", cache:set("k", 1))
    fails("CONNECT", cache:get_many({"k"}))
    equal(select(4, cache:get_many({"k", "l"})), {k = "CONNECT", l = "CONNECT"})
    equal(select(4, cache:set_many({k = 1})), {k = "CONNECT"})
    equal(select(4, cache:delete_many({"k"})), {k = "CONNECT"})
    fails("CONNECT", cache:increment("k"))
    fails("CONNECT", cache:ping())
    cache:close()
end)

test("a server that is away is a miss unless told otherwise, and health says so", function()
    local cache = assert(coffer.open("redis://127.0.0.1:1", {timeout = "200ms"}))
    equal(cache:health().state, "healthy")
    for _ = 1, 6 do
        equal({cache:set("k", 1)}, {true}) -- it goes on
        equal({cache:get("k")}, {nil, nil, "outage"})
        equal({cache:get_entry("k")}, {nil, nil, "outage"})
    end
    equal({cache:get_many({"k"})}, {{}})
    equal({cache:delete("k")}, {false})
    equal({cache:exists("k")}, {false})
    equal({cache:ttl("k")}, {nil})
    fails("BREAKER_OPEN", cache:increment("n"))
    fails("BREAKER_OPEN", cache:ping())
    equal(cache:stats().outage_misses, 15)
    local health = assert(cache:health())
    equal(health.state, "down")
    equal(health.endpoints[1].name, "127.0.0.1:1")
    equal(health.owed_keys, 1)
    assert(health.reasons[1]:find("127.0.0.1:1", 1, true))
    assert(cache:stats().breaker.opened >= 1)
    equal({cache:get_or_load("k", function() return "loaded" end)}, {"loaded", nil, "loaded"})
    cache:close()
end)

test("caching is turned off and on while it runs", function(cache)
    assert(cache:set("k", "old"))
    assert(cache:turn_off())
    equal(cache:get("k"), nil)
    assert(cache:set("k", "new"))
    equal(cache:health().state, "degraded")
    assert(cache:turn_on())
    equal(cache:get("k"), nil)
    assert(cache:set("k", "v"))
    assert(cache:turn_off({operation = "get"}))
    equal(cache:get("k"), nil)
    assert(cache:turn_on({operation = "get"}))
    equal(cache:get("k"), "v")
    assert(cache:turn_off({everything = true}) and cache:turn_on({everything = true}))
    assert(cache:set_share(0))
    equal(cache:get("k"), nil)
    assert(cache:set_share(100))
    equal(cache:health({active = true}).state, "healthy")
    fails("ARG", cache:turn_off({operation = "nothing"}))
    raises("a share is an integer from 0 to 100", function() cache:set_share(101) end)
    raises("there is no option all of this call", function() cache:turn_off({all = true}) end)
    raises("everything is a boolean", function() cache:turn_off({everything = 1}) end)
end)

test("a closed cache answers so, with its namespaces", function(cache)
    local child = assert(cache:namespace("child"))
    equal(cache:closed(), false)
    equal(cache:close(), true)
    equal(cache:close(), true)
    equal(cache:closed() and child:closed(), true)
    for _, closed in ipairs({cache, child}) do
        fails("CLOSED_CACHE", closed:get("k"))
        fails("CLOSED_CACHE", closed:get_entry("k"))
        fails("CLOSED_CACHE", closed:set("k", 1))
        fails("CLOSED_CACHE", closed:add("k", 1))
        fails("CLOSED_CACHE", closed:delete("k"))
        fails("CLOSED_CACHE", closed:get_many({"k"}))
        fails("CLOSED_CACHE", closed:set_many({k = 1}))
        fails("CLOSED_CACHE", closed:delete_many({"k"}))
        fails("CLOSED_CACHE", closed:clear())
        fails("CLOSED_CACHE", closed:increment("k"))
        fails("CLOSED_CACHE", closed:get_or_load("k", function() return 1 end))
        fails("CLOSED_CACHE", closed:stats())
        fails("CLOSED_CACHE", closed:health())
        fails("CLOSED_CACHE", closed:turn_off())
        fails("CLOSED_CACHE", closed:set_share(1))
        fails("CLOSED_CACHE", closed:namespace("x"))
        fails("CLOSED_CACHE", closed:option("ttl"))
    end
end)

test("a namespace outlives what it was made from", function()
    local cache = check.open()
    local child = assert(cache:namespace("child"))
    cache = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert(child:set("k", "v"))
    equal(child:get("k"), "v")
end)

test("what is dropped is collected", function()
    for _ = 1, 50 do
        local cache = check.open()
        assert(cache:set("k", {("x"):rep(1000)}))
        cache:get("k")
    end
    collectgarbage()
    collectgarbage()
end)

test("nothing is left in the globals", function()
    equal(rawget(_G, "coffer"), nil)
    equal(rawget(_G, "coffer_core"), nil)
    equal(rawget(_G, "swig_type"), nil)
end)

test("misuse is raised at the caller", function(cache)
    local loader = function() return 1 end
    raises("a key is a string, not number", function() cache:get(42) end)
    raises("a key is a string, not nil", function() cache:get() end)
    raises("a key is a string", function() cache:set({}, 1) end)
    raises("a key is a string", function() cache:delete(1) end)
    raises("a key is a string", function() cache:get_or_load(1, loader) end)
    raises("a key is a string", function() cache:get_many({"a", 1}) end)
    raises("a key is a string", function() cache:set_many({1}) end)
    raises("array of strings", function() cache:get_many({a = "b"}) end)
    raises("array of strings", function() cache:get_many("a") end)
    raises("a value is a string, number, boolean, table or coffer.null, not nil", function() cache:set("k") end)
    raises("not function", function() cache:set("k", print) end)
    raises("not userdata", function() cache:add("k", io.stdout) end)
    raises("coffer.ABSENT is for set", function() cache:set_many({k = coffer.ABSENT}) end)
    raises("this call has no option tll", function() cache:set("k", 1, {tll = 1}) end)
    raises("this call has no option ttl", function() cache:get("k", {ttl = 1}) end)
    raises("option stale cannot be a string", function() cache:get("k", {stale = "yes"}) end)
    raises("options are a table", function() cache:get("k", 5) end)
    raises("a loader is a function", function() cache:get_or_load("k", "loader") end)
    raises("an entry id", function() cache:compare_and_set("k", 1, "v") end)
    raises("an entry id", function() cache:compare_and_set("k", "FFFFFFFFFFFFFFFF", "v") end)
    raises("a TTL is seconds or text", function() cache:expire("k") end)
    raises("called with a colon", function() cache.get("k") end)
    raises("a URL is a string", function() coffer.open(42) end)
    raises("options are a table", function() coffer.open("mem://", "ttl") end)
    raises("option ttl is a string, number or boolean, not table", function() coffer.open("mem://", {ttl = {}}) end)
    raises("a namespace is a string", function() cache:namespace() end)
    raises("a part of a key", function() coffer.key("a", 1.5) end)
    raises("at least one part", function() cache:key() end)
    raises("an array is a table", function() coffer.array("x") end)
end)

test("keys are joined so that none is mistaken", function(cache)
    equal(coffer.key("a", "b:c"), "a:b%3Ac")
    equal(cache:key("user", 42, "%"), "user:42:%25")
end)

test("the core refuses what is no object of its own", function(cache)
    local core = require "coffer.core"
    for _, call in ipairs({core.get, core.set, core.close, core.stats, core.op_finish, core.coffer_op_add, core.coffer_open}) do
        for _, given in ipairs({false, 1, "x", {}, io.stdout, coffer.null}) do
            equal(pcall(call, given, "k", "v", {}, 0), false)
        end
    end
    local op = core.coffer_op_exists(cache._handle, "k", 0)
    equal(core.op_finish(op), 1)
    fails("INTERNAL", core.op_finish(op))
    core.coffer_op_exists(cache._handle, "k", 0) -- never run: collected
end)

test("what loaders began on an event loop goes with them when the state is closed", function()
    local core = require "coffer.core"
    local handle = assert(coffer.open("mem://"))._handle
    local loop = core.loop_new(handle, 1)
    core.loop_attach(handle, loop)
    local outer = select(4, core.load_begin(handle, "outer", nil, nil))
    local inner = select(4, core.load_begin(handle, "inner", outer, nil))
    rawset(_G, "kept", {loop, outer, inner}) -- a sanitizer tells what is left behind
    assert(outer and inner)
end)

test("a load that a loader of another cache began goes on when that one is given up", function()
    local core = require "coffer.core"
    local function on_loop(url, number)
        local handle = assert(coffer.open(url, {raw = true}))._handle
        local loop = core.loop_new(handle, number)
        core.loop_attach(handle, loop)
        return handle, loop
    end
    local function obey(loop)
        local kind, link = core.loop_order(loop)
        local last = link
        while kind do
            if kind == "connect" then
                core.loop_opened(loop, link, false)
            end
            last = link
            kind, link = core.loop_order(loop)
        end
        return last
    end
    local memory = on_loop("mem://", 1)
    local remote, loop = on_loop("redis://scripted", 2)
    local outer = select(4, core.load_begin(memory, "outer", nil, nil))
    local leader = select(4, core.load_begin(remote, "inner", nil, nil))
    local link = obey(loop)
    core.loop_fed(loop, link, "+OK\r\n*2\r\n$1\r\n1\r\n$1\r\n0\r\n")
    obey(loop)
    core.loop_fed(loop, link, "$-1\r\n")
    local inner = select(4, core.load_begin(remote, "inner", outer, nil))
    obey(loop)
    core.drop(outer)
    core.loop_fed(loop, link, "$-1\r\n") -- its parent would be looked at now
    equal({core.is_stopped(leader), core.is_stopped(inner)}, {true, false})
end)

test("inside of an nginx request only mem:// may be used", function(cache)
    package.loaded.coffer = nil
    local phase = "content"
    rawset(_G, "ngx", {get_phase = function() return phase end})
    local guarded = require "coffer"
    rawset(_G, "ngx_saved", nil)
    local memory = assert(guarded.open("mem://"))
    local away = assert(guarded.open("redis://127.0.0.1:1", {timeout = "50ms"}))
    assert(memory:set("k", "v"))
    raises("would stop this nginx worker (phase content)", function() away:get("k") end)
    raises("would stop this nginx worker", function() away:set("k", 1) end)
    raises("would stop this nginx worker", function() away:get_or_load("k", print) end)
    phase = "init_worker"
    equal({away:get("k")}, {nil, nil, "outage"})
    rawset(_G, "ngx", nil)
    package.loaded.coffer = coffer
    assert(cache:set("k", 1))
end)

check.run()
