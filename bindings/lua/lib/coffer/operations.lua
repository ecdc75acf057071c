--- The operations, as methods of a class whose objects have a `_handle`: of coffer.Cache, which
-- blocks, and of resty.coffer's. What differs is how an op is run, which `run` says:
--
--     handle_of(cache)         its handle; raises where it is none or may not be used now, at the
--                              caller of the method (level 3)
--     get, entry, set, delete, get_many, set_many, delete_many, load_begin, load_supply,
--     load_abort               as in coffer.core
--     finish, finish_write     core.op_finish; finish_write of ops whose answer is not missed much
--     call_loader(load, loader, ...)   its value, or nil and what it failed with; then its TTL
--     loading()                the load whose loader is running, or nil
--
-- It is given `read_or_begin` (handle, key, limit): load_begin, of what is not near.
--
-- `finish_write` may answer a third value, which the caller gets instead of a number.

local arguments = require "coffer.arguments"
local cached = require "coffer.cached"
local control = require "coffer.control"
local core = require "coffer.core"
local near = require "coffer.near"

local type, error, pairs, ipairs, huge = type, error, pairs, ipairs, math.huge

local check_key, check_keys = arguments.check_key, arguments.check_keys
local check_value = arguments.check_value
local check_read, check_write = arguments.check_read, arguments.check_write
local timeout_ms, times_of = arguments.timeout_ms, arguments.times_of
local ABSENT = arguments.ABSENT

local OK = core.COFFER_OK

-- ---- what they share ----

-- Two functions that run an op which a generated function made: whether its status is OK; and the
-- number alone, nil where it is not. Or nil, message, code.
local function finishers(finish)
    local function is_done(op, err, code)
        if not op then
            return nil, err, code
        end
        local status, number, name = finish(op)
        if not status then
            return nil, number, name
        end
        return status == OK, nil, name
    end

    local function number_of(op, err, code)
        if not op then
            return nil, err, code
        end
        local status, number, name = finish(op)
        if not status then
            return nil, number, name
        end
        if name then
            return true, nil, name
        end
        if status == OK and number == nil then
            return nil, "the number is too large for this Lua to keep exactly", "UNSUPPORTED"
        end
        return status == OK and number or nil
    end

    return is_done, number_of
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
local function on_key(handle_of, begin, answer)
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
local function on_condition(handle_of, begin, is_done)
    return function(self, key, value, opts)
        local handle = handle_of(self)
        check_key(key)
        check_value(value)
        opts = check_write(opts)
        local lifetime, limit, code = times_of(opts)
        if not lifetime then
            return nil, limit, code
        end
        return is_done(begin(handle, key, stored(value), write_options(value, lifetime, limit)))
    end
end

local function same(...)
    return ...
end

-- ---- one key ----

local function add_reads(Cache, run)
    local handle_of, entry_of = run.handle_of, run.entry
    local get = near.before("get", run.get)
    local is_done, number_of = finishers(run.finish)

    local function seconds_left(...)
        local left_ms, err, code = number_of(...)
        if not left_ms then
            return nil, err, code
        end
        return left_ms < 0 and huge or left_ms / 1000
    end

    --- The value. opts.stale: a value past its freshness is answered too.
    function Cache:get(key, opts)
        local handle = handle_of(self)
        check_key(key)
        if not opts then
            return get(handle, key)
        end
        check_read(opts)
        local limit, err, code = timeout_ms(opts.timeout)
        if not limit then
            return nil, err, code
        end
        return get(handle, key, opts.stale, limit)
    end

    --- The value with all that is known about it: {value, source, entry_id, created, fresh,
    -- expires, load_cost, format}. Times are unix seconds by the server's clock. A remembered
    -- absence is an entry whose value is coffer.ABSENT.
    function Cache:get_entry(key, opts)
        local handle = handle_of(self)
        check_key(key)
        check_read(opts)
        local limit, err, code = timeout_ms(opts and opts.timeout)
        if not limit then
            return nil, err, code
        end
        local entry
        entry, err, code = entry_of(handle, key, opts and opts.stale, limit)
        if entry == nil then
            return nil, err, code
        end
        if entry.value == nil then
            entry.value = ABSENT
        end
        return entry, nil, entry.source
    end

    --- (key, opts) Whether get would find a value.
    Cache.exists = on_key(handle_of, core.coffer_op_exists, is_done)

    --- (key, opts) Seconds that the value is still fresh; math.huge for ever; nil where there is
    -- none.
    Cache.ttl = on_key(handle_of, core.coffer_op_ttl, seconds_left)
