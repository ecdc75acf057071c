--- The cache for nginx (OpenResty): as coffer.Cache, on cosockets; it reads like lua-resty-mlcache.
--
--     local coffer = require "resty.coffer"
--     local users = assert(coffer.new("users", {url = "redis://127.0.0.1/0", ttl = "30m"}))
--     local user, err, source = users:get("42", nil, function(id) return db:user(id) end, 42)
--
-- Answers are `value, err, source`: see coffer.lua; what is a value, a key and a time is told there
-- too. In phases that cannot wait for a server (init, init_worker, set, header_filter, body_filter,
-- log, balancer) get, get_entry, get_many, get_bulk and peek answer what is near (option near), and
-- else, as all other reads do, nil, a sentence, "UNSUPPORTED"; writes are queued: true, nil,
-- "queued". With mem:// all is answered in each of them. docs/openresty.md has the table.

if type(ngx) ~= "table" then
    error('resty.coffer runs inside of nginx; elsewhere there is require "coffer"', 0)
end

local arguments = require "coffer.arguments"
local blocking = require "coffer"
local core = require "coffer.core"
local fitting = require "resty.coffer.fitting"
local opening = require "coffer.opening"
local operations = require "coffer.operations"
local running = require "resty.coffer.running"

local ngx = ngx
local get_phase, worker_pid = ngx.get_phase, ngx.worker.pid
local type, error, pairs, select = type, error, pairs, select
local setmetatable, getmetatable, huge = setmetatable, getmetatable, math.huge

local check_key, times_of = arguments.check_key, arguments.times_of

local coffer = {
    version = blocking.version,
    ABSENT = blocking.ABSENT,
    null = blocking.null,
    key = blocking.key,
    array = blocking.array,
    options = blocking.options,
}

local ABSENT = coffer.ABSENT

local Cache = {}
Cache.__index = Cache

-- ---- families: what the namespaces of one client share ----

-- Gives the family, in this process, a driver of its own.
local function settle(family)
    local pid = worker_pid()
    local its, err, code = fitting.driver(family)
    if not its then
        return nil, err, code
    end
    for handle in pairs(family.handles) do
        core.loop_attach(handle, its.loop)
    end
    family.driver, family.pid = its, pid
    return true
end

-- Called by a method directly, so that level 3 is the method's caller.
local function handle_of(cache)
    if getmetatable(cache) ~= Cache then
        error("coffer: not a cache; methods are called with a colon, as in cache:get(key)", 3)
    end
    local family = cache._family
    -- What the master has before it forks is no worker's. It asks no server.
    if family.pid ~= worker_pid() and (family.is_local or get_phase() ~= "init") then
        local is_done, err = settle(family)
        if not is_done and not core.is_closed(cache._handle) then
            error("coffer: " .. err, 3)
        end
    end
    return cache._handle
end

local run = running.with(handle_of)
operations.add_to(Cache, run)

local function wrap(handle, family, kept)
    local does_keep, err, code = operations.keep_objects(handle, kept)
    if not does_keep then
        return nil, err, code
    end
    family.handles[handle] = true
    family.open_count = family.open_count + 1
    running.belongs(handle, family)
    if family.driver and family.pid == worker_pid() then
        core.loop_attach(handle, family.driver.loop)
    end
    return setmetatable({_handle = handle, _family = family, _kept = kept}, Cache)
end

-- ---- opening and closing ----

-- By what they were asked for with: as many as the program's text and configuration name.
local families, caches = {}, {}

local function open_family(key, wanted, own)
    local family = families[key]
    if family then
        return family
    end
    local fits, err, code = fitting.check(wanted)
    if not fits then
        return nil, err, code
    end
    local root
    root, err, code = core.coffer_open(wanted)
    if not root then
        return nil, err, code
    end
    family, err, code = fitting.family(root, wanted, own)
    if not family then
        return nil, err, code
    end
    family.key = key
    families[key] = family
    return family
end

--- A cache of this namespace. Asked for again with the same in the same worker it is the same.
--
-- opts: url, and all that coffer.options() lists; near_objects (as coffer.open has it, for this
-- namespace, in each worker); credentials (a function; it may yield); neg_ttl
-- and resurrect_ttl as other words for negative_ttl and stale_ttl; queue_max and queue_max_bytes,
-- the bounds of queued writes. nil, message, code where something cannot be had in nginx.
function coffer.new(name, opts)
    if type(name) ~= "string" then
        error("coffer: the name of a cache is a string, not " .. type(name), 2)
    end
    local given, err, code = fitting.options(opts)
    if not given then
        return nil, err, code
    end
    local family_key, key = fitting.keys(name, given)
    local cache = caches[key]
    if cache and not cache:closed() then
        return cache
    end
    local wanted
    wanted, err, code = opening.options(given.own.url, given.client)
    if not wanted then
        return nil, err, code
    end
    local family
    family, err, code = open_family(family_key, wanted, given.own)
    if not family then
        return nil, err, code
    end
    local handle
    handle, err, code = opening.namespace(family.root, name, given.namespace)
    if not handle then
        return nil, err, code
    end
    cache, err, code = wrap(handle, family, given.kept)
    if not cache then
        return nil, err, code
    end
    cache._key = key
    caches[key] = cache
    return cache
