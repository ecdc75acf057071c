/* Whatever comes, however it is cut, and even where memory fails now and then: the guard holds no more than twice what it was fed (and 64 KiB are the
 * most before a refusal, which an input of libFuzzer's size cannot reach), a refused one holds nothing, and what it hands on is what came. A reply that it
 * reads itself holds no more nodes than came, whatever was declared. */
#include "fuzz.h"

#include "resp/guard.h"

#include "support/watched_alloc.h"

enum { SMALL_TAIL = 256, SMALL_REPLY = 512, REPLY_BYTES_EACH = 40 }; /* a node for every three bytes, the room doubled, the old one not freed yet */

static coffer__guard_limits limits_by(uint8_t choice) {
    coffer__guard_limits limits = COFFER__GUARD_LIMITS_INIT;
    if ((choice & 1) != 0) {
        limits = (coffer__guard_limits){.line_bytes = 64, .bulk_bytes = 100, .reply_bytes = 300, .element_count = 9, .depth = 3};
    }
    return limits;
}

typedef struct fed {
    coffer__guard *guard;
    notes came, handed_on;
    size_t own_bytes; /* of a guard that was fed nothing */
    bool takes; /* asks for whole replies, as a conn does */
} fed;

static void must_be_modest(const fed *all) {
    size_t reply_bytes = all->takes ? SMALL_REPLY + REPLY_BYTES_EACH * all->came.len : 0;
    MUST(watched_alloc.peak_bytes <= all->own_bytes + SMALL_TAIL + 2 * all->came.len + reply_bytes);
}

static void take(fed *all, coffer_slice *in) {
    coffer__reply reply = {0};
    coffer_slice from = *in;
    while (all->takes && coffer__guard_take(all->guard, in, &reply) == COFFER_OK) {
        note(&all->handed_on, from.data, from.len - in->len);
        from = *in;
    }
    coffer__reply_free(&reply);
}

/* One piece. False: the guard has refused. */
static bool feed(fed *all, coffer_slice piece) {
    char *copy = alone(piece);
    coffer_slice in = coffer_slice_of(copy, piece.len), frames;
    note(&all->came, piece.data, piece.len);
    coffer_status status;
    do {
        take(all, &in);
        status = coffer__guard_feed(all->guard, &in, &frames);
        note(&all->handed_on, frames.data, frames.len);
        must_be_modest(all);
        MUST(status == COFFER_OK || frames.len == 0);
    } while (status == COFFER_NO_MEMORY || frames.len > 0); /* nothing was lost: again, with what is left */
    MUST(status == COFFER_OK ? in.len == 0 : status == COFFER_PROTO || status == COFFER_LIMIT);
    free(copy);
    return status == COFFER_OK;
}

static void must_stay_refused(fed *all) {
    coffer_slice in = COFFER_SLICE("+OK\r\n"), frames;
    MUST(watched_alloc.live_bytes == all->own_bytes);
    MUST(coffer__guard_message(all->guard)[0] != '\0');
    MUST(!coffer__guard_between_replies(all->guard));
    MUST(coffer__guard_feed(all->guard, &in, &frames) != COFFER_OK && frames.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    choices from = {data, size};
    uint8_t choice = next_byte(&from);
    size_t piece_bytes = (choice >> 1 & 31) == 0 ? size : (choice >> 1 & 31);
    fed all = {.takes = (choice & 0x40) != 0};
    watched_alloc_begin(WATCHED_NEVER);
    coffer__guard_limits limits = limits_by(choice);
    MUST(coffer__guard_new(&all.guard, &limits) == COFFER_OK);
    all.own_bytes = watched_alloc.live_bytes;
    if ((choice & 0x80) != 0) {
        watched_alloc_fail_once(1 + (choice >> 1 & 3));
    }
    bool good = true;
    while (good && from.left > 0) {
        good = feed(&all, next_slice(&from, piece_bytes));
    }
    MUST(all.handed_on.len <= all.came.len);
    MUST(all.handed_on.len == 0 || memcmp(all.handed_on.data, all.came.data, all.handed_on.len) == 0);
    if (!good) {
        must_stay_refused(&all);
    }
    coffer__guard_free(all.guard);
    MUST(watched_alloc.live_bytes == 0);
    watched_alloc_end();
    notes_free(&all.came);
    notes_free(&all.handed_on);
    return 0;
}
