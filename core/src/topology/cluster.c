/* A cluster: a key's slot has an owner. Learnt by CLUSTER SLOTS, which a user with `+cluster|slots` may ask, from the seeds at first and from any node later. */
#include "topology_kind.h"

#include "slots.h"

static coffer_status fill(coffer__topology *topology, const coffer_options *options) {
    topology->map = coffer__slot_map_new(topology->endpoints);
    if (topology->map == NULL) {
        return COFFER_NO_MEMORY;
    }
    if (options->read_from != COFFER_READ_PRIMARY) {
        coffer__slot_map_read_replicas(topology->map);
    }
    return coffer__topology_add_seeds(topology, options->cluster_nodes, (uint16_t)options->port, options->tls);
}

/* The nodes that the last answer named, then the seeds. */
static const coffer_endpoint *candidate(coffer__topology *topology, size_t index) {
    const coffer_endpoint *node = coffer__slot_map_node(topology->map, index);
    size_t seed = index - coffer__slot_map_node_count(topology->map);
    return node != NULL ? node : seed < topology->seed_count ? topology->seeds[seed] : NULL;
}

/* Any node, in turn. */
static const coffer_endpoint *any_node(coffer__topology *topology, const coffer_endpoint *not_this) {
    size_t turn = atomic_fetch_add_explicit(&topology->turn, 1, memory_order_relaxed);
    size_t count = coffer__slot_map_node_count(topology->map);
    const coffer_endpoint *found = coffer__slot_map_node(topology->map, turn % count);
    if (found == not_this || found == NULL) {
        found = coffer__slot_map_node(topology->map, (turn + 1) % count);
    }
    return found != NULL ? found : topology->seeds[0];
}

static const coffer_endpoint *endpoint(coffer__topology *topology, coffer_slice wire_key, const coffer_endpoint *not_this) {
    if (coffer__slot_map_is_empty(topology->map)) {
        return NULL;
    }
    const coffer_endpoint *owner = wire_key.len == 0 ? NULL : coffer__slot_map_owner(topology->map, coffer__slot_of(wire_key));
    return owner != NULL ? owner : any_node(topology, not_this);
}

static bool is_known(const coffer__topology *topology) {
    return !coffer__slot_map_is_empty(topology->map);
}

const coffer__topology_kind coffer__cluster = {
    .is_routed = true,
    .every_ms = 27000,
    .every_jitter_ms = 6000,
    .question = {{"CLUSTER", 7}, {"SLOTS", 5}},
    .question_words = 2,
    .fill = fill,
    .endpoint = endpoint,
    .is_known = is_known,
    .candidate = candidate,
};
