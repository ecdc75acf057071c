/* Where what is near lies (options near...): the store of mem://, or copies of what servers hold; in this process or shared by those of the host. And what
 * keeps copies from being older than what this process wrote. */
#ifndef COFFER_ENGINE_NEARBY_H
#define COFFER_ENGINE_NEARBY_H

#include "call.h"
#include "client.h"

/* Makes the client's store or copies, as its options say. OPTION, SYSTEM ... in words; NO_MEMORY. */
coffer_status coffer__nearby_open(coffer_client *client, coffer_error *error);

/* Whether the namespace has copies: OPTION, in words, where it asks for what its client does not have. */
coffer_status coffer__nearby_join(coffer_namespace *ns, coffer_error *error);

/* The call writes, and is about to be sent or has ended, however it did: copies of its keys go. */
void coffer__nearby_drop(coffer_client *client, const coffer_call *call);

/* The channel that hears of what the call's answer may change to, and for how long a copy of it may be used at most; -1: none may be kept. */
int coffer__nearby_channel(const coffer_namespace *ns, const coffer_call *call, uint64_t *most_ms);

/* Whether both have been answered by the same server. */
static inline bool coffer__nearby_together(const coffer_call *call, const coffer_call *other) {
    return call->endpoint == other->endpoint;
}

/* Everything goes. */
void coffer__nearby_drop_all(coffer_client *client);

/* A server is about to be asked, and its answer may be kept, or not: a bypass. */
static inline void coffer__nearby_expected(const coffer_client *client, bool may_be_kept) {
    if (!may_be_kept) {
        atomic_fetch_add_explicit(&coffer__near_coherence(client->copies)->bypasses, 1, memory_order_relaxed);
    }
}

/* How many channels hear now, or are vouched for, and how many of them by servers that do not tell what changes. */
void coffer__nearby_channels(const coffer_client *client, uint64_t now_ms, size_t *live_count, size_t *untracked_count);

/* Its figures; zero where there are none. */
void coffer__nearby_read(const coffer_client *client, coffer_near_stats *stats);

/* What is shared under one name has to be of one deployment, database, prefix and user: a number for those. */
uint64_t coffer__nearby_identity(const coffer_options *options);

#endif
