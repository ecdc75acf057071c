#include "entry.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "engine/flight.h"
#include "engine/outage.h"
#include "policy/ttl.h"

/* Where the server's clock is known by a message that took a while, an entry may be this much past its end before it is refused: its server's own TTL
 * ends it on time. */
enum { CLOCK_TOLERANCE_MS = 5000 };

coffer_read_options coffer__read_options(const coffer_read_options *options) {
    return options == NULL ? (coffer_read_options)COFFER_READ_OPTIONS_INIT : *options;
}

coffer_write_options coffer__write_options(const coffer_write_options *options) {
    return options == NULL ? (coffer_write_options)COFFER_WRITE_OPTIONS_INIT : *options;
}

bool coffer__is_bypassed_many(coffer_op *op, const coffer_slice *wire_keys, size_t count) {
    if (coffer__is_on(op, op->key)) {
        return false;
    }
    coffer__op_count(op, COFFER__COUNT_bypassed, 1);
    coffer__outage_bypassed(op, wire_keys, count);
    return true;
}

bool coffer__is_bypassed(coffer_op *op) {
    return coffer__is_bypassed_many(op, &op->wire_key, op->wire_key.len > 0 ? 1 : 0);
}

static uint64_t tolerated_end(const coffer_namespace *ns, uint64_t expires_unix_ms) {
    if (ns->client->store != NULL || expires_unix_ms > UINT64_MAX - CLOCK_TOLERANCE_MS) {
        return expires_unix_ms;
    }
    return expires_unix_ms + CLOCK_TOLERANCE_MS;
}

static coffer__found judge_times(const coffer_namespace *ns, const coffer__entry *entry, uint64_t now_ms) {
    uint64_t now = coffer__client_unix_ms(ns->client, now_ms);
    if (now >= tolerated_end(ns, entry->expires_unix_ms)) {
        return COFFER__FOUND_DEAD;
    }
    bool fresh = now < entry->fresh_unix_ms;
    if (entry->kind == COFFER__KIND_ABSENT) {
        return fresh ? COFFER__FOUND_NEGATIVE : COFFER__FOUND_DEAD;
    }
    return fresh ? COFFER__FOUND_FRESH : COFFER__FOUND_STALE;
}

coffer_status coffer__judge_stored(const coffer_namespace *ns, coffer_slice key, coffer_slice bytes, uint64_t now_ms, coffer__buf *scratch,
                                   coffer__seen *seen) {
    memset(seen, 0, sizeof *seen);
    if (ns->options->raw) {
        seen->found = COFFER__FOUND_FRESH;
        seen->entry.payload = bytes;
        return COFFER_OK;
    }
    if (bytes.len > COFFER__ENVELOPE_ID_OFFSET) {
        seen->id_len = bytes.len - COFFER__ENVELOPE_ID_OFFSET < sizeof seen->id ? bytes.len - COFFER__ENVELOPE_ID_OFFSET : sizeof seen->id;
        memcpy(seen->id, bytes.data + COFFER__ENVELOPE_ID_OFFSET, seen->id_len);
    }
    coffer__binding binding;
    if (ns->codec.sealer != NULL) { /* without, nobody looks at it */
        binding = coffer__namespace_binding(ns, key);
    }
    coffer_status status = coffer__envelope_read(&ns->codec, &binding, bytes, scratch, &seen->entry);
    seen->found = status == COFFER_OK ? judge_times(ns, &seen->entry, now_ms) : COFFER__FOUND_DEAD;
    return status;
}

/* Want of memory says nothing about the entry: taken for dead, it would be written over by add and by a load. */
bool coffer__judge_bytes(coffer_op *op, coffer_slice key, coffer_slice bytes, coffer__buf *scratch, coffer__seen *seen) {
    coffer_status status = coffer__judge_stored(op->ns, key, bytes, op->now_ms, scratch, seen);
    if (status == COFFER_NO_MEMORY || status == COFFER_INTERNAL) {
        coffer__op_finish(op, status);
        return false;
    }
    if (status != COFFER_OK && status != COFFER_PLACEHOLDER) {
        coffer__op_count(op, COFFER__COUNT_unreadable, 1);
        coffer__count_refusal(op->ns->observer, status);
        coffer__log(COFFER_LOG_ENTRY_REFUSED, status, "%s", coffer_operation_name(op->kind->operation));
    }
    return true;
}

bool coffer__judge(coffer_op *op, coffer_slice key, const coffer__reply *reply, size_t node, coffer__buf *scratch, coffer__seen *seen) {
    if (reply->nodes[node].type != COFFER__REPLY_BULK || !coffer__is_in_share(op->ns->switches, key)) {
        memset(seen, 0, sizeof *seen);
        return true;
    }
    return coffer__judge_bytes(op, key, coffer__reply_text(reply, node), scratch, seen);
}

