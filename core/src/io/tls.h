/* tls: TLS over the socket of a stream. stream.h calls it where stream->tls is not NULL; the dial makes it and shakes hands.
 *
 *     coffer__tls_new(&stream, context, host)
 *     coffer__tls_handshake(&stream, until_us)      AGAIN: call it again
 *
 *      SSL --- what it wants to say ---> out --- send ---> socket --- recv ---> SSL
 *
 * OpenSSL writes into `out`, never to the socket, so that it never wants to write: what it has taken has been sent as far as the caller is concerned,
 * and the kernel gets many records at once. It reads from the socket, without waiting, a record or more at a time.
 * All waiting is done here with poll, with nothing held; SSL itself is used under a mutex. What OpenSSL has decrypted, or read and not yet decrypted,
 * is given out before anything is waited for. Its error queue is empty before and after each call.
 * The first failure stays. After it nothing is said to the server any more: no close_notify. */
#ifndef COFFER_IO_TLS_H
#define COFFER_IO_TLS_H

#include "stream.h"
#include "tls_context.h"

/* The stream has its socket. `host`: the server's name. The context is used for the length of this call alone. */
coffer_status coffer__tls_new(coffer__stream *stream, coffer__tls_context *context, coffer_slice host);

/* OK; AGAIN: not by until_us; TLS, CERTIFICATE, NO_MEMORY: coffer__stream_failure says what. */
coffer_status coffer__tls_handshake(coffer__stream *stream, uint64_t until_us);

#endif
