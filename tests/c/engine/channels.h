/* What the suites of invalidation channels share: a client with copies, one channel, and a server that is what the test feeds. */
#ifndef COFFER_TESTS_ENGINE_CHANNELS_H
#define COFFER_TESTS_ENGINE_CHANNELS_H

#include "engine/channel.h"
#include "engine/client.h"
#include "near/copies.h"
#include "support/cmocka_all.h"

#include <coffer/coffer.h>
#include <stdio.h>

static const char greeted[] = "+OK\r\n*2\r\n$1\r\n1\r\n$1\r\n0\r\n";
static const char subscribed[] = "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n";
static const char pong[] = "*2\r\n$4\r\npong\r\n$0\r\n\r\n";

enum { START_MS = 100000 };

typedef struct world {
    coffer_client *client;
    coffer__channels *channels;
    coffer__standing *standing;
    coffer__coherence *coherence;
    coffer_conn *conn;
    uint64_t now_ms;
} world;

static inline coffer_client *client_of(const char *url) {
    coffer_options *options = coffer_options_new();
    coffer_client *client;
    coffer_error error;
    assert_int_equal(coffer_options_set_url(options, coffer_slice_text(url), &error), COFFER_OK);
    assert_int_equal(coffer_client_new(&client, options, (coffer_clock){0, 0}, &error), COFFER_OK);
    coffer_options_free(options);
    if (client->copies == NULL) {
        assert_int_equal(coffer__near_new(&client->copies, 1 << 20), COFFER_OK);
    }
    return client;
}

static inline void open_world(world *w) {
    memset(w, 0, sizeof *w);
    w->client = client_of("redis://scripted?timeout=1s&prefix=prod");
    w->coherence = coffer__near_coherence(w->client->copies);
    w->now_ms = START_MS;
    assert_int_equal(coffer__channels_new(&w->channels, w->client), COFFER_OK);
}

static inline void hang_up(world *w) {
    coffer__standing_ended(w->standing, w->now_ms);
    coffer_conn_free(w->conn);
    w->conn = NULL;
}

static inline void close_world(world *w) {
    if (w->conn != NULL) {
        hang_up(w);
    }
    coffer__channels_free(w->channels);
    coffer_client_free(w->client);
}

static inline coffer__standing *first(coffer__channels *channels) {
    coffer__standing *found = NULL;
    for (size_t i = 0; found == NULL && i < COFFER__STANDING_MOST; i++) {
        found = coffer__channels_at(channels, i);
    }
    return found;
}

static inline size_t count(coffer__channels *channels) {
    size_t found = 0;
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        found += coffer__channels_at(channels, i) != NULL;
    }
    return found;
}

/* Until it is time to connect, as a driver does. */
static inline void connect_one(world *w) {
    coffer__channels_beat(w->channels, w->now_ms);
    w->standing = first(w->channels);
    assert_non_null(w->standing);
    assert_int_equal(count(w->channels), 1);
    if (!coffer__standing_is_due(w->standing, w->now_ms)) {
        w->now_ms = w->standing->connect_at_ms;
        coffer__channels_beat(w->channels, w->now_ms);
    }
    assert_true(coffer__standing_is_due(w->standing, w->now_ms));
    w->standing->link = w;
    assert_int_equal(coffer_conn_new(&w->conn, w->client, w->standing->endpoint, w->now_ms), COFFER_OK);
    coffer__standing_opened(w->standing, w->conn, w->now_ms);
}

/* What the conn says now has these words in it, and is with the kernel then. */
static inline void assert_says(world *w, const char *words) {
    coffer_slice out = coffer_conn_output(w->conn);
    char text[1000];
    snprintf(text, sizeof text, "%.*s", (int)out.len, out.data);
    if (strstr(text, words) == NULL) {
        fail_msg("no '%s' in '%s'", words, text);
    }
    coffer_conn_sent(w->conn, out.len);
}

static inline coffer_status feed(world *w, const char *text) {
    return coffer_conn_feed(w->conn, coffer_slice_text(text), w->now_ms);
}

static inline void greet(world *w) {
    connect_one(w);
    assert_says(w, "HELLO");
    feed(w, greeted);
    assert_says(w, "$6\r\nCLIENT\r\n$2\r\nID\r\n");
    feed(w, ":4711\r\n");
    assert_says(w,
                "*8\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n$8\r\nREDIRECT\r\n$4\r\n4711\r\n$5\r\nBCAST\r\n$6\r\nPREFIX\r\n$5\r\nprod:\r\n");
    feed(w, "+OK\r\n");
    assert_says(w, "$9\r\nSUBSCRIBE\r\n$20\r\n__redis__:invalidate\r\n");
    feed(w, subscribed);
    assert_true(coffer_conn_ready(w->conn));
}

/* Its first question is answered by an error, and the connection goes. */
static inline void be_refused(world *w, const char *error) {
    connect_one(w);
    assert_says(w, "HELLO");
    feed(w, greeted);
    assert_says(w, "ID");
    assert_int_not_equal(feed(w, error), COFFER_OK);
    hang_up(w);
}

static inline bool is_live(const world *w) {
    return coffer__channels_any_live(w->coherence, w->now_ms);
}

static inline void ping(world *w) {
    coffer__channels_beat(w->channels, w->now_ms);
    assert_says(w, "PING");
}

static inline void go_live(world *w) {
    greet(w);
    ping(w);
    assert_false(is_live(w));
    assert_int_equal(feed(w, pong), COFFER_OK);
    assert_true(is_live(w));
}

/* ---- copies, as a reader uses them ---- */

static inline coffer_status fill(const world *w, const coffer__near_token *token, const char *key, const char *value) {
    int channel = coffer__client_channel_of(w->client, w->standing->endpoint);
    const coffer__near_copy copy = {.value = coffer_slice_text(value), .channel = (unsigned)channel, .expires_at_ms = UINT64_MAX};
    assert_true(channel >= 0);
    return coffer__near_fill(w->client->copies, token, coffer_slice_text(key), &copy, w->now_ms);
}

static inline void keep(const world *w, const char *key) {
    coffer__near_token token;
    coffer__near_expect(w->client->copies, coffer_slice_text(key), w->now_ms, &token);
    assert_true(token.given);
    assert_int_equal(fill(w, &token, key, "value"), COFFER_OK);
}

static inline bool has(const world *w, const char *key) {
    coffer__buf out = COFFER__BUF_INIT;
    coffer__near_found found;
    coffer_status status = coffer__near_look(w->client->copies, coffer_slice_text(key), w->now_ms, &out, &found);
    coffer__buf_free(&out);
    return status == COFFER_OK;
}

#endif
