--- Runs the pieces of Lua that tests send, in the phase of nginx that they name, and answers in JSON.
--
-- A piece sees all globals, and
--
--     coffer, url        the module, the address of the server
--     cache              a cache made in init_by_lua, before the workers were forked
--     open(name, opts)   one of this worker, kept under that name
--     together(list)     runs functions as light threads: what each returned
--     pack(...)          an array with nils
--     args               the query's, as text

local coffer = require "resty.coffer"

local ngx = ngx
local kept, pieces = ngx.shared.kept, ngx.shared.pieces
local opened, compiled = {}, {}

local harness = {}
local args = setmetatable({}, {
    __index = function(_, name) return ngx.unescape_uri(ngx.var["arg_" .. name]) end,
})
local seen = setmetatable({coffer = coffer, args = args}, {__index = _G})

-- ---- JSON ----

local json

local function text(value)
    return '"' .. value:gsub('[%c"\\\127-\255]', function(char)
        return ("\\u%04x"):format(char:byte())
    end) .. '"'
end

local function number(value)
    if value ~= value or value == math.huge or value == -math.huge then
        return text(tostring(value))
    end
    return ("%.17g"):format(value)
end

local function list(values, count)
    local parts = {}
    for index = 1, count do
        parts[index] = json(values[index])
    end
    return "[" .. table.concat(parts, ",") .. "]"
end

local function object(values)
    local parts = {}
    for name, value in pairs(values) do
        parts[#parts + 1] = text(tostring(name)) .. ":" .. json(value)
    end
    return "{" .. table.concat(parts, ",") .. "}"
end

function json(value)
    local kind = type(value)
    if kind == "number" then
        return number(value)
    elseif kind == "string" then
        return text(value)
    elseif kind == "table" and getmetatable(value) == nil then
        local count = value.n or #value
        return count > 0 and list(value, count) or object(value)
    elseif kind == "nil" then
        return "null"
    elseif kind == "boolean" then
        return tostring(value)
    end
    return text("<" .. tostring(value) .. ">")
end

-- ---- what pieces see ----

function seen.open(name, opts)
    if not opened[name] then
        opts = opts or {}
        opts.url = opts.url or seen.url
        opened[name] = assert(coffer.new(opts.namespace or "things", opts))
    end
    return opened[name]
end

function seen.together(functions)
    local threads, results = {}, {}
    for index, work in ipairs(functions) do
        threads[index] = ngx.thread.spawn(work)
    end
    for index, thread in ipairs(threads) do
        local is_done, result = ngx.thread.wait(thread)
        if not is_done then
            error(result, 0)
        end
        results[index] = result
    end
    return results
end

function seen.pack(...)
    return {n = select("#", ...), ...}
end

-- ---- running them ----

--- Its answer as JSON: all that the piece returned, or what it raised.
function harness.run(code)
    if not compiled[code] then
        local piece, fault = loadstring(code, "=piece")
        compiled[code] = piece and setfenv(piece, seen) or function() error(fault) end
    end
    local results = seen.pack(pcall(compiled[code]))
    if not results[1] then
        return object({raised = tostring(results[2])})
    end
    return list({unpack(results, 2, results.n)}, results.n - 1)
end

--- The piece of that phase.
function harness.file(phase)
    local file = assert(io.open(("%s/%s.lua"):format(harness.folder, phase)))
    local code = file:read("*a")
    file:close()
    return code
end

--- In init_by_lua, of the master.
function harness.begin(url, opts, folder)
    harness.folder = folder
    seen.url = url
    opts.url = url
    seen.cache = assert(coffer.new("things", opts))
    kept:set("init", harness.run(harness.file("init")))
end

--- That of this request.
function harness.answer()
    return harness.run(ngx.unescape_uri(ngx.var.http_lua))
end

--- The same, for who comes to ask for it by its number.
function harness.keep(number_of_it, code)
    kept:set(number_of_it, harness.run(code))
end

function harness.keep_answer()
    harness.keep(ngx.var.http_number, ngx.unescape_uri(ngx.var.http_lua))
end

function harness.keep_in_timer()
    assert(ngx.timer.at(0, function(_, ...) harness.keep(...) end,
        ngx.var.http_number, ngx.unescape_uri(ngx.var.http_lua)))
end

--- What a TLS handshake runs: the piece whose number is the name that the client asks for.
function harness.keep_by_name()
    local name = require "ngx.ssl".server_name()
    local number_of_it = name and name:match("^(%d+)%.test$")
    if number_of_it then
        harness.keep(number_of_it, pieces:get(number_of_it))
    end
end

function harness.prepare()
    pieces:set(ngx.var.http_number, ngx.unescape_uri(ngx.var.http_lua))
    ngx.print("[]")
end

--- What was kept under this number, once it is there.
function harness.say_kept()
    local wanted = ngx.var.http_number
    for _ = 1, 2000 do
        local answer = kept:get(wanted)
        if answer then
            return ngx.print(answer)
        end
        ngx.sleep(0.005)
    end
    ngx.print(object({raised = "nothing was kept"}))
end

return harness
