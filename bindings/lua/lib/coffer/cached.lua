--- A function whose answers are remembered: cache:cached(name, call, opts).

local arguments = require "coffer.arguments"

local type, error, pcall, select, setmetatable = type, error, pcall, select, setmetatable
local unpack = table.unpack or unpack -- luacheck: globals unpack

local Cached = {}

function Cached.__call(self, ...)
    local key = arguments.join(self.name, ...)
    local count, given = select("#", ...), {...}
    return self.cache:get_or_load(key, function()
        return self.call(unpack(given, 1, count))
    end, self.opts)
end

--- Answers like `call`, through get_or_load; its arguments are strings and integers, and with
-- `name` make the key. Besides being called it has three functions, each of the same arguments:
--
--     local user = cache:cached("user", function(id) return db:user(id) end, "10m")
--     user(42)               loads, then hits: value, err, source
--     user.key(42)           "user:42"
--     user.invalidate(42)    deletes it
--     user.refresh(42)       runs the function and stores: value, nil, "loaded"
--
-- store(cache, key, value, opts): as coffer.Cache's set.
return function(absent, store, cache, name, call, opts)
    if type(name) ~= "string" then
        error("coffer: the name of a cached function is a string, not " .. type(name), 3)
    end
    if type(call) ~= "function" then
        error("coffer: what is cached is a function, not " .. type(call), 3)
    end
    opts = arguments.check_write(opts)
    local self = {cache = cache, name = name, call = call, opts = opts}

    function self.key(...)
        return (arguments.join(name, ...))
    end

    function self.invalidate(...)
        return cache:delete((arguments.join(name, ...)))
    end

    function self.refresh(...)
        local key = arguments.join(name, ...)
        local is_done, value, fault = pcall(call, ...)
        if not is_done or (value == nil and fault ~= nil) then
            return nil, is_done and fault or value, "LOAD_FAILED"
        end
        local stored, err, code = store(cache, key, value == nil and absent or value, opts)
        if not stored then
            return nil, err, code
        end
        return value, nil, value == nil and "negative" or "loaded"
    end

    return setmetatable(self, Cached)
end
