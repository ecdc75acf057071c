#include "native_near.h"

#include <stdlib.h>

enum { TIMED_OF = 64, ROOM_BYTES_MOST = 64 << 10 };

/* ---- values that are kept ---- */

static void values_clear(lua_State *lua, coffer__lua_near *near) {
    if (near->slot_count > 0) {
        luaL_unref(lua, LUA_REGISTRYINDEX, near->values);
    }
    free(near->versions);
    near->versions = NULL;
    near->slot_count = near->slot_next = 0;
}

void coffer__lua_near_clear(lua_State *lua, coffer__lua_near *near) {
    values_clear(lua, near);
    if (!near->is_busy) {
        coffer__lua_near_free(near);
    }
}

void coffer__lua_near_free(coffer__lua_near *near) {
    coffer_room_free(near->room);
    near->room = NULL;
    coffer__lua_text_free(&near->text);
}

int coffer__lua_keep_objects(lua_State *lua) {
    coffer__lua_handle *handle = coffer__lua_handle_of(lua, 1);
    size_t count = (size_t)luaL_checkinteger(lua, 2);
    values_clear(lua, &handle->near);
    if (count == 0 || handle->is_closed) {
        return 0;
    }
    lua_newtable(lua);
    int values = luaL_ref(lua, LUA_REGISTRYINDEX);
    uint64_t *versions = calloc(count, sizeof *versions);
    if (versions == NULL) {
        luaL_unref(lua, LUA_REGISTRYINDEX, values);
        return coffer__lua_fail(lua, COFFER_NO_MEMORY, NULL);
    }
    handle->near.values = values;
    handle->near.versions = versions;
    handle->near.slot_count = count;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, values);
    return 1;
}

/* The number of the key's slot, from 1 on; 0: it has none. Pushes the table, and in it {value, number}, or nil. */
static int slot_of(lua_State *lua, const coffer__lua_near *near) {
    lua_rawgeti(lua, LUA_REGISTRYINDEX, near->values);
    lua_pushvalue(lua, 2);
    lua_rawget(lua, -2);
    if (lua_isnil(lua, -1)) {
        return 0;
    }
    lua_rawgeti(lua, -1, 2);
    int slot = (int)lua_tointeger(lua, -1);
    lua_pop(lua, 1);
    return slot;
}

/* The slot of the oldest, for the key at 2 and the empty record at `record`, with the table on top. What is jumped out of by want of memory leaves slots
 * without a version. */
static int slot_take(lua_State *lua, coffer__lua_near *near, int record) {
    int slot = (int)near->slot_next + 1;
    near->slot_next = (near->slot_next + 1) % near->slot_count;
    near->versions[slot - 1] = 0;
    lua_rawgeti(lua, -1, -slot);
    if (!lua_isnil(lua, -1)) {
        lua_pushnil(lua);
        lua_rawset(lua, -3);
    } else {
        lua_pop(lua, 1);
    }
    lua_pushvalue(lua, 2);
    lua_rawseti(lua, -2, -slot);
    lua_pushinteger(lua, slot);
    lua_rawseti(lua, record, 2);
    lua_pushvalue(lua, 2);
    lua_pushvalue(lua, record);
    lua_rawset(lua, -3);
    return slot;
}

/* Keeps the value at `index`. Making the record may collect garbage, and so run what closes the cache: all else comes behind it. */
static void keep(lua_State *lua, coffer__lua_near *near, uint64_t version, int index) {
    if (near->slot_count == 0 || version == 0) {
        return;
    }
    int record = lua_gettop(lua) + 1;
    lua_createtable(lua, 2, 0);
    if (near->slot_count > 0) {
        int slot = slot_of(lua, near);
        if (slot == 0) {
            lua_pop(lua, 1);
            slot = slot_take(lua, near, record);
            lua_pushvalue(lua, record);
        }
        near->versions[slot - 1] = 0;
        lua_pushvalue(lua, index);
        lua_rawseti(lua, -2, 1);
        near->versions[slot - 1] = version;
    }
    lua_settop(lua, record - 1);
}

/* ---- reading ---- */

typedef struct look {
    coffer_namespace *ns;
    coffer_operation operation;
    coffer__lua_near *near;
    coffer_room *room;
    coffer_slice key;
    uint64_t now_ms, began_us; /* began_us: 0 where it is not timed */
} look;

/* False: an op has to ask. */
static bool look_begin(look *this, coffer__lua_handle *handle, coffer_operation operation, coffer_slice key, coffer_room **room) {
    if (handle->is_closed || (*room == NULL && coffer_room_new(room) != COFFER_OK)) {
        return false;
    }
    this->ns = coffer_cache_namespace(handle->cache);
    this->operation = operation;
    this->near = &handle->near;
    this->room = *room;
    this->key = key;
    this->now_ms = coffer_now_coarse_ms();
    this->began_us = handle->near.read_counts[operation == COFFER_OPERATION_GET_OR_LOAD]++ % TIMED_OF == 0 ? coffer_now_us() : 0;
    return true;
}

