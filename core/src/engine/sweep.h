/* Scanning all keys: of each server that holds keys, page by page, until every one of them has been scanned to its end.
 *
 *     choose -> SCAN to it -> a page: its cursor --0--> left -> choose ... NULL: all have been scanned, or none is known (coffer__sweep_outlook)
 *        ^                 \-> it failed: again, with whoever holds keys then
 *        '------------------'
 *
 * A cursor means something to the server that gave it, in its present life: a scan that was broken begins anew. Who takes over meanwhile, and is learnt of
 * before the end, is scanned as well. A slot that moves from a server that is still to be scanned to one that was takes its keys past the sweep.
 *
 * The process's own store is scanned by the same commands. Zeroed: at the beginning. */
#ifndef COFFER_ENGINE_SWEEP_H
#define COFFER_ENGINE_SWEEP_H

#include "engine.h"

typedef struct coffer__sweep {
    const coffer_endpoint *server; /* which is being scanned; NULL: one has to be chosen */
    uint64_t cursor;
    const coffer_endpoint **done; /* scanned to the end */
    size_t done_count;
    unsigned failures; /* in a row */
} coffer__sweep;

void coffer__sweep_clear(coffer__sweep *sweep);

/* Whether there is a page to ask for: of the server at hand, or of the next. */
bool coffer__sweep_choose(const coffer_op *op, coffer__sweep *sweep);

/* The call that asks for it: the next of those that were begun. `pattern` as for MATCH; about `count` keys are looked at (a text). */
coffer_call *coffer__sweep_call(coffer_op *op, const coffer__sweep *sweep, coffer_slice pattern, coffer_slice count);

/* It was answered with this cursor. False where memory is short. */
bool coffer__sweep_answered(coffer__sweep *sweep, uint64_t cursor);

/* It failed (its status is not OK). True: it is to be begun anew in `*pause_ms`, which is within the op's deadline. */
bool coffer__sweep_again(coffer_op *op, coffer__sweep *sweep, const coffer_call *call, uint64_t *pause_ms);

/* There was none to choose. OK: because all have been scanned. AGAIN: none is known yet, choose again in `*pause_ms`. Else why none is known, and the op's
 * message says it. */
coffer_status coffer__sweep_outlook(coffer_op *op, uint64_t *pause_ms);

#endif
