/* run: the loop of driver.h on blocking sockets, for one op.
 *
 *     coffer__run *run = coffer__run_of(op);            NULL where memory is short
 *     want = coffer__run_go(run, pools, op, slice_ms);  again while it says REPLY
 *     coffer__run_drop(op);
 *
 * A run is what the driver remembers of an op between two slices: its shares of links, its places in the pools' queues, the call that has no link yet.
 * It is the data of the op's waiter, and lives until the op is dropped. Each thread keeps one for its next op, so that in the steady state an op
 * costs no memory. A run is used by one thread at a time, like its op; only coffer__run_wake may come from anywhere.
 *
 * One link for each server that the op has calls for, all of them pipelined. Where a link has to be waited for, the other calls go out, and are
 * answered, meanwhile: a server that cannot be reached holds up its own calls alone. They go back to their pools whenever the op waits for something else
 * than servers. Several runs share a link: each puts its calls into the conn and flushes them; one of those who wait reads for all, wakes whose calls
 * have ended, and when its own are answered hands the lead on. */
#ifndef COFFER_IO_RUN_H
#define COFFER_IO_RUN_H

#include "pools.h"

typedef struct coffer__run coffer__run;

/* The op's run; made, and given to the op as its waiter, where it has none. */
coffer__run *coffer__run_of(coffer_op *op);

/* Its op is a chore of the client's: no other is looked for. */
void coffer__run_is_chore(coffer__run *run);

/* DONE, LOAD (nothing is held then), or REPLY when about slice_ms have passed. `pools` is NULL where everything is answered in the process. */
coffer_want coffer__run_go(coffer__run *run, coffer__pools *pools, coffer_op *op, uint64_t slice_ms);

/* Gives back, or closes, what the op's run holds, and frees the op. Takes NULL. */
void coffer__run_drop(coffer_op *op);

/* The client's wake hook. The run is there as long as its waiter is counted, or its ticket queued. */
void coffer__run_wake(void *run);

#endif
