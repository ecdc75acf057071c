/* Near values without an op: what coffer_op_get would answer at its first step, in the least time. What is not plain is left to the op. */
#include "entry.h"

#include "base/alloc.h"
#include "engine/switches.h"
#include "policy/key.h"

/* How far behind the caller's clock may be: what ends within that time is left to an op, whose clock is exact. */
enum { COARSE_MS = 16 };

struct coffer_room {
    coffer__buf wire_key;
    coffer__buf bytes; /* as stored */
    coffer__buf opened;
};

coffer_status coffer_room_new(coffer_room **room) {
    *room = (coffer_room *)coffer__alloc_zero(sizeof **room);
    return *room == NULL ? COFFER_NO_MEMORY : COFFER_OK;
}

void coffer_room_free(coffer_room *room) {
    if (room != NULL) {
        coffer__buf_free(&room->wire_key);
        coffer__buf_free(&room->bytes);
        coffer__buf_free(&room->opened);
        coffer__release(room);
    }
}

/* The key as in the store; false where it is refused, or memory is short. */
static bool write_key(const coffer_namespace *ns, coffer_slice key, coffer_room *room) {
    coffer_error unused;
    coffer__buf_clear(&room->wire_key);
    return coffer__buf_append_slice(&room->wire_key, coffer__buf_slice(&ns->key_base)) &&
           coffer__key_write(&room->wire_key, ns->options->key_rules, key, false, &unused) == COFFER_OK;
}

static coffer_status look(const coffer_namespace *ns, coffer_slice key, uint64_t now_ms, coffer_room *room, coffer__near_found *found) {
    if (ns->client->store == NULL || !coffer__is_on_for(ns, COFFER_OPERATION_GET, key) || !write_key(ns, key, room)) {
        return COFFER_AGAIN;
    }
    coffer__buf_clear(&room->bytes);
    return coffer__near_read(ns->client->store, coffer__buf_slice(&room->wire_key), now_ms, &room->bytes, found);
}

/* The hit is counted as an op would count it. */
static void count(const coffer_namespace *ns, coffer__counter counter, size_t bytes) {
    coffer__count_operation(ns->observer, COFFER_OPERATION_GET);
    coffer__count(ns->observer, counter, 1);
    coffer__count(ns->observer, COFFER__COUNT_bytes_read, bytes);
}

static bool ends_soon(uint64_t end_ms, uint64_t now_ms) {
    return end_ms != UINT64_MAX && end_ms <= now_ms + COARSE_MS;
}

/* An object may be kept as long as its entry is in the store: where freshness ends with life. */
static uint64_t version_of(const coffer__seen *seen, const coffer__near_found *found) {
    return seen->entry.fresh_unix_ms == seen->entry.expires_unix_ms ? found->version : 0;
}

coffer_status coffer_peek(coffer_namespace *ns, coffer_slice key, uint64_t now_ms, coffer_room *room, coffer_value *value) {
    coffer__near_found found;
    coffer__seen seen;
    memset(value, 0, sizeof *value);
    coffer_status status = look(ns, key, now_ms, room, &found);
    if (status == COFFER_MISS) {
        count(ns, COFFER__COUNT_misses, 0);
        return COFFER_MISS;
    }
    if (status != COFFER_OK || ends_soon(found.expires_at_ms, now_ms) ||
        coffer__judge_stored(ns, key, coffer__buf_slice(&room->bytes), now_ms, &room->opened, &seen) != COFFER_OK) {
        return COFFER_AGAIN;
    }
    if (seen.found != COFFER__FOUND_FRESH || (!ns->options->raw && ends_soon(seen.entry.fresh_unix_ms, coffer__client_unix_ms(ns->client, now_ms)))) {
        return COFFER_AGAIN;
    }
    *value = coffer__seen_value(ns, &seen);
    value->near_version = version_of(&seen, &found);
    count(ns, COFFER__COUNT_hits, value->data.len);
    return COFFER_OK;
}

bool coffer_peek_confirms(coffer_namespace *ns, coffer_slice key, uint64_t near_version, uint64_t now_ms, coffer_room *room) {
    coffer__near_found found;
    bool same = near_version != 0 && look(ns, key, now_ms, room, &found) == COFFER_OK && found.version == near_version &&
                !ends_soon(found.expires_at_ms, now_ms);
    if (same) {
        count(ns, COFFER__COUNT_hits, 0);
    }
    return same;
}
