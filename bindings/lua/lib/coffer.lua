--- One cache in front of your database, on Redis and Valkey or with no server at all.
--
--     local coffer = require "coffer"
--     local cache = assert(coffer.open("redis://localhost/0", {prefix = "prod", ttl = "10m"}))
--     local users = assert(cache:namespace("users", {ttl = "30m"}))
--     local user, err, source = users:get_or_load("42", function(key) return db:user(key) end)
--
-- Every method answers `value, err, source`:
--
--     value, nil, "remote"         "near" (this process), "remote", "loaded" or "stale"
--     nil, nil                     a miss; behind it "negative": known to be absent; "outage"
--     nil, message, code           an error, a code like "TIMEOUT", "KEY_INVALID", ...
--
-- What can happen at run time is never raised. Misuse (an argument of a wrong type, an unknown
-- option of a call) is, at the caller.
--
-- Values are strings (any bytes), numbers, booleans, coffer.null, and tables of these that JSON can
-- say. Strings that are UTF-8 are str in Python, others bytes. Integers keep their value or are
-- refused: 64 bits in Lua 5.4, up to 2^53 in LuaJIT. Tables are arrays (keys 1 to n) or objects
-- (string keys); an empty one is an object unless coffer.array made it; what was read as an array
-- is stored as one again.
--
-- Keys are strings. Times are seconds, or text: "250ms", "30m", and for TTLs "short" or "forever".
--
-- While the server is away reads are misses, loaders run, writes do nothing (docs/outage.md), and
-- cache:health() says so. Calls block their thread; in an nginx request only mem:// is allowed.

local arguments = require "coffer.arguments"
local cached = require "coffer.cached"
local core = require "coffer.core"

local type, error, setmetatable, getmetatable = type, error, setmetatable, getmetatable
local pairs, ipairs, huge = pairs, ipairs, math.huge
local co_create, co_resume, co_status = coroutine.create, coroutine.resume, coroutine.status

local check_key, check_keys = arguments.check_key, arguments.check_keys
local check_value = arguments.check_value
local check_read, check_write = arguments.check_read, arguments.check_write
local timeout_ms, times_of = arguments.timeout_ms, arguments.times_of

local OK = core.COFFER_OK

local coffer = {version = core.coffer_version()}

--- What is known not to exist: `set` stores it, a loader may return it.
coffer.ABSENT = setmetatable({}, {
    __tostring = function() return "coffer.ABSENT" end,
    __metatable = false,
})

--- JSON's null, the same as cjson.null and ngx.null.
coffer.null = core.json_value("[null]")[1]

local ABSENT = coffer.ABSENT

local Cache = {}
Cache.__index = Cache

-- ---- who may call ----

local BLOCKING_PHASES_ALLOWED = {init = true, init_worker = true}

-- Inside nginx a call that waits would stop the worker and all its requests.
local function refuse_in_request(cache)
    local phase = ngx.get_phase() -- luacheck: globals ngx
    if not BLOCKING_PHASES_ALLOWED[phase] and not core.is_local(cache._handle) then
        error("coffer: a blocking call would stop this nginx worker (phase " .. phase .. ")", 4)
    end
end

local guard
do
    local ngx = rawget(_G, "ngx")
    if type(ngx) == "table" and type(ngx.get_phase) == "function" then
        guard = refuse_in_request
    end
end

-- Called by a method directly, so that level 3 is the method's caller.
local function handle_of(cache)
    if getmetatable(cache) ~= Cache then
        error("coffer: not a cache; methods are called with a colon, as in cache:get(key)", 3)
    end
    if guard then
        guard(cache)
    end
    return cache._handle
end

-- ---- opening and closing ----

local function wrap(handle, credentials)
    if credentials then
        core.ask(handle, credentials)
    end
    local children = setmetatable({}, {__mode = "k"})
    return setmetatable({_handle = handle, _children = children, _credentials = credentials}, Cache)
end

