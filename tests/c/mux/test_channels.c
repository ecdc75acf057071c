/* Invalidation channels over a mux: one of several leads, and what is broken is made anew. */
#include "mux/helpers.h"

#include "engine/client.h"
#include "near/copies.h"

#include <unistd.h>

static const char subscribed[] = "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n";
static const char pong[] = "*2\r\n$4\r\npong\r\n$0\r\n\r\n";

static void open_near(world *w) {
    open_world(w, "redis://scripted?raw=true&timeout=1s&on_outage=error&breaker=false&near=process&near_bytes=1MiB&prefix=test&namespace=x");
}

static bool is_live(const world *w) {
    return coffer__channels_any_live(coffer__near_coherence(w->client->copies), w->now_us / MS);
}

/* The mux has something to do from its first use on; nothing is on the wire yet. */
static void use(world *w) {
    coffer_task *task = get(w, "k");
    coffer_mux_tick(w->mux, w->now_us);
    obey(w);
    assert_int_equal(w->connect_count, 2); /* for the call, and for what changes */
    uint32_t link = w->connecting[0];
    coffer_mux_opened(w->mux, link, nobody, nobody, w->now_us);
    obey(w);
    feed(w, link, greeted);
    obey(w);
    feed(w, link, "$-1\r\n");
    assert_ended(w, task, COFFER_MISS);
}

static void say(world *w, uint32_t link, const char *text) {
    w->sent_bytes = 0;
    feed(w, link, text);
    obey(w);
}

static uint32_t go_live(world *w) {
    uint32_t link = w->connecting[w->connect_count - 1];
    coffer_mux_opened(w->mux, link, nobody, nobody, w->now_us);
    obey(w);
    say(w, link, greeted);
    assert_non_null(strstr(w->sent, "ID"));
    say(w, link, ":5\r\n");
    assert_non_null(strstr(w->sent, "$5\r\ntest:"));
    say(w, link, "+OK\r\n");
    assert_non_null(strstr(w->sent, "SUBSCRIBE"));
    say(w, link, subscribed);
    assert_non_null(strstr(w->sent, "PING")); /* at once */
    say(w, link, pong);
    assert_true(is_live(w));
    return link;
}

static void test_it_pings_each_second_as_long_as_it_is_ticked_when_it_wants_to_be(void **state) {
    (void)state;
    world w;
    open_near(&w);
    assert_true(coffer_mux_due_us(w.mux) == UINT64_MAX); /* unused, it needs nobody */
    use(&w);
    uint32_t link = go_live(&w);
    for (int i = 0; i < 20; i++) {
        assert_true(coffer_mux_due_us(w.mux) <= w.now_us + 1000 * MS);
        w.now_us = coffer_mux_due_us(w.mux);
        w.sent_bytes = w.write_count = 0;
        coffer_mux_tick(w.mux, w.now_us);
        obey(&w);
        if (w.write_count > 0) {
            assert_int_equal(w.written, link);
            w.now_us += 5 * MS;
            feed(&w, link, pong);
        }
        assert_true(is_live(&w));
    }
    assert_int_equal(w.close_count, 0);
    close_world(&w);
}

static void test_a_channel_that_ends_is_made_anew_and_no_call_goes_over_it(void **state) {
    (void)state;
    world w;
    open_near(&w);
    use(&w);
    uint32_t link = go_live(&w);
    assert_false(coffer_mux_link_idle(w.mux, link));
    coffer_task *task = get(&w, "other");
    w.sent_bytes = 0;
    obey(&w);
    assert_int_equal(w.written, w.connecting[0]);
    feed(&w, w.connecting[0], "$-1\r\n:-2\r\n"); /* and how long it lives, for the copy */
    assert_ended(&w, task, COFFER_MISS);
    assert_true(coffer_mux_lost(w.mux, link, COFFER_CLOSED, "gone", w.now_us));
    assert_false(is_live(&w));
    for (uint64_t end_us = w.now_us + 5000 * MS; w.connect_count == 2; move(&w, 10)) {
        assert_true(w.now_us < end_us);
    }
    go_live(&w);
    close_world(&w);
}

