-- GETs of one nginx worker, by several light threads of one request: nginx_get.py asks for it.

-- luacheck: globals ngx

local CLIENT, PORT = ngx.var.arg_client, tonumber(ngx.var.arg_port)
local COUNT, THREADS = tonumber(ngx.var.arg_count), tonumber(ngx.var.arg_threads)
local VALUE = string.rep("x", 100)
local WARM_UP = 20

local function open(name, opts)
    opts.url = opts.url or "redis://127.0.0.1:" .. PORT .. "/0"
    opts.prefix = "bench"
    return assert(require("resty.coffer").new(name, opts))
end

-- Each gives a function that gets once; it is made once for each light thread.
local clients = {}

function clients.coffer()
    local cache = open("_", {raw = true})
    return function() return cache:get("key:1") end
end

clients["coffer-envelope"] = function()
    local cache = open("enveloped", {})
    assert(cache:set("key:1", nil, VALUE))
    return function() return cache:get("key:1") end
end

clients["coffer-mem"] = function()
    local cache = open("_", {url = "mem://"})
    assert(cache:set("key:1", nil, VALUE))
    return function() return cache:get("key:1") end
end

-- Copies of the server's values, in memory that all workers share: read until one is had without a
-- round trip.
clients["coffer-near"] = function()
    local name = "coffer-bench-" .. PORT
    local cache = open("_", {raw = true, near = "shared", near_name = name, near_ttl = "1h"})
    local until_s = ngx.now() + 6
    repeat
        local value, err, source = cache:get("key:1")
        assert(value, err)
        assert(ngx.now() < until_s, "no copy was kept: is the channel live?")
        ngx.sleep(source == "near" and 0 or 0.001)
    until source == "near"
    return function() return cache:get("key:1") end
end

clients["shared-dict"] = function()
    local dict = ngx.shared.bench
    dict:set("key:1", VALUE)
    return function() return (dict:get("key:1")) end
end

-- What its workers share: two keys, of which its L1 has room for one.
clients["mlcache-l2"] = function()
    local cache = assert(require("resty.mlcache").new("bench", "bench", {lru_size = 1}))
    local function load() return VALUE end
    local turn = 0
    return function()
        turn = turn + 1
        return (cache:get(turn % 2 == 0 and "key:1" or "key:2", nil, load))
    end
end

-- A connection for each light thread, kept as long as it runs: the best that it can do.
clients["resty-redis"] = function()
    local client = require("resty.redis"):new()
    assert(client:connect("127.0.0.1", PORT))
    return function() return client:get("bench:_:key:1") end
end

-- As requests use it: from nginx's pool, and back.
clients["resty-redis-pooled"] = function()
    local redis = require "resty.redis"
    return function()
        local client = redis:new()
        assert(client:connect("127.0.0.1", PORT))
        local value = client:get("bench:_:key:1")
        assert(client:set_keepalive(10000, 100))
        return value
    end
end

-- What it holds in the worker: an L1 hit.
clients.mlcache = function()
    local cache = assert(require("resty.mlcache").new("bench", "bench", {}))
    return function() return (cache:get("key:1", nil, function() return VALUE end)) end
end

clients.empty = function()
    return function() return VALUE end
end

local function run(each)
    local get = clients[CLIENT]()
    for _ = 1, each do
        if get() ~= VALUE then
            error(CLIENT .. " read something else")
        end
    end
end

local function all(each)
    local threads = {}
    for i = 1, THREADS do
        threads[i] = ngx.thread.spawn(run, each)
    end
    for i = 1, THREADS do
        local ok, fault = ngx.thread.wait(threads[i])
        if not ok then
            error(fault)
        end
    end
end

local each = math.max(math.floor(COUNT / THREADS), 1)
all(WARM_UP)
ngx.update_time()
local began = ngx.now()
all(each)
ngx.update_time()
local spent_s = math.max(ngx.now() - began, 0.001)
ngx.say(string.format('{"gets_per_s": %.1f}', each * THREADS / spent_s))
