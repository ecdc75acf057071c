#include "native_loop.h"
#include "native_near.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- one key ---- */

static int closed(lua_State *lua) {
    return coffer__lua_fail(lua, COFFER_CLOSED_CACHE, NULL);
}

static int ended(lua_State *lua) {
    return coffer__lua_fail(lua, COFFER_INTERNAL, "an operation that has ended was used again");
}

static bool is_answered(coffer_status status) {
    return status == COFFER_OK || status == COFFER_STALE;
}

/* value, nil, source; or nil, nil, "negative" or nil; or nil, message, code */
int coffer__lua_push_read(lua_State *lua, coffer_status status, const coffer_value *value, coffer__lua_text *scratch) {
    const char *source = value->source == COFFER_SOURCE_NONE ? NULL : coffer_source_name(value->source);
    coffer__lua_fault fault = {COFFER_OK, NULL};
    if (is_answered(status)) {
        fault = coffer__lua_push_value(lua, value, scratch);
    } else {
        lua_pushnil(lua);
    }
    if (fault.status < 0) {
        return coffer__lua_fail_fault(lua, fault);
    }
    lua_pushnil(lua);
    lua_pushstring(lua, source); /* nil for NULL */
    return 3;
}

/* The answer of an op that is done, made by `push`. Settles. */
static int push_answer(lua_State *lua, coffer__lua_op *op, coffer__lua_push *push) {
    coffer_status status = coffer__lua_op_status(op);
    if (status < 0) {
        return coffer__lua_op_fail(lua, op);
    }
    int pushed = push(lua, status, coffer_op_value(op->op), &op->text);
    coffer__lua_op_settle(op);
    return pushed;
}

static int read_answer(lua_State *lua, coffer__lua_op *op) {
    return push_answer(lua, op, coffer__lua_push_read);
}

static void set_number(lua_State *lua, const char *name, double number) {
    lua_pushnumber(lua, (lua_Number)number);
    lua_setfield(lua, -2, name);
}

/* Unix seconds; not set where they are not known. */
static void set_time(lua_State *lua, const char *name, uint64_t unix_ms) {
    if (unix_ms != 0) {
        set_number(lua, name, unix_ms == COFFER_TTL_FOREVER ? HUGE_VAL : (double)unix_ms / 1000);
    }
}

/* Sets the fields of an entry, all but its value, in the table on top. */
static void set_entry(lua_State *lua, const coffer_value *value) {
    char id[COFFER__LUA_ID_DIGITS + 1];
    snprintf(id, sizeof id, "%016llx", (unsigned long long)value->entry_id);
    lua_pushstring(lua, id);
    lua_setfield(lua, -2, "entry_id");
    lua_pushstring(lua, coffer_source_name(value->source));
    lua_setfield(lua, -2, "source");
    lua_pushinteger(lua, value->format);
    lua_setfield(lua, -2, "format");
    set_number(lua, "load_cost", value->load_cost_ms / 1000.0);
    set_time(lua, "created", value->created_unix_ms);
    set_time(lua, "fresh", value->fresh_unix_ms);
    set_time(lua, "expires", value->expires_unix_ms);
}

/* A table without its value, and the value; or nil, nil for a miss; an absence is an entry without a value. */
int coffer__lua_push_entry(lua_State *lua, coffer_status status, const coffer_value *value, coffer__lua_text *scratch) {
    if (status == COFFER_MISS && value->source != COFFER_SOURCE_NEGATIVE) {
        return coffer__lua_push_read(lua, status, value, scratch);
    }
    coffer__lua_fault fault = {COFFER_OK, NULL};
    lua_createtable(lua, 0, 8);
    set_entry(lua, value);
    if (is_answered(status)) {
        fault = coffer__lua_push_value(lua, value, scratch);
        if (fault.status == COFFER_OK) {
            lua_setfield(lua, -2, "value");
        }
    }
    return fault.status < 0 ? coffer__lua_fail_fault(lua, fault) : 1;
}

static int entry_answer(lua_State *lua, coffer__lua_op *op) {
    return push_answer(lua, op, coffer__lua_push_entry);
}

