#include "coherence.h"

#define TIME_BITS 48
#define TIME_MASK UINT64_C(0xFFFFFFFFFFFF)
#define UNTRACKED (UINT64_C(1) << 47) /* of a channel's `live` */

static uint64_t word_of(uint16_t fence, uint64_t until_ms) {
    return (uint64_t)fence << TIME_BITS | (until_ms & TIME_MASK);
}

static uint16_t fence_of(uint64_t word) {
    return (uint16_t)(word >> TIME_BITS);
}

static uint64_t time_of(uint64_t word) {
    return word & TIME_MASK;
}

void coffer__coherence_init(coffer__coherence *coherence) {
    memset((void *)coherence, 0, sizeof *coherence);
    atomic_init(&coherence->epoch, 1);
}

void coffer__epoch_end(coffer__coherence *coherence) {
    atomic_fetch_add_explicit(&coherence->epoch, 1, memory_order_seq_cst);
    atomic_fetch_add_explicit(&coherence->epochs_counted, 1, memory_order_relaxed);
}

/* ---- reading ---- */

/* Of a node (0: free), its word as seen. */
static int find(const coffer__coherence *coherence, uint64_t node, uint64_t *word) {
    for (int i = 0; i < COFFER__CHANNELS_MOST; i++) {
        *word = atomic_load_explicit(&coherence->channels[i].node, memory_order_acquire);
        if (time_of(*word) == time_of(node)) {
            return i;
        }
    }
    return -1;
}

int coffer__channel_find(const coffer__coherence *coherence, uint64_t node) {
    uint64_t word;
    return find(coherence, node, &word);
}

bool coffer__channels_any_live(const coffer__coherence *coherence, uint64_t now_ms) {
    for (unsigned i = 0; i < COFFER__CHANNELS_MOST; i++) {
        if (coffer__channel_is_live(coherence, i, now_ms)) {
            return true;
        }
    }
    return false;
}

/* ---- leading ---- */

static bool leads(const coffer__coherence *coherence, const coffer__lead *lead) {
    return lead->fence != 0 && fence_of(atomic_load_explicit(&coherence->lead, memory_order_acquire)) == lead->fence;
}

static uint16_t next_fence(uint16_t fence) {
    return fence == UINT16_MAX ? 1 : (uint16_t)(fence + 1);
}

/* The word gets the new fence, and nothing else; unless the lead is another's again: whoever was stopped in the middle of this may not touch its words. */
static void silence_word(coffer__coherence *coherence, const coffer__lead *lead, _Atomic uint64_t *word) {
    uint64_t seen = atomic_load_explicit(word, memory_order_acquire);
    while (leads(coherence, lead) && !atomic_compare_exchange_weak(word, &seen, word_of(lead->fence, 0))) {
    }
}

/* From here on an old leader's changes miss. */
static void silence(coffer__coherence *coherence, const coffer__lead *lead) {
    for (unsigned i = 0; i < COFFER__CHANNELS_MOST; i++) {
        silence_word(coherence, lead, &coherence->channels[i].live);
        silence_word(coherence, lead, &coherence->channels[i].node);
    }
}

bool coffer__lead_hold(coffer__coherence *coherence, coffer__lead *lead, uint64_t who, uint64_t now_ms) {
    uint64_t seen = atomic_load_explicit(&coherence->lead, memory_order_acquire);
    bool mine = lead->fence != 0 && fence_of(seen) == lead->fence;
    if (!mine && !coffer__lead_is_free(coherence, now_ms)) { /* where it changes between the two, the exchange fails */
        lead->fence = 0;
        return false;
    }
    uint16_t fence = mine ? lead->fence : next_fence(fence_of(seen));
    if (!atomic_compare_exchange_strong(&coherence->lead, &seen, word_of(fence, now_ms + COFFER__LEAD_MS))) {
        lead->fence = 0;
        return false;
    }
    lead->fence = fence;
    if (!mine) {
        atomic_store_explicit(&coherence->leader, who, memory_order_relaxed);
        atomic_fetch_add_explicit(&coherence->takeovers, 1, memory_order_relaxed);
        silence(coherence, lead);
        coffer__epoch_end(coherence);
    }
    return true;
}

