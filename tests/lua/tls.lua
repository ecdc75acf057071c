-- lua tls.lua URL CA OTHER_CA: TLS, and credentials that a function gives; the server's user `app` has the password "canary-right".
local check = require "check"
local coffer = require "coffer"

local url, authority, other = arg[1], arg[2], arg[3]
local asked, answer = 0, function() return "app", "canary-right" end

local function open(more)
    local opts = {tls_ca_file = authority, prefix = "lua"}
    for name, value in pairs(more or {}) do
        opts[name] = value
    end
    return coffer.open(url, opts)
end

local function ask()
    asked = asked + 1
    return answer()
end

local cache = assert(open())
assert(cache:set("key", {1, 2}))
check.equal(cache:get("key"), {1, 2})
local large = ("x"):rep(2 ^ 20)
assert(cache:set("large", large))
assert(cache:get("large") == large)
cache:close()

check.fails("CERTIFICATE", assert(open({tls_ca_file = other})):get("key"))
check.fails("OPTION", open({tls_ca_file = "/nowhere/ca.pem"}))

cache = assert(open({credentials = ask}))
assert(asked == 0)
check.equal(cache:get("key"), {1, 2})
assert(cache:namespace("users"):get("key") == nil)
assert(asked == 1)
cache:close()

for _, wrong in ipairs({
    function() error("canary") end,
    function() return nil, "canary" end,
    function() return {} end,
    function() return "app", 5 end,
    function() return ("canary"):rep(20000) end,
    coroutine.yield,
}) do
    answer = wrong
    cache = assert(open({credentials = ask}))
    local _, message, code = cache:get("key")
    assert(code == "CREDENTIALS" and not message:find("canary"), message)
    cache:close()
end

answer = function() return "app", "canary-wrong" end
cache = assert(open({credentials = ask}))
check.fails("AUTH", cache:get("key"))
local users = assert(cache:namespace("users"))
check.fails("AUTH", users:get("key"))
answer = function() return "app", "canary-right" end
assert(users:set("key", 1))
cache:close()

check.raises("credentials is a function", function() open({credentials = "secret"}) end)
print("all was well")