/* What is near of (handle, key, ..., ..., whether it was looked for in vain). */
static int found_near(lua_State *lua, int (*read_near)(lua_State *, coffer__lua_handle *)) {
    coffer__lua_handle *handle = coffer__lua_handle_of(lua, 1);
    return lua_toboolean(lua, 5) ? COFFER__LUA_ASK : read_near(lua, handle);
}

/* What get and entry share: (handle, key, stale, timeout_ms, whether it was looked for in vain). */
static int read_one(lua_State *lua, int (*read_near)(lua_State *, coffer__lua_handle *), coffer__lua_answer answer) {
    int pushed = found_near(lua, read_near);
    if (pushed != COFFER__LUA_ASK) {
        return pushed;
    }
    coffer_slice key = coffer__lua_key(lua, 2);
    coffer_read_options options = coffer__lua_read_options(lua, 4);
    options.accept_stale = lua_toboolean(lua, 3) != 0;
    coffer__lua_op *op = coffer__lua_op_begin(lua);
    if (op == NULL) {
        return closed(lua);
    }
    coffer_status made = coffer_op_get(&op->op, coffer__lua_op_namespace(op), key, &options);
    return coffer__lua_op_end(lua, op, made, answer);
}

/* (handle, key, stale, timeout_ms, looked) -> value, nil, source */
int coffer__lua_get(lua_State *lua) {
    return read_one(lua, coffer__lua_near_get, read_answer);
}

/* (handle, key, stale, timeout_ms) -> entry */
int coffer__lua_entry(lua_State *lua) {
    return read_one(lua, coffer__lua_near_entry, entry_answer);
}

static int done_answer(lua_State *lua, coffer__lua_op *op) {
    if (coffer__lua_op_status(op) < 0) {
        return coffer__lua_op_fail(lua, op);
    }
    coffer__lua_op_settle(op);
    lua_pushboolean(lua, 1);
    return 1;
}

/* A value for an op: copied where somebody else may run while it is under way. */
static coffer__lua_fault value_of(lua_State *lua, coffer__lua_op *op, int index) {
    return op->handle->loop != NULL ? coffer__lua_op_lend(lua, op, index) : coffer__lua_value_in(lua, index, &op->text, &op->value, &op->format);
}

/* (handle, key, value or nil for an absence, ttl_ms, timeout_ms) -> true */
int coffer__lua_set(lua_State *lua) {
    coffer_slice key = coffer__lua_key(lua, 2);
    bool is_absent = lua_isnoneornil(lua, 3);
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.ttl_ms = coffer__lua_duration(lua, 4);
    options.timeout_ms = coffer__lua_duration(lua, 5);
    options.absent = is_absent;
    coffer__lua_op *op = coffer__lua_op_begin(lua);
    if (op == NULL) {
        return closed(lua);
    }
    coffer__lua_fault fault = {COFFER_OK, NULL};
    if (!is_absent) {
        fault = value_of(lua, op, 3);
        options.format = op->format;
    }
    if (fault.status < 0) {
        coffer__lua_op_settle(op);
        return coffer__lua_fail_fault(lua, fault);
    }
    coffer_status made = coffer_op_set(&op->op, coffer__lua_op_namespace(op), key, op->value, &options);
    return coffer__lua_op_end(lua, op, made, done_answer);
}

static int was_there_answer(lua_State *lua, coffer__lua_op *op) {
    coffer_status status = coffer__lua_op_status(op);
    if (status < 0) {
        return coffer__lua_op_fail(lua, op);
    }
    coffer__lua_op_settle(op);
    lua_pushboolean(lua, status == COFFER_OK);
    return 1;
}

/* (handle, key, timeout_ms) -> whether it was there */
int coffer__lua_delete(lua_State *lua) {
    coffer_slice key = coffer__lua_key(lua, 2);
    coffer_read_options options = coffer__lua_read_options(lua, 3);
    coffer__lua_op *op = coffer__lua_op_begin(lua);
    if (op == NULL) {
        return closed(lua);
    }
    coffer_status made = coffer_op_delete(&op->op, coffer__lua_op_namespace(op), key, &options);
    return coffer__lua_op_end(lua, op, made, was_there_answer);
}

int coffer__lua_number_answer(lua_State *lua, coffer__lua_op *op) {
    coffer_status status = coffer__lua_op_status(op);
    if (status < 0) {
        return coffer__lua_op_fail(lua, op);
    }
    lua_pushinteger(lua, status);
    if (!coffer__lua_push_integer(lua, coffer_op_integer(op->op))) {
        lua_pushnil(lua);
    }
    coffer__lua_op_settle(op);
    return 2;
}