--- Opens a cache: mem://, redis://user:password@host:port/db, rediss:// (TLS), unix:///path?db=0.
--
-- opts: prefix, namespace, ttl and every other option by its name (coffer.options() lists them).
-- With from_environment = true COFFER_<OPTION> and the usual names (REDIS_URL, ...) are read first.
-- credentials: a function, called at each connect, that returns a password, or user name and
-- password. It may neither use this cache nor yield; where it fails the call answers CREDENTIALS.
-- No connection is made before the first call that needs one.
function coffer.open(url, opts)
    if url ~= nil and type(url) ~= "string" then
        error("coffer: a URL is a string, not " .. type(url), 2)
    end
    opts = arguments.options_table(opts)
    local credentials = arguments.take_credentials(opts)
    local wanted, err, code = core.coffer_options_new()
    if not wanted then
        return nil, err, code
    end
    local done = true
    if opts.from_environment then
        done, err, code = core.coffer_options_from_environment(wanted)
    end
    opts.from_environment = nil
    if done and url then
        done, err, code = core.coffer_options_set_url(wanted, url)
    end
    if done then
        done, err, code = arguments.apply(wanted, opts)
    end
    if not done then
        return nil, err, code
    end
    local handle
    handle, err, code = core.coffer_open(wanted)
    if not handle then
        return nil, err, code
    end
    return wrap(handle, credentials)
end

--- Another namespace of the same server or memory: shares connections and store; other options are
-- as here unless given.
function Cache:namespace(name, opts)
    if getmetatable(self) ~= Cache then
        error("coffer: not a cache; methods are called with a colon", 2)
    end
    if type(name) ~= "string" then
        error("coffer: a namespace is a string, not " .. type(name), 2)
    end
    opts = arguments.options_table(opts)
    opts.namespace = name
    local wanted, err, code = core.coffer_cache_options(self._handle)
    local done, handle = wanted, nil
    if wanted then
        done, err, code = arguments.apply(wanted, opts)
    end
    if done then
        handle, err, code = core.coffer_open_namespace(self._handle, wanted)
    end
    if not handle then
        return nil, err, code
    end
    local child = wrap(handle, self._credentials)
    self._children[child] = true
    return child
end

--- Closes the cache and the namespaces made from it. Twice is harmless; all else answers
-- CLOSED_CACHE afterwards.
function Cache:close()
    for child in pairs(self._children) do
        child:close()
    end
    core.close(self._handle)
    return true
end

--- Whether it was closed.
function Cache:closed()
    return core.is_closed(self._handle)
end

Cache.__close = Cache.close -- local cache <close> = ...

function Cache:__tostring()
    if self:closed() then
        return "coffer.Cache (closed)"
    end
    local prefix, namespace = self:option("prefix"), self:option("namespace")
    return ("coffer.Cache (prefix=%s namespace=%s)"):format(prefix, namespace)
end

--- What an option is, as text; secrets are "***".
function Cache:option(name)
    if type(name) ~= "string" then
        error("coffer: an option's name is a string, not " .. type(name), 2)
    end
    for _, row in ipairs(core.option_table()) do
        if row.name == name then
            local options, err, code = core.coffer_cache_options(self._handle)
            if not options then
                return nil, err, code
            end
            return core.coffer_options_get(options, name)
        end
    end
    return nil, "there is no option " .. name, "OPTION"
end

-- ---- one key ----

--- The value. opts.stale: a value past its freshness is answered too.
function Cache:get(key, opts)
    local handle = handle_of(self)
    check_key(key)
    if not opts then
        return core.get(handle, key)
    end
    check_read(opts)
    local limit, err, code = timeout_ms(opts.timeout)
    if not limit then
        return nil, err, code
    end
    return core.get(handle, key, opts.stale, limit)
end

