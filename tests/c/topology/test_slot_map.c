/* coffer__slot_map: who serves which slot, from answers that may be anything. */
#include "topology/slot_map.h"

#include "support/watched_alloc.h"
#include "topology/replies.h"
#include "topology/slots.h"

typedef struct world {
    coffer__endpoints *endpoints;
    coffer__slot_map *map;
    const coffer_endpoint *asked;
} world;

static world new_world(void) {
    world w = {.endpoints = coffer__endpoints_new()};
    w.map = coffer__slot_map_new(w.endpoints);
    coffer_endpoint asked = at("asked", 7000);
    w.asked = coffer__endpoints_intern(w.endpoints, &asked);
    assert_non_null(w.asked);
    return w;
}

static void free_world(world *w) {
    coffer__slot_map_free(w->map);
    coffer__endpoints_free(w->endpoints);
}

/* One answer, heard and taken. */
static coffer_status learn_from(coffer__slot_map *map, const coffer_endpoint *asked, uint64_t ticket, const coffer__reply *reply) {
    coffer__slot_answer *heard;
    coffer_status status = coffer__slot_map_hear(map, asked, ticket, reply, &heard);
    if (status == COFFER_OK) {
        coffer__slot_map_settle(map, &heard, 1);
    }
    coffer__slot_answer_free(heard);
    return status;
}

static coffer_status learn(world *w, const char *text) {
    coffer__reply reply = reply_of(text);
    coffer_status status = learn_from(w->map, w->asked, coffer__slot_map_ticket(w->map), &reply);
    coffer__reply_free(&reply);
    return status;
}

static void assert_owner(world *w, uint16_t slot, const char *host, uint16_t port) {
    const coffer_endpoint *owner = coffer__slot_map_owner(w->map, slot);
    if (host == NULL) {
        assert_null(owner);
        return;
    }
    assert_non_null(owner);
    assert_true(coffer_slice_equal(owner->host, coffer_slice_text(host)));
    assert_int_equal(owner->port, port);
}

static coffer__slot_counts counts_of(world *w) {
    coffer__slot_counts counts;
    coffer__slot_map_counts(w->map, &counts);
    return counts;
}

static void test_ranges_become_owners(void **state) {
    (void)state;
    world w = new_world();
    assert_true(coffer__slot_map_is_empty(w.map));
    assert_int_equal(
        learn(&w, "*3\r\n" RANGE(0, 5460, NODE("1\r\na", 7000)) RANGE(5461, 10922, NODE("1\r\nb", 7001)) RANGE(10923, 16383, NODE("1\r\nc", 7002))),
        COFFER_OK);
    assert_owner(&w, 0, "a", 7000);
    assert_owner(&w, 5460, "a", 7000);
    assert_owner(&w, 5461, "b", 7001);
    assert_owner(&w, 16383, "c", 7002);
    assert_false(coffer__slot_map_is_empty(w.map));
    assert_int_equal(coffer__slot_map_node_count(w.map), 3);
    free_world(&w);
}

static void test_replicas_are_kept_with_their_primary(void **state) {
    (void)state;
    world w = new_world();
    coffer__slot_map_read_replicas(w.map);
    assert_int_equal(learn(&w, "*2\r\n*5\r\n:0\r\n:9\r\n" NODE("1\r\na", 1) NODE("2\r\na1", 2)
                                   NODE("2\r\na2", 3) "*4\r\n:10\r\n:19\r\n" NODE("1\r\nb", 4) NODE("2\r\na1", 2)),
                     COFFER_OK);
    const coffer_endpoint *a = coffer__slot_map_owner(w.map, 0);
    const coffer_endpoint *a1 = coffer__endpoint_replica(a, 0), *a2 = coffer__endpoint_replica(a, 1);
    assert_true(a1 != NULL && a2 != NULL && a1 != a2 && a1->replica && a2->replica);
    assert_true(coffer_slice_equal(a1->host, COFFER_SLICE("a1")) || coffer_slice_equal(a1->host, COFFER_SLICE("a2")));
    assert_null(coffer__endpoint_replica(a, 2));
    const coffer_endpoint *b = coffer__slot_map_owner(w.map, 10);
    assert_ptr_equal(coffer__endpoint_replica(b, 0), coffer_slice_equal(a1->host, COFFER_SLICE("a1")) ? a1 : a2);
    assert_null(coffer__endpoint_replica(b, 1));
    assert_true(coffer__slot_map_is_primary(w.map, a) && coffer__slot_map_is_primary(w.map, b));
    assert_false(coffer__slot_map_is_primary(w.map, a1));
    assert_true(coffer_slice_equal(coffer__slot_map_node(w.map, 0)->host, COFFER_SLICE("a"))); /* primaries first */
    assert_true(coffer_slice_equal(coffer__slot_map_node(w.map, 1)->host, COFFER_SLICE("b")));
    free_world(&w);
}

