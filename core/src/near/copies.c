#include "copies.h"

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
    if (token->given && copy->expires_at_ms > now_ms) {
        fill this = {near, token, copy->channel, now_ms};
        uint64_t mark = mark_of(token->epoch, token->shard_epoch, copy->channel) | (copy->negative ? COFFER__MARK_NEGATIVE : 0);
        coffer__near_how how = {copy->expires_at_ms, mark, copy->negative};
        status = coffer__near_put_if(near, token->hash, key, copy->value, &how, now_ms, stands, &this);
    }
    atomic_fetch_add_explicit(status == COFFER_OK ? &coherence->fills : &coherence->fills_refused, 1, memory_order_relaxed);
    return status;
}

/* The epochs are loaded after the value was read: one that ended since makes it a miss. */
static bool is_valid(coffer__near *near, coffer_slice key, uint64_t mark, uint64_t now_ms) {
    const coffer__coherence *coherence = coffer__near_coherence(near);
    unsigned channel = channel_of(mark);
    return channel < COFFER__CHANNELS_MOST && coffer__channel_is_live(coherence, channel, now_ms) &&
           (mark & ~(uint64_t)COFFER__MARK_NEGATIVE) ==
               mark_of(coffer__epoch(coherence), coffer__near_shard_epoch(near, coffer__near_hash(near, key)), channel);
}

coffer_status coffer__near_look(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__buf *out, coffer__near_found *found) {
    size_t before = out->len;
    coffer_status status = coffer__near_read(near, key, now_ms, out, found);
    if (status == COFFER_OK && !is_valid(near, key, found->mark, now_ms)) {
        out->len = before;
        status = COFFER_MISS;
    }
    return status;
}

bool coffer__near_confirms(coffer__near *near, coffer_slice key, uint64_t version, uint64_t now_ms) {
    coffer__buf unused = COFFER__BUF_INIT;
    coffer__near_found found;
    bool same = coffer__near_look(near, key, now_ms, &unused, &found) == COFFER_OK && found.version == version;
    coffer__buf_free(&unused);
    return same;
}

void coffer__near_drop(coffer__near *near, coffer_slice key) {
    uint64_t hash = coffer__near_hash(near, key);
    coffer__changes_add(coffer__near_coherence(near), hash);
    coffer__near_purge(near, hash, key);
}
