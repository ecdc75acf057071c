/* What an outage is and what it is not, what operations come to, and how it is told. */
#include "things.h"

#include <stdio.h>

#define AWAY "redis://cache.internal:7000?breaker_consecutive_failures=3"

static const coffer_status never_hidden[] = {COFFER_PROTO, COFFER_LIMIT,       COFFER_TLS,    COFFER_CERTIFICATE, COFFER_CREDENTIALS,
                                             COFFER_AUTH,  COFFER_NOPERM,      COFFER_OOM,    COFFER_WRONGTYPE,   COFFER_READONLY,
                                             COFFER_MOVED, COFFER_INTERRUPTED, COFFER_SERVER, COFFER_NO_MEMORY};
static const coffer_status outages[] = {COFFER_CONNECT, COFFER_DNS,      COFFER_TIMEOUT,    COFFER_POOL_TIMEOUT, COFFER_CLOSED,   COFFER_IO,
                                        COFFER_LOADING, COFFER_NOT_SENT, COFFER_MASTERDOWN, COFFER_CLUSTERDOWN,  COFFER_TRYAGAIN, COFFER_BUSY};

typedef struct example {
    coffer_status (*begin)(coffer_op **op, coffer_namespace *ns);
    coffer_status under_miss; /* AGAIN: the error itself */
} example;

static const coffer_slice some_keys[] = {{"a", 1}, {"b", 1}};
static const coffer_item some_items[] = {{{"a", 1}, {"v", 1}, 0}};

#define BEGIN(name, ...)                                                                                                                             \
    static coffer_status begin_##name(coffer_op **op, coffer_namespace *ns) {                                                                        \
        return coffer_op_##name(op, ns, __VA_ARGS__);                                                                                                \
    }
BEGIN(get, some_keys[0], NULL)
BEGIN(exists, some_keys[0], NULL)
BEGIN(ttl, some_keys[0], NULL)
BEGIN(get_many, some_keys, 2, NULL)
BEGIN(set, some_keys[0], COFFER_SLICE("v"), NULL)
BEGIN(add, some_keys[0], COFFER_SLICE("v"), NULL)
BEGIN(replace, some_keys[0], COFFER_SLICE("v"), NULL)
BEGIN(compare_and_set, some_keys[0], 1, COFFER_SLICE("v"), NULL)
BEGIN(set_many, some_items, 1, NULL)
BEGIN(delete, some_keys[0], NULL)
BEGIN(delete_many, some_keys, 2, NULL)
BEGIN(expire, some_keys[0], 1000, NULL)
BEGIN(touch, some_keys[0], NULL)
BEGIN(increment, some_keys[0], 1, NULL)
BEGIN(counter, some_keys[0], NULL)
BEGIN(reset_counter, some_keys[0], NULL)
BEGIN(clear, NULL)
BEGIN(ping, NULL)

static const example examples[] = {
    {begin_get, COFFER_MISS},
    {begin_exists, COFFER_MISS},
    {begin_ttl, COFFER_MISS},
    {begin_get_many, COFFER_OK},
    {begin_set, COFFER_NOT_STORED},
    {begin_add, COFFER_NOT_STORED},
    {begin_replace, COFFER_NOT_STORED},
    {begin_compare_and_set, COFFER_NOT_STORED},
    {begin_set_many, COFFER_NOT_STORED},
    {begin_delete, COFFER_MISS},
    {begin_delete_many, COFFER_OK},
    {begin_expire, COFFER_MISS},
    {begin_touch, COFFER_MISS},
    {begin_increment, COFFER_AGAIN},
    {begin_counter, COFFER_AGAIN},
    {begin_reset_counter, COFFER_AGAIN},
    {begin_clear, COFFER_AGAIN},
    {begin_ping, COFFER_AGAIN},
};
enum { EXAMPLES = sizeof examples / sizeof examples[0] };

/* Each on a client of its own, so that nothing is owed and no breaker is open. */
static coffer_status ends(const example *one, const char *url, coffer_status why) {
    things own = open_things(url);
    coffer_op *op;
    assert_int_equal(one->begin(&op, own.ns), COFFER_OK);
    coffer_status status = run(&own, op, why);
    close_things(&own);
    return status;
}

static void test_an_outage_is_a_miss_unless_errors_are_asked_for(void **state) {
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        for (size_t j = 0; j < sizeof outages / sizeof outages[0]; j++) {
            coffer_status under_miss = examples[i].under_miss == COFFER_AGAIN ? outages[j] : examples[i].under_miss;
            assert_int_equal(ends(&examples[i], "redis://h", outages[j]), under_miss);
            assert_int_equal(ends(&examples[i], "redis://h?on_outage=error", outages[j]), outages[j]);
        }
    }
}

