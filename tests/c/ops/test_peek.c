/* Near values without an op, on mem://, in virtual time. */
#include "ops/helpers.h"

static coffer_room *room;
static coffer_value value;

static coffer_status peek(world *w, const char *key) {
    return coffer_peek(w->ns, COFFER_OPERATION_GET, coffer_slice_text(key), w->now_ms, room, &value);
}

static void open_peek(world *w, const char *url) {
    open_world(w, url);
    assert_int_equal(coffer_room_new(&room), COFFER_OK);
}

static void close_peek(world *w) {
    coffer_room_free(room);
    close_world(w);
}

static uint64_t gets(world *w) {
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    assert_int_equal(coffer_metrics_read(w->ns, &metrics), COFFER_OK);
    return metrics.latency[COFFER_OPERATION_GET].count;
}

static void test_a_value_is_lent_by_the_room(void **state) {
    (void)state;
    world w;
    open_peek(&w, "mem://?ttl=10s&ttl_jitter=0");
    assert_int_equal(peek(&w, "k"), COFFER_MISS);
    assert_int_equal(value.source, COFFER_SOURCE_NONE);
    RUN(w, set, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL);
    assert_int_equal(peek(&w, "k"), COFFER_OK);
    assert_memory_equal(value.data.data, "v", 1);
    assert_int_equal(value.data.len, 1);
    assert_int_equal(value.source, COFFER_SOURCE_NEAR);
    assert_int_equal(gets(&w), 2);
    close_peek(&w);
}

static void test_what_is_not_plain_is_left_to_an_op(void **state) {
    (void)state;
    world w;
    open_peek(&w, "mem://?ttl=10s&ttl_jitter=0&stale_ttl=1h");
    RUN(w, set, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL);
    assert_int_equal(peek(&w, ""), COFFER_AGAIN);
    assert_int_equal(peek(&w, "\n"), COFFER_AGAIN);
    w.now_ms += 9984; /* fresh by 16 ms: a clock that is behind by as much would not know */
    assert_int_equal(peek(&w, "k"), COFFER_AGAIN);
    w.now_ms += 100; /* stale */
    assert_int_equal(peek(&w, "k"), COFFER_AGAIN);
    assert_int_equal(gets(&w), 0);
    close_peek(&w);
}

static void test_what_is_turned_off_is_not_answered(void **state) {
    (void)state;
    world w;
    open_peek(&w, "mem://");
    RUN(w, set, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL);
    coffer_namespace_turn_operation(w.ns, COFFER_OPERATION_GET, false);
    assert_int_equal(peek(&w, "k"), COFFER_AGAIN);
    coffer_namespace_turn_operation(w.ns, COFFER_OPERATION_GET, true);
    coffer_namespace_turn_share(w.ns, 0);
    assert_int_equal(peek(&w, "k"), COFFER_AGAIN);
    coffer_namespace_turn_share(w.ns, 100);
    coffer_namespace_turn(w.ns, COFFER_SCOPE_NAMESPACE, false);
    assert_int_equal(peek(&w, "k"), COFFER_AGAIN);
    coffer_namespace_turn(w.ns, COFFER_SCOPE_NAMESPACE, true);
    assert_int_equal(peek(&w, "k"), COFFER_OK);
    close_peek(&w);
}

static coffer_status peek_or_load(world *w, const char *key) {
    return coffer_peek(w->ns, COFFER_OPERATION_GET_OR_LOAD, coffer_slice_text(key), w->now_ms, room, &value);
}

/* What is not there has to be loaded, and only an op can do that. */
static void test_a_value_that_need_not_be_loaded_is_answered(void **state) {
    (void)state;
    world w;
    open_peek(&w, "mem://?ttl=10s&ttl_jitter=0");
    assert_int_equal(peek_or_load(&w, "k"), COFFER_AGAIN);
    RUN(w, set, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL);
    coffer_namespace_turn_operation(w.ns, COFFER_OPERATION_GET, false);
    assert_int_equal(peek_or_load(&w, "k"), COFFER_OK);
    assert_memory_equal(value.data.data, "v", 1);
    assert_true(coffer_peek_confirms(w.ns, COFFER_OPERATION_GET_OR_LOAD, COFFER_SLICE("k"), value.near_version, w.now_ms, room));
    coffer_namespace_turn_operation(w.ns, COFFER_OPERATION_GET_OR_LOAD, false);
    assert_int_equal(peek_or_load(&w, "k"), COFFER_AGAIN);
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    assert_int_equal(coffer_metrics_read(w.ns, &metrics), COFFER_OK);
    assert_int_equal(metrics.latency[COFFER_OPERATION_GET_OR_LOAD].count, 2);
    assert_int_equal(metrics.latency[COFFER_OPERATION_GET].count, 0);
    close_peek(&w);
}