static void test_a_channel_that_is_silent_is_closed(void **state) {
    (void)state;
    world w;
    open_near(&w);
    use(&w);
    uint32_t link = go_live(&w);
    for (uint64_t end_us = w.now_us + 5000 * MS; w.close_count == 0; move(&w, 100)) {
        assert_true(w.now_us < end_us);
    }
    assert_int_equal(w.closed[0], link);
    assert_false(is_live(&w));
    close_world(&w);
}

static void test_one_of_two_leads_and_the_other_when_that_is_closed(void **state) {
    (void)state;
    world w;
    coffer_mux *first, *second;
    open_near(&w);
    first = w.mux;
    use(&w);
    go_live(&w);
    assert_int_equal(coffer_mux_new(&second, w.client, NULL, NULL), COFFER_OK);
    w.mux = second;
    size_t before = w.connect_count;
    coffer_task_free(get(&w, "k"));
    for (int i = 0; i < 3; i++) {
        move(&w, 500);
    }
    assert_int_equal(w.connect_count, before + 1); /* for its call alone */
    w.mux = first;
    coffer_mux_close(first);
    obey(&w);
    coffer_mux_free(first);
    w.mux = second;
    assert_false(is_live(&w));
    before = w.connect_count;
    move(&w, 500);
    assert_int_equal(w.connect_count, before + 1);
    go_live(&w);
    close_world(&w);
}

static void test_who_steps_back_goes_on_with_its_calls_and_another_leads_from_its_next_call_on(void **state) {
    (void)state;
    world w;
    coffer_mux *first, *second;
    open_near(&w);
    first = w.mux;
    use(&w);
    assert_int_equal(coffer_mux_new(&second, w.client, NULL, NULL), COFFER_OK);
    w.mux = first;
    uint32_t link = go_live(&w);
    w.mux = second;
    coffer_task_free(get(&w, "k"));
    move(&w, 1); /* it has seen that another one leads */
    w.mux = first;
    coffer_mux_step_back(first, w.now_us);
    assert_false(is_live(&w));
    obey(&w);
    assert_int_equal(w.close_count, 1);
    assert_int_equal(w.closed[0], link);
    w.sent_bytes = 0;
    coffer_task *task = get(&w, "last");
    obey(&w);
    assert_int_equal(w.written, w.connecting[0]);
    feed(&w, w.connecting[0], "$-1\r\n");
    assert_ended(&w, task, COFFER_MISS);
    w.mux = second;
    size_t before = w.connect_count;
    coffer_task_free(get(&w, "k")); /* no time has passed */
    obey(&w);
    assert_int_equal(w.connect_count, before + 1);
    go_live(&w);
    w.mux = first;
    coffer_mux_step_back(first, w.now_us); /* twice is harmless */
    for (int i = 0; i < 10; i++) {
        move(&w, 1000); /* nor does it come back when nobody leads any more */
    }
    assert_int_equal(w.connect_count, before + 1);
    close_world(&w);
    coffer_mux_close(second);
    coffer_mux_free(second);
}

static void test_where_no_copies_are_kept_there_is_no_channel(void **state) {
    (void)state;
    world w;
    open_raw(&w);
    coffer_task *task = get(&w, "k");
    connect_last(&w);
    coffer_mux_step_back(w.mux, w.now_us); /* which is nothing there */
    for (int i = 0; i < 5; i++) {
        move(&w, 100);
    }
    assert_int_equal(w.connect_count, 1);
    coffer_task_free(task);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_pings_each_second_as_long_as_it_is_ticked_when_it_wants_to_be),
        cmocka_unit_test(test_a_channel_that_ends_is_made_anew_and_no_call_goes_over_it),
        cmocka_unit_test(test_a_channel_that_is_silent_is_closed),
        cmocka_unit_test(test_one_of_two_leads_and_the_other_when_that_is_closed),
        cmocka_unit_test(test_who_steps_back_goes_on_with_its_calls_and_another_leads_from_its_next_call_on),
        cmocka_unit_test(test_where_no_copies_are_kept_there_is_no_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
