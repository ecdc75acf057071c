--- Many keys with callbacks, as lua-resty-mlcache has it: all are asked for at once, in one write;
-- callbacks run in a few light threads, as soon as it is known that they have to.

local arguments = require "coffer.arguments"
local core = require "coffer.core"
local running = require "resty.coffer.running"
local operations = require "coffer.operations"

local ngx = ngx
local spawn, wait = ngx.thread.spawn, ngx.thread.wait
local type, error, ipairs = type, error, ipairs
local max, remove = math.max, table.remove
local setmetatable, getmetatable = setmetatable, getmetatable

local CONCURRENCY = 3
local FIELDS = {concurrency = {number = true}}

local Bulk = {}
Bulk.__index = Bulk

--- One more key: as cache:get(key, opts, callback, argument).
function Bulk:add(key, opts, callback, argument)
    arguments.check_key(key)
    if callback ~= nil and type(callback) ~= "function" then
        error("coffer: a callback is a function, not " .. type(callback), 2)
    end
    self.n = self.n + 1
    self[self.n] = {key = key, opts = opts, callback = callback, argument = argument}
end

local function next_result(results, index)
    index = index + 1
    local at = index * 3
    if at <= results.n then
        return index, results[at - 2], results[at - 1], results[at]
    end
end

local function set_result(work, index, value, err, source)
    local at, results = index * 3, work.results
    results[at - 2], results[at - 1], results[at] = value, err, source
end

local function take_one(work, index, one)
    if one.err then
        return set_result(work, index, nil, one.err, one.code)
    end
    local value, err, source, load = running.collect(one.begun)
    if load then
        one.load = load
        work.loads[#work.loads + 1] = index
    else
        set_result(work, index, value, err, source)
    end
end

-- Another light thread is loading them, and here nobody can wait.
local function refuse_pending(work, err, code)
    for _, index in ipairs(work.pending) do
        core.drop(work.begun[index].begun[4])
        set_result(work, index, nil, err, code)
    end
    work.pending = {}
end

return function(coffer, Cache, own)
    local run, load_times = own.run, own.load_times

    --- For cache:get_bulk. The number of keys is a hint, and not needed.
    function coffer.new_bulk(count)
        if count ~= nil and type(count) ~= "number" then
            error("coffer: the number of keys is a number, not " .. type(count), 2)
        end
        return setmetatable({n = 0}, Bulk)
    end

    --- for i, value, err, source in coffer.each_bulk_res(results)
    function coffer.each_bulk_res(results)
        if type(results) ~= "table" or not results.n then
            error("coffer: what get_bulk answered is a table", 2)
        end
        return next_result, results, 0
    end

    -- Asks for one key: what is known of it so far, or nil, message, code.
    local function begin(cache, item)
        local lifetime, absent_lifetime, limit = load_times(item.opts)
        if not lifetime then
            return {err = absent_lifetime, code = limit}
        end
        local handle = cache._handle
        local one = {lifetime = lifetime, absent_lifetime = absent_lifetime}
        if item.callback then
            one.begun = running.begin(core.load_begin, handle, item.key, run.loading(), limit)
        else
            one.begun = running.begin(core.get, handle, item.key, false, limit)
        end
        return one
    end

    -- The same where nothing can be waited for: whether it is known, and value, err, source.
    local function look(handle, item)
        local lifetime, err, code = load_times(item.opts)
        if not lifetime then
            return true, nil, err, code
        end
        if item.callback then
            return core.peek_load(handle, item.key)
        end
        return core.peek(handle, item.key)
    end

    -- All results, where each is known; nil where one is not.
    local function all_near(handle, bulk)
        local work = {results = {n = bulk.n * 3}}
        for index = 1, bulk.n do
            local is_near, value, err, source = look(handle, bulk[index])
            if not is_near then
                return nil
            end
            set_result(work, index, value, err, source)
        end
        return work.results
    end

    -- What is answered, or is to be loaded here, goes where it belongs. Whether there was any.
    local function take_stopped(work)
        local left = {}
        for _, index in ipairs(work.pending) do
            local one = work.begun[index]
            if one.err or running.is_stopped(one.begun) then
                take_one(work, index, one)
            else
                left[#left + 1] = index
            end
        end
        local is_any = #left < #work.pending
        work.pending = left
        return is_any
    end

    -- Runs loaders as long as there are any.
    local function load_all(work)
        while #work.loads > 0 do
            local index = remove(work.loads, 1)
            local item, one = work.bulk[index], work.begun[index]
            set_result(work, index, operations.go_on(run, one.load, one.lifetime,
                one.absent_lifetime, item.callback, item.argument))
        end
        work.busy = work.busy - 1
    end

    -- In light threads of their own, but for the only one.
    local function start_loads(work)
        while #work.loads > 0 and work.busy < work.concurrency do
            local is_only = #work.loads == 1 and #work.pending == 0 and work.busy == 0
            work.busy = work.busy + 1
            if work.concurrency == 1 or is_only then
                load_all(work)
            else
                work.threads[#work.threads + 1] = spawn(load_all, work)
            end
        end
    end

    --- All keys of a bulk: a table for coffer.each_bulk_res, with value, err, source of each, in
    -- their order; n is three times their number. opts.concurrency: how many callbacks run at once.
    function Cache:get_bulk(bulk, opts)
        own.handle_of(self)
        if getmetatable(bulk) ~= Bulk then
            error("coffer: a bulk is what coffer.new_bulk made", 2)
        end
        arguments.check_fields(opts, FIELDS)
        local may_wait, err, code = running.may_wait()
        if not may_wait and not core.is_local(self._handle) then
            local results = all_near(self._handle, bulk)
            if results then
                return results
            end
            return nil, err, code
        end
        local work = {
            bulk = bulk,
            begun = {}, -- by index
            pending = {}, -- indexes whose answer is not known
            loads = {}, -- indexes whose loader is to run here
            busy = 0, -- light threads that run loaders
            threads = {},
            concurrency = may_wait and max(opts and opts.concurrency or CONCURRENCY, 1) or 1,
            results = {n = bulk.n * 3},
        }
        for index = 1, bulk.n do
            work.begun[index] = begin(self, bulk[index])
            work.pending[index] = index
        end
        while #work.pending > 0 do
            local is_any = take_stopped(work)
            start_loads(work)
            if not is_any and may_wait then
                running.wait_any(work.begun, work.pending)
            elseif not is_any then
                refuse_pending(work, err, code)
            end
        end
        for index = 1, #work.threads do
            wait(work.threads[index])
        end
        return work.results
    end
end
