#include "tls.h"

#include "base/alloc.h"
#include "clock.h"
#include "tls_session.h"

#include <poll.h>
#include <pthread.h>

enum { BATCH_BYTES = 128 << 10 };

struct coffer__tls {
    pthread_mutex_t mutex; /* of the session */
    coffer__tls_session session;
};

static ssize_t receive_from(void *stream, char *into, size_t cap) {
    return coffer__socket_receive_now(coffer__stream_fd((const coffer__stream *)stream), into, cap);
}

static coffer_slice unsent(const coffer__tls *tls) {
    return coffer__tls_session_unsent(&tls->session);
}

/* What the kernel takes now. 0 or why it does not, other than that it is full; that is no failure of TLS: what the server said is still to be read. */
static int flush(const coffer__stream *stream) {
    coffer__tls *tls = stream->tls;
    while (unsent(tls).len > 0) {
        ssize_t sent = coffer__socket_send(coffer__stream_fd(stream), unsent(tls));
        if (sent < 0) {
            return sent == -EAGAIN ? 0 : (int)-sent;
        }
        coffer__tls_session_sent(&tls->session, (size_t)sent);
    }
    return 0;
}

/* ---- making, ending ------------------------------------------------------------------------------------------------- */

coffer_status coffer__tls_new(coffer__stream *stream, coffer__tls_context *context, coffer_slice host) {
    coffer__tls *tls = (coffer__tls *)coffer__alloc_zero(sizeof *tls);
    if (tls == NULL || coffer__tls_session_init(&tls->session, context, host, receive_from, stream) != COFFER_OK) {
        coffer__release(tls);
        return COFFER_NO_MEMORY;
    }
    pthread_mutex_init(&tls->mutex, NULL);
    stream->tls = tls;
    return COFFER_OK;
}

/* Says goodbye where all is well and this process still has the socket: not in a forked child, whose parent goes on using it. */
void coffer__tls_free(coffer__stream *stream) {
    coffer__tls *tls = stream->tls;
    if (tls == NULL) {
        return;
    }
    if (coffer__stream_fd(stream) >= 0 && unsent(tls).len == 0) {
        coffer__tls_session_goodbye(&tls->session);
        (void)flush(stream);
    }
    stream->tls = NULL;
    coffer__tls_session_clear(&tls->session);
    pthread_mutex_destroy(&tls->mutex);
    coffer__release(tls);
}

const char *coffer__tls_failure(const coffer__tls *tls, coffer_status *status) {
    if (tls->session.status == COFFER_OK) {
        return NULL;
    }
    *status = tls->session.status;
    return tls->session.words;
}

/* ---- handshake ------------------------------------------------------------------------------------------------------ */

static coffer_status shake(const coffer__stream *stream) {
    coffer__tls *tls = stream->tls;
    coffer_status status = coffer__tls_session_shake(&tls->session);
    int failed = flush(stream); /* an alert too */
    if (failed != 0) { /* to send our last words too: the server has gone before it heard them */
        coffer__tls_session_broke(&tls->session, failed);
        return tls->session.status;
    }
    return status == COFFER_OK && unsent(tls).len > 0 ? COFFER_AGAIN : status;
}

coffer_status coffer__tls_handshake(coffer__stream *stream, uint64_t until_us) {
    coffer__tls *tls = stream->tls;
    for (;;) {
        pthread_mutex_lock(&tls->mutex);
        coffer_status status = shake(stream);
        short events = unsent(tls).len > 0 ? POLLIN | POLLOUT : POLLIN;
        pthread_mutex_unlock(&tls->mutex);
        if (status != COFFER_AGAIN || coffer__socket_wait(coffer__stream_fd(stream), events, until_us) == 0 || coffer__clock_us() >= until_us) {
            return status;
        }
    }
}

/* ---- bytes ---------------------------------------------------------------------------------------------------------- */

