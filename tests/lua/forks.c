/* The module `forks` of tests/lua: Lua itself cannot fork.
 *
 *     forks.fork()           the child's process, and 0 in the child, which ends by itself after 20 s
 *     forks.exit(status)     ends without a word to anybody
 *     forks.kill(process)    ends that one in the middle of whatever it is at
 *     forks.wait(process)    its exit status when it has ended; above 128: the signal that ended it
 */
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_LIVES_AT_MOST_S = 20 };

static int begin(lua_State *lua) {
    pid_t process = fork();
    if (process == 0) {
        alarm(CHILD_LIVES_AT_MOST_S);
    }
    lua_pushinteger(lua, process);
    return 1;
}

static int leave(lua_State *lua) {
    _exit((int)luaL_checkinteger(lua, 1));
}

static int end(lua_State *lua) {
    lua_pushboolean(lua, kill((pid_t)luaL_checkinteger(lua, 1), SIGKILL) == 0);
    return 1;
}

static int await(lua_State *lua) {
    int status = 0;
    if (waitpid((pid_t)luaL_checkinteger(lua, 1), &status, 0) < 0) {
        return luaL_error(lua, "there is no such child");
    }
    lua_pushinteger(lua, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 1;
}

__attribute__((visibility("default"))) int luaopen_forks(lua_State *lua);

int luaopen_forks(lua_State *lua) {
    lua_createtable(lua, 0, 4);
    const struct luaL_Reg functions[] = {{"fork", begin}, {"exit", leave}, {"kill", end}, {"wait", await}};
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        lua_pushcfunction(lua, functions[i].func);
        lua_setfield(lua, -2, functions[i].name);
    }
    return 1;
}
