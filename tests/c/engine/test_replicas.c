/* coffer__replicas: which server a read goes to, and how the nearest is told. */
#include "engine/replicas.h"

#include "topology/replies.h"
#include <coffer/coffer.h>

#define TWO_REPLICAS "*1\r\n*5\r\n:0\r\n:16383\r\n" NODE("1\r\np", 1) NODE("1\r\na", 2) NODE("1\r\nb", 3)

typedef struct world {
    coffer_client *client;
    const coffer_endpoint *primary;
    uint64_t now_ms;
} world;

static world open_world(const char *parameters, const char *slots) {
    world w = {.now_ms = 100000};
    char url[200];
    coffer_error error;
    coffer_options *options = coffer_options_new();
    snprintf(url, sizeof url, "redis+cluster://p:1?%s", parameters);
    assert_int_equal(coffer_options_set_url(options, coffer_slice_text(url), &error), COFFER_OK);
    assert_int_equal(coffer_client_new(&w.client, options, (coffer_clock){.now_ms = w.now_ms}, &error), COFFER_OK);
    coffer_options_free(options);
    coffer__refresh refresh;
    coffer__reply reply = reply_of(slots);
    assert_true(coffer__topology_begin(w.client->topology, w.now_ms, &refresh));
    assert_non_null(coffer__topology_ask(w.client->topology, &refresh));
    assert_int_equal(coffer__topology_learn(w.client->topology, &refresh, &reply), COFFER_OK);
    assert_int_equal(coffer__topology_settle(w.client->topology, &refresh), COFFER_OK);
    coffer__topology_end(w.client->topology, COFFER_OK, "", w.now_ms);
    coffer__reply_free(&reply);
    w.primary = coffer__topology_endpoint(w.client->topology, COFFER_SLICE("k"), NULL);
    assert_non_null(w.primary);
    return w;
}

static coffer__server *server_of(world *w, const char *host) {
    const coffer_endpoint *endpoint = w->primary;
    for (size_t i = 0; endpoint != NULL && !coffer_slice_equal(endpoint->host, coffer_slice_text(host)); i++) {
        endpoint = coffer__endpoint_replica(w->primary, i);
    }
    assert_non_null(endpoint);
    return coffer__watch_server(w->client->watch, endpoint);
}

/* Where a read goes, which then takes so long at each server by its host (p, a, b); 0: it is not answered. */
static char read_once(world *w, const uint64_t took_ms[3]) {
    coffer_call call;
    memset(&call, 0, sizeof call);
    coffer__call_init(&call, &coffer__command_get);
    coffer__call_argument(&call, COFFER_SLICE("k"));
    call.anywhere = true;
    call.endpoint = coffer__replicas_choose(&call, w->client, w->primary, w->now_ms);
    char host = call.endpoint == NULL ? '-' : call.endpoint->host.data[0];
    if (took_ms != NULL && call.endpoint != NULL) {
        call.server = coffer__watch_server(w->client->watch, call.endpoint);
        assert_true(coffer__breaker_admit(call.server->breaker, w->now_ms, UINT64_MAX, &call.pass));
        w->now_ms += took_ms[host == 'p' ? 0 : host - 'a' + 1];
        coffer__replicas_measure(&call, w->now_ms);
        coffer__breaker_give_back(&call.pass, w->now_ms);
    }
    coffer__call_clear(&call);
    return host;
}

static void count_reads(world *w, unsigned reads, const uint64_t took_ms[3], unsigned counts[3]) {
    memset(counts, 0, 3 * sizeof *counts);
    for (unsigned i = 0; i < reads; i++) {
        char host = read_once(w, took_ms);
        assert_true(host == 'p' || host == 'a' || host == 'b');
        counts[host == 'p' ? 0 : host - 'a' + 1]++;
    }
}

static void break_server(world *w, const char *host) {
    coffer__pass pass = {0};
    for (unsigned i = 0; i < 100 && coffer__breaker_would_admit(server_of(w, host)->breaker, w->now_ms); i++) { /* it may be open for no time */
        assert_true(coffer__breaker_admit(server_of(w, host)->breaker, w->now_ms, UINT64_MAX, &pass));
        coffer__breaker_record(&pass, COFFER_CONNECT, w->now_ms);
    }
    assert_false(coffer__breaker_would_admit(server_of(w, host)->breaker, w->now_ms));
}

static void close_world(world *w) {
    coffer_client_free(w->client);
}

static void test_replicas_take_turns_and_one_that_is_away_takes_none(void **state) {
    (void)state;
    world w = open_world("read_from=prefer_replica", TWO_REPLICAS);
    unsigned counts[3];
    count_reads(&w, 100, NULL, counts);
    assert_true(counts[0] == 0 && counts[1] == 50 && counts[2] == 50);
    break_server(&w, "a");
    count_reads(&w, 100, NULL, counts);
    assert_true(counts[0] == 0 && counts[1] == 0 && counts[2] == 100);
    break_server(&w, "b");
    count_reads(&w, 100, NULL, counts);
    assert_int_equal(counts[0], 100);
    w.now_ms += 3000; /* they may be tried */
    count_reads(&w, 100, NULL, counts);
    assert_int_equal(counts[0], 0);
    close_world(&w);
}

static void test_a_server_that_does_not_allow_it_is_not_read_from(void **state) {
    (void)state;
    world w = open_world("read_from=prefer_replica", TWO_REPLICAS);
    unsigned counts[3];
    server_of(&w, "b")->unreadable = true;
    count_reads(&w, 10, NULL, counts);
    assert_int_equal(counts[1], 10);
    close_world(&w);
}

