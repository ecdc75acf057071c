/* A second thread for player.lua, which is inside of one call at a time: it moves the clock meanwhile. It has a Lua state of its own, whose module coffer.core is the
 * same in memory. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <pthread.h>
#include <stdio.h>

static const char chunk[] = "local core = require 'coffer.core'\n"
                            "for line in io.lines(os.getenv('PLAYED_CLOCK')) do\n"
                            "    core.clock_set(tonumber(line))\n"
                            "    io.write('ok\\n')\n"
                            "    io.flush()\n"
                            "end\n";

static void *tick(void *data) {
    lua_State *lua = (lua_State *)data;
    if (luaL_dostring(lua, chunk) != 0) {
        fprintf(stderr, "ticking: %s\n", lua_tostring(lua, -1));
    }
    return NULL;
}

__attribute__((visibility("default"))) int luaopen_ticking(lua_State *lua);

int luaopen_ticking(lua_State *lua) {
    pthread_t thread;
    lua_State *own = luaL_newstate();
    luaL_openlibs(own);
    int failed = luaL_dostring(own, "require 'coffer.core'"); /* here, for the first to load it writes tables of its own */
    lua_pushboolean(lua, failed == 0 && pthread_create(&thread, NULL, tick, own) == 0);
    return 1;
}
