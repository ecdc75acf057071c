#include "reply.h"

#include "base/alloc.h"

/* KEPT_BYTES: what an idle reply may go on holding, half of it nodes (F26). */
enum { KEPT_BYTES = 16 << 10, FEWEST_NODES = 4 };

void coffer__reply_clear(coffer__reply *reply) {
    reply->node_count = 0;
    coffer__buf_clear(&reply->bytes);
    if (reply->bytes.cap > KEPT_BYTES / 2) {
        coffer__buf_free(&reply->bytes);
    }
    if (reply->node_cap > KEPT_BYTES / 2 / sizeof *reply->nodes) {
        coffer__release(reply->nodes);
        reply->nodes = NULL;
        reply->node_cap = 0;
    }
}

void coffer__reply_free(coffer__reply *reply) {
    if (reply == NULL) {
        return;
    }
    coffer__release(reply->nodes);
    coffer__buf_free(&reply->bytes);
    *reply = (coffer__reply){0};
}

void coffer__reply_swap(coffer__reply *a, coffer__reply *b) {
    coffer__reply was = *a;
    *a = *b;
    *b = was;
}

coffer_slice coffer__reply_text(const coffer__reply *reply, size_t node) {
    const coffer__node *at = &reply->nodes[node];
    if (at->type != COFFER__REPLY_BULK && at->type != COFFER__REPLY_LINE && at->type != COFFER__REPLY_ERROR) {
        return coffer_slice_of(NULL, 0);
    }
    return coffer_slice_of(at->len == 0 ? NULL : reply->bytes.data + at->offset, at->len);
}

/* `due` nodes are still to be stepped over; an array adds its elements. */
size_t coffer__reply_after(const coffer__reply *reply, size_t node) {
    for (size_t due = 1; due > 0 && node < reply->node_count; node++) {
        due--;
        if (reply->nodes[node].type == COFFER__REPLY_ARRAY) {
            due += reply->nodes[node].len;
        }
    }
    return node;
}

bool coffer__reply_reserve(coffer__reply *reply, size_t node_count) {
    size_t cap = reply->node_cap < FEWEST_NODES ? FEWEST_NODES : reply->node_cap;
    while (cap - reply->node_count < node_count) {
        cap *= 2;
    }
    if (cap == reply->node_cap) {
        return true;
    }
    coffer__node *nodes = (coffer__node *)coffer__resize(reply->nodes, cap * sizeof *nodes);
    if (nodes == NULL) {
        return false;
    }
    reply->nodes = nodes;
    reply->node_cap = cap;
    return true;
}

coffer__node *coffer__reply_add(coffer__reply *reply, coffer__reply_type type) {
    if (reply->node_count == reply->node_cap && !coffer__reply_reserve(reply, 1)) {
        return NULL;
    }
    coffer__node *node = &reply->nodes[reply->node_count++];
    *node = (coffer__node){.type = type};
    return node;
}