int coffer__channel_take(coffer__coherence *coherence, const coffer__lead *lead, uint64_t node) {
    uint64_t word;
    int number = find(coherence, node, &word);
    if (number >= 0) {
        return fence_of(word) == lead->fence ? number : -1;
    }
    number = find(coherence, 0, &word);
    bool mine = number >= 0 && fence_of(word) == lead->fence && leads(coherence, lead);
    return mine && atomic_compare_exchange_strong(&coherence->channels[number].node, &word, word_of(lead->fence, node)) ? number : -1;
}

/* From whatever it is with our fence to that; false where it is not ours any more. */
static bool change(coffer__coherence *coherence, const coffer__lead *lead, unsigned number, uint64_t until_ms) {
    uint64_t seen = atomic_load_explicit(&coherence->channels[number].live, memory_order_acquire);
    while (fence_of(seen) == lead->fence && leads(coherence, lead)) {
        if (atomic_compare_exchange_weak(&coherence->channels[number].live, &seen, word_of(lead->fence, until_ms))) {
            return true;
        }
    }
    return false;
}

void coffer__lead_leave(coffer__coherence *coherence, coffer__lead *lead) {
    if (leads(coherence, lead)) {
        for (unsigned i = 0; i < COFFER__CHANNELS_MOST; i++) {
            (void)change(coherence, lead, i, 0);
        }
        coffer__epoch_end(coherence);
        uint64_t seen = atomic_load_explicit(&coherence->lead, memory_order_acquire);
        if (fence_of(seen) == lead->fence) {
            atomic_compare_exchange_strong(&coherence->lead, &seen, word_of(lead->fence, 0));
        }
    }
    lead->fence = 0;
}

/* `live`: what it is to be, but for the fence. Where it was dead, or was of the other kind, the epoch ends first: while it is dead, for whoever is between. */
static bool go_on(coffer__coherence *coherence, const coffer__lead *lead, unsigned number, uint64_t live, uint64_t now_ms) {
    if (!leads(coherence, lead)) {
        return false;
    }
    bool same = coffer__channel_is_tracked(coherence, number) == ((live & UNTRACKED) == 0);
    if (!same && !change(coherence, lead, number, live & UNTRACKED)) {
        return false;
    }
    if (!same || !coffer__channel_is_live(coherence, number, now_ms)) {
        coffer__epoch_end(coherence);
    }
    return change(coherence, lead, number, live);
}

bool coffer__channel_heard(coffer__coherence *coherence, const coffer__lead *lead, unsigned number, uint64_t sent_ms, uint64_t now_ms) {
    return go_on(coherence, lead, number, sent_ms + COFFER__LIVE_MS, now_ms);
}

bool coffer__channel_vouched(coffer__coherence *coherence, const coffer__lead *lead, unsigned number, uint64_t now_ms) {
    return go_on(coherence, lead, number, (now_ms + COFFER__LIVE_MS) | UNTRACKED, now_ms);
}

void coffer__channel_lost(coffer__coherence *coherence, const coffer__lead *lead, unsigned number) {
    if (change(coherence, lead, number, 0)) {
        coffer__epoch_end(coherence);
    }
}

void coffer__channel_give_back(coffer__coherence *coherence, const coffer__lead *lead, unsigned number) {
    if (change(coherence, lead, number, 0)) {
        coffer__epoch_end(coherence);
        uint64_t word = atomic_load_explicit(&coherence->channels[number].node, memory_order_acquire);
        if (fence_of(word) == lead->fence) {
            atomic_compare_exchange_strong(&coherence->channels[number].node, &word, word_of(lead->fence, 0));
        }
    }
}
