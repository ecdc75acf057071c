/* What all operations of a client share, and what those of a namespace share. */
#ifndef COFFER_ENGINE_CLIENT_H
#define COFFER_ENGINE_CLIENT_H

#include "access.h"
#include "base/lock.h"
#include "codec/envelope.h"
#include "near/near.h"
#include "observe/counters.h"
#include "owed.h"
#include "policy/options_internal.h"
#include "switches.h"
#include "topology/topology.h"
#include "watch.h"
#include <coffer/driver.h>

#include <stdatomic.h>

typedef struct coffer__flights coffer__flights; /* flight.h */
typedef struct coffer__observed coffer__observed; /* a namespace's name and its observer; client.c */

enum { COFFER__SPARE_OPS = 4 };

struct coffer_client {
    _Atomic size_t refs;
    coffer_options *options;
    coffer__keyring *keyring; /* NULL where nothing is sealed */
    coffer__topology *topology; /* NULL for mem:// */
    coffer__near *store; /* NULL but for mem:// */
    coffer__near *copies; /* of the server's values (option near); NULL: off */
    bool reads_elsewhere; /* reads may be answered by others than primaries: option read_from */
    coffer__flights *flights;
    coffer__watch *watch;
    coffer__owed *owed;
    _Atomic bool is_off; /* turned off at run time */
    bool near_is_shared; /* store or copies: with other processes */
    void (*wake)(void *waiter_data);
    void *driver; /* the driver's own */
    _Atomic(coffer__attachment *) attachment; /* access.h */
    _Atomic int64_t unix_offset_ms; /* the server's unix time less the driver's monotonic time */
    _Atomic(coffer_op *) spare_ops[COFFER__SPARE_OPS]; /* ended ones, whose memory the next are made of; op.c */
    coffer__lock *lock; /* of `observed` */
    coffer__observed *observed;
};

struct coffer_namespace {
    _Atomic size_t refs;
    coffer_client *client;
    coffer_options *options;
    coffer__observer *observer; /* the client's, shared by all handles of that namespace */
    coffer__switches *switches; /* the same */
    bool reads_elsewhere; /* the client's */
    coffer__near *copies; /* the client's; NULL: off, here or there */
    coffer__codec codec;
    coffer__buf key_base; /* "prod:users@3:" */
    char version_text[24];
};

/* The server's unix time at the driver's now_ms. */
static inline uint64_t coffer__client_unix_ms(const coffer_client *client, uint64_t now_ms) {
    return (uint64_t)((int64_t)now_ms + atomic_load_explicit(&client->unix_offset_ms, memory_order_relaxed));
}

/* Whether keys live on several servers, so that a command can name only one of them. */
static inline bool coffer__client_is_routed(const coffer_client *client) {
    return client->topology != NULL && coffer__topology_is_routed(client->topology);
}

/* The number of the channel that listens to the server which answered, for a copy of its answer (near/copies.h); -1: nobody does, or it is a replica. */
int coffer__client_channel_of(const coffer_client *client, const coffer_endpoint *endpoint);

/* op.c: frees the spare ops. */
void coffer__client_free_spare_ops(coffer_client *client);

/* The server said that its time is unix_ms, at the driver's at_ms. */
void coffer__client_learn_time(coffer_client *client, uint64_t at_ms, uint64_t unix_ms);

/* What a sealed value of this key is bound to. */
coffer__binding coffer__namespace_binding(const coffer_namespace *ns, coffer_slice key);

#endif