end

local function add_writes(Cache, run)
    local handle_of, set = run.handle_of, run.set
    local is_done = finishers(run.finish_write)

    --- Stores a value, or with coffer.ABSENT that there is none. opts: {ttl =, timeout =}, or the
    -- TTL alone. True.
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
        return set(handle, key, value, lifetime, limit)
    end

    --- (key, opts) Deletes the key. Whether it was there.
    Cache.delete = on_key(handle_of, run.delete, same)

    --- (key, opts) Makes the value fresh for the namespace's TTL from now. Whether it was there.
    Cache.touch = on_key(handle_of, core.coffer_op_touch, is_done)

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
        return is_done(core.coffer_op_expire(handle, key, lifetime, limit))
    end
end

local function add_conditions(Cache, run)
    local handle_of = run.handle_of
    local is_done = finishers(run.finish)

    --- (key, value, opts) Stores a value where the key has none. Whether it was stored.
    Cache.add = on_condition(handle_of, core.coffer_op_add, is_done)

    --- (key, value, opts) Stores a value where the key has one. Whether it was stored.
    Cache.replace = on_condition(handle_of, core.coffer_op_replace, is_done)

    --- Stores a value where the key still holds the entry that get_entry gave this id for. Whether
    -- it was stored.
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
        local begin, options = core.coffer_op_compare_and_set, write_options(value, lifetime, limit)
        return is_done(begin(handle, key, entry_id, stored(value), options))
    end
end

-- ---- counters: apart from values; `get` of the same key does not see them ----

local function add_counters(Cache, run)
    local handle_of = run.handle_of
    local _, number_of = finishers(run.finish)
    local is_written, number_written = finishers(run.finish_write)

    --- Adds to a counter (1 where nothing is said), which is made with 0 where there is none, and
    -- answers it. Its TTL starts when it is made. Never sent twice: MAYBE_APPLIED where the answer
    -- was lost.
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
        local options = {lifetime, false, limit}
        return number_written(core.coffer_op_increment(handle, key, delta, options))
    end

    --- (key, opts) The counter, or nil where there is none.
    Cache.counter = on_key(handle_of, core.coffer_op_counter, number_of)

    --- (key, opts) Deletes the counter. Whether it was there.
    Cache.reset_counter = on_key(handle_of, core.coffer_op_reset_counter, is_written)
end

-- ---- many keys, in as few round trips as can be ----

local function add_batches(Cache, run)
    local handle_of = run.handle_of

    --- The values that were found, by key; or nil, message, code and {key = code} of those that
    -- failed.
    function Cache:get_many(keys, opts)
        local handle = handle_of(self)
        local list, count = check_keys(keys)
        check_read(opts)
        local limit, err, code = timeout_ms(opts and opts.timeout)
        if not limit then
            return nil, err, code
        end
        return run.get_many(handle, list, count, opts and opts.stale, limit)
    end

    --- Stores all pairs of a table. True; where it fails, the fourth value is {key = code} again.
    function Cache:set_many(pairs_by_key, opts)
        local handle = handle_of(self)
        if type(pairs_by_key) ~= "table" then
            local given = type(pairs_by_key)
            error("coffer: what is stored is a table of values by key, not " .. given, 2)
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
        return run.set_many(handle, keys, values, count, lifetime, limit)
    end

    --- Deletes all keys. How many were there; where it fails, the fourth value is {key = code}
    -- again.
    function Cache:delete_many(keys, opts)
        local handle = handle_of(self)
        local list, count = check_keys(keys)
        check_read(opts)
        local limit, err, code = timeout_ms(opts and opts.timeout)
        if not limit then
            return nil, err, code
        end
        return run.delete_many(handle, list, count, limit)
    end
end

local function add_clear(Cache, run)
    local handle_of = run.handle_of
    local _, number_deleted = finishers(run.finish_write)

    --- Deletes everything in this namespace: values, remembered absences and counters. How many
    -- keys were deleted. opts: timeout, for the whole; without it each page of the server's keys
    -- may take the option timeout, and the whole ten minutes. It fails where the server is away,
    -- whatever on_outage says, and while caching is turned off; what was deleted by then stays
    -- deleted.
    function Cache:clear(opts)
        local handle = handle_of(self)
        check_read(opts)
        local limit, err, code = timeout_ms(opts and opts.timeout)
        if not limit then
            return nil, err, code
        end
        return number_deleted(core.coffer_op_clear(handle, limit))
    end
