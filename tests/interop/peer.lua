--- What the interop tests ask of Lua: the lines that peer.c describes, through require "coffer".
--
-- A value to store is FORMAT:PAYLOAD (a string), lua:SOURCE (hex; an expression that makes it) or
-- `absent`. A value that was read is s:BYTES (a string), or v: and a text that peers.py makes too.
local coffer = require "coffer"

local ARRAY = getmetatable(coffer.array())
local cache

local function unhex(hex)
    return (hex:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function to_hex(bytes)
    return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

-- ---- values ----

local function show_number(number)
    if math.type and math.type(number) == "integer" then
        return ("%d"):format(number)
    end
    local text = ("%.17g"):format(number)
    if math.type and not text:find("[.en]") then
        text = text .. ".0"
    end
    return text
end

local show

local function show_table(value)
    local parts = {}
    if getmetatable(value) == ARRAY then
        for index, item in ipairs(value) do
            parts[index] = show(item)
        end
        return "[" .. table.concat(parts, ",") .. "]"
    end
    for key, item in pairs(value) do
        parts[#parts + 1] = show(key) .. ":" .. show(item)
    end
    table.sort(parts)
    return "{" .. table.concat(parts, ",") .. "}"
end

function show(value)
    if value == coffer.null then
        return "null"
    elseif type(value) == "string" then
        return '"' .. to_hex(value) .. '"'
    elseif type(value) == "number" then
        return show_number(value)
    elseif type(value) == "table" then
        return show_table(value)
    end
    return tostring(value)
end

local function shown(value)
    if type(value) == "string" then
        return "s:" .. to_hex(value)
    end
    return "v:" .. show(value)
end

local function value_of(word)
    if word == "absent" then
        return coffer.ABSENT
    end
    local kind, hex = word:match("^(%w+):(%x*)$")
    if kind ~= "lua" then
        return unhex(hex)
    end
    local make = assert((loadstring or load)("local coffer = ... return " .. unhex(hex)))
    return make(coffer)
end

-- ---- answers ----

local function answer_truth(is_done, _, code)
    if is_done == nil and code then
        return "error " .. code
    end
    return is_done and "ok" or "no"
end

local function answer_number(number, _, code)
    if number == nil then
        return code and "error " .. code or "no"
    end
    return ("number %.0f"):format(number)
end

local function answer_value(value, err, source)
    if err then
        return "error " .. source
    elseif value == nil then
        return "miss " .. (source or "none")
    end
    return "value " .. source .. " " .. shown(value)
end

-- ---- commands ----

local commands = {}

function commands.open(url, ...)
    local options, words = {}, {...}
    for index = 1, #words, 2 do
        options[words[index]] = unhex(words[index + 1])
    end
    if cache then
        cache:close()
    end
    local err, code
    cache, err, code = coffer.open(unhex(url), options)
    return answer_truth(cache and true, err, code)
end

for _, name in ipairs({"set", "add", "replace"}) do
    commands[name] = function(key, value, ttl)
        return answer_truth(cache[name](cache, unhex(key), value_of(value), {ttl = ttl and unhex(ttl)}))
    end
end

function commands.compare_and_set(key, id, value)
    return answer_truth(cache:compare_and_set(unhex(key), id, value_of(value)))
end

function commands.get(key)
    return answer_value(cache:get(unhex(key)))
end

function commands.stale(key)
    return answer_value(cache:get(unhex(key), {stale = true}))
end

function commands.id(key)
    local entry, err, code = cache:get_entry(unhex(key))
    return entry and "id " .. entry.entry_id or answer_truth(entry, err, code)
end

local function keys_of(...)
    local keys = {...}
    for index, key in ipairs(keys) do
        keys[index] = unhex(key)
    end
    return keys
end

function commands.get_many(...)
    local keys, answers = keys_of(...), {"many"}
    local found, err, code = cache:get_many(keys)
    if not found then
        return answer_truth(nil, err, code)
    end
    for index, key in ipairs(keys) do
        local value = found[key]
        answers[index + 1] = value == nil and "-" or shown(value)
    end
    return table.concat(answers, " ")
end

function commands.set_many(...)
    local words, values = {...}, {}
    for index = 1, #words, 2 do
        values[unhex(words[index])] = value_of(words[index + 1])
    end
    return answer_truth(cache:set_many(values))
end

for _, name in ipairs({"delete", "exists", "touch"}) do
    commands[name] = function(key)
        return answer_truth(cache[name](cache, unhex(key)))
    end
end

function commands.delete_many(...)
    return answer_number(cache:delete_many(keys_of(...)))
end

function commands.ttl(key)
    local left, err, code = cache:ttl(unhex(key))
    if left then
        left = left == math.huge and -1 or left * 1000
    end
    return answer_number(left, err, code)
end

function commands.expire(key, ttl)
    return answer_truth(cache:expire(unhex(key), unhex(ttl)))
end

function commands.increment(key, delta)
    return answer_number(cache:increment(unhex(key), tonumber(delta)))
end

function commands.counter(key)
    return answer_number(cache:counter(unhex(key)))
end

function commands.load(key, value)
    return answer_value(cache:get_or_load(unhex(key), function() return value_of(value) end))
end

function commands.refusals()
    local answers = {}
    for name, count in pairs(cache:stats().refusals) do
        answers[#answers + 1] = (" %s=%d"):format(name, count)
    end
    table.sort(answers)
    return "refusals" .. table.concat(answers)
end

-- Words may be empty: nothing between two blanks.
local function words_of(line)
    local words = {}
    for word in (line .. " "):gmatch("(.-) ") do
        words[#words + 1] = word
    end
    return words
end

local spread = table.unpack or unpack -- luacheck: globals unpack

for line in io.lines() do
    local words = words_of(line)
    local name = table.remove(words, 1)
    io.write(commands[name](spread(words)), "\n")
    io.flush()
end
if cache then
    cache:close()
end
