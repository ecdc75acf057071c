/* What a sentinel answers to SENTINEL MASTER name, a row of names and values, and what it announces when a master is another server from now on:
 *
 *     "name" "main" "ip" "10.0.0.7" "port" "6379" ... "config-epoch" "3" ...
 *     "message" "+switch-master" "main 10.0.0.7 6379 10.0.0.8 6379"                 old address, new address
 */
#ifndef COFFER_TOPOLOGY_SENTINEL_REPLY_H
#define COFFER_TOPOLOGY_SENTINEL_REPLY_H

#include "resp/reply.h"

typedef struct coffer__sentinel_answer {
    coffer_slice host; /* into the reply */
    uint16_t port;
    uint64_t epoch; /* grows with each failover; 0 where none is said */
} coffer__sentinel_answer;

/* False where it is of no use: of another form, about another master, without an address that can be connected to; or the sentinel is on another host
 * than ours (`asked`) and names its own loopback address, which is not ours. */
bool coffer__sentinel_read(const coffer__reply *reply, coffer_slice master, coffer_slice asked, coffer__sentinel_answer *answer);

typedef struct coffer__sentinel_switch {
    coffer_slice old_host, new_host; /* into the message */
    uint16_t old_port, new_port;
} coffer__sentinel_switch;

/* Whether it is an announcement at all, of whatever; and whether it is of use, in the same sense. */
bool coffer__sentinel_is_announcement(const coffer__reply *message);
bool coffer__sentinel_read_switch(const coffer__reply *message, coffer_slice master, coffer_slice asked, coffer__sentinel_switch *news);
/* What a sentinel answers to SENTINEL REPLICAS name: such a row for each, one in the other. From `*node` (at first 1, then where it was left) the next that may
 * be read from: it can be connected to, by the same rules, is not down or cut off (s_down, o_down, disconnected), is linked to its master, and
 * announced. False behind the last, or where the reply is of another form. */
bool coffer__sentinel_next_replica(const coffer__reply *reply, size_t *node, coffer_slice asked, coffer__sentinel_answer *replica);

#endif
