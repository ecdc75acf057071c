-- What starved.c runs while memory is short, and the check behind it. Each operation once.
local coffer = require "coffer"

local cache = assert(coffer.open(URL, {prefix = "starved", timeout = "2s"})) -- luacheck: globals URL
local deep = {list = {1, 2.5, "a\nb", {}}, map = {a = true}, text = ("x"):rep(300)}

local function scenario()
    cache:set("text", ("y"):rep(200))
    cache:set("deep", deep, "1h")
    cache:get("deep")
    cache:get_entry("deep")
    cache:get("text", {timeout = 1})
    cache:delete("added")
    cache:add("added", deep)
    cache:replace("added", "again")
    local entry = cache:get_entry("added")
    if entry then
        cache:compare_and_set("added", entry.entry_id, {1, 2})
    end
    cache:set_many({a = deep, b = "text", c = 3})
    cache:get_many({"a", "b", "c", "nothing"})
    cache:delete_many({"a", "b"})
    cache:exists("c")
    cache:ttl("c")
    cache:expire("c", "5m")
    cache:touch("c")
    cache:increment("n")
    cache:counter("n")
    cache:reset_counter("n")
    cache:ping()
    cache:stats()
    cache:option("ttl")
    cache:get_or_load("loaded", function()
        return cache:get_or_load("inner", function() return deep end)
    end)
    cache:get_or_load("failing", function() error({}) end)
    cache:delete_many({"loaded", "inner"})
    local child = cache:namespace("child", {ttl = 5})
    if child then
        child:set("k", 1)
        child:close()
    end
end

local function check()
    collectgarbage()
    assert(cache:set("k", deep))
    assert(cache:get("k").list[2] == 2.5)
    for _, key in ipairs({"loaded", "inner", "failing"}) do -- no load is still under way
        assert(cache:get_or_load(key, function() return "works" end) ~= nil)
        assert(cache:delete(key))
    end
    assert(cache:stats().pool.in_use == 0)
end

return scenario, check
