/* What a cluster's node says of a key that it does not serve:
 *
 *     MOVED 3999 127.0.0.1:6381      that node serves the slot: learn it
 *     ASK 3999 127.0.0.1:6381        that node has the key by now, maybe: for this one command
 */
#ifndef COFFER_TOPOLOGY_REDIRECT_H
#define COFFER_TOPOLOGY_REDIRECT_H

#include <coffer/driver.h>

typedef struct coffer__redirect {
    uint16_t slot;
    coffer_slice host; /* into the text; empty: the host that was asked */
    uint16_t port;
} coffer__redirect;

/* False where it is malformed. `text` begins with its word. A name, an IPv4 or an IPv6 address without brackets. */
bool coffer__redirect_read(coffer_slice text, coffer__redirect *redirect);

/* Whether it leads to the very node that said it. */
bool coffer__redirect_is_to(const coffer__redirect *redirect, const coffer_endpoint *asked);

/* Whether a name or address may be a node's: 1 to 253 printable bytes, and not "?", which is how Redis says that it does not know. */
bool coffer__host_is_fit(coffer_slice host);

#endif
