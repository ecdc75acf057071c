/* coffer/tls.h: a session between slices instead of on a socket. */
#include <coffer/tls.h>

#include "base/alloc.h"
#include "base/error.h"
#include "link.h"
#include "secure.h"
#include "tls_session.h"

#include <errno.h>
#include <stdio.h>

enum { READ_BYTES = 16 << 10, MESSAGE_CAP = COFFER__NAME_CAP + COFFER__TLS_WORDS_CAP };

struct coffer_tls {
    coffer__tls_session session;
    coffer_client *client;
    const coffer_endpoint *endpoint;
    coffer__tls_context *context; /* the client's */
    coffer_slice in; /* of the present feed: what the session has not read yet */
    coffer__buf plain; /* what the last feed gave */
    coffer__buf held; /* written while the session had to hear from the server first */
    bool counted; /* the context was told how the handshake ended */
    char message[MESSAGE_CAP]; /* "" while all is well */
};

static ssize_t receive_from(void *source, char *into, size_t cap) {
    coffer_tls *tls = (coffer_tls *)source;
    size_t len = tls->in.len < cap ? tls->in.len : cap;
    if (len == 0) {
        return -EAGAIN;
    }
    memcpy(into, tls->in.data, len);
    tls->in = coffer_slice_of(tls->in.data + len, tls->in.len - len);
    return (ssize_t)len;
}

/* What was found since it was last asked for: how the handshake ended, and the first failure. */
static coffer_status tell(coffer_tls *tls) {
    coffer_status status = tls->session.status;
    if (!tls->counted && (status != COFFER_OK || tls->session.open)) {
        tls->counted = true;
        coffer__tls_context_shook(tls->context, tls->session.open);
    }
    if (status != COFFER_OK && tls->message[0] == '\0') {
        char name[COFFER__NAME_CAP];
        snprintf(tls->message, sizeof tls->message, "%s: %s", coffer_endpoint_name(tls->endpoint, name, sizeof name), tls->session.words);
    }
    return status;
}

/* ---- making, ending --------------------------------------------------------------------------------------------- */

static coffer_status begin(coffer_tls **tls, coffer_client *client, const coffer_endpoint *endpoint, coffer__tls_context *context) {
    coffer_tls *made = (coffer_tls *)coffer__alloc_zero(sizeof *made);
    if (made == NULL || coffer__tls_session_init(&made->session, context, endpoint->host, receive_from, made) != COFFER_OK) {
        coffer__release(made);
        return COFFER_NO_MEMORY;
    }
    coffer_client_ref(client);
    made->client = client;
    made->endpoint = endpoint;
    made->context = context;
    *tls = made;
    return COFFER_OK;
}

coffer_status coffer_tls_new(coffer_tls **tls, coffer_client *client, const coffer_endpoint *endpoint, coffer_error *error) {
    char name[COFFER__NAME_CAP];
    coffer__tls_context *context;
    coffer_tls *made;
    *tls = NULL;
    coffer_status status = coffer__secure_tls(client, endpoint, &context, error);
    if (status != COFFER_OK) {
        return status;
    }
    if ((status = begin(&made, client, endpoint, context)) != COFFER_OK) {
        return coffer__error_set(error, status, "%s: %s", coffer_endpoint_name(endpoint, name, sizeof name), coffer_status_text(status));
    }
    (void)coffer__tls_session_shake(&made->session);
    if ((status = tell(made)) != COFFER_OK) {
        coffer__error_set(error, status, "%s", made->message);
        coffer_tls_free(made);
        return status;
    }
    *tls = made;
    return COFFER_OK;
}

void coffer_tls_free(coffer_tls *tls) {
    if (tls != NULL) {
        coffer__tls_session_clear(&tls->session);
        coffer__buf_free(&tls->plain);
        coffer__buf_wipe(&tls->held); /* it may hold a password */
        coffer_client_free(tls->client);
        coffer__release(tls);
    }
}

void coffer_tls_shutdown(coffer_tls *tls) {
    coffer__tls_session_goodbye(&tls->session);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static void out_of_memory(coffer_tls *tls) {
    coffer__tls_session_broke(&tls->session, ENOMEM);
}

/* Before hands were shaken, and when a message of the handshake came in pieces behind it, the session takes nothing. */
static void write_or_hold(coffer_tls *tls, coffer_slice plain) {
    ssize_t taken = tls->session.open ? coffer__tls_session_encrypt(&tls->session, plain) : -EAGAIN;
    size_t len = taken > 0 ? (size_t)taken : 0;
    if (tls->session.status == COFFER_OK && len < plain.len && !coffer__buf_append(&tls->held, plain.data + len, plain.len - len)) {
        out_of_memory(tls);
    }
}

static void write_held(coffer_tls *tls) {
    coffer__buf held = tls->held;
    if (held.len > 0) {
        tls->held = (coffer__buf)COFFER__BUF_INIT;
        write_or_hold(tls, coffer__buf_slice(&held));
        coffer__buf_wipe(&held);
    }
}

/* All that came is decrypted. */
static void read_all(coffer_tls *tls) {
    ssize_t got;
    do {
        if (!coffer__buf_reserve(&tls->plain, READ_BYTES)) {
            out_of_memory(tls);
            return;
        }
        got = coffer__tls_session_decrypt(&tls->session, tls->plain.data + tls->plain.len, tls->plain.cap - tls->plain.len);
        tls->plain.len += got > 0 ? (size_t)got : 0;
    } while (got > 0 && (tls->in.len > 0 || SSL_has_pending(tls->session.ssl) == 1));
}

coffer_status coffer_tls_feed(coffer_tls *tls, coffer_slice in, coffer_slice *plain) {
    coffer__buf_clear(&tls->plain);
    if (tls->plain.cap > READ_BYTES) {
        coffer__buf_free(&tls->plain);
    }
    tls->in = in;
    if (!tls->session.open) {
        (void)coffer__tls_session_shake(&tls->session);
    }
    if (tls->session.open) {
        read_all(tls);
        write_held(tls);
    }
    tls->in = coffer_slice_of(NULL, 0);
    *plain = coffer__buf_slice(&tls->plain);
    return tell(tls);
}

coffer_status coffer_tls_end(coffer_tls *tls) {
    coffer__tls_session_hung_up(&tls->session);
    return tell(tls);
}

coffer_status coffer_tls_write(coffer_tls *tls, coffer_slice plain) {
    if (tls->held.len > 0 && !coffer__buf_append_slice(&tls->held, plain)) {
        out_of_memory(tls);
    } else if (tls->held.len == 0) {
        write_or_hold(tls, plain);
    }
    return tell(tls);
}

coffer_slice coffer_tls_output(const coffer_tls *tls) {
    return coffer__tls_session_unsent(&tls->session);
}

void coffer_tls_sent(coffer_tls *tls, size_t sent_bytes) {
    coffer__tls_session_sent(&tls->session, sent_bytes);
}

/* ---- how it is -------------------------------------------------------------------------------------------------- */

bool coffer_tls_ready(const coffer_tls *tls) {
    return tls->session.open && tls->session.status == COFFER_OK;
}

coffer_status coffer_tls_status(const coffer_tls *tls) {
    return tls->session.status;
}

const char *coffer_tls_message(const coffer_tls *tls) {
    return tls->message;
}