end

--- Another namespace of the same server or memory; other options are as here unless given.
function Cache:namespace(name, opts)
    if getmetatable(self) ~= Cache then
        error("coffer: not a cache; methods are called with a colon", 2)
    end
    if type(name) ~= "string" then
        error("coffer: a namespace is a string, not " .. type(name), 2)
    end
    opts = arguments.options_table(opts)
    local kept = arguments.take_kept(opts) or self._kept
    local handle, err, code = opening.namespace(self._handle, name, opts)
    if not handle then
        return nil, err, code
    end
    return wrap(handle, self._family, kept)
end

--- Closes this namespace, for all who have it; with the last one of a client its connections.
function Cache:close()
    local family = self._family
    if core.is_closed(self._handle) then
        return true
    end
    core.close(self._handle)
    if self._key then
        caches[self._key] = nil
    end
    family.open_count = family.open_count - 1
    if family.open_count == 0 then
        families[family.key] = nil
        core.close(family.root)
        if family.driver and family.pid == worker_pid() then
            family.driver:close()
        end
    end
    return true
end

function Cache:__tostring()
    if self:closed() then
        return "resty.coffer.Cache (closed)"
    end
    return ("resty.coffer.Cache (namespace=%s)"):format(self:option("namespace"))
end

-- ---- as lua-resty-mlcache has it ----

local get, get_entry, ttl_of = Cache.get, Cache.get_entry, Cache.ttl
local set, stats = Cache.set, Cache.stats

local GET_FIELDS = {
    ttl = {number = true, string = true},
    neg_ttl = {number = true, string = true},
    timeout = {number = true, string = true},
}
local READ_FIELDS = {
    ttl = GET_FIELDS.ttl,
    neg_ttl = GET_FIELDS.ttl,
    timeout = GET_FIELDS.ttl,
    stale = {boolean = true},
}

-- What is to be loaded: the TTL, that of an absence and the deadline; or nil, message, code.
local function load_times(opts)
    if opts == nil then
        return 0, 0, 0
    end
    arguments.check_fields(opts, GET_FIELDS)
    local lifetime, limit, code = times_of(opts)
    if not lifetime then
        return nil, limit, code
    end
    if opts.neg_ttl == nil then
        return lifetime, lifetime, limit
    end
    local absent_lifetime, err
    absent_lifetime, err, code = times_of({ttl = opts.neg_ttl})
    if not absent_lifetime then
        return nil, err, code
    end
    return lifetime, absent_lifetime, limit
end

--- The value; where there is none and a callback is given, what callback(...) returns: the value,
-- or nil for none, or nil and an error; and, if not nil, a TTL for it (below 0: not to be kept).
-- opts: ttl, neg_ttl, timeout.
function Cache:get(key, opts, callback, ...)
    if callback == nil then
        if opts ~= nil then
            arguments.check_fields(opts, READ_FIELDS)
            opts = {timeout = opts.timeout, stale = opts.stale}
        end
        return get(self, key, opts)
    end
    local handle = handle_of(self)
    check_key(key)
    if type(callback) ~= "function" then
        error("coffer: a callback is a function, not " .. type(callback), 2)
    end
    local lifetime, absent_lifetime, limit = load_times(opts)
    if not lifetime then
        return nil, absent_lifetime, limit
    end
    return operations.load(run, handle, key, lifetime, absent_lifetime, limit, callback, ...)
end

--- Stores a value, or with coffer.ABSENT or nil that there is none. opts: nil, or ttl and timeout.
function Cache:set(key, opts, value, ...)
    if opts ~= nil and type(opts) ~= "table" or select("#", ...) > 0 then
        error("coffer: it is set(key, opts, value)", 2)
    end
    if value == nil then
        value = ABSENT
    end
    return set(self, key, value, opts)
end

--- Seconds that the value is still fresh (below 0: it is stale, and asked for with `stale`), err,
-- the value, and whether it is stale. nil where there is none.
function Cache:peek(key, stale)
    local entry, err, code = get_entry(self, key, {stale = stale and true or false})
    if not entry then
        return nil, err, code
    end
    local value, left = entry.value, nil
    if value == ABSENT then
        value = nil
    end
    if entry.source ~= "stale" then
        left = ttl_of(self, key)
    end
    if not left then -- the server's clock is not at hand
        left = entry.fresh and entry.fresh - ngx.now() or huge
    end
    return left, nil, value, entry.source == "stale"
end

--- Deletes everything in this namespace: as `clear`, which answers how much. True.
function Cache:purge()
    local count, err, source = self:clear()
    if not count then
        return nil, err, source
    end
    return true, nil, source
end

--- As coffer.Cache's, and queued, queue_dropped, queue_failed: writes of phases that cannot wait.
function Cache:stats()
    local figures, err, code = stats(self)
    if not figures then
        return nil, err, code
    end
    local queue = self._family.queue
    figures.queued, figures.queue_dropped = queue.queued, queue.dropped
    figures.queue_failed = queue.failed
    return figures
end

require "resty.coffer.bulk"(coffer, Cache, {
    run = run,
    handle_of = handle_of,
    load_times = load_times,
})

return coffer
