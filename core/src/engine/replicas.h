/* Which server answers a read that replicas may answer (option read_from). For each such call:
 *
 *     prefer_replica   the replicas of the key's primary in turn; the primary where none of them can be asked
 *     replica          the replicas in turn, and nobody else
 *     nearest          those of primary and replicas that answer fastest, in turn
 *
 * Those in the zone that the options name come before all others, and one of whom no zone or no round trip is known yet comes first, so that it becomes known.
 * Who cannot be asked (an open breaker, a refusal to read from it, a failure of this very call) is passed over; where a server that was asked fails, the call goes on
 * to the next at once, as long as there is one that it has not tried.
 *
 * The round trip is smoothed: a sixteenth of each new one, or half where the last is more than a second old. Calls' times are whole milliseconds, whose
 * fractions even out so. A call during which a connection was made does not count. Servers within a quarter and 0.25 ms of the fastest are taken
 * to be as fast; each other is asked once in 5 s, so that one that was slow is found again.
 *
 * Several keys in one command, of which one is owed a deletion (owed.h), are read from their primary alone: what replicas have of it is known to be doubtful.
 */
#ifndef COFFER_ENGINE_REPLICAS_H
#define COFFER_ENGINE_REPLICAS_H

#include "call.h"
#include "client.h"

/* Where the call goes. NULL: nowhere, and it has ended: no replica is known, and nobody else may be asked. */
const coffer_endpoint *coffer__replicas_choose(coffer_call *call, coffer_client *client, const coffer_endpoint *primary, uint64_t now_ms);

/* The call has failed where it was sent. True: because of that server, and there is another. */
bool coffer__replicas_turn(coffer_call *call, coffer_client *client, const coffer_endpoint *primary, uint64_t now_ms);

/* The call has ended: how long it took. Before its breaker is told. */
void coffer__replicas_measure(const coffer_call *call, uint64_t now_ms);

/* A server was greeted, and its first word took so long. */
void coffer__replicas_greeted(coffer__server *server, uint64_t took_ms, uint64_t now_ms);

#endif
