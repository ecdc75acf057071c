/* What the connections of one client need before their first byte of protocol; found again by coffer_client_driver. */
#ifndef COFFER_IO_SECURE_H
#define COFFER_IO_SECURE_H

#include "credentials.h"
#include "tls_context.h"
#include <coffer/driver.h>

typedef struct coffer__secure {
    coffer__tls_context *tls; /* NULL where the options ask for none */
    coffer__credentials credentials;
} coffer__secure;

/* OPTION, NO_MEMORY: in words. The client is told of it, and its options are lent. */
coffer_status coffer__secure_init(coffer__secure *secure, coffer_client *client, coffer_error *error);
void coffer__secure_clear(coffer__secure *secure);
void coffer__secure_after_fork(coffer__secure *secure);

/* The client's; NULL where none was given to it. */
static inline coffer__secure *coffer__secure_of(const coffer_client *client) {
    return (coffer__secure *)coffer_client_driver(client);
}

#endif