static void look_end(const look *this) {
    if (this->began_us != 0) {
        coffer_metrics_record(this->ns, this->operation, coffer_now_us() - this->began_us);
    }
}

/* OK, MISS or AGAIN. */
static coffer_status look_at(const look *this, coffer_value *value) {
    coffer_status status = coffer_peek(this->ns, this->operation, this->key, this->now_ms, this->room, value);
    if (status != COFFER_OK && status != COFFER_MISS) {
        return COFFER_AGAIN;
    }
    look_end(this);
    return status;
}

/* Whether the entry that the slot's value was made of is there; else the slot has no version any more. */
static bool look_confirms(const look *this, int slot) {
    uint64_t *version = &this->near->versions[slot - 1];
    if (!coffer_peek_confirms(this->ns, this->operation, this->key, *version, this->now_ms, this->room)) {
        *version = 0;
        return false;
    }
    look_end(this);
    return true;
}

/* Pushes the value that was made of the entry that is there: value, nil, "near". False: there is none. */
static bool push_kept(lua_State *lua, const look *this) {
    coffer__lua_near *near = this->near;
    if (near->slot_count == 0) {
        return false;
    }
    int slot = slot_of(lua, near);
    if (slot == 0 || near->versions[slot - 1] == 0) {
        lua_pop(lua, 2);
        return false;
    }
    if (!look_confirms(this, slot)) {
        lua_pushnil(lua);
        lua_rawseti(lua, -2, 1);
        lua_pop(lua, 2);
        return false;
    }
    lua_rawgeti(lua, -1, 1);
    lua_replace(lua, -3);
    lua_pop(lua, 1);
    lua_pushnil(lua);
    lua_pushstring(lua, coffer_source_name(COFFER_SOURCE_NEAR));
    return true;
}

/* Where it was pushed as a value it is kept. */
static void keep_pushed(lua_State *lua, coffer__lua_near *near, uint64_t version, int pushed) {
    if (!lua_isnil(lua, -pushed)) {
        keep(lua, near, version, lua_gettop(lua) - pushed + 1);
    }
}

/* What `push` makes of what was found. Where it is jumped out of, which only want of memory does, the room stays busy, and ops are asked from then on. */
static int push_found(lua_State *lua, coffer__lua_near *near, coffer_status status, const coffer_value *value, coffer__lua_push *push) {
    size_t len = value->data.len;
    near->is_busy = true;
    near->text.len = 0;
    int pushed = push(lua, status, value, &near->text);
    near->is_busy = false;
    if (len > ROOM_BYTES_MOST) {
        coffer__lua_near_free(near);
    }
    return pushed;
}

static int read_near(lua_State *lua, coffer__lua_handle *handle, coffer_operation operation, bool is_kept, coffer__lua_push *push) {
    look this;
    coffer_value value;
    coffer_slice key = coffer__lua_key(lua, 2);
    if (handle->near.is_busy || !look_begin(&this, handle, operation, key, &handle->near.room)) {
        return COFFER__LUA_ASK;
    }
    if (is_kept && push_kept(lua, &this)) {
        return 3;
    }
    coffer_status status = look_at(&this, &value);
    if (status == COFFER_AGAIN) {
        return COFFER__LUA_ASK;
    }
    uint64_t version = value.near_version;
    int pushed = push_found(lua, this.near, status, &value, push);
    if (is_kept && status == COFFER_OK) {
        keep_pushed(lua, this.near, version, pushed);
    }
    return pushed;
}

int coffer__lua_near_get(lua_State *lua, coffer__lua_handle *handle) {
    return read_near(lua, handle, COFFER_OPERATION_GET, true, coffer__lua_push_read);
}

int coffer__lua_near_load(lua_State *lua, coffer__lua_handle *handle) {
    return read_near(lua, handle, COFFER_OPERATION_GET_OR_LOAD, true, coffer__lua_push_read);
}

int coffer__lua_near_entry(lua_State *lua, coffer__lua_handle *handle) {
    return read_near(lua, handle, COFFER_OPERATION_GET, false, coffer__lua_push_entry);
}

static int peeked(lua_State *lua, int pushed) {
    lua_pushboolean(lua, pushed != COFFER__LUA_ASK);
    if (pushed == COFFER__LUA_ASK) {
        return 1;
    }
    lua_insert(lua, -pushed - 1);
    return pushed + 1;
}

int coffer__lua_peek(lua_State *lua) {
    return peeked(lua, coffer__lua_near_get(lua, coffer__lua_handle_of(lua, 1)));
}

int coffer__lua_peek_load(lua_State *lua) {
    return peeked(lua, coffer__lua_near_load(lua, coffer__lua_handle_of(lua, 1)));
}

int coffer__lua_peek_entry(lua_State *lua) {
    return peeked(lua, coffer__lua_near_entry(lua, coffer__lua_handle_of(lua, 1)));
}

/* ---- through LuaJIT's FFI: lib/coffer/near.lua ---- */

