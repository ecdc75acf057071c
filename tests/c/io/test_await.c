/* Several callers on one link: whose reply is whose, who reads, and what becomes of a link on which nothing moves. */
#include "gate.h"
#include "with_server.h"

#include "support/redis_server.h"

enum { MANY = 16 };

typedef struct caller {
    pthread_t thread;
    coffer_cache *cache;
    const char *key;
    uint64_t timeout_ms;
    coffer_status status;
    char value[32];
} caller;

static void *call(void *argument) {
    caller *own = (caller *)argument;
    coffer_read_options options = COFFER_READ_OPTIONS_INIT;
    coffer_value value;
    options.timeout_ms = own->timeout_ms;
    own->status = coffer_get(own->cache, coffer_slice_text(own->key), &options, &value, NULL);
    if (own->status == COFFER_OK && value.data.len < sizeof own->value) {
        memcpy(own->value, value.data.data, value.data.len);
    }
    coffer_value_clear(&value);
    return NULL;
}

static void begin(caller *own, coffer_cache *cache, const char *key, uint64_t timeout_ms) {
    *own = (caller){.cache = cache, .key = key, .timeout_ms = timeout_ms};
    pthread_create(&own->thread, NULL, call, own);
}

static void end(caller *own, coffer_status status, const char *value) {
    pthread_join(own->thread, NULL);
    if (own->status != status || strcmp(own->value, value) != 0) {
        fail_msg("%s: %s \"%s\", not %s \"%s\"", own->key, coffer_status_name(own->status), own->value, coffer_status_name(status), value);
    }
}

static bool nil_at_once(int fd, const char *command, void *data) {
    (void)data;
    return fake_greets(fd, command) || fake_says(fd, "$-1\r\n");
}

/* One link is opened first, so that all that follow find it. */
static coffer_cache *open_warm(fake_server *fake, gate *own, const char *more) {
    coffer_cache *cache = open_at(fake_server_port(fake), more);
    if (own != NULL) {
        gate_open(own, 1);
    }
    assert_get_ends(cache, COFFER_MISS, 0, 1000);
    return cache;
}

static void test_requests_do_not_wait_for_the_replies_of_others(void **state) {
    (void)state;
    gate own;
    gate_init(&own);
    fake_server *fake = fake_server_start(gated, &own);
    coffer_cache *cache = open_warm(fake, &own, "&timeout=10s&raw=true&pool_max=1");
    caller callers[MANY];
    for (size_t i = 0; i < MANY; i++) {
        begin(&callers[i], cache, "k", 0);
    }
    gate_await(&own, 2); /* the fake server reads one command at a time: the others are in its socket, or on their way */
    gate_open(&own, MANY);
    for (size_t i = 0; i < MANY; i++) {
        end(&callers[i], COFFER_MISS, "");
    }
    assert_int_equal(stats_of(cache).connections_made, 1);
    assert_int_equal(stats_of(cache).connections_in_use, 0);
    coffer_close(cache);
    fake_server_stop(fake);
}

/* Each reply names its turn: the first is held back until the test says so. */
static bool in_turn(int fd, const char *command, void *data) {
    gate *own = (gate *)data;
    char text[32];
    if (fake_greets(fd, command)) {
        return true;
    }
    unsigned turn = gate_pass(own);
    snprintf(text, sizeof text, "$1\r\n%u\r\n", turn % 10);
    return fake_says(fd, text);
}

static void test_the_reply_of_who_gave_up_is_given_to_nobody(void **state) {
    (void)state;
    gate own;
    gate_init(&own);
    fake_server *fake = fake_server_start(in_turn, &own);
    coffer_cache *cache = open_at(fake_server_port(fake), "&timeout=10s&raw=true&pool_max=1");
    caller hasty, leader, patient;
    begin(&hasty, cache, "hasty", 100); /* leads, and leaves */
    gate_await(&own, 1);
    begin(&leader, cache, "leader", 0);
    end(&hasty, COFFER_TIMEOUT, "");
    begin(&patient, cache, "patient", 0);
    gate_open(&own, 1); /* the hasty one's */
    gate_await(&own, 2);
    gate_open(&own, 1);
    gate_await(&own, 3);
    gate_open(&own, 1);
    pthread_join(leader.thread, NULL);
    pthread_join(patient.thread, NULL);
    assert_int_equal(leader.status, COFFER_OK);
    assert_int_equal(patient.status, COFFER_OK);
    assert_true(strcmp(leader.value, "0") != 0 && strcmp(patient.value, "0") != 0); /* turn 0 was the hasty one's */
    assert_true(strcmp(leader.value, patient.value) != 0);
    assert_int_equal(stats_of(cache).connections_made, 1);
    coffer_close(cache);
    fake_server_stop(fake);
}

