/* Which server a key lives on. Standalone: one for all of them. Sentinel and Cluster will answer the same questions. */
#ifndef COFFER_TOPOLOGY_TOPOLOGY_H
#define COFFER_TOPOLOGY_TOPOLOGY_H

#include <coffer/driver.h>

typedef struct coffer__topology coffer__topology;

/* One server, from the options' host and port, or path. Copies what it needs. */
coffer_status coffer__topology_new(coffer__topology **topology, const coffer_options *options);
void coffer__topology_free(coffer__topology *topology); /* takes NULL */

/* The endpoint for a key as on the wire (empty: any server). Lent as long as the topology lives. */
const coffer_endpoint *coffer__topology_endpoint(const coffer__topology *topology, coffer_slice wire_key);

#endif
