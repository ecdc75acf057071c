/* What keeps copies honest: epochs, channels, the lead. */
#include "near/coherence.h"
#include "support/cmocka_all.h"

static coffer__coherence shared;

static int begin(void **state) {
    coffer__coherence_init(&shared);
    *state = &shared;
    return 0;
}

static void test_one_leads_at_a_time_and_another_when_its_lease_is_past(void **state) {
    coffer__coherence *coherence = (coffer__coherence *)*state;
    coffer__lead one = {0}, other = {0};
    assert_true(coffer__lead_hold(coherence, &one, 1, 1000));
    assert_false(coffer__lead_hold(coherence, &other, 2, 1000 + COFFER__LEAD_MS - 1));
    assert_true(coffer__lead_hold(coherence, &one, 1, 1000 + COFFER__LEAD_MS - 1));
    assert_false(coffer__lead_hold(coherence, &other, 2, 1000 + COFFER__LEAD_MS + 1));
    assert_true(coffer__lead_hold(coherence, &other, 2, 1000 + 3 * COFFER__LEAD_MS));
    assert_false(coffer__lead_hold(coherence, &one, 1, 1000 + 3 * COFFER__LEAD_MS));
    assert_int_equal(atomic_load(&coherence->takeovers), 2);
}

static void test_who_wakes_up_without_its_lead_changes_nothing(void **state) {
    coffer__coherence *coherence = (coffer__coherence *)*state;
    coffer__lead frozen = {0}, next = {0};
    assert_true(coffer__lead_hold(coherence, &frozen, 1, 1000));
    int number = coffer__channel_take(coherence, &frozen, 77);
    assert_true(coffer__channel_heard(coherence, &frozen, (unsigned)number, 1000, 1001));
    assert_true(coffer__lead_hold(coherence, &next, 2, 9000));
    assert_false(coffer__channel_is_live(coherence, (unsigned)number, 1001));
    assert_false(coffer__channel_heard(coherence, &frozen, (unsigned)number, 9000, 9001));
    assert_false(coffer__channel_is_live(coherence, (unsigned)number, 9001));
    assert_int_equal(coffer__channel_take(coherence, &frozen, 88), -1);
    coffer__lead_leave(coherence, &frozen);
    assert_true(coffer__lead_hold(coherence, &next, 2, 9002));
}

static void test_a_channel_hears_for_so_long_after_its_ping_was_sent(void **state) {
    coffer__coherence *coherence = (coffer__coherence *)*state;
    coffer__lead lead = {0};
    coffer__lead_hold(coherence, &lead, 1, 1000);
    unsigned number = (unsigned)coffer__channel_take(coherence, &lead, 77);
    assert_int_equal(coffer__channel_find(coherence, 77), number);
    assert_int_equal(coffer__channel_find(coherence, 78), -1);
    uint32_t before = coffer__epoch(coherence);
    assert_true(coffer__channel_heard(coherence, &lead, number, 1000, 1500));
    assert_true(coffer__channel_is_live(coherence, number, 1000 + COFFER__LIVE_MS - 1));
    assert_false(coffer__channel_is_live(coherence, number, 1000 + COFFER__LIVE_MS));
    assert_int_equal(coffer__epoch(coherence), before + 1); /* becoming live */
    assert_true(coffer__channel_heard(coherence, &lead, number, 2000, 2001));
    assert_int_equal(coffer__epoch(coherence), before + 1); /* going on */
    assert_true(coffer__channel_heard(coherence, &lead, number, 3900, 4001));
    assert_int_equal(coffer__epoch(coherence), before + 2); /* it had been deaf for a moment */
    coffer__channel_lost(coherence, &lead, number);
    assert_int_equal(coffer__epoch(coherence), before + 3);
    assert_false(coffer__channels_any_live(coherence, 4002));
}

