#include "native_loop.h"

#include <stdint.h>
#include <stdlib.h>

static const char LOOP[] = "coffer.loop";

enum { US_PER_S = 1000000, SLOTS_AT_FIRST = 32 };

/* What is one op's: of an op that was collected, all that is to be freed. */
typedef struct slot {
    coffer_task *task;
    coffer__lua_handle *handle;
    coffer__lua_text text;
    void *batch;
    uint32_t next; /* free, or left; 0: no more */
    uint32_t parent; /* slot of the op whose loader began this one; 0: none */
    uint32_t child_count;
} slot;

struct coffer__lua_loop {
    size_t refs; /* the userdata, each handle, each op that has a slot */
    bool is_owned; /* by a userdata that was not collected yet */
    bool holds;
    lua_Integer number;
    coffer_mux *mux;
    coffer_client *client; /* the mux's */
    slot *slots; /* slot 0 stands for none */
    uint32_t slot_count, slot_cap;
    uint32_t first_free, first_left;
};

/* ---- slots ---- */

static uint32_t slot_take(coffer__lua_loop *loop) {
    uint32_t index = loop->first_free;
    if (index != 0) {
        loop->first_free = loop->slots[index].next;
        return index;
    }
    if (loop->slot_count + 1 >= loop->slot_cap) {
        uint32_t cap = loop->slot_cap == 0 ? SLOTS_AT_FIRST : loop->slot_cap * 2;
        slot *larger = realloc(loop->slots, cap * sizeof *larger);
        if (larger == NULL) {
            return 0;
        }
        loop->slots = larger;
        loop->slots[0] = loop->slot_cap == 0 ? (slot){.task = NULL} : loop->slots[0];
        loop->slot_cap = cap;
    }
    return ++loop->slot_count;
}

static void slot_give(coffer__lua_loop *loop, uint32_t index) {
    loop->slots[loop->slots[index].parent].child_count--; /* slot 0 counts those without one */
    loop->slots[index].next = loop->first_free;
    loop->first_free = index;
}

static void slot_leave(coffer__lua_loop *loop, uint32_t index) {
    loop->slots[index].next = loop->first_left;
    loop->first_left = index;
}

static void free_left(coffer__lua_loop *loop, uint32_t index) {
    slot left = loop->slots[index];
    slot_give(loop, index);
    coffer_task_free(left.task);
    coffer__lua_text_free(&left.text);
    free(left.batch);
    if (left.handle != NULL) {
        coffer__lua_handle_release(left.handle);
    }
    loop->refs--; /* never the last: who drains has one */
}

/* What collected ops have left, but for those that are the parent of another. Whether there was any. */
static bool drain_some(coffer__lua_loop *loop) {
    uint32_t index = loop->first_left;
    bool found = false;
    loop->first_left = 0;
    while (index != 0) {
        uint32_t next = loop->slots[index].next;
        if (loop->slots[index].child_count > 0) {
            slot_leave(loop, index);
        } else {
            free_left(loop, index);
            found = true;
        }
        index = next;
    }
    return found;
}

/* A parent may go when its children have. */
static void drain(coffer__lua_loop *loop) {
    while (loop->first_left != 0 && drain_some(loop)) {
    }
}

/* ---- the loop's life ---- */

void coffer__lua_loop_unref(coffer__lua_loop *loop) {
    if (loop == NULL || --loop->refs > 0) {
        return;
    }
    coffer_mux_free(loop->mux);
    free(loop->slots);
    free(loop);
}

static int loop_gc(lua_State *lua) {
    coffer__lua_loop **box = luaL_checkudata(lua, 1, LOOP);
    coffer__lua_loop *loop = *box;
    *box = NULL;
    if (loop != NULL) {
        drain(loop);
        loop->is_owned = false;
        coffer__lua_loop_unref(loop);
    }
    return 0;
}

void coffer__lua_loop_init(lua_State *lua) {
    coffer__lua_add_metatable(lua, LOOP, loop_gc);
}

/* Each entry begins with it. */
static coffer__lua_loop *enter(lua_State *lua, int index) {
    coffer__lua_loop **box = luaL_checkudata(lua, index, LOOP);
    luaL_argcheck(lua, *box != NULL, index, "a loop that was collected");
    drain(*box);
    return *box;
}

