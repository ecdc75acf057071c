#include "topology.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "policy/options_internal.h"

struct coffer__topology {
    coffer_endpoint endpoint;
    coffer__buf names; /* host and path, which the endpoint points into */
};

coffer_status coffer__topology_new(coffer__topology **topology, const coffer_options *options) {
    coffer__topology *made = (coffer__topology *)coffer__alloc_zero(sizeof *made);
    if (made == NULL) {
        return COFFER_NO_MEMORY;
    }
    coffer_slice host = coffer_slice_text(options->host[0] != '\0' ? options->host : "127.0.0.1");
    coffer_slice path = coffer_slice_text(options->path);
    if (!coffer__buf_append_slice(&made->names, host) || !coffer__buf_append_slice(&made->names, path)) {
        coffer__topology_free(made);
        return COFFER_NO_MEMORY;
    }
    made->endpoint.host = coffer_slice_of(made->names.data, host.len);
    made->endpoint.path = coffer_slice_of(made->names.data + host.len, path.len);
    made->endpoint.port = (uint16_t)options->port;
    made->endpoint.tls = options->tls;
    *topology = made;
    return COFFER_OK;
}

void coffer__topology_free(coffer__topology *topology) {
    if (topology != NULL) {
        coffer__buf_free(&topology->names);
        coffer__release(topology);
    }
}

const coffer_endpoint *coffer__topology_endpoint(const coffer__topology *topology, coffer_slice wire_key) {
    (void)wire_key;
    return &topology->endpoint;
}