static void test_a_channel_that_nobody_listens_to_says_so_and_changing_that_ends_the_epoch(void **state) {
    coffer__coherence *coherence = (coffer__coherence *)*state;
    coffer__lead lead = {0};
    coffer__lead_hold(coherence, &lead, 1, 1000);
    unsigned number = (unsigned)coffer__channel_take(coherence, &lead, 77);
    assert_true(coffer__channel_heard(coherence, &lead, number, 1000, 1001));
    assert_true(coffer__channel_is_tracked(coherence, number));
    uint32_t before = coffer__epoch(coherence);
    assert_true(coffer__channel_vouched(coherence, &lead, number, 1500));
    assert_true(coffer__channel_is_live(coherence, number, 1500 + COFFER__LIVE_MS - 1));
    assert_false(coffer__channel_is_live(coherence, number, 1500 + COFFER__LIVE_MS));
    assert_false(coffer__channel_is_tracked(coherence, number));
    assert_int_equal(coffer__epoch(coherence), before + 1);
    assert_true(coffer__channel_vouched(coherence, &lead, number, 2000));
    assert_int_equal(coffer__epoch(coherence), before + 1);
    assert_true(coffer__channel_heard(coherence, &lead, number, 2100, 2101));
    assert_true(coffer__channel_is_tracked(coherence, number));
    assert_int_equal(coffer__epoch(coherence), before + 2);
}

static void test_who_leaves_leaves_nothing_that_hears(void **state) {
    coffer__coherence *coherence = (coffer__coherence *)*state;
    coffer__lead lead = {0}, next = {0};
    assert_true(coffer__lead_is_free(coherence, 1000));
    coffer__lead_hold(coherence, &lead, 1, 1000);
    assert_false(coffer__lead_is_free(coherence, 1000 + COFFER__LEAD_MS - 1));
    assert_true(coffer__lead_is_free(coherence, 1000 + COFFER__LEAD_MS));
    unsigned tracked = (unsigned)coffer__channel_take(coherence, &lead, 77), untracked = (unsigned)coffer__channel_take(coherence, &lead, 78);
    assert_true(coffer__channel_heard(coherence, &lead, tracked, 1000, 1001));
    assert_true(coffer__channel_vouched(coherence, &lead, untracked, 1001));
    coffer__lead old = lead;
    uint32_t before = coffer__epoch(coherence);
    coffer__lead_leave(coherence, &lead);
    assert_false(coffer__channels_any_live(coherence, 1002));
    assert_true(coffer__epoch(coherence) > before);
    assert_true(coffer__lead_is_free(coherence, 1002));
    assert_true(coffer__lead_hold(coherence, &next, 2, 1002));
    unsigned number = (unsigned)coffer__channel_take(coherence, &next, 77);
    assert_true(coffer__channel_heard(coherence, &next, number, 1002, 1003));
    coffer__lead_leave(coherence, &old); /* what is another's stays */
    assert_true(coffer__channel_is_live(coherence, number, 1004));
    assert_false(coffer__lead_is_free(coherence, 1004));
}

/* Whatever happened to the memory. */
static void test_times_that_nobody_can_have_written_do_not_count(void **state) {
    coffer__coherence *coherence = (coffer__coherence *)*state;
    coffer__lead lead = {0};
    atomic_store(&coherence->lead, UINT64_C(7) << 48 | 0x7000000000);
    assert_true(coffer__lead_is_free(coherence, 1000));
    assert_true(coffer__lead_hold(coherence, &lead, 1, 1000));
    unsigned number = (unsigned)coffer__channel_take(coherence, &lead, 77);
    atomic_fetch_or(&coherence->channels[number].live, UINT64_C(1) << 40);
    assert_false(coffer__channel_is_live(coherence, number, 1000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_leads_at_a_time_and_another_when_its_lease_is_past, begin),
        cmocka_unit_test_setup(test_who_leaves_leaves_nothing_that_hears, begin),
        cmocka_unit_test_setup(test_who_wakes_up_without_its_lead_changes_nothing, begin),
        cmocka_unit_test_setup(test_a_channel_that_nobody_listens_to_says_so_and_changing_that_ends_the_epoch, begin),
        cmocka_unit_test_setup(test_times_that_nobody_can_have_written_do_not_count, begin),
        cmocka_unit_test_setup(test_a_channel_hears_for_so_long_after_its_ping_was_sent, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
