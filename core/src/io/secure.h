/* What the connections of one client need before their first byte of protocol. The client keeps it, and frees it. */
#ifndef COFFER_IO_SECURE_H
#define COFFER_IO_SECURE_H

#include "credentials.h"
#include "engine/access.h"
#include "tls_context.h"

typedef struct coffer__secure {
    coffer__attachment attachment; /* of the client: stands first */
    coffer__tls_context *tls; /* NULL where the options ask for none */
    coffer__credentials credentials;
} coffer__secure;

/* The client's, made where it has none yet: from the beginning where it is a cache's, so that what is wrong is told when that is opened. Any thread.
 * OPTION, NO_MEMORY: in words. */
coffer_status coffer__secure_need(coffer_client *client, coffer__secure **secure, coffer_error *error);

/* The context for one TLS connection to the endpoint; a client that verifies nothing warns here, once. TLS, NO_MEMORY, in words that name the endpoint. */
coffer_status coffer__secure_tls(coffer_client *client, const coffer_endpoint *endpoint, coffer__tls_context **context, coffer_error *error);

/* The client's; NULL where it has none yet. */
static inline coffer__secure *coffer__secure_of(const coffer_client *client) {
    return (coffer__secure *)coffer__client_attachment(client);
}

#endif
