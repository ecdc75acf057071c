#include "tls.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "clock.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_CAP = 224, BATCH_BYTES = 128 << 10, KEPT_BYTES = 16 << 10, ALERT_BASE = 1000 }; /* ALERT_BASE: SSL_AD_REASON_OFFSET */

struct coffer__tls {
    pthread_mutex_t mutex; /* of all that follows */
    const coffer__stream *stream;
    SSL *ssl;
    coffer__buf out;
    size_t sent_bytes; /* of out */
    coffer_status status; /* of the first failure; below 0: nothing works any more */
    bool open; /* hands were shaken */
    bool ended; /* the server said close_notify */
    bool at_end; /* the socket's end was read */
    bool drained; /* SSL gives nothing more before the socket does; what it may hold is a part of a record */
    int error; /* what the socket said, or ENOMEM; errno */
    char words[WORDS_CAP];
};

/* ---- BIO: OpenSSL's way to the socket ------------------------------------------------------------------------------- */

static int bio_write(BIO *bio, const char *bytes, int len) {
    coffer__tls *tls = (coffer__tls *)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0 || !coffer__buf_append(&tls->out, bytes, (size_t)len)) {
        tls->error = ENOMEM;
        return -1;
    }
    return len;
}

static int bio_read(BIO *bio, char *into, int cap) {
    coffer__tls *tls = (coffer__tls *)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t got = cap <= 0 ? -EINVAL : coffer__socket_receive_now(coffer__stream_fd(tls->stream), into, (size_t)cap);
    if (got == -EAGAIN) {
        BIO_set_retry_read(bio);
        return -1;
    }
    tls->at_end = got == 0;
    tls->error = got < 0 ? (int)-got : 0;
    return got < 0 ? -1 : (int)got;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    const coffer__tls *tls = (const coffer__tls *)BIO_get_data(bio);
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF) {
        return tls->at_end;
    }
    return command == BIO_CTRL_FLUSH;
}

/* One for the process, made at first use and kept. NULL where memory is short. */
static const BIO_METHOD *bio_method(void) {
    static _Atomic(BIO_METHOD *) shared;
    BIO_METHOD *method = atomic_load(&shared), *none = NULL;
    if (method != NULL || (method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "coffer")) == NULL) {
        return method;
    }
    bool is_set =
        BIO_meth_set_write(method, bio_write) == 1 && BIO_meth_set_read(method, bio_read) == 1 && BIO_meth_set_ctrl(method, bio_control) == 1;
    if (!is_set || !atomic_compare_exchange_strong(&shared, &none, method)) {
        BIO_meth_free(method);
        return is_set ? none : NULL;
    }
    return method;
}

/* ---- making, ending ------------------------------------------------------------------------------------------------- */

