/* What becomes of operations while a server is away, and when it is back. op.c calls these, each at one place.
 *
 * Away: a breaker that is open ends calls before they are handed out (BREAKER_OPEN, which is an outage to every operation: a load goes to its loader at
 * once). What then comes to its end is an error, or what the namespace's option `on_outage` makes of it.
 *
 * Back: whatever a write could not be known to have done, its key is owed a deletion (owed.h). The first operation that may ask the server again deletes
 * them before it does anything of its own, in one UNLINK. Where the breaker was open that UNLINK is the probe: nobody else reads before it was answered.
 * Counters are left alone: their callers get the error.
 */
#ifndef COFFER_ENGINE_OUTAGE_H
#define COFFER_ENGINE_OUTAGE_H

#include "engine.h"

/* The op starts: where keys are owed a deletion and the server may be asked, its first step is to delete them. */
void coffer__outage_begin(coffer_op *op);

/* The call is about to be handed out. False: its server's breaker is open, and the call has ended. */
bool coffer__outage_admit(coffer_op *op, coffer_call *call, const coffer_endpoint *endpoint);

/* The call has failed, and its server may have been replaced by another, or soon be. True where the op waits for that: where it would come to an error,
 * and somebody who would know of it still answers. An op that has an answer without the server has it at once; and where keys live on many servers nobody waits to delete what is owed on one. */
bool coffer__outage_waits(const coffer_op *op, const coffer_call *call);

/* The call is DONE: the breaker is told, and the keys of a write that failed are remembered. Once for each hand-out. What was read of a key that is owed
 * its deletion becomes nil. */
void coffer__outage_record(coffer_op *op, coffer_call *call);

/* The op drops the call, or itself, in whatever state. */
void coffer__outage_drop(coffer_op *op, coffer_call *call);
void coffer__outage_give_up(coffer_op *op);

/* These keys were to be written, and were not. */
void coffer__outage_remember(coffer_op *op, const coffer_slice *wire_keys, size_t count);

/* The op does nothing because caching is turned off at run time: where it would have written, these keys are remembered. */
void coffer__outage_bypassed(coffer_op *op, const coffer_slice *wire_keys, size_t count);

/* The op ends with `status`: the one it ends with in truth. */
coffer_status coffer__outage_outcome(coffer_op *op, coffer_status status);

#endif