coffer_value coffer__seen_value(const coffer_namespace *ns, const coffer__seen *seen) {
    coffer_source source = ns->client->store != NULL || seen->near ? COFFER_SOURCE_NEAR : COFFER_SOURCE_REMOTE;
    coffer_value value = {
        .data = seen->entry.payload,
        .format = seen->entry.format,
        .source = seen->found == COFFER__FOUND_STALE ? COFFER_SOURCE_STALE : source,
        .entry_id = seen->entry.entry_id,
        .created_unix_ms = seen->entry.created_unix_ms,
        .fresh_unix_ms = seen->entry.fresh_unix_ms,
        .expires_unix_ms = seen->entry.expires_unix_ms,
        .load_cost_ms = seen->entry.load_cost_ms,
        .near_version = seen->near_version,
    };
    return value;
}

static void finish_with_value(coffer_op *op, const coffer__seen *seen, coffer__counter counter, coffer_status status) {
    op->value = coffer__seen_value(op->ns, seen);
    coffer__op_count(op, counter, 1);
    coffer__op_count(op, COFFER__COUNT_bytes_read, op->value.data.len);
    coffer__op_finish(op, status);
}

void coffer__finish_read(coffer_op *op, const coffer__seen *seen, bool accept_stale) {
    if (seen->found == COFFER__FOUND_FRESH) {
        finish_with_value(op, seen, COFFER__COUNT_hits, COFFER_OK);
    } else if (seen->found == COFFER__FOUND_STALE && accept_stale) {
        finish_with_value(op, seen, COFFER__COUNT_stale_hits, COFFER_STALE);
    } else if (seen->found == COFFER__FOUND_NEGATIVE) {
        op->value.source = COFFER_SOURCE_NEGATIVE;
        coffer__op_count(op, COFFER__COUNT_negative_hits, 1);
        coffer__op_finish(op, COFFER_MISS);
    } else {
        coffer__op_count(op, COFFER__COUNT_misses, 1);
        coffer__op_finish(op, COFFER_MISS);
    }
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

static bool refuse(coffer_op *op, coffer_status status) {
    coffer__op_finish(op, status);
    return false;
}

bool coffer__check_write(coffer_op *op, coffer_slice value, const coffer_write_options *options) {
    coffer_error error;
    const coffer_options *limits = op->ns->options;
    if (options->ttl_ms != 0 && coffer__ttl_check(options->ttl_ms, &error) != COFFER_OK) {
        coffer__op_say(op, "%s", error.text);
        return refuse(op, COFFER_ARG);
    }
    if (options->format > COFFER_FORMAT_MSGPACK && options->format < COFFER_FORMAT_APPLICATION) {
        coffer__op_say(op, "the format %u is reserved: use 0 to 3, or 128 to 255 for formats of your own", (unsigned)options->format);
        return refuse(op, COFFER_ARG);
    }
    if (value.len > limits->max_value_bytes) {
        coffer__op_say(op, "the value has %zu bytes; the option 'max_value' allows %llu", value.len, (unsigned long long)limits->max_value_bytes);
        return refuse(op, COFFER_TOO_LARGE);
    }
    return true;
}

static uint64_t jittered(const coffer_op *op, uint64_t ttl_ms) {
    return coffer__ttl_jitter(ttl_ms, op->ns->options->ttl_jitter_percent, coffer__random_u64());
}

static uint64_t ttl_of(const coffer_op *op, const coffer_write_options *options) {
    const coffer_options *rules = op->ns->options;
    if (options->ttl_ms != 0) {
        return options->ttl_ms;
    }
    return options->absent ? rules->negative_ttl_ms : rules->ttl_ms;
}

/* At least a moment: another thread may just have learnt that the server's clock is ahead, and 0 would mean for ever. */
static uint64_t life_between(uint64_t now_ms, uint64_t end_ms) {
    if (end_ms == UINT64_MAX) {
        return COFFER_TTL_FOREVER;
    }
    return end_ms > now_ms ? end_ms - now_ms : 1;
}

coffer_status coffer__compose_entry(coffer_op *op, coffer_slice key, coffer__entry *entry, coffer__buf *out, coffer__stored *stored) {
    coffer_status status;
    do {
        status = coffer__random_bytes(&entry->entry_id, sizeof entry->entry_id);
    } while (status == COFFER_OK && entry->entry_id == 0);
    if (status != COFFER_OK) {
        return status;
    }
    coffer__binding binding = coffer__namespace_binding(op->ns, key);
    stored->offset = out->len;
    status = coffer__envelope_write(&op->ns->codec, &binding, entry, out);
    stored->len = out->len - stored->offset;
    stored->entry_id = entry->entry_id;
    stored->life_ms = life_between(coffer__op_unix_ms(op), entry->expires_unix_ms);
    stored->entry = *entry;
    return status;
}

coffer_status coffer__compose(coffer_op *op, coffer_slice key, coffer_slice value, const coffer_write_options *options, uint32_t load_cost_ms,
                              coffer__buf *out, coffer__stored *stored) {
    uint64_t now = coffer__op_unix_ms(op);
    uint64_t ttl = jittered(op, ttl_of(op, options));
    memset(stored, 0, sizeof *stored);
    if (op->ns->options->raw && value.len > op->ns->options->max_value_bytes) {
        return COFFER_TOO_LARGE;
    }
    if (op->ns->options->raw) {
        *stored = (coffer__stored){.offset = out->len, .len = value.len, .life_ms = ttl};
        return coffer__buf_append_slice(out, value) ? COFFER_OK : COFFER_NO_MEMORY;
    }
    uint64_t created = load_cost_ms < now ? now - load_cost_ms : now;
    uint64_t fresh = coffer__ttl_end(now, ttl);
    coffer__entry entry = {
        .created_unix_ms = created,
        .fresh_unix_ms = fresh,
        .expires_unix_ms = options->absent ? fresh : coffer__ttl_end(fresh, jittered(op, op->ns->options->stale_ttl_ms)),
        .load_cost_ms = load_cost_ms,
        .kind = options->absent ? COFFER__KIND_ABSENT : COFFER__KIND_VALUE,
        .format = options->absent ? COFFER_FORMAT_BYTES : options->format,
        .payload = options->absent ? coffer_slice_of(NULL, 0) : value,
    };
    return coffer__compose_entry(op, key, &entry, out, stored);
}

static coffer_slice stored_slice(const coffer__buf *buf, const coffer__stored *stored) {
    return coffer_slice_of(buf->data + stored->offset, stored->len);
}

coffer_call *coffer__call_set(coffer_op *op, const coffer__buf *buf, const coffer__stored *stored, const char *condition) {
    coffer_call *call = coffer__op_call_on_key(op, &coffer__command_set);
    if (call == NULL) {
        return NULL;
    }
    coffer__call_argument(call, stored_slice(buf, stored));
    if (stored->life_ms != COFFER_TTL_FOREVER) {
        coffer__call_argument(call, COFFER_SLICE("PX"));
        coffer__call_number(call, stored->life_ms);
    }
    if (condition != NULL) {
        coffer__call_argument(call, coffer_slice_text(condition));
    }
    return call;
}

coffer_call *coffer__call_store_if(coffer_op *op, const coffer__buf *buf, const coffer__stored *stored, const coffer__seen *seen) {
    coffer_call *call = coffer__op_call_on_key(op, &coffer__command_store_if);
    if (call == NULL) {
        return NULL;
    }
    coffer__call_argument(call, seen->found == COFFER__FOUND_NOTHING ? COFFER_SLICE("absent") : COFFER_SLICE("is"));
    coffer__call_argument(call, coffer_slice_of(seen->id, seen->id_len));
    coffer__call_argument(call, stored_slice(buf, stored));
    coffer__call_number(call, stored->life_ms == COFFER_TTL_FOREVER ? 0 : stored->life_ms);
    return call;
}

void coffer__key_changes(coffer_op *op) {
    coffer__flight_overtake(op->ns->client, op->wire_key);
}

coffer_status coffer__reply_status(const coffer_call *call, coffer__reply_type type) {
    bool odd = call->status == COFFER_OK && call->reply.nodes[0].type != type;
    return odd ? COFFER_SERVER : call->status;
}

coffer_status coffer__reply_count_status(const coffer_call *call, size_t most) {
    coffer_status status = coffer__reply_status(call, COFFER__REPLY_INTEGER);
    bool counts = status == COFFER_OK && call->reply.nodes[0].integer >= 0 && (uint64_t)call->reply.nodes[0].integer <= most;
    return status == COFFER_OK && !counts ? COFFER_SERVER : status;
}

void coffer__reply_say(coffer_op *op, const coffer_call *call) {
    if (call->status != COFFER_OK) {
        coffer__op_say_call(op, call);
    } else {
        coffer__op_say(op, "%s: the server answered %s with a reply of an unexpected type or size. Is it a Redis or Valkey server?",
                       coffer_operation_name(op->kind->operation), call->command->name);
    }
}

static bool is_fine(coffer_op *op, const coffer_call *call, coffer_status status) {
    if (status != COFFER_OK) {
        coffer__reply_say(op, call);
        coffer__op_finish(op, status);
    }
    return status == COFFER_OK;
}

bool coffer__reply_is(coffer_op *op, const coffer_call *call, coffer__reply_type type) {
    return is_fine(op, call, coffer__reply_status(call, type));
}

bool coffer__reply_is_stored(coffer_op *op, const coffer_call *call) {
    bool nil = call->status == COFFER_OK && call->reply.nodes[0].type == COFFER__REPLY_NIL;
    return nil || coffer__reply_is(op, call, COFFER__REPLY_BULK);
}

bool coffer__reply_counts(coffer_op *op, const coffer_call *call, size_t most) {
    return is_fine(op, call, coffer__reply_count_status(call, most));
}
