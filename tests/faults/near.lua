-- As near.py: luajit near.lua URL NUMBER, until it is killed. It prints what is wrong, and nothing else.
local coffer = require("coffer")

local KEYS = 200
local url, number = arg[1], arg[2]
local cache = assert(coffer.open(url))

local function is_of(key, value)
    local part = ("%d:%s;"):format(key, value:match("^%d+:([^;]*);") or "")
    return value == part:rep(#value / #part)
end

local sequence = 0
while true do
    local key = math.random(0, KEYS - 1)
    sequence = sequence + 1
    if math.random(20) == 1 then
        cache:set("mixed:" .. key, ("%d:%s-%d;"):format(key, number, sequence):rep(math.random(1, 60)), {ttl = 60})
    else
        local value = cache:get("mixed:" .. key)
        if value ~= nil and not is_of(key, value) then
            print("wrong: " .. key .. ": " .. tostring(value):sub(1, 100))
        end
    end
end
