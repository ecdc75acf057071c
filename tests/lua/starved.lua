-- What starved.c runs while memory is short, and the check behind it: each public function and method by its name, and some in
-- other ways too. An operation answers what it always does, or says that memory was short (on a server also that the connection
-- was lost).
local coffer = require "coffer"

local url = URL -- luacheck: globals URL
local sealed = {seal_key = "KXK7BE2W3yhxugNMld4ncLkCS5TdJm+4AUqT3CVut/4=", compress = "trusted"}
local is_remote = url:sub(1, 4) ~= "mem:"

local function open()
    local opts = {prefix = "starved", namespace = "things", timeout = "5s", ttl = "10m", ttl_jitter = 0, breaker = false, on_outage = "error"}
    for name, value in pairs(sealed) do
        opts[name] = value
    end
    return coffer.open(url, opts)
end

local cache = assert(open())
local deep = {list = {1, 2.5, "a\nb", {}}, map = {a = true}, text = ("x"):rep(3000)}
local bytes = ("\255bytes"):rep(300)

-- INTERNAL: OpenSSL does not always say what it lacked. A loader that wants memory is a loader that failed.
local SHORT = {NO_MEMORY = true, INTERNAL = true}
local LOST = {CLOSED = true, CONNECT = true, IO = true, NOT_SENT = true, MAYBE_APPLIED = true, TIMEOUT = true, POOL_TIMEOUT = true, DNS = true}

local function is_short(err, code)
    if type(err) ~= "string" then
        return false
    end
    return SHORT[code] or (is_remote and LOST[code]) or (code == "LOAD_FAILED" and err:find("not enough memory", 1, true) ~= nil)
end

-- Raises where an answer is neither right nor for want of memory.
local function expect(is_right, value, err, code)
    if not is_right(value, err, code) and not (value == nil and is_short(err, code)) then
        error("a wrong answer: " .. tostring(value) .. ", " .. tostring(err) .. ", " .. tostring(code))
    end
end

local function equals(wanted)
    return function(value, err)
        return value == wanted and err == nil
    end
end

local function fails(wanted)
    return function(value, err, code)
        return value == nil and err ~= nil and code == wanted
    end
end

local function is_deep(value)
    return type(value) == "table" and value.list[2] == 2.5 and value.text == deep.text
end

local is_any = function(value, err) return value ~= nil and err == nil end

local operations, known = {}, {}

