-- lua forking.lua URL [CA]: a cache that is opened and used before a fork; parent and children go on with it, side by side.
local check = require "check"
local forks = require "forks"
local test, equal = check.test, check.equal

local authority = arg[2]
local is_local = check.url:find("^mem:") ~= nil

local function open()
    return check.open({tls_ca_file = authority, timeout = 5, on_outage = "error"})
end

-- Each value names its key, who wrote it and which one it is: another's, or a torn one, is seen at once.
local function value_of(key, writer, number)
    return table.concat({key, writer, number, ("x"):rep(number * 997 % 9000), key}, "|")
end

local function is_right(key, value)
    local its_key, writer, number = tostring(value):match("^(%w+)|(%d+)|(%d+)|")
    return its_key == key and value == value_of(key, writer, number)
end

local function works(cache, writer)
    for number = 1, 25 do
        local own, shared = "own" .. writer, "shared" .. number % 4
        local value = value_of(own, writer, number)
        assert(cache:set(own, value))
        assert(cache:get(own) == value)
        assert(cache:set(shared, value_of(shared, writer, number)))
        assert(is_right(shared, cache:get(shared)), shared)
        assert(cache:get_or_load("loaded" .. writer .. number, function() return value end) == value)
        assert(cache:increment("rounds"))
    end
end

-- The child runs `work` and ends; its exit status says whether that went well.
local function child_of(work)
    local child = forks.fork()
    if child == 0 then
        local is_done, fault = pcall(work)
        if not is_done then
            io.stderr:write(tostring(fault), "\n")
        end
        forks.exit(is_done and 0 or 1)
    end
    return child
end

local function made(cache)
    return is_local and 1 or cache:stats().pool.made
end

test("children and their parent go on at once", function()
    local cache = open()
    works(cache, 100)
    local children = {}
    for number = 1, 6 do
        children[number] = child_of(function()
            works(cache, number)
            if number % 2 == 0 then
                cache:close()
            end
        end)
    end
    works(cache, 100)
    for _, child in ipairs(children) do
        equal(forks.wait(child), 0)
    end
    works(cache, 100)
    equal(cache:counter("rounds"), is_local and 75 or 225)
    equal(made(cache), 1)
    cache:close()
end)

test("a child that only closes says nothing on its parent's connection", function()
    local cache = open()
    works(cache, 100)
    equal(forks.wait(child_of(function() cache:close() end)), 0)
    works(cache, 100)
    equal(made(cache), 1)
    cache:close()
end)

test("a child that is killed takes nothing with it", function()
    local cache = open()
    works(cache, 100)
    local child = child_of(function()
        while true do
            works(cache, 1)
        end
    end)
    works(cache, 100)
    assert(forks.kill(child))
    equal(forks.wait(child), 128 + 9)
    works(cache, 100)
    equal(made(cache), 1)
    cache:close()
end)

test("a child of a child has connections of its own", function()
    local cache = open()
    works(cache, 100)
    local child = child_of(function()
        works(cache, 1)
        local its_child = child_of(function() works(cache, 2) end)
        works(cache, 1)
        equal(forks.wait(its_child), 0)
        works(cache, 1)
    end)
    works(cache, 100)
    equal(forks.wait(child), 0)
    equal(made(cache), 1)
    cache:close()
end)

test("a loader may fork", function()
    local cache = open()
    local child
    local value = cache:get_or_load("forked", function()
        child = forks.fork()
        return "loaded"
    end)
    if child == 0 then
        local is_right_there = value == "loaded" and pcall(works, cache, 1)
        forks.exit(is_right_there and 0 or 1)
    end
    equal(value, "loaded")
    equal(forks.wait(child), 0)
    works(cache, 100)
    cache:close()
end)

check.run()
