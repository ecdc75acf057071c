/* run: the loop of driver.h on blocking sockets, for one op.
 *
 *     coffer__run *run = coffer__run_of(op);            NULL where memory is short
 *     want = coffer__run_go(run, pool, op, slice_ms);   again while it says REPLY
 *     coffer__run_drop(op);
 *
 * A run is what the driver remembers of an op between two slices: the link it holds, its place in the pool's queue, the call that has no link yet.
 * It is the data of the op's waiter, and lives until the op is dropped. Each thread keeps one for its next op, so that in the steady state an op
 * costs no memory. A run is used by one thread at a time, like its op; only coffer__run_wake may come from anywhere.
 *
 * One server: one link. All calls of an op go to it, pipelined. It goes back to the pool whenever the op waits for something else than the server. */
#ifndef COFFER_IO_RUN_H
#define COFFER_IO_RUN_H

#include "pool.h"

typedef struct coffer__run coffer__run;

/* The op's run; made, and given to the op as its waiter, where it has none. */
coffer__run *coffer__run_of(coffer_op *op);

/* DONE, LOAD (nothing is held then), or REPLY when about slice_ms have passed. `pool` is NULL where everything is answered in the process. */
coffer_want coffer__run_go(coffer__run *run, coffer__pool *pool, coffer_op *op, uint64_t slice_ms);

/* Gives back, or closes, what the op's run holds, and frees the op. Takes NULL. */
void coffer__run_drop(coffer_op *op);

/* The client's wake hook. */
void coffer__run_wake(void *run);

#endif