int coffer__lua_loop_new(lua_State *lua) {
    coffer__lua_handle *handle = coffer__lua_handle_of(lua, 1);
    lua_Integer number = luaL_checkinteger(lua, 2);
    if (handle->is_closed) {
        return coffer__lua_fail(lua, COFFER_CLOSED_CACHE, NULL);
    }
    coffer__lua_loop **box = lua_newuserdata(lua, sizeof *box);
    *box = NULL;
    luaL_getmetatable(lua, LOOP);
    lua_setmetatable(lua, -2);
    coffer__lua_loop *loop = calloc(1, sizeof *loop);
    coffer_client *client = coffer_namespace_client(coffer_cache_namespace(handle->cache));
    if (loop == NULL || coffer_mux_new(&loop->mux, client, NULL, NULL) != COFFER_OK) {
        free(loop);
        return coffer__lua_fail(lua, COFFER_NO_MEMORY, NULL);
    }
    loop->refs = 1;
    loop->is_owned = true;
    loop->client = client;
    loop->number = number;
    *box = loop;
    return 1;
}

int coffer__lua_loop_attach(lua_State *lua) {
    coffer__lua_handle *handle = coffer__lua_handle_at(lua, 1);
    coffer__lua_loop *loop = enter(lua, 2);
    if (handle != NULL && handle->cache != NULL) {
        loop->refs++;
        coffer__lua_loop_unref(handle->loop);
        handle->loop = loop;
    }
    return 0;
}

int coffer__lua_loop_hold(lua_State *lua) {
    enter(lua, 1)->holds = lua_toboolean(lua, 2) != 0;
    return 0;
}

int coffer__lua_loop_close(lua_State *lua) {
    coffer_mux_close(enter(lua, 1)->mux);
    return 0;
}

int coffer__lua_loop_step_back(lua_State *lua) {
    coffer_mux_step_back(enter(lua, 1)->mux, coffer_now_us());
    return 0;
}

void coffer__lua_loop_add_metrics(const coffer__lua_loop *loop, coffer_metrics *metrics) {
    if (loop != NULL) {
        coffer_mux_add_metrics(loop->mux, metrics);
    }
}

/* ---- ops ---- */

static void push_due(lua_State *lua, const coffer__lua_loop *loop) {
    lua_pushnumber(lua, (lua_Number)coffer_wait_us(coffer_mux_due_us(loop->mux)) / US_PER_S);
}

/* `slot_index` 0: it was not begun. */
static int wait_here(lua_State *lua, const coffer__lua_loop *loop, uint32_t slot_index) {
    lua_pushnil(lua);
    lua_pushnil(lua);
    lua_pushnil(lua);
    lua_pushvalue(lua, 1);
    lua_pushinteger(lua, (lua_Integer)slot_index);
    lua_pushinteger(lua, loop->number);
    push_due(lua, loop);
    return 7;
}

static coffer_status begin(coffer__lua_loop *loop, coffer__lua_op *op) {
    uint32_t index = slot_take(loop);
    if (index == 0) {
        return COFFER_NO_MEMORY;
    }
    loop->slots[index] = (slot){.parent = op->parent_slot};
    loop->slots[op->parent_slot].child_count++;
    coffer_status status = coffer_mux_submit(loop->mux, op->op, (void *)(uintptr_t)index, coffer_now_us(), &op->task);
    if (status != COFFER_OK) {
        op->task = NULL;
        slot_give(loop, index);
        return status;
    }
    op->slot = index;
    op->loop = loop;
    loop->refs++;
    return COFFER_OK;
}

/* The answer of an op that does not wait; or where it does. */
static int answer(lua_State *lua, coffer__lua_op *op) {
    op->want = coffer_task_want(op->task);
    return op->want == COFFER_WANT_REPLY ? wait_here(lua, op->loop, op->slot) : op->answer(lua, op);
}

