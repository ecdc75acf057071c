-- Each operation of starved.lua once, in want of nothing: `lua every_operation.lua URL`.
URL = assert(arg[1], "usage: lua every_operation.lua URL") -- luacheck: globals URL
local operations, check = dofile("starved.lua")
for _, operation in ipairs(operations) do
    operation[2]()
    check()
end