static void test_gaps_and_overlaps(void **state) {
    (void)state;
    world w = new_world();
    assert_int_equal(learn(&w, "*3\r\n" RANGE(0, 9, NODE("1\r\na", 1)) RANGE(5, 14, NODE("1\r\nb", 2)) RANGE(20, 20, NODE("1\r\nc", 3))), COFFER_OK);
    assert_owner(&w, 9, "a", 1);
    assert_owner(&w, 10, "b", 2);
    assert_owner(&w, 15, NULL, 0);
    assert_int_equal(counts_of(&w).overlaps, 1);
    assert_int_equal(learn(&w, "*1\r\n" RANGE(15, 15, NODE("1\r\nd", 4))), COFFER_OK); /* what it does not name stays */
    assert_owner(&w, 9, "a", 1);
    assert_owner(&w, 15, "d", 4);
    free_world(&w);
}

static void test_a_missing_host_is_the_one_that_was_asked(void **state) {
    (void)state;
    world w = new_world();
    assert_int_equal(learn(&w, "*2\r\n" RANGE(0, 0, "*3\r\n$-1\r\n:7005\r\n$2\r\nid\r\n") RANGE(1, 1, NODE("0\r\n", 7006))), COFFER_OK);
    assert_owner(&w, 0, "asked", 7005);
    assert_owner(&w, 1, "asked", 7006);
    free_world(&w);
}

static void test_what_cannot_be_understood_is_left_out(void **state) {
    (void)state;
    static const char *const ranges[] = {
        RANGE(0, 16384, NODE("1\r\na", 1)),
        RANGE(-1, 5, NODE("1\r\na", 1)),
        RANGE(7, 6, NODE("1\r\na", 1)),
        RANGE(0, 5, NODE("1\r\na", 0)),
        RANGE(0, 5, NODE("1\r\na", 70000)),
        RANGE(0, 5, NODE("1\r\n?", 1)),
        RANGE(0, 5, NODE("3\r\na\r\n", 1)),
        RANGE(0, 5, "*0\r\n"),
        RANGE(0, 5, "*1\r\n$1\r\na\r\n"),
        RANGE(0, 5, "*-1\r\n"),
        RANGE(0, 5, ":7\r\n"),
        "*3\r\n$1\r\n0\r\n:5\r\n" NODE("1\r\na", 1),
        "*2\r\n:0\r\n:5\r\n",
        "*0\r\n",
        ":5\r\n",
        "$-1\r\n",
        "*3\r\n*1\r\n:0\r\n:5\r\n" NODE("1\r\na", 1),
    };
    enum { COUNT = sizeof ranges / sizeof *ranges };
    world w = new_world();
    for (size_t i = 0; i < COUNT; i++) {
        char text[512];
        snprintf(text, sizeof text, "*2\r\n%s%s", ranges[i], RANGE(100, 100, NODE("1\r\nz", 9)));
        assert_int_equal(learn(&w, text), COFFER_OK);
        assert_owner(&w, 0, NULL, 0);
        assert_owner(&w, 5, NULL, 0);
        assert_owner(&w, 100, "z", 9);
        assert_int_equal(counts_of(&w).refused_ranges, i + 1);
    }
    assert_int_equal(learn(&w, "*1\r\n*4\r\n:1\r\n:1\r\n" NODE("1\r\na", 1) "+odd\r\n"), COFFER_OK);
    assert_int_equal(counts_of(&w).refused_replicas, 1);
    free_world(&w);
}

