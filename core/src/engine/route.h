/* Where a call goes, and whether one that failed goes again: the owner's side of a call. Run by whoever runs the op, never by who feeds a conn.
 *
 *            route: an endpoint            sent, answered
 *     OPEN ----------------------> driver ---------------> DONE --- goes_again: no ---> the op's step
 *      ^  '--- not yet: a pause, or no server is known         '--- yes: redirected, or after a pause
 *      '-------------------------------------------------------------------------'
 *
 * What a failure asks for is the table of words.c.
 */
#ifndef COFFER_ENGINE_ROUTE_H
#define COFFER_ENGINE_ROUTE_H

#include "call.h"
#include "client.h"

enum { COFFER__REDIRECTS_MOST = 5 };

/* For an OPEN call: true where it may be sent now, to call->endpoint. Else it waits until call->not_before_ms, or has ended (no server is known, and the
 * last attempt to learn of one has failed). */
bool coffer__call_route(coffer_call *call, coffer_client *client, uint64_t now_ms);

/* When an OPEN call may be sent at the earliest. */
uint64_t coffer__call_not_before_ms(const coffer_call *call, const coffer__topology *topology);

/* For a call that is DONE and not OK: true where it is OPEN again. `late`: its op has no time left, or does not wait. */
bool coffer__call_goes_again(coffer_call *call, coffer__topology *topology, coffer_waiter *waiter, uint64_t now_ms, bool late);

/* For a call that is DONE and not OK, and may be read anywhere: true where it is OPEN again at once, because another server may well answer it. */
bool coffer__call_turns(coffer_call *call, coffer_client *client, coffer_waiter *waiter, uint64_t now_ms);

/* How long to wait before it is tried again after so many times. Full jitter: anything up to a bound that doubles, so that those who failed together do not
 * come back together. */
uint64_t coffer__route_pause_ms(unsigned tries);

/* The key it is about, as on the wire; empty where it has none. */
coffer_slice coffer__call_key(const coffer_call *call);

#endif