end

-- ---- loading ----

-- Runs the loader and tells the core: value, err, source; and the load again where its loader has
-- to run once more. `absent_lifetime`: of an absence.
local function load_once(run, load, lifetime, absent_lifetime, loader, ...)
    local value, fault, own_lifetime = run.call_loader(load, loader, ...)
    if fault ~= nil then
        local stale, _, source = run.load_abort(load)
        if source then
            return stale, nil, source
        end
        return nil, fault, "LOAD_FAILED"
    end
    if value == ABSENT then
        value = nil
    end
    if own_lifetime and own_lifetime < 0 then -- not to be kept
        core.drop(load)
        return value, nil, value == nil and "negative" or "loaded"
    end
    lifetime = own_lifetime or value == nil and absent_lifetime or lifetime
    return run.load_supply(load, value, lifetime)
end

local operations = {}

--- A new handle keeps so many decoded objects (near_objects; 0: none). Where it cannot it is
-- closed: nil, message, code.
function operations.keep_objects(handle, kept)
    if kept > 0 then
        local values, err, code = core.keep_objects(handle, kept)
        if not values then
            core.close(handle)
            return nil, err, code
        end
        near.kept(handle, values)
    end
    return true
end

--- A load whose loader has to run: value, err, source.
function operations.go_on(run, load, lifetime, absent_lifetime, loader, ...)
    local value, err, source
    while load do
        value, err, source, load = load_once(run, load, lifetime, absent_lifetime, loader, ...)
    end
    return value, err, source
end

--- The value of a key, or what loader(...) returns: value, err, source.
function operations.load(run, handle, key, lifetime, absent_lifetime, limit, loader, ...)
    local value, err, source, load = run.read_or_begin(handle, key, limit)
    if load then
        return operations.go_on(run, load, lifetime, absent_lifetime, loader, ...)
    end
    return value, err, source
end

local function add_loads(Cache, run)
    local handle_of, load, store = run.handle_of, operations.load, Cache.set

    --- The value, or what loader(key) returns, stored for the next.
    --
    -- A loader that returns nil (or coffer.ABSENT) has found that there is no value: that is
    -- remembered for the option negative_ttl, and answered as nil, nil, "negative". One that
    -- returns nil and an error, or raises, has failed: nil, its error as it was, "LOAD_FAILED";
    -- unless a stale value may be served (option stale_ttl). A loaded value is not stored where the
    -- key was written or deleted meanwhile. The loader may use the cache, but not load its own key
    -- (LOAD_RECURSIVE); it may yield where a call may (resty.coffer). The deadline does not count
    -- the loader's own time.
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
        return load(run, handle, key, lifetime, lifetime, limit, loader, key)
    end

    --- A function that answers as `call` does and remembers it: see coffer/cached.lua.
    function Cache:cached(name, call, opts)
        local wrapped = cached(ABSENT, store, self, name, call, opts)
        return wrapped
    end
end

-- ---- the rest ----

local function add_rest(Cache, run)
    local handle_of = run.handle_of
    local is_done = finishers(run.finish)

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
        return is_done(core.coffer_op_ping(handle, limit))
    end

    --- What this namespace has done since it was opened: hits, misses, hit_ratio, ... and the
    -- tables latency, refusals, store and pool.
    function Cache:stats()
        return core.stats(self._handle)
    end

    --- Whether it was closed.
    function Cache:closed()
        return core.is_closed(self._handle)
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
end

-- What is near needs no load, and is not asked for whose loader is running.
local function reader(run)
    return near.before("get_or_load", function(handle, key, limit, _, is_looked_for)
        return run.load_begin(handle, key, run.loading(), limit, is_looked_for)
    end)
end

--- Gives the class its methods.
function operations.add_to(Cache, run)
    run.read_or_begin = reader(run)
    add_reads(Cache, run)
    add_writes(Cache, run)
    add_conditions(Cache, run)
    add_counters(Cache, run)
    add_batches(Cache, run)
    add_clear(Cache, run)
    add_loads(Cache, run)
    add_rest(Cache, run)
    control(Cache)
end

return operations
