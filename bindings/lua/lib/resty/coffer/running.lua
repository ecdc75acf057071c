--- How operations are run in nginx: the `run` of coffer/operations.lua.
--
-- Where the phase may wait, an operation that is not done at once is waited for. Where it may not,
-- what is in this host's memory (mem://, near copies) is answered all the same; other reads are
-- refused, and writes queued.

local core = require "coffer.core"
local driver = require "resty.coffer.driver"
local loaders = require "resty.coffer.loaders"

local ngx = ngx
local get_phase = ngx.get_phase
local pcall, error, ipairs, setmetatable = pcall, error, ipairs, setmetatable
local unpack = unpack or table.unpack

local MAY_WAIT = {
    server_rewrite = true,
    rewrite = true,
    access = true,
    content = true,
    timer = true,
    ssl_cert = true,
    ssl_session_fetch = true,
    ssl_client_hello = true,
}
local MAY_QUEUE = {
    init_worker = true,
    set = true,
    header_filter = true,
    body_filter = true,
    log = true,
    balancer = true,
    ssl_session_store = true,
}

local running = {}

-- By handle: {queue, is_local}. Weak.
local families = setmetatable({}, {__mode = "k"})

function running.belongs(handle, family)
    families[handle] = family
end

-- ---- phases that may wait ----

local answer

local function wait_for(number, op, slot, due, extra)
    driver.of(number):wait(op, slot, due)
    return answer(extra, core.resume(op, extra))
end

-- What a call of coffer.core came to, once that is known.
function answer(extra, value, err, source, op, slot, number, due)
    if slot then
        return wait_for(number, op, slot, due, extra)
    end
    if op == nil then
        return value, err, source
    end
    return value, err, source, op
end

--- Begins an operation: call(...) is one of coffer.core's. To be given to running.collect, in this
-- light thread or another.
function running.begin(call, ...)
    return {call(...)}
end

--- Its answer. `extra`: the second argument of the call.
function running.collect(begun, extra)
    local op, slot = begun[4], begun[5]
    if not slot then
        return unpack(begun, 1, 4)
    end
    if core.is_stopped(op) then
        return answer(extra, core.resume(op, extra))
    end
    return wait_for(begun[6], op, slot, 0, extra)
end

--- Whether running.collect answers without waiting.
function running.is_stopped(begun)
    return not begun[5] or core.is_stopped(begun[4])
end

--- Waits until one of begun[index], for an index of that array, has stopped; or for a moment.
function running.wait_any(begun, indexes)
    local slots, its = {}, nil
    for place, index in ipairs(indexes) do
        local one = begun[index].begun
        slots[place], its = one[5], driver.of(one[6])
    end
    its:wait_any(slots)
end

-- ---- the others ----

local function refused(phase)
    return nil, "nginx's phase " .. phase .. " cannot ask a server", "UNSUPPORTED"
end

--- Whether calls may be waited for; or nil, message, code.
function running.may_wait()
    local phase = get_phase()
    if MAY_WAIT[phase] then
        return true
    end
    return refused(phase)
end

-- mem:// answers at once, but for a key that another light thread loads just now.
local function at_once(phase, value, err, source, op, slot)
    if not slot then
        return value, err, source, op
    end
    core.drop(op)
    return refused(phase)
end

local function begin_queued(op)
    return running.begin(core.resume, op)
end

local function to_queue(family, phase, op)
    if not MAY_QUEUE[phase] then
        core.drop(op)
        return refused(phase)
    end
    return family.queue:push(op, running.collect, begin_queued)
end

-- Makes the operation without beginning it.
local function make_held(loop, call, ...)
    core.loop_hold(loop, true)
    local made = {pcall(call, ...)}
    core.loop_hold(loop, false)
    if not made[1] then
        error(made[2], 0)
    end
    return unpack(made, 2, 8)
end

local function queue_made(family, phase, value, err, source, op, slot)
    if slot ~= 0 then -- it was refused as it was made
        return value, err, source, op
    end
    return to_queue(family, phase, op)
end

-- ---- both ----

-- What answers in any phase that can; `otherwise` (phase, call, handle, key, ...) where none can.
local function answering(call, otherwise)
    return function(handle, key, ...)
        local phase = get_phase()
        if MAY_WAIT[phase] then
            return answer(key, call(handle, key, ...))
        end
        if core.is_local(handle) then
            return at_once(phase, call(handle, key, ...))
        end
        return otherwise(phase, call, handle, key, ...)
    end
end

local function queued_where_it_can(phase, call, handle, ...)
    local family = families[handle]
    if not MAY_QUEUE[phase] then
        return refused(phase)
    end
    return queue_made(family, phase, make_held(family.driver.loop, call, handle, ...))
end

-- What core.peek found, where an operation cannot be waited for.
local function near_or_refused(phase, is_near, ...)
    if is_near then
        return ...
    end
    return refused(phase)
end

-- A read of one key: without an operation where the phase cannot wait for one.
local function reading(call, peek)
    return answering(call, function(phase, _, handle, key)
        return near_or_refused(phase, peek(handle, key))
    end)
end

-- All that are known, where each is near.
local function get_many_near(phase, _, handle, keys)
    local found = {}
    for _, key in ipairs(keys) do
        local is_near, value, err, code = core.peek(handle, key)
        if not is_near then
            return refused(phase)
        end
        if err then
            return nil, err, code
        end
        found[key] = value
    end
    return found
end

local function writing(call)
    return answering(call, queued_where_it_can)
end

-- The same for an operation that was made and not begun: `otherwise` (phase, op, driver).
local function finishing(otherwise)
    return function(op)
        local phase = get_phase()
        if MAY_WAIT[phase] then
            return answer(nil, core.op_finish(op))
        end
        local _, _, number = core.later(op)
        local its = driver.of(number)
        if its and its.is_local then
            return at_once(phase, core.resume(op))
        end
        return otherwise(phase, op, its)
    end
end

local function drop_and_refuse(phase, op)
    core.drop(op)
    return refused(phase)
end

local function queue_begun(phase, op, its)
    if not its then
        return drop_and_refuse(phase, op)
    end
    local queued, err, source = to_queue(its.family, phase, op)
    if not queued then
        return nil, err, source
    end
    return core.COFFER_OK, nil, source
end

local finish, finish_write = finishing(drop_and_refuse), finishing(queue_begun)

--- For coffer/operations.lua. handle_of: see there.
function running.with(handle_of)
    local function supply(load, value, lifetime)
        local phase = get_phase()
        if MAY_WAIT[phase] then
            return answer(value, core.load_supply(load, value, lifetime))
        end
        return at_once(phase, core.load_supply(load, value, lifetime))
    end

    local function abort(load)
        local phase = get_phase()
        if MAY_WAIT[phase] then
            return answer(nil, core.load_abort(load))
        end
        return at_once(phase, core.load_abort(load))
    end

    return {
        handle_of = handle_of,
        get = reading(core.get, core.peek),
        entry = reading(core.entry, core.peek_entry),
        get_many = answering(core.get_many, get_many_near),
        load_begin = reading(core.load_begin, core.peek_load),
        set = writing(core.set),
        delete = writing(core.delete),
        set_many = writing(core.set_many),
        delete_many = writing(core.delete_many),
        finish = finish,
        finish_write = finish_write,
        load_supply = supply,
        load_abort = abort,
        call_loader = loaders.call,
        loading = loaders.current,
    }
end

return running
