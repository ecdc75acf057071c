/* Copies of what servers hold, in the store: valid only while nobody has any doubt (coherence.h).
 *
 *     if (coffer__near_look(...) == COFFER_OK)          a copy: no round trip
 *     coffer__near_expect(near, key, &token)            before the GET is sent
 *     ... the reply ...
 *     coffer__near_fill(near, &token, key, ...)         kept only where nothing has happened to the key meanwhile
 *
 * Keys are the server's, values what the server holds, byte for byte: sealed ones stay sealed. */
#ifndef COFFER_NEAR_COPIES_H
#define COFFER_NEAR_COPIES_H

#include "coherence.h"
#include "near.h"

enum { COFFER__MARK_NEGATIVE = 0x40 }; /* of an entry's mark; the others are its epochs and its channel */

/* Taken before the GET is sent; costs a hash and three loads, holds nothing, and may be forgotten. */
typedef struct coffer__near_token {
    uint64_t hash;
    uint64_t changes;
    uint32_t epoch, shard_epoch;
    bool given; /* false: there was no live channel, or there is no store: nothing will be kept */
} coffer__near_token;

void coffer__near_expect(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__near_token *token);

typedef struct coffer__near_copy {
    coffer_slice value;
    unsigned channel; /* of the node that answered (coffer__channel_find) */
    uint64_t expires_at_ms; /* the near TTL's end, and never behind the server's */
    bool negative; /* it says that nothing is there: kept apart */
} coffer__near_copy;

/* OK; NOT_STORED (it changed meanwhile, or there is a doubt, or the shard is busy); TOO_LARGE. Counted. */
coffer_status coffer__near_fill(coffer__near *near, const coffer__near_token *token, coffer_slice key, const coffer__near_copy *copy,
                                uint64_t now_ms);

/* Whether the copy that was found says that nothing is there (`negative`). */
static inline bool coffer__near_says_absent(const coffer__near_found *found) {
    return (found->mark & COFFER__MARK_NEGATIVE) != 0;
}

/* A copy that may be used now, appended to `out`. OK, MISS, NO_MEMORY; AGAIN: bypassed, because nobody can be sure. */
coffer_status coffer__near_look(coffer__near *near, coffer_slice key, uint64_t now_ms, coffer__buf *out, coffer__near_found *found);

/* Whether the copy whose `version` look gave is still the one to be used: no bytes are copied. */
bool coffer__near_confirms(coffer__near *near, coffer_slice key, uint64_t version, uint64_t now_ms);

/* The key changes or has changed on the server: copies under way are not kept, the one that is there goes. Never fails: where its shard is busy for too
 * long, all copies of that shard die instead. */
void coffer__near_drop(coffer__near *near, coffer_slice key);

#endif