/* (op) -> status, integer or nil where this Lua cannot keep it: runs an op that a generated wrapper made. */
int coffer__lua_op_finish(lua_State *lua) {
    coffer__lua_op *op = coffer__lua_op_of(lua, 1);
    if (op == NULL) {
        return ended(lua);
    }
    return coffer__lua_op_end(lua, op, COFFER_OK, coffer__lua_number_answer);
}

/* ---- many keys ---- */

/* Memory for `count` parts, owned by the op. */
static void *batch_of(coffer__lua_op *op, size_t count, size_t size) {
    op->batch = calloc(count + 1, size);
    return op->batch;
}

/* The strings of the array at `index`, which stay in it. NULL: no memory. */
static coffer_slice *keys_of(lua_State *lua, coffer__lua_op *op, int index, size_t count) {
    coffer_slice *keys = batch_of(op, count, sizeof *keys);
    for (size_t i = 0; keys != NULL && i < count; i++) {
        lua_rawgeti(lua, index, (int)i + 1);
        keys[i] = coffer__lua_key(lua, -1);
        lua_pop(lua, 1);
    }
    return keys;
}

static int out_of_memory(lua_State *lua, coffer__lua_op *op) {
    coffer__lua_op_settle(op);
    return coffer__lua_fail(lua, COFFER_NO_MEMORY, NULL);
}

static void fail_key(lua_State *lua, size_t index, coffer_status status) {
    if (status < 0) {
        lua_rawgeti(lua, 2, (int)index + 1);
        lua_pushstring(lua, coffer_status_name(status));
        lua_rawset(lua, -3);
    }
}

/* nil, message, code, and {key = code} of those of the array at 2 that failed, where it is still there. */
static int fail_many(lua_State *lua, coffer__lua_op *op) {
    bool is_ended = op->task == NULL || coffer_task_status(op->task) == coffer_op_status(op->op);
    size_t count = is_ended && lua_istable(lua, 2) ? coffer_op_count(op->op) : 0;
    lua_newtable(lua);
    for (size_t i = 0; i < count; i++) {
        fail_key(lua, i, coffer_op_item(op->op, i, NULL));
    }
    coffer__lua_op_fail(lua, op);
    lua_pushvalue(lua, -4);
    return 4;
}

static coffer__lua_fault put_item(lua_State *lua, coffer__lua_op *op, size_t index) {
    coffer_value value;
    coffer_status status = coffer_op_item(op->op, index, &value);
    if (!is_answered(status)) {
        return (coffer__lua_fault){status < 0 ? status : COFFER_OK, NULL};
    }
    lua_rawgeti(lua, 2, (int)index + 1);
    coffer__lua_fault fault = coffer__lua_push_value(lua, &value, &op->text);
    if (fault.status == COFFER_OK) {
        lua_rawset(lua, -3);
    }
    return fault;
}

static int values_answer(lua_State *lua, coffer__lua_op *op) {
    coffer__lua_fault fault = {COFFER_OK, NULL};
    if (coffer__lua_op_status(op) < 0) {
        return fail_many(lua, op);
    }
    size_t count = coffer_op_count(op->op);
    lua_newtable(lua);
    for (size_t i = 0; i < count && fault.status == COFFER_OK; i++) {
        fault = put_item(lua, op, i);
    }
    coffer__lua_op_settle(op);
    return fault.status < 0 ? coffer__lua_fail_fault(lua, fault) : 1;
}

/* (handle, array of keys, their number, stale, timeout_ms) -> {key = value} of those that were found */
int coffer__lua_get_many(lua_State *lua) {
    size_t count = (size_t)luaL_checkinteger(lua, 3);
    coffer_read_options options = coffer__lua_read_options(lua, 5);
    options.accept_stale = lua_toboolean(lua, 4) != 0;
    coffer__lua_op *op = coffer__lua_op_begin(lua);
    if (op == NULL) {
        return closed(lua);
    }
    const coffer_slice *keys = keys_of(lua, op, 2, count);
    if (keys == NULL) {
        return out_of_memory(lua, op);
    }
    coffer_status made = coffer_op_get_many(&op->op, coffer__lua_op_namespace(op), keys, count, &options);
    return coffer__lua_op_end(lua, op, made, values_answer);
}

