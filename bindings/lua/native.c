#include "native_loop.h"
#include "native_near.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char OPTIONS[] = "coffer.options";
static const char HANDLE[] = "coffer.cache";
static const char OP[] = "coffer.op";

/* ---- errors ---- */

int coffer__lua_fail(lua_State *lua, coffer_status status, const char *message) {
    lua_pushnil(lua);
    lua_pushstring(lua, message == NULL || message[0] == '\0' ? coffer_status_text(status) : message);
    lua_pushstring(lua, coffer_status_name(status));
    return 3;
}

int coffer__lua_fail_fault(lua_State *lua, coffer__lua_fault fault) {
    return coffer__lua_fail(lua, fault.status, fault.why);
}

/* ---- options ---- */

coffer_options **coffer__lua_options_box(lua_State *lua) {
    coffer_options **box = lua_newuserdata(lua, sizeof *box);
    *box = NULL;
    luaL_getmetatable(lua, OPTIONS);
    lua_setmetatable(lua, -2);
    return box;
}

coffer_options *coffer__lua_options_of(lua_State *lua, int index) {
    coffer_options **box = luaL_checkudata(lua, index, OPTIONS);
    return *box;
}

static int options_gc(lua_State *lua) {
    coffer_options **box = luaL_checkudata(lua, 1, OPTIONS);
    coffer_options_free(*box);
    *box = NULL;
    return 0;
}

/* ---- handles ---- */

/* Closes and frees what nobody needs any more. */
static void handle_settle(coffer__lua_handle *handle) {
    if (handle->op_count > 0) {
        return;
    }
    if (handle->is_closed) {
        coffer_close(handle->cache);
        handle->cache = NULL;
        coffer__lua_loop_unref(handle->loop);
        handle->loop = NULL;
    }
    if (!handle->is_owned) {
        free(handle);
    }
}

void coffer__lua_handle_release(coffer__lua_handle *handle) {
    handle->op_count--;
    handle_settle(handle);
}

coffer__lua_handle *coffer__lua_handle_box(lua_State *lua) {
    coffer__lua_handle **box = lua_newuserdata(lua, sizeof *box);
    *box = NULL;
    luaL_getmetatable(lua, HANDLE);
    lua_setmetatable(lua, -2);
    *box = calloc(1, sizeof **box);
    if (*box != NULL) {
        (*box)->is_owned = true;
        (*box)->credentials = LUA_NOREF;
    }
    return *box;
}

coffer__lua_handle *coffer__lua_handle_at(lua_State *lua, int index) {
    coffer__lua_handle **box = luaL_checkudata(lua, index, HANDLE);
    return *box;
}

coffer__lua_handle *coffer__lua_handle_of(lua_State *lua, int index) {
    coffer__lua_handle *handle = coffer__lua_handle_at(lua, index);
    luaL_argcheck(lua, handle != NULL, index, "a cache that was collected");
    return handle;
}

static void forget_credentials(lua_State *lua, coffer__lua_handle *handle) {
    luaL_unref(lua, LUA_REGISTRYINDEX, handle->credentials);
    handle->credentials = LUA_NOREF;
}

/* (handle, function) */
int coffer__lua_ask(lua_State *lua) {
    coffer__lua_handle *handle = coffer__lua_handle_of(lua, 1);
    luaL_checktype(lua, 2, LUA_TFUNCTION);
    if (handle->cache != NULL) {
        lua_pushvalue(lua, 2);
        handle->credentials = luaL_ref(lua, LUA_REGISTRYINDEX);
        coffer_ask_for_credentials(handle->cache);
    }
    return 0;
}

static int handle_gc(lua_State *lua) {
    coffer__lua_handle **box = luaL_checkudata(lua, 1, HANDLE);
    coffer__lua_handle *handle = *box;
    *box = NULL;
    if (handle != NULL) {
        handle->is_closed = true;
        handle->is_owned = false;
        forget_credentials(lua, handle);
        coffer__lua_near_clear(lua, &handle->near);
        coffer__lua_near_free(&handle->near);
        handle_settle(handle);
    }
    return 0;
}

int coffer__lua_close(lua_State *lua) {
    coffer__lua_handle *handle = coffer__lua_handle_of(lua, 1);
    handle->is_closed = true;
    forget_credentials(lua, handle);
    coffer__lua_near_clear(lua, &handle->near);
    handle_settle(handle);
    return 0;
}

