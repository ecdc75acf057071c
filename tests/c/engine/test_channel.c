/* The invalidation channel, whose server is what the test feeds: what is said, what is believed, and when nothing near may be used any more. */
#include "channels.h"
#include "support/watched_alloc.h"

#include <sys/wait.h>
#include <unistd.h>

static void test_nothing_is_kept_before_a_ping_came_back_through_the_subscription(void **state) {
    (void)state;
    world w;
    coffer__near_token token;
    open_world(&w);
    greet(&w);
    ping(&w);
    coffer__near_expect(w.client->copies, COFFER_SLICE("prod:x:k"), w.now_ms, &token);
    assert_false(token.given);
    feed(&w, pong);
    assert_int_equal(fill(&w, &token, "prod:x:k", "value"), COFFER_NOT_STORED);
    keep(&w, "prod:x:k");
    assert_true(has(&w, "prod:x:k"));
    assert_int_equal(atomic_load(&w.coherence->leader), (uint64_t)getpid());
    close_world(&w);
}

static void test_what_the_server_says_changes_goes_and_nothing_else(void **state) {
    (void)state;
    world w;
    coffer__near_token token;
    open_world(&w);
    go_live(&w);
    keep(&w, "prod:x:a");
    keep(&w, "prod:x:b");
    keep(&w, "prod:x:c");
    coffer__near_expect(w.client->copies, COFFER_SLICE("prod:x:d"), w.now_ms, &token);
    assert_int_equal(feed(&w, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*3\r\n$8\r\nprod:x:a\r\n$8\r\nprod:x:b\r\n$8\r\nprod:x:d\r\n"),
                     COFFER_OK);
    assert_false(has(&w, "prod:x:a"));
    assert_false(has(&w, "prod:x:b"));
    assert_true(has(&w, "prod:x:c"));
    assert_int_equal(fill(&w, &token, "prod:x:d", "older"), COFFER_NOT_STORED);
    assert_int_equal(atomic_load(&w.coherence->invalidations), 3);
    close_world(&w);
}

static void test_a_flush_ends_all_copies_and_the_channel_goes_on(void **state) {
    (void)state;
    static const char *const nils[] = {"*-1\r\n", "$-1\r\n"};
    for (size_t i = 0; i < 2; i++) {
        char text[100];
        world w;
        open_world(&w);
        go_live(&w);
        keep(&w, "prod:x:a");
        snprintf(text, sizeof text, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n%s", nils[i]);
        assert_int_equal(feed(&w, text), COFFER_OK);
        assert_false(has(&w, "prod:x:a"));
        assert_true(is_live(&w));
        assert_int_equal(atomic_load(&w.coherence->flushes), 1);
        keep(&w, "prod:x:a");
        assert_true(has(&w, "prod:x:a"));
        close_world(&w);
    }
}

/* An invalidation may come between a PING and its answer. */
static void test_news_may_come_before_the_answer_to_a_ping(void **state) {
    (void)state;
    world w;
    open_world(&w);
    go_live(&w);
    keep(&w, "prod:x:a");
    w.now_ms += COFFER__PING_EVERY_MS;
    ping(&w);
    assert_int_equal(feed(&w, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$8\r\nprod:x:a\r\n"), COFFER_OK);
    w.now_ms += 1500;
    assert_false(has(&w, "prod:x:a"));
    assert_false(is_live(&w)); /* that it says something is no answer */
    assert_int_equal(feed(&w, pong), COFFER_OK);
    assert_true(is_live(&w));
    assert_int_equal(atomic_load(&w.coherence->lag_us), 1500000);
    close_world(&w);
}

static void test_a_channel_hears_for_two_seconds_from_the_sending_of_a_ping(void **state) {
    (void)state;
    world w;
    open_world(&w);
    go_live(&w);
    keep(&w, "prod:x:a");
    w.now_ms += COFFER__PING_EVERY_MS;
    ping(&w);
    w.now_ms += COFFER__PING_SILENT_MS - COFFER__PING_EVERY_MS - 1; /* 2 s less one since the first */
    assert_true(has(&w, "prod:x:a"));
    w.now_ms += 1;
    assert_false(has(&w, "prod:x:a"));
    w.now_ms += COFFER__PING_SILENT_MS - 1001;
    coffer__channels_beat(w.channels, w.now_ms);
    assert_int_equal(coffer_conn_status(w.conn), COFFER_OK);
    w.now_ms += 1;
    coffer__channels_beat(w.channels, w.now_ms);
    assert_int_equal(coffer_conn_status(w.conn), COFFER_TIMEOUT);
    close_world(&w);
}

static void test_what_was_kept_before_a_channel_broke_is_never_seen_again(void **state) {
    (void)state;
    static const char *const ends[] = {
        "", "+what\r\n", "*2\r\n$4\r\nping\r\n$0\r\n\r\n", "-ERR no\r\n", "nonsense\r\n", "*3\r\n$7\r\nmessage\r\n$5\r\nother\r\n$2\r\nhi\r\n"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        world w;
        open_world(&w);
        go_live(&w);
        keep(&w, "prod:x:a");
        w.now_ms += COFFER__PING_EVERY_MS;
        ping(&w);
        if (ends[i][0] == '\0') {
            coffer_conn_fail(w.conn, COFFER_CLOSED, NULL);
        } else {
            assert_int_not_equal(feed(&w, ends[i]), COFFER_OK);
        }
        hang_up(&w);
        assert_false(has(&w, "prod:x:a"));
        assert_false(is_live(&w));
        assert_true(w.standing->connect_at_ms > w.now_ms);
        go_live(&w);
        assert_false(has(&w, "prod:x:a"));
        close_world(&w);
    }
}

static void test_a_server_that_refuses_to_be_tracked_is_left_alone_for_a_minute_and_vouched_for(void **state) {
    (void)state;
    static const char *const words[] = {"-NOPERM this user has no permissions to run the 'client|tracking' command\r\n",
                                        "-ERR Unknown subcommand or wrong number of arguments for 'TRACKING'\r\n"};
    for (size_t i = 0; i < 2; i++) {
        world w;
        open_world(&w);
        connect_one(&w);
        assert_says(&w, "HELLO");
        feed(&w, greeted);
        assert_says(&w, "ID");
        feed(&w, ":1\r\n");
        assert_says(&w, "TRACKING");
        assert_int_not_equal(feed(&w, words[i]), COFFER_OK);
        hang_up(&w);
        w.now_ms += COFFER__LEAD_EVERY_MS;
        coffer__channels_beat(w.channels, w.now_ms);
        assert_true(is_live(&w));
        unsigned number = (unsigned)coffer__client_channel_of(w.client, w.standing->endpoint);
        assert_false(coffer__channel_is_tracked(w.coherence, number));
        keep(&w, "prod:x:a");
        for (uint64_t end_ms = w.now_ms + 50000; w.now_ms < end_ms; w.now_ms += COFFER__LEAD_EVERY_MS) {
            coffer__channels_beat(w.channels, w.now_ms);
            assert_false(coffer__standing_is_due(w.standing, w.now_ms));
            assert_true(has(&w, "prod:x:a"));
        }
        greet(&w); /* somebody has allowed it meanwhile */
        ping(&w);
        feed(&w, pong);
        assert_true(is_live(&w));
        assert_true(coffer__channel_is_tracked(w.coherence, number));
        assert_false(has(&w, "prod:x:a"));
        close_world(&w);
    }
}

static void test_a_server_that_is_only_loading_is_asked_again_soon(void **state) {
    (void)state;
    world w;
    open_world(&w);
    be_refused(&w, "-LOADING Redis is loading the dataset in memory\r\n");
    assert_true(w.standing->connect_at_ms <= w.now_ms + 2000);
    w.now_ms += COFFER__LEAD_EVERY_MS;
    coffer__channels_beat(w.channels, w.now_ms);
    assert_false(is_live(&w));
    close_world(&w);
}

static void test_a_greeting_that_takes_too_long_is_given_up(void **state) {
    (void)state;
    world w;
    open_world(&w);
    connect_one(&w);
    assert_says(&w, "HELLO");
    w.now_ms += 1000;
    coffer__channels_beat(w.channels, w.now_ms);
    assert_int_equal(coffer_conn_status(w.conn), COFFER_TIMEOUT);
    close_world(&w);
}

/* In the child, whose copy of the arena is as its parent's was: what it sees as changed there would be changed for its parent too, were it shared. */
static bool leaves_alone(world *w, bool goes_on) {
    uint64_t lead = atomic_load(&w->coherence->lead);
    if (goes_on) {
        coffer__channels_after_fork(w->channels);
        coffer__channels_beat(w->channels, w->now_ms);
    } else {
        coffer__standing_ended(w->standing, w->now_ms);
    }
    bool stands = goes_on && first(w->channels) != NULL;
    coffer__channels_free(w->channels);
    return !stands && is_live(w) && atomic_load(&w->coherence->lead) == lead;
}

static void test_a_forked_child_leaves_its_parents_lead_alone(void **state) {
    (void)state;
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        world w;
        int status = -1;
        open_world(&w);
        go_live(&w);
        pid_t child = fork();
        if (child == 0) {
            _exit(leaves_alone(&w, goes_on == 1) ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        close_world(&w);
    }
}

/* Goes as far as memory lets it; whatever was said to the server is answered. */
static void live_as_far_as_possible(world *w) {
    static const char *const answers[] = {greeted,    ":1\r\n", "+OK\r\n",
                                          subscribed, pong,     "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$8\r\nprod:x:a\r\n"};
    coffer__channels_beat(w->channels, w->now_ms);
    w->standing = first(w->channels);
    if (coffer_conn_new(&w->conn, w->client, w->standing->endpoint, w->now_ms) != COFFER_OK) {
        coffer__standing_ended(w->standing, w->now_ms);
        return;
    }
    w->standing->link = w;
    coffer__standing_opened(w->standing, w->conn, w->now_ms);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0] && coffer_conn_status(w->conn) == COFFER_OK; i++) {
        coffer_conn_sent(w->conn, coffer_conn_output(w->conn).len);
        feed(w, answers[i]);
        coffer__channels_beat(w->channels, w->now_ms);
    }
    bool failed = coffer_conn_status(w->conn) != COFFER_OK;
    hang_up(w);
    assert_true(failed || atomic_load(&w->coherence->invalidations) == 1);
    assert_false(is_live(w));
}

static void test_without_memory_a_channel_ends_and_nothing_is_lost(void **state) {
    (void)state;
    bool had_enough = false;
    for (size_t allowed = 0; !had_enough; allowed++) {
        world w = {.now_ms = START_MS};
        watched_alloc_begin(WATCHED_NEVER);
        w.client = client_of("redis://scripted?timeout=1s&prefix=prod");
        w.coherence = coffer__near_coherence(w.client->copies);
        watched_alloc_dry_after(allowed);
        if (coffer__channels_new(&w.channels, w.client) == COFFER_OK) {
            live_as_far_as_possible(&w);
        }
        had_enough = watched_alloc.refused_count == 0;
        watched_alloc_dry_after(WATCHED_NEVER);
        close_world(&w);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
        assert_true(allowed < 1000);
    }
}

/* ---- where keys live on several servers ---- */

static const coffer_endpoint *tell_moved(const world *w, const char *text) {
    coffer__redirect redirect;
    const coffer_endpoint asked = {.host = COFFER_SLICE("seed"), .port = 7000};
    assert_true(coffer__redirect_read(coffer_slice_text(text), &redirect));
    return coffer__topology_redirected(w->client->topology, &redirect, &asked, true);
}

static coffer__standing *standing_at(const world *w, const coffer_endpoint *endpoint) {
    coffer__standing *found = NULL;
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        coffer__standing *one = coffer__channels_at(w->channels, i);
        found = one != NULL && one->wanted && one->endpoint == endpoint ? one : found;
    }
    return found;
}

static void test_channels_follow_those_who_hold_keys_and_a_slot_that_moves_ends_the_epoch(void **state) {
    (void)state;
    world w = {.now_ms = START_MS};
    w.client = client_of("redis+cluster://seed:7000?prefix=prod");
    w.coherence = coffer__near_coherence(w.client->copies);
    assert_int_equal(coffer__channels_new(&w.channels, w.client), COFFER_OK);
    coffer__channels_beat(w.channels, w.now_ms);
    assert_int_equal(count(w.channels), 0); /* nobody is known */
    const coffer_endpoint *a = tell_moved(&w, "MOVED 1 a:7001"), *b = tell_moved(&w, "MOVED 2 b:7002");
    coffer__channels_beat(w.channels, w.now_ms);
    assert_non_null(standing_at(&w, a));
    assert_non_null(standing_at(&w, b));
    assert_true(coffer__client_channel_of(w.client, a) >= 0);
    uint32_t epoch = coffer__epoch(w.coherence);
    tell_moved(&w, "MOVED 1 a:7001"); /* nothing new */
    coffer__channels_beat(w.channels, w.now_ms);
    assert_int_equal(coffer__epoch(w.coherence), epoch);
    standing_at(&w, a)->link = &w; /* being connected */
    coffer__standing *leaving = standing_at(&w, a);
    const coffer_endpoint *c = tell_moved(&w, "MOVED 1 c:7003");
    coffer__channels_beat(w.channels, w.now_ms);
    assert_true(coffer__epoch(w.coherence) > epoch);
    assert_non_null(standing_at(&w, c));
    assert_int_equal(coffer__client_channel_of(w.client, a), -1);
    assert_false(leaving->wanted);
    assert_int_equal(count(w.channels), 3); /* until the driver has closed it */
    coffer__standing_ended(leaving, w.now_ms);
    assert_int_equal(count(w.channels), 2);
    close_world(&w);
}

/* It need not lead to know better. */
static void test_whoever_meets_a_moved_slot_ends_the_epoch_for_all(void **state) {
    (void)state;
    world w = {.now_ms = START_MS};
    coffer__channels *other;
    w.client = client_of("redis+cluster://seed:7000?prefix=prod");
    w.coherence = coffer__near_coherence(w.client->copies);
    assert_int_equal(coffer__channels_new(&w.channels, w.client), COFFER_OK);
    assert_int_equal(coffer__channels_new(&other, w.client), COFFER_OK);
    tell_moved(&w, "MOVED 1 a:7001");
    coffer__channels_beat(w.channels, w.now_ms);
    coffer__channels_beat(other, w.now_ms);
    assert_false(coffer__channels_lead(other));
    uint32_t epoch = coffer__epoch(w.coherence);
    tell_moved(&w, "MOVED 1 b:7002");
    coffer__channels_beat(other, w.now_ms);
    assert_int_equal(coffer__epoch(w.coherence), epoch + 1);
    coffer__channels_free(other);
    close_world(&w);
}

static void test_a_client_without_copies_has_no_channels(void **state) {
    (void)state;
    coffer__channels *channels;
    coffer_client *client = client_of("redis://scripted");
    coffer__near_free(client->copies);
    client->copies = NULL;
    assert_int_equal(coffer__channels_new(&channels, client), COFFER_OK);
    assert_null(channels);
    assert_true(coffer__channels_beat(channels, 0) == UINT64_MAX);
    assert_null(coffer__channels_at(channels, 0));
    coffer__channels_free(channels);
    coffer_client_free(client);
}

static void test_a_node_is_its_address_and_nothing_else(void **state) {
    (void)state;
    const coffer_endpoint one = {.host = COFFER_SLICE("cache"), .port = 6379}, same = {.host = COFFER_SLICE("cache"), .port = 6379, .tls = true};
    const coffer_endpoint port = {.host = COFFER_SLICE("cache"), .port = 6380}, host = {.host = COFFER_SLICE("cachf"), .port = 6379};
    const coffer_endpoint path = {.path = COFFER_SLICE("/run/redis.sock")};
    assert_true(coffer__node_of(&one) == coffer__node_of(&same));
    assert_true(coffer__node_of(&one) != coffer__node_of(&port));
    assert_true(coffer__node_of(&one) != coffer__node_of(&host));
    assert_true(coffer__node_of(&path) != 0 && coffer__node_of(&path) >> 48 == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_kept_before_a_ping_came_back_through_the_subscription),
        cmocka_unit_test(test_what_the_server_says_changes_goes_and_nothing_else),
        cmocka_unit_test(test_a_flush_ends_all_copies_and_the_channel_goes_on),
        cmocka_unit_test(test_news_may_come_before_the_answer_to_a_ping),
        cmocka_unit_test(test_a_channel_hears_for_two_seconds_from_the_sending_of_a_ping),
        cmocka_unit_test(test_what_was_kept_before_a_channel_broke_is_never_seen_again),
        cmocka_unit_test(test_a_server_that_refuses_to_be_tracked_is_left_alone_for_a_minute_and_vouched_for),
        cmocka_unit_test(test_a_server_that_is_only_loading_is_asked_again_soon),
        cmocka_unit_test(test_a_greeting_that_takes_too_long_is_given_up),
        cmocka_unit_test(test_a_forked_child_leaves_its_parents_lead_alone),
        cmocka_unit_test(test_without_memory_a_channel_ends_and_nothing_is_lost),
        cmocka_unit_test(test_channels_follow_those_who_hold_keys_and_a_slot_that_moves_ends_the_epoch),
        cmocka_unit_test(test_whoever_meets_a_moved_slot_ends_the_epoch_for_all),
        cmocka_unit_test(test_a_client_without_copies_has_no_channels),
        cmocka_unit_test(test_a_node_is_its_address_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
