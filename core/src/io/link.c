#include "link.h"

#include "base/alloc.h"
#include "clock.h"
#include "dial.h"
#include "engine/access.h"
#include "policy/options_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

coffer_status coffer__link_new(coffer__link **link, coffer_client *client, const coffer_endpoint *endpoint) {
    coffer__link *made = (coffer__link *)coffer__alloc_zero(sizeof *made);
    if (made == NULL || (made->dial = coffer__dial_new()) == NULL) {
        coffer__release(made);
        return COFFER_NO_MEMORY;
    }
    coffer__stream_init(&made->stream);
    atomic_init(&made->users, 1); /* who makes it */
    atomic_init(&made->broken, false);
    pthread_mutex_init(&made->mutex, NULL);
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
        pthread_mutex_destroy(&link->mutex);
        coffer__release(link);
    }
}

coffer_status coffer__link_connect(coffer__link *link, const coffer__limits *limits, char detail[COFFER__DETAIL_CAP]) {
    coffer_status status = coffer__dial_go(link->dial, link, limits, detail);
    if (status != COFFER_OK) {
        return status;
    }
    int failed = coffer__socket_settle(coffer__stream_fd(&link->stream), coffer_client_options(link->client)->keepalive_ms);
    if (failed != 0) {
        char name[COFFER__NAME_CAP];
        snprintf(detail, COFFER__DETAIL_CAP, "%s: %s", coffer_endpoint_name(link->endpoint, name, sizeof name), strerror(failed));
        return COFFER_CONNECT;
    }
    const coffer__login *login = coffer__dial_login(link->dial);
    status = coffer_conn_new_as(&link->conn, link->client, link->endpoint, coffer__buf_slice(&login->username), coffer__buf_slice(&login->password),
                                coffer__clock_ms());
    coffer__dial_free(link->dial);
    link->dial = NULL;
    link->moved_us = coffer__clock_us();
    return status;
}

/* ---- bytes ---------------------------------------------------------------------------------------------------- */

static void fail(coffer__link *link, coffer_status why, const char *what) {
    char name[COFFER__NAME_CAP], detail[COFFER__DETAIL_CAP];
    snprintf(detail, sizeof detail, "%s: %s", coffer_endpoint_name(link->endpoint, name, sizeof name), what);
    coffer_conn_fail(link->conn, why, detail);
}

void coffer__link_came(coffer__link *link, const char *bytes, ssize_t got, uint64_t now_us) {
    if (got > 0) {
        link->moved_us = now_us;
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
    uint64_t now_us = coffer__clock_us();
    ssize_t got = coffer__stream_receive_now(&link->stream, words, sizeof words);
    if (got > 0) {
        coffer__link_came(link, words, got, now_us);
    }
    coffer__link_came(link, words, -error, now_us);
}

void coffer__link_flush(coffer__link *link, const void *reader) {
    while (coffer_conn_status(link->conn) == COFFER_OK) {
        coffer_slice out = coffer_conn_output(link->conn);
        if (out.len == 0 && !coffer__stream_has_unsent(&link->stream)) {
            return;
        }
        ssize_t sent = coffer__stream_send(&link->stream, out);
        if (sent == -EAGAIN || (sent == 0 && out.len == 0)) {
            return;
        }
        if (sent >= 0) {
            coffer_conn_sent(link->conn, (size_t)sent);
        } else if (link->leader == NULL || link->leader == reader) {
            could_not_send(link, (int)-sent);
        } else { /* bytes that the leader has read and not told yet come before any that could be read here */
            return;
        }
    }
}

/* ---- fit for use ------------------------------------------------------------------------------------------------ */

uint64_t coffer__link_heed_stall(coffer__link *link, uint64_t now_us) {
    uint64_t limit_ms = coffer_client_options(link->client)->timeout_ms + COFFER__STALL_GRACE_MS;
    if (coffer_conn_due(link->conn) == 0) {
        return coffer__clock_add_ms(now_us, limit_ms);
    }
    uint64_t end_us = coffer__clock_add_ms(link->moved_us, limit_ms);
    if (now_us >= end_us) {
        fail(link, COFFER_TIMEOUT, "no reply came for as long as a call may take");
        coffer__stream_shut(&link->stream); /* whoever reads is let go */
    }
    return end_us;
}

bool coffer__link_is_usable(coffer__link *link, uint64_t now_us) {
    if (coffer_conn_due(link->conn) > 0) {
        coffer__link_heed_stall(link, now_us);
    } else if (!coffer__stream_is_quiet(&link->stream)) {
        return false;
    }
    return coffer_conn_status(link->conn) == COFFER_OK;
}
