/* The commands, carried out by the store inside the process. Each gives the reply that a server would give, so no operation has to know. */
#include "command.h"

#include "codec/envelope.h"
#include "scripts_embedded.h"

#include <stdio.h>

static coffer_status say_integer(coffer__local *run, int64_t integer) {
    coffer__node *node = coffer__reply_add(run->reply, COFFER__REPLY_INTEGER);
    if (node == NULL) {
        return COFFER_NO_MEMORY;
    }
    node->integer = integer;
    return COFFER_OK;
}

static coffer_status say_text(coffer__local *run, coffer__reply_type type, coffer_slice text) {
    size_t offset = run->reply->bytes.len;
    if (!coffer__buf_append_slice(&run->reply->bytes, text)) {
        return COFFER_NO_MEMORY;
    }
    coffer__node *node = coffer__reply_add(run->reply, type);
    if (node == NULL) {
        return COFFER_NO_MEMORY;
    }
    node->offset = offset;
    node->len = text.len;
    return COFFER_OK;
}

static coffer_status say_nil(coffer__local *run) {
    return coffer__reply_add(run->reply, COFFER__REPLY_NIL) == NULL ? COFFER_NO_MEMORY : COFFER_OK;
}

/* What the store answers, as a server would put it. */
static coffer_status say_failure(coffer__local *run, coffer_status status) {
    if (status == COFFER_AGAIN) {
        return say_text(run, COFFER__REPLY_ERROR, COFFER_SLICE("BUSY another process holds that part of the cache, and does not go on"));
    }
    if (status == COFFER_TOO_LARGE) {
        return say_text(run, COFFER__REPLY_ERROR, COFFER_SLICE("OOM the value does not fit the memory of the cache (option 'memory')"));
    }
    if (status == COFFER_NOT_INTEGER) {
        return say_text(run, COFFER__REPLY_ERROR, COFFER_SLICE("ERR value is not an integer or out of range"));
    }
    return COFFER_NO_MEMORY;
}

static uint64_t number_of(coffer_slice text) {
    uint64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    return number;
}

static uint64_t end_of_life(const coffer__local *run, coffer_slice life_ms) {
    uint64_t life = number_of(life_ms);
    return life > UINT64_MAX - 1 - run->now_ms ? UINT64_MAX : run->now_ms + life;
}

static coffer_status say_value(coffer__local *run, coffer_slice key) {
    size_t offset = run->reply->bytes.len;
    coffer_status status = coffer__near_get(run->store, key, run->now_ms, &run->reply->bytes, NULL);
    if (status == COFFER_MISS) {
        return say_nil(run);
    }
    if (status != COFFER_OK) {
        return say_failure(run, status);
    }
    coffer__node *node = coffer__reply_add(run->reply, COFFER__REPLY_BULK);
    if (node == NULL) {
        return COFFER_NO_MEMORY;
    }
    node->offset = offset;
    node->len = run->reply->bytes.len - offset;
    return COFFER_OK;
}

static coffer_status local_get(coffer__local *run) {
    return say_value(run, run->arguments[1]);
}

static coffer_status local_mget(coffer__local *run) {
    coffer__node *node = coffer__reply_add(run->reply, COFFER__REPLY_ARRAY);
    if (node == NULL) {
        return COFFER_NO_MEMORY;
    }
    node->len = run->count - 1;
    coffer_status status = COFFER_OK;
    for (size_t i = 1; i < run->count && status == COFFER_OK; i++) {
        status = say_value(run, run->arguments[i]);
    }
    return status;
}

