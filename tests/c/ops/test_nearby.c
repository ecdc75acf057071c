/* Who has near copies: the option, its namespaces, and what of them is turned off. */
#include "ops/helpers.h"

#include "engine/nearby.h"
#include "near/copies.h"
#include <coffer/health.h>

#include <stdio.h>

#define WIRE_KEY COFFER_SLICE("_:_:k")

static void assert_refused(const char *url, const char *says) {
    coffer_options *options = coffer_options_new();
    coffer_client *client = NULL;
    coffer_error error = {COFFER_OK, ""};
    if (coffer_options_set_url(options, coffer_slice_text(url), &error) == COFFER_OK) {
        assert_int_not_equal(coffer_client_new(&client, options, (coffer_clock){0, 0}, &error), COFFER_OK);
    }
    assert_non_null(strstr(error.text, says));
    coffer_options_free(options);
}

static coffer_status open_child(world *w, const char *near, coffer_error *error) {
    coffer_options *options = coffer_options_copy(coffer_client_options(w->client));
    assert_int_equal(coffer_options_set(options, "near", coffer_slice_text(near), error), COFFER_OK);
    coffer_namespace_free(w->ns);
    coffer_status status = coffer_namespace_new(&w->ns, w->client, options, error);
    coffer_options_free(options);
    return status;
}

static void test_a_namespace_may_turn_it_off_and_nothing_else(void **state) {
    (void)state;
    world w;
    coffer_error error;
    open_world(&w, "redis://here?near=process");
    assert_non_null(w.ns->copies);
    assert_int_equal(open_child(&w, "off", &error), COFFER_OK);
    assert_null(w.ns->copies);
    assert_int_equal(open_child(&w, "process", &error), COFFER_OK);
    assert_non_null(w.ns->copies);
    assert_int_equal(open_child(&w, "shared", &error), COFFER_OPTION);
    assert_non_null(strstr(error.text, "'process' for its cache"));
    close_world(&w);
    open_world(&w, "redis://here");
    assert_null(w.client->copies);
    assert_int_equal(open_child(&w, "process", &error), COFFER_OPTION);
    close_world(&w);
}

static void test_what_cannot_be_is_refused_in_words(void **state) {
    (void)state;
    assert_refused("redis://here?near=all", "'off', 'process', 'shared'");
    assert_refused("redis://here?near=process&near_bytes=1KiB", "1MiB");
    assert_refused("redis://here?near=process&near_ttl=0", "near_ttl");
    assert_refused("redis://here?near_name=a/b", "near_name");
}

/* The key k, in a raw namespace, has a copy for a second, of a server that is heard of for two. */
static void open_with_copy(world *w) {
    open_world(w, "redis://here?near=process&raw=true");
    coffer__coherence *coherence = coffer__near_coherence(w->client->copies);
    coffer__lead lead = {0};
    assert_true(coffer__lead_hold(coherence, &lead, 1, w->now_ms));
    int channel = coffer__channel_take(coherence, &lead, 1);
    assert_true(coffer__channel_heard(coherence, &lead, (unsigned)channel, w->now_ms, w->now_ms));
    coffer__near_token token;
    coffer__near_expect(w->client->copies, WIRE_KEY, w->now_ms, &token);
    const coffer__near_copy copy = {.value = COFFER_SLICE("v"), .channel = (unsigned)channel, .expires_at_ms = w->now_ms + 1000};
    assert_int_equal(coffer__near_fill(w->client->copies, &token, WIRE_KEY, &copy, w->now_ms), COFFER_OK);
}

/* Who peeks may have a clock that is 16 ms behind: what ends within that time may have ended. */
static void test_a_copy_is_no_answer_when_it_may_have_ended(void **state) {
    (void)state;
    world w;
    open_with_copy(&w);
    coffer_room *room;
    coffer_value value;
    assert_int_equal(coffer_room_new(&room), COFFER_OK);
    assert_int_equal(coffer_peek(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), w.now_ms + 983, room, &value), COFFER_OK);
    uint64_t version = value.near_version;
    assert_true(coffer_peek_confirms(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), version, w.now_ms + 983, room));
    assert_int_equal(coffer_peek(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), w.now_ms + 984, room, &value), COFFER_AGAIN);
    assert_false(coffer_peek_confirms(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), version, w.now_ms + 984, room));
    coffer_room_free(room);
    close_world(&w);
}

