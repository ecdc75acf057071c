--- For tests of programs that use Coffer: time passes when the test says so.
--
--     local clock = require "coffer.testing".clock()
--     cache:set("session", "of Ada", "10m")
--     clock:move("10m")
--     assert(cache:get("session") == nil)
--     clock:close()

local arguments = require "coffer.arguments"
local core = require "coffer.core"

local error, setmetatable = error, setmetatable

local testing = {}
local Clock = {}
Clock.__index = Clock

--- The time of all caches of the process stands still, until it is moved.
function testing.clock()
    if core.clock_is_held() then
        error("coffer: a test has the clock already", 2)
    end
    local clock = setmetatable({now_us = core.coffer_now_us()}, Clock)
    core.clock_set(clock.now_us)
    return clock
end

--- Lets so much time pass: seconds, or text such as "10m". Entries grow old, deadlines come.
function Clock:move(by)
    if not self.now_us then
        error("coffer: the clock was closed", 2)
    end
    local ms, err = arguments.timeout_ms(by)
    if not ms then
        error("coffer: " .. err, 2)
    end
    self.now_us = self.now_us + ms * 1000
    core.clock_set(self.now_us)
end

--- Time goes on by itself; what was moved stays moved. Twice is harmless.
function Clock:close()
    if self.now_us then
        self.now_us = nil
        core.clock_free()
    end
end

return testing
