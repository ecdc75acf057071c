-- What goes in comes out as what it was, or is refused: through the cache, and the JSON texts themselves.
local check = require "check"
local coffer = require "coffer"
local core = require "coffer.core"
local test, equal, fails = check.test, check.equal, check.fails

local HAS_INTEGERS = math.type ~= nil
local EXACT = 2 ^ 53

local function format_of(cache, value)
    assert(cache:set("k", value))
    return cache:get_entry("k").format
end

test("the format tells bytes, text and JSON apart", function(cache)
    for _, text in ipairs({"", "a", "\195\164", "\226\130\172", "\240\159\152\128", "\0", "\244\143\191\191"}) do
        equal(format_of(cache, text), 1)
    end
    for _, bytes in ipairs({"\255", "\195", "\192\128", "\224\128\128", "\237\160\128", "\244\144\128\128", "a\128", "12345678\200"}) do
        equal(format_of(cache, bytes), 0)
    end
    for _, value in ipairs({1, 1.5, true, {}, {1}, coffer.null}) do
        equal(format_of(cache, value), 2)
    end
end)

test("null is a value, and not nil", function(cache)
    assert(cache:set("k", coffer.null))
    equal(cache:get("k") == coffer.null, true)
    assert(cache:set("k", {a = coffer.null, b = {coffer.null, 1}}))
    local got = cache:get("k")
    assert(got.a == coffer.null and got.b[1] == coffer.null and got.b[2] == 1)
    local has_cjson, cjson = pcall(require, "cjson")
    assert(not has_cjson or cjson.null == coffer.null)
end)

test("tables come back as what they were", function(cache)
    for _, value in ipairs({{}, {1, 2, 3}, {a = 1}, {{{}}}, {a = {b = {c = "d"}}}, {"\"\\\n\t\1\127/"}, {["k\0"] = "\0"}, {true, false}}) do
        assert(cache:set("k", value))
        equal(cache:get("k"), value)
    end
end)

test("empty arrays stay arrays", function()
    equal(core.json_text({}), "{}")
    equal(core.json_text(coffer.array()), "[]")
    equal(core.json_text({a = coffer.array({})}), '{"a":[]}')
    equal(core.json_text(core.json_value('{"a":[],"b":{},"c":[[]]}').a), "[]")
    equal(core.json_text(core.json_value("[{}]")), "[{}]")
    local emptied = core.json_value("[1]")
    emptied[1] = nil
    equal(core.json_text(emptied), "[]")
end)

test("integers keep their value or are refused", function(cache)
    local kept = {"0", "-1", "9007199254740992", "-9007199254740992"}
    local wide = {"9007199254740993", "9223372036854775807", "-9223372036854775808"}
    for _, text in ipairs(kept) do
        equal(core.json_text(core.json_value(text)), text)
    end
    for _, text in ipairs(wide) do
        if HAS_INTEGERS then
            equal(core.json_text(core.json_value(text)), text)
            assert(cache:set("k", math.tointeger(text) or core.json_value(text)))
            equal(tostring(cache:get("k")), text)
        else
            fails("UNSUPPORTED", core.json_value(text))
            fails("UNSUPPORTED", core.json_value('{"id":[' .. text .. "]}"))
        end
    end
    fails("UNSUPPORTED", core.json_value("9223372036854775808"))
    fails("UNSUPPORTED", core.json_value("[-9223372036854775809]"))
    fails("UNSUPPORTED", core.json_value(("1"):rep(1000)))
end)