/* A batch is encrypted, then the kernel gets it. */
static ssize_t send_now(const coffer__stream *stream, coffer_slice bytes) {
    coffer__tls *tls = stream->tls;
    size_t taken = 0;
    if (tls->session.status != COFFER_OK) {
        return -EPIPE;
    }
    for (;;) {
        int failed = flush(stream);
        size_t left = bytes.len - taken;
        if (failed != 0 && taken == 0) {
            return -failed;
        }
        if (failed != 0 || left == 0 || unsent(tls).len > 0) {
            return taken == 0 && bytes.len > 0 ? -EAGAIN : (ssize_t)taken;
        }
        ssize_t got = coffer__tls_session_encrypt(&tls->session, coffer_slice_of(bytes.data + taken, left < BATCH_BYTES ? left : BATCH_BYTES));
        if (got < 0) {
            return taken > 0 ? (ssize_t)taken : got;
        }
        taken += (size_t)got;
    }
}

ssize_t coffer__tls_send(coffer__stream *stream, coffer_slice bytes) {
    pthread_mutex_lock(&stream->tls->mutex);
    ssize_t sent = send_now(stream, bytes);
    pthread_mutex_unlock(&stream->tls->mutex);
    return sent;
}

ssize_t coffer__tls_receive_now(coffer__stream *stream, char *into, size_t cap) {
    pthread_mutex_lock(&stream->tls->mutex);
    ssize_t got = coffer__tls_session_decrypt(&stream->tls->session, into, cap);
    (void)flush(stream); /* what there was to answer, or an alert */
    pthread_mutex_unlock(&stream->tls->mutex);
    return got;
}

bool coffer__tls_has_unsent(const coffer__stream *stream) {
    coffer__tls *tls = stream->tls;
    pthread_mutex_lock(&tls->mutex);
    bool has = unsent(tls).len > 0;
    pthread_mutex_unlock(&tls->mutex);
    return has;
}

bool coffer__tls_has_pending(const coffer__stream *stream) {
    coffer__tls *tls = stream->tls;
    pthread_mutex_lock(&tls->mutex);
    bool has = tls->session.status != COFFER_OK || (!tls->session.drained && SSL_has_pending(tls->session.ssl) == 1);
    pthread_mutex_unlock(&tls->mutex);
    return has;
}

short coffer__tls_wait(coffer__stream *stream, short events, uint64_t until_us) {
    if ((events & POLLIN) != 0 && coffer__tls_has_pending(stream)) {
        return POLLIN;
    }
    return coffer__socket_wait(coffer__stream_fd(stream), events, until_us);
}

ssize_t coffer__tls_receive(coffer__stream *stream, char *into, size_t cap, uint64_t until_us) {
    ssize_t got = coffer__tls_has_pending(stream) ? coffer__tls_receive_now(stream, into, cap) : -EAGAIN;
    while (got == -EAGAIN) {
        short events = coffer__socket_wait(coffer__stream_fd(stream), coffer__tls_has_unsent(stream) ? POLLIN | POLLOUT : POLLIN, until_us);
        if (events == 0) {
            return -EAGAIN;
        }
        ssize_t sent = (events & POLLOUT) == 0 ? 0 : coffer__tls_send(stream, coffer_slice_of(NULL, 0));
        bool cannot_send = sent < 0 && sent != -EAGAIN;
        got = (events & ~POLLOUT) == 0 && !cannot_send ? -EAGAIN : coffer__tls_receive_now(stream, into, cap);
        if (got == -EAGAIN && cannot_send) { /* nor did the server say why */
            return sent;
        }
        if (got == -EAGAIN && coffer__clock_us() >= until_us) { /* a part of a record each time, or a poll that fails */
            return -EAGAIN;
        }
    }
    return got;
}

/* A session ticket makes an idle connection readable: it may be read, if no byte for the application comes with it. */
bool coffer__tls_is_quiet(coffer__stream *stream) {
    coffer__tls *tls = stream->tls;
    char byte;
    if (!coffer__socket_is_quiet(coffer__stream_fd(stream)) && coffer__tls_receive_now(stream, &byte, 1) != -EAGAIN) {
        return false;
    }
    pthread_mutex_lock(&tls->mutex);
    bool quiet = tls->session.status == COFFER_OK && unsent(tls).len == 0 && SSL_has_pending(tls->session.ssl) == 0;
    pthread_mutex_unlock(&tls->mutex);
    return quiet;
}
