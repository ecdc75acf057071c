/* For authors of drivers on an event loop: TLS between a driver's socket and its mux or conn, by the options of the client.
 *
 * What the blocking driver has: the same certificates, read anew when their files change, the same check of the server's name, statuses and sentences.
 * It never does I/O, never reads a clock and never waits: it is told what came from the socket, and says what is to be sent there. Certificates are read in
 * coffer_tls_new: from files, where a client does so for the first time or they were changed.
 *
 *     the server --- coffer_tls_feed ---> plain --- coffer_mux_fed -----> mux
 *                <-- coffer_tls_output <-- coffer_tls_write <-- its orders ---
 *
 *     connected to an endpoint whose `tls` is true:
 *         coffer_tls_new(&tls, client, endpoint, &error)            or lost: error.status, error.text
 *     bytes came:
 *         status = coffer_tls_feed(tls, bytes, &plain)
 *         coffer_tls_ready(tls) for the first time:                 coffer_mux_opened
 *         plain is not empty:                                       coffer_mux_fed
 *         status is not OK:                                         lost: status, coffer_tls_message(tls)
 *     the socket's end came:
 *         status = coffer_tls_end(tls)                              lost
 *     an order to write:
 *         coffer_tls_write(tls, order.data)                         where it fails: lost
 *     an order to close:
 *         coffer_tls_shutdown(tls)
 *     after any of these, whatever it said (an alert tells the server why):
 *         write coffer_tls_output(tls) to the socket; coffer_tls_sent(tls, how many bytes of it were taken)
 *     closed:
 *         coffer_tls_free(tls)
 *
 * The first failure stays. One thread at a time. In a forked child: free it, and nothing else. */
#ifndef COFFER_TLS_H
#define COFFER_TLS_H

#include <coffer/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coffer_tls coffer_tls;

/* The first output is there at once. Takes a reference of the client; the endpoint is lent while it lives. TLS: the certificates cannot be had, or the
 * options ask for no TLS; NO_MEMORY. `error` (may be NULL) says it in words, which name the server. */
COFFER_API coffer_status coffer_tls_new(coffer_tls **tls, coffer_client *client, const coffer_endpoint *endpoint, coffer_error *error);

/* Bytes came; all are taken. `plain`: what they held for the mux or conn, maybe nothing; lent until the next feed. It counts also where this fails: it came
 * before. CLOSED: the server ended TLS (close_notify); TLS, CERTIFICATE, NO_MEMORY. */
COFFER_API coffer_status coffer_tls_feed(coffer_tls *tls, coffer_slice in, coffer_slice *plain);

/* The socket has ended, which no server does well without a close_notify: CLOSED, or what failed before. */
COFFER_API coffer_status coffer_tls_end(coffer_tls *tls);

/* Hands were shaken, the server's certificate and name are right, and nothing has failed. */
COFFER_API bool coffer_tls_ready(const coffer_tls *tls);

/* Takes all of it: into the output, or kept until hands were shaken. On failure (that of before, NO_MEMORY) nothing more can be sent. */
COFFER_API coffer_status coffer_tls_write(coffer_tls *tls, coffer_slice plain);

COFFER_API coffer_slice coffer_tls_output(const coffer_tls *tls); /* lent until the next call on this tls */
COFFER_API void coffer_tls_sent(coffer_tls *tls, size_t sent_bytes); /* of the output */

/* The last output, where all is well: goodbye (close_notify). Nothing is written after it. */
COFFER_API void coffer_tls_shutdown(coffer_tls *tls);

COFFER_API coffer_status coffer_tls_status(const coffer_tls *tls); /* OK, or why it failed */
COFFER_API const char *
coffer_tls_message(const coffer_tls *tls); /* "10.0.0.1:6379: the server's certificate ..."; "" while all is well; lives on the tls */

COFFER_API void coffer_tls_free(coffer_tls *tls); /* takes NULL */

#ifdef __cplusplus
}
#endif
#endif
