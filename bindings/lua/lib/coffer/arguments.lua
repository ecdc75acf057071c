--- What goes in: what is misuse is raised at the caller of the method that asked (level 3); what
-- may come from data is answered.

local core = require "coffer.core"

local type, error, tostring = type, error, tostring
local pairs, ipairs, select = pairs, ipairs, select
local floor, ceil, huge = math.floor, math.ceil, math.huge
local null = core.json_value("[null]")[1]

local arguments = {null = null}

arguments.ABSENT = setmetatable({}, {
    __tostring = function() return "coffer.ABSENT" end,
    __metatable = false,
})

local STORABLE = {string = true, number = true, boolean = true, table = true}
local READ_FIELDS = {timeout = {number = true, string = true}, stale = {boolean = true}}
local WRITE_FIELDS = {timeout = READ_FIELDS.timeout, ttl = READ_FIELDS.timeout}

function arguments.check_key(key)
    if type(key) ~= "string" then
        error("coffer: a key is a string, not " .. type(key), 3)
    end
end

function arguments.check_value(value)
    if not STORABLE[type(value)] and value ~= null then
        local allowed = "a string, number, boolean, table or coffer.null"
        local hint = value == nil and " (to store that there is none: coffer.ABSENT)" or ""
        error("coffer: a value is " .. allowed .. ", not " .. type(value) .. hint, 3)
    end
end

local function check_fields(opts, fields)
    if opts == nil then
        return
    end
    if type(opts) ~= "table" then
        error("coffer: options are a table, not " .. type(opts), 4)
    end
    for name, value in pairs(opts) do
        if not fields[name] then
            error("coffer: this call has no option " .. tostring(name), 4)
        end
        if not fields[name][type(value)] then
            error("coffer: option " .. name .. " cannot be a " .. type(value), 4)
        end
    end
end

--- Raises at the caller of the method that asked, directly.
function arguments.check_fields(opts, fields)
    check_fields(opts, fields)
end

function arguments.check_read(opts)
    check_fields(opts, READ_FIELDS)
end

-- A write's options as a table: they may be given as the TTL alone.
function arguments.check_write(opts)
    if type(opts) == "string" or type(opts) == "number" then
        return {ttl = opts}
    end
    check_fields(opts, WRITE_FIELDS)
    return opts
end

function arguments.check_keys(keys)
    if type(keys) ~= "table" then
        error("coffer: keys are an array of strings, not " .. type(keys), 3)
    end
    local copy, total = {}, 0
    for index, key in ipairs(keys) do
        if type(key) ~= "string" then
            error("coffer: a key is a string, not " .. type(key), 3)
        end
        copy[index] = key
    end
    for _ in pairs(keys) do
        total = total + 1
    end
    if total ~= #copy then
        error("coffer: keys are an array of strings", 3)
    end
    return copy, #copy
end

-- ---- times: what can be wrong here may come from data, so it is answered: nil, message, code ----

local function ttl_ms(ttl)
    if ttl == nil then
        return 0
    end
    if type(ttl) == "string" then
        return core.coffer_ttl_parse(ttl)
    end
    return core.coffer_ttl_from_seconds(ttl)
end

function arguments.timeout_ms(timeout)
    local parsed, err, code = ttl_ms(timeout)
    if parsed == huge then
        return nil, "a timeout cannot be for ever", "ARG"
    end
    return parsed, err, code
end

-- The TTL and the deadline of a call in milliseconds, 0 for the cache's own; or nil, message, code.
function arguments.times_of(opts)
    if not opts then
        return 0, 0
    end
    local lifetime, err, code = ttl_ms(opts.ttl)
    if not lifetime then
        return nil, err, code
    end
    local limit
    limit, err, code = arguments.timeout_ms(opts.timeout)
    if not limit then
        return nil, err, code
    end
    return lifetime, limit
end

-- ---- options of a cache ----

function arguments.options_table(opts)
    if opts ~= nil and type(opts) ~= "table" then
        error("coffer: options are a table, not " .. type(opts), 3)
    end
    local copy = {}
    for name, value in pairs(opts or {}) do
        copy[name] = value
    end
    return copy
end

--- Takes the function `credentials` out of the options of coffer.open.
function arguments.take_credentials(opts)
    local credentials = opts.credentials
    opts.credentials = nil
    if credentials ~= nil and type(credentials) ~= "function" then
        error("coffer: credentials is a function, not " .. type(credentials), 3)
    end
    return credentials
end

local KEPT_MOST = 10000000

--- How many values are kept: the option near_objects, which is taken out of the options; nil where
-- it is not there. Raises at `level`, of the caller's caller without it.
function arguments.take_kept(opts, level)
    local count = opts.near_objects
    opts.near_objects = nil
    if count ~= nil and not (arguments.is_integer(count) and count >= 0 and count <= KEPT_MOST) then
        error("coffer: near_objects is an integer from 0 to 10000000", level or 3)
    end
    return count
end

local function option_text(name, value)
    local kind = type(value)
    if kind == "boolean" or kind == "string" then
        return tostring(value)
    end
    if kind ~= "number" then
        error("coffer: option " .. name .. " is a string, number or boolean, not " .. kind, 5)
    end
    if value == floor(value) and value > -2 ^ 53 and value < 2 ^ 53 then
        return ("%.0f"):format(value)
    end
    return value > 0 and value < 2 ^ 53 and ("%.0fms"):format(ceil(value * 1000)) or tostring(value)
end

function arguments.apply(wanted, opts)
    for name, value in pairs(opts or {}) do
        if type(name) ~= "string" then
            error("coffer: options are given by name", 4)
        end
        local done, err, code = core.coffer_options_set(wanted, name, option_text(name, value))
        if not done then
            return nil, err, code
        end
    end
    return true
end

-- ---- numbers, joined keys ----

function arguments.is_integer(number)
    if type(number) ~= "number" or number ~= floor(number) then
        return false
    end
    if math.type then
        return math.tointeger(number) ~= nil
    end
    return number >= -2 ^ 53 and number <= 2 ^ 53
end

local function key_part(part)
    if type(part) == "string" then
        return (part:gsub("[%%:]", {["%"] = "%25", [":"] = "%3A"}))
    end
    if not arguments.is_integer(part) then
        error("coffer: a part of a key is a string or an integer", 4)
    end
    return ("%d"):format(part)
end

function arguments.join(...)
    local count = select("#", ...)
    if count == 0 then
        error("coffer: a key needs at least one part", 3)
    end
    local parts = {...}
    for index = 1, count do
        parts[index] = key_part(parts[index])
    end
    return table.concat(parts, ":")
end

return arguments