/* Declared to C, and said to the FFI in the very words, so that the two cannot differ. */
#define SHARED(...)                                                                                                                                  \
    typedef __VA_ARGS__ ffi_part;                                                                                                                    \
    static const char SHARED_TEXT[] = #__VA_ARGS__

/* data: what was found; is_busy: it is being read, and all others ask by an op; get, get_or_load: operations; ask, found, negative: what `look` answers
 * apart from a length, and from a miss. `box` is the userdata of a handle, as the FFI gives it. */
SHARED(struct {
    const char *data;
    bool is_busy;
    int get, get_or_load;
    int ask, found, negative;
    int (*look)(void *shared, void *box, const char *key, size_t len, int operation);
    bool (*confirms)(void *shared, void *box, const char *key, size_t len, int operation, int slot);
});

/* FOUND: near_found makes something of it. */
enum { SHARED_ASK = -1, SHARED_MISS = -2, SHARED_NEGATIVE = -3, SHARED_FOUND = -4 };

typedef struct ffi_room {
    ffi_part part; /* first */
    coffer_room *room;
    coffer_value value;
    coffer__lua_text text;
} ffi_room;

static const char SHARED_NAME[] = "coffer.near";

static bool ffi_begin(look *this, ffi_room *shared, coffer__lua_handle *const *box, coffer_slice key, int operation) {
    return box != NULL && *box != NULL && !shared->part.is_busy && look_begin(this, *box, (coffer_operation)operation, key, &shared->room);
}

/* Whether Lua has but to copy it. */
static bool is_plain(const coffer_value *value) {
    return value->data.len <= ROOM_BYTES_MOST && value->format != COFFER_FORMAT_JSON && value->format != COFFER_FORMAT_MSGPACK &&
           (value->format != COFFER_FORMAT_TEXT || coffer__lua_is_utf8(value->data));
}

static int ffi_look(void *of, void *box, const char *key, size_t len, int operation) {
    ffi_room *shared = of;
    look this;
    if (!ffi_begin(&this, shared, box, coffer_slice_of(key, len), operation)) {
        return SHARED_ASK;
    }
    coffer_value *value = &shared->value;
    coffer_status status = look_at(&this, value);
    if (status != COFFER_OK) {
        return status == COFFER_AGAIN ? SHARED_ASK : value->source == COFFER_SOURCE_NEGATIVE ? SHARED_NEGATIVE : SHARED_MISS;
    }
    shared->part.is_busy = true;
    shared->part.data = value->data.len == 0 ? "" : value->data.data;
    return this.near->slot_count == 0 && is_plain(value) ? (int)value->data.len : SHARED_FOUND;
}

static bool ffi_confirms(void *of, void *box, const char *key, size_t len, int operation, int slot) {
    look this;
    return ffi_begin(&this, of, box, coffer_slice_of(key, len), operation) && slot > 0 && (size_t)slot <= this.near->slot_count &&
           look_confirms(&this, slot);
}

static void ffi_free(ffi_room *shared) {
    coffer_room_free(shared->room);
    shared->room = NULL;
    coffer__lua_text_free(&shared->text);
}

static int ffi_gc(lua_State *lua) {
    ffi_room *shared = luaL_checkudata(lua, 1, SHARED_NAME);
    shared->part.is_busy = true; /* for good */
    ffi_free(shared);
    return 0;
}

int coffer__lua_near_shared(lua_State *lua) {
    ffi_room *shared = lua_newuserdata(lua, sizeof *shared);
    memset(shared, 0, sizeof *shared);
    shared->part.get = COFFER_OPERATION_GET;
    shared->part.get_or_load = COFFER_OPERATION_GET_OR_LOAD;
    shared->part.ask = SHARED_ASK;
    shared->part.found = SHARED_FOUND;
    shared->part.negative = SHARED_NEGATIVE;
    shared->part.look = ffi_look;
    shared->part.confirms = ffi_confirms;
    coffer__lua_add_metatable(lua, SHARED_NAME, ffi_gc);
    luaL_getmetatable(lua, SHARED_NAME);
    lua_setmetatable(lua, -2);
    lua_pushstring(lua, SHARED_TEXT);
    lua_pushinteger(lua, (lua_Integer)sizeof shared->part);
    return 3;
}

int coffer__lua_near_found(lua_State *lua) {
    coffer__lua_handle *handle = coffer__lua_handle_at(lua, 1);
    ffi_room *shared = luaL_checkudata(lua, 3, SHARED_NAME);
    size_t len = shared->value.data.len;
    uint64_t version = shared->value.near_version;
    if (!shared->part.is_busy || handle == NULL) {
        return 0;
    }
    shared->text.len = 0;
    int pushed = coffer__lua_push_read(lua, COFFER_OK, &shared->value, &shared->text);
    shared->part.is_busy = false;
    if (len > ROOM_BYTES_MOST) {
        ffi_free(shared);
    }
    keep_pushed(lua, &handle->near, version, pushed);
    return pushed;
}
