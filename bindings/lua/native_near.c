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
    return 0;
}

/* The number of the key's slot, from 1 on, and its table on top of the stack; 0: it has none. */
static int slot_of(lua_State *lua, const coffer__lua_near *near) {
    lua_rawgeti(lua, LUA_REGISTRYINDEX, near->values);
    lua_pushvalue(lua, 2);
    lua_rawget(lua, -2);
    int slot = (int)lua_tointeger(lua, -1);
    lua_pop(lua, 1);
    return slot;
}

/* The slot of the oldest, for the key at 2, with the table on top. What is jumped out of by want of memory leaves slots without a version. */
static int slot_take(lua_State *lua, coffer__lua_near *near) {
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
    lua_pushvalue(lua, 2);
    lua_pushinteger(lua, slot);
    lua_rawset(lua, -3);
    return slot;
}

/* Keeps the value at `index`. */
static void keep(lua_State *lua, coffer__lua_near *near, uint64_t version, int index) {
    if (near->slot_count == 0 || version == 0) {
        return;
    }
    int slot = slot_of(lua, near);
    if (slot == 0) {
        slot = slot_take(lua, near);
    }
    near->versions[slot - 1] = 0;
    lua_pushvalue(lua, index);
    lua_rawseti(lua, -2, slot);
    near->versions[slot - 1] = version;
    lua_pop(lua, 1);
}

/* ---- reading ---- */

typedef struct look {
    coffer_namespace *ns;
    coffer__lua_near *near;
    coffer_slice key;
    uint64_t now_ms, began_us; /* began_us: 0 where it is not timed */
} look;

/* False: an op has to ask. */
static bool look_begin(lua_State *lua, look *this, coffer__lua_handle *handle) {
    coffer__lua_near *near = &handle->near;
    this->key = coffer__lua_key(lua, 2);
    if (handle->is_closed || near->is_busy || (near->room == NULL && coffer_room_new(&near->room) != COFFER_OK)) {
        return false;
    }
    this->near = near;
    this->ns = coffer_cache_namespace(handle->cache);
    this->now_ms = coffer_now_coarse_ms();
    this->began_us = near->read_count++ % TIMED_OF == 0 ? coffer_now_us() : 0;
    return true;
}

static void look_end(const look *this) {
    if (this->began_us != 0) {
        coffer_metrics_record(this->ns, COFFER_OPERATION_GET, coffer_now_us() - this->began_us);
    }
}

/* Pushes the value that was made of the entry that is there: value, nil, "near". False: there is none. */
static bool push_kept(lua_State *lua, const look *this) {
    coffer__lua_near *near = this->near;
    if (near->slot_count == 0) {
        return false;
    }
    int slot = slot_of(lua, near);
    uint64_t version = slot == 0 ? 0 : near->versions[slot - 1];
    if (version == 0) {
        lua_pop(lua, 1);
        return false;
    }
    if (!coffer_peek_confirms(this->ns, COFFER_OPERATION_GET, this->key, version, this->now_ms, near->room)) {
        near->versions[slot - 1] = 0;
        lua_pushnil(lua);
        lua_rawseti(lua, -2, slot);
        lua_pop(lua, 1);
        return false;
    }
    lua_rawgeti(lua, -1, slot);
    lua_remove(lua, -2);
    lua_pushnil(lua);
    lua_pushstring(lua, coffer_source_name(COFFER_SOURCE_NEAR));
    return true;
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

static int read_near(lua_State *lua, coffer__lua_handle *handle, bool is_kept, coffer__lua_push *push) {
    look this;
    coffer_value value;
    if (!look_begin(lua, &this, handle)) {
        return COFFER__LUA_ASK;
    }
    if (is_kept && push_kept(lua, &this)) {
        look_end(&this);
        return 3;
    }
    coffer_status status = coffer_peek(this.ns, COFFER_OPERATION_GET, this.key, this.now_ms, this.near->room, &value);
    if (status != COFFER_OK && status != COFFER_MISS) {
        return COFFER__LUA_ASK;
    }
    look_end(&this);
    uint64_t version = value.near_version;
    int pushed = push_found(lua, this.near, status, &value, push);
    if (is_kept && status == COFFER_OK && !lua_isnil(lua, -pushed)) {
        keep(lua, this.near, version, lua_gettop(lua) - pushed + 1);
    }
    return pushed;
}

int coffer__lua_near_get(lua_State *lua, coffer__lua_handle *handle) {
    return read_near(lua, handle, true, coffer__lua_push_read);
}

int coffer__lua_near_entry(lua_State *lua, coffer__lua_handle *handle) {
    return read_near(lua, handle, false, coffer__lua_push_entry);
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

int coffer__lua_peek_entry(lua_State *lua) {
    return peeked(lua, coffer__lua_near_entry(lua, coffer__lua_handle_of(lua, 1)));
}
