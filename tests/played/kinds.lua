-- The operations of the transcripts through the calls that both of Lua's caches have: a function for each kind, which says what became of it.
--
--     kinds.run(player, "get", {key = "42"}, name)       {status = "OK", source = "remote", value = hexadecimal}
--     player: cache; set(key, value, options); load(name), which is the loader of an operation
local WELL = "OK|NOT_STORED" -- the language does not say which

local M = {}

function M.hex(text)
    return (text:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

function M.unhex(text)
    return ((text or ""):gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end))
end

local hex = M.hex

local function duration(ms)
    return ms and (ms == "18446744073709551615" and "forever" or ms .. "ms")
end

local function times_of(given)
    return {ttl = duration(given.ttl_ms), timeout = duration(given.timeout_ms)}
end

local function read_options(given)
    return {timeout = duration(given.timeout_ms), stale = given.stale == "1" or nil}
end

local function failed(message, code)
    return {status = code, says = hex(message)}
end

local function whether(answer, message, code)
    if answer == nil then
        return failed(message, code)
    end
    return {status = answer and "OK" or "MISS|NOT_STORED"}
end

local function integer(answer, message, code)
    if answer ~= nil then
        return {status = "OK", integer = ("%.0f"):format(answer)}
    end
    return message and failed(message, code) or {status = "MISS"}
end

-- What became of each of many, as far as it is told.
local function items_of(keys, others, codes)
    local items = {}
    for index, key in ipairs(keys) do
        items[index] = codes and codes[key] or others(key)
    end
    return table.concat(items, ",")
end

local function unknown()
    return "-"
end

local function keys_of(given)
    return {given.key, "second", "third"}
end

function M.fields_of(words, first)
    local fields = {}
    for index = first, #words do
        local name, value = words[index]:match("^([%w_]+)=(.*)$")
        fields[name] = value
    end
    return fields
end

function M.words_of(line)
    local words = {}
    for word in line:gmatch("%S+") do
        words[#words + 1] = word
    end
    return words
end

-- "end NAME STATUS FIELD=VALUE ..."
function M.ended(name, answer)
    local said = {"end", name, answer.status}
    answer.status = nil
    for field, value in pairs(answer) do
        said[#said + 1] = field .. "=" .. value
    end
    return table.concat(said, " ")
end

-- What stats() has at "topology.moved", as text.
function M.counted(stats, path)
    local counted = stats
    for part in path:gmatch("[^.]+") do
        counted = type(counted) == "table" and counted[part]
    end
    return type(counted) == "number" and ("%.0f"):format(counted) or "-"
end

local kinds = {}

function kinds.get(player, given)
    local value, message, source = player.cache:get(given.key, read_options(given))
    if value ~= nil then
        return {status = source == "stale" and "STALE" or "OK", source = source, value = hex(value)}
    end
    return message and failed(message, source) or {status = "MISS", source = source or "none"}
end

function kinds.set(player, given)
    local done, message, code = player.set(given.key, given.value, times_of(given))
    return done and {status = WELL} or failed(message, code)
end

function kinds.add(player, given)
    return whether(player.cache:add(given.key, given.value, times_of(given)))
end

function kinds.replace(player, given)
    return whether(player.cache:replace(given.key, given.value, times_of(given)))
end

function kinds.delete(player, given)
    return whether(player.cache:delete(given.key, read_options(given)))
end

function kinds.exists(player, given)
    return whether(player.cache:exists(given.key, read_options(given)))
end

function kinds.expire(player, given)
    return whether(player.cache:expire(given.key, duration(given.ttl_ms), read_options(given)))
end

function kinds.ttl(player, given)
    local left, message, code = player.cache:ttl(given.key, read_options(given))
    return integer(left and (left == math.huge and -1 or left * 1000), message, code)
end

function kinds.increment(player, given)
    return integer(player.cache:increment(given.key, tonumber(given.delta or 1), times_of(given)))
end

function kinds.counter(player, given)
    return integer(player.cache:counter(given.key, read_options(given)))
end

function kinds.get_many(player, given)
    local keys = keys_of(given)
    local found, message, code, codes = player.cache:get_many(keys, read_options(given))
    local answer = found and {status = "OK"} or failed(message, code)
    answer.items = items_of(keys, found and function(key) return found[key] and "OK" or "MISS" end or unknown, codes)
    return answer
end

function kinds.set_many(player, given)
    local pairs_by_key = {}
    for _, key in ipairs(keys_of(given)) do
        pairs_by_key[key] = given.value
    end
    local done, message, code, codes = player.cache:set_many(pairs_by_key, times_of(given))
    local answer = done and {status = WELL} or failed(message, code)
    answer.items = items_of(keys_of(given), unknown, codes)
    return answer
end

function kinds.delete_many(player, given)
    local count, message, code, codes = player.cache:delete_many(keys_of(given), read_options(given))
    local answer = integer(count, message, code)
    answer.items = items_of(keys_of(given), unknown, codes)
    return answer
end

function kinds.get_or_load(player, given, name)
    local value, message, source = player.cache:get_or_load(given.key, function() return player.load(name) end, read_options(given))
    if value ~= nil then
        return {status = source == "stale" and "STALE" or "OK", source = source, value = hex(value)}
    end
    return message and failed(message, source) or {status = "MISS", source = source}
end

function kinds.clear(player, given)
    return integer(player.cache:clear(read_options(given)))
end

function kinds.ping(player, given)
    return whether(player.cache:ping(read_options(given)))
end

--- What became of an operation of this kind.
function M.run(player, kind, given, name)
    return kinds[kind](player, given, name)
end

return M
