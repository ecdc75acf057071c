/* stream: a connected socket, plain or under TLS. A link speaks to its server through this and nothing else.
 *
 *     coffer__stream_init(&stream)
 *     coffer__stream_connect(&stream, address)        coffer__socket_connect; dial.c waits until it is open, and shakes hands (tls.h)
 *     coffer__stream_send / receive / ...
 *     coffer__stream_close(&stream)
 *
 * Bytes taken or come are counts; failures are -errno, of which coffer__stream_failure tells the status and the words. -EAGAIN is no failure.
 * One caller may send while another receives; two may not do the same at once. A wait holds nothing.
 * Plain, each is the one system call of socket.h; under TLS, tls.c. */
#ifndef COFFER_IO_STREAM_H
#define COFFER_IO_STREAM_H

#include "socket.h"
#include <coffer/status.h>

#include <errno.h>
#include <stdatomic.h>

typedef struct coffer__tls coffer__tls;

typedef struct coffer__stream {
    _Atomic int fd; /* -1: none; read by a forked child */
    coffer__tls *tls; /* NULL: plain */
} coffer__stream;

/* tls.c: what the functions below do under TLS. */
void coffer__tls_free(coffer__stream *stream);
ssize_t coffer__tls_send(coffer__stream *stream, coffer_slice bytes);
ssize_t coffer__tls_receive(coffer__stream *stream, char *into, size_t cap, uint64_t until_us);
ssize_t coffer__tls_receive_now(coffer__stream *stream, char *into, size_t cap);
bool coffer__tls_has_pending(const coffer__stream *stream);
bool coffer__tls_has_unsent(const coffer__stream *stream);
short coffer__tls_wait(coffer__stream *stream, short events, uint64_t until_us);
bool coffer__tls_is_quiet(coffer__stream *stream);
const char *coffer__tls_failure(const coffer__tls *tls, coffer_status *status); /* NULL: nothing failed under TLS itself */

static inline void coffer__stream_init(coffer__stream *stream) {
    atomic_init(&stream->fd, -1);
    stream->tls = NULL;
}

/* For poll beside other descriptors. Before that: coffer__stream_has_pending, for what lies there already shows in no poll. */
static inline int coffer__stream_fd(const coffer__stream *stream) {
    return atomic_load_explicit(&stream->fd, memory_order_relaxed);
}

static inline int coffer__stream_connect(coffer__stream *stream, const coffer__address *address) {
    return coffer__socket_connect(&stream->fd, address);
}

/* In a forked child: the socket is closed here and stays open in the parent, nothing is said on it. Touches nothing else. */
static inline void coffer__stream_disown(coffer__stream *stream) {
    coffer__socket_close(atomic_exchange(&stream->fd, -1));
}

/* Ends it; may be connected anew afterwards. */
static inline void coffer__stream_close(coffer__stream *stream) {
    if (stream->tls != NULL) {
        coffer__tls_free(stream);
    }
    coffer__stream_disown(stream);
}

/* Whoever receives finds the end at once; the descriptor stays. Not in a forked child. */
static inline void coffer__stream_shut(const coffer__stream *stream) {
    shutdown(coffer__stream_fd(stream), SHUT_RDWR);
}

/* How much was taken, without waiting. */
static inline ssize_t coffer__stream_send(coffer__stream *stream, coffer_slice bytes) {
    return stream->tls != NULL ? coffer__tls_send(stream, bytes) : coffer__socket_send(coffer__stream_fd(stream), bytes);
}

/* How much came by until_us, 0 at the end. now_us: about what the clock says. */
static inline ssize_t coffer__stream_receive(coffer__stream *stream, char *into, size_t cap, uint64_t now_us, uint64_t until_us) {
    return stream->tls != NULL ? coffer__tls_receive(stream, into, cap, until_us)
                               : coffer__socket_receive(coffer__stream_fd(stream), into, cap, now_us, until_us);
}

/* What is there already. */
static inline ssize_t coffer__stream_receive_now(coffer__stream *stream, char *into, size_t cap) {
    return stream->tls != NULL ? coffer__tls_receive_now(stream, into, cap) : coffer__socket_receive_now(coffer__stream_fd(stream), into, cap);
}

/* Received from the kernel, not yet given out: a receive gives it at once. */
static inline bool coffer__stream_has_pending(const coffer__stream *stream) {
    return stream->tls != NULL && coffer__tls_has_pending(stream);
}

/* Taken from a send, not yet by the kernel: wait for POLLOUT too, then coffer__stream_send with nothing. (coffer__stream_receive does that itself.) */
static inline bool coffer__stream_has_unsent(const coffer__stream *stream) {
    return stream->tls != NULL && coffer__tls_has_unsent(stream);
}

/* Waits for the events as coffer__socket_wait does. POLLIN at once where something is pending. */
static inline short coffer__stream_wait(coffer__stream *stream, short events, uint64_t until_us) {
    return stream->tls != NULL ? coffer__tls_wait(stream, events, until_us) : coffer__socket_wait(coffer__stream_fd(stream), events, until_us);
}

/* Nothing to read, not closed, nothing unsent: may be used again (F02). */
static inline bool coffer__stream_is_quiet(coffer__stream *stream) {
    return stream->tls != NULL ? coffer__tls_is_quiet(stream) : coffer__socket_is_quiet(coffer__stream_fd(stream));
}

/* The status and the words of a failure: what a send or receive gave, 0 (the end) or -errno. The words live as long as the stream. */
const char *coffer__stream_failure(const coffer__stream *stream, ssize_t got, coffer_status *status);

#endif