/* SET key value [PX ms] [NX|XX] */
static coffer_status local_set(coffer__local *run) {
    coffer__near_condition condition = {.when = COFFER__NEAR_ALWAYS};
    uint64_t ends_ms = UINT64_MAX;
    for (size_t i = 3; i < run->count; i++) {
        if (coffer_slice_equal(run->arguments[i], COFFER_SLICE("PX"))) {
            ends_ms = end_of_life(run, run->arguments[++i]);
        } else {
            condition.when = run->arguments[i].data[0] == 'N' ? COFFER__NEAR_ABSENT : COFFER__NEAR_PRESENT;
        }
    }
    coffer_status status = coffer__near_put(run->store, run->arguments[1], run->arguments[2], run->now_ms, ends_ms, &condition);
    if (status == COFFER_OK) {
        return say_text(run, COFFER__REPLY_LINE, COFFER_SLICE("OK"));
    }
    return status == COFFER_NOT_STORED ? say_nil(run) : say_failure(run, status);
}

static coffer_status local_unlink(coffer__local *run) {
    int64_t gone = 0;
    for (size_t i = 1; i < run->count; i++) {
        coffer_status status = coffer__near_delete(run->store, run->arguments[i], run->now_ms);
        if (status == COFFER_AGAIN) {
            return say_failure(run, status);
        }
        gone += status == COFFER_OK;
    }
    return say_integer(run, gone);
}

static coffer_status local_pttl(coffer__local *run) {
    coffer__buf unused = COFFER__BUF_INIT;
    uint64_t ends_ms = 0;
    coffer_status status = coffer__near_get(run->store, run->arguments[1], run->now_ms, &unused, &ends_ms);
    coffer__buf_free(&unused);
    if (status == COFFER_MISS) {
        return say_integer(run, -2);
    }
    if (status != COFFER_OK) {
        return say_failure(run, status);
    }
    return say_integer(run, ends_ms == UINT64_MAX ? -1 : (int64_t)(ends_ms - run->now_ms));
}

static coffer_status expire_at(coffer__local *run, uint64_t ends_ms) {
    coffer_status status = coffer__near_expire(run->store, run->arguments[1], run->now_ms, ends_ms);
    return status == COFFER_AGAIN ? say_failure(run, status) : say_integer(run, status == COFFER_OK);
}

static coffer_status local_pexpire(coffer__local *run) {
    return expire_at(run, end_of_life(run, run->arguments[2]));
}

static coffer_status local_persist(coffer__local *run) {
    return expire_at(run, UINT64_MAX);
}

static coffer_status local_ping(coffer__local *run) {
    return say_text(run, COFFER__REPLY_LINE, COFFER_SLICE("PONG"));
}

/* A scan under way: how many keys the reply has so far. */
typedef struct local_page {
    coffer__local *run;
    coffer_slice pattern;
    size_t count;
} local_page;

/* As a server matches what coffer__key_pattern writes: bytes, behind a backslash where they mean something, then a '*'. */
static bool is_like(coffer_slice key, coffer_slice pattern) {
    size_t at = 0, i = 0;
    for (; i + 1 < pattern.len && at < key.len; i++, at++) {
        i += pattern.data[i] == '\\';
        if (pattern.data[i] != key.data[at]) {
            return false;
        }
    }
    return i + 1 == pattern.len;
}

static bool take_key(void *data, coffer_slice key) {
    local_page *page = (local_page *)data;
    if (!is_like(key, page->pattern)) {
        return true;
    }
    page->count++;
    return say_text(page->run, COFFER__REPLY_BULK, key) == COFFER_OK;
}

/* SCAN cursor MATCH pattern COUNT n: of so many buckets of the store. */
static coffer_status local_scan(coffer__local *run) {
    local_page page = {run, run->arguments[3], 0};
    uint64_t cursor = number_of(run->arguments[1]);
    size_t bucket_count = (size_t)number_of(run->arguments[5]);
    if (!coffer__reply_reserve(run->reply, 3)) {
        return COFFER_NO_MEMORY;
    }
    coffer__reply_add(run->reply, COFFER__REPLY_ARRAY)->len = 2;
    coffer__reply_add(run->reply, COFFER__REPLY_BULK);
    coffer__reply_add(run->reply, COFFER__REPLY_ARRAY);
    coffer_status status = coffer__near_scan(run->store, &cursor, bucket_count, run->now_ms, take_key, &page);
    if (status != COFFER_OK) {
        coffer__reply_clear(run->reply);
        return say_failure(run, status);
    }
    char text[24];
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)cursor);
    size_t offset = run->reply->bytes.len;
    run->reply->nodes[1].offset = offset;
    run->reply->nodes[1].len = (size_t)len;
    run->reply->nodes[2].len = page.count;
    return coffer__buf_append(&run->reply->bytes, text, (size_t)len) ? COFFER_OK : COFFER_NO_MEMORY;
}

