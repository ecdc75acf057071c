/* tls_context: what all TLS connections of a client share: certificates, keys and what is demanded of the server.
 *
 * Made when the cache is opened, so that a missing or wrong file is told there. At each connect the files are looked at (size, time, inode): where one
 * was changed everything is read anew; where that fails, as in the middle of a rotation, what was read before stays in use and a warning is logged.
 * Without tls_ca_file and tls_ca_dir the system's authorities are trusted: what SSL_CERT_FILE and SSL_CERT_DIR name, OpenSSL's own default places,
 * else the first of the usual places of other systems (an OpenSSL inside a wheel has Debian's compiled in).
 * Any thread may use it. */
#ifndef COFFER_IO_TLS_CONTEXT_H
#define COFFER_IO_TLS_CONTEXT_H

#include <coffer/options.h>

#include <openssl/ssl.h>

typedef struct coffer__tls_context coffer__tls_context;

/* The options are lent. OPTION, in words that name the option, the file and the reason, never what is in a key; NO_MEMORY. */
coffer_status coffer__tls_context_new(coffer__tls_context **context, const coffer_options *options, coffer_error *error);
void coffer__tls_context_free(coffer__tls_context *context); /* takes NULL */

/* In a forked child, before any other use there: it makes one of its own at its next connect. Takes NULL. */
void coffer__tls_context_after_fork(coffer__tls_context *context);

/* For one connection to `host`: SSL_set_connect_state is done, the name and how it is checked are set. NULL where memory is short. */
SSL *coffer__tls_context_connection(coffer__tls_context *context, coffer_slice host);

/* After its handshake: 1 where the server's certificate is for the host (or nothing is to be verified), 0 where it is not, below 0 where memory is short.
 * OpenSSL 3.0 has looked at that already, but not where it could not copy the name (ssl_verify_cert_chain takes no notice of that). */
int coffer__tls_context_names(SSL *ssl);

/* How a handshake on one of its connections ended. Memory that was short for a moment can leave OpenSSL's context without a cipher, or an authority that
 * it takes for invalid, for as long as it lives: so after the first handshake that fails in a row, the second, the fourth, the eighth ... the next
 * connection is made with a new one. */
void coffer__tls_context_shook(coffer__tls_context *context, bool well);

/* True once in the life of a context that verifies nothing: say so. */
bool coffer__tls_context_must_warn(coffer__tls_context *context);

#endif