--- The value with all that is known about it: {value, source, entry_id, created, fresh, expires,
-- load_cost, format}. Times are unix seconds by the server's clock. A remembered absence is an
-- entry whose value is coffer.ABSENT.
function Cache:get_entry(key, opts)
    local handle = handle_of(self)
    check_key(key)
    check_read(opts)
    local limit, err, code = timeout_ms(opts and opts.timeout)
    if not limit then
        return nil, err, code
    end
    local entry
    entry, err, code = core.entry(handle, key, opts and opts.stale, limit)
    if entry == nil then
        return nil, err, code
    end
    if entry.value == nil then
        entry.value = ABSENT
    end
    return entry, nil, entry.source
end

--- Stores a value, or with coffer.ABSENT that there is none. opts: {ttl =, timeout =}, or the TTL
-- alone. True.
function Cache:set(key, value, opts)
    local handle = handle_of(self)
    check_key(key)
    check_value(value)
    opts = check_write(opts)
    local lifetime, limit, code = times_of(opts)
    if not lifetime then
        return nil, limit, code
    end
    if value == ABSENT then
        value = nil
    end
    return core.set(handle, key, value, lifetime, limit)
end

-- Runs an op that a generated function made: whether its status is OK, and the number it answered;
-- or nil, message, code.
local function finish(op, err, code)
    if not op then
        return nil, err, code
    end
    local status, number, name = core.op_finish(op)
    if not status then
        return nil, number, name
    end
    return status == OK, number
end

-- Whether the status is OK.
local function run(...)
    local is_ok, err, code = finish(...)
    if is_ok == nil then
        return nil, err, code
    end
    return is_ok
end

-- The number alone; nil where the status is not OK.
local function run_number(...)
    local is_ok, number, code = finish(...)
    if is_ok == nil then
        return nil, number, code
    end
    if is_ok and number == nil then
        return nil, "the number is too large for this Lua to keep exactly", "UNSUPPORTED"
    end
    return is_ok and number or nil
end

local function write_options(value, lifetime, limit)
    return {lifetime, value == ABSENT, limit}
end

local function stored(value)
    if value == ABSENT then
        return nil
    end
    return value
end

-- A method that has a key, and an answer made by `answer`.
local function on_key(begin, answer)
    return function(self, key, opts)
        local handle = handle_of(self)
        check_key(key)
        check_read(opts)
        local limit, err, code = timeout_ms(opts and opts.timeout)
        if not limit then
            return nil, err, code
        end
        return answer(begin(handle, key, limit))
    end
end

-- A method that stores a value under a condition.
local function on_condition(begin)
    return function(self, key, value, opts)
        local handle = handle_of(self)
        check_key(key)
        check_value(value)
        opts = check_write(opts)
        local lifetime, limit, code = times_of(opts)
        if not lifetime then
            return nil, limit, code
        end
        return run(begin(handle, key, stored(value), write_options(value, lifetime, limit)))
    end
end

--- (key, value, opts) Stores a value where the key has none. Whether it was stored.
Cache.add = on_condition(core.coffer_op_add)

--- (key, value, opts) Stores a value where the key has one. Whether it was stored.
Cache.replace = on_condition(core.coffer_op_replace)

--- Stores a value where the key still holds the entry that get_entry gave this id for. Whether it
-- was stored.
function Cache:compare_and_set(key, entry_id, value, opts)
    local handle = handle_of(self)
    check_key(key)
    if type(entry_id) ~= "string" or #entry_id ~= 16 or entry_id:find("[^0-9a-f]") then
        error("coffer: an entry id is the entry_id of an entry", 2)
    end
    check_value(value)
    opts = check_write(opts)
    local lifetime, limit, code = times_of(opts)
    if not lifetime then
        return nil, limit, code
    end
    local options = write_options(value, lifetime, limit)
    return run(core.coffer_op_compare_and_set(handle, key, entry_id, stored(value), options))
end

local function same(...)
    return ...
end

local function seconds_left(...)
    local left_ms, err, code = run_number(...)
    if not left_ms then
        return nil, err, code
    end
    return left_ms < 0 and huge or left_ms / 1000
