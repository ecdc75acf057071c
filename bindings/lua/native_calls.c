#include "native.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- one key ---- */

/* Runs an op without a loader to its end. False where it could not be made or ended in an error: then the answer is pushed. */
static bool finish(lua_State *lua, coffer__lua_op *op, coffer_status made) {
    if (made < 0) {
        coffer__lua_op_settle(op);
        coffer__lua_fail(lua, made, NULL);
        return false;
    }
    coffer__lua_op_run(lua, op);
    if (coffer_op_status(op->op) < 0) {
        coffer__lua_op_fail(lua, op);
        return false;
    }
    return true;
}

static int closed(lua_State *lua) {
    return coffer__lua_fail(lua, COFFER_CLOSED_CACHE, NULL);
}

static bool is_answered(coffer_status status) {
    return status == COFFER_OK || status == COFFER_STALE;
}

/* The answer of a read that is done: value, nil, source; or nil, nil, "negative" or nil; or nil, message, code. Settles. */
static int read_answer(lua_State *lua, coffer__lua_op *op) {
    coffer_status status = coffer_op_status(op->op);
    const coffer_value *value = coffer_op_value(op->op);
    coffer__lua_fault fault = {COFFER_OK, NULL};
    if (status < 0) {
        return coffer__lua_op_fail(lua, op);
    }
    if (is_answered(status)) {
        fault = coffer__lua_push_value(lua, value, &op->text);
    } else {
        lua_pushnil(lua);
    }
    const char *source = value->source == COFFER_SOURCE_NONE ? NULL : coffer_source_name(value->source);
    coffer__lua_op_settle(op);
    if (fault.status < 0) {
        return coffer__lua_fail_fault(lua, fault);
    }
    lua_pushnil(lua);
    lua_pushstring(lua, source); /* nil for NULL */
    return 3;
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
static int entry_answer(lua_State *lua, coffer__lua_op *op) {
    coffer_status status = coffer_op_status(op->op);
    const coffer_value *value = coffer_op_value(op->op);
    if (status < 0 || (status == COFFER_MISS && value->source != COFFER_SOURCE_NEGATIVE)) {
        return read_answer(lua, op);
    }
    coffer__lua_fault fault = {COFFER_OK, NULL};
    lua_createtable(lua, 0, 8);
    set_entry(lua, value);
    if (is_answered(status)) {
        fault = coffer__lua_push_value(lua, value, &op->text);
        if (fault.status == COFFER_OK) {
            lua_setfield(lua, -2, "value");
        }
    }
    coffer__lua_op_settle(op);
    return fault.status < 0 ? coffer__lua_fail_fault(lua, fault) : 1;
}

/* What get and entry share: (handle, key, stale, timeout_ms). */
static int read_one(lua_State *lua, int (*answer)(lua_State *, coffer__lua_op *)) {
    coffer_slice key = coffer__lua_key(lua, 2);
    coffer_read_options options = coffer__lua_read_options(lua, 4);
    options.accept_stale = lua_toboolean(lua, 3) != 0;
    coffer__lua_op *op = coffer__lua_op_begin(lua, 1);
    if (op == NULL) {
        return closed(lua);
    }
    coffer_status made = coffer_op_get(&op->op, coffer__lua_op_namespace(op), key, &options);
    return finish(lua, op, made) ? answer(lua, op) : 3;
}

/* (handle, key, stale, timeout_ms) -> value, nil, source */
int coffer__lua_get(lua_State *lua) {
    return read_one(lua, read_answer);
}

/* (handle, key, stale, timeout_ms) -> entry */
int coffer__lua_entry(lua_State *lua) {
    return read_one(lua, entry_answer);
}

/* (handle, key, value or nil for an absence, ttl_ms, timeout_ms) -> true */
int coffer__lua_set(lua_State *lua) {
    coffer_slice key = coffer__lua_key(lua, 2);
    bool is_absent = lua_isnoneornil(lua, 3);
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.ttl_ms = coffer__lua_duration(lua, 4);
    options.timeout_ms = coffer__lua_duration(lua, 5);
    options.absent = is_absent;
    coffer__lua_op *op = coffer__lua_op_begin(lua, 1);
    if (op == NULL) {
        return closed(lua);
    }
    coffer__lua_fault fault = {COFFER_OK, NULL};
    if (!is_absent) {
        fault = coffer__lua_value_in(lua, 3, &op->text, &op->value, &options.format);
    }
    if (fault.status < 0) {
        coffer__lua_op_settle(op);
        return coffer__lua_fail_fault(lua, fault);
    }
    coffer_status made = coffer_op_set(&op->op, coffer__lua_op_namespace(op), key, op->value, &options);
    if (!finish(lua, op, made)) {
        return 3;
    }
    coffer__lua_op_settle(op);
    lua_pushboolean(lua, 1);
    return 1;
}

/* (handle, key, timeout_ms) -> whether it was there */
int coffer__lua_delete(lua_State *lua) {
    coffer_slice key = coffer__lua_key(lua, 2);
    coffer_read_options options = coffer__lua_read_options(lua, 3);
    coffer__lua_op *op = coffer__lua_op_begin(lua, 1);
    if (op == NULL) {
        return closed(lua);
    }
    coffer_status made = coffer_op_delete(&op->op, coffer__lua_op_namespace(op), key, &options);
    if (!finish(lua, op, made)) {
        return 3;
    }
    lua_pushboolean(lua, coffer_op_status(op->op) == COFFER_OK);
    coffer__lua_op_settle(op);
    return 1;
}

/* (op) -> status, integer or nil where this Lua cannot keep it: runs an op that a generated wrapper made. */
int coffer__lua_op_finish(lua_State *lua) {
    coffer__lua_op *op = coffer__lua_op_of(lua, 1);
    if (op == NULL) {
        return coffer__lua_fail(lua, COFFER_INTERNAL, "an operation that has ended was used again");
    }
    if (!finish(lua, op, COFFER_OK)) {
        return 3;
    }
    lua_pushinteger(lua, coffer_op_status(op->op));
    if (!coffer__lua_push_integer(lua, coffer_op_integer(op->op))) {
        lua_pushnil(lua);
    }
    coffer__lua_op_settle(op);
    return 2;
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

/* nil, message, code, and {key = code} of those of the array at `index` that failed. Settles. */
static int fail_many(lua_State *lua, coffer__lua_op *op, int index) {
    coffer__lua_fail(lua, coffer_op_status(op->op), coffer_op_message(op->op));
    lua_newtable(lua);
    for (size_t i = 0; i < coffer_op_count(op->op); i++) {
        coffer_status status = coffer_op_item(op->op, i, NULL);
        if (status < 0) {
            lua_rawgeti(lua, index, (int)i + 1);
            lua_pushstring(lua, coffer_status_name(status));
            lua_rawset(lua, -3);
        }
    }
    coffer__lua_op_settle(op);
    return 4;
}

/* 0 where the op has ended well, else how many values say why not. */
static int finish_many(lua_State *lua, coffer__lua_op *op, coffer_status made, int index) {
    if (made < 0) {
        coffer__lua_op_settle(op);
        return coffer__lua_fail(lua, made, NULL);
    }
    coffer__lua_op_run(lua, op);
    return coffer_op_status(op->op) < 0 ? fail_many(lua, op, index) : 0;
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

/* (handle, array of keys, their number, stale, timeout_ms) -> {key = value} of those that were found */
int coffer__lua_get_many(lua_State *lua) {
    size_t count = (size_t)luaL_checkinteger(lua, 3);
    coffer_read_options options = coffer__lua_read_options(lua, 5);
    options.accept_stale = lua_toboolean(lua, 4) != 0;
    coffer__lua_op *op = coffer__lua_op_begin(lua, 1);
    if (op == NULL) {
        return closed(lua);
    }
    const coffer_slice *keys = keys_of(lua, op, 2, count);
    if (keys == NULL) {
        return out_of_memory(lua, op);
    }
    coffer_status made = coffer_op_get_many(&op->op, coffer__lua_op_namespace(op), keys, count, &options);
    int told = finish_many(lua, op, made, 2);
    if (told > 0) {
        return told;
    }
    coffer__lua_fault fault = {COFFER_OK, NULL};
    lua_newtable(lua);
    for (size_t i = 0; i < count && fault.status == COFFER_OK; i++) {
        fault = put_item(lua, op, i);
    }
    coffer__lua_op_settle(op);
    return fault.status < 0 ? coffer__lua_fail_fault(lua, fault) : 1;
}

/* (handle, array of keys, their number, timeout_ms) -> how many were there */
int coffer__lua_delete_many(lua_State *lua) {
    size_t count = (size_t)luaL_checkinteger(lua, 3);
    coffer_read_options options = coffer__lua_read_options(lua, 4);
    coffer__lua_op *op = coffer__lua_op_begin(lua, 1);
    if (op == NULL) {
        return closed(lua);
    }
    const coffer_slice *keys = keys_of(lua, op, 2, count);
    if (keys == NULL) {
        return out_of_memory(lua, op);
    }
    coffer_status made = coffer_op_delete_many(&op->op, coffer__lua_op_namespace(op), keys, count, &options);
    int told = finish_many(lua, op, made, 2);
    if (told > 0) {
        return told;
    }
    coffer__lua_push_count(lua, (uint64_t)coffer_op_integer(op->op));
    coffer__lua_op_settle(op);
    return 1;
}

/* JSON texts move while they grow, so that items hold their offsets first: data is NULL then, and len the length. */
static coffer__lua_fault fill_items(lua_State *lua, coffer__lua_op *op, coffer_item *items, size_t count) {
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(lua, 2, (int)i + 1);
        lua_rawgeti(lua, 3, (int)i + 1);
        items[i].key = coffer__lua_key(lua, -2);
        coffer__lua_fault fault = coffer__lua_value_in(lua, lua_gettop(lua), &op->text, &items[i].value, &items[i].format);
        if (fault.status < 0) {
            return fault;
        }
        lua_pop(lua, 2);
    }
    for (size_t i = 0; i < count; i++) {
        if (items[i].format == COFFER_FORMAT_JSON) {
            items[i].value.data = op->text.data + offset;
            offset += items[i].value.len;
        }
    }
    return (coffer__lua_fault){COFFER_OK, NULL};
}

/* (handle, array of keys, array of values, their number, ttl_ms, timeout_ms) -> true */
int coffer__lua_set_many(lua_State *lua) {
    size_t count = (size_t)luaL_checkinteger(lua, 4);
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.ttl_ms = coffer__lua_duration(lua, 5);
    options.timeout_ms = coffer__lua_duration(lua, 6);
    coffer__lua_op *op = coffer__lua_op_begin(lua, 1);
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
    int told = finish_many(lua, op, made, 2);
    if (told > 0) {
        return told;
    }
    coffer__lua_op_settle(op);
    lua_pushboolean(lua, 1);
    return 1;
}

/* ---- loads ----
 *
 *     load_begin ──> value, nil, source            ┌──> load_supply ──> value, nil, source
 *                └─> nil, nil, nil, load ──(loader)┴──> load_abort  ──> a stale value, nil, "stale"; or nothing
 */

static uint64_t clock_ms(void) {
    return coffer_now_us() / 1000;
}

/* Runs on to the next answer: nil, nil, nil and the load where its loader has to run, else what a read answers.
 * `own` is where the value stands that was supplied, 0 for none: it is answered itself where it is what was loaded. */
static int load_answer(lua_State *lua, int load, coffer__lua_op *op, int own) {
    if (coffer__lua_op_run(lua, op) == COFFER_WANT_LOAD) {
        op->load_began_ms = clock_ms();
        lua_settop(lua, load);
        lua_pushnil(lua);
        lua_pushnil(lua);
        lua_pushnil(lua);
        lua_pushvalue(lua, load);
        return 4;
    }
    if (own != 0 && coffer_op_status(op->op) == COFFER_OK && coffer_op_value(op->op)->source == COFFER_SOURCE_LOADED) {
        coffer__lua_op_settle(op);
        lua_pushvalue(lua, own);
        lua_pushnil(lua);
        lua_pushstring(lua, coffer_source_name(COFFER_SOURCE_LOADED));
        return 3;
    }
    return read_answer(lua, op);
}

/* (handle, key, load whose loader is running or nil, timeout_ms) -> value, nil, source; or nil, nil, nil, load */
int coffer__lua_load_begin(lua_State *lua) {
    coffer_slice key = coffer__lua_key(lua, 2);
    const coffer__lua_op *outer = lua_isnoneornil(lua, 3) ? NULL : coffer__lua_op_of(lua, 3);
    coffer_read_options options = coffer__lua_read_options(lua, 4);
    lua_settop(lua, 4);
    coffer__lua_op *op = coffer__lua_op_begin(lua, 1);
    if (op == NULL) {
        return closed(lua);
    }
    coffer_status made = coffer_op_get_or_load(&op->op, coffer__lua_op_namespace(op), key, &options);
    if (made < 0) {
        coffer__lua_op_settle(op);
        return coffer__lua_fail(lua, made, NULL);
    }
    if (outer != NULL) {
        coffer_op_set_parent(op->op, outer->op);
    }
    return load_answer(lua, 5, op, 0);
}

/* The stale value of a load that failed; false where there is none: then the load is settled and nothing pushed. */
static bool stale_answer(lua_State *lua, coffer__lua_op *op) {
    coffer_op_abort(op->op, COFFER_LOAD_FAILED);
    bool is_stale = coffer__lua_op_run(lua, op) == COFFER_WANT_DONE && coffer_op_status(op->op) == COFFER_STALE;
    if (is_stale) {
        read_answer(lua, op);
    }
    coffer__lua_op_settle(op);
    return is_stale;
}

/* (load, value or nil for an absence, ttl_ms) -> as load_begin. A value that cannot be stored is a loader that failed. */
int coffer__lua_load_supply(lua_State *lua) {
    coffer__lua_op *op = coffer__lua_op_of(lua, 1);
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.ttl_ms = coffer__lua_duration(lua, 3);
    options.absent = lua_isnoneornil(lua, 2);
    if (op == NULL) {
        return coffer__lua_fail(lua, COFFER_INTERNAL, "an operation that has ended was used again");
    }
    uint64_t cost_ms = clock_ms() - op->load_began_ms;
    coffer__lua_fault fault = {COFFER_OK, NULL};
    op->text.len = 0;
    if (!options.absent) {
        fault = coffer__lua_value_in(lua, 2, &op->text, &op->value, &options.format);
    }
    if (fault.status < 0) {
        return stale_answer(lua, op) ? 3 : coffer__lua_fail_fault(lua, fault);
    }
    coffer_op_supply(op->op, op->value, &options, cost_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)cost_ms);
    return load_answer(lua, 1, op, options.absent ? 0 : 2);
}

/* (load) -> value, nil, "stale"; or nothing: the loader's own error is the answer */
int coffer__lua_load_abort(lua_State *lua) {
    coffer__lua_op *op = coffer__lua_op_of(lua, 1);
    return op != NULL && stale_answer(lua, op) ? 3 : 0;
}