static void test_no_other_operation_peeks(void **state) {
    (void)state;
    world w;
    open_peek(&w, "mem://");
    RUN(w, set, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL);
    assert_int_equal(coffer_peek(w.ns, COFFER_OPERATION_TOUCH, COFFER_SLICE("k"), w.now_ms, room, &value), COFFER_AGAIN);
    assert_int_equal(coffer_peek(w.ns, COFFER_OPERATION_COUNT, COFFER_SLICE("k"), w.now_ms, room, &value), COFFER_AGAIN);
    close_peek(&w);
}

static void test_a_key_that_is_owed_its_deletion_is_not_answered(void **state) {
    (void)state;
    world w;
    open_peek(&w, "mem://");
    RUN(w, set, COFFER_SLICE("k"), COFFER_SLICE("old"), NULL);
    assert_int_equal(peek(&w, "k"), COFFER_OK);
    uint64_t version = value.near_version;
    coffer_namespace_turn(w.ns, COFFER_SCOPE_NAMESPACE, false);
    RUN(w, set, COFFER_SLICE("k"), COFFER_SLICE("never stored"), NULL);
    coffer_namespace_turn(w.ns, COFFER_SCOPE_NAMESPACE, true);
    assert_int_equal(peek(&w, "k"), COFFER_AGAIN);
    assert_false(coffer_peek_confirms(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), version, w.now_ms, room));
    close_peek(&w);
}

static void test_an_object_is_confirmed_until_its_entry_changes_or_ends(void **state) {
    (void)state;
    world w;
    open_peek(&w, "mem://?ttl=10s&ttl_jitter=0");
    RUN(w, set, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL);
    peek(&w, "k");
    uint64_t version = value.near_version;
    assert_int_not_equal(version, 0);
    assert_true(coffer_peek_confirms(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), version, w.now_ms, room));
    assert_false(coffer_peek_confirms(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), 0, w.now_ms, room));
    assert_false(coffer_peek_confirms(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), version, w.now_ms + 10000, room));
    RUN(w, set, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL);
    assert_false(coffer_peek_confirms(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), version, w.now_ms, room));
    peek(&w, "k");
    RUN(w, delete, COFFER_SLICE("k"), NULL);
    assert_false(coffer_peek_confirms(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), value.near_version, w.now_ms, room));
    close_peek(&w);
}

/* Freshness ends before life there, which the store does not know. */
static void test_an_object_of_an_entry_that_may_be_stale_is_not_kept(void **state) {
    (void)state;
    world w;
    open_peek(&w, "mem://?ttl=10s&stale_ttl=1h");
    RUN(w, set, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL);
    assert_int_equal(peek(&w, "k"), COFFER_OK);
    assert_int_equal(value.near_version, 0);
    close_peek(&w);
}

static void test_sealed_compressed_and_raw_values(void **state) {
    (void)state;
    static const char *const urls[] = {"mem://?seal_key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "mem://?compress=always", "mem://?raw=true"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        world w;
        char text[4000];
        memset(text, 'x', sizeof text);
        open_peek(&w, urls[i]);
        RUN(w, set, COFFER_SLICE("k"), coffer_slice_of(text, sizeof text), NULL);
        assert_int_equal(peek(&w, "k"), COFFER_OK);
        assert_int_equal(value.data.len, sizeof text);
        assert_memory_equal(value.data.data, text, sizeof text);
        close_peek(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_is_lent_by_the_room),
        cmocka_unit_test(test_what_is_not_plain_is_left_to_an_op),
        cmocka_unit_test(test_what_is_turned_off_is_not_answered),
        cmocka_unit_test(test_a_value_that_need_not_be_loaded_is_answered),
        cmocka_unit_test(test_no_other_operation_peeks),
        cmocka_unit_test(test_a_key_that_is_owed_its_deletion_is_not_answered),
        cmocka_unit_test(test_an_object_is_confirmed_until_its_entry_changes_or_ends),
        cmocka_unit_test(test_an_object_of_an_entry_that_may_be_stale_is_not_kept),
        cmocka_unit_test(test_sealed_compressed_and_raw_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
