--- How a cache is, and turning it off and on while the program runs: methods of coffer.Cache.

local arguments = require "coffer.arguments"
local core = require "coffer.core"

local type, error, pairs, tostring = type, error, pairs, tostring

local HEALTH_FIELDS = {active = "boolean", timeout = true}
local TURN_FIELDS = {everything = "boolean", operation = "string"}

-- Called by a method directly, so that level 3 is the method's caller.
local function check(opts, known)
    if opts == nil then
        return {}
    end
    if type(opts) ~= "table" then
        error("coffer: options are a table, not " .. type(opts), 3)
    end
    for name, value in pairs(opts) do
        if not known[name] then
            error("coffer: there is no option " .. tostring(name) .. " of this call", 3)
        end
        if known[name] ~= true and type(value) ~= known[name] then
            error("coffer: " .. name .. " is a " .. known[name] .. ", not " .. type(value), 3)
        end
    end
    if opts.everything and opts.operation then
        error("coffer: an operation is turned off and on in one namespace, not everywhere", 3)
    end
    return opts
end

local function status_of(status, err, code)
    if not status then
        return nil, err, code
    end
    return status == core.COFFER_OK
end

local function turn(cache, opts, is_on)
    if not opts.operation then
        local scope = opts.everything and core.COFFER_SCOPE_ALL or core.COFFER_SCOPE_NAMESPACE
        return status_of(core.coffer_turn(cache._handle, scope, is_on))
    end
    local operation = core.coffer_operation_of(opts.operation)
    local status, err, code = core.coffer_turn_operation(cache._handle, operation, is_on)
    if not status then
        return nil, err, code
    end
    if status ~= core.COFFER_OK then
        return nil, "there is no operation " .. opts.operation, "ARG"
    end
    return true
end

return function(Cache)
    --- How the cache is: {state = "healthy" | "degraded" | "down", reasons, endpoints, owed_keys,
    -- lost_keys}. It tells what the last operations met; with {active = true} the server is asked
    -- first, at most for {timeout =}.
    function Cache:health(opts)
        opts = check(opts, HEALTH_FIELDS)
        if opts.active then
            self:ping({timeout = opts.timeout})
        end
        return core.health(self._handle)
    end

    --- Turns caching off in this namespace: reads are misses, loaders run, nothing is written. With
    -- {everything = true} in all namespaces of this connection; with {operation = "get"} only that
    -- one here. Keys written meanwhile are deleted on the server when it is on again. True.
    function Cache:turn_off(opts)
        return turn(self, check(opts, TURN_FIELDS), false)
    end

    --- Ends a turn_off with the same options. True.
    function Cache:turn_on(opts)
        return turn(self, check(opts, TURN_FIELDS), true)
    end

    --- Only this share of the keys, 0 to 100 percent, is cached in this namespace: always the same
    -- keys, in every process and language. True.
    function Cache:set_share(percent)
        if not arguments.is_integer(percent) or percent < 0 or percent > 100 then
            error("coffer: a share is an integer from 0 to 100", 2)
        end
        return status_of(core.coffer_turn_share(self._handle, percent))
    end
end
