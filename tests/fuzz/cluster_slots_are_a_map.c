/* Whatever a node answers to CLUSTER SLOTS, and whatever it says in MOVED: the map names only servers that can be connected to, an answer is taken whole or
 * not at all, a slot that MOVED has corrected since stays so, and memory stays bounded by what came. */
#include "fuzz.h"

#include "resp/guard.h"
#include "topology/redirect.h"
#include "topology/slot_map.h"
#include "topology/slots.h"

#include "support/watched_alloc.h"

typedef struct world {
    coffer__endpoints *endpoints;
    coffer__slot_map *map;
    const coffer_endpoint *asked;
    coffer__guard *guard;
    coffer__reply reply;
} world;

static bool begin(world *w) {
    coffer__guard_limits limits = COFFER__GUARD_LIMITS_INIT;
    coffer_endpoint asked = {.host = COFFER_SLICE("asked"), .port = 7000};
    w->endpoints = coffer__endpoints_new();
    w->map = coffer__slot_map_new(w->endpoints);
    MUST(w->endpoints != NULL && w->map != NULL && coffer__guard_new(&w->guard, &limits) == COFFER_OK);
    w->asked = coffer__endpoints_intern(w->endpoints, &asked);
    return w->asked != NULL;
}

static void must_be_reachable(const coffer_endpoint *endpoint) {
    touch(endpoint->host);
    MUST(endpoint->port != 0 && coffer__host_is_fit(endpoint->host));
}

static void must_be_a_map(world *w) {
    for (unsigned slot = 0; slot < COFFER__SLOTS; slot++) {
        const coffer_endpoint *owner = coffer__slot_map_owner(w->map, (uint16_t)slot);
        if (owner != NULL) {
            must_be_reachable(owner);
        }
    }
    for (size_t i = 0; i < coffer__slot_map_node_count(w->map); i++) {
        must_be_reachable(coffer__slot_map_node(w->map, i));
    }
}

/* One answer, heard and taken. */
static coffer_status learn_from(coffer__slot_map *map, const coffer_endpoint *asked, uint64_t ticket, const coffer__reply *reply) {
    coffer__slot_answer *heard;
    coffer_status status = coffer__slot_map_hear(map, asked, ticket, reply, &heard);
    if (status == COFFER_OK) {
        coffer__slot_map_settle(map, &heard, 1);
    }
    coffer__slot_answer_free(heard);
    return status;
}

/* The first byte of a piece says what it is: a redirect, or else an answer. */
static void hear(world *w, uint64_t ticket) {
    const coffer_endpoint *corrected = coffer__slot_map_owner(w->map, 42);
    uint64_t now = coffer__slot_map_ticket(w->map);
    coffer_status status = learn_from(w->map, w->asked, ticket, &w->reply);
    MUST(status == COFFER_OK || status == COFFER_SERVER || status == COFFER_NO_MEMORY);
    MUST(status != COFFER_OK || !coffer__slot_map_is_empty(w->map));
    MUST(status != COFFER_OK || coffer__slot_map_node_count(w->map) > 0);
    if (ticket < now) {
        MUST(coffer__slot_map_owner(w->map, 42) == corrected);
    }
}

static void obey(world *w, coffer_slice text) {
    coffer__redirect redirect;
    char *copy = alone(text);
    if (coffer__redirect_read(coffer_slice_of(copy, text.len), &redirect)) {
        coffer_endpoint wanted = {.host = redirect.host.len > 0 ? redirect.host : w->asked->host, .port = redirect.port};
        const coffer_endpoint *owner = coffer__endpoints_intern(w->endpoints, &wanted);
        MUST(redirect.slot < COFFER__SLOTS);
        if (owner != NULL) {
            coffer__slot_map_moved(w->map, redirect.slot, owner);
            MUST(coffer__slot_map_owner(w->map, redirect.slot) == owner);
        }
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    world w = {0};
    coffer_slice in = coffer_slice_of(data, size);
    watched_alloc_begin(WATCHED_NEVER);
    MUST(begin(&w));
    if (size > 0 && (data[0] & 0x80) != 0) {
        watched_alloc_fail_once(1 + (data[0] & 31));
        in = coffer_slice_of(data + 1, size - 1);
    }
    uint64_t before = coffer__slot_map_ticket(w.map);
    coffer_status status;
    while ((status = coffer__guard_take(w.guard, &in, &w.reply)) == COFFER_OK) {
        if (w.reply.nodes[0].type == COFFER__REPLY_ERROR) {
            obey(&w, coffer__reply_text(&w.reply, 0));
            continue;
        }
        coffer__slot_map_moved(w.map, 42, w.asked);
        hear(&w, before);
        hear(&w, coffer__slot_map_ticket(w.map));
        must_be_a_map(&w);
    }
    coffer__reply_free(&w.reply);
    coffer__guard_free(w.guard);
    coffer__slot_map_free(w.map);
    coffer__endpoints_free(w.endpoints);
    MUST(watched_alloc.live_bytes == 0);
    watched_alloc_end();
    return 0;
}
