#include "copied.h"

#include "engine/nearby.h"

/* ---- looking ---- */

static bool look(const coffer_namespace *ns, coffer_slice key, coffer_slice wire_key, uint64_t now_ms, coffer__buf *bytes, coffer__buf *scratch,
                 coffer__seen *seen) {
    coffer__near_found found;
    size_t offset = bytes->len;
    if (coffer__near_look(ns->copies, wire_key, now_ms, bytes, &found) != COFFER_OK) {
        return false;
    }
    coffer_slice copy = coffer_slice_of(bytes->data + offset, bytes->len - offset);
    if (copy.len == 0 && coffer__near_says_absent(&found)) {
        *seen = (coffer__seen){.found = COFFER__FOUND_NOTHING};
    } else if (coffer__judge_stored(ns, key, copy, now_ms, scratch, seen) != COFFER_OK) {
        return false;
    }
    seen->near = true;
    seen->near_version = found.version;
    return seen->found == COFFER__FOUND_FRESH || seen->found == COFFER__FOUND_NEGATIVE || seen->found == COFFER__FOUND_NOTHING;
}

bool coffer__copied_look(coffer_op *op, coffer_slice key, coffer_slice wire_key, coffer__buf *bytes, coffer__buf *scratch, coffer__seen *seen) {
    return op->ns->copies != NULL && coffer__is_in_share(op->ns->switches, key) && !coffer__owed_holds(op->ns->client->owed, wire_key) &&
           look(op->ns, key, wire_key, op->now_ms, bytes, scratch, seen);
}

bool coffer__copied_peek(const coffer_namespace *ns, coffer_slice key, coffer_slice wire_key, uint64_t now_ms, coffer__buf *bytes,
                         coffer__buf *scratch, coffer__seen *seen) {
    coffer__buf_clear(bytes);
    return look(ns, key, wire_key, now_ms, bytes, scratch, seen);
}

void coffer__copied_count(const coffer_namespace *ns, const coffer__seen *seen) {
    coffer__count(ns->observer, coffer__copied_counter(seen), 1);
}

/* ---- keeping ---- */

bool coffer__copied_expect(coffer_op *op, coffer_slice wire_key, coffer__asked *asked) {
    asked->token.given = false;
    asked->at_ms = op->now_ms;
    if (op->ns->copies != NULL) {
        coffer__near_expect(op->ns->copies, wire_key, op->now_ms, &asked->token);
        coffer__nearby_expected(op->ns->client, asked->token.given);
    }
    return asked->token.given;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* What PTTL says, of the very server that has answered: -1 is for ever. 0: it is not known. */
static uint64_t life_on_server(const coffer_call *call, const coffer_call *life) {
    if (life == NULL || coffer__reply_status(life, COFFER__REPLY_INTEGER) != COFFER_OK || !coffer__nearby_together(life, call)) {
        return 0;
    }
    int64_t left_ms = life->reply.nodes[0].integer;
    return left_ms == -1 ? UINT64_MAX : left_ms < 0 ? 0 : (uint64_t)left_ms;
}

/* How long from when it was asked for the answer may be used; 0: not at all. Behind a fresh entry's end it would be none. */
static uint64_t life_of(coffer_op *op, const coffer__asked *asked, const coffer_call *call, const coffer__seen *seen, const coffer_call *life) {
    uint64_t asked_unix_ms = coffer__client_unix_ms(op->ns->client, asked->at_ms);
    uint64_t end = seen->entry.fresh_unix_ms, fresh_ms;
    switch (seen->found) {
    case COFFER__FOUND_FRESH:
    case COFFER__FOUND_NEGATIVE:
        fresh_ms = end > asked_unix_ms ? end - asked_unix_ms : 0;
        return least(op->ns->options->raw ? UINT64_MAX : fresh_ms, life_on_server(call, life));
    case COFFER__FOUND_NOTHING:
        return op->ns->options->negative_ttl_ms;
    default:
        return 0;
    }
}

void coffer__copied_keep(coffer_op *op, const coffer__asked *asked, coffer_slice wire_key, const coffer_call *call, size_t node,
                         const coffer__seen *seen, const coffer_call *life) {
    bool nil = call->reply.nodes[node].type == COFFER__REPLY_NIL;
    if (!asked->token.given || nil != (seen->found == COFFER__FOUND_NOTHING) || coffer__owed_holds(op->ns->client->owed, wire_key)) {
        return;
    }
    uint64_t most_ms;
    int channel = coffer__nearby_channel(op->ns, call, &most_ms);
    uint64_t life_ms = life_of(op, asked, call, seen, life);
    if (channel < 0 || life_ms == 0) {
        return;
    }
    const coffer__near_copy copy = {
        .value = nil ? coffer_slice_of(NULL, 0) : coffer__reply_text(&call->reply, node),
        .channel = (unsigned)channel,
        .expires_at_ms = asked->at_ms + least(life_ms, most_ms),
        .negative = seen->found != COFFER__FOUND_FRESH,
    };
    (void)coffer__near_fill(op->ns->copies, &asked->token, wire_key, &copy, op->now_ms);
}
