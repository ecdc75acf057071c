/* Copies: kept and used only where nothing has happened meanwhile. */
#include "near/copies.h"
#include "support/cmocka_all.h"

typedef struct stage {
    coffer__near *near;
    coffer__coherence *coherence;
    coffer__lead lead;
    unsigned channel;
} stage;

static stage here;
static const coffer_slice KEY = {"app:users:1", 11};

static int begin(void **state) {
    memset(&here, 0, sizeof here);
    assert_int_equal(coffer__near_new(&here.near, 1 << 20), COFFER_OK);
    here.coherence = coffer__near_coherence(here.near);
    assert_true(coffer__lead_hold(here.coherence, &here.lead, 1, 1000));
    here.channel = (unsigned)coffer__channel_take(here.coherence, &here.lead, 77);
    assert_true(coffer__channel_heard(here.coherence, &here.lead, here.channel, 1000, 1000));
    *state = &here;
    return 0;
}

static int end(void **state) {
    (void)state;
    coffer__near_free(here.near);
    return 0;
}

static coffer__near_token expected(uint64_t now_ms) {
    coffer__near_token token;
    coffer__near_expect(here.near, KEY, now_ms, &token);
    return token;
}

static coffer_status fill(const coffer__near_token *token, const char *value, uint64_t now_ms) {
    coffer__near_copy copy = {.value = coffer_slice_text(value), .channel = here.channel, .expires_at_ms = now_ms + 500};
    return coffer__near_fill(here.near, token, KEY, &copy, now_ms);
}

static bool holds(const char *value, uint64_t now_ms) {
    coffer__buf out = COFFER__BUF_INIT;
    coffer__near_found found;
    bool same =
        coffer__near_look(here.near, KEY, now_ms, &out, &found) == COFFER_OK && coffer_slice_equal(coffer__buf_slice(&out), coffer_slice_text(value));
    coffer__buf_free(&out);
    return same;
}

static void test_a_fill_that_nothing_came_between_is_read(void **state) {
    (void)state;
    coffer__near_token token = expected(1001);
    assert_int_equal(fill(&token, "value", 1002), COFFER_OK);
    assert_true(holds("value", 1003));
    assert_false(holds("value", 1502)); /* its time has passed */
}

static void test_an_invalidation_between_reply_and_fill_wins(void **state) {
    (void)state;
    coffer__near_token token = expected(1001);
    coffer__near_drop(here.near, KEY);
    assert_int_equal(fill(&token, "old", 1002), COFFER_NOT_STORED);
    assert_false(holds("old", 1002));
    token = expected(1003);
    assert_int_equal(fill(&token, "new", 1004), COFFER_OK);
    coffer__near_drop(here.near, KEY);
    assert_false(holds("new", 1005));
}

static void test_an_epoch_that_ends_between_wins(void **state) {
    (void)state;
    coffer__near_token token = expected(1001);
    coffer__epoch_end(here.coherence);
    assert_int_equal(fill(&token, "old", 1002), COFFER_NOT_STORED);
}

static void test_nothing_is_used_or_kept_while_nobody_listens(void **state) {
    (void)state;
    coffer__near_token token = expected(1001);
    assert_int_equal(fill(&token, "value", 1002), COFFER_OK);
    coffer__channel_lost(here.coherence, &here.lead, here.channel);
    assert_false(holds("value", 1003));
    token = expected(1003);
    assert_false(token.given);
    assert_int_equal(fill(&token, "value", 1004), COFFER_NOT_STORED);
    assert_true(coffer__channel_heard(here.coherence, &here.lead, here.channel, 1100, 1101));
    assert_false(holds("value", 1102)); /* what was filled before is of an older epoch */
}

static void test_a_copy_of_a_node_whose_leader_is_frozen_is_not_used(void **state) {
    (void)state;
    coffer__near_token token = expected(2900);
    coffer__near_copy copy = {.value = coffer_slice_text("value"), .channel = here.channel, .expires_at_ms = 60000};
    assert_int_equal(coffer__near_fill(here.near, &token, KEY, &copy, 2900), COFFER_OK);
    assert_true(holds("value", 2999));
    assert_false(holds("value", 3000));
}

static void test_a_version_is_confirmed_until_the_entry_is_another(void **state) {
    (void)state;
    coffer__buf out = COFFER__BUF_INIT;
    coffer__near_found found;
    coffer__near_token token = expected(1001);
    assert_int_equal(fill(&token, "value", 1002), COFFER_OK);
    assert_int_equal(coffer__near_look(here.near, KEY, 1003, &out, &found), COFFER_OK);
    coffer__buf_free(&out);
    assert_true(coffer__near_confirms(here.near, KEY, found.version, 1003));
    assert_int_equal(fill(&token, "value", 1004), COFFER_OK); /* the same bytes again */
    assert_false(coffer__near_confirms(here.near, KEY, found.version, 1005));
    coffer__near_drop(here.near, KEY);
    assert_false(coffer__near_confirms(here.near, KEY, found.version, 1005));
}

/* Its like would push out what is asked for all the time. */
static void test_a_value_that_takes_too_much_room_is_not_kept(void **state) {
    (void)state;
    size_t most = coffer__near_copy_most_bytes(here.near);
    char *large = (char *)malloc(most + 1);
    assert_non_null(large);
    memset(large, 'x', most + 1);
    coffer__near_token token = expected(1001);
    assert_int_equal(fill(&token, "value", 1002), COFFER_OK);
    coffer__near_copy copy = {.value = coffer_slice_of(large, most + 1), .channel = here.channel, .expires_at_ms = 1500};
    assert_int_equal(coffer__near_fill(here.near, &token, COFFER_SLICE("large"), &copy, 1002), COFFER_TOO_LARGE);
    copy.value.len = most;
    coffer__near_expect(here.near, COFFER_SLICE("large"), 1002, &token);
    assert_int_equal(coffer__near_fill(here.near, &token, COFFER_SLICE("large"), &copy, 1002), COFFER_OK);
    assert_true(holds("value", 1003));
    free(large);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_fill_that_nothing_came_between_is_read, begin, end),
        cmocka_unit_test_setup_teardown(test_an_invalidation_between_reply_and_fill_wins, begin, end),
        cmocka_unit_test_setup_teardown(test_an_epoch_that_ends_between_wins, begin, end),
        cmocka_unit_test_setup_teardown(test_nothing_is_used_or_kept_while_nobody_listens, begin, end),
        cmocka_unit_test_setup_teardown(test_a_copy_of_a_node_whose_leader_is_frozen_is_not_used, begin, end),
        cmocka_unit_test_setup_teardown(test_a_value_that_takes_too_much_room_is_not_kept, begin, end),
        cmocka_unit_test_setup_teardown(test_a_version_is_confirmed_until_the_entry_is_another, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