static int count_answer(lua_State *lua, coffer__lua_op *op) {
    if (coffer__lua_op_status(op) < 0) {
        return fail_many(lua, op);
    }
    coffer__lua_push_count(lua, (uint64_t)coffer_op_integer(op->op));
    coffer__lua_op_settle(op);
    return 1;
}

/* (handle, array of keys, their number, timeout_ms) -> how many were there */
int coffer__lua_delete_many(lua_State *lua) {
    size_t count = (size_t)luaL_checkinteger(lua, 3);
    coffer_read_options options = coffer__lua_read_options(lua, 4);
    coffer__lua_op *op = coffer__lua_op_begin(lua);
    if (op == NULL) {
        return closed(lua);
    }
    const coffer_slice *keys = keys_of(lua, op, 2, count);
    if (keys == NULL) {
        return out_of_memory(lua, op);
    }
    coffer_status made = coffer_op_delete_many(&op->op, coffer__lua_op_namespace(op), keys, count, &options);
    return coffer__lua_op_end(lua, op, made, count_answer);
}

/* In a loop strings are copied too, as others run while they are on their way. */
static coffer__lua_fault copy_item(coffer__lua_op *op, const coffer_item *item) {
    bool is_copied = item->format == COFFER_FORMAT_JSON || coffer__lua_text_append(&op->text, item->value.data, item->value.len);
    return (coffer__lua_fault){is_copied ? COFFER_OK : COFFER_NO_MEMORY, NULL};
}

/* The text moves while it grows: what stands there, one behind the other, is found when it is whole. */
static coffer__lua_fault fill_items(lua_State *lua, coffer__lua_op *op, coffer_item *items, size_t count) {
    bool copies = op->handle->loop != NULL;
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(lua, 2, (int)i + 1);
        lua_rawgeti(lua, 3, (int)i + 1);
        items[i].key = coffer__lua_key(lua, -2);
        coffer__lua_fault fault = coffer__lua_value_in(lua, lua_gettop(lua), &op->text, &items[i].value, &items[i].format);
        if (fault.status == COFFER_OK && copies) {
            fault = copy_item(op, &items[i]);
        }
        if (fault.status < 0) {
            return fault;
        }
        lua_pop(lua, 2);
    }
    for (size_t i = 0; i < count; i++) {
        if (copies || items[i].format == COFFER_FORMAT_JSON) {
            items[i].value.data = op->text.data + offset;
            offset += items[i].value.len;
        }
    }
    return (coffer__lua_fault){COFFER_OK, NULL};
}

static int all_done_answer(lua_State *lua, coffer__lua_op *op) {
    return coffer__lua_op_status(op) < 0 ? fail_many(lua, op) : done_answer(lua, op);
}

/* (handle, array of keys, array of values, their number, ttl_ms, timeout_ms) -> true */
int coffer__lua_set_many(lua_State *lua) {
    size_t count = (size_t)luaL_checkinteger(lua, 4);
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.ttl_ms = coffer__lua_duration(lua, 5);
    options.timeout_ms = coffer__lua_duration(lua, 6);
    coffer__lua_op *op = coffer__lua_op_begin(lua);
    if (op == NULL) {
        return closed(lua);
    }
    coffer_item *items = batch_of(op, count, sizeof *items);
    if (items == NULL) {
        return out_of_memory(lua, op);
    }
    coffer__lua_fault fault = fill_items(lua, op, items, count);
    if (fault.status < 0) {
        coffer__lua_op_settle(op);
        return coffer__lua_fail_fault(lua, fault);
    }
    coffer_status made = coffer_op_set_many(&op->op, coffer__lua_op_namespace(op), items, count, &options);
    return coffer__lua_op_end(lua, op, made, all_done_answer);
}

/* ---- loads ----
 *
 *     load_begin ──> value, nil, source            ┌──> load_supply ──> value, nil, source
 *                └─> nil, nil, nil, load ──(loader)┴──> load_abort  ──> a stale value, nil, "stale"; or nothing
 */

static uint64_t clock_ms(void) {
    return coffer_now_us() / 1000;
}

