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
local core = require "coffer.core"
local opening = require "coffer.opening"
local operations = require "coffer.operations"

local type, error, pairs = type, error, pairs
local setmetatable, getmetatable = setmetatable, getmetatable
local co_create, co_resume, co_status = coroutine.create, coroutine.resume, coroutine.status

local coffer = {version = core.coffer_version()}

--- What is known not to exist: `set` stores it, a loader may return it.
coffer.ABSENT = arguments.ABSENT

--- JSON's null, the same as cjson.null and ngx.null.
coffer.null = arguments.null

local Cache = {}
Cache.__index = Cache

-- ---- who may call ----

local BLOCKING_PHASES_ALLOWED = {init = true, init_worker = true}

-- Inside nginx a call that waits would stop the worker and all its requests.
local function refuse_in_request(cache)
    local phase = ngx.get_phase() -- luacheck: globals ngx
    if not BLOCKING_PHASES_ALLOWED[phase] and not core.is_local(cache._handle) then
        local instead = '; require "resty.coffer" has the same calls for nginx'
        local why = "coffer: a blocking call would stop this nginx worker (phase " .. phase .. ")"
        error(why .. instead, 4)
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

local function wrap(handle, credentials, kept)
    if credentials then
        core.ask(handle, credentials)
    end
    local does_keep, err, code = operations.keep_objects(handle, kept)
    if not does_keep then
        return nil, err, code
    end
    return setmetatable({
        _handle = handle,
        _children = setmetatable({}, {__mode = "k"}),
        _credentials = credentials,
        _kept = kept,
    }, Cache)
end

--- Opens a cache: mem://, redis://user:password@host:port/db, rediss:// (TLS), unix:///path?db=0.
--
-- opts: prefix, namespace, ttl and every other option by its name (coffer.options() lists them).
-- With from_environment = true COFFER_<OPTION> and the usual names (REDIS_URL, ...) are read first.
-- credentials: a function, called at each connect, that returns a password, or user name and
-- password. It may neither use this cache nor yield; where it fails the call answers CREDENTIALS.
-- near_objects: so many values are kept for as long as the near cache (option near, or mem://)
-- holds what they were made of, and get answers the same table again: copy what you change.
-- No connection is made before the first call that needs one.
function coffer.open(url, opts)
    if url ~= nil and type(url) ~= "string" then
        error("coffer: a URL is a string, not " .. type(url), 2)
    end
    opts = arguments.options_table(opts)
    local credentials = arguments.take_credentials(opts)
    local kept = arguments.take_kept(opts) or 0
    local wanted, err, code = opening.options(url, opts)
    if not wanted then
        return nil, err, code
    end
    local handle
    handle, err, code = core.coffer_open(wanted)
    if not handle then
        return nil, err, code
    end
    return wrap(handle, credentials, kept)
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
    local kept = arguments.take_kept(opts) or self._kept
    local handle, err, code = opening.namespace(self._handle, name, opts)
    if not handle then
        return nil, err, code
    end
    local child
    child, err, code = wrap(handle, self._credentials, kept)
    if not child then
        return nil, err, code
    end
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

Cache.__close = Cache.close -- local cache <close> = ...

function Cache:__tostring()
    if self:closed() then
        return "coffer.Cache (closed)"
    end
    local prefix, namespace = self:option("prefix"), self:option("namespace")
    return ("coffer.Cache (prefix=%s namespace=%s)"):format(prefix, namespace)
end

-- ---- operations ----

-- The load whose loader is running, the innermost one. A loader cannot yield, so that loads end in
-- the reverse order of their beginning, each of which puts back what was there before. Weak: should
-- want of memory keep one from doing so, its load is collected, and so ended, all the same.
local running = setmetatable({false}, {__mode = "v"})

-- Runs the loader in a coroutine of its own, which is what finds a yield. Its value; or nil and
-- what it failed with.
local function call_loader(load, loader, key)
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

operations.add_to(Cache, {
    handle_of = handle_of,
    get = core.get,
    entry = core.entry,
    set = core.set,
    delete = core.delete,
    get_many = core.get_many,
    set_many = core.set_many,
    delete_many = core.delete_many,
    finish = core.op_finish,
    finish_write = core.op_finish,
    load_begin = core.load_begin,
    load_supply = core.load_supply,
    load_abort = core.load_abort,
    call_loader = call_loader,
    loading = function() return running[1] or nil end,
})

--- Joins parts with colons so that different parts never give the same key: coffer.key("a", "b:c")
-- is "a:b%3Ac".
function coffer.key(...)
    return (arguments.join(...))
end

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