static void test_an_answer_without_slots_changes_nothing(void **state) {
    (void)state;
    static const char *const answers[] = {"*0\r\n", "*-1\r\n",     "+OK\r\n", "-ERR This instance has cluster support disabled\r\n",
                                          ":1\r\n", "*1\r\n:1\r\n"};
    world w = new_world();
    assert_int_equal(learn(&w, "*1\r\n" RANGE(0, 16383, NODE("1\r\na", 1))), COFFER_OK);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        assert_int_equal(learn(&w, answers[i]), COFFER_SERVER);
        assert_owner(&w, 77, "a", 1);
        assert_int_equal(coffer__slot_map_node_count(w.map), 1);
    }
    assert_int_equal(counts_of(&w).refused_answers, sizeof answers / sizeof *answers);
    free_world(&w);
}

/* dragonflydb/dragonfly#4765: a node that answers with a map older than the MOVED. */
static void test_an_answer_asked_for_before_a_moved_does_not_undo_it(void **state) {
    (void)state;
    world w = new_world();
    coffer_endpoint elsewhere = at("new", 2);
    const coffer_endpoint *owner = coffer__endpoints_intern(w.endpoints, &elsewhere);
    coffer__reply old = reply_of("*1\r\n" RANGE(0, 16383, NODE("3\r\nold", 1)));
    uint64_t before = coffer__slot_map_ticket(w.map);
    coffer__slot_map_moved(w.map, 42, owner);
    assert_ptr_equal(coffer__slot_map_owner(w.map, 42), owner); /* at once */
    assert_int_equal(learn_from(w.map, w.asked, before, &old), COFFER_OK);
    assert_owner(&w, 42, "new", 2);
    assert_owner(&w, 43, "old", 1);
    assert_int_equal(learn_from(w.map, w.asked, coffer__slot_map_ticket(w.map), &old), COFFER_OK); /* asked for after it: newer */
    assert_owner(&w, 42, "old", 1);
    coffer__reply_free(&old);
    free_world(&w);
}

static void test_a_hundred_thousand_ranges(void **state) {
    (void)state;
    enum { RANGES = 100000 };
    static const char range[] = RANGE(0, 16383, NODE("1\r\na", 1));
    world w = new_world();
    char *text = (char *)malloc(32 + RANGES * sizeof range);
    size_t len = (size_t)sprintf(text, "*%d\r\n", RANGES);
    for (int i = 0; i < RANGES; i++) {
        memcpy(text + len, range, sizeof range);
        len += sizeof range - 1;
    }
    assert_int_equal(learn(&w, text), COFFER_OK);
    assert_owner(&w, 16383, "a", 1);
    assert_int_equal(counts_of(&w).overlaps, COFFER__SLOTS - 1);
    assert_int_equal(counts_of(&w).refused_ranges, RANGES - COFFER__SLOTS);
    free(text);
    free_world(&w);
}

static void test_short_memory_leaves_the_map_as_it_was(void **state) {
    (void)state;
    coffer__reply reply = reply_of("*2\r\n" RANGE(0, 9, NODE("1\r\na", 1)) RANGE(10, 19, NODE("1\r\nb", 2)));
    for (size_t n = 0; n < 12; n++) {
        watched_alloc_begin(WATCHED_NEVER);
        world w = new_world();
        watched_alloc_dry_after(n);
        coffer_status status = learn_from(w.map, w.asked, 0, &reply);
        assert_true(status == COFFER_OK || ((status == COFFER_NO_MEMORY || status == COFFER_SERVER) && coffer__slot_map_owner(w.map, 0) == NULL));
        free_world(&w);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    }
    coffer__reply_free(&reply);
}

/* ---- several answers ---- */

#define ALL_A "*1\r\n" RANGE(0, 16383, NODE("1\r\na", 1))
#define HALF_B "*2\r\n" RANGE(0, 8191, NODE("1\r\na", 1)) RANGE(8192, 16383, NODE("1\r\nb", 1))
#define HALF_C "*2\r\n" RANGE(0, 8191, NODE("1\r\na", 1)) RANGE(8192, 16383, NODE("1\r\nc", 1))

