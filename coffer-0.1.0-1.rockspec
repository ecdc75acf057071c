-- `luarocks make` here builds and installs Coffer for the Lua that luarocks runs for; `luarocks --lua-version 5.4 make` names another.
-- It fetches nothing. CMake, SWIG 4.1, pkg-config and the headers of that Lua, hiredis, zstd and OpenSSL 3 have to be there.
rockspec_format = "3.0"
package = "coffer"
version = "0.1.0-1"
source = {url = "."} -- the folder of this file
description = {
   summary = "One cache in front of your database, on Redis and Valkey or with no server at all",
   detailed = [[
      The core in C that decides everything a cache has to decide, with a thin binding. One load per key however many ask,
      an answer by the deadline whatever the server does, values that C, Python and Lua programs read from each other.]],
   license = "Apache-2.0",
   labels = {"cache", "redis", "valkey"},
}
supported_platforms = {"unix"}
dependencies = {"lua >= 5.1, < 5.5"}
build = {
   type = "command", -- and not "cmake", which compiles one file at a time
   -- The core is built once for all Luas; a module that was made for another Lua goes.
   build_command = [[
      "$(CMAKE)" -E rm -rf build/rock/lua &&
      "$(CMAKE)" -S . -B build/rock -DCMAKE_BUILD_TYPE=Release -DCOFFER_TESTS=OFF \
         -DCOFFER_LUA=ON -DCOFFER_LUA_INCLUDE_DIR="$(LUA_INCDIR)" &&
      "$(CMAKE)" --build build/rock --target coffer_lua -j `getconf _NPROCESSORS_ONLN`]],
   install = {
      lib = {["coffer.core"] = "build/rock/lua/coffer/core.so"},
      lua = {
         ["coffer"] = "bindings/lua/lib/coffer.lua",
         ["coffer.arguments"] = "bindings/lua/lib/coffer/arguments.lua",
         ["coffer.cached"] = "bindings/lua/lib/coffer/cached.lua",
         ["coffer.control"] = "bindings/lua/lib/coffer/control.lua",
         ["coffer.near"] = "bindings/lua/lib/coffer/near.lua",
         ["coffer.opening"] = "bindings/lua/lib/coffer/opening.lua",
         ["coffer.operations"] = "bindings/lua/lib/coffer/operations.lua",
         ["coffer.testing"] = "bindings/lua/lib/coffer/testing.lua",
         ["resty.coffer"] = "bindings/lua/lib/resty/coffer.lua",
         ["resty.coffer.bulk"] = "bindings/lua/lib/resty/coffer/bulk.lua",
         ["resty.coffer.driver"] = "bindings/lua/lib/resty/coffer/driver.lua",
         ["resty.coffer.fitting"] = "bindings/lua/lib/resty/coffer/fitting.lua",
         ["resty.coffer.link"] = "bindings/lua/lib/resty/coffer/link.lua",
         ["resty.coffer.loaders"] = "bindings/lua/lib/resty/coffer/loaders.lua",
         ["resty.coffer.queue"] = "bindings/lua/lib/resty/coffer/queue.lua",
         ["resty.coffer.running"] = "bindings/lua/lib/resty/coffer/running.lua",
      },
   },
}