static void test_a_link_on_which_nothing_moves_fails_for_all_at_once(void **state) {
    (void)state;
    gate own;
    gate_init(&own);
    fake_server *fake = fake_server_start(gated, &own);
    coffer_cache *cache = open_warm(fake, &own, "&timeout=300ms&raw=true&pool_max=1");
    caller callers[4];
    for (size_t i = 0; i < 4; i++) {
        begin(&callers[i], cache, "k", i == 0 ? 300 : 5000);
        gate_await(&own, 2);
    }
    uint64_t began = real_ms();
    for (size_t i = 0; i < 4; i++) {
        end(&callers[i], COFFER_TIMEOUT, "");
    }
    assert_in_range(real_ms() - began, 0, 2000); /* not the 5 s that the others would have waited */
    assert_int_equal(stats_of(cache).connections_open, 0);
    gate_open(&own, 100);
    assert_get_ends(cache, COFFER_MISS, 0, 1000); /* on another link */
    assert_int_equal(stats_of(cache).connections_made, 2);
    coffer_close(cache);
    fake_server_stop(fake);
}

static void test_a_burst_opens_no_more_links_than_it_needs(void **state) {
    enum { BURST = 64, APART = 8 };
    (void)state;
    fake_server *fake = fake_server_start(nil_at_once, NULL);
    coffer_cache *cache = open_at(fake_server_port(fake), "&timeout=10s");
    caller callers[BURST];
    for (size_t i = 0; i < BURST; i++) {
        begin(&callers[i], cache, "k", 0);
    }
    for (size_t i = 0; i < BURST; i++) {
        end(&callers[i], COFFER_MISS, "");
    }
    assert_in_range(stats_of(cache).connections_made, 1, APART); /* 64 callers of 16 a link fit into four, and the first eight had their own */
    coffer_close(cache);
    fake_server_stop(fake);
}

static void test_few_callers_have_a_link_each(void **state) {
    (void)state;
    gate own;
    gate_init(&own);
    fake_server *fake = fake_server_start(gated, &own);
    coffer_cache *cache = open_at(fake_server_port(fake), "&timeout=10s&raw=true");
    caller callers[4];
    for (size_t i = 0; i < 4; i++) {
        begin(&callers[i], cache, "k", 0);
        gate_await(&own, (unsigned)i + 1); /* the server has read it though it answered none */
    }
    assert_int_equal(stats_of(cache).connections_in_use, 4);
    gate_open(&own, 4);
    for (size_t i = 0; i < 4; i++) {
        end(&callers[i], COFFER_MISS, "");
    }
    coffer_close(cache);
    fake_server_stop(fake);
}

/* Four replies come in one piece, later ones alone. */
static bool four_together(int fd, const char *command, void *data) {
    unsigned *asked = (unsigned *)data;
    if (fake_greets(fd, command)) {
        return true;
    }
    ++*asked;
    return *asked < 4 || fake_says(fd, *asked == 4 ? "$-1\r\n$-1\r\n$-1\r\n$-1\r\n" : "$-1\r\n");
}

static void test_who_asks_again_does_not_wait_for_those_who_do_not(void **state) {
    unsigned asked = 0;
    (void)state;
    fake_server *fake = fake_server_start(four_together, &asked);
    coffer_cache *cache = open_at(fake_server_port(fake), "&timeout=10s&raw=true&pool_max=1");
    caller callers[4];
    for (size_t i = 0; i < 4; i++) {
        begin(&callers[i], cache, "k", 0);
    }
    for (size_t i = 0; i < 4; i++) {
        end(&callers[i], COFFER_MISS, "");
    }
    assert_get_ends(cache, COFFER_MISS, 0, 1000); /* three others were answered with it, and have gone */
    coffer_close(cache);
    fake_server_stop(fake);
}