int coffer__lua_loop_run(lua_State *lua, coffer__lua_op *op) {
    if (op->task != NULL) {
        drain(op->loop);
        coffer_task_run(op->task, coffer_now_us());
        return answer(lua, op);
    }
    coffer__lua_loop *loop = op->handle->loop;
    drain(loop);
    if (loop->holds) {
        return wait_here(lua, loop, 0);
    }
    coffer_status status = begin(loop, op);
    if (status != COFFER_OK) {
        coffer__lua_op_settle(op);
        return coffer__lua_fail(lua, status, NULL);
    }
    return answer(lua, op);
}

void coffer__lua_loop_drop(coffer__lua_op *op) {
    if (op->task == NULL) {
        coffer_op_free(op->op);
        return;
    }
    coffer__lua_loop *loop = op->loop;
    if (loop->slots[op->slot].child_count > 0 && loop->is_owned) {
        loop->slots[op->slot].task = op->task;
        slot_leave(loop, op->slot);
    } else {
        coffer_task_free(op->task);
        slot_give(loop, op->slot);
        if (!loop->is_owned) {
            drain(loop);
        }
        coffer__lua_loop_unref(loop);
    }
    op->task = NULL;
}

void coffer__lua_loop_set_parent(coffer__lua_op *op, const coffer__lua_op *parent) {
    op->parent_slot = parent->slot;
}

bool coffer__lua_loop_leave(coffer__lua_op *op) {
    coffer__lua_loop *loop = op->loop;
    if (op->handle == NULL || op->task == NULL || !loop->is_owned) {
        return false;
    }
    slot *left = &loop->slots[op->slot];
    left->task = op->task;
    left->handle = op->handle;
    left->text = op->text;
    left->batch = op->batch;
    slot_leave(loop, op->slot);
    op->handle = NULL;
    op->op = NULL;
    op->task = NULL;
    return true;
}

int coffer__lua_resume(lua_State *lua) {
    coffer__lua_op *op = coffer__lua_op_of(lua, 1);
    lua_settop(lua, 2);
    if (op == NULL) {
        return coffer__lua_fail(lua, COFFER_INTERNAL, "an operation that has ended was used again");
    }
    return op->task == NULL ? coffer__lua_loop_run(lua, op) : answer(lua, op);
}

int coffer__lua_later(lua_State *lua) {
    coffer__lua_op *op = coffer__lua_op_of(lua, 1);
    if (op == NULL) {
        return coffer__lua_fail(lua, COFFER_INTERNAL, "an operation that has ended was used again");
    }
    op->answer = coffer__lua_number_answer;
    lua_settop(lua, 1);
    lua_pushinteger(lua, 0);
    lua_pushinteger(lua, op->handle->loop == NULL ? 0 : op->handle->loop->number);
    return 3;
}

int coffer__lua_is_stopped(lua_State *lua) {
    const coffer__lua_op *op = coffer__lua_op_of(lua, 1);
    lua_pushboolean(lua, op == NULL || op->task == NULL || coffer_task_want(op->task) != COFFER_WANT_REPLY);
    return 1;
}

int coffer__lua_drop(lua_State *lua) {
    coffer__lua_op *op = coffer__lua_op_of(lua, 1);
    if (op != NULL) {
        coffer__lua_op_settle(op);
    }
    return 0;
}

int coffer__lua_held_bytes(lua_State *lua) {
    const coffer__lua_op *op = coffer__lua_op_of(lua, 1);
    lua_pushinteger(lua, op == NULL ? 0 : (lua_Integer)op->text.cap);
    return 1;
}

int coffer__lua_loop_stopped(lua_State *lua) {
    coffer__lua_loop *loop = enter(lua, 1);
    coffer_task *task;
    int count = 0;
    luaL_checktype(lua, 2, LUA_TTABLE);
    while ((task = coffer_mux_next_stopped(loop->mux)) != NULL) {
        lua_pushinteger(lua, (lua_Integer)(uintptr_t)coffer_task_data(task));
        lua_rawseti(lua, 2, ++count);
    }
    lua_pushinteger(lua, count);
    push_due(lua, loop);
    return 2;
}

int coffer__lua_loop_tick(lua_State *lua) {
    coffer__lua_loop *loop = enter(lua, 1);
    coffer_mux_tick(loop->mux, coffer_now_us());
    push_due(lua, loop);
    return 1;
}

/* ---- orders ---- */

