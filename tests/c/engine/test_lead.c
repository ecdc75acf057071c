/* Who hears for all that share an arena: one at a time, and another at once when that one leaves. The server is what the test feeds. */
#include "channels.h"

/* Two drivers at one arena. */
static void test_another_leads_at_once_when_one_leaves_and_after_a_while_when_it_is_stopped(void **state) {
    (void)state;
    world w;
    coffer__channels *other, *third;
    open_world(&w);
    assert_int_equal(coffer__channels_new(&other, w.client), COFFER_OK);
    assert_int_equal(coffer__channels_new(&third, w.client), COFFER_OK);
    go_live(&w);
    keep(&w, "prod:x:a");
    coffer__channels_beat(other, w.now_ms);
    assert_null(first(other));
    w.now_ms += COFFER__LEAD_MS + 1; /* the first is frozen */
    assert_false(has(&w, "prod:x:a"));
    coffer__channels_beat(other, w.now_ms);
    assert_non_null(first(other));
    feed(&w, pong); /* it wakes up: nothing that it says counts */
    assert_false(is_live(&w));
    coffer__channels_beat(w.channels, w.now_ms);
    assert_false(w.standing->wanted);
    coffer__channels_free(other);
    coffer__channels_beat(third, w.now_ms);
    assert_non_null(first(third));
    coffer__channels_free(third);
    close_world(&w);
}

/* Its place stays until its driver has closed what stood there. */
static void step_back(world *w) {
    coffer__channels_step_back(w->channels);
    assert_false(w->standing->wanted);
}

static void end_channels(world *w) {
    hang_up(w);
    coffer__channels_free(w->channels);
    w->channels = NULL;
}

/* A driver that ends without a word of what stood. */
static void end_silently(world *w) {
    coffer_conn_free(w->conn);
    w->conn = NULL;
    coffer__channels_free(w->channels);
    w->channels = NULL;
}

static void test_however_one_leaves_nothing_is_trusted_and_another_leads_at_once(void **state) {
    (void)state;
    static void (*const ways[])(world *) = {step_back, end_channels, end_silently};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        world w;
        coffer__channels *other;
        coffer__near_token token;
        open_world(&w);
        assert_int_equal(coffer__channels_new(&other, w.client), COFFER_OK);
        go_live(&w);
        keep(&w, "prod:x:a");
        coffer__channels_beat(other, w.now_ms); /* it is not its time again for half a second */
        assert_false(coffer__channels_should_look(other, w.now_ms));
        ways[i](&w);
        assert_false(is_live(&w));
        assert_false(has(&w, "prod:x:a"));
        coffer__near_expect(w.client->copies, COFFER_SLICE("prod:x:a"), w.now_ms, &token);
        assert_false(token.given); /* and nothing is kept */
        assert_true(coffer__channels_should_look(other, w.now_ms));
        coffer__channels_beat(other, w.now_ms);
        assert_true(coffer__channels_lead(other));
        assert_false(coffer__channels_should_look(other, w.now_ms));
        coffer__channels_free(other);
        close_world(&w);
    }
}

static void test_what_was_vouched_for_ends_with_whoever_did_so(void **state) {
    (void)state;
    world w;
    open_world(&w);
    be_refused(&w, "-NOPERM no\r\n");
    w.now_ms += COFFER__LEAD_EVERY_MS;
    coffer__channels_beat(w.channels, w.now_ms);
    assert_true(is_live(&w));
    coffer__channels_step_back(w.channels);
    assert_false(is_live(&w));
    close_world(&w);
}

/* It goes on with its last calls, and tells all of a server that is another one; but it never leads again. */
static void test_who_has_stepped_back_never_leads_again(void **state) {
    (void)state;
    world w;
    open_world(&w);
    go_live(&w);
    w.now_ms += COFFER__PING_EVERY_MS;
    ping(&w);
    step_back(&w);
    feed(&w, pong); /* what was under way */
    assert_false(is_live(&w));
    hang_up(&w);
    for (uint64_t end_ms = w.now_ms + 10000; w.now_ms < end_ms; w.now_ms += 100) {
        assert_false(coffer__channels_should_look(w.channels, w.now_ms));
        assert_true(coffer__channels_beat(w.channels, w.now_ms) <= w.now_ms + COFFER__LEAD_EVERY_MS);
        assert_false(coffer__channels_lead(w.channels));
        assert_int_equal(count(w.channels), 0);
    }
    close_world(&w);
}

static void test_who_leads_and_hears_nobody_lets_another_one_try(void **state) {
    (void)state;
    world w;
    coffer__channels *other;
    open_world(&w);
    assert_int_equal(coffer__channels_new(&other, w.client), COFFER_OK);
    for (uint64_t end_ms = w.now_ms + 10000; first(other) == NULL; w.now_ms += COFFER__LEAD_EVERY_MS) {
        bool led = coffer__channels_lead(w.channels);
        coffer__channels_beat(w.channels, w.now_ms);
        assert_false(led && !coffer__channels_lead(w.channels) && coffer__channels_should_look(w.channels, w.now_ms));
        coffer__channels_beat(other, w.now_ms);
        assert_true(w.now_ms < end_ms);
    }
    coffer__channels_free(other);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_leads_at_once_when_one_leaves_and_after_a_while_when_it_is_stopped),
        cmocka_unit_test(test_however_one_leaves_nothing_is_trusted_and_another_leads_at_once),
        cmocka_unit_test(test_what_was_vouched_for_ends_with_whoever_did_so),
        cmocka_unit_test(test_who_has_stepped_back_never_leads_again),
        cmocka_unit_test(test_who_leads_and_hears_nobody_lets_another_one_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
