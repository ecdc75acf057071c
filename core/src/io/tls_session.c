#include "tls_session.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { KEPT_BYTES = 16 << 10, ALERT_BASE = 1000 }; /* ALERT_BASE: SSL_AD_REASON_OFFSET */

/* ---- BIO: OpenSSL's way out ------------------------------------------------------------------------------- */

static int bio_write(BIO *bio, const char *bytes, int len) {
    coffer__tls_session *tls = (coffer__tls_session *)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0 || !coffer__buf_append(&tls->out, bytes, (size_t)len)) {
        tls->error = ENOMEM;
        return -1;
    }
    return len;
}

static int bio_read(BIO *bio, char *into, int cap) {
    coffer__tls_session *tls = (coffer__tls_session *)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t got = cap <= 0 ? -EINVAL : tls->receive(tls->source, into, (size_t)cap);
    if (got == -EAGAIN) {
        BIO_set_retry_read(bio);
        return -1;
    }
    tls->at_end = got == 0;
    tls->error = got < 0 ? (int)-got : 0;
    return got < 0 ? -1 : (int)got;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    const coffer__tls_session *tls = (const coffer__tls_session *)BIO_get_data(bio);
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

coffer_status coffer__tls_session_init(coffer__tls_session *tls, coffer__tls_context *context, coffer_slice host, coffer__tls_receive_fn receive,
                                       void *source) {
    SSL *ssl = coffer__tls_context_connection(context, host);
    const BIO_METHOD *method = ssl == NULL ? NULL : bio_method();
    BIO *bio = method == NULL ? NULL : BIO_new(method);
    ERR_clear_error();
    memset(tls, 0, sizeof *tls);
    if (bio == NULL) {
        SSL_free(ssl);
        return COFFER_NO_MEMORY;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    tls->receive = receive;
    tls->source = source;
    tls->ssl = ssl;
    return COFFER_OK;
}

void coffer__tls_session_clear(coffer__tls_session *tls) {
    SSL_free(tls->ssl);
    ERR_clear_error();
    coffer__buf_free(&tls->out);
}

void coffer__tls_session_sent(coffer__tls_session *tls, size_t bytes) {
    tls->sent_bytes += bytes;
    if (tls->sent_bytes < tls->out.len / 2) {
        return;
    }
    coffer__buf_consume(&tls->out, tls->sent_bytes);
    tls->sent_bytes = 0;
    if (tls->out.len == 0 && tls->out.cap > KEPT_BYTES) {
        coffer__buf_free(&tls->out);
    }
}

void coffer__tls_session_goodbye(coffer__tls_session *tls) {
    if (tls->status == COFFER_OK && tls->open) {
        ERR_clear_error();
        (void)SSL_shutdown(tls->ssl);
        ERR_clear_error();
    }
}

/* ---- failures ------------------------------------------------------------------------------------------------------- */

static void say_memory(coffer__tls_session *tls) {
    tls->status = COFFER_NO_MEMORY;
    snprintf(tls->words, sizeof tls->words, "%s", strerror(ENOMEM));
}

static void say_certificate(coffer__tls_session *tls, long result) {
    const char *wanted = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    tls->status = COFFER_CERTIFICATE;
    if (result == X509_V_ERR_HOSTNAME_MISMATCH) {
        snprintf(tls->words, sizeof tls->words, "the server's certificate is not for the name '%.100s'", wanted == NULL ? "" : wanted);
    } else {
        snprintf(tls->words, sizeof tls->words, "the server's certificate was refused: %s", X509_verify_cert_error_string(result));
    }
}

/* A fatal alert that the server sent. Some are about our certificate, which under TLS 1.3 is looked at when we have finished already. */
static void say_alert(coffer__tls_session *tls, unsigned long code) {
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

static void say_reason(coffer__tls_session *tls, unsigned long code) {
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

static void say_end(coffer__tls_session *tls) {
    tls->status = COFFER_CLOSED;
    snprintf(tls->words, sizeof tls->words, "%s",
             tls->open ? "the server hung up without ending TLS (no close_notify)" : "the server hung up during the TLS handshake");
}

static void say_error(coffer__tls_session *tls) {
    tls->status = tls->error == ENOMEM ? COFFER_NO_MEMORY : tls->error == ECONNRESET ? COFFER_CLOSED : COFFER_IO;
    snprintf(tls->words, sizeof tls->words, "%s", strerror(tls->error));
}

/* After SSL said that it failed: why, from the most telling to the least. */
static void fail(coffer__tls_session *tls) {
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
static ssize_t outcome(coffer__tls_session *tls, int result) {
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

static ssize_t failed_before(const coffer__tls_session *tls) {
    return tls->ended ? 0 : -EPROTO;
}

void coffer__tls_session_broke(coffer__tls_session *tls, int error) {
    if (tls->status == COFFER_OK) {
        tls->error = error;
        say_error(tls);
    }
}

void coffer__tls_session_hung_up(coffer__tls_session *tls) {
    if (tls->status == COFFER_OK) {
        tls->at_end = true;
        say_end(tls);
    }
}

/* ---- handshake ------------------------------------------------------------------------------------------------------ */

static ssize_t check_name(coffer__tls_session *tls) {
    int is_right = coffer__tls_context_names(tls->ssl);
    if (is_right < 0) {
        say_memory(tls);
    } else if (is_right == 0) {
        say_certificate(tls, X509_V_ERR_HOSTNAME_MISMATCH);
    }
    ERR_clear_error();
    return is_right > 0 ? 1 : -EPROTO;
}

coffer_status coffer__tls_session_shake(coffer__tls_session *tls) {
    ERR_clear_error();
    ssize_t done = tls->status == COFFER_OK ? outcome(tls, SSL_do_handshake(tls->ssl)) : failed_before(tls);
    done = done > 0 ? check_name(tls) : done;
    tls->open = done > 0;
    return tls->status != COFFER_OK ? tls->status : done > 0 ? COFFER_OK : COFFER_AGAIN;
}

/* ---- bytes ---------------------------------------------------------------------------------------------------------- */

ssize_t coffer__tls_session_encrypt(coffer__tls_session *tls, coffer_slice bytes) {
    size_t taken = 0;
    ERR_clear_error();
    while (taken < bytes.len) {
        size_t most = bytes.len - taken < INT32_MAX ? bytes.len - taken : INT32_MAX;
        ssize_t got = tls->status != COFFER_OK ? -EPIPE : outcome(tls, SSL_write(tls->ssl, bytes.data + taken, (int)most));
        if (got <= 0) {
            return taken > 0 ? (ssize_t)taken : got == 0 ? -EPIPE : got;
        }
        taken += (size_t)got;
    }
    return (ssize_t)taken;
}

ssize_t coffer__tls_session_decrypt(coffer__tls_session *tls, char *into, size_t cap) {
    size_t len = 0;
    ERR_clear_error();
    if (tls->status != COFFER_OK) {
        return failed_before(tls);
    }
    do {
        size_t room = cap - len < INT32_MAX ? cap - len : INT32_MAX;
        ssize_t got = outcome(tls, SSL_read(tls->ssl, into + len, (int)room));
        if (got <= 0) {
            return len > 0 ? (ssize_t)len : got;
        }
        len += (size_t)got;
        tls->drained = false;
    } while (len < cap && SSL_has_pending(tls->ssl) == 1);
    return (ssize_t)len;
}
