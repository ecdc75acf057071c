--- The runner of the Lua tests: `lua test_x.lua URL` runs each test on an empty cache of its own, says which failed, and ends with 1 then.

local check = {url = assert(arg[1], "usage: lua test_x.lua URL"), show = require "show"}

local tests = {}
local coffer = require "coffer"

--- A cache in a namespace that no other test has.
local serial = 0
function check.open(opts)
    serial = serial + 1
    local all = {namespace = "t" .. serial, prefix = arg[0]:match("([%w_]+)%.lua$")}
    for name, value in pairs(opts or {}) do
        all[name] = value
    end
    return assert(coffer.open(check.url, all))
end

--- Compares by what is inside.
function check.equal(got, wanted)
    if check.show(got) ~= check.show(wanted) then
        error("got " .. check.show(got) .. ", not " .. check.show(wanted), 2)
    end
end

function check.fails(code, ...)
    local value, message, got = ...
    if value ~= nil or got ~= code or type(message) ~= "string" or message == "" then
        error("got " .. check.show({tostring(value), tostring(message), tostring(got)}) .. ", not nil, a message, " .. code, 2)
    end
end

--- That a call raises, with these words, at the line that made it.
function check.raises(words, call)
    local is_done, fault = pcall(call)
    if is_done then
        error("nothing was raised", 2)
    end
    if not tostring(fault):find(words, 1, true) then
        error("raised " .. tostring(fault) .. ", not " .. words, 2)
    end
    local here = debug.getinfo(call, "S").short_src
    if tostring(fault):sub(1, #here) ~= here then
        error("raised elsewhere: " .. tostring(fault), 2)
    end
end

function check.test(name, run)
    tests[#tests + 1] = {name = name, run = run}
end

function check.run()
    local failed = 0
    for _, test in ipairs(tests) do
        local cache = check.open()
        local is_done, fault = xpcall(function() test.run(cache) end, debug.traceback)
        cache:close()
        print((is_done and "ok   " or "FAIL ") .. test.name)
        if not is_done then
            failed = failed + 1
            print(fault)
        end
    end
    print(("%d tests, %d failed"):format(#tests, failed))
    os.exit(failed == 0 and #tests > 0 and 0 or 1, true)
end

return check