static void test_what_only_a_person_can_mend_is_never_hidden(void **state) {
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        for (size_t j = 0; j < sizeof never_hidden / sizeof never_hidden[0]; j++) {
            assert_int_equal(ends(&examples[i], "redis://h?on_outage=miss", never_hidden[j]), never_hidden[j]);
        }
    }
}

static void test_an_open_breaker_makes_no_outage_of_a_certificate(void **state) {
    (void)state;
    things one = open_things(AWAY);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(get(&one, "k", COFFER_CERTIFICATE), COFFER_CERTIFICATE);
    }
    coffer_health health = COFFER_HEALTH_INIT;
    assert_int_equal(coffer_namespace_health(one.ns, one.now_ms, &health), COFFER_OK);
    assert_string_equal(health.endpoints[0].breaker, "open");
    assert_true(health.endpoints[0].refused_count > 0);
    coffer_health_clear(&health);
    close_things(&one);
}

/* What was to be written is unknown, or not there, whatever kept it from the server. */
static void test_a_write_that_did_not_reach_the_server_is_owed_a_deletion(void **state) {
    (void)state;
    static const coffer_status lost[] = {COFFER_CONNECT, COFFER_PROTO, COFFER_LIMIT, COFFER_TLS, COFFER_CERTIFICATE, COFFER_CREDENTIALS};
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        things one = open_things("redis://h");
        set(&one, "k", lost[i]);
        assert_int_equal(coffer__owed_count(one.client->owed), 1);
        set(&one, "k", COFFER_OOM); /* the server's own word: also of the deletion, which is lost with it */
        assert_int_equal(coffer__owed_count(one.client->owed), 0);
        assert_int_equal(coffer__owed_lost(one.client->owed), 1);
        close_things(&one);
    }
}

/* Deadlines of a millisecond tell nothing of a server; those of the option `timeout` do. */
static void wait_in_vain(things *one, uint64_t timeout_ms) {
    coffer_op *op;
    coffer_action action;
    coffer_read_options options = {sizeof options, timeout_ms, false};
    assert_int_equal(coffer_op_get(&op, one->ns, some_keys[0], &options), COFFER_OK);
    assert_int_equal(coffer_op_next(op, one->now_ms, &action), COFFER_WANT_CALL);
    one->now_ms += timeout_ms;
    assert_int_equal(coffer_op_next(op, one->now_ms, &action), COFFER_WANT_DONE);
    assert_int_equal(coffer_op_status(op), COFFER_MISS);
    coffer_op_free(op);
}

static uint64_t opened_after(const char *url, uint64_t timeout_ms) {
    things one = open_things(url);
    for (int i = 0; i < 3; i++) {
        wait_in_vain(&one, timeout_ms);
    }
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    assert_int_equal(coffer_metrics_read(one.ns, &metrics), COFFER_OK);
    assert_int_equal(metrics.counters.outage_misses, 3);
    close_things(&one);
    return metrics.breaker_opened;
}

static void test_hasty_callers_do_not_open_the_breaker_for_the_others(void **state) {
    (void)state;
    assert_int_equal(opened_after(AWAY "&timeout=2s", 5), 0);
    assert_int_equal(opened_after(AWAY "&timeout=2s", 50), 1);
    assert_int_equal(opened_after(AWAY "&timeout=5ms", 5), 1);
}

static void test_a_miss_says_that_it_is_an_outage(void **state) {
    (void)state;
    things one = open_things("redis://h");
    coffer_op *op;
    coffer_action action;
    coffer_value value;
    assert_int_equal(coffer_op_get_many(&op, one.ns, some_keys, 2, NULL), COFFER_OK);
    while (coffer_op_next(op, one.now_ms, &action) == COFFER_WANT_CALL) {
        coffer_call_fail(action.call, COFFER_CONNECT, NULL);
    }
    assert_int_equal(coffer_op_item(op, 1, &value), COFFER_MISS);
    assert_int_equal(value.source, COFFER_SOURCE_OUTAGE);
    coffer_op_free(op);
    assert_int_equal(coffer_op_get(&op, one.ns, some_keys[0], NULL), COFFER_OK);
    while (coffer_op_next(op, one.now_ms, &action) == COFFER_WANT_CALL) {
        coffer_call_fail(action.call, COFFER_CONNECT, NULL);
    }
    assert_int_equal(coffer_op_value(op)->source, COFFER_SOURCE_OUTAGE);
    assert_string_equal(coffer_source_name(COFFER_SOURCE_OUTAGE), "outage");
    coffer_op_free(op);
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    assert_int_equal(coffer_metrics_read(one.ns, &metrics), COFFER_OK);
    assert_int_equal(metrics.counters.outage_misses, 3);
    assert_int_equal(metrics.counters.errors, 0);
    close_things(&one);
}

/* ---- the log ---- */

static unsigned began, ended, forgotten;
static char last_text[1024];

