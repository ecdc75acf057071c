/* Whatever sentinels answer, and whatever they announce: the server that calls go to, and those that are read from, can be connected to, is not the loopback address of a sentinel's own
 * host, was named by the newest answer of its round, and is none that has said it is no primary since; and memory stays bounded by what came. */
#include "fuzz.h"

#include "resp/guard.h"
#include "topology/redirect.h"
#include "topology/sentinel_reply.h"
#include "topology/topology.h"

#include "support/watched_alloc.h"

enum { SENTINELS = 3, LOOPBACK = 2 }; /* that one is on our own host, and may name it */

typedef struct world {
    coffer__topology *topology;
    coffer__guard *guard;
    coffer__reply reply;
    coffer__refresh round;
    size_t turn; /* whose answer is next */
    uint64_t newest; /* of the answers of this round that are of use */
    bool starved, any;
} world;

static bool is_loopback(coffer_slice host) {
    return host.len >= 4 && memcmp(host.data, "127.", 4) == 0;
}

static const coffer_endpoint *used(world *w) {
    return coffer__topology_endpoint(w->topology, COFFER_SLICE("key"), NULL);
}

static void must_be_a_server(world *w) {
    const coffer_endpoint *server = used(w);
    MUST((server != NULL) == coffer__topology_is_known(w->topology));
    if (server != NULL) {
        touch(server->host);
        MUST(server->port != 0 && coffer__host_is_fit(server->host) && coffer__topology_verifies(w->topology, server));
    }
}

static void must_be_fit(const coffer_endpoint *by, coffer_slice host, uint16_t port) {
    touch(host);
    MUST(port != 0 && coffer__host_is_fit(host) && (is_loopback(by->host) || !is_loopback(host)));
}

/* All have been heard. */
static void settle(world *w) {
    const coffer_endpoint *before = used(w);
    coffer_status status = coffer__topology_settle(w->topology, &w->round);
    MUST(status == (w->round.named == NULL ? COFFER_SERVER : COFFER_OK));
    MUST(w->starved || w->any == (w->round.named != NULL));
    MUST(w->starved || !w->any || w->round.epoch == w->newest);
    MUST(status != COFFER_OK || used(w) != NULL);
    MUST(status == COFFER_OK || used(w) == before);
    MUST(before == NULL || used(w) == before || used(w) == w->round.named);
    w->round = (coffer__refresh){0};
    w->any = false;
    w->turn = 0;
}

/* The same answer to the second question. */
static void hear_replicas(world *w) {
    coffer__sentinel_answer replica;
    for (size_t node = 1; coffer__sentinel_next_replica(&w->reply, &node, w->round.asked->host, &replica);) {
        must_be_fit(w->round.asked, replica.host, replica.port);
    }
    coffer__topology_learn_replicas(w->topology, &w->round, &w->reply);
    MUST(w->round.replica_count <= COFFER__REPLICAS_MOST);
}

/* Nobody is read from as a replica who is the primary. */
static void must_be_replicas(world *w) {
    const coffer_endpoint *primary = used(w), *replica;
    for (size_t i = 0; primary != NULL && (replica = coffer__endpoint_replica(primary, i)) != NULL; i++) {
        MUST(replica->replica && replica->port != 0 && coffer__host_is_fit(replica->host));
        MUST(replica->port != primary->port || !coffer_slice_equal(replica->host, primary->host));
    }
}

static void hear(world *w) {
    coffer__sentinel_answer answer;
    w->round.asked = coffer__topology_candidate(w->topology, w->turn++);
    bool fit = coffer__sentinel_read(&w->reply, COFFER_SLICE("main"), w->round.asked->host, &answer);
    coffer_status status = coffer__topology_learn(w->topology, &w->round, &w->reply);
    hear_replicas(w);
    MUST(fit ? status == COFFER_OK || (w->starved && status == COFFER_NO_MEMORY) : status == COFFER_SERVER);
    if (fit) {
        must_be_fit(w->round.asked, answer.host, answer.port);
        w->newest = w->any && w->newest > answer.epoch ? w->newest : answer.epoch;
        w->any = true;
    }
    if (w->turn == SENTINELS) {
        settle(w);
    }
}

static void announced(world *w, const coffer_endpoint *by) {
    coffer__sentinel_switch news;
    const coffer_endpoint *before = used(w);
    bool fit = coffer__sentinel_read_switch(&w->reply, COFFER_SLICE("main"), by->host, &news);
    MUST(coffer__topology_announced(w->topology, by, &w->reply, 1));
    if (fit) {
        must_be_fit(by, news.old_host, news.old_port);
        must_be_fit(by, news.new_host, news.new_port);
    }
    if (used(w) != before) {
        MUST(fit && used(w)->port == news.new_port && coffer_slice_equal(used(w)->host, news.new_host));
    }
}

/* It says that it is no primary: it is not used before the sentinels have been heard again. */
static void refuse(world *w) {
    const coffer_endpoint *server = used(w);
    if (server != NULL) {
        coffer__topology_refused(w->topology, server);
        MUST(used(w) == NULL);
    }
}

/* What comes is an announcement, or a word of the server's (an error), or else an answer of the next sentinel. */
static void take(world *w) {
    if (w->reply.nodes[0].type == COFFER__REPLY_ERROR) {
        refuse(w);
    } else if (coffer__sentinel_is_announcement(&w->reply)) {
        announced(w, coffer__topology_candidate(w->topology, w->turn));
    } else {
        hear(w);
    }
    must_be_a_server(w);
    must_be_replicas(w);
}

static void begin(world *w) {
    static const char url[] = "redis+sentinel://a,b,127.0.0.1/main";
    coffer__guard_limits limits = COFFER__GUARD_LIMITS_INIT;
    coffer_options *options = coffer_options_new();
    MUST(options != NULL && coffer_options_set_url(options, coffer_slice_text(url), NULL) == COFFER_OK);
    MUST(coffer__topology_new(&w->topology, options) == COFFER_OK && coffer__guard_new(&w->guard, &limits) == COFFER_OK);
    MUST(is_loopback(coffer__topology_candidate(w->topology, LOOPBACK)->host));
    coffer_options_free(options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    world w = {.starved = false};
    coffer_slice in = coffer_slice_of(data, size);
    watched_alloc_begin(WATCHED_NEVER);
    begin(&w);
    if (size > 0 && (data[0] & 0x80) != 0) {
        w.starved = true;
        watched_alloc_fail_once(1 + (data[0] & 31));
        in = coffer_slice_of(data + 1, size - 1);
    }
    while (coffer__guard_take(w.guard, &in, &w.reply) == COFFER_OK) {
        take(&w);
    }
    coffer__reply_free(&w.reply);
    coffer__guard_free(w.guard);
    coffer__topology_free(w.topology);
    MUST(watched_alloc.live_bytes == 0);
    watched_alloc_end();
    return 0;
}
