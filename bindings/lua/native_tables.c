#include "native_loop.h"

/* ---- the table of options ---- */

static void set_text(lua_State *lua, const char *name, const char *text) {
    lua_pushstring(lua, text);
    lua_setfield(lua, -2, name);
}

static void set_bool(lua_State *lua, const char *name, bool value) {
    lua_pushboolean(lua, value);
    lua_setfield(lua, -2, name);
}

/* () -> array of {name, kind, default, environment, help, per_namespace, secret} */
int coffer__lua_option_table(lua_State *lua) {
    coffer_option_info info;
    lua_newtable(lua);
    for (size_t i = 0; coffer_options_describe(i, &info); i++) {
        lua_createtable(lua, 0, 7);
        set_text(lua, "name", info.name);
        set_text(lua, "kind", info.kind);
        set_text(lua, "default", info.default_text);
        set_text(lua, "environment", info.environment);
        set_text(lua, "help", info.help);
        set_bool(lua, "per_namespace", info.per_namespace);
        set_bool(lua, "secret", info.secret);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    return 1;
}

/* ---- statistics ---- */

static void set_count(lua_State *lua, const char *name, uint64_t count) {
    coffer__lua_push_count(lua, count);
    lua_setfield(lua, -2, name);
}

static void set_number(lua_State *lua, const char *name, double number) {
    lua_pushnumber(lua, (lua_Number)number);
    lua_setfield(lua, -2, name);
}

static void set_latency(lua_State *lua, const coffer_latency *latency) {
    lua_newtable(lua);
    for (int i = 0; i < COFFER_OPERATION_COUNT; i++) {
        const coffer_latency *one = &latency[i];
        if (one->count == 0) {
            continue;
        }
        lua_createtable(lua, 0, 6);
        set_count(lua, "count", one->count);
        set_count(lua, "timed_count", one->timed_count);
        set_number(lua, "p50_us", one->p50_us);
        set_number(lua, "p95_us", one->p95_us);
        set_number(lua, "p99_us", one->p99_us);
        set_number(lua, "max_us", one->max_us);
        lua_setfield(lua, -2, coffer_operation_name((coffer_operation)i));
    }
    lua_setfield(lua, -2, "latency");
}

static void set_refusals(lua_State *lua, coffer_namespace *ns) {
    coffer_refusal refusal;
    lua_newtable(lua);
    for (size_t i = 0; coffer_metrics_refusal(ns, i, &refusal); i++) {
        if (refusal.count > 0) {
            set_count(lua, coffer_status_name(refusal.status), refusal.count);
        }
    }
    lua_setfield(lua, -2, "refusals");
}

static void set_store(lua_State *lua, const coffer_store_stats *store) {
    lua_createtable(lua, 0, 5);
    set_count(lua, "memory_bytes", store->memory_bytes);
    set_count(lua, "used_bytes", store->used_bytes);
    set_count(lua, "entries", store->entries);
    set_count(lua, "evictions", store->evictions);
    set_count(lua, "expirations", store->expirations);
    lua_setfield(lua, -2, "store");
}

static void set_pool(lua_State *lua, const coffer_metrics *metrics) {
    lua_createtable(lua, 0, 6);
    set_count(lua, "open", metrics->connections_open);
    set_count(lua, "in_use", metrics->connections_in_use);
    set_count(lua, "made", metrics->connections_made);
    set_count(lua, "failed", metrics->connections_failed);
    set_count(lua, "waits", metrics->pool_waits);
    set_count(lua, "timeouts", metrics->pool_timeouts);
    lua_setfield(lua, -2, "pool");
}

static void set_breaker(lua_State *lua, const coffer_metrics *metrics) {
    lua_createtable(lua, 0, 3);
    set_count(lua, "open", metrics->breakers_open);
    set_count(lua, "opened", metrics->breaker_opened);
    set_count(lua, "refused", metrics->breaker_refused);
    lua_setfield(lua, -2, "breaker");
}

static void set_topology(lua_State *lua, const coffer_topology_stats *topology) {
    lua_newtable(lua);
#define SET(field, help) set_count(lua, #field, topology->field);
    COFFER_TOPOLOGY_MAP(SET)
#undef SET
    lua_setfield(lua, -2, "topology");
}

static void set_near(lua_State *lua, const coffer_near_stats *near) {
    lua_newtable(lua);
#define SET(field, help) set_count(lua, #field, near->field);
    COFFER_NEAR_MAP(SET)
#undef SET
    lua_setfield(lua, -2, "near");
}

static void set_hit_ratio(lua_State *lua, const coffer_counters *counters) {
    double answered = (double)counters->hits + (double)counters->negative_hits + (double)counters->stale_hits;
    double reads = answered + (double)counters->misses;
    set_number(lua, "hit_ratio", reads > 0 ? answered / reads : 0);
}

/* (handle) -> {hits = 1, ..., latency = {get = {...}}, refusals = {BAD_CRC = 1}, store = {...}, pool = {...}} */
int coffer__lua_stats(lua_State *lua) {
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    const coffer__lua_handle *handle = coffer__lua_handle_of(lua, 1);
    coffer_status status = handle->is_closed ? COFFER_CLOSED_CACHE : coffer_stats(handle->cache, &metrics);
    if (status < 0) {
        return coffer__lua_fail(lua, status, NULL);
    }
    coffer__lua_loop_add_metrics(handle->loop, &metrics);
    lua_newtable(lua);
#define SET(field, help) set_count(lua, #field, metrics.counters.field);
    COFFER_COUNTER_MAP(SET)
#undef SET
    set_hit_ratio(lua, &metrics.counters);
    set_latency(lua, metrics.latency);
    set_refusals(lua, coffer_cache_namespace(handle->cache));
    set_store(lua, &metrics.store);
    set_breaker(lua, &metrics);
    set_topology(lua, &metrics.topology);
    set_near(lua, &metrics.near);
    set_pool(lua, &metrics);
    return 1;
}

/* ---- health ---- */

/* A health that a userdata owns: making tables may raise. */
static int health_gc(lua_State *lua) {
    coffer_health_clear(lua_touserdata(lua, 1));
    return 0;
}

static coffer_health *health_box(lua_State *lua) {
    coffer_health *health = lua_newuserdata(lua, sizeof *health);
    *health = (coffer_health)COFFER_HEALTH_INIT;
    lua_createtable(lua, 0, 1);
    lua_pushcfunction(lua, health_gc);
    lua_setfield(lua, -2, "__gc");
    lua_setmetatable(lua, -2);
    return health;
}

static void push_endpoint(lua_State *lua, const coffer_endpoint_health *one) {
    lua_createtable(lua, 0, 13);
    set_text(lua, "name", one->name);
    set_text(lua, "breaker", one->breaker);
    set_number(lua, "retry_in", (double)one->retry_in_ms / 1000);
    set_count(lua, "opened", one->opened_count);
    set_count(lua, "refused", one->refused_count);
    set_count(lua, "calls", one->calls_count);
    set_count(lua, "failed", one->failed_count);
    if (one->round_trip_ms >= 0) {
        set_number(lua, "round_trip", (double)one->round_trip_ms / 1000);
    }
    set_text(lua, "version", one->version);
    set_text(lua, "forbidden", one->forbidden);
    set_text(lua, "role", one->role);
    set_text(lua, "zone", one->zone);
    if (one->smoothed_us >= 0) {
        set_number(lua, "smoothed_round_trip", (double)one->smoothed_us / 1e6);
    }
}

/* (handle) -> {state, reasons = {text ...}, endpoints = {{name, breaker ...} ...}, near, owed_keys, lost_keys} */
int coffer__lua_health(lua_State *lua) {
    const coffer__lua_handle *handle = coffer__lua_handle_of(lua, 1);
    coffer_health *health = health_box(lua);
    coffer_status status = handle->is_closed ? COFFER_CLOSED_CACHE : coffer_health_read(handle->cache, health, NULL);
    if (status < 0) {
        return coffer__lua_fail(lua, status, NULL);
    }
    lua_createtable(lua, 0, 6);
    set_text(lua, "near", health->near);
    set_text(lua, "state", coffer_health_state_name(health->state));
    set_count(lua, "owed_keys", health->owed_count);
    set_count(lua, "lost_keys", health->lost_count);
    lua_createtable(lua, (int)health->reason_count, 0);
    for (size_t i = 0; i < health->reason_count; i++) {
        lua_pushstring(lua, health->reasons[i]);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    lua_setfield(lua, -2, "reasons");
    lua_createtable(lua, (int)health->endpoint_count, 0);
    for (size_t i = 0; i < health->endpoint_count; i++) {
        push_endpoint(lua, &health->endpoints[i]);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    lua_setfield(lua, -2, "endpoints");
    coffer_health_clear(health);
    return 1;
}

/* ---- values ---- */

/* (table) -> the same, marked as an array: an empty one is stored as [] */
int coffer__lua_array(lua_State *lua) {
    luaL_checktype(lua, 1, LUA_TTABLE);
    lua_settop(lua, 1);
    luaL_getmetatable(lua, COFFER__LUA_ARRAY);
    lua_setmetatable(lua, 1);
    return 1;
}

/* A text whose memory a userdata owns: the one that json_text and json_value push. */
static int text_gc(lua_State *lua) {
    coffer__lua_text_free(lua_touserdata(lua, 1));
    return 0;
}

static coffer__lua_text *text_box(lua_State *lua) {
    coffer__lua_text *text = lua_newuserdata(lua, sizeof *text);
    *text = (coffer__lua_text){NULL, 0, 0};
    lua_createtable(lua, 0, 1);
    lua_pushcfunction(lua, text_gc);
    lua_setfield(lua, -2, "__gc");
    lua_setmetatable(lua, -2);
    return text;
}

/* (value) -> what is stored of it as JSON */
int coffer__lua_json_text(lua_State *lua) {
    luaL_checkany(lua, 1);
    coffer__lua_text *text = text_box(lua);
    coffer__lua_fault fault = coffer__lua_json_encode(lua, 1, text);
    if (fault.status < 0) {
        return coffer__lua_fail_fault(lua, fault);
    }
    lua_pushlstring(lua, text->data, text->len);
    coffer__lua_text_free(text);
    return 1;
}

/* (text) -> the value */
int coffer__lua_json_value(lua_State *lua) {
    coffer_value value = {.format = COFFER_FORMAT_JSON};
    value.data = coffer__lua_key(lua, 1);
    coffer__lua_text *scratch = text_box(lua);
    coffer__lua_fault fault = coffer__lua_push_value(lua, &value, scratch);
    coffer__lua_text_free(scratch);
    return fault.status < 0 ? coffer__lua_fail_fault(lua, fault) : 1;
}