static void hear(void *user_data, const coffer_log_record *record) {
    (void)user_data;
    began += record->event == COFFER_LOG_OUTAGE_BEGAN;
    ended += record->event == COFFER_LOG_OUTAGE_ENDED;
    forgotten += record->event == COFFER_LOG_OWED_FORGOTTEN;
    snprintf(last_text, sizeof last_text, "%s", record->text);
}

static int listen_in(void **state) {
    (void)state;
    began = ended = forgotten = 0;
    coffer_set_log(hear, NULL);
    return 0;
}

static int hear_no_more(void **state) {
    (void)state;
    coffer_set_log(NULL, NULL);
    return 0;
}

static void assert_heard(unsigned beginnings, unsigned ends_heard, const char *part) {
    assert_int_equal(began, beginnings);
    assert_int_equal(ended, ends_heard);
    assert_non_null(strstr(last_text, part));
}

static void test_an_outage_is_logged_once_at_its_beginning_and_its_end(void **state) {
    (void)state;
    things one = open_things(AWAY);
    for (int i = 0; i < 100; i++) {
        get(&one, "k", COFFER_CONNECT);
        one.now_ms += 50;
    }
    assert_heard(1, 0, "cache.internal:7000");
    one.now_ms += 3000;
    get(&one, "k", COFFER_WRONGTYPE); /* an answer */
    assert_heard(1, 1, "cache.internal:7000, after 8000 ms and 100 calls without an answer");
    get(&one, "k", COFFER_WRONGTYPE);
    assert_int_equal(ended, 1);
    close_things(&one);
}

static void test_a_server_that_flaps_is_logged_once_a_window(void **state) {
    (void)state;
    things one = open_things(AWAY "&breaker=false&breaker_window=10s");
    for (int i = 0; i < 90; i++) {
        get(&one, "k", COFFER_CLOSED);
        get(&one, "k", COFFER_WRONGTYPE);
        one.now_ms += 100;
    }
    assert_heard(1, 1, "answered again");
    get(&one, "k", COFFER_TIMEOUT); /* begins too soon to be told, and lasts */
    assert_int_equal(began, 1);
    one.now_ms += 1000;
    get(&one, "k", COFFER_TIMEOUT);
    assert_heard(2, 1, "the deadline passed");
    get(&one, "k", COFFER_WRONGTYPE);
    assert_heard(2, 2, "after 1000 ms and 2 calls");
    close_things(&one);
}

static void test_a_call_that_was_sent_again_in_vain_is_no_outage_before(void **state) {
    (void)state;
    things one = open_things(AWAY);
    coffer_op *op;
    coffer_action action;
    assert_int_equal(coffer_op_get(&op, one.ns, some_keys[0], NULL), COFFER_OK);
    assert_int_equal(coffer_op_next(op, one.now_ms, &action), COFFER_WANT_CALL);
    coffer_call_fail(action.call, COFFER_CLOSED, NULL); /* the server had closed an idle connection */
    assert_int_equal(coffer_op_next(op, one.now_ms, &action), COFFER_WANT_CALL);
    assert_int_equal(began, 0);
    coffer_call_fail(action.call, COFFER_WRONGTYPE, NULL);
    assert_int_equal(coffer_op_next(op, one.now_ms, &action), COFFER_WANT_DONE);
    assert_int_equal(began + ended, 0);
    coffer_op_free(op);
    close_things(&one);
}

static void test_keys_that_are_owed_at_the_end_are_told_of(void **state) {
    (void)state;
    things one = open_things(AWAY);
    set(&one, "a", COFFER_CONNECT);
    set(&one, "b", COFFER_CONNECT);
    close_things(&one);
    assert_int_equal(forgotten, 1);
    assert_non_null(strstr(last_text, "keys: 2"));
    one = open_things(AWAY);
    get(&one, "a", COFFER_CONNECT);
    close_things(&one);
    assert_int_equal(forgotten, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_outage_is_a_miss_unless_errors_are_asked_for),
        cmocka_unit_test(test_what_only_a_person_can_mend_is_never_hidden),
        cmocka_unit_test(test_an_open_breaker_makes_no_outage_of_a_certificate),
        cmocka_unit_test(test_a_write_that_did_not_reach_the_server_is_owed_a_deletion),
        cmocka_unit_test(test_hasty_callers_do_not_open_the_breaker_for_the_others),
        cmocka_unit_test(test_a_miss_says_that_it_is_an_outage),
        cmocka_unit_test_setup_teardown(test_an_outage_is_logged_once_at_its_beginning_and_its_end, listen_in, hear_no_more),
        cmocka_unit_test_setup_teardown(test_a_server_that_flaps_is_logged_once_a_window, listen_in, hear_no_more),
        cmocka_unit_test_setup_teardown(test_a_call_that_was_sent_again_in_vain_is_no_outage_before, listen_in, hear_no_more),
        cmocka_unit_test_setup_teardown(test_keys_that_are_owed_at_the_end_are_told_of, listen_in, hear_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
