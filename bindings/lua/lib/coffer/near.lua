--- What is near (the option near, mem://), found without a call that LuaJIT cannot compile: there,
-- and in OpenResty, by its FFI. Where there is no FFI, or the compiler is off, core's own calls
-- look for it, and answer the same.
--
-- Handles are those of caches of ours: the FFI does not ask what a userdata is.

local core = require "coffer.core"

local pcall, type, tonumber, setmetatable = pcall, type, tonumber, setmetatable

local near = {}

-- By handle: its values, as native_near.h has them. Weak: they go with the handle.
local values_of = setmetatable({}, {__mode = "kv"})

--- The values that core.keep_objects will keep for this handle.
function near.kept(handle, values)
    values_of[handle] = values
end

-- The FFI, what it shares with C, and the userdata in which that is; nil where it cannot be had.
local function shared_with_c()
    local jit = rawget(_G, "jit")
    if type(jit) ~= "table" or not jit.status() or not core.near_shared then
        return nil
    end
    local is_there, ffi = pcall(require, "ffi")
    if not is_there then
        return nil
    end
    local held, text, size = core.near_shared()
    local is_known, its = pcall(ffi.typeof, text)
    if not is_known or ffi.sizeof(its) ~= size then
        return nil
    end
    return ffi, ffi.cast(ffi.typeof("$ *", its), held), held
end

local ffi, shared, held = shared_with_c()

if not ffi then
    --- What looks for a key as this operation ("get", "get_or_load"), and then asks:
    -- ask(handle, key, a, b, whether it was looked for).
    function near.before(_, ask)
        return ask
    end
    return near
end

local look, confirms, to_string = shared.look, shared.confirms, ffi.string
local near_found = core.near_found
local ASK, FOUND, NEGATIVE = shared.ask, shared.found, shared.negative

-- The value that is kept for the key, where its entry is still there.
local function kept_value(values, operation, handle, key)
    local one = values[key]
    if not one then
        return nil
    end
    local is_there = confirms(shared, handle, key, #key, operation, one[2])
    if values[key] ~= one then -- a collector that reads has put another into its slot
        return nil
    end
    if not is_there then
        one[1] = nil
    end
    return one[1]
end

-- What `look` has found, other than plain text: whether it is an answer, and value, err, source.
local function other(found, handle, key)
    if found == ASK then
        return false
    end
    if found == FOUND then
        return true, near_found(handle, key, held)
    end
    return true, nil, nil, found == NEGATIVE and "negative" or nil
end

-- Nothing between `look` and `is_busy = false` may be left out: until then all others ask by an op.
local function find(operation, handle, key)
    local values = values_of[handle]
    if values then
        local value = kept_value(values, operation, handle, key)
        if value ~= nil then
            return true, value, nil, "near"
        end
    end
    local found = look(shared, handle, key, #key, operation)
    if found < 0 then
        return other(found, handle, key)
    end
    local value = to_string(shared.data, found)
    shared.is_busy = false
    return true, value, nil, "near"
end

function near.before(name, ask)
    local operation = tonumber(shared[name])

    local function answer(handle, key, a, b, is_found, value, err, source)
        if is_found then
            return value, err, source
        end
        return ask(handle, key, a, b, true)
    end

    return function(handle, key, a, b)
        return answer(handle, key, a, b, find(operation, handle, key))
    end
end

return near
