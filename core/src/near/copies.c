#include "copies.h"

#include "look.h"

/* What a copy is marked with: its epochs and its node. 32 bits | 24 bits | 6 bits, and whether it is negative. */
static uint64_t mark_of(uint32_t epoch, uint32_t shard_epoch, unsigned channel) {
    return (uint64_t)epoch << 32 | (uint64_t)(shard_epoch & 0xFFFFFF) << 8 | channel;
}

static unsigned channel_of(uint64_t mark) {
    return (unsigned)mark & 0x3F;
}

void coffer__near_expect(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__near_token *token) {
    const coffer__coherence *coherence = coffer__near_coherence(near);
    token->given = coffer__channels_any_live(coherence, now_ms);
    if (!token->given) {
        return;
    }
    token->hash = coffer__near_hash(near, key);
    token->epoch = coffer__epoch(coherence);
    token->shard_epoch = coffer__near_shard_epoch(near, token->hash);
    token->changes = coffer__changes_of(coherence, token->hash);
}

typedef struct fill {
    coffer__near *near;
    const coffer__near_token *token;
    unsigned channel;
    uint64_t now_ms;
} fill;

/* Under the shard's lock: an invalidation counts before it takes that lock, so it is either seen here or comes after what is filled. */
static bool stands(const void *data) {
    const fill *this = (const fill *)data;
    const coffer__coherence *coherence = coffer__near_coherence(this->near);
    return coffer__changes_of(coherence, this->token->hash) == this->token->changes && coffer__epoch(coherence) == this->token->epoch &&
           coffer__near_shard_epoch(this->near, this->token->hash) == this->token->shard_epoch &&
           coffer__channel_is_live(coherence, this->channel, this->now_ms);
}

coffer_status coffer__near_fill(coffer__near *near, const coffer__near_token *token, coffer_slice key, const coffer__near_copy *copy,
                                uint64_t now_ms) {
    coffer__coherence *coherence = coffer__near_coherence(near);
    coffer_status status = COFFER_NOT_STORED;
    if (copy->value.len > coffer__near_copy_most_bytes(near)) {
        status = COFFER_TOO_LARGE;
    } else if (token->given && copy->expires_at_ms > now_ms) {
        fill this = {near, token, copy->channel, now_ms};
        uint64_t mark = mark_of(token->epoch, token->shard_epoch, copy->channel) | (copy->negative ? COFFER__MARK_NEGATIVE : 0);
        coffer__near_how how = {copy->expires_at_ms, mark, copy->negative};
        status = coffer__near_put_if(near, token->hash, key, copy->value, &how, now_ms, stands, &this);
    }
    atomic_fetch_add_explicit(status == COFFER_OK ? &coherence->fills : &coherence->fills_refused, 1, memory_order_relaxed);
    return status;
}

/* The epochs are loaded after the value was read: one that ended since makes it a miss. */
static bool is_valid(coffer__near *near, uint64_t hash, uint64_t mark, uint64_t now_ms) {
    const coffer__coherence *coherence = coffer__near_coherence(near);
    unsigned channel = channel_of(mark);
    return channel < COFFER__CHANNELS_MOST && coffer__channel_is_live(coherence, channel, now_ms) &&
           (mark & ~(uint64_t)COFFER__MARK_NEGATIVE) == mark_of(coffer__epoch(coherence), coffer__near_shard_epoch(near, hash), channel);
}

/* Without a lock, and where that fails without a copy. `out` may be NULL. */
static coffer_status look(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__buf *out, coffer__sight *sight) {
    size_t before = out == NULL ? 0 : out->len;
    uint64_t hash = coffer__near_hash(near, key);
    coffer_status status = coffer__look(near, hash, key, now_ms, out, sight);
    if (status != COFFER_OK) {
        return status == COFFER_STALE ? COFFER_MISS : status;
    }
    if (!is_valid(near, hash, sight->record.mark, now_ms)) {
        if (out != NULL) {
            out->len = before;
        }
        return COFFER_MISS;
    }
    coffer__sight_counts(sight);
    return COFFER_OK;
}

coffer_status coffer__near_look(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__buf *out, coffer__near_found *found) {
    coffer__sight sight;
    coffer_status status = look(near, key, now_ms, out, &sight);
    if (status == COFFER_OK) {
        *found = (coffer__near_found){.expires_at_ms = sight.record.expires_at_ms, .mark = sight.record.mark, .version = sight.record.version};
    }
    return status;
}

bool coffer__near_confirms(coffer__near *near, coffer_slice key, uint64_t version, uint64_t now_ms) {
    coffer__sight sight;
    return look(near, key, now_ms, NULL, &sight) == COFFER_OK && sight.record.version == version;
}

void coffer__near_drop(coffer__near *near, coffer_slice key) {
    uint64_t hash = coffer__near_hash(near, key);
    coffer__changes_add(coffer__near_coherence(near), hash);
    coffer__near_purge(near, hash, key);
}