int coffer__lua_is_closed(lua_State *lua) {
    lua_pushboolean(lua, coffer__lua_handle_of(lua, 1)->is_closed);
    return 1;
}

/* Whether no call of it ever waits for a server. */
int coffer__lua_is_local(lua_State *lua) {
    const coffer__lua_handle *handle = coffer__lua_handle_of(lua, 1);
    coffer_cache *cache = handle->cache;
    lua_pushboolean(lua, cache != NULL && coffer_client_is_local(coffer_namespace_client(coffer_cache_namespace(cache))));
    return 1;
}

/* ---- ops ---- */

coffer__lua_op *coffer__lua_op_begin(lua_State *lua) {
    coffer__lua_handle *handle = coffer__lua_handle_of(lua, 1);
    if (handle->is_closed) {
        return NULL;
    }
    coffer__lua_op *op = lua_newuserdata(lua, sizeof *op);
    memset(op, 0, sizeof *op);
    luaL_getmetatable(lua, OP);
    lua_setmetatable(lua, -2);
    op->handle = handle;
    handle->op_count++;
    lua_replace(lua, 1);
    return op;
}

coffer__lua_op *coffer__lua_op_of(lua_State *lua, int index) {
    coffer__lua_op *op = luaL_checkudata(lua, index, OP);
    return op->op == NULL ? NULL : op;
}

coffer_namespace *coffer__lua_op_namespace(const coffer__lua_op *op) {
    return coffer_cache_namespace(op->handle->cache);
}

void coffer__lua_op_settle(coffer__lua_op *op) {
    coffer__lua_handle *handle = op->handle;
    if (handle == NULL) {
        return;
    }
    op->handle = NULL;
    if (handle->loop == NULL) {
        coffer_cache_drop(handle->cache, op->op);
    } else {
        coffer__lua_loop_drop(op);
    }
    op->op = NULL;
    coffer__lua_text_free(&op->text);
    free(op->batch);
    op->batch = NULL;
    coffer__lua_handle_release(handle);
}

static int op_gc(lua_State *lua) {
    coffer__lua_op *op = luaL_checkudata(lua, 1, OP);
    if (!coffer__lua_loop_leave(op)) {
        coffer__lua_op_settle(op);
    }
    return 0;
}

#define SLICE_MS 1000

/* A connection waits to be told whom to log in as: the function says a password, or a user name and a password. What it raises is not passed on, since
 * it may hold the password. */
static void give_credentials(lua_State *lua, const coffer__lua_handle *handle) {
    coffer_cache *cache = handle->cache;
    int top = lua_gettop(lua);
    bool given = false;
    luaL_checkstack(lua, 4, "credentials");
    lua_rawgeti(lua, LUA_REGISTRYINDEX, handle->credentials);
    if (lua_pcall(lua, 0, 2, 0) == 0 && lua_type(lua, top + 1) == LUA_TSTRING) {
        bool has_name = lua_type(lua, top + 2) == LUA_TSTRING;
        if (has_name || lua_isnil(lua, top + 2)) {
            coffer_slice username = has_name ? coffer__lua_slice(lua, top + 1) : coffer_slice_of(NULL, 0);
            given = coffer_give_credentials(cache, username, coffer__lua_slice(lua, has_name ? top + 2 : top + 1)) == COFFER_OK;
        }
    }
    if (!given) {
        coffer_refuse_credentials(cache);
    }
    lua_settop(lua, top);
}

static void run_blocking(lua_State *lua, coffer__lua_op *op) {
    while ((op->want = coffer_cache_run(op->handle->cache, op->op, SLICE_MS)) == COFFER_WANT_REPLY) {
        if (coffer_credentials_wanted(op->handle->cache)) {
            give_credentials(lua, op->handle);
        }
    }
}

int coffer__lua_op_go_on(lua_State *lua, coffer__lua_op *op, coffer__lua_answer answer) {
    op->answer = answer;
    if (op->handle->loop != NULL) {
        return coffer__lua_loop_run(lua, op);
    }
    run_blocking(lua, op);
    return answer(lua, op);
}

