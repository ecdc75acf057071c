--- Runs the operations of one client on nginx's event loop: the driver that coffer/mux.h asks for,
-- on cosockets.
--
--     a request's light thread     begins an operation and waits on a semaphore until it stopped
--     a timer's context            owns one connection ("link"): one light thread of it reads, and
--                                  says what came; another writes what is to be written
--
-- So the light threads of all requests of a worker share connections, and what they ask in one turn
-- of nginx's loop is one write. A connection with nothing to do for a moment goes into the cosocket
-- keepalive pool, and its timer's context ends: no worker that is to exit waits for one.
--
-- Whoever waits for an operation keeps time for all: it comes back when something is due, and says
-- so. Where its request vanishes the others do, or the next one that comes.

local core = require "coffer.core"
local link = require "resty.coffer.link"
local loaders = require "resty.coffer.loaders"

local ngx = ngx
local now, timer_at = ngx.now, ngx.timer.at
local setmetatable, pairs, ipairs, next = setmetatable, pairs, ipairs, next

local has_semaphore, semaphore = pcall(require, "ngx.semaphore")
if not has_semaphore then
    error("resty.coffer needs lua-resty-core: ngx.semaphore cannot be required: " .. semaphore, 0)
end

local WAIT_S, SOON_S = 0.1, 0.001 -- nobody waits longer, or shorter, before looking again
local LOOK_S = 0.05 -- it is looked for who is gone no more often
local LONG_S = 24 * 3600
local START_S = 0.5 -- a timer that has not begun by then never will
local KEPT_WAITERS = 256

local Driver = {}
Driver.__index = Driver

-- By number. Weak: a driver lives as long as a cache or a connection of it.
local drivers = setmetatable({}, {__mode = "v"})
local last_number = 0

local driver = {}

--- For the client of a handle. settings: see link.lua.
function driver.new(handle, settings)
    local number = last_number + 1
    local loop, err, code = core.loop_new(handle, number)
    if not loop then
        return nil, err, code
    end
    last_number = number
    local self = setmetatable({
        loop = loop,
        settings = settings,
        links = {}, -- by link: its state
        writer = nil, -- the state of a link whose writer is at rest
        waiters = {}, -- by slot: who waits for the operation there
        spare = {}, -- waiters at rest
        stopped = {}, -- scratch
        due = 0, -- when somebody who waits looks again, by ngx.now
        looked = 0, -- when it was looked for those who are gone
        rested = 0, -- when a link last did what is due by the clock, by ngx.now
        starting = 0, -- links whose timer has not begun
    }, Driver)
    drivers[number] = self
    return self
end

--- The driver of this number; nil where it is gone.
function driver.of(number)
    return drivers[number]
end

-- ---- who waits ----

local function take_waiter(self)
    local spare = self.spare
    local count = #spare
    local waiter = spare[count]
    if waiter then
        spare[count] = nil
        return waiter
    end
    return {semaphore = semaphore.new(0), stopped = false, posted = false}
end

-- Once, until it has come: so a semaphore that counts more than who waits there has nobody.
local function post(waiter)
    if not waiter.posted then
        waiter.posted = true
        waiter.semaphore:post(1)
    end
end

-- Waits to be posted, at most so long.
local function await(self, waiter, due)
    due = due > WAIT_S and WAIT_S or due < SOON_S and SOON_S or due
    self.due = now() + due
    local is_posted = waiter.semaphore:wait(due)
    waiter.posted = false
    return is_posted
end