static void test_an_op_between_two_slices_does_not_keep_others_from_reading(void **state) {
    (void)state;
    gate own;
    gate_init(&own);
    fake_server *fake = fake_server_start(in_turn, &own);
    coffer_cache *cache = open_at(fake_server_port(fake), "&timeout=10s&raw=true&pool_max=1");
    coffer_op *op = NULL;
    caller other;
    assert_int_equal(coffer_op_get(&op, coffer_cache_namespace(cache), COFFER_SLICE("mine"), NULL), COFFER_OK);
    assert_int_equal(coffer_cache_run(cache, op, 20), COFFER_WANT_REPLY); /* it has led, and is elsewhere now */
    begin(&other, cache, "other", 0);
    gate_open(&own, 2);
    end(&other, COFFER_OK, "1");
    assert_int_equal(coffer_cache_run(cache, op, 1000), COFFER_WANT_DONE);
    assert_true(coffer_slice_equal(coffer_op_value(op)->data, COFFER_SLICE("0")));
    coffer_cache_drop(cache, op);
    coffer_close(cache);
    fake_server_stop(fake);
}

/* ---- with a real server ---- */

enum { HAMMERS = 12, ROUNDS = 400 };

typedef struct hammer {
    pthread_t thread;
    coffer_cache *cache;
    unsigned number, answered, given_up;
} hammer;

/* Values name their keys; one in eight calls has next to no time. */
static void *strike(void *argument) {
    hammer *own = (hammer *)argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char text[32];
        coffer_value value;
        coffer_read_options options = COFFER_READ_OPTIONS_INIT;
        snprintf(text, sizeof text, "key-%u-%u", own->number, i % 50);
        coffer_slice key = coffer_slice_text(text);
        options.timeout_ms = i % 8 == 0 ? 1 : 0;
        if (i < 50) {
            coffer_set(own->cache, key, key, NULL, NULL);
        }
        coffer_status status = coffer_get(own->cache, key, &options, &value, NULL);
        own->answered += status == COFFER_OK && coffer_slice_equal(value.data, key);
        own->given_up += status == COFFER_TIMEOUT || status == COFFER_NOT_SENT || status == COFFER_POOL_TIMEOUT;
        coffer_value_clear(&value);
    }
    return NULL;
}

static void test_everybody_gets_the_value_of_its_own_key(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "&pool_max=2&pipeline_depth=8&timeout=20s&acquire_timeout=20s");
    hammer hammers[HAMMERS];
    for (unsigned i = 0; i < HAMMERS; i++) {
        hammers[i] = (hammer){.cache = cache, .number = i};
        pthread_create(&hammers[i].thread, NULL, strike, &hammers[i]);
    }
    for (unsigned i = 0; i < HAMMERS; i++) {
        pthread_join(hammers[i].thread, NULL);
        assert_int_equal(hammers[i].answered + hammers[i].given_up, ROUNDS);
        assert_true(hammers[i].given_up <= ROUNDS / 8);
    }
    assert_int_equal(stats_of(cache).connections_in_use, 0);
    coffer_close(cache);
}

/* A value that does not fit the kernel's buffers, while others read on the same link. */
static void *store_large(void *argument) {
    enum { BYTES = 8 << 20 };
    char *bytes = (char *)calloc(1, BYTES);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(coffer_set((coffer_cache *)argument, COFFER_SLICE("large"), coffer_slice_of(bytes, BYTES), NULL, NULL), COFFER_OK);
    }
    free(bytes);
    return NULL;
}

static void test_a_large_write_and_small_reads_share_a_link(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "&pool_max=1&timeout=20s&raw=true");
    pthread_t writer;
    hammer reader = {.cache = cache, .number = 99};
    pthread_create(&writer, NULL, store_large, cache);
    pthread_create(&reader.thread, NULL, strike, &reader);
    pthread_join(writer, NULL);
    pthread_join(reader.thread, NULL);
    assert_int_equal(reader.answered + reader.given_up, ROUNDS);
    coffer_close(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_do_not_wait_for_the_replies_of_others),
        cmocka_unit_test(test_the_reply_of_who_gave_up_is_given_to_nobody),
        cmocka_unit_test(test_a_link_on_which_nothing_moves_fails_for_all_at_once),
        cmocka_unit_test(test_a_burst_opens_no_more_links_than_it_needs),
        cmocka_unit_test(test_few_callers_have_a_link_each),
        cmocka_unit_test(test_who_asks_again_does_not_wait_for_those_who_do_not),
        cmocka_unit_test(test_an_op_between_two_slices_does_not_keep_others_from_reading),
        cmocka_unit_test(test_everybody_gets_the_value_of_its_own_key),
        cmocka_unit_test(test_a_large_write_and_small_reads_share_a_link),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