local function operation(name, is_right, call)
    known[name] = true
    operations[#operations + 1] = {name, function() expect(is_right, call()) end}
end

operation("get", is_deep, function() return cache:get("deep") end)
operation("get of bytes", equals(bytes), function() return cache:get("bytes", {timeout = 1}) end)
operation("get of a miss", equals(nil), function() return cache:get("gone") end)
operation("get of a bad key", fails("KEY_INVALID"), function() return cache:get("a\nkey") end)
operation("get_entry", function(entry) return entry and is_deep(entry.value) end, function() return cache:get_entry("deep") end)
operation("set", equals(true), function() return cache:set("deep", deep, "10m") end)
operation("set of bytes", equals(true), function() return cache:set("bytes", bytes) end)
operation("set of an absence", equals(true), function() return cache:set("absent", coffer.ABSENT) end)
operation("set of what cannot be stored", function(value, _, code) return value == nil and code ~= nil end, function()
    return cache:set("deep", {1, x = 2})
end)
operation("set with a bad TTL", fails("ARG"), function() return cache:set("deep", deep, -1) end)
operation("add", equals(true), function()
    return cache:add("new", deep)
end)
operation("add where there is one", equals(false), function() return cache:add("deep", "x") end)
operation("replace", equals(true), function() return cache:replace("deep", deep) end)
operation("compare_and_set", equals(true), function()
    local entry, err, code = cache:get_entry("deep")
    if not entry then
        return nil, err, code
    end
    return cache:compare_and_set("deep", entry.entry_id, deep)
end)
operation("compare_and_set of an old entry", equals(false), function()
    return cache:compare_and_set("deep", "0000000000000001", deep)
end)
operation("delete", is_any, function() return cache:delete("new") end)
operation("exists", equals(true), function() return cache:exists("deep") end)
operation("ttl", function(seconds) return seconds and seconds > 0 and seconds <= 600 end, function() return cache:ttl("deep") end)
operation("expire", equals(true), function() return cache:expire("deep", "9m") end)
operation("touch", equals(true), function() return cache:touch("deep") end)
operation("increment", is_any, function() return cache:increment("n", 3) end)
operation("counter", is_any, function() return cache:counter("n") end)
operation("reset_counter", is_any, function() return cache:reset_counter("n") end)
operation("get_many", function(found) return found and is_deep(found.deep) and found.bytes == bytes and found.gone == nil end, function()
    return cache:get_many({"deep", "bytes", "gone"})
end)
operation("set_many", equals(true), function() return cache:set_many({deep = deep, bytes = bytes, more = {1, 2}}) end)
operation("delete_many", is_any, function() return cache:delete_many({"more", "gone"}) end)
operation("get_or_load", is_deep, function()
    return cache:get_or_load("loaded", function() return deep end)
end)
operation("get_or_load inside of a loader", is_deep, function()
    return cache:get_or_load("loaded", function()
        return cache:get_or_load("inner", function() return deep end)
    end)
end)
operation("get_or_load with a loader that raises", function(_, err, code) return err == "mine" and code == "LOAD_FAILED" end, function()
    return cache:get_or_load("loaded", function() error("mine", 0) end)
end)
operation("cached", function(value) return type(value) == "table" and value.id == 7 end, function()
    local user = cache:cached("user", function(id) return {id = id} end, "5m")
    local _, err, code = user.invalidate(7)
    if err then
        return nil, err, code
    end
    local value
    value, err, code = user.refresh(7)
    if not value then
        return nil, err, code
    end
    assert(user.key(7) == "user:7")
    return user(7)
end)
operation("namespace", is_deep, function()
    local child, err, code = cache:namespace("child", {ttl = 5})
    if not child then
        return nil, err, code
    end
    local stored
    stored, err, code = child:set("deep", deep)
    local value
    if stored then
        value, err, code = child:get("deep")
    end
    child:close()
    return value, err, code
end)
operation("open", equals("x"), function()
    local other, err, code = open()
    if not other then
        return nil, err, code
    end
    local stored, value
    stored, err, code = other:set("k", "x")
    if stored then
        value, err, code = other:get("k")
    end
    other:close()
    return value, err, code
end)
operation("open with a bad option", fails("OPTION"), function() return coffer.open(url, {pool_size = "many"}) end)
operation("close", fails("CLOSED_CACHE"), function()
    local child, err, code = cache:namespace("child")
    if not child then
        return nil, err, code
    end
    child:close()
    assert(child:closed())
    return child:get("k")
end)
operation("closed", equals(false), function() return cache:closed() end)
operation("option", equals("things"), function() return cache:option("namespace") end)
operation("clear", equals(0), function()
    local child, err, code = cache:namespace("others")
    if not child then
        return nil, err, code
    end
    local count, why
    count, why, code = child:clear({timeout = 5})
    child:close()
    return count, why, code
end)
operation("ping", equals(true), function() return cache:ping() end)
operation("stats", function(stats) return stats and stats.sets > 0 and stats.pool.in_use == 0 end, function() return cache:stats() end)
operation("health", function(health) return health and #health.endpoints == (is_remote and 1 or 0) end, function()
    return cache:health({active = true})
end)
operation("turn_off", equals(true), function() return cache:turn_off({operation = "reset_counter"}) end)
operation("turn_on", equals(true), function() return cache:turn_on({operation = "reset_counter"}) end)
operation("set_share", equals(true), function() return cache:set_share(100) end)
operation("key", equals("a:b%3Ac:7"), function() return cache:key("a", "b:c", 7) end)
operation("tostring", is_any, function() return tostring(cache) end) -- which has no way to say what it lacked
operation("coffer.key", equals("a:b%3Ac:7"), function() return coffer.key("a", "b:c", 7) end)
operation("coffer.array", is_any, function() return coffer.array({1, 2}) end)
operation("coffer.options", function(rows) return #rows > 20 end, function() return coffer.options() end)

known["coffer.open"] = known.open
for prefix, functions in pairs({[""] = getmetatable(cache), ["coffer."] = coffer}) do
    for name, value in pairs(functions) do
        if type(value) == "function" and name:sub(1, 2) ~= "__" then
            assert(known[prefix .. name], "this is not tried: " .. prefix .. name)
        end
    end
end

local function check()
    collectgarbage()
    assert(cache:set_many({deep = deep, bytes = bytes}, 600))
    assert(is_deep(cache:get("deep")))
    for _, key in ipairs({"loaded", "inner", "user:7"}) do -- no load is still under way
        assert(cache:get_or_load(key, function() return "works" end) ~= nil)
    end
    assert(cache:delete_many({"loaded", "inner", "new"}))
    assert(cache:increment("n") > 0)
    assert(cache:stats().pool.in_use == 0)
end

check()
return operations, check
