-- A clock that the test moves.
local check = require "check"
local coffer = require "coffer"
local testing = require "coffer.testing"
local test, equal, raises = check.test, check.equal, check.raises

test("a value is gone when the test says that its time has passed", function()
    local cache = assert(coffer.open("mem://", {namespace = "pages", ttl_jitter = 0}))
    assert(cache:set("open", "before", "1h"))
    local clock = testing.clock()
    assert(cache:set("new", "since", "10m"))
    clock:move("9m")
    clock:move(59.999)
    equal(cache:get("new"), "since")
    clock:move("1ms")
    equal(cache:get("new"), nil)
    equal(cache:get("open"), "before")
    clock:move("50m")
    clock:close()
    equal(cache:get("open"), nil)
    assert(cache:set("new", "again", "10m"))
    equal(cache:get("new"), "again")
    cache:close()
end)

test("entries tell the time of the test", function(cache)
    local clock = testing.clock()
    assert(cache:set("old", 1))
    local mem = assert(coffer.open("mem://"))
    assert(mem:set("a", 1))
    clock:move("2m")
    assert(mem:set("b", 1))
    local apart = mem:get_entry("b").created - mem:get_entry("a").created
    assert(apart > 119.9 and apart < 120.1, apart)
    clock:close()
    mem:close()
end)

test("there is one clock, held once, and moved while it is held", function()
    local clock = testing.clock()
    raises("has the clock already", function() testing.clock() end)
    raises("for ever", function() clock:move("forever") end)
    raises("coffer: ", function() clock:move("soon") end)
    clock:close()
    clock:close()
    raises("was closed", function() clock:move("1s") end)
    testing.clock():close()
end)

check.run()
