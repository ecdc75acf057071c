--- What caches are opened with, from a URL and a table of options, which is a copy that is changed.
-- What is no option at all is raised at the caller of the function that asked (level 3).

local arguments = require "coffer.arguments"
local core = require "coffer.core"

local opening = {}

--- The options of a cache that is to be opened.
function opening.options(url, opts)
    local wanted, err, code = core.coffer_options_new()
    if not wanted then
        return nil, err, code
    end
    local done = true
    if opts.from_environment then
        done, err, code = core.coffer_options_from_environment(wanted)
    end
    opts.from_environment = nil
    if done and url then
        done, err, code = core.coffer_options_set_url(wanted, url)
    end
    if done then
        done, err, code = arguments.apply(wanted, opts)
    end
    if not done then
        return nil, err, code
    end
    return wanted
end

--- The handle of another namespace of a cache.
function opening.namespace(handle, name, opts)
    opts.namespace = name
    local wanted, err, code = core.coffer_cache_options(handle)
    if not wanted then
        return nil, err, code
    end
    local done
    done, err, code = arguments.apply(wanted, opts)
    if not done then
        return nil, err, code
    end
    return core.coffer_open_namespace(handle, wanted)
end

return opening
