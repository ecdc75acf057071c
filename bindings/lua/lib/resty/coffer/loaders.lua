--- Loaders of callers, in the light threads that ask, where they may yield.

local arguments = require "coffer.arguments"
local core = require "coffer.core"

local pcall, type, pairs, setmetatable = pcall, type, pairs, setmetatable
local running_coroutine, get_info = coroutine.running, debug.getinfo

local DEEPEST = 200 -- frames that are looked at

local loaders = {}

-- The load whose loader is running, by coroutine (0: not in one): a loader that loads another key
-- in a light thread of its own is not known as that key's parent. And the coroutine by load. Weak
-- in both: what is in use is held by the coroutine's stack.
local load_of = setmetatable({}, {__mode = "kv"})
local thread_of = setmetatable({}, {__mode = "kv"})

--- The load whose loader runs here, or nil.
function loaders.current()
    return load_of[running_coroutine() or 0]
end

-- What the loader said about its TTL, in milliseconds: -1 for a value that is not to be kept. Or
-- nil and why it says nothing.
local function lifetime_of(ttl)
    if type(ttl) ~= "number" and type(ttl) ~= "string" then
        return nil, "the TTL that the loader returned is a " .. type(ttl)
    end
    if type(ttl) == "number" and ttl < 0 then
        return -1
    end
    local lifetime, err = arguments.times_of({ttl = ttl})
    if not lifetime then
        return nil, err
    end
    return lifetime
end

--- For coffer/operations.lua: the value, or nil and what it failed with; then its TTL.
function loaders.call(load, loader, ...)
    local thread = running_coroutine() or 0
    local outer = load_of[thread]
    load_of[thread], thread_of[load] = load, thread
    local is_done, value, fault, ttl = pcall(loader, ...)
    load_of[thread], thread_of[load] = outer, nil
    if not is_done then
        return nil, value == nil and "the loader raised nil" or value
    end
    if value == nil and fault ~= nil then
        return nil, fault
    end
    if ttl == nil then
        return value
    end
    local lifetime, err = lifetime_of(ttl)
    return value, err, lifetime
end

-- Whether a loader is still on the stack of this coroutine. The stacks of requests that have ended
-- are emptied, and may be another's since.
local function is_at_it(thread)
    for level = 0, DEEPEST do
        local info = get_info(thread, level, "f")
        if not info then
            return false
        end
        if info.func == loaders.call then
            return true
        end
    end
    return true
end

--- Ends the loads whose loaders have vanished, so that those who wait for them go on.
function loaders.drop_dead()
    local here = running_coroutine()
    for load, thread in pairs(thread_of) do
        if thread ~= 0 and thread ~= here and not is_at_it(thread) then
            thread_of[load] = nil
            core.drop(load)
        end
    end
end

return loaders
