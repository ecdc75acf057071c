/* Name look-ups with a deadline. getaddrinfo cannot be interrupted, so it runs in a short-lived thread of its own, and whoever asked waits for
 * the answer as long as it likes (F09). A thread stuck on a mute resolver ends when the resolver gives up; at most 4 such threads exist, and
 * more look-ups wait for one of them. Nothing is kept from one look-up to the next. Numeric addresses need no thread.
 *
 *     coffer__resolve_begin(&resolution, host, port);
 *     status = coffer__resolve_wait(resolution, until_us, &addresses);      AGAIN: ask again later
 *     coffer__resolve_release(resolution);                                   whether it has ended or not
 */
#ifndef COFFER_IO_RESOLVE_H
#define COFFER_IO_RESOLVE_H

#include "socket.h"
#include <coffer/status.h>

#include <netdb.h>

enum { COFFER__ADDRESSES_MAX = 8, COFFER__RESOLVERS_MAX = 4 };

typedef struct coffer__addresses {
    size_t count;
    coffer__address at[COFFER__ADDRESSES_MAX];
} coffer__addresses;

typedef struct coffer__resolution coffer__resolution;

/* "10.0.0.1", "::1": true, and the address. No name service is asked. */
bool coffer__resolve_numeric(coffer_slice host, uint16_t port, coffer__addresses *addresses);

/* NO_MEMORY; ARG: the name is longer than names may be or holds a NUL. */
coffer_status coffer__resolve_begin(coffer__resolution **resolution, coffer_slice host, uint16_t port);

/* OK with at least one address, in the resolver's order; DNS; AGAIN: not by until_us. */
coffer_status coffer__resolve_wait(coffer__resolution *resolution, uint64_t until_us, coffer__addresses *addresses);

/* After DNS: the resolver's words. Static or the resolution's. */
const char *coffer__resolve_message(const coffer__resolution *resolution);

void coffer__resolve_release(coffer__resolution *resolution); /* takes NULL */

/* A function in the place of getaddrinfo; its results go to freeaddrinfo. NULL brings it back. For tests. */
typedef int (*coffer__resolver_fn)(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found);
void coffer__resolve_replace(coffer__resolver_fn resolver);

#endif