static void push_slice(lua_State *lua, coffer_slice slice) {
    lua_pushlstring(lua, slice.len == 0 ? "" : slice.data, slice.len);
}

static int push_connect(lua_State *lua, const coffer_order *order) {
    const coffer_endpoint *at = order->endpoint;
    bool has_path = at->path.len > 0;
    push_slice(lua, has_path ? at->path : at->host);
    if (has_path) {
        lua_pushnil(lua);
    } else {
        lua_pushinteger(lua, at->port);
    }
    lua_pushboolean(lua, at->tls);
    lua_pushboolean(lua, order->wants_login);
    lua_pushboolean(lua, at->replica);
    return 7;
}

int coffer__lua_loop_order(lua_State *lua) {
    static const char *const KINDS[] = {[COFFER_ORDER_CONNECT] = "connect", [COFFER_ORDER_WRITE] = "write", [COFFER_ORDER_CLOSE] = "close"};
    coffer_order order;
    if (!coffer_mux_next_order(enter(lua, 1)->mux, coffer_now_us(), &order)) {
        return 0;
    }
    lua_pushstring(lua, KINDS[order.kind]);
    lua_pushinteger(lua, (lua_Integer)order.link);
    if (order.kind == COFFER_ORDER_CONNECT) {
        return push_connect(lua, &order);
    }
    if (order.kind == COFFER_ORDER_WRITE) {
        push_slice(lua, order.data);
        return 3;
    }
    return 2;
}

/* ---- what happened ---- */

static uint32_t link_of(lua_State *lua) {
    return (uint32_t)luaL_checkinteger(lua, 2);
}

static coffer_slice text_of(lua_State *lua, int index) {
    return lua_type(lua, index) == LUA_TSTRING ? coffer__lua_slice(lua, index) : coffer_slice_of(NULL, 0);
}

/* As the options say, which may name a file. */
static coffer_status open_as_options(coffer__lua_loop *loop, uint32_t link, coffer_error *error) {
    coffer_login *login = NULL;
    coffer_status status = coffer_login_new(&login, loop->client, error);
    if (status == COFFER_OK) {
        coffer_mux_opened(loop->mux, link, coffer_login_username(login), coffer_login_password(login), coffer_now_us());
        coffer_login_free(login);
    } else {
        coffer_mux_lost(loop->mux, link, status, error->text, coffer_now_us());
    }
    return status;
}

int coffer__lua_loop_opened(lua_State *lua) {
    coffer_error error = {.status = COFFER_OK};
    coffer__lua_loop *loop = enter(lua, 1);
    bool wants_login = lua_toboolean(lua, 3) != 0;
    if (wants_login && lua_isnoneornil(lua, 4)) {
        coffer_status status = open_as_options(loop, link_of(lua), &error);
        if (status != COFFER_OK) {
            return coffer__lua_fail(lua, status, error.text);
        }
    } else {
        coffer_mux_opened(loop->mux, link_of(lua), text_of(lua, 4), text_of(lua, 5), coffer_now_us());
    }
    lua_pushboolean(lua, 1);
    return 1;
}

int coffer__lua_loop_reopened(lua_State *lua) {
    coffer_mux_reopened(enter(lua, 1)->mux, link_of(lua), coffer_now_us());
    return 0;
}

int coffer__lua_loop_fed(lua_State *lua) {
    coffer_mux_fed(enter(lua, 1)->mux, link_of(lua), coffer__lua_key(lua, 3), coffer_now_us());
    return 0;
}

int coffer__lua_loop_lost(lua_State *lua) {
    coffer__lua_loop *loop = enter(lua, 1);
    const char *detail = lua_isstring(lua, 4) ? lua_tostring(lua, 4) : NULL;
    coffer_mux_lost(loop->mux, link_of(lua), coffer_status_named(luaL_checkstring(lua, 3)), detail, coffer_now_us());
    return 0;
}

int coffer__lua_loop_is_idle(lua_State *lua) {
    lua_pushboolean(lua, coffer_mux_link_idle(enter(lua, 1)->mux, link_of(lua)));
    return 1;
}

int coffer__lua_loop_release(lua_State *lua) {
    lua_pushboolean(lua, coffer_mux_release(enter(lua, 1)->mux, link_of(lua)));
    return 1;
}
