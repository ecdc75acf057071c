/* wake: how one thread waits until another says so; a word of memory, and a futex where somebody really sleeps.
 *
 *     CLEAR --- coffer__wake_sleep ---> SLEEPING --.
 *       |  '--- coffer__wake_poll  ---> POLLING ---+-- coffer__wake_up --> UP -- coffer__wake_clear --> CLEAR
 *       '------------------------------------------'
 *
 * Only the owner waits and clears; anybody may wake. Who wakes one that does not wait pays for one atomic exchange; and no lock is held meanwhile, so
 * that who is woken never runs into the one who woke it. A wake before the wait ends the wait at once. One may come for nothing. */
#ifndef COFFER_IO_WAKE_H
#define COFFER_IO_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct coffer__wake {
    _Atomic uint32_t state;
    int fd; /* an eventfd, for waiting beside sockets; -1 until it is needed */
} coffer__wake;

enum { COFFER__WAKE_CLEAR, COFFER__WAKE_UP, COFFER__WAKE_SLEEPING, COFFER__WAKE_POLLING };

void coffer__wake_init(coffer__wake *wake);
void coffer__wake_end(coffer__wake *wake); /* closes the descriptor */
void coffer__wake_after_fork(coffer__wake *wake); /* in the child: the descriptor is its parent's too */

void coffer__wake_up(coffer__wake *wake);

/* ---- the owner's */

static inline bool coffer__wake_is_up(coffer__wake *wake) {
    return atomic_load_explicit(&wake->state, memory_order_acquire) == COFFER__WAKE_UP;
}

/* What a wake that is cleared was for is seen by whoever looks afterwards: a plain store could come to pass behind that look, and take away a wake of
 * which the look has seen nothing. */
static inline void coffer__wake_clear(coffer__wake *wake) {
    if (coffer__wake_is_up(wake)) {
        atomic_exchange_explicit(&wake->state, COFFER__WAKE_CLEAR, memory_order_acq_rel);
    }
}

/* What a wake would have said, found out by the owner itself. */
static inline void coffer__wake_note(coffer__wake *wake) {
    atomic_store_explicit(&wake->state, COFFER__WAKE_UP, memory_order_relaxed);
}

/* Until it is up, or until_us. */
void coffer__wake_sleep(coffer__wake *wake, uint64_t until_us);

/* Makes the descriptor where there is none. False where none can be had. */
bool coffer__wake_has_fd(coffer__wake *wake);

/* From now on a wake makes the descriptor readable; false where it is up already: then there is nothing to wait for. */
bool coffer__wake_begin_poll(coffer__wake *wake);

/* No longer; the descriptor is drained. Also after a begin that said false. */
void coffer__wake_end_poll(coffer__wake *wake);

#endif
