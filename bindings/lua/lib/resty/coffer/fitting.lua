--- What of Coffer's options fits into nginx, and what a client of resty.coffer is made of.

local arguments = require "coffer.arguments"
local core = require "coffer.core"
local driver = require "resty.coffer.driver"
local queue = require "resty.coffer.queue"

local ngx = ngx
local io, pairs, ipairs, setmetatable = io, pairs, ipairs, setmetatable
local type, error, tostring, tonumber = type, error, tostring, tonumber
local concat, sort = table.concat, table.sort

local QUEUE_MAX, QUEUE_MAX_BYTES = 1000, 16 * 1024 * 1024
local ALIASES = {neg_ttl = "negative_ttl", resurrect_ttl = "stale_ttl"}
local NOT_HERE = { -- options of lua-resty-mlcache
    lru_size = "near_objects keeps so many values in the worker's Lua memory (with near)",
    lru = "near_objects keeps values in the worker's Lua memory (with near)",
    shm_miss = "absences are kept where values are (negative_ttl)",
    shm_locks = "one loader for each key runs without a lua_shared_dict",
    shm_set_tries = "nothing is kept in a lua_shared_dict",
    resty_lock_opts = "one loader for each key runs without lua-resty-lock (timeout)",
    ipc_shm = "the server tells what changes (near), no lua_shared_dict",
    ipc = "the server tells what changes (near), no lua_shared_dict",
    l1_serializer = "values are what they were stored as",
}

local fitting = {}

-- ---- options ----

local per_namespace = {}
for _, row in ipairs(core.option_table()) do
    per_namespace[row.name] = row.per_namespace
end

local function is_count(value)
    return arguments.is_integer(value) and value > 0
end

local OWN = {
    url = function(value) return type(value) == "string", "a string" end,
    credentials = function(value) return type(value) == "function", "a function" end,
    from_environment = function(value) return type(value) == "boolean", "a boolean" end,
    queue_max = function(value) return is_count(value), "an integer above 0" end,
    queue_max_bytes = function(value) return is_count(value), "an integer above 0" end,
}

--- Parts the options into {own, client, namespace}; or nil, message, code. Raises at the caller of
-- the function that asked.
function fitting.options(opts)
    if opts ~= nil and type(opts) ~= "table" then
        error("coffer: it is new(name, opts), and options are a table, not " .. type(opts), 3)
    end
    opts = arguments.options_table(opts)
    local parts = {own = {}, client = {}, namespace = {}, kept = arguments.take_kept(opts, 4) or 0}
    for name, value in pairs(opts) do
        name = ALIASES[name] or name
        if NOT_HERE[name] then
            return nil, "there is no option " .. name .. ": " .. NOT_HERE[name], "OPTION"
        end
        if OWN[name] then
            local is_right, what = OWN[name](value)
            if not is_right then
                error("coffer: option " .. name .. " is " .. what, 3)
            end
            parts.own[name] = value
        else
            parts[per_namespace[name] and "namespace" or "client"][name] = value
        end
    end
    parts.client.near = parts.namespace.near -- a namespace has it where its client has
    parts.client.from_environment = parts.own.from_environment
    return parts
end