end

--- (key, opts) Deletes the key. Whether it was there.
Cache.delete = on_key(core.delete, same)

--- (key, opts) Whether get would find a value.
Cache.exists = on_key(core.coffer_op_exists, run)

--- (key, opts) Seconds that the value is still fresh; math.huge for ever; nil where there is none.
Cache.ttl = on_key(core.coffer_op_ttl, seconds_left)

--- (key, opts) Makes the value fresh for the namespace's TTL from now. Whether it was there.
Cache.touch = on_key(core.coffer_op_touch, run)

--- Makes the value fresh for `ttl` from now. Whether it was there.
function Cache:expire(key, ttl, opts)
    local handle = handle_of(self)
    check_key(key)
    if type(ttl) ~= "string" and type(ttl) ~= "number" then
        error("coffer: a TTL is seconds or text, not " .. type(ttl), 2)
    end
    check_read(opts)
    local lifetime, limit, code = times_of({ttl = ttl, timeout = opts and opts.timeout})
    if not lifetime then
        return nil, limit, code
    end
    return run(core.coffer_op_expire(handle, key, lifetime, limit))
end

-- ---- counters: apart from values; `get` of the same key does not see them ----

--- Adds to a counter (1 where nothing is said), which is made with 0 where there is none, and
-- answers it. Its TTL starts when it is made. Never sent twice: MAYBE_APPLIED where the answer was
-- lost.
function Cache:increment(key, delta, opts)
    local handle = handle_of(self)
    check_key(key)
    if delta == nil then
        delta = 1
    end
    if not arguments.is_integer(delta) then
        error("coffer: a delta is an integer", 2)
    end
    opts = check_write(opts)
    local lifetime, limit, code = times_of(opts)
    if not lifetime then
        return nil, limit, code
    end
    return run_number(core.coffer_op_increment(handle, key, delta, {lifetime, false, limit}))
end

--- (key, opts) The counter, or nil where there is none.
Cache.counter = on_key(core.coffer_op_counter, run_number)

--- (key, opts) Deletes the counter. Whether it was there.
Cache.reset_counter = on_key(core.coffer_op_reset_counter, run)

-- ---- many keys, in as few round trips as can be ----

--- The values that were found, by key; or nil, message, code and {key = code} of those that failed.
function Cache:get_many(keys, opts)
    local handle = handle_of(self)
    local list, count = check_keys(keys)
    check_read(opts)
    local limit, err, code = timeout_ms(opts and opts.timeout)
    if not limit then
        return nil, err, code
    end
    return core.get_many(handle, list, count, opts and opts.stale, limit)
end

--- Stores all pairs of a table. True; where it fails, the fourth value is {key = code} again.
function Cache:set_many(pairs_by_key, opts)
    local handle = handle_of(self)
    if type(pairs_by_key) ~= "table" then
        error("coffer: what is stored is a table of values by key, not " .. type(pairs_by_key), 2)
    end
    local keys, values, count = {}, {}, 0
    for key, value in pairs(pairs_by_key) do
        check_key(key)
        if value == ABSENT then
            error("coffer: set_many stores values; coffer.ABSENT is for set", 2)
        end
        check_value(value)
        count = count + 1
        keys[count], values[count] = key, value
    end
    opts = check_write(opts)
    local lifetime, limit, code = times_of(opts)
    if not lifetime then
        return nil, limit, code
    end
    return core.set_many(handle, keys, values, count, lifetime, limit)
end

--- Deletes all keys. How many were there; where it fails, the fourth value is {key = code} again.
function Cache:delete_many(keys, opts)
    local handle = handle_of(self)
    local list, count = check_keys(keys)
    check_read(opts)
    local limit, err, code = timeout_ms(opts and opts.timeout)
    if not limit then
        return nil, err, code
    end
    return core.delete_many(handle, list, count, limit)
end

-- ---- loading ----

