--- One connection of a driver, in the context of a timer.
--
-- settings: client_id, username, db, credentials (a function or nil), timeout_ms, idle_ms,
-- pool_size, hears (whether near copies are kept), tls_server_name, tls_insecure_skip_verify,
-- client_certificate, client_key.

local core = require "coffer.core"

local ngx = ngx
local tcp, spawn, kill = ngx.socket.tcp, ngx.thread.spawn, ngx.thread.kill
local exiting, now, random = ngx.worker.exiting, ngx.now, math.random
local log, WARN = ngx.log, ngx.WARN
local pcall, tostring, type = pcall, tostring, type

local CHUNK_BYTES = 65536
local REST_S, RESTS = 0.2, 5 -- how often a writer at rest looks up; unused for so many: to the pool
local FOREVER_MS = 24 * 3600 * 1000

local USED = "used"

local link = {}

--- Its writer has something to do, or ends.
function link.wake(state)
    if not state.is_awake then
        state.is_awake = true
        state.semaphore:post(1)
    end
end

-- ---- connecting ----

local function code_of(err)
    if err:find("resolve", 1, true) or err:find("resolver", 1, true) then
        return "DNS"
    end
    return "CONNECT"
end

-- What OpenSSL's verification says begins with its number.
local function tls_code_of(err)
    if err:find("certificate", 1, true) or err:find("^%d+: ") then
        return "CERTIFICATE"
    end
    return "TLS"
end

-- Where the name of the pool is the same, one may be used instead of the other.
local function pool_name(settings, state)
    local at = state.port and state.host .. ":" .. state.port or state.host
    local purpose = state.wants_login and (state.replica and "replica" or "") or "sentinel"
    local tls = state.tls and "tls " .. settings.tls_server_name or ""
    return ("coffer %s %s@%s/%s %s %s"):format(
        settings.client_id, settings.username, at, settings.db, purpose, tls)
end