/* nil, nil, nil and the load where its loader has to run, else what a read answers; the very value that was supplied where it is what was loaded. */
static int load_answer(lua_State *lua, coffer__lua_op *op) {
    if (op->want == COFFER_WANT_LOAD) {
        op->load_began_ms = clock_ms();
        op->is_supplied = false;
        lua_settop(lua, 1);
        lua_pushnil(lua);
        lua_pushnil(lua);
        lua_pushnil(lua);
        lua_pushvalue(lua, 1);
        return 4;
    }
    if (op->is_supplied && coffer__lua_op_status(op) == COFFER_OK && coffer_op_value(op->op)->source == COFFER_SOURCE_LOADED) {
        coffer__lua_op_settle(op);
        lua_pushvalue(lua, 2);
        lua_pushnil(lua);
        lua_pushstring(lua, coffer_source_name(COFFER_SOURCE_LOADED));
        return 3;
    }
    return read_answer(lua, op);
}

/* (handle, key, load whose loader is running or nil, timeout_ms, looked) -> value, nil, source; or nil, nil, nil, load */
int coffer__lua_load_begin(lua_State *lua) {
    int pushed = found_near(lua, coffer__lua_near_load);
    if (pushed != COFFER__LUA_ASK) {
        return pushed;
    }
    coffer_slice key = coffer__lua_key(lua, 2);
    const coffer__lua_op *outer = lua_isnoneornil(lua, 3) ? NULL : coffer__lua_op_of(lua, 3);
    coffer_read_options options = coffer__lua_read_options(lua, 4);
    coffer__lua_op *op = coffer__lua_op_begin(lua);
    if (op == NULL) {
        return closed(lua);
    }
    coffer_status made = coffer_op_get_or_load(&op->op, coffer__lua_op_namespace(op), key, &options);
    if (made == COFFER_OK && outer != NULL && outer->loop == op->handle->loop) { /* only where they are alike it stays while its children do */
        coffer_op_set_parent(op->op, outer->op);
        coffer__lua_loop_set_parent(op, outer);
    }
    return coffer__lua_op_end(lua, op, made, load_answer);
}

/* The stale value of a load that failed; nothing where there is none, or why its value could not be stored. */
static int stale_answer(lua_State *lua, coffer__lua_op *op) {
    coffer__lua_fault fault = op->fault;
    if (op->want == COFFER_WANT_DONE && coffer__lua_op_status(op) == COFFER_STALE) {
        return read_answer(lua, op);
    }
    coffer__lua_op_settle(op);
    return fault.status < 0 ? coffer__lua_fail_fault(lua, fault) : 0;
}

static int fail_load(lua_State *lua, coffer__lua_op *op, coffer__lua_fault fault) {
    op->fault = fault;
    coffer_op_abort(op->op, COFFER_LOAD_FAILED);
    return coffer__lua_op_go_on(lua, op, stale_answer);
}

/* (load, value or nil for an absence, ttl_ms) -> as load_begin. A value that cannot be stored is a loader that failed. */
int coffer__lua_load_supply(lua_State *lua) {
    coffer__lua_op *op = coffer__lua_op_of(lua, 1);
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.ttl_ms = coffer__lua_duration(lua, 3);
    options.absent = lua_isnoneornil(lua, 2);
    if (op == NULL) {
        return ended(lua);
    }
    uint64_t cost_ms = clock_ms() - op->load_began_ms;
    coffer__lua_fault fault = {COFFER_OK, NULL};
    op->text.len = 0;
    if (!options.absent) {
        fault = coffer__lua_value_in(lua, 2, &op->text, &op->value, &options.format);
    }
    if (fault.status < 0) {
        return fail_load(lua, op, fault);
    }
    op->is_supplied = !options.absent;
    coffer_op_supply(op->op, op->value, &options, cost_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)cost_ms);
    return coffer__lua_op_go_on(lua, op, load_answer);
}

/* (load) -> value, nil, "stale"; or nothing: the loader's own error is the answer */
int coffer__lua_load_abort(lua_State *lua) {
    coffer__lua_op *op = coffer__lua_op_of(lua, 1);
    return op == NULL ? 0 : fail_load(lua, op, (coffer__lua_fault){COFFER_OK, NULL});
}