/* Hears these (NULL: no more) until they are settled, and settles. How many were heard. */
static size_t hear(world *w, const char *const texts[COFFER__SLOT_ANSWERS_MOST]) {
    coffer__slot_answer *heard[COFFER__SLOT_ANSWERS_MOST];
    size_t count = 0;
    while (count < COFFER__SLOT_ANSWERS_MOST && texts[count] != NULL && (count == 0 || !coffer__slot_map_is_settled(w->map, heard, count))) {
        coffer__reply reply = reply_of(texts[count]);
        assert_int_equal(coffer__slot_map_hear(w->map, w->asked, coffer__slot_map_ticket(w->map), &reply, &heard[count]), COFFER_OK);
        coffer__reply_free(&reply);
        count++;
    }
    coffer__slot_map_settle(w->map, heard, count);
    for (size_t i = 0; i < count; i++) {
        coffer__slot_answer_free(heard[i]);
    }
    return count;
}

static void test_a_slot_is_whose_most_say_it_is(void **state) {
    (void)state;
    static const struct {
        const char *texts[COFFER__SLOT_ANSWERS_MOST];
        size_t heard;
        const char *owner;
    } rounds[] = {
        {{ALL_A, HALF_B, HALF_B}, 1, "a"}, /* nothing is known: one is enough */
        {{ALL_A, HALF_B, HALF_B}, 1, "a"}, /* nothing is taken from anybody */
        {{HALF_B, ALL_A, ALL_A}, 3, "a"}, /* one alone says something else: it was cut off */
        {{ALL_A, HALF_B, HALF_B}, 1, "a"}, {{HALF_B, ALL_A, HALF_B}, 3, "b"}, {{HALF_C, HALF_C, ALL_A}, 2, "c"}, /* two say the same */
        {{HALF_B, NULL, NULL}, 1, "b"}, /* there is nobody else */
        {{HALF_C, ALL_A, NULL}, 2, "c"}, /* as many say this as that: whom was asked first, and that is another each time */
        {{ALL_A, HALF_B, HALF_C}, 3, "a"},
    };
    world w = new_world();
    for (size_t i = 0; i < sizeof rounds / sizeof rounds[0]; i++) {
        assert_int_equal(hear(&w, rounds[i].texts), rounds[i].heard);
        assert_owner(&w, 16383, rounds[i].owner, 1);
        assert_owner(&w, 0, "a", 1);
    }
    free_world(&w);
}

static void test_what_moved_meanwhile_is_not_asked_about(void **state) {
    (void)state;
    world w = new_world();
    assert_int_equal(learn(&w, HALF_B), COFFER_OK);
    uint64_t before = coffer__slot_map_ticket(w.map);
    coffer_endpoint c = at("c", 1);
    coffer__slot_map_moved(w.map, 16383, coffer__endpoints_intern(w.endpoints, &c));
    coffer__reply reply = reply_of(HALF_B);
    coffer__slot_answer *heard;
    assert_int_equal(coffer__slot_map_hear(w.map, w.asked, before, &reply, &heard), COFFER_OK);
    assert_true(coffer__slot_map_is_settled(w.map, &heard, 1));
    coffer__slot_map_settle(w.map, &heard, 1);
    coffer__slot_answer_free(heard);
    coffer__reply_free(&reply);
    assert_owner(&w, 16383, "c", 1);
    assert_owner(&w, 16382, "b", 1);
    free_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_become_owners),
        cmocka_unit_test(test_replicas_are_kept_with_their_primary),
        cmocka_unit_test(test_gaps_and_overlaps),
        cmocka_unit_test(test_a_missing_host_is_the_one_that_was_asked),
        cmocka_unit_test(test_what_cannot_be_understood_is_left_out),
        cmocka_unit_test(test_an_answer_without_slots_changes_nothing),
        cmocka_unit_test(test_an_answer_asked_for_before_a_moved_does_not_undo_it),
        cmocka_unit_test(test_a_hundred_thousand_ranges),
        cmocka_unit_test(test_short_memory_leaves_the_map_as_it_was),
        cmocka_unit_test(test_a_slot_is_whose_most_say_it_is),
        cmocka_unit_test(test_what_moved_meanwhile_is_not_asked_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
