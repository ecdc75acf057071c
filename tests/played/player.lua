-- The blocking driver of Lua as the transcripts play it: the lines of player.c, through the module's public face. A call blocks, so that lines
-- are read between calls and while a loader runs; the clock is moved by a thread (ticking.c), which reads the times from the file PLAYED_CLOCK.
local coffer = require "coffer"
assert(require "ticking")

local WELL = "OK|NOT_STORED" -- the language does not say which
local cache, aside

local function say(...)
    io.write(table.concat({...}, " "), "\n")
    io.flush()
end

local function hex(text)
    return (text:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

local function unhex(text)
    return ((text or ""):gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end))
end

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

local serve

local kinds = {}

function kinds.get(given)
    local value, message, source = cache:get(given.key, read_options(given))
    if value ~= nil then
        return {status = source == "stale" and "STALE" or "OK", source = source, value = hex(value)}
    end
    return message and failed(message, source) or {status = "MISS", source = source or "none"}
end

function kinds.set(given)
    local done, message, code = cache:set(given.key, given.value, times_of(given))
    return done and {status = WELL} or failed(message, code)
end

function kinds.add(given)
    return whether(cache:add(given.key, given.value, times_of(given)))
end

function kinds.replace(given)
    return whether(cache:replace(given.key, given.value, times_of(given)))
end

function kinds.delete(given)
    return whether(cache:delete(given.key, read_options(given)))
end

function kinds.exists(given)
    return whether(cache:exists(given.key, read_options(given)))
end

function kinds.expire(given)
    return whether(cache:expire(given.key, duration(given.ttl_ms), read_options(given)))
end

function kinds.ttl(given)
    local left, message, code = cache:ttl(given.key, read_options(given))
    return integer(left and (left == math.huge and -1 or left * 1000), message, code)
end

function kinds.increment(given)
    return integer(cache:increment(given.key, tonumber(given.delta or 1), times_of(given)))
end

function kinds.counter(given)
    return integer(cache:counter(given.key, read_options(given)))
end

function kinds.get_many(given)
    local keys = keys_of(given)
    local found, message, code, codes = cache:get_many(keys, read_options(given))
    local answer = found and {status = "OK"} or failed(message, code)
    answer.items = items_of(keys, found and function(key) return found[key] and "OK" or "MISS" end or unknown, codes)
    return answer
end

function kinds.set_many(given)
    local pairs_by_key = {}
    for _, key in ipairs(keys_of(given)) do
        pairs_by_key[key] = given.value
    end
    local done, message, code, codes = cache:set_many(pairs_by_key, times_of(given))
    local answer = done and {status = WELL} or failed(message, code)
    answer.items = items_of(keys_of(given), unknown, codes)
    return answer
end

function kinds.delete_many(given)
    local count, message, code, codes = cache:delete_many(keys_of(given), read_options(given))
    local answer = integer(count, message, code)
    answer.items = items_of(keys_of(given), unknown, codes)
    return answer
end

function kinds.get_or_load(given, name)
    local value, message, source = cache:get_or_load(given.key, function()
        say("load", name)
        return serve(name)
    end, read_options(given))
    if value ~= nil then
        return {status = source == "stale" and "STALE" or "OK", source = source, value = hex(value)}
    end
    return message and failed(message, source) or {status = "MISS", source = source}
end

function kinds.clear(given)
    return integer(cache:clear(read_options(given)))
end

function kinds.ping(given)
    return whether(cache:ping(read_options(given)))
end

-- ---- what a line asks for ----

local function fields_of(words, first)
    local fields = {}
    for index = first, #words do
        local name, value = words[index]:match("^([%w_]+)=(.*)$")
        fields[name] = value
    end
    return fields
end

local verbs = {}

function verbs.open(words)
    local options = fields_of(words, 2)
    for name, value in pairs(options) do
        options[name] = unhex(value)
    end
    local url = options.url
    options.url = nil
    if cache then
        cache:close()
    end
    cache = assert(coffer.open(url, options))
    aside = assert(cache:namespace("aside", {enabled = false}))
    say("ok")
end

function verbs.op(words)
    local name, kind, given = words[2], words[3], fields_of(words, 4)
    given.key, given.value = unhex(given.key), unhex(given.value)
    say("ok", "0")
    local answer = kinds[kind](given, name)
    local said = {"end", name, answer.status}
    answer.status = nil
    for field, value in pairs(answer) do
        said[#said + 1] = field .. "=" .. value
    end
    say(table.concat(said, " "))
end

verbs["pass"] = function()
    aside:get("k")
    say("ok")
end

function verbs.count(words)
    local counted = cache:stats()
    for part in words[2]:gmatch("[^.]+") do
        counted = type(counted) == "table" and counted[part]
    end
    say("count", type(counted) == "number" and ("%.0f"):format(counted) or "-")
end

local answers = {
    supply = function(value) return unhex(value) end,
    absent = function() return coffer.ABSENT end,
    abort = function() error("the loader failed") end,
}
answers.interrupt = answers.abort

-- Does what the lines say; returns what the loader of `name` is told to give.
function serve(name)
    for line in io.lines() do
        local words = {}
        for word in line:gmatch("%S+") do
            words[#words + 1] = word
        end
        if answers[words[1]] then
            assert(words[2] == name, "another loader is inside of this one")
            say("ok")
            return answers[words[1]](words[3])
        end
        verbs[words[1]](words)
    end
end

serve()
