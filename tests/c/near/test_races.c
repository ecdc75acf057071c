/* Every order in which a fill, a change by another host, an own write and a break of the channel may come to pass, played on a server that is a number:
 * whatever the order, nothing stays near that the server does not hold any more.
 *
 *     reader      send GET (expect), the server reads, fill                   the reply is on its way between the last two
 *     another     SET
 *     channel     hears what is due, once and again
 *     own write   begins, the server sets, ends
 *     break       cut (nothing is told from now on), noticed, subscribed again, a PING has come back
 *
 * 13!/(3! 1! 2! 3! 4!) = 3,603,600 orders; and those of any of the last four without the others. What is due on a channel that stands is heard at the end of
 * each. */
#include "near/copies.h"
#include "support/cmocka_all.h"

#include <stdio.h>

enum { NOW_MS = 5000, READER = 3, ANOTHER = 1, HEARS = 2, OWN = 3, BREAK = 4, STEPS = READER + ANOTHER + HEARS + OWN + BREAK, ACTORS = 5 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { PLAYED_OF = 29 }; /* one of so many: any that is a divisor of none of the counts above */
#else
enum { PLAYED_OF = 1 };
#endif

typedef struct game {
    coffer__near *near;
    coffer__coherence *coherence;
    coffer__lead lead;
    unsigned channel;
    unsigned long orders, kept; /* played; and in so many a value was near at the end */
    unsigned char order[STEPS];
    size_t steps; /* of those that play */
    /* of one order */
    unsigned char held; /* by the server: which SET was the last */
    unsigned char read, least; /* what GET read; what the reader may not see anything older than */
    unsigned due; /* invalidations on their way */
    bool subscribed, given;
    coffer__near_token token;
} game;

static const coffer_slice key = {"prod:x:k", 8};

/* Which value is near; -1: none. */
static int look(game *g) {
    coffer__buf out = COFFER__BUF_INIT;
    coffer__near_found found;
    int value = coffer__near_look(g->near, key, NOW_MS, &out, &found) == COFFER_OK ? out.data[0] : -1;
    coffer__buf_free(&out);
    return value;
}

/* ---- what happens ---- */

static void server_sets(game *g) {
    g->held++;
    g->due += g->subscribed;
}

static void hear(game *g) {
    if (g->due > 0) {
        coffer__near_drop(g->near, key);
        g->due--;
    }
}

static void expect(game *g) {
    coffer__near_expect(g->near, key, NOW_MS, &g->token);
}

static void server_reads(game *g) {
    g->read = g->held;
}

static void fill(game *g) {
    const char byte = (char)g->read;
    const coffer__near_copy copy = {.value = coffer_slice_of(&byte, 1), .channel = g->channel, .expires_at_ms = UINT64_MAX};
    coffer__near_fill(g->near, &g->token, key, &copy, NOW_MS);
}

static void own_begins(game *g) {
    coffer__near_drop(g->near, key);
}

static void own_ends(game *g) {
    coffer__near_drop(g->near, key);
    g->least = g->held;
}

static void cut(game *g) {
    g->subscribed = false;
    g->due = 0;
}

static void notice(game *g) {
    coffer__channel_lost(g->coherence, &g->lead, g->channel);
}

static void subscribe(game *g) {
    g->subscribed = true;
}

static void ping_comes_back(game *g) {
    assert_true(coffer__channel_heard(g->coherence, &g->lead, g->channel, NOW_MS - 1, NOW_MS));
}

static const struct {
    unsigned char steps;
    void (*step[BREAK])(game *);
} actors[ACTORS] = {
    {READER, {expect, server_reads, fill}},
    {ANOTHER, {server_sets}},
    {HEARS, {hear, hear}},
    {OWN, {own_begins, server_sets, own_ends}},
    {BREAK, {cut, notice, subscribe, ping_comes_back}},
};

/* ---- an order ---- */

static void refuse(const game *g, const char *what, int value) {
    char text[STEPS + 1];
    for (size_t i = 0; i < g->steps; i++) {
        text[i] = "RAHOB"[g->order[i]];
    }
    text[g->steps] = '\0';
    fail_msg("%s: %d is near, the server holds %d, in the order %s", what, value, g->held, text);
}

static void play(game *g) {
    unsigned char at[ACTORS] = {0};
    coffer__near_drop(g->near, key);
    coffer__channel_heard(g->coherence, &g->lead, g->channel, NOW_MS - 1, NOW_MS);
    g->held = g->read = g->least = 0;
    g->due = 0;
    g->subscribed = true;
    g->token = (coffer__near_token){.given = false};
    for (size_t i = 0; i < g->steps; i++) {
        actors[g->order[i]].step[at[g->order[i]]++](g);
        int value = look(g);
        if (value >= 0 && value < g->least) {
            refuse(g, "older than an own write that has ended", value);
        }
    }
    while (g->due > 0) {
        hear(g);
    }
    int value = look(g);
    if (value >= 0 && value != g->held) {
        refuse(g, "stale for ever", value);
    }
    g->orders++;
    g->kept += value >= 0;
}

static void play_all(game *g, unsigned char left[ACTORS], size_t step, unsigned long *number) {
    if (step == g->steps) {
        if ((*number)++ % (g->steps == STEPS ? PLAYED_OF : 1) == 0) {
            play(g);
        }
        return;
    }
    for (unsigned char actor = 0; actor < ACTORS; actor++) {
        if (left[actor] > 0) {
            left[actor]--;
            g->order[step] = actor;
            play_all(g, left, step + 1, number);
            left[actor]++;
        }
    }
}

/* Of the reader and those whose bit is set. Where an invalidation may be heard in time, something is kept in some order: else nothing was tried. */
static void play_with(game *g, unsigned others) {
    unsigned char left[ACTORS] = {0};
    unsigned long number = 0;
    g->orders = g->kept = g->steps = 0;
    for (unsigned i = 0; i < ACTORS; i++) {
        left[i] = i == 0 || (others >> (i - 1) & 1) != 0 ? actors[i].steps : 0;
        g->steps += left[i];
    }
    play_all(g, left, 0, &number);
    assert_true(g->steps < STEPS || number == 3603600);
    assert_true(g->kept > 0 || (others >> 1 & 1) == 0);
    print_message("%9lu orders of %zu steps; a value was near at the end of %lu\n", g->orders, g->steps, g->kept);
}

static void test_in_no_order_does_a_stale_value_stay(void **state) {
    (void)state;
    game g = {.orders = 0};
    assert_int_equal(coffer__near_new(&g.near, 1 << 20), COFFER_OK);
    g.coherence = coffer__near_coherence(g.near);
    assert_true(coffer__lead_hold(g.coherence, &g.lead, 1, NOW_MS));
    g.channel = (unsigned)coffer__channel_take(g.coherence, &g.lead, 1);
    for (unsigned others = 0; others < 1u << (ACTORS - 1); others++) {
        play_with(&g, others);
    }
    coffer__near_free(g.near);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_no_order_does_a_stale_value_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
