/* Ops on somebody else's event loop: what lib/resty/coffer/driver.lua stands on.
 *
 *     loop     userdata "coffer.loop" -> one counted coffer_mux, and a slot for each op that is under way
 *
 * A handle that is attached to a loop runs its ops there. Its calls answer as ever where the op is done at once; else
 *
 *     nil, nil, nil, op, slot, number of the loop, seconds until loop_tick is wanted
 *
 * and whoever called waits until the slot was named by loop_stopped (or is_stopped(op) says so), and then has resume(op, what stands at 2 in its call)
 * answer, which may be the same again. A loader has to run where the op comes without a slot. Where the loop holds back, ops are made and not begun: resume
 * begins them; their slot is 0.
 *
 * An op whose coroutine vanished is collected some day. __gc may run in the middle of anything here: it only says of the slot that nobody waits, and the
 * next entry frees what is there. */
#ifndef COFFER_LUA_NATIVE_LOOP_H
#define COFFER_LUA_NATIVE_LOOP_H

#include "native.h"

void coffer__lua_loop_init(lua_State *lua); /* makes the metatable */
void coffer__lua_loop_unref(coffer__lua_loop *loop); /* takes NULL */

/* Begins an op, or goes on with one that has a task: its answer, or where it waits. */
int coffer__lua_loop_run(lua_State *lua, coffer__lua_op *op);

/* An op knows its parent, which therefore lives on, should both be collected, until that one is gone. */
void coffer__lua_loop_set_parent(coffer__lua_op *op, const coffer__lua_op *parent);

/* Frees the op, and its task where it has one. */
void coffer__lua_loop_drop(coffer__lua_op *op);

/* For __gc: leaves all that the op holds to its slot. False where it has none. */
bool coffer__lua_loop_leave(coffer__lua_op *op);

/* Adds the loop's connections; harmless without a loop. */
void coffer__lua_loop_add_metrics(const coffer__lua_loop *loop, coffer_metrics *metrics);

/* ---- entered through %native; `link` as in mux.h ---- */

int coffer__lua_resume(lua_State *lua); /* (op, extra) -> its answer */
int coffer__lua_is_stopped(lua_State *lua); /* (op) -> whether resume will answer */
int coffer__lua_drop(lua_State *lua); /* (op) nobody waits for it */
int coffer__lua_later(
    lua_State *lua); /* (op that a generated function made) -> op, 0, number of the loop, 0 where there is none: not begun; resume begins it */
int coffer__lua_held_bytes(lua_State *lua); /* (op) -> about how many it keeps */

int coffer__lua_loop_new(lua_State *lua); /* (handle, number) -> loop */
int coffer__lua_loop_attach(lua_State *lua); /* (handle, loop) nothing where the handle was closed or collected */
int coffer__lua_loop_hold(lua_State *lua); /* (loop, whether ops are held back) */
int coffer__lua_loop_close(lua_State *lua); /* (loop) coffer_mux_close */
int coffer__lua_loop_step_back(lua_State *lua); /* (loop) coffer_mux_step_back */

int coffer__lua_loop_order(lua_State *lua); /* (loop) -> kind, link, ...; nothing where there is none:
                                               "connect", link, host or path, port (nil: a path), tls, wants_login, replica
                                               "write", link, bytes
                                               "close", link */
int coffer__lua_loop_stopped(
    lua_State *lua); /* (loop, table) -> how many, whose slots are at 1, 2, ... in the table; seconds until loop_tick is wanted */
int coffer__lua_loop_tick(lua_State *lua); /* (loop) -> seconds until it is wanted again, a large number for never */

int coffer__lua_loop_opened(
    lua_State *lua); /* (loop, link, wants_login, username or nil, password or nil) -> true; nil, message, code: close it. What is nil
                                                is as the options say. */
int coffer__lua_loop_reopened(lua_State *lua); /* (loop, link) */
int coffer__lua_loop_fed(lua_State *lua); /* (loop, link, bytes) */
int coffer__lua_loop_lost(lua_State *lua); /* (loop, link, status by name, words or nil) */
int coffer__lua_loop_is_idle(lua_State *lua); /* (loop, link) */
int coffer__lua_loop_release(lua_State *lua); /* (loop, link) -> whether it was idle, and is out */

#endif