static void test_those_of_our_zone_come_first(void **state) {
    (void)state;
    world w = open_world("read_from=prefer_replica&availability_zone=west", TWO_REPLICAS);
    coffer_slice west = COFFER_SLICE("west");
    unsigned counts[3];
    coffer__watch_learn_zone(w.client->watch, server_of(&w, "b")->endpoint, COFFER_SLICE("east"), west);
    count_reads(&w, 10, NULL, counts);
    assert_int_equal(counts[1], 10); /* of whom nothing is known yet */
    coffer__watch_learn_zone(w.client->watch, server_of(&w, "a")->endpoint, coffer_slice_of(NULL, 0), west);
    count_reads(&w, 10, NULL, counts);
    assert_true(counts[1] == 5 && counts[2] == 5); /* another zone, or none said */
    coffer__watch_learn_zone(w.client->watch, server_of(&w, "b")->endpoint, west, west);
    count_reads(&w, 10, NULL, counts);
    assert_int_equal(counts[2], 10);
    break_server(&w, "b");
    count_reads(&w, 10, NULL, counts);
    assert_int_equal(counts[1], 10);
    close_world(&w);
}

static void test_the_nearest_are_found_left_and_found_again(void **state) {
    (void)state;
    world w = open_world("read_from=nearest", TWO_REPLICAS);
    unsigned counts[3];
    count_reads(&w, 400, (const uint64_t[3]){20, 2, 2}, counts);
    assert_in_range(counts[0], 1, 2); /* once, to know it */
    assert_true(counts[1] > 150 && counts[2] > 150);
    count_reads(&w, 400, (const uint64_t[3]){20, 2, 9}, counts); /* b becomes slow */
    assert_true(counts[1] > 380 && counts[2] < 20);
    w.now_ms += 5000;
    count_reads(&w, 400, (const uint64_t[3]){20, 2, 9}, counts);
    assert_in_range(counts[0] + counts[2], 2, 4); /* each is asked again, once */
    unsigned rounds = 0;
    for (counts[2] = 0; counts[2] < 150 && rounds < 20; rounds++) { /* b is fast again */
        w.now_ms += 5000;
        count_reads(&w, 400, (const uint64_t[3]){20, 2, 2}, counts);
    }
    assert_in_range(rounds, 1, 12); /* a minute */
    break_server(&w, "a");
    break_server(&w, "b");
    count_reads(&w, 10, NULL, counts);
    assert_int_equal(counts[0], 10);
    close_world(&w);
}

/* The clock of the core has whole milliseconds; what takes a part of one is one now and then. */
static void test_parts_of_a_millisecond_even_out(void **state) {
    (void)state;
    world w = open_world("read_from=nearest", TWO_REPLICAS);
    coffer__server *a = server_of(&w, "a");
    coffer__replicas_greeted(a, 0, w.now_ms);
    coffer_call call;
    memset(&call, 0, sizeof call);
    uint64_t at_us = w.now_ms * 1000;
    for (unsigned i = 0; i < 4000; i++, at_us += 431) { /* each takes 300 us */
        call.server = a;
        assert_true(coffer__breaker_admit(a->breaker, at_us / 1000, UINT64_MAX, &call.pass));
        coffer__replicas_measure(&call, (at_us + 300) / 1000);
        coffer__breaker_give_back(&call.pass, at_us / 1000);
        assert_true(i < 100 || (a->smoothed_us > 50 && a->smoothed_us < 650));
    }
    close_world(&w);
}

static void test_the_making_of_a_connection_is_no_round_trip(void **state) {
    (void)state;
    world w = open_world("read_from=nearest", TWO_REPLICAS);
    coffer__server *a = server_of(&w, "a");
    coffer_call call;
    memset(&call, 0, sizeof call);
    call.server = a;
    assert_true(coffer__breaker_admit(a->breaker, w.now_ms, UINT64_MAX, &call.pass));
    coffer__replicas_greeted(a, 3, w.now_ms + 80);
    coffer__replicas_measure(&call, w.now_ms + 90);
    assert_int_equal(a->smoothed_us, 3000);
    coffer__breaker_give_back(&call.pass, w.now_ms);
    close_world(&w);
}

static void test_without_replicas(void **state) {
    (void)state;
    const char *alone = "*1\r\n*3\r\n:0\r\n:16383\r\n" NODE("1\r\np", 1);
    world w = open_world("read_from=prefer_replica", alone);
    assert_int_equal(read_once(&w, NULL), 'p');
    close_world(&w);
    w = open_world("read_from=nearest", alone);
    assert_int_equal(read_once(&w, NULL), 'p');
    close_world(&w);
    w = open_world("read_from=replica", alone);
    assert_int_equal(read_once(&w, NULL), '-');
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replicas_take_turns_and_one_that_is_away_takes_none),
        cmocka_unit_test(test_a_server_that_does_not_allow_it_is_not_read_from),
        cmocka_unit_test(test_those_of_our_zone_come_first),
        cmocka_unit_test(test_the_nearest_are_found_left_and_found_again),
        cmocka_unit_test(test_parts_of_a_millisecond_even_out),
        cmocka_unit_test(test_the_making_of_a_connection_is_no_round_trip),
        cmocka_unit_test(test_without_replicas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
