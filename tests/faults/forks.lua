-- A parent and its children on one cache: luajit forks.lua URL COUNT. Plain fork, through the FFI.
local ffi = require("ffi")
local coffer = require("coffer")

ffi.cdef([[
int fork(void);
int waitpid(int process, int *status, int options);
void _exit(int status);
unsigned alarm(unsigned seconds);
]])

local url, count = arg[1], tonumber(arg[2])
local cache = assert(coffer.open(url, {on_outage = "error"}))

local function works(writer)
    for i = 1, 50 do
        local key, value = ("lua%d-%d"):format(writer, i % 8), ("%d:%d"):format(writer, i)
        if not cache:set(key, value) or cache:get(key) ~= value then
            return false
        end
    end
    return true
end

assert(works(0))
local failed = 0
for child = 1, count do
    local process = ffi.C.fork()
    if process == 0 then
        ffi.C.alarm(20)
        ffi.C._exit(works(child) and 0 or 1)
    end
    assert(works(0), "the parent, while its child is at it")
    local status = ffi.new("int[1]")
    ffi.C.waitpid(process, status, 0)
    failed = failed + (status[0] == 0 and 0 or 1)
end
print(("forks %d failed %d links %d"):format(count, failed, cache:stats().pool.made))
