--- Writes of phases that cannot wait for a server: they are made where they are asked for, their
-- values as they are then, and begun by a timer. Bounded in number and bytes, and counted.

local core = require "coffer.core"

local ngx = ngx
local now, timer_at, log, WARN = ngx.now, ngx.timer.at, ngx.log, ngx.WARN
local setmetatable, pcall = setmetatable, pcall

local AT_ONCE = 100 -- so many are under way at a time
local LOST_S = 1 -- a timer that has not begun by then was dropped: too many run

local Queue = {}
Queue.__index = Queue

local queue = {}

function queue.new(max_count, max_bytes)
    return setmetatable({
        max_count = max_count,
        max_bytes = max_bytes,
        ops = {},
        first = 1,
        last = 0,
        bytes = 0,
        asked = nil, -- when a timer was asked for
        is_running = false,
        queued = 0,
        dropped = 0,
        failed = 0,
    }, Queue)
end

local function take(self)
    local op = self.ops[self.first]
    if op then
        self.ops[self.first] = nil
        self.first = self.first + 1
        self.bytes = self.bytes - core.held_bytes(op)
    end
    return op
end

-- Begins some, and waits for all of them. Why the last that failed did.
local function run_some(self, answer, begin)
    local begun, failure = {}, nil
    for index = 1, AT_ONCE do
        local op = take(self)
        if not op then
            break
        end
        begun[index] = begin(op)
    end
    for index = 1, #begun do
        local value, err, code = answer(begun[index])
        if value == nil and code ~= nil then
            self.failed = self.failed + 1
            failure = code .. ": " .. err
        end
    end
    return failure
end

local function serve(_, self, answer, begin)
    local failure
    if self.is_running then
        return
    end
    self.is_running = true
    while self.first <= self.last do
        local is_done, why = pcall(run_some, self, answer, begin)
        failure = why or failure
        self.failed = self.failed + (is_done and 0 or 1)
    end
    self.first, self.last = 1, 0
    self.is_running, self.asked = false, nil
    if failure then
        log(WARN, "coffer: queued writes failed, the last because of ", failure)
    end
end

local function drop(self, op, why)
    self.dropped = self.dropped + 1
    core.drop(op)
    return nil, why, "NOT_SENT"
end

--- Takes an op that was made and not begun. true, nil, "queued"; or nil, message, code.
-- begin(op) -> begun; answer(begun) -> what it answered
function Queue:push(op, answer, begin)
    local bytes = core.held_bytes(op)
    local count = self.last - self.first + 1
    if count >= self.max_count or self.bytes + bytes > self.max_bytes then
        return drop(self, op, "the queue of writes is full (options queue_max, queue_max_bytes)")
    end
    local time = now()
    if not self.is_running and (not self.asked or self.asked < time - LOST_S) then
        local is_made, err = timer_at(0, serve, self, answer, begin)
        if not is_made then
            return drop(self, op, "nginx gives no timer to write in: " .. err)
        end
        self.asked = time
    end
    self.last = self.last + 1
    self.ops[self.last] = op
    self.bytes = self.bytes + bytes
    self.queued = self.queued + 1
    return true, nil, "queued"
end

return queue
