-- The cache from Lua: values, namespaces, loading, statistics.
--
-- ./dev run lua5.4 examples/lua/quickstart.lua [URL]     mem:// unless a server is named:
-- redis://localhost; or luajit

local coffer = require "coffer"

local cache = assert(coffer.open(arg[1] or "mem://", {prefix = "example", ttl = "10m"}))

-- Values come back as what they were: strings of any bytes, numbers, booleans, tables that JSON can
-- say.
assert(cache:set("greeting", "hello"))
assert(cache:set("config", {retries = 3, hosts = {"a", "b"}}, "1h"))
print(cache:get("greeting"), cache:get("config").hosts[2])

-- value, err, source: nil, nil is a miss; nil, message, code an error.
local value, err, source = cache:get("nothing")
assert(value == nil and err == nil and source == nil)

-- A namespace has keys and options of its own and shares the connections.
local users = assert(cache:namespace("users", {ttl = "30m"}))
local queries = 0

local function load_user(id)
    queries = queries + 1
    return {id = id, name = "Ada Lovelace"} -- or nil where there is none, or nil and an error
end

for _ = 1, 3 do
    local user, fault, from = users:get_or_load("42", load_user)
    print(assert(user, fault).name, from, "after " .. queries .. " query")
end

print("visits", cache:increment("visits"))

cache:delete_many({"greeting", "config"})
cache:reset_counter("visits")
users:delete("42")
local stats = users:stats()
print(("users: %d hits, %d misses, %d load"):format(stats.hits, stats.misses, stats.loads))
cache:close()
