/* What keeps copies of a server's values honest, in memory that all processes of an arena share: nothing here locks, points, or trusts that whoever
 * wrote last is still alive.
 *
 *     epoch      any doubt at all (a channel broke, a flush, a failover, a slot that moved, a new leader) is epoch + 1: every copy is dead at once
 *     channels   one for each server node that is listened to: until when it is known to hear. Every reader tests that, so a frozen leader harms nobody
 *     lead       who listens: a lease with a fencing number. Whoever finds it past may take it; whoever has lost it can change nothing any more
 *     changes    counters by the key's hash: how often a key of that hash was invalidated. A reader takes the number before its GET is sent, and fills only
 *                where it is still the same: no copy is older than an invalidation that came between. Numbers need no room for each key under way, and
 *                die with nobody. Two keys that share one cost a fill, never a wrong one.
 *
 *     invalidation:  changes + 1,       then the shard's lock, and the value goes
 *     fill:          the shard's lock,  changes as they were? the same epoch? the node that answered heard? then the value comes
 *
 * Times are monotonic milliseconds of the host, which all its processes share. */
#ifndef COFFER_NEAR_COHERENCE_H
#define COFFER_NEAR_COHERENCE_H

#include <coffer/types.h>

#include <stdatomic.h>

enum {
    COFFER__CHANNELS_MOST = 63, /* nodes; a larger deployment has copies of some of them only */
    COFFER__CHANGES_MOST = 4096, /* a power of two */
    COFFER__LEAD_MS = 2000, /* a lead that was not renewed for so long is free */
    COFFER__LIVE_MS = 2000 /* how long after the sending of the last PING that was answered a channel counts as hearing */
};

/* A fence of 16 bits over a time of 47: one word, so that a leader's change and the proof that it still leads are one step. The bit between them says that
 * nobody listens: the server refuses to be tracked, and copies live by their near TTL alone. */
typedef struct coffer__channel {
    _Atomic uint64_t node; /* fence << 48 | a hash of its address, 48 bits of it; their being 0: free */
    _Atomic uint64_t live; /* fence << 48 | untracked << 47 | live until; that being 0: dead */
} coffer__channel;

typedef struct coffer__coherence {
    _Alignas(64) _Atomic uint64_t epoch; /* the low 32 bits count; begins at 1 */
    _Atomic uint64_t lead; /* fence << 48 | until */
    _Atomic uint64_t leader; /* what the leader calls itself: for health, and for nothing else */
    _Atomic uint64_t epochs_counted, takeovers, invalidations, flushes, lag_us; /* of the channel: counts, and how long its last PING took */
    _Atomic uint64_t bypasses, fills, fills_refused; /* reads without a live channel; copies kept, and those that came too late */
    _Alignas(64) coffer__channel channels[COFFER__CHANNELS_MOST];
    _Alignas(64) _Atomic uint64_t changes[COFFER__CHANGES_MOST];
} coffer__coherence;

void coffer__coherence_init(coffer__coherence *coherence); /* of an arena that nobody else knows yet */

static inline uint32_t coffer__epoch(const coffer__coherence *coherence) {
    return (uint32_t)atomic_load_explicit(&coherence->epoch, memory_order_acquire);
}

/* Every copy is dead. Anybody may say so, at any time. */
void coffer__epoch_end(coffer__coherence *coherence);

/* ---- reading: any process ---- */

/* The number of a node's channel, or -1: nobody listens to it. Of `node` the low 48 bits count, and are not 0. */
int coffer__channel_find(const coffer__coherence *coherence, uint64_t node);

/* A time so far ahead that nobody can have written it is none. */
static inline bool coffer__channel_is_live(const coffer__coherence *coherence, unsigned number, uint64_t now_ms) {
    uint64_t until_ms = atomic_load_explicit(&coherence->channels[number].live, memory_order_acquire) & UINT64_C(0x7FFFFFFFFFFF);
    return until_ms > now_ms && until_ms - now_ms <= 2 * COFFER__LIVE_MS;
}

/* Whether its server tells what changes. Where it refuses to, a copy may not be kept for longer than one can do with an old value: a second by default. */
static inline bool coffer__channel_is_tracked(const coffer__coherence *coherence, unsigned number) {
    return (atomic_load_explicit(&coherence->channels[number].live, memory_order_acquire) >> 47 & 1) == 0;
}

bool coffer__channels_any_live(const coffer__coherence *coherence, uint64_t now_ms);

static inline uint64_t coffer__changes_of(const coffer__coherence *coherence, uint64_t hash) {
    return atomic_load_explicit(&coherence->changes[hash >> 20 & (COFFER__CHANGES_MOST - 1)], memory_order_seq_cst);
}

/* A key of this hash has changed, or is about to: copies of it that are under way will not be kept. */
static inline void coffer__changes_add(coffer__coherence *coherence, uint64_t hash) {
    atomic_fetch_add_explicit(&coherence->changes[hash >> 20 & (COFFER__CHANGES_MOST - 1)], 1, memory_order_seq_cst);
}

/* ---- leading: one process at a time ---- */

typedef struct coffer__lead {
    uint16_t fence; /* 0: does not lead */
} coffer__lead;

/* Takes the lead where it is free, renews it where it is ours. Whoever takes it ends the epoch, and all channels are dead then. False: somebody else leads,
 * or has since; look again later. `who` is shown by health (a process id). */
bool coffer__lead_hold(coffer__coherence *coherence, coffer__lead *lead, uint64_t who, uint64_t now_ms);

/* At once free for others. Its channels are dead and the epoch ends before: nobody hears what changes from here on, and nothing kept while somebody did is
 * used again. Does nothing where it is not ours. */
void coffer__lead_leave(coffer__coherence *coherence, coffer__lead *lead);

/* Nobody has it, or whoever had it is too late: to hold it may succeed. A load. A time so far ahead that nobody can have written it is none. */
static inline bool coffer__lead_is_free(const coffer__coherence *coherence, uint64_t now_ms) {
    uint64_t until_ms = atomic_load_explicit(&coherence->lead, memory_order_acquire) & UINT64_C(0xFFFFFFFFFFFF);
    return until_ms <= now_ms || until_ms - now_ms > 2 * COFFER__LEAD_MS;
}

/* A place for this node, for a leader; -1: all are taken, or it does not lead any more. */
int coffer__channel_take(coffer__coherence *coherence, const coffer__lead *lead, uint64_t node);
void coffer__channel_give_back(coffer__coherence *coherence, const coffer__lead *lead, unsigned number); /* the node is gone: dead, epoch + 1, free */

/* A PING that was sent at sent_ms over the channel has been answered: it hears until sent_ms + COFFER__LIVE_MS. Where it was dead, the epoch ends first.
 * False: this is no leader any more. */
bool coffer__channel_heard(coffer__coherence *coherence, const coffer__lead *lead, unsigned number, uint64_t sent_ms, uint64_t now_ms);
void coffer__channel_lost(coffer__coherence *coherence, const coffer__lead *lead, unsigned number); /* dead, epoch + 1 */

/* The server refuses to be tracked: the same as heard, but nobody listens. Changing from one to the other ends the epoch. */
bool coffer__channel_vouched(coffer__coherence *coherence, const coffer__lead *lead, unsigned number, uint64_t now_ms);

#endif