/* A key's deletion is owed while its server is away: no copy of it is an answer. */
static void test_an_owed_key_has_no_copy(void **state) {
    (void)state;
    world w;
    open_with_copy(&w);
    coffer_room *room;
    coffer_value value;
    assert_int_equal(coffer_room_new(&room), COFFER_OK);
    assert_int_equal(coffer_peek(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), w.now_ms, room, &value), COFFER_OK);
    assert_true(coffer_peek_confirms(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), value.near_version, w.now_ms, room));
    assert_int_equal(RUN(w, get, COFFER_SLICE("k"), NULL), COFFER_OK);
    assert_int_equal(coffer_op_value(w.op)->source, COFFER_SOURCE_NEAR);
    assert_true(coffer__owed_add(w.client->owed, WIRE_KEY));
    size_t owed_count;
    coffer__owed_key *taken = coffer__owed_take(w.client->owed, 1, &owed_count); /* somebody is about to delete it */
    coffer_action action;
    assert_int_equal(coffer_op_get(&op, w.ns, COFFER_SLICE("k"), NULL), COFFER_OK);
    assert_int_equal(coffer_op_next(op, w.now_ms, &action), COFFER_WANT_CALL); /* it is asked for */
    coffer_op_free(op);
    coffer__owed_give_back(w.client->owed, taken);
    assert_int_equal(coffer_peek(w.ns, COFFER_OPERATION_GET, COFFER_SLICE("k"), w.now_ms, room, &value), COFFER_AGAIN);
    coffer_room_free(room);
    close_world(&w);
}

static const char *near_of(world *w, const char *says) {
    static char text[16];
    coffer_health health = COFFER_HEALTH_INIT;
    bool said = false;
    assert_int_equal(coffer_namespace_health(w->ns, w->now_ms, &health), COFFER_OK);
    for (size_t i = 0; i < health.reason_count; i++) {
        said = said || strstr(health.reasons[i], says) != NULL;
    }
    assert_true(said);
    snprintf(text, sizeof text, "%s", health.near);
    coffer_health_clear(&health);
    return text;
}

static void test_health_says_how_copies_are_kept_honest(void **state) {
    (void)state;
    world w;
    open_world(&w, "redis://here");
    assert_string_equal(near_of(&w, ""), "off");
    close_world(&w);
    open_world(&w, "redis://here?near=process");
    assert_string_equal(near_of(&w, "nobody hears"), "bypassed");
    coffer__coherence *coherence = coffer__near_coherence(w.client->copies);
    coffer__lead lead = {0};
    assert_true(coffer__lead_hold(coherence, &lead, 1, w.now_ms));
    unsigned channel = (unsigned)coffer__channel_take(coherence, &lead, 1);
    assert_true(coffer__channel_heard(coherence, &lead, channel, w.now_ms, w.now_ms));
    assert_string_equal(near_of(&w, ""), "live");
    assert_true(coffer__channel_vouched(coherence, &lead, channel, w.now_ms));
    assert_string_equal(near_of(&w, "1 of 1 servers do not tell"), "ttl_alone");
    coffer__channel_lost(coherence, &lead, channel);
    assert_string_equal(near_of(&w, "nobody hears"), "bypassed");
    close_world(&w);
}

static uint64_t identity(const char *url) {
    coffer_options *options = coffer_options_new();
    coffer_error error;
    assert_int_equal(coffer_options_set_url(options, coffer_slice_text(url), &error), COFFER_OK);
    uint64_t number = coffer__nearby_identity(options);
    coffer_options_free(options);
    return number;
}

static void test_one_identity_is_one_deployment_database_prefix_and_user(void **state) {
    (void)state;
    static const char *const others[] = {"redis://b/1?prefix=p",        "redis://a:7000/1?prefix=p",       "redis://a/2?prefix=p",
                                         "redis://a/1?prefix=q",        "redis://u:x@a/1?prefix=p",        "unix:///a?db=1&prefix=p",
                                         "redis+cluster://a/?prefix=p", "redis+sentinel://a/m/1?prefix=p", "mem://?prefix=p"};
    uint64_t one = identity("redis://a/1?prefix=p");
    assert_int_equal(one, identity("redis://:secret@a/1?prefix=p&ttl=1h&near=shared"));
    assert_int_equal(identity("redis+cluster://a:1,b:2/"), identity("redis+cluster://b:2,a:1/"));
    assert_int_not_equal(identity("redis+cluster://a:1,b:2/"), identity("redis+cluster://a:2,b:1/"));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_not_equal(one, identity(others[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_namespace_may_turn_it_off_and_nothing_else),
        cmocka_unit_test(test_what_cannot_be_is_refused_in_words),
        cmocka_unit_test(test_a_copy_is_no_answer_when_it_may_have_ended),
        cmocka_unit_test(test_an_owed_key_has_no_copy),
        cmocka_unit_test(test_health_says_how_copies_are_kept_honest),
        cmocka_unit_test(test_one_identity_is_one_deployment_database_prefix_and_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
