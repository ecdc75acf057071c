-- Cosockets as the transcripts play them: the lines of player.c, over the connection of one request, which takes no notice of HTTP any more.
-- Each operation is a light thread.
local coffer = require "resty.coffer"
local core = require "coffer.core"
local kinds = require "kinds"
local semaphore = require "ngx.semaphore"

local unhex = kinds.unhex
local socket = assert(ngx.req.socket(true))
local player, aside = {}, nil
local threads, waiting = {}, {}

-- One writes at a time, what others have to say goes with it.
local unsent, is_sending = {}, false

local function say(...)
    unsent[#unsent + 1] = table.concat({...}, " ") .. "\n"
    if is_sending then
        return
    end
    is_sending = true
    while #unsent > 0 do
        local text = table.concat(unsent)
        unsent = {}
        assert(socket:send(text))
    end
    is_sending = false
end

function player.set(key, value, opts)
    return player.cache:set(key, opts, value)
end

local answers = {
    supply = function(value) return unhex(value) end,
    absent = function() return coffer.ABSENT end,
    abort = function() error("the loader failed") end,
}

function player.load(name)
    local told = {is_there = semaphore.new()}
    waiting[name] = told
    say("load", name)
    while not told.verb do
        told.is_there:wait(60)
    end
    return answers[told.verb](told.value)
end

local function run(name, kind, given)
    say(kinds.ended(name, kinds.run(player, kind, given, name)))
    threads[name] = nil
end

-- ---- what a line asks for ----

local verbs = {}

function verbs.open(words)
    local options = kinds.fields_of(words, 2)
    for name, value in pairs(options) do
        options[name] = unhex(value)
    end
    local namespace = options.namespace
    options.namespace = nil
    if player.cache then
        aside:close()
        player.cache:close()
    end
    player.cache = assert(coffer.new(namespace, options))
    aside = assert(player.cache:namespace("aside", {enabled = false}))
    say("ok")
end

-- Who waits looks at the clock every 100 ms at the latest: here he does so at once.
function verbs.clock(words)
    core.clock_set(tonumber(words[2]))
    local driver = player.cache and player.cache._family.driver
    if driver then
        core.loop_tick(driver.loop)
        driver:settle()
    end
    say("ok")
end

function verbs.op(words)
    local name, kind, given = words[2], words[3], kinds.fields_of(words, 4)
    given.key, given.value = unhex(given.key), unhex(given.value)
    say("ok", "0")
    threads[name] = ngx.thread.spawn(run, name, kind, given)
end

function verbs.free(words)
    local name = words[2]
    waiting[name] = nil
    if threads[name] then
        ngx.thread.kill(threads[name])
        threads[name] = nil
    end
    say("ok")
end

verbs["pass"] = function()
    aside:get("k")
    say("ok")
end

function verbs.count(words)
    say("count", kinds.counted(player.cache:stats(), words[2]))
end

local function tell_loader(words)
    local told = waiting[words[2]]
    waiting[words[2]] = nil
    told.verb, told.value = words[1], words[3]
    told.is_there:post()
    say("ok")
end

socket:settimeout(600000)
while true do
    local line = socket:receive("*l")
    if not line then
        return
    end
    local words = kinds.words_of(line)
    if words[1] == "interrupt" then
        verbs.free(words)
    elseif answers[words[1]] then
        tell_loader(words)
    else
        verbs[words[1]](words)
    end
end