local function line_of(part)
    local words = {}
    for name, value in pairs(part) do
        words[#words + 1] = ("%q=%q"):format(tostring(name), tostring(value))
    end
    sort(words)
    return concat(words, " ")
end

--- What the client and the cache are found again by: digests, as there are secrets in the options.
function fitting.keys(name, parts)
    local client = line_of(parts.own) .. "\n" .. line_of(parts.client)
    local all = client .. "\n" .. name .. "\n" .. parts.kept .. "\n" .. line_of(parts.namespace)
    return ngx.sha1_bin(client), ngx.sha1_bin(all)
end

-- ---- what cosockets cannot honour ----

local function is_tls(option)
    local scheme = option("url"):match("^[^:+]*")
    return scheme == "rediss" or scheme == "valkeys" or option("sentinel_tls") == "on"
end

local function is_address(host)
    return host:find(":", 1, true) or host:find("^%d+%.%d+%.%d+%.%d+$")
end

local TRUSTS = "which authorities a cosocket trusts is said by lua_ssl_trusted_certificate"
local REFUSALS = {
    {"tls_ca_file", "", TRUSTS},
    {"tls_ca_dir", "", TRUSTS},
    {"tls_key_password", "", "a cosocket's private key cannot be encrypted"},
    {"tls_min_version", "1.2", "the versions of TLS of cosockets are said by lua_ssl_protocols"},
}

--- True; or nil and which option cannot be had, and what to do instead.
function fitting.check(wanted)
    local function option(name)
        return core.coffer_options_get(wanted, name)
    end
    if not is_tls(option) then
        return true
    end
    for _, row in ipairs(REFUSALS) do
        if option(row[1]) ~= row[2] then
            return nil, ("option %s cannot be had in nginx: %s"):format(row[1], row[3]), "OPTION"
        end
    end
    local is_verified = option("tls_insecure_skip_verify") ~= "true"
    if is_verified and option("tls_server_name") == "" and is_address(option("host")) then
        return nil, "option host is an address, and a cosocket verifies names only: "
            .. "set tls_server_name to a name in the server's certificate", "OPTION"
    end
    return true
end

-- ---- what a client is made of ----

local function file_of(path)
    local file, err = io.open(path, "rb")
    if not file then
        return nil, err
    end
    local text = file:read("*a")
    file:close()
    return text
end

-- Our own certificate and its key, as nginx has them.
local function add_certificate(settings, certificate_path, key_path)
    if certificate_path == "" then
        return true
    end
    local ssl = require "ngx.ssl"
    local chain, err = file_of(certificate_path)
    local key
    if chain then
        key, err = file_of(key_path ~= "" and key_path or certificate_path)
    end
    if key then
        settings.client_certificate, err = ssl.parse_pem_cert(chain)
    end
    if settings.client_certificate then
        settings.client_key, err = ssl.parse_pem_priv_key(key)
    end
    if not settings.client_key then
        return nil, "tls_cert_file, tls_key_file: " .. err, "CERTIFICATE"
    end
    return true
end

local last_id = 0

local function settings_of(option, own)
    last_id = last_id + 1
    local settings = {
        client_id = last_id,
        credentials = own.credentials,
        username = option("username"),
        db = option("db"),
        timeout_ms = core.coffer_ttl_parse(option("timeout")),
        idle_ms = core.coffer_ttl_parse(option("pool_idle_timeout")) or 0,
        pool_size = tonumber(option("pool_max")),
        hears = option("near") ~= "off",
        tls_server_name = option("tls_server_name"),
        tls_insecure_skip_verify = option("tls_insecure_skip_verify") == "true",
    }
    local certificate, key = option("tls_cert_file"), option("tls_key_file")
    local is_done, err, code = add_certificate(settings, certificate, key)
    if not is_done then
        return nil, err, code
    end
    if settings.tls_insecure_skip_verify then
        ngx.log(ngx.WARN, "coffer: tls_insecure_skip_verify is set: "
            .. "whoever answers is taken for the server")
    end
    return settings
end

--- What the namespaces of one client share.
function fitting.family(root, wanted, own)
    local function option(name)
        return core.coffer_options_get(wanted, name)
    end
    local settings, err, code = settings_of(option, own)
    if not settings then
        return nil, err, code
    end
    return {
        root = root,
        settings = settings,
        is_local = core.is_local(root),
        handles = setmetatable({[root] = true}, {__mode = "k"}),
        open_count = 0,
        queue = queue.new(own.queue_max or QUEUE_MAX, own.queue_max_bytes or QUEUE_MAX_BYTES),
    }
end

--- Its driver in this process.
function fitting.driver(family)
    local its, err, code = driver.new(family.root, family.settings)
    if its then
        its.is_local, its.family = family.is_local, family
    end
    return its, err, code
end

return fitting