/* core/scripts/store_if.lua. Arguments: "1" key, then ARGV. */
static coffer_status local_store_if(coffer__local *run) {
    bool absent = coffer_slice_equal(run->arguments[2], COFFER_SLICE("absent"));
    coffer__near_condition condition = {
        .when = absent ? COFFER__NEAR_ABSENT : COFFER__NEAR_MATCH,
        .offset = COFFER__ENVELOPE_ID_OFFSET,
        .match_len = 8,
        .bytes = run->arguments[3],
    };
    uint64_t ends_ms = run->arguments[5].data[0] == '0' ? UINT64_MAX : end_of_life(run, run->arguments[5]);
    coffer_status status = coffer__near_put(run->store, run->arguments[1], run->arguments[4], run->now_ms, ends_ms, &condition);
    if (status == COFFER_OK || status == COFFER_NOT_STORED) {
        return say_integer(run, status == COFFER_OK);
    }
    return say_failure(run, status);
}

/* core/scripts/add.lua */
static coffer_status local_add(coffer__local *run) {
    coffer_slice delta = run->arguments[2];
    bool negative = delta.data[0] == '-';
    uint64_t size = number_of(negative ? coffer_slice_of(delta.data + 1, delta.len - 1) : delta);
    int64_t change = (int64_t)(negative ? 0 - size : size);
    uint64_t ends_ms = run->arguments[3].data[0] == '0' ? UINT64_MAX : end_of_life(run, run->arguments[3]);
    int64_t sum = 0;
    coffer_status status = coffer__near_add(run->store, run->arguments[1], change, run->now_ms, ends_ms, &sum);
    if (status != COFFER_OK) {
        return say_failure(run, status);
    }
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)sum);
    return say_text(run, COFFER__REPLY_BULK, coffer_slice_text(text));
}

#define SCRIPT_NAMES(name, sha1, text) static const char sha1_of_##name[] = sha1, text_of_##name[] = text;
COFFER__SCRIPT_MAP(SCRIPT_NAMES)
#undef SCRIPT_NAMES

/* name, writes, script's SHA1 and text, has_key, local */
const coffer__command coffer__command_get = {"GET", false, NULL, NULL, true, local_get};
const coffer__command coffer__command_mget = {"MGET", false, NULL, NULL, true, local_mget};
const coffer__command coffer__command_set = {"SET", true, NULL, NULL, true, local_set};
const coffer__command coffer__command_unlink = {"UNLINK", true, NULL, NULL, true, local_unlink};
const coffer__command coffer__command_pttl = {"PTTL", false, NULL, NULL, true, local_pttl};
const coffer__command coffer__command_pexpire = {"PEXPIRE", true, NULL, NULL, true, local_pexpire};
const coffer__command coffer__command_persist = {"PERSIST", true, NULL, NULL, true, local_persist};
const coffer__command coffer__command_ping = {"PING", false, NULL, NULL, false, local_ping};
const coffer__command coffer__command_scan = {"SCAN", false, NULL, NULL, false, local_scan};
const coffer__command coffer__command_cluster = {"CLUSTER", false, NULL, NULL, false, NULL};
const coffer__command coffer__command_sentinel = {"SENTINEL", false, NULL, NULL, false, NULL};
const coffer__command coffer__command_store_if = {"script store_if", true, sha1_of_store_if, text_of_store_if, true, local_store_if};
const coffer__command coffer__command_add = {"script add", true, sha1_of_add, text_of_add, true, local_add};
