--- A value as text, tables by sorted keys, so that two that are equal are written alike.
local coffer = require "coffer"

local function show(value)
    if type(value) == "string" then
        return ("%q"):format(value)
    end
    if type(value) ~= "table" or value == coffer.ABSENT then
        return tostring(value)
    end
    local parts = {}
    for key, item in pairs(value) do
        parts[#parts + 1] = "[" .. show(key) .. "]=" .. show(item)
    end
    table.sort(parts)
    return "{" .. table.concat(parts, ",") .. "}"
end

return show
