/* A mutex that may lie in memory which processes share, and that outlives whoever dies with it in hand.
 *
 *     switch (coffer__robust_take(lock, 5)) {
 *     case COFFER__ROBUST_TAKEN:    ours
 *     case COFFER__ROBUST_ORPHANED: ours, and whoever had it before died with it: what it guards is to be taken as half written
 *     case COFFER__ROBUST_BUSY:     not ours: not in that time (its holder may be stopped), or it cannot be used at all
 *     }
 *
 * A reader-writer lock has nothing like it (a reader that dies blocks everybody for ever), and a spin lock neither: hence POSIX' robust mutexes, which the
 * kernel hands on when a thread ends. A pthread mutex holds pointers of the process that holds it: whoever can write to it can crash that process, so
 * it lies on pages of its own, and only behind the checks of near/shared.h.
 */
#ifndef COFFER_BASE_ROBUST_H
#define COFFER_BASE_ROBUST_H

#include <coffer/types.h>

enum { COFFER__ROBUST_BYTES = 64, COFFER__ROBUST_FOR_EVER = -1 };

typedef struct coffer__robust {
    _Alignas(64) unsigned char bytes[COFFER__ROBUST_BYTES];
} coffer__robust;

typedef enum coffer__robust_answer { COFFER__ROBUST_TAKEN, COFFER__ROBUST_ORPHANED, COFFER__ROBUST_BUSY } coffer__robust_answer;

/* In memory that nobody else uses yet, or in a forked child again: free, whoever held it. Not shared: no robust one, for the threads of one process. */
bool coffer__robust_init(coffer__robust *lock, bool is_shared);

/* wait_ms 0: only if it is free. Waits by the monotonic clock where libc can (glibc from 2.30), or a clock that is set back would make it longer. */
coffer__robust_answer coffer__robust_take(coffer__robust *lock, int wait_ms);
void coffer__robust_drop(coffer__robust *lock);

/* What makes two builds' mutexes the same: libc and its sizes. */
uint64_t coffer__robust_abi(void);

#endif