int coffer__lua_op_end(lua_State *lua, coffer__lua_op *op, coffer_status made, coffer__lua_answer answer) {
    if (made < 0) {
        coffer__lua_op_settle(op);
        return coffer__lua_fail(lua, made, NULL);
    }
    return coffer__lua_op_go_on(lua, op, answer);
}

coffer_status coffer__lua_op_status(const coffer__lua_op *op) {
    return op->task == NULL ? coffer_op_status(op->op) : coffer_task_status(op->task);
}

int coffer__lua_op_fail(lua_State *lua, coffer__lua_op *op) {
    coffer__lua_fail(lua, coffer__lua_op_status(op), op->task == NULL ? coffer_op_message(op->op) : coffer_task_message(op->task));
    coffer__lua_op_settle(op);
    return 3;
}

/* ---- values ---- */

coffer_slice coffer__lua_key(lua_State *lua, int index) {
    luaL_checktype(lua, index, LUA_TSTRING);
    return coffer__lua_slice(lua, index);
}

coffer_slice coffer__lua_slice(lua_State *lua, int index) {
    size_t len = 0;
    const char *data = lua_tolstring(lua, index, &len);
    return coffer_slice_of(data, len);
}

coffer__lua_fault coffer__lua_value_in(lua_State *lua, int index, coffer__lua_text *text, coffer_slice *data, uint8_t *format) {
    if (lua_type(lua, index) == LUA_TSTRING) {
        *data = coffer__lua_slice(lua, index);
        *format = coffer__lua_is_utf8(*data) ? COFFER_FORMAT_TEXT : COFFER_FORMAT_BYTES;
        return (coffer__lua_fault){COFFER_OK, NULL};
    }
    size_t start = text->len;
    coffer__lua_fault fault = coffer__lua_json_encode(lua, index, text);
    *data = coffer_slice_of(text->data + start, text->len - start);
    *format = COFFER_FORMAT_JSON;
    return fault;
}

coffer__lua_fault coffer__lua_op_lend(lua_State *lua, coffer__lua_op *op, int index) {
    if (lua_isnoneornil(lua, index)) {
        return (coffer__lua_fault){COFFER_OK, NULL};
    }
    coffer__lua_fault fault = coffer__lua_value_in(lua, index, &op->text, &op->value, &op->format);
    if (fault.status == COFFER_OK && op->format != COFFER_FORMAT_JSON) {
        if (!coffer__lua_text_append(&op->text, op->value.data, op->value.len)) {
            return (coffer__lua_fault){COFFER_NO_MEMORY, NULL};
        }
        op->value = coffer_slice_of(op->text.data, op->text.len);
    }
    return fault;
}

static coffer__lua_fault push_text(lua_State *lua, coffer_slice data) {
    if (!coffer__lua_is_utf8(data)) {
        return (coffer__lua_fault){COFFER_BAD_FORMAT, "the value is marked as text but is not UTF-8"};
    }
    lua_pushlstring(lua, data.len == 0 ? "" : data.data, data.len);
    return (coffer__lua_fault){COFFER_OK, NULL};
}

static coffer__lua_fault push_json(lua_State *lua, coffer_slice data, coffer__lua_text *scratch) {
    if (!coffer__lua_is_utf8(data)) {
        return (coffer__lua_fault){COFFER_BAD_FORMAT, "the value is marked as JSON but is not UTF-8"};
    }
    return coffer__lua_json_decode(lua, data, scratch);
}

coffer__lua_fault coffer__lua_push_value(lua_State *lua, const coffer_value *value, coffer__lua_text *scratch) {
    switch (value->format) {
    case COFFER_FORMAT_TEXT:
        return push_text(lua, value->data);
    case COFFER_FORMAT_JSON:
        return push_json(lua, value->data, scratch);
    case COFFER_FORMAT_MSGPACK:
        return (coffer__lua_fault){COFFER_UNSUPPORTED, "the value is MessagePack, which this version does not read"};
    default:
        lua_pushlstring(lua, value->data.len == 0 ? "" : value->data.data, value->data.len);
        return (coffer__lua_fault){COFFER_OK, NULL};
    }
}

/* ---- numbers ---- */

#define TWO_TO_THE_64 18446744073709551616.0

