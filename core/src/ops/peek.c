/* Near values without an op: what coffer_op_get or coffer_op_get_or_load would answer at its first step, in the least time. What is not plain is left to
 * the op. */
#include "copied.h"

#include "engine/owed.h"
#include "engine/room.h"
#include "engine/switches.h"
#include "policy/key.h"

/* How far behind the caller's clock may be: what ends within that time is left to an op, whose clock is exact. */
enum { COARSE_MS = 16 };

/* The key as in the store; false where it is refused, or memory is short. */
static bool write_key(const coffer_namespace *ns, coffer_slice key, coffer_room *room) {
    coffer_error unused;
    coffer__buf_clear(&room->wire_key);
    return coffer__buf_append_slice(&room->wire_key, coffer__buf_slice(&ns->key_base)) &&
           coffer__key_write(&room->wire_key, ns->options->key_rules, key, false, &unused) == COFFER_OK;
}

static bool may_look(const coffer_namespace *ns, coffer_operation operation, coffer_slice key, coffer_room *room) {
    return (operation == COFFER_OPERATION_GET || operation == COFFER_OPERATION_GET_OR_LOAD) && (ns->copies != NULL || ns->client->store != NULL) &&
           coffer__is_on_for(ns, operation, key) && write_key(ns, key, room) &&
           !coffer__owed_holds(ns->client->owed, coffer__buf_slice(&room->wire_key));
}

/* As an op would count it. */
static void count(const coffer_namespace *ns, coffer_operation operation, const coffer__seen *seen, coffer__counter counter, size_t bytes) {
    coffer__counter nearness = seen->near ? coffer__copied_counter(seen) : counter;
    coffer__count_answer(ns->observer, operation, counter, nearness, bytes);
}

/* What is merely not there is to be loaded. */
static coffer_status miss(const coffer_namespace *ns, coffer_operation operation, const coffer__seen *seen, coffer_value *value) {
    bool remembered = seen->found == COFFER__FOUND_NEGATIVE;
    if (!remembered && operation == COFFER_OPERATION_GET_OR_LOAD) {
        return COFFER_AGAIN;
    }
    value->source = remembered ? COFFER_SOURCE_NEGATIVE : COFFER_SOURCE_NONE;
    count(ns, operation, seen, remembered ? COFFER__COUNT_negative_hits : COFFER__COUNT_misses, 0);
    return COFFER_MISS;
}

static bool ends_soon(uint64_t end_ms, uint64_t now_ms) {
    return end_ms != UINT64_MAX && end_ms <= now_ms + COARSE_MS;
}

/* An object may be kept as long as its entry is in the store: where freshness ends with life. */
static uint64_t version_of(const coffer__seen *seen, const coffer__near_found *found) {
    return seen->entry.fresh_unix_ms == seen->entry.expires_unix_ms ? found->version : 0;
}

/* Of mem://. */
static coffer_status peek_store(const coffer_namespace *ns, coffer_slice key, uint64_t now_ms, coffer_room *room, coffer__seen *seen) {
    coffer__near_found found;
    coffer__buf_clear(&room->bytes);
    coffer_status status = coffer__near_read(ns->client->store, coffer__buf_slice(&room->wire_key), now_ms, &room->bytes, &found);
    if (status == COFFER_MISS) {
        *seen = (coffer__seen){.found = COFFER__FOUND_NOTHING};
        return COFFER_OK;
    }
    if (status != COFFER_OK || ends_soon(found.expires_at_ms, now_ms)) {
        return COFFER_AGAIN;
    }
    status = coffer__judge_stored(ns, key, coffer__buf_slice(&room->bytes), now_ms, &room->opened, seen);
    seen->near_version = version_of(seen, &found);
    return status;
}

static coffer_status peek(const coffer_namespace *ns, coffer_slice key, uint64_t now_ms, coffer_room *room, coffer__seen *seen) {
    if (ns->copies == NULL) {
        return peek_store(ns, key, now_ms, room, seen);
    }
    bool near = coffer__copied_peek(ns, key, coffer__buf_slice(&room->wire_key), now_ms + COARSE_MS, &room->bytes, &room->opened, seen);
    return near ? COFFER_OK : COFFER_AGAIN;
}

static bool store_confirms(const coffer_namespace *ns, coffer_slice wire_key, uint64_t near_version, uint64_t now_ms, coffer_room *room) {
    coffer__near_found found;
    coffer__buf_clear(&room->bytes);
    return coffer__near_read(ns->client->store, wire_key, now_ms, &room->bytes, &found) == COFFER_OK && found.version == near_version &&
           !ends_soon(found.expires_at_ms, now_ms);
}

/* Freshness, which is judged by the same clock. */
static bool ends_soon_or_is_old(const coffer_namespace *ns, const coffer__seen *seen, uint64_t now_ms) {
    return seen->found != COFFER__FOUND_FRESH ||
           (!ns->options->raw && ends_soon(seen->entry.fresh_unix_ms, coffer__client_unix_ms(ns->client, now_ms)));
}

coffer_status coffer_peek(coffer_namespace *ns, coffer_operation operation, coffer_slice key, uint64_t now_ms, coffer_room *room,
                          coffer_value *value) {
    coffer__seen seen;
    memset(value, 0, sizeof *value);
    if (!may_look(ns, operation, key, room) || peek(ns, key, now_ms, room, &seen) != COFFER_OK) {
        return COFFER_AGAIN;
    }
    if (seen.found == COFFER__FOUND_NOTHING || (seen.found == COFFER__FOUND_NEGATIVE && seen.near)) {
        return miss(ns, operation, &seen, value);
    }
    if (ends_soon_or_is_old(ns, &seen, now_ms)) {
        return COFFER_AGAIN;
    }
    *value = coffer__seen_value(ns, &seen);
    count(ns, operation, &seen, COFFER__COUNT_hits, value->data.len);
    return COFFER_OK;
}

bool coffer_peek_confirms(coffer_namespace *ns, coffer_operation operation, coffer_slice key, uint64_t near_version, uint64_t now_ms,
                          coffer_room *room) {
    if (near_version == 0 || !may_look(ns, operation, key, room)) {
        return false;
    }
    coffer__seen seen = {.found = COFFER__FOUND_FRESH, .near = ns->copies != NULL};
    coffer_slice wire_key = coffer__buf_slice(&room->wire_key);
    bool same = seen.near ? coffer__near_confirms(ns->copies, wire_key, near_version, now_ms + COARSE_MS)
                          : store_confirms(ns, wire_key, near_version, now_ms, room);
    if (same) {
        count(ns, operation, &seen, COFFER__COUNT_hits, 0);
    }
    return same;
}
