/* coffer__sentinel_read, and which of several answers is believed. */
#include "topology/sentinel_reply.h"
#include "topology/topology.h"

#include "policy/options_internal.h"
#include "topology/replies.h"

#define PAIR(name, value) "+" name "\r\n+" value "\r\n"
#define ANSWER(name, ip, port, epoch)                                                                                                                \
    "*10\r\n" PAIR("name", name) PAIR("ip", ip) PAIR("port", port) PAIR("flags", "master") PAIR("config-epoch", epoch)

static const struct {
    const char *text, *asked;
    bool fit;
} answers[] = {
    {ANSWER("main", "10.0.0.7", "6379", "3"), "10.0.0.1", true},
    {ANSWER("main", "db.internal", "6379", "0"), "10.0.0.1", true},
    {ANSWER("main", "127.0.0.1", "6379", "3"), "127.0.0.1", true},
    {ANSWER("main", "127.0.0.1", "6379", "3"), "10.0.0.1", false},
    {ANSWER("main", "::1", "6379", "3"), "sentinel.internal", false},
    {ANSWER("other", "10.0.0.7", "6379", "3"), "10.0.0.1", false},
    {ANSWER("main", "10.0.0.7", "x", "3"), "10.0.0.1", false},
    {ANSWER("main", "10.0.0.7", "0", "3"), "10.0.0.1", false},
    {ANSWER("main", "10.0.0.7", "65536", "3"), "10.0.0.1", false},
    {ANSWER("main", "10.0.0.7", "6379", "-1"), "10.0.0.1", false},
    {ANSWER("main", "10.0.0.7", "6379", "99999999999999999999"), "10.0.0.1", false},
    {ANSWER("main", "?", "6379", "3"), "10.0.0.1", false},
    {"*-1\r\n", "10.0.0.1", false},
    {"*0\r\n", "10.0.0.1", false},
    {"*1\r\n+name\r\n", "10.0.0.1", false},
    {"*2\r\n*1\r\n+name\r\n+main\r\n", "10.0.0.1", false},
    {"+main\r\n", "10.0.0.1", false},
};

static void test_answers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        coffer__sentinel_answer answer;
        coffer__reply reply = reply_of(answers[i].text);
        assert_int_equal(coffer__sentinel_read(&reply, COFFER_SLICE("main"), coffer_slice_text(answers[i].asked), &answer), answers[i].fit);
        coffer__reply_free(&reply);
    }
}

static coffer__topology *open_sentinels(void) {
    coffer_options *options = coffer_options_new();
    coffer__topology *topology = NULL;
    assert_int_equal(coffer_options_set_url(options, COFFER_SLICE("redis+sentinel://a,b:7,c/main/2"), NULL), COFFER_OK);
    assert_int_equal(coffer__topology_new(&topology, options), COFFER_OK);
    coffer_options_free(options);
    return topology;
}

/* A round in which each sentinel says this (NULL: nothing); how it ended. */
static coffer_status hear(coffer__topology *topology, const char *const said[3]) {
    coffer__refresh round = {0};
    for (size_t i = 0; i < 3; i++) {
        round.asked = coffer__topology_candidate(topology, i);
        assert_non_null(round.asked);
        if (said[i] != NULL) {
            coffer__reply reply = reply_of(said[i]);
            (void)coffer__topology_learn(topology, &round, &reply);
            coffer__reply_free(&reply);
        }
    }
    return coffer__topology_settle(topology, &round);
}

static void assert_primary(coffer__topology *topology, const char *host) {
    const coffer_endpoint *primary = coffer__topology_endpoint(topology, COFFER_SLICE("key"), NULL);
    assert_non_null(primary);
    assert_true(coffer_slice_equal(primary->host, coffer_slice_text(host)));
    assert_true(coffer__topology_verifies(topology, primary));
    assert_false(coffer__topology_is_sentinel(topology, primary));
}

#define OLD ANSWER("main", "old", "1", "3")
#define NEW ANSWER("main", "new", "1", "4")
#define OLD_AT_4 ANSWER("main", "old", "1", "4")
#define OTHER ANSWER("other", "other", "1", "9")

static void test_the_newest_answer_counts(void **state) {
    (void)state;
    coffer__topology *topology = open_sentinels();
    coffer__slot_counts counts;
    assert_null(coffer__topology_endpoint(topology, COFFER_SLICE("key"), NULL));
    assert_int_equal(hear(topology, (const char *[]){NULL, OTHER, "*0\r\n"}), COFFER_SERVER);
    assert_null(coffer__topology_endpoint(topology, COFFER_SLICE("key"), NULL));
    assert_int_equal(hear(topology, (const char *[]){OLD, OLD, OLD}), COFFER_OK);
    assert_primary(topology, "old");
    assert_int_equal(hear(topology, (const char *[]){OLD, NEW, OTHER}), COFFER_OK);
    assert_primary(topology, "new");
    coffer__topology_counts(topology, &counts);
    assert_int_equal(counts.answers, 5);
    assert_int_equal(counts.refused_answers, 3);
    coffer__topology_free(topology);
}

static void test_an_older_answer_alone_is_not_believed_at_once(void **state) {
    (void)state;
    coffer__topology *topology = open_sentinels();
    (void)hear(topology, (const char *[]){NEW, NULL, NULL});
    for (int round = 0; round < 15; round++) {
        (void)hear(topology, (const char *[]){OLD, NULL, NULL});
        assert_primary(topology, "new");
    }
    (void)hear(topology, (const char *[]){OLD, NULL, NULL});
    assert_primary(topology, "old"); /* the sentinels were set up anew */
    coffer__topology_free(topology);
}

static void test_two_servers_under_one_epoch(void **state) {
    (void)state;
    coffer__topology *topology = open_sentinels();
    (void)hear(topology, (const char *[]){OLD, OLD, OLD});
    (void)hear(topology, (const char *[]){OLD_AT_4, NEW, OLD_AT_4});
    assert_primary(topology, "new");
    (void)hear(topology, (const char *[]){OLD_AT_4, NEW, OLD_AT_4});
    assert_primary(topology, "new"); /* as it is known */
    coffer__topology_refused(topology, coffer__topology_endpoint(topology, COFFER_SLICE("key"), NULL));
    (void)hear(topology, (const char *[]){NEW, OLD_AT_4, NEW});
    assert_primary(topology, "old"); /* which has not said that it is none */
    coffer__topology_free(topology);
}

static void test_a_poll_every_second_or_two(void **state) {
    (void)state;
    coffer__topology *topology = open_sentinels();
    coffer__refresh round;
    assert_true(coffer__topology_begin(topology, 1000, &round));
    coffer__topology_end(topology, COFFER_OK, "", 1000);
    assert_in_range(coffer__topology_due_ms(topology), 2000, 3000);
    coffer__topology_free(topology);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_the_newest_answer_counts),
        cmocka_unit_test(test_an_older_answer_alone_is_not_believed_at_once),
        cmocka_unit_test(test_two_servers_under_one_epoch),
        cmocka_unit_test(test_a_poll_every_second_or_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
