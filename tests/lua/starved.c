/* Runs operations while memory runs out, at each allocation in turn: `starved SCRIPT URL WHOSE`.
 *
 * WHOSE: "lua", the state's own allocator (5.4); "core", what the module asks malloc for; "libraries", that and what hiredis, zstd and OpenSSL ask for.
 * The script returns an array of {name, function} and a check. Each function is run with its first allocation failed, then its second, and so
 * on until none is left: once that alone (of Lua's own two in a row, since Lua collects and tries again after one), once all that follow too.
 * The function raises nothing but want of memory, and answers what it always does or says what it lacked: it sees to that itself. Behind it the
 * check has to pass; what was jumped over and lost is counted at the end, and found by LeakSanitizer.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/starve.h"

#define STEPS_AT_MOST 20000

static bool is_lua_hungry;

#if LUA_VERSION_NUM >= 504
static void *allocate(void *user_data, void *block, size_t old_size, size_t size) {
    (void)user_data;
    if (size == 0) {
        free(block);
        return NULL;
    }
    bool is_growing = block == NULL || size > old_size; /* Lua relies on shrinking */
    return is_growing && is_lua_hungry && starve_refuses() ? NULL : realloc(block, size);
}

static lua_State *new_state(void) {
    return lua_newstate(allocate, NULL);
}
#else
static lua_State *new_state(void) {
    return luaL_newstate();
}
#endif

static bool complain(lua_State *lua, const char *name, long step, const char *what) {
    fprintf(stderr, "%s, allocation %ld: %s: %s\n", name, step, what, lua_tostring(lua, -1));
    return false;
}

/* Runs the operation on top of the stack. False: it raised something. */
static bool run_starved(lua_State *lua, bool is_lua, long step, long refuse_count, bool *has_starved) {
    lua_pushvalue(lua, -1);
    is_lua_hungry = is_lua;
    starve_begin(step, refuse_count);
    int status = lua_pcall(lua, 0, 0, 0);
    *has_starved = starve_end();
    is_lua_hungry = false;
    bool is_want = status == LUA_ERRMEM || (status != LUA_OK && is_lua && strstr(lua_tostring(lua, -1), "not enough memory") != NULL);
    return status == LUA_OK || (is_want && is_lua);
}

/* How many allocations the operation on top of the stack had; below 0: something was wrong. */
static long run_all(lua_State *lua, const char *name, bool is_lua, long refuse_count) {
    int top = lua_gettop(lua);
    for (long step = 0; step < STEPS_AT_MOST; step++) {
        bool has_starved = false;
        if (!run_starved(lua, is_lua, step, refuse_count, &has_starved)) {
            return complain(lua, name, step, "raised") - 1;
        }
        lua_settop(lua, top);
        lua_getglobal(lua, "CHECK");
        if (lua_pcall(lua, 0, 0, 0) != LUA_OK) {
            return complain(lua, name, step, "afterwards") - 1;
        }
        if (!has_starved) {
            return step;
        }
    }
    lua_pushliteral(lua, "it never ends");
    return complain(lua, name, STEPS_AT_MOST, "scenario") - 1;
}

/* The array of operations is on top. */
static bool run_operations(lua_State *lua, bool is_lua) {
    long counts[2] = {0, 0};
    for (int i = 1;; i++) {
        lua_rawgeti(lua, -1, i);
        if (lua_isnil(lua, -1)) {
            printf("%ld allocations failed once, %ld allocations failed for good\n", counts[0], counts[1]);
            return i > 1;
        }
        lua_rawgeti(lua, -1, 1);
        const char *name = lua_tostring(lua, -1);
        lua_rawgeti(lua, -2, 2);
        for (int for_good = 0; for_good < 2; for_good++) {
            long count = run_all(lua, name, is_lua, for_good ? STARVE_FOR_GOOD : 1 + is_lua);
            if (count < 0) {
                return false;
            }
            counts[for_good] += count;
        }
        lua_pop(lua, 3);
    }
}

static bool hook(const char *whose) {
    if (strcmp(whose, "libraries") == 0 && (!starve_hook("libhiredis") || !starve_hook("libzstd") || !starve_hook("libcrypto"))) {
        return false;
    }
    return strcmp(whose, "lua") == 0 || starve_hook("/coffer/core.so") > 0;
}

static bool run(lua_State *lua, char **arguments) {
    luaL_openlibs(lua);
    lua_pushstring(lua, arguments[2]);
    lua_setglobal(lua, "URL");
    if (luaL_loadfile(lua, arguments[1]) != 0 || lua_pcall(lua, 0, 2, 0) != 0) {
        return complain(lua, arguments[1], 0, "raised");
    }
    lua_setglobal(lua, "CHECK");
    if (!hook(arguments[3])) {
        lua_pushliteral(lua, "the module or a library is not loaded");
        return complain(lua, arguments[3], 0, "nothing to hook");
    }
    return run_operations(lua, strcmp(arguments[3], "lua") == 0);
}

int main(int count, char **arguments) {
    lua_State *lua = new_state();
    if (lua == NULL || count != 4) {
        fprintf(stderr, "usage: starved SCRIPT URL lua|core|libraries\n");
        return EXIT_FAILURE;
    }
    bool is_done = run(lua, arguments);
    lua_close(lua);
    return is_done ? EXIT_SUCCESS : EXIT_FAILURE;
}
