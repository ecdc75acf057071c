/* tls: TLS over the socket of a stream. stream.h calls it where stream->tls is not NULL; the dial makes it and shakes hands.
 *
 *     coffer__tls_new(&stream, context, host)
 *     coffer__tls_handshake(&stream, until_us)      AGAIN: call it again
 *
 * tls_session.h is TLS itself; here it gets its socket. All waiting is done here with poll, with nothing held; the session is used under a mutex. What
 * OpenSSL has decrypted, or read and not yet decrypted, is given out before anything is waited for. */
#ifndef COFFER_IO_TLS_H
#define COFFER_IO_TLS_H

#include "stream.h"
#include "tls_context.h"

/* The stream has its socket. `host`: the server's name. The context is used for the length of this call alone. */
coffer_status coffer__tls_new(coffer__stream *stream, coffer__tls_context *context, coffer_slice host);

/* OK; AGAIN: not by until_us; TLS, CERTIFICATE, NO_MEMORY: coffer__stream_failure says what. */
coffer_status coffer__tls_handshake(coffer__stream *stream, uint64_t until_us);

#endif