-- The load whose loader is running, the innermost one. A loader cannot yield, so that loads end in
-- the reverse order of their beginning, each of which puts back what was there before. Weak: should
-- want of memory keep one from doing so, its load is collected, and so ended, all the same.
local running = setmetatable({false}, {__mode = "v"})

-- Runs the loader in a coroutine of its own, which is what finds a yield. Its value; or nil and
-- what it failed with.
local function run_loader(load, loader, key)
    local thread = co_create(loader)
    local outer = running[1]
    running[1] = load
    local is_done, value, fault = co_resume(thread, key)
    running[1] = outer
    if not is_done then
        return nil, value == nil and "the loader raised nil" or value
    end
    if co_status(thread) ~= "dead" then
        return nil, "the loader yielded: a blocking cache cannot wait for another coroutine"
    end
    if value == nil and fault ~= nil then
        return nil, fault
    end
    return value
end

-- Runs the loader and tells the core: value, err, source; and the load again where its loader has
-- to run once more.
local function load_once(load, loader, key, lifetime)
    local value, fault = run_loader(load, loader, key)
    if fault ~= nil then
        local stale, _, source = core.load_abort(load)
        if source then
            return stale, nil, source
        end
        return nil, fault, "LOAD_FAILED"
    end
    if value == ABSENT then
        value = nil
    end
    return core.load_supply(load, value, lifetime)
end

--- The value, or what loader(key) returns, stored for the next.
--
-- A loader that returns nil (or coffer.ABSENT) has found that there is no value: that is remembered
-- for the option negative_ttl, and answered as nil, nil, "negative". One that returns nil and an
-- error, or raises, has failed: nil, its error as it was, "LOAD_FAILED"; unless a stale value may
-- be served (option stale_ttl). A loaded value is not stored where the key was written or deleted
-- meanwhile. The loader may use the cache, but not load its own key (LOAD_RECURSIVE), and it may
-- not yield. The deadline does not count the loader's own time.
function Cache:get_or_load(key, loader, opts)
    local handle = handle_of(self)
    check_key(key)
    if type(loader) ~= "function" then
        error("coffer: a loader is a function, not " .. type(loader), 2)
    end
    opts = check_write(opts)
    local lifetime, limit, code = times_of(opts)
    if not lifetime then
        return nil, limit, code
    end
    local value, err, source, load = core.load_begin(handle, key, running[1] or nil, limit)
    while load do
        value, err, source, load = load_once(load, loader, key, lifetime)
    end
    return value, err, source
end

--- A function that answers as `call` does and remembers it: see coffer/cached.lua.
function Cache:cached(name, call, opts)
    local wrapped = cached(ABSENT, self, name, call, opts)
    return wrapped
end

-- ---- the rest ----

--- Joins parts with colons so that different parts never give the same key: coffer.key("a", "b:c")
-- is "a:b%3Ac".
function coffer.key(...)
    return (arguments.join(...))
end

function Cache.key(_, ...)
    return (arguments.join(...))
end

--- True where the server answers. Always with mem://.
function Cache:ping(opts)
    local handle = handle_of(self)
    check_read(opts)
    local limit, err, code = timeout_ms(opts and opts.timeout)
    if not limit then
        return nil, err, code
    end
    return run(core.coffer_op_ping(handle, limit))
end

--- What this namespace has done since it was opened: hits, misses, hit_ratio, ... and the tables
-- latency, refusals, store and pool.
function Cache:stats()
    return core.stats(self._handle)
end

require "coffer.control"(Cache)

--- Marks a table as an array and answers it: coffer.array{} is stored as [].
function coffer.array(items)
    if type(items) ~= "table" and items ~= nil then
        error("coffer: an array is a table, not " .. type(items), 2)
    end
    return core.array(items or {})
end

--- Every option there is: an array of {name, kind, default, environment, help, per_namespace,
-- secret}.
function coffer.options()
    return core.option_table()
end

return coffer