-- Not one that was posted when it had come already.
local function give_waiter(self, waiter)
    waiter.stopped, waiter.posted, waiter.op = false, false, nil
    local spare = self.spare
    if #spare < KEPT_WAITERS and waiter.semaphore:count() == 0 then
        spare[#spare + 1] = waiter
    end
end

--- Wakes those whose operations have stopped; and all, where something is due before any of them
-- looks again.
function Driver:deliver()
    local stopped, waiters = self.stopped, self.waiters
    local count, due = core.loop_stopped(self.loop, stopped)
    for index = 1, count do
        local waiter = waiters[stopped[index]]
        if waiter then
            waiter.stopped = true
            post(waiter)
        end
    end
    due = now() + due
    if due < self.due - SOON_S then
        self.due = due
        for _, waiter in pairs(waiters) do
            post(waiter)
        end
    end
end

--- Waits until the operation in this slot has stopped.
function Driver:wait(op, slot, due)
    local waiter = take_waiter(self)
    self.waiters[slot] = waiter
    waiter.op = op
    self:schedule()
    while not waiter.stopped do
        local is_posted = await(self, waiter, due)
        if not waiter.stopped then
            self:mind_the_gone()
            due = core.loop_tick(self.loop)
            self:settle()
            if not is_posted and core.is_stopped(op) then
                break
            end
        end
    end
    self.waiters[slot] = nil
    give_waiter(self, waiter)
end

--- Waits until one of the operations in these slots has stopped, or for a moment.
function Driver:wait_any(slots)
    local waiter = take_waiter(self)
    for _, slot in ipairs(slots) do
        self.waiters[slot] = waiter
    end
    self:schedule()
    if not waiter.stopped then
        local due = core.loop_tick(self.loop)
        self:deliver()
        await(self, waiter, due)
        self:mind_the_gone()
        core.loop_tick(self.loop)
        self:settle()
    end
    for _, slot in ipairs(slots) do
        self.waiters[slot] = nil
    end
    give_waiter(self, waiter)
end

-- ---- who is gone ----
-- A request may end in the middle of a call or of a loader, without a word to anybody. What it was
-- at would be freed when it is collected; but others may wait for what it loads.

-- Operations that have stopped, with nobody behind the semaphore that was posted.
local function drop_unfetched(self)
    for slot, waiter in pairs(self.waiters) do
        if waiter.op and waiter.stopped and waiter.semaphore:count() > 0 then
            self.waiters[slot] = nil
            core.drop(waiter.op)
        end
    end
end

-- nginx drops a timer where too many run, and says so in its log alone.
local function drop_unbegun(self, time)
    for id, state in pairs(self.links) do
        if not state.has_begun and state.since < time - START_S then
            self:forget(state)
            core.loop_lost(self.loop, id, "CONNECT", "nginx did not run the timer to connect in; "
                .. "lua_max_running_timers may be too small")
        end
    end
end

--- By those who wait, from time to time.
function Driver:mind_the_gone()
    local time = now()
    if time - self.looked < LOOK_S then
        return
    end
    self.looked = time
    drop_unfetched(self)
    loaders.drop_dead()
    if self.starting > 0 then
        drop_unbegun(self, time)
    end
end

-- ---- the end of the worker ----
-- A worker that exits may go on for long with its last requests. What one of its connections hears
-- for the near copies of all processes of this host another process hears from there on, at once.

--- No more of that in this process.
function Driver:step_back()
    core.loop_step_back(self.loop)
    self:settle()
end

-- nginx calls its timers before their time when a worker begins to exit: this one is for nothing
-- else. Where none can be had, the links see at their rests that the worker exits.
local is_watched = false

local watch_the_end
function watch_the_end()
    is_watched = is_watched or timer_at(LONG_S, function(premature)
        is_watched = false
        if not premature then
            return watch_the_end()
        end
        for _, its in pairs(drivers) do
            its:step_back()
        end
    end) == true
end

-- ---- orders ----

local function begin_link(self, id, state)
    self.links[id] = state
    self.starting = self.starting + 1
    state.since = now()
    if self.settings.hears then
        watch_the_end()
    end
    local is_made, err = timer_at(0, link.run, self, state)
    if not is_made then
        self:forget(state)
        core.loop_lost(self.loop, id, "CONNECT", "nginx gives no timer to connect in: " .. err)
    end
end

local follow = {}

function follow.connect(self, id, host, port, tls, wants_login, replica)
    begin_link(self, id, {
        id = id,
        host = host, -- or a path, where there is no port
        port = port,
        tls = tls,
        wants_login = wants_login,
        replica = replica,
        semaphore = semaphore.new(0),
        has_begun = false,
        closed = false,
        is_used = true, -- since its writer looked up last
        rests = 0, -- how often that found it unused
    })
end

function follow.write(self, id, bytes)
    local state = self.links[id]
    if state then
        state.output = state.output and state.output .. bytes or bytes
        link.wake(state)
    end
end

function follow.close(self, id)
    local state = self.links[id]
    if state then
        self:forget(state)
        link.wake(state)
    end
end

--- Does what is to be done now.
function Driver:pump()
    local loop = self.loop
    local kind, id, a, b, tls, wants_login, replica = core.loop_order(loop)
    while kind do
        follow[kind](self, id, a, b, tls, wants_login, replica)
        kind, id, a, b, tls, wants_login, replica = core.loop_order(loop)
    end
end

--- After something was told.
function Driver:settle()
    self:pump()
    self:deliver()
end

--- The same, at the end of this turn of nginx's loop, where a link can do it.
function Driver:schedule()
    local writer = self.writer
    if writer then
        link.wake(writer)
    else
        self:settle()
    end
end

-- ---- links ----

--- A link's end, whoever ended it.
function Driver:forget(state)
    if not state.closed then
        state.closed = true
        self.links[state.id] = nil
        if self.writer == state then
            self.writer = nil
        end
        if not state.has_begun then
            self:begun(state)
        end
    end
end

--- Its timer has begun.
function Driver:begun(state)
    state.has_begun = true
    self.starting = self.starting - 1
end

--- In a worker that exits: whether this link may go. What is idle may; the rest (a sentinel that is
-- listened to) when nobody waits any more, or for longer than any call may.
function Driver:may_exit(state)
    self.exiting_since = self.exiting_since or now()
    return core.loop_is_idle(self.loop, state.id) or next(self.waiters) == nil
        or now() - self.exiting_since > self.settings.timeout_ms / 1000 + 1
end

--- Ends all; what is under way answers CLOSED_CACHE.
function Driver:close()
    core.loop_close(self.loop)
    self:settle()
end

return driver
