-- The blocking driver of Lua as the transcripts play it: the lines of player.c, through the module's public face. A call blocks, so that lines
-- are read between calls and while a loader runs; the clock is moved by a thread (ticking.c), which reads the times from the file PLAYED_CLOCK.
local coffer = require "coffer"
local kinds = require "kinds"
assert(require "ticking")

local unhex = kinds.unhex
local player = {}
local aside, serve

local function say(...)
    io.write(table.concat({...}, " "), "\n")
    io.flush()
end

function player.set(...)
    return player.cache:set(...)
end

function player.load(name)
    say("load", name)
    return serve(name)
end

-- ---- what a line asks for ----

local verbs = {}

function verbs.open(words)
    local options = kinds.fields_of(words, 2)
    for name, value in pairs(options) do
        options[name] = unhex(value)
    end
    local url = options.url
    options.url = nil
    if player.cache then
        player.cache:close()
    end
    player.cache = assert(coffer.open(url, options))
    aside = assert(player.cache:namespace("aside", {enabled = false}))
    say("ok")
end

function verbs.op(words)
    local name, kind, given = words[2], words[3], kinds.fields_of(words, 4)
    given.key, given.value = unhex(given.key), unhex(given.value)
    say("ok", "0")
    say(kinds.ended(name, kinds.run(player, kind, given, name)))
end

verbs["pass"] = function()
    aside:get("k")
    say("ok")
end

function verbs.count(words)
    say("count", kinds.counted(player.cache:stats(), words[2]))
end

local answers = {
    supply = function(value) return unhex(value) end,
    absent = function() return coffer.ABSENT end,
    abort = function() error("the loader failed") end,
}
answers.interrupt = answers.abort

-- Does what the lines say; returns what the loader of `name` is told to give.
serve = function(name)
    for line in io.lines() do
        local words = kinds.words_of(line)
        if answers[words[1]] then
            assert(words[2] == name, "another loader is inside of this one")
            say("ok")
            return answers[words[1]](words[3])
        end
        verbs[words[1]](words)
    end
end

serve()
