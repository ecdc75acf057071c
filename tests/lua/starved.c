/* Runs a scenario in a Lua state whose memory runs out, at each allocation in turn: `starved SCRIPT URL`.
 *
 * The script returns a function that opens a cache and answers a scenario. Once two allocations in a row fail (Lua collects and tries
 * again after one), once all that follow. Whatever the scenario then raises or answers, the cache has to work afterwards; what was jumped over
 * and lost is for LeakSanitizer to find at the end.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define STEPS_AT_MOST 20000

typedef struct hunger {
    long left; /* allocations until one fails; below 0: none does */
    long failures; /* that are still to come then */
    bool has_failed;
} hunger;

static void *allocate(void *user_data, void *block, size_t old_size, size_t size) {
    hunger *state = user_data;
    if (size == 0) {
        free(block);
        return NULL;
    }
    bool is_growing = block == NULL || size > old_size; /* Lua relies on shrinking */
    if (is_growing && state->left >= 0) {
        if (state->left > 0) {
            state->left--;
        } else if (state->failures > 0) {
            state->failures--;
            state->has_failed = true;
            return NULL;
        }
    }
    return realloc(block, size);
}

static int die(lua_State *lua, const char *what) {
    fprintf(stderr, "%s: %s\n", what, lua_tostring(lua, -1));
    return EXIT_FAILURE;
}

/* Stack: the scenario at 1, the check at 2. True while memory did run out. */
static bool run_once(lua_State *lua, hunger *state, long step, long failures) {
    lua_settop(lua, 2);
    lua_pushvalue(lua, 1);
    *state = (hunger){step, failures, false};
    lua_pcall(lua, 0, 0, 0);
    state->left = -1;
    return state->has_failed;
}

static int run_all(lua_State *lua, hunger *state, long failures) {
    for (long step = 0; run_once(lua, state, step, failures); step++) {
        lua_settop(lua, 2);
        lua_pushvalue(lua, 2);
        if (lua_pcall(lua, 0, 0, 0) != LUA_OK) {
            fprintf(stderr, "after want of memory at allocation %ld: ", step);
            return die(lua, "check");
        }
        if (step == STEPS_AT_MOST) {
            lua_pushliteral(lua, "it never ends");
            return die(lua, "scenario");
        }
    }
    return EXIT_SUCCESS;
}

int main(int count, char **arguments) {
    hunger state = {-1, 0, false};
    lua_State *lua = lua_newstate(allocate, &state);
    if (lua == NULL || count != 3) {
        fprintf(stderr, "usage: starved SCRIPT URL\n");
        return EXIT_FAILURE;
    }
    luaL_openlibs(lua);
    int result = EXIT_FAILURE;
    lua_pushstring(lua, arguments[2]);
    lua_setglobal(lua, "URL");
    if (luaL_loadfile(lua, arguments[1]) != LUA_OK || lua_pcall(lua, 0, 2, 0) != LUA_OK) {
        result = die(lua, "script");
    } else {
        result = run_all(lua, &state, 2) == EXIT_SUCCESS ? run_all(lua, &state, STEPS_AT_MOST) : EXIT_FAILURE;
    }
    lua_close(lua);
    return result;
}
