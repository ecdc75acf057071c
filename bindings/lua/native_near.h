/* near: reads of what is in this host's memory, without an op; and the values that were made of it.
 *
 *     kept values   a table in the registry: [key] = {value, number of its slot}, [-number] = the key
 *     versions      of the entries they were made of, by slot, in C
 *
 * The oldest gives up its slot. A value is given only where the arena confirms that its entry is still there, and a table is then the very one that others
 * got.
 *
 * Making a Lua object may collect garbage, and so run a __gc that reads with the same handle: while a room's memory is being read, others ask by an op.
 *
 * LuaJIT compiles no call of a lua_CFunction. Through its FFI it calls C functions of ours, whose addresses lie in a userdata, one for each state:
 *
 *     find(handle, key) ──look──> length   ffi.string, and is_busy = false: the whole is machine code
 *                             ├─> FOUND    near_found: decodes, keeps
 *                             ├─> MISS, NEGATIVE
 *                             └─> ASK      get, or load_begin: by an op
 *
 * These functions are given the userdata of a handle, which whoever calls holds, and see for themselves whether it was closed or collected. What was found
 * lies in the room of that userdata, not in the handle's: a close leaves it whole. */
#ifndef COFFER_LUA_NATIVE_NEAR_H
#define COFFER_LUA_NATIVE_NEAR_H

#include "native.h"

/* A key is at 2. AGAIN: nothing was pushed, an op has to ask; else how many were pushed. */
enum { COFFER__LUA_ASK = -1 };
int coffer__lua_near_get(lua_State *lua, coffer__lua_handle *handle);
int coffer__lua_near_load(lua_State *lua, coffer__lua_handle *handle); /* what get_or_load answers */
int coffer__lua_near_entry(lua_State *lua, coffer__lua_handle *handle);

void coffer__lua_near_clear(lua_State *lua, coffer__lua_near *near); /* of a handle that was closed; twice is harmless */
void coffer__lua_near_free(coffer__lua_near *near); /* of one that is gone: the room, also a busy one */

/* ---- native_calls.c: what is pushed of a read ---- */

typedef int coffer__lua_push(lua_State *lua, coffer_status status, const coffer_value *value, coffer__lua_text *scratch);
coffer__lua_push coffer__lua_push_read, coffer__lua_push_entry;

/* ---- entered through %native ---- */

int coffer__lua_peek(lua_State *lua); /* (handle, key) -> true, and what get answers; false: an op has to ask */
int coffer__lua_peek_load(lua_State *lua); /* the same of load_begin */
int coffer__lua_peek_entry(lua_State *lua); /* the same of entry */

/* (handle, how many) keeps so many values, those of before are forgotten: the table of those that are kept; 0: none. Or nil, message, code */
int coffer__lua_keep_objects(lua_State *lua);

/* () -> userdata for LuaJIT's FFI, what is in it as C has it, its size */
int coffer__lua_near_shared(lua_State *lua);

/* (handle, key, that userdata) -> what get answers, of a value that was looked at through the FFI and has to be decoded or kept */
int coffer__lua_near_found(lua_State *lua);

#endif
