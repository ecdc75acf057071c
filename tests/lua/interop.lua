-- What test_interop.py asks of Lua: `interop.lua URL set|check`. The values are those of the table there, in the same order.
local coffer = require "coffer"
local check_show = require("show")

local url, what = assert(arg[1]), assert(arg[2])
local cache = assert(coffer.open(url, {prefix = "interop", namespace = "values", seal_key = arg[3]}))

local values = {
    text = "Ada Lovelace \195\164 \240\159\152\128",
    empty = "",
    zeros = "a\0b",
    bytes = "\255\0\254",
    integer = 42,
    exact = 9007199254740992,
    float = 0.1,
    yes = true,
    no = false,
    null = coffer.null,
    list = {1, "two", {three = 3}, false},
    no_list = coffer.array(),
    no_dict = {},
    dict = {name = "Ada", tags = {"a", "b"}, nested = {deep = {1.5, -7}}, quote = "\"\\\n\1"},
    large = ("coffer "):rep(10000),
}

if what == "set" then
    for key, value in pairs(values) do
        assert(cache:set(key, value))
    end
    assert(cache:set("absent", coffer.ABSENT))
    assert(cache:increment("visits", 7) == 7)
else
    for key, value in pairs(values) do
        local got, err = cache:get(key)
        assert(err == nil, err)
        assert(check_show(got) == check_show(value), key .. ": " .. check_show(got))
    end
    assert(select(3, cache:get("absent")) == "negative")
    assert(cache:counter("visits") == 7)
    -- integers of more than 53 bits: kept, or refused
    local got, err, code = cache:get("wide")
    if math.type then
        assert(got == 9007199254740993 and math.type(got) == "integer", err)
    else
        assert(got == nil and err and code == "UNSUPPORTED", code)
    end
    got, err, code = cache:get("wider")
    assert(got == nil and err and code == "UNSUPPORTED", code)
end
cache:close()