local function shake_hands(settings, state, socket)
    local name = settings.tls_server_name
    local verify = not settings.tls_insecure_skip_verify
    name = name ~= "" and name or state.host:gsub("%.$", "")
    if settings.client_certificate then
        local is_set, err = socket:setclientcert(settings.client_certificate, settings.client_key)
        if not is_set then
            return nil, "TLS", err
        end
    end
    local is_done, err = socket:sslhandshake(false, name, verify)
    if is_done and socket:getreusedtimes() then
        return true
    end
    if is_done then -- said so too early (openresty/lua-nginx-module#2506): the socket is closed
        return nil, "CERTIFICATE", "it is not trusted, or does not match the name " .. name
    end
    err = tostring(err)
    if verify and (name:find(":", 1, true) or name:find("^%d+%.%d+%.%d+%.%d+$")) then
        err = err .. " (a cosocket verifies names, not addresses: set tls_server_name)"
    end
    return nil, tls_code_of(err), err
end

-- A socket, and USED where it was in the pool; or nil, code, words.
local function connect(settings, state)
    local socket = tcp()
    socket:settimeouts(settings.timeout_ms, settings.timeout_ms, FOREVER_MS)
    local options = {pool = pool_name(settings, state), pool_size = settings.pool_size}
    local is_done, err
    if not state.port then
        is_done, err = socket:connect("unix:" .. state.host, options)
    elseif state.host == "localhost" then -- which no name server has to know
        is_done, err = socket:connect("127.0.0.1", state.port, options)
    elseif state.host:find(":", 1, true) then
        is_done, err = socket:connect("[" .. state.host .. "]", state.port, options)
    else
        is_done, err = socket:connect(state.host, state.port, options)
    end
    if not is_done then
        err = tostring(err)
        return nil, code_of(err), err
    end
    if (socket:getreusedtimes() or 0) > 0 then
        return socket, USED
    end
    if state.tls then
        local is_trusted, code, words = shake_hands(settings, state, socket)
        if not is_trusted then
            socket:close()
            return nil, code, words
        end
    end
    return socket
end

-- ---- logging in, where a function says as whom ----

local function ask(credentials)
    local is_done, username, password = pcall(credentials)
    if not is_done or type(username) ~= "string" then
        return nil -- what it raised may hold the password
    end
    if password == nil then
        return "", username
    end
    if type(password) ~= "string" then
        return nil
    end
    return username, password
end

-- ---- open ----

-- It is over: whoever waits on it is told why.
local function lose(driver, state, code, words)
    driver:forget(state)
    core.loop_lost(driver.loop, state.id, code, words)
    driver:settle()
    link.wake(state)
end

-- Sends what there is, and what came meanwhile. Whether it could.
local function send(state, socket)
    while state.output and not state.closed do
        local output = state.output
        state.output = nil
        local is_sent, err = socket:send(output)
        if not is_sent then
            return nil, err
        end
    end
    return true
end

-- ---- into the pool ----
-- It is always read from, so that bytes which nobody asked for are noticed. A socket that is read
-- from cannot go into the pool, and a time-out of the reader would stand in nginx's log as an
-- error: so the reader is called back by a PING of our own, whose reply is taken out again.

local function call_back(state)
    local word = ("coffer%08x"):format(random(0, 2 ^ 31 - 1))
    state.awaited = ("$%d\r\n%s\r\n"):format(#word, word)
    state.came = ""
    state.output = ("*2\r\n$4\r\nPING\r\n$%d\r\n%s\r\n"):format(#word, word)
end

-- What came behind the reply, "" for nothing; nil where the reply is not whole; or nil and why it
-- is no reply to that.
local function behind_reply(state, bytes)
    local came, awaited = state.came .. bytes, state.awaited
    local length = #awaited
    if came:sub(1, 1) == "-" then -- a server may refuse it
        local _, last = came:find("\r\n", 1, true)
        if not last then
            state.came = came
            return nil, #came > CHUNK_BYTES and "a reply without an end" or nil
        end
        length = last
    elseif came:sub(1, length) ~= awaited:sub(1, #came) then
        return nil, "bytes came that nobody asked for"
    elseif #came < length then
        state.came = came
        return nil
    end
    state.awaited, state.came = nil, nil
    return came:sub(length + 1)
end

-- Whether the socket went into the pool.
local function keep(driver, state, socket)
    if not core.loop_release(driver.loop, state.id) then
        return false
    end
    driver:forget(state)
    socket:setkeepalive(driver.settings.idle_ms, driver.settings.pool_size)
    link.wake(state)
    return true
end

-- ---- its two light threads ----

-- Tells what came. Whether it is over.
local function take(driver, state, socket, bytes)
    if state.awaited then
        local rest, why = behind_reply(state, bytes)
        if why then
            socket:close()
            lose(driver, state, "IO", why)
            return true
        end
        if not rest or (rest == "" and keep(driver, state, socket)) then
            return rest ~= nil
        end
        bytes = rest
    end
    state.is_used = true
    if bytes ~= "" then
        core.loop_fed(driver.loop, state.id, bytes)
        driver:deliver()
        driver:pump()
    end
    return false
end

local function read(driver, state, socket)
    while true do
        local bytes, err = socket:receiveany(CHUNK_BYTES)
        if state.closed then
            return
        end
        if not bytes then
            return lose(driver, state, "CLOSED", err)
        end
        if take(driver, state, socket, bytes) then
            return
        end
    end
end

-- Nothing is to be written at the moment; or there has been something all the time, and what is due
-- by the clock must not wait for a pause.
local function rest(driver, state)
    driver.rested = now()
    core.loop_tick(driver.loop)
    driver:settle()
    if exiting() then
        driver:step_back()
    end
    if state.closed then
        return
    end
    if exiting() and driver:may_exit(state) then
        return lose(driver, state, "CLOSED", "this nginx worker exits")
    end
    state.rests = state.is_used and 0 or state.rests + 1
    state.is_used = false
    if state.rests == RESTS and not state.awaited and core.loop_is_idle(driver.loop, state.id) then
        call_back(state)
    end
end

-- At rest it takes the orders for all links, at the end of a turn of nginx's loop; then it writes
-- its own.
local function write(driver, state, socket)
    while not state.closed do
        state.is_awake = false
        driver.writer = state
        local is_woken = state.semaphore:wait(REST_S)
        state.is_awake = true
        if state.closed then
            return
        end
        if is_woken and now() < driver.rested + REST_S then
            driver:settle()
        else
            rest(driver, state)
        end
        if driver.writer == state then
            driver.writer = nil
        end
        local is_sent, err = send(state, socket)
        if not is_sent and not state.closed then
            return lose(driver, state, "IO", err)
        end
    end
end

local function open(driver, state)
    local settings = driver.settings
    local socket, code, words = connect(settings, state)
    state.socket = socket
    if state.closed then
        return
    end
    if not socket then
        return lose(driver, state, code, words)
    end
    if code == USED then
        core.loop_reopened(driver.loop, state.id)
    else
        local username, password
        if settings.credentials and state.wants_login then
            username, password = ask(settings.credentials)
            if state.closed then
                return
            end
            if not username then
                return lose(driver, state, "CREDENTIALS", "the function credentials gave none")
            end
        end
        local wants_login = state.wants_login
        if not core.loop_opened(driver.loop, state.id, wants_login, username, password) then
            return driver:forget(state), driver:settle()
        end
    end
    state.reader = spawn(read, driver, state, socket)
    driver:settle()
    write(driver, state, socket)
end

--- What the timer runs.
function link.run(_, driver, state)
    if state.closed then
        return
    end
    driver:begun(state)
    local is_done, err = pcall(open, driver, state)
    if not is_done then
        log(WARN, "coffer: a connection ended: ", err)
        lose(driver, state, "IO", "a fault inside coffer")
    end
    if state.reader then
        kill(state.reader) -- which closes what it reads from
    end
    if state.socket then
        state.socket:close() -- harmless where it went into the pool
    end
end

return link
