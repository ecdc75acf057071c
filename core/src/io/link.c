#include "link.h"

#include "base/alloc.h"
#include "clock.h"
#include "dial.h"
#include "policy/options_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

const char *coffer__endpoint_name(const coffer_endpoint *endpoint, char out[COFFER__NAME_CAP]) {
    bool six = endpoint->host.len > 0 && memchr(endpoint->host.data, ':', endpoint->host.len) != NULL;
    if (endpoint->path.len > 0) {
        snprintf(out, COFFER__NAME_CAP, "%.*s", (int)endpoint->path.len, endpoint->path.data);
    } else {
        snprintf(out, COFFER__NAME_CAP, "%s%.*s%s:%u", six ? "[" : "", (int)endpoint->host.len, endpoint->host.data, six ? "]" : "",
                 (unsigned)endpoint->port);
    }
    return out;
}

coffer_status coffer__link_new(coffer__link **link, coffer_client *client, const coffer_endpoint *endpoint) {
    coffer__link *made = (coffer__link *)coffer__alloc_zero(sizeof *made);
    if (made == NULL || (made->dial = coffer__dial_new()) == NULL) {
        coffer__release(made);
        return COFFER_NO_MEMORY;
    }
    coffer__stream_init(&made->stream);
    atomic_init(&made->idle, false);
    made->client = client;
    made->endpoint = endpoint;
    *link = made;
    return COFFER_OK;
}

void coffer__link_disown(coffer__link *link) {
    coffer__stream_disown(&link->stream);
}

void coffer__link_free(coffer__link *link) {
    if (link != NULL) {
        coffer__stream_close(&link->stream);
        coffer_conn_free(link->conn);
        coffer__dial_free(link->dial);
        coffer__release(link);
    }
}

bool coffer__link_is_usable(coffer__link *link) {
    return coffer_conn_status(link->conn) == COFFER_OK && coffer__stream_is_quiet(&link->stream);
}

coffer_status coffer__link_connect(coffer__link *link, const coffer__limits *limits, char detail[COFFER__DETAIL_CAP]) {
    coffer_status status = coffer__dial_go(link->dial, link, limits, detail);
    if (status != COFFER_OK) {
        return status;
    }
    int failed = coffer__socket_settle(coffer__stream_fd(&link->stream), coffer_client_options(link->client)->keepalive_ms);
    if (failed != 0) {
        char name[COFFER__NAME_CAP];
        snprintf(detail, COFFER__DETAIL_CAP, "%s: %s", coffer__endpoint_name(link->endpoint, name), strerror(failed));
        return COFFER_CONNECT;
    }
    const coffer__login *login = coffer__dial_login(link->dial);
    status = coffer_conn_new_as(&link->conn, link->client, link->endpoint, coffer__buf_slice(&login->username), coffer__buf_slice(&login->password),
                                coffer__clock_ms());
    coffer__dial_free(link->dial);
    link->dial = NULL;
    return status;
}

/* ---- bytes ---------------------------------------------------------------------------------------------------- */

static void fail(coffer__link *link, coffer_status why, const char *what) {
    char name[COFFER__NAME_CAP], detail[COFFER__DETAIL_CAP];
    snprintf(detail, sizeof detail, "%s: %s", coffer__endpoint_name(link->endpoint, name), what);
    coffer_conn_fail(link->conn, why, detail);
}

/* Bytes came (or the end, or an error): the conn is told. */
static void came(coffer__link *link, const char *bytes, ssize_t got, uint64_t now_us) {
    if (got > 0) {
        coffer_conn_feed(link->conn, coffer_slice_of(bytes, (size_t)got), now_us / COFFER__US_PER_MS);
    } else if (got != -EAGAIN) {
        coffer_status why;
        const char *what = coffer__stream_failure(&link->stream, got, &why);
        fail(link, why, what);
    }
}

/* A server that hangs up may have said why, "-ERR max number of clients reached": that is read before the conn is given up. */
static void could_not_send(coffer__link *link, int error) {
    char words[1024];
    ssize_t got = coffer__stream_receive_now(&link->stream, words, sizeof words);
    if (got > 0) {
        came(link, words, got, coffer__clock_us());
    }
    came(link, words, -error, 0);
}

void coffer__link_flush(coffer__link *link) {
    while (coffer_conn_status(link->conn) == COFFER_OK) {
        coffer_slice out = coffer_conn_output(link->conn);
        if (out.len == 0) {
            return;
        }
        ssize_t sent = coffer__stream_send(&link->stream, out);
        if (sent == -EAGAIN) {
            return;
        }
        if (sent < 0) {
            could_not_send(link, (int)-sent);
            return;
        }
        coffer_conn_sent(link->conn, (size_t)sent);
    }
}

/* The kernel takes nothing more now: waits until it does, or bytes come. -EAGAIN: neither, or only the first. */
static ssize_t wait_both(coffer__link *link, char *buffer, size_t cap, uint64_t until_us) {
    short events = coffer__stream_wait(&link->stream, POLLIN | POLLOUT, until_us);
    return (events & ~POLLOUT) == 0 ? -EAGAIN : coffer__stream_receive_now(&link->stream, buffer, cap);
}

static ssize_t read_some(coffer__link *link, const coffer__limits *limits, uint64_t now_us, char *buffer, size_t cap) {
    uint64_t until_us = coffer__limits_first(limits);
    if (coffer_conn_output(link->conn).len > 0) { /* what the stream has taken is its own to send */
        return wait_both(link, buffer, cap, until_us);
    }
    return coffer__stream_receive(&link->stream, buffer, cap, now_us, until_us);
}

/* Nobody else has calls on this link: whoever is named is its only user. */
static bool has_news(coffer__link *link) {
    bool news = coffer_conn_status(link->conn) != COFFER_OK;
    coffer_waiter *waiter;
    while ((waiter = coffer_conn_pop_ready(link->conn)) != NULL) {
        coffer_waiter_free(waiter);
        news = true;
    }
    return news;
}

coffer_status coffer__link_exchange(coffer__link *link, const coffer__limits *limits, uint64_t *now_us, char *buffer, size_t cap) {
    for (;;) {
        coffer__link_flush(link);
        if (has_news(link)) {
            *now_us = coffer__clock_us();
            return COFFER_OK;
        }
        ssize_t got = read_some(link, limits, *now_us, buffer, cap);
        *now_us = coffer__clock_us();
        came(link, buffer, got, *now_us);
        if (has_news(link) || *now_us >= limits->deadline_us) {
            return COFFER_OK;
        }
        if (*now_us >= limits->slice_us) {
            return COFFER_AGAIN;
        }
    }
}
