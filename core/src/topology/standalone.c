/* One server for everything: the options' host and port, or path. */
#include "topology_kind.h"

#include "base/alloc.h"

static coffer_status fill(coffer__topology *topology, const coffer_options *options) {
    topology->seeds = (const coffer_endpoint **)coffer__alloc(sizeof *topology->seeds);
    coffer_endpoint server = {.port = (uint16_t)options->port, .tls = options->tls};
    server.host = coffer_slice_text(options->host[0] != '\0' ? options->host : "127.0.0.1");
    server.path = coffer_slice_text(options->path);
    return topology->seeds != NULL && coffer__topology_add_seed(topology, &server) ? COFFER_OK : COFFER_NO_MEMORY;
}

static const coffer_endpoint *endpoint(coffer__topology *topology, coffer_slice wire_key, const coffer_endpoint *not_this) {
    (void)wire_key;
    (void)not_this;
    return topology->seeds[0];
}

static bool is_known(const coffer__topology *topology) {
    (void)topology;
    return true;
}

static const coffer_endpoint *candidate(coffer__topology *topology, size_t index) {
    (void)topology;
    (void)index;
    return NULL;
}

const coffer__topology_kind coffer__standalone = {.fill = fill, .endpoint = endpoint, .is_known = is_known, .candidate = candidate};