test("floats are exact, and stay floats where the language has both", function()
    for _, number in ipairs({0.1, 1 / 3, 1e300, 5e-324, 1.7976931348623157e308, -2.5, EXACT * 4, 123456789.125}) do
        equal(core.json_value(core.json_text(number)) == number, true)
        assert(core.json_text(number):find("[.e]") or not HAS_INTEGERS)
    end
    equal(core.json_text(0.1), "0.1")
    if HAS_INTEGERS then
        equal(core.json_text(1.0), "1.0")
        equal(math.type(core.json_value("1.0")), "float")
        equal(math.type(core.json_value("1")), "integer")
    else
        equal(core.json_text(1.0), "1")
        equal(core.json_text(EXACT * 2), "18014398509481984.0")
    end
    equal(1 / core.json_value(core.json_text(-0.0)), -math.huge)
    fails("UNSUPPORTED", core.json_value("1e999"))
end)

test("what JSON cannot say is refused", function(cache)
    local loop = {}
    loop[1] = loop
    local refused = {
        0 / 0, math.huge, -math.huge, {0 / 0}, {1, nil, 3}, {[2] = 1}, {[0] = 1}, {[1.5] = 1}, {1, a = 2}, {[true] = 1}, {[-1] = 1},
        {print}, {a = print}, {"\255"}, {["\255"] = 1}, {coroutine.create(function() end)}, {io.stdout}, loop, {[{}] = 1}, {[1e300] = 1},
    }
    assert(cache:set("k", "before"))
    for _, value in ipairs(refused) do
        fails("ARG", cache:set("k", value))
        fails("ARG", cache:replace("k", value))
        fails("ARG", cache:set_many({k = value}))
    end
    equal(cache:get("k"), "before")
end)

test("nesting has a limit both ways", function(cache)
    local deep = {}
    for _ = 1, 999 do
        deep = {deep}
    end
    assert(cache:set("k", deep))
    assert(type(cache:get("k")) == "table")
    fails("ARG", cache:set("k", {deep}))
    fails("UNSUPPORTED", core.json_value(("["):rep(1001)))
    fails("UNSUPPORTED", core.json_value(("["):rep(1000000)))
    fails("BAD_FORMAT", core.json_value(("["):rep(1000)))
    fails("UNSUPPORTED", core.json_value(('{"a":'):rep(1001)))
end)

test("JSON is read strictly", function()
    local bad = {
        "", " ", "nul", "nulll", "tru", "True", "NaN", "Infinity", "-Infinity", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x10", "1 2", "[", "]",
        "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', "{a:1}", "{1:1}", '{"a" 1}', '"', '"a', '"\\"',
        '"\\x"', '"\\u12"', '"\\u123g"', '"\\ud800"', '"\\udc00"', '"\\ud800\\u0041"', '"\\ud800x"', '"a\nb"', '"a\0b"', "'a'", "1,", "[1]]",
        "\239\187\1911", '"\\u"', "[1}", '{"a":1]', "--1", "1.e5", "\255", '"\255"',
    }
    for _, text in ipairs(bad) do
        local value, message, code = core.json_value(text)
        if value ~= nil or code ~= "BAD_FORMAT" or message == "" then
            error(("%q was read as %s"):format(text, check.show(value)))
        end
    end
    equal(core.json_value(' \t\r\n[ 1 , { "a" : -0.5e1 } ] \n'), {1, {a = -5.0}})
    equal(core.json_value('"\\u00e4\\u20AC\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\"\\\\\\u0000"'), "\195\164\226\130\172\240\159\152\128/\b\f\n\r\t\"\\\0")
    equal(core.json_value('{"a":1,"a":2}'), {a = 2})
    equal(core.json_value('""'), "")
end)

test("a locale's decimal comma changes nothing", function()
    local found
    for _, name in ipairs({"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"}) do
        found = found or os.setlocale(name, "numeric")
    end
    equal(core.json_text({1.5, 2}), "[1.5,2]")
    equal(core.json_value("[1.5]")[1] * 2 == 3, true)
    os.setlocale("C")
end)

test("metatables are not asked", function()
    local raised = setmetatable({1}, {__index = error, __len = error, __pairs = error, __newindex = error})
    equal(core.json_text(raised), "[1]")
end)

check.run()