coffer_status coffer__tls_new(coffer__stream *stream, coffer__tls_context *context, coffer_slice host) {
    coffer__tls *tls = (coffer__tls *)coffer__alloc_zero(sizeof *tls);
    SSL *ssl = tls == NULL ? NULL : coffer__tls_context_connection(context, host);
    const BIO_METHOD *method = ssl == NULL ? NULL : bio_method();
    BIO *bio = method == NULL ? NULL : BIO_new(method);
    ERR_clear_error();
    if (bio == NULL) {
        SSL_free(ssl);
        coffer__release(tls);
        return COFFER_NO_MEMORY;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    pthread_mutex_init(&tls->mutex, NULL);
    tls->stream = stream;
    tls->ssl = ssl;
    stream->tls = tls;
    return COFFER_OK;
}

static coffer_slice unsent(const coffer__tls *tls) {
    return coffer_slice_of(tls->out.data + tls->sent_bytes, tls->out.len - tls->sent_bytes);
}

/* What the kernel takes now. 0 or why it does not, other than that it is full; that is no failure of TLS: what the server said is still to be read. */
static int flush(coffer__tls *tls) {
    while (tls->sent_bytes < tls->out.len) {
        ssize_t sent = coffer__socket_send(coffer__stream_fd(tls->stream), unsent(tls));
        if (sent < 0) {
            return sent == -EAGAIN ? 0 : (int)-sent;
        }
        tls->sent_bytes += (size_t)sent;
    }
    tls->sent_bytes = 0;
    coffer__buf_clear(&tls->out);
    if (tls->out.cap > KEPT_BYTES) {
        coffer__buf_free(&tls->out);
    }
    return 0;
}

/* Says goodbye where all is well and this process still has the socket: not in a forked child, whose parent goes on using it. */
void coffer__tls_free(coffer__stream *stream) {
    coffer__tls *tls = stream->tls;
    stream->tls = NULL;
    if (tls == NULL) {
        return;
    }
    if (coffer__stream_fd(stream) >= 0 && tls->status == COFFER_OK && unsent(tls).len == 0 && tls->open) {
        (void)SSL_shutdown(tls->ssl);
        (void)flush(tls);
    }
    SSL_free(tls->ssl);
    ERR_clear_error();
    coffer__buf_free(&tls->out);
    pthread_mutex_destroy(&tls->mutex);
    coffer__release(tls);
}

/* ---- failures ------------------------------------------------------------------------------------------------------- */

static void say_memory(coffer__tls *tls) {
    tls->status = COFFER_NO_MEMORY;
    snprintf(tls->words, sizeof tls->words, "%s", strerror(ENOMEM));
}

static void say_certificate(coffer__tls *tls, long result) {
    const char *wanted = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    tls->status = COFFER_CERTIFICATE;
    if (result == X509_V_ERR_HOSTNAME_MISMATCH) {
        snprintf(tls->words, sizeof tls->words, "the server's certificate is not for the name '%.100s'", wanted == NULL ? "" : wanted);
    } else {
        snprintf(tls->words, sizeof tls->words, "the server's certificate was refused: %s", X509_verify_cert_error_string(result));
    }
}

/* A fatal alert that the server sent. Some are about our certificate, which under TLS 1.3 is looked at when we have finished already. */
static void say_alert(coffer__tls *tls, unsigned long code) {
    int alert = ERR_GET_REASON(code) - ALERT_BASE;
    const char *text = ERR_reason_error_string(code), *name = text == NULL ? NULL : strstr(text, "alert "); /* "tlsv1 alert unknown ca" */
    static const uint8_t about_ours[] = {40, 41, 42, 43, 44, 45, 46, 48, 49, 116};
    const char *hint = "";
    for (size_t i = 0; i < sizeof about_ours; i++) {
        if (alert == about_ours[i]) {
            hint = SSL_get_certificate(tls->ssl) == NULL ? " (it may want a client certificate: tls_cert_file)"
                                                         : " (it may have refused our certificate)";
        }
    }
    tls->status = COFFER_TLS;
    snprintf(tls->words, sizeof tls->words, "the server sent the TLS alert %d '%s'%s", alert, name == NULL ? "" : name + strlen("alert "), hint);
}

static void say_reason(coffer__tls *tls, unsigned long code) {
    static const int of_others[] = {SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST, SSL_R_UNEXPECTED_MESSAGE,
                                    SSL_R_PACKET_LENGTH_TOO_LONG};
    const char *text = ERR_reason_error_string(code);
    tls->status = COFFER_TLS;
    for (size_t i = 0; i < sizeof of_others / sizeof of_others[0]; i++) {
        if (!tls->open && ERR_GET_REASON(code) == of_others[i]) {
            snprintf(tls->words, sizeof tls->words, "what the server said is not TLS (%s): is this its TLS port?", text == NULL ? "" : text);
            return;
        }
    }
    snprintf(tls->words, sizeof tls->words, "TLS: %s", text == NULL ? "OpenSSL failed" : text);
}

static void say_end(coffer__tls *tls) {
    tls->status = COFFER_CLOSED;
    snprintf(tls->words, sizeof tls->words, "%s",
             tls->open ? "the server hung up without ending TLS (no close_notify)" : "the server hung up during the TLS handshake");
}

static void say_error(coffer__tls *tls) {
    tls->status = tls->error == ENOMEM ? COFFER_NO_MEMORY : tls->error == ECONNRESET ? COFFER_CLOSED : COFFER_IO;
    snprintf(tls->words, sizeof tls->words, "%s", strerror(tls->error));
}

/* After SSL said that it failed: why, from the most telling to the least. */
static void fail(coffer__tls *tls) {
    unsigned long code = ERR_peek_last_error();
    int cause = ERR_GET_REASON(code);
    long verified = SSL_get_verify_result(tls->ssl);
    if (cause == ERR_R_MALLOC_FAILURE || ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE) {
        tls->error = ENOMEM;
    }
    if (cause == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
        say_certificate(tls, verified);
    } else if (tls->error != 0) {
        say_error(tls);
    } else if (tls->at_end) {
        say_end(tls);
    } else if (ERR_GET_LIB(code) == ERR_LIB_SSL && cause > ALERT_BASE && cause < ALERT_BASE + 256) {
        say_alert(tls, code);
    } else {
        say_reason(tls, code);
    }
}

/* What SSL answered to an operation, as a count: -EAGAIN where it wants more from the server. */
static ssize_t outcome(coffer__tls *tls, int result) {
    if (result > 0) {
        return result;
    }
    int why = SSL_get_error(tls->ssl, result);
    if (why == SSL_ERROR_WANT_READ) {
        tls->drained = true;
        ERR_clear_error();
        return -EAGAIN;
    }
    if (why == SSL_ERROR_ZERO_RETURN) {
        tls->ended = true;
        tls->status = COFFER_CLOSED;
        snprintf(tls->words, sizeof tls->words, "the server ended TLS (close_notify)");
    } else {
        fail(tls);
    }
    ERR_clear_error();
    return tls->ended ? 0 : -EPROTO;
}

static ssize_t failed_before(const coffer__tls *tls) {
    return tls->ended ? 0 : -EPROTO;
}

const char *coffer__tls_failure(const coffer__tls *tls, coffer_status *status) {
    if (tls->status == COFFER_OK) {
        return NULL;
    }
    *status = tls->status;
    return tls->words;
}

/* ---- handshake ------------------------------------------------------------------------------------------------------ */

static ssize_t check_name(coffer__tls *tls) {
    int is_right = coffer__tls_context_names(tls->ssl);
    if (is_right < 0) {
        say_memory(tls);
    } else if (is_right == 0) {
        say_certificate(tls, X509_V_ERR_HOSTNAME_MISMATCH);
    }
    ERR_clear_error();
    return is_right > 0 ? 1 : -EPROTO;
}

static coffer_status shake(coffer__tls *tls) {
    ERR_clear_error();
    ssize_t done = tls->status == COFFER_OK ? outcome(tls, SSL_do_handshake(tls->ssl)) : failed_before(tls);
    done = done > 0 ? check_name(tls) : done;
    int failed = flush(tls); /* an alert too */
    tls->open = done > 0 && failed == 0;
    if (tls->status == COFFER_OK && failed != 0) { /* of our last words too: the server has gone before it heard them */
        tls->error = failed;
        say_error(tls);
    }
    return tls->status != COFFER_OK ? tls->status : done > 0 && unsent(tls).len == 0 ? COFFER_OK : COFFER_AGAIN;
}

coffer_status coffer__tls_handshake(coffer__stream *stream, uint64_t until_us) {
    coffer__tls *tls = stream->tls;
    for (;;) {
        pthread_mutex_lock(&tls->mutex);
        coffer_status status = shake(tls);
        short events = unsent(tls).len > 0 ? POLLIN | POLLOUT : POLLIN;
        pthread_mutex_unlock(&tls->mutex);
        if (status != COFFER_AGAIN || coffer__socket_wait(coffer__stream_fd(stream), events, until_us) == 0 || coffer__clock_us() >= until_us) {
            return status;
        }
    }
}

/* ---- bytes ---------------------------------------------------------------------------------------------------------- */

/* OpenSSL encrypts into `out`; a batch, then the kernel gets it. */
static ssize_t send_batch(coffer__tls *tls, coffer_slice bytes) {
    size_t taken = 0, most = bytes.len < BATCH_BYTES ? bytes.len : BATCH_BYTES;
    while (taken < most) {
        ssize_t got = outcome(tls, SSL_write(tls->ssl, bytes.data + taken, (int)(most - taken)));
        if (got <= 0) {
            return taken > 0 ? (ssize_t)taken : got == 0 ? -EPIPE : got;
        }
        taken += (size_t)got;
    }
    return (ssize_t)taken;
}

static ssize_t send_now(coffer__tls *tls, coffer_slice bytes) {
    size_t taken = 0;
    if (tls->status != COFFER_OK) {
        return -EPIPE;
    }
    for (;;) {
        int failed = flush(tls);
        if (failed != 0 && taken == 0) {
            return -failed;
        }
        if (failed != 0 || taken == bytes.len || unsent(tls).len > 0) {
            return taken == 0 && bytes.len > 0 ? -EAGAIN : (ssize_t)taken;
        }
        ssize_t got = send_batch(tls, coffer_slice_of(bytes.data + taken, bytes.len - taken));
        if (got < 0) {
            return taken > 0 ? (ssize_t)taken : got;
        }
        taken += (size_t)got;
    }
}

ssize_t coffer__tls_send(coffer__stream *stream, coffer_slice bytes) {
    coffer__tls *tls = stream->tls;
    pthread_mutex_lock(&tls->mutex);
    ERR_clear_error();
    ssize_t sent = send_now(tls, bytes);
    pthread_mutex_unlock(&tls->mutex);
    return sent;
}

/* As much as is there and fits. What fails behind bytes that came stays for the next time. */
static ssize_t read_now(coffer__tls *tls, char *into, size_t cap) {
    size_t len = 0;
    if (tls->status != COFFER_OK) {
        return failed_before(tls);
    }
    do {
        size_t room = cap - len < INT32_MAX ? cap - len : INT32_MAX;
        ssize_t got = outcome(tls, SSL_read(tls->ssl, into + len, (int)room));
        if (got <= 0) {
            (void)flush(tls);
            return len > 0 ? (ssize_t)len : got;
        }
        len += (size_t)got;
        tls->drained = false;
    } while (len < cap && SSL_has_pending(tls->ssl) == 1);
    return (ssize_t)len;
}

ssize_t coffer__tls_receive_now(coffer__stream *stream, char *into, size_t cap) {
    coffer__tls *tls = stream->tls;
    pthread_mutex_lock(&tls->mutex);
    ERR_clear_error();
    ssize_t got = read_now(tls, into, cap);
    pthread_mutex_unlock(&tls->mutex);
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
    bool has = tls->status != COFFER_OK || (!tls->drained && SSL_has_pending(tls->ssl) == 1);
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
    bool quiet = tls->status == COFFER_OK && unsent(tls).len == 0 && SSL_has_pending(tls->ssl) == 0;
    pthread_mutex_unlock(&tls->mutex);
    return quiet;
}