uint64_t coffer__lua_duration(lua_State *lua, int index) {
    double duration_ms = (double)lua_tonumber(lua, index);
    if (!(duration_ms >= 0)) {
        return 0;
    }
    return duration_ms >= TWO_TO_THE_64 ? COFFER_TTL_FOREVER : (uint64_t)duration_ms;
}

void coffer__lua_push_duration(lua_State *lua, uint64_t duration_ms) {
    lua_pushnumber(lua, duration_ms == COFFER_TTL_FOREVER ? (lua_Number)HUGE_VAL : (lua_Number)duration_ms);
}

bool coffer__lua_integer(lua_State *lua, int index, int64_t *integer) {
    if (lua_type(lua, index) != LUA_TNUMBER) {
        return false;
    }
#if COFFER__LUA_HAS_INTEGERS
    int is_exact = 0;
    *integer = (int64_t)lua_tointegerx(lua, index, &is_exact);
    return is_exact != 0;
#else
    double number = (double)lua_tonumber(lua, index);
    if (!(fabs(number) <= (double)COFFER__LUA_EXACT_MAX) || floor(number) != number) {
        return false;
    }
    *integer = (int64_t)number;
    return true;
#endif
}

bool coffer__lua_push_integer(lua_State *lua, int64_t integer) {
#if COFFER__LUA_HAS_INTEGERS
    lua_pushinteger(lua, (lua_Integer)integer);
    return true;
#else
    if (integer > COFFER__LUA_EXACT_MAX || integer < -COFFER__LUA_EXACT_MAX) {
        return false;
    }
    lua_pushnumber(lua, (lua_Number)integer);
    return true;
#endif
}

void coffer__lua_push_count(lua_State *lua, uint64_t count) {
    if (count > INT64_MAX || !coffer__lua_push_integer(lua, (int64_t)count)) {
        lua_pushnumber(lua, (lua_Number)count);
    }
}

uint64_t coffer__lua_entry_id(lua_State *lua, int index) {
    coffer_slice digits = coffer_slice_text(luaL_checkstring(lua, index));
    luaL_argcheck(lua, digits.len == COFFER__LUA_ID_DIGITS && strspn(digits.data, "0123456789abcdef") == digits.len, index, "not an entry id");
    return (uint64_t)strtoull(digits.data, NULL, 16);
}

/* ---- options of calls ---- */

coffer_write_options coffer__lua_write_options(lua_State *lua, int index, uint8_t format) {
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.format = format;
    if (lua_istable(lua, index)) {
        lua_rawgeti(lua, index, 1);
        lua_rawgeti(lua, index, 2);
        lua_rawgeti(lua, index, 3);
        options.ttl_ms = coffer__lua_duration(lua, -3);
        options.absent = lua_toboolean(lua, -2) != 0;
        options.timeout_ms = coffer__lua_duration(lua, -1);
        lua_pop(lua, 3);
    }
    return options;
}

coffer_read_options coffer__lua_read_options(lua_State *lua, int index) {
    coffer_read_options options = COFFER_READ_OPTIONS_INIT;
    options.timeout_ms = coffer__lua_duration(lua, index);
    return options;
}

/* ---- metatables ---- */

void coffer__lua_add_metatable(lua_State *lua, const char *name, lua_CFunction collect) {
    if (luaL_newmetatable(lua, name)) {
        lua_pushcfunction(lua, collect);
        lua_setfield(lua, -2, "__gc");
        lua_pushboolean(lua, 0);
        lua_setfield(lua, -2, "__metatable");
    }
    lua_pop(lua, 1);
}

void coffer__lua_init(lua_State *lua) {
    coffer__lua_add_metatable(lua, OPTIONS, options_gc);
    coffer__lua_add_metatable(lua, HANDLE, handle_gc);
    coffer__lua_add_metatable(lua, OP, op_gc);
    coffer__lua_loop_init(lua);
    luaL_newmetatable(lua, COFFER__LUA_ARRAY);
    lua_pop(lua, 1);
    static const char *const SWIGS_OWN[] = {"swig_type", "swig_equals"}; /* which it makes global all the same */
    for (size_t i = 0; i < sizeof SWIGS_OWN / sizeof SWIGS_OWN[0]; i++) {
        lua_pushnil(lua);
        lua_setglobal(lua, SWIGS_OWN[i]);
    }
}
