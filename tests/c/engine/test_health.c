#include "things.h"

#include "support/watched_alloc.h"
#include <stdio.h>

static coffer_health health_of(const things *one) {
    coffer_health health = COFFER_HEALTH_INIT;
    assert_int_equal(coffer_namespace_health(one->ns, one->now_ms, &health), COFFER_OK);
    return health;
}

static bool says(const coffer_health *health, const char *part) {
    if (part[0] == '\0') {
        return health->reason_count == 0;
    }
    for (size_t i = 0; i < health->reason_count; i++) {
        if (strstr(health->reasons[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

static void assert_state(const things *one, coffer_health_state state, const char *reason) {
    coffer_health health = health_of(one);
    assert_int_equal(health.state, state);
    assert_true(says(&health, reason));
    coffer_health_clear(&health);
}

static void test_a_server_that_fails_is_told_of_and_then_down(void **state) {
    (void)state;
    things one = open_things("redis://cache.internal:7000?breaker_consecutive_failures=3&on_outage=error");
    assert_state(&one, COFFER_HEALTHY, "no server has been asked yet");
    get(&one, "k", COFFER_CONNECT);
    assert_state(&one, COFFER_DEGRADED, "cache.internal:7000 failed (the server cannot be reached)");
    get(&one, "k", COFFER_CONNECT);
    get(&one, "k", COFFER_TIMEOUT);
    coffer_health health = health_of(&one);
    assert_int_equal(health.state, COFFER_DOWN);
    assert_int_equal(health.endpoint_count, 1);
    assert_string_equal(health.endpoints[0].name, "cache.internal:7000");
    assert_string_equal(health.endpoints[0].breaker, "open");
    assert_int_equal(health.endpoints[0].opened_count, 1);
    assert_int_equal(health.endpoints[0].round_trip_ms, -1);
    assert_true(says(&health, "is away (the deadline passed) and is asked again in"));
    coffer_health_clear(&health);
    coffer_health_clear(&health);
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    assert_int_equal(coffer_metrics_read(one.ns, &metrics), COFFER_OK);
    assert_int_equal(metrics.breakers_open, 1);
    one.now_ms += 3000;
    get(&one, "k", COFFER_WRONGTYPE); /* an answer */
    assert_state(&one, COFFER_HEALTHY, "");
    close_things(&one);
}

static void test_a_server_without_a_breaker_is_down_all_the_same(void **state) {
    (void)state;
    things one = open_things("unix:///run/cache.sock?breaker=no&on_outage=error");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(get(&one, "k", COFFER_CONNECT), COFFER_CONNECT);
    }
    assert_state(&one, COFFER_DOWN, "the last 5 of the calls to /run/cache.sock failed");
    close_things(&one);
}

/* A server of a client's, as if a call for it had come to this. */
static coffer__server *heard_of(const things *one, const coffer_endpoint *endpoint, coffer_status end) {
    coffer__server *server = coffer__watch_server(one->client->watch, endpoint);
    for (int i = 0; i < 5; i++) {
        coffer__pass pass;
        coffer__breaker_admit(server->breaker, one->now_ms, one->now_ms + 1000, &pass);
        coffer__breaker_record(&pass, end, one->now_ms);
    }
    coffer__server_wanted(server, one->now_ms);
    return server;
}

static void test_a_node_that_has_left_is_no_reason(void **state) {
    (void)state;
    static const coffer_endpoint gone = {.host = {"gone", 4}, .port = 1}, there = {.host = {"there", 5}, .port = 2};
    things one = open_things("redis+cluster://gone:1");
    heard_of(&one, &gone, COFFER_CONNECT);
    assert_state(&one, COFFER_DOWN, "gone:1 is away");
    heard_of(&one, &there, COFFER_OK);
    assert_state(&one, COFFER_DEGRADED, "gone:1 is away");
    one.now_ms += 61000;
    assert_state(&one, COFFER_DEGRADED, "gone:1 is away"); /* nobody is asked anything */
    heard_of(&one, &there, COFFER_OK);
    assert_state(&one, COFFER_HEALTHY, "");
    heard_of(&one, &gone, COFFER_CONNECT); /* still wanted */
    assert_state(&one, COFFER_DEGRADED, "gone:1 is away");
    close_things(&one);
}

static void test_sentinels_without_their_master_are_down(void **state) {
    (void)state;
    static const coffer_endpoint master = {.host = {"master", 6}, .port = 1};
    things one = open_things("redis+sentinel://watcher/main");
    coffer__refresh refresh;
    assert_true(coffer__topology_begin(one.client->topology, one.now_ms, &refresh));
    const coffer_endpoint *watcher = coffer__topology_candidate(one.client->topology, 0);
    heard_of(&one, watcher, COFFER_CONNECT);
    assert_state(&one, COFFER_DOWN, "watcher:26379 is away");
    heard_of(&one, &master, COFFER_OK);
    assert_state(&one, COFFER_DEGRADED, "watcher:26379 is away");
    one.now_ms += 3000;
    heard_of(&one, watcher, COFFER_OK);
    heard_of(&one, &master, COFFER_CONNECT);
    assert_state(&one, COFFER_DOWN, "master:1 is away");
    coffer__topology_end(one.client->topology, COFFER_OK, "", one.now_ms);
    close_things(&one);
}

static void test_keys_that_are_owed_or_lost_are_told_of(void **state) {
    (void)state;
    things one = open_things("redis://h?outage_memory=100&on_outage=error");
    set(&one, "first", COFFER_CONNECT);
    assert_state(&one, COFFER_DEGRADED, "1 keys were written while they could not be stored");
    for (char key[] = "a"; key[0] < 'k'; key[0]++) {
        one.now_ms += 3000;
        set(&one, key, COFFER_CONNECT);
    }
    coffer_health health = health_of(&one);
    assert_true(says(&health, "could not be remembered or deleted"));
    assert_true(health.lost_count > 0 && health.owed_count > 0);
    coffer_health_clear(&health);
    close_things(&one);
}

static void test_what_a_server_forbids_is_told_of(void **state) {
    (void)state;
    things one = open_things("redis://h");
    get(&one, "k", COFFER_NOPERM);
    assert_state(&one, COFFER_DEGRADED, "h:6379 does not allow this user GET");
    close_things(&one);
    one = open_things("redis://h");
    get(&one, "k", COFFER_WRONGTYPE);
    coffer__server_forbids(coffer__watch_first(one.client->watch), "TIME");
    assert_state(&one, COFFER_HEALTHY, "TIME");
    for (int i = 0; i < 30; i++) {
        static char names[30][16];
        snprintf(names[i], sizeof names[i], "C%d", i);
        coffer__server_forbids(coffer__watch_first(one.client->watch), names[i]); /* more than it keeps */
    }
    assert_state(&one, COFFER_DEGRADED, "TIME C0 C1");
    close_things(&one);
}

/* ---- off and on ---- */

static size_t in_share(const things *one, bool present[1000]) {
    size_t count = 0;
    for (unsigned i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "key:%u", i);
        bool is = coffer__is_in_share(one->ns->switches, coffer_slice_text(key));
        assert_true(present == NULL || !present[i] || is); /* those of a smaller share are in a larger one */
        if (present != NULL) {
            present[i] = is;
        }
        count += is;
    }
    return count;
}

static void test_a_share_is_always_the_same_keys(void **state) {
    (void)state;
    static bool present[1000];
    things one = open_things("mem://"), other = open_things("redis://h");
    assert_int_equal(in_share(&one, NULL), 1000);
    static const struct {
        uint32_t percent;
        size_t least, most;
    } shares[] = {{0, 0, 0}, {10, 60, 140}, {50, 430, 570}, {100, 1000, 1000}};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        assert_int_equal(coffer_namespace_turn_share(one.ns, shares[i].percent), COFFER_OK);
        assert_int_equal(coffer_namespace_turn_share(other.ns, shares[i].percent), COFFER_OK);
        assert_in_range(in_share(&one, present), shares[i].least, shares[i].most);
        assert_int_equal(in_share(&other, present), in_share(&one, NULL));
    }
    assert_int_equal(coffer_namespace_turn_share(one.ns, 101), COFFER_ARG);
    close_things(&one);
    close_things(&other);
}

static void test_what_is_off_does_nothing_and_leaves_no_old_value(void **state) {
    (void)state;
    things one = open_things("mem://");
    assert_int_equal(set(&one, "k", COFFER_OK), COFFER_OK);
    static const coffer_scope scopes[] = {COFFER_SCOPE_ALL, COFFER_SCOPE_NAMESPACE};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(set(&one, "kept", COFFER_OK), COFFER_OK);
        assert_int_equal(coffer_namespace_turn(one.ns, scopes[i], false), COFFER_OK);
        assert_int_equal(get(&one, "k", COFFER_OK), COFFER_MISS);
        assert_int_equal(set(&one, "k", COFFER_OK), COFFER_OK);
        assert_state(&one, COFFER_DEGRADED, "turned off");
        assert_int_equal(coffer_namespace_turn(one.ns, scopes[i], true), COFFER_OK);
        assert_int_equal(get(&one, "k", COFFER_OK), COFFER_MISS); /* what was there before is not there again */
        assert_int_equal(get(&one, "kept", COFFER_OK), COFFER_OK);
        assert_int_equal(set(&one, "k", COFFER_OK), COFFER_OK);
    }
    assert_state(&one, COFFER_HEALTHY, "");
    close_things(&one);
}

static void test_one_operation_is_turned_off(void **state) {
    (void)state;
    things one = open_things("mem://");
    set(&one, "k", COFFER_OK);
    assert_int_equal(coffer_namespace_turn_operation(one.ns, coffer_operation_of("get"), false), COFFER_OK);
    assert_int_equal(get(&one, "k", COFFER_OK), COFFER_MISS);
    assert_int_equal(set(&one, "k", COFFER_OK), COFFER_OK);
    assert_state(&one, COFFER_DEGRADED, "get is turned off in the namespace _");
    coffer_namespace_turn_operation(one.ns, COFFER_OPERATION_GET, true);
    assert_int_equal(get(&one, "k", COFFER_OK), COFFER_OK);
    assert_int_equal(coffer_namespace_turn_operation(one.ns, coffer_operation_of("nothing"), false), COFFER_ARG);
    assert_int_equal(coffer_namespace_turn(one.ns, (coffer_scope)7, false), COFFER_ARG);
    close_things(&one);
}

static void test_want_of_memory_says_so(void **state) {
    (void)state;
    things one = open_things("redis://h");
    coffer_health health = COFFER_HEALTH_INIT;
    watched_alloc_begin(0);
    assert_int_equal(coffer_namespace_health(one.ns, 1, &health), COFFER_NO_MEMORY);
    watched_alloc_end();
    coffer_health_clear(&health);
    health.struct_size = 1;
    assert_int_equal(coffer_namespace_health(one.ns, 1, &health), COFFER_ARG);
    coffer_health_clear(NULL);
    assert_string_equal(coffer_health_state_name((coffer_health_state)9), "unknown");
    close_things(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_server_that_fails_is_told_of_and_then_down),
        cmocka_unit_test(test_a_server_without_a_breaker_is_down_all_the_same),
        cmocka_unit_test(test_a_node_that_has_left_is_no_reason),
        cmocka_unit_test(test_sentinels_without_their_master_are_down),
        cmocka_unit_test(test_keys_that_are_owed_or_lost_are_told_of),
        cmocka_unit_test(test_what_a_server_forbids_is_told_of),
        cmocka_unit_test(test_a_share_is_always_the_same_keys),
        cmocka_unit_test(test_what_is_off_does_nothing_and_leaves_no_old_value),
        cmocka_unit_test(test_one_operation_is_turned_off),
        cmocka_unit_test(test_want_of_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
