/* tls_session: one TLS connection without its socket. tls.c puts it on a stream's, tls_memory.c between the slices of coffer/tls.h.
 *
 *      SSL --- what it wants to say ---> out --- unsent, sent ---> the socket --- receive ---> SSL
 *
 * OpenSSL writes into `out`, never to a socket, so that it never wants to write: what it has taken has been sent as far as the caller is concerned,
 * and the kernel gets many records at once. What came it gets from `receive`, which never waits, a record or more at a time.
 * Its error queue is empty before and after each call. The first failure stays. After it nothing is said to the server any more: no close_notify.
 * One thread at a time. */
#ifndef COFFER_IO_TLS_SESSION_H
#define COFFER_IO_TLS_SESSION_H

#include "base/buf.h"
#include "tls_context.h"

#include <sys/types.h>

/* What has come, without waiting: a count, 0 at the end, -EAGAIN where there is nothing, else -errno. */
typedef ssize_t (*coffer__tls_receive_fn)(void *source, char *into, size_t cap);

enum { COFFER__TLS_WORDS_CAP = 224 };

typedef struct coffer__tls_session {
    SSL *ssl;
    coffer__tls_receive_fn receive;
    void *source;
    coffer__buf out;
    size_t sent_bytes; /* of out */
    coffer_status status; /* of the first failure; below 0: nothing works any more */
    bool open; /* hands were shaken */
    bool ended; /* the server said close_notify */
    bool at_end; /* the socket's end was read */
    bool drained; /* SSL gives nothing more before the socket does; what it may hold is a part of a record */
    int error; /* what the socket said, or ENOMEM; errno */
    char words[COFFER__TLS_WORDS_CAP]; /* of the failure */
} coffer__tls_session;

/* It is not moved afterwards. The context is used for the length of this call alone. NO_MEMORY: there is nothing to clear. */
coffer_status coffer__tls_session_init(coffer__tls_session *tls, coffer__tls_context *context, coffer_slice host, coffer__tls_receive_fn receive,
                                       void *source);
void coffer__tls_session_clear(coffer__tls_session *tls);

/* OK: hands were shaken and the name was checked, though our last words may be unsent; AGAIN: more has to come; else the failure. */
coffer_status coffer__tls_session_shake(coffer__tls_session *tls);

/* Counts; -EAGAIN: more has to come first. Below 0, or 0 where the server has ended TLS: it failed. */
ssize_t coffer__tls_session_encrypt(coffer__tls_session *tls, coffer_slice bytes);
ssize_t coffer__tls_session_decrypt(coffer__tls_session *tls, char *into, size_t cap); /* what fails behind bytes that came stays for the next time */

static inline coffer_slice coffer__tls_session_unsent(const coffer__tls_session *tls) {
    return coffer_slice_of(tls->out.data + tls->sent_bytes, tls->out.len - tls->sent_bytes);
}
void coffer__tls_session_sent(coffer__tls_session *tls, size_t bytes);

void coffer__tls_session_goodbye(coffer__tls_session *tls); /* close_notify into `out`, where all is well */

/* The socket failed or ended, where nothing did before. */
void coffer__tls_session_broke(coffer__tls_session *tls, int error);
void coffer__tls_session_hung_up(coffer__tls_session *tls);

#endif
