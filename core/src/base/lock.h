/* The one place below io/ that knows threads: a mutex, and a number that changes in every forked child. */
#ifndef COFFER_BASE_LOCK_H
#define COFFER_BASE_LOCK_H

#include <coffer/types.h>

typedef struct coffer__lock coffer__lock;

coffer__lock *coffer__lock_new(void); /* NULL where memory is short */
void coffer__lock_free(coffer__lock *lock);
void coffer__lock_take(coffer__lock *lock);
void coffer__lock_drop(coffer__lock *lock);
void coffer__lock_reset(coffer__lock *lock); /* in a forked child: unlocked, whoever held it */

/* Starts at 1, differs in each forked child: pthread_atfork, and for a raw clone, where no handler runs, a page that the kernel wipes in the child
 * (MADV_WIPEONFORK, Linux 4.14); both are installed at the first call. A few loads. */
uint64_t coffer__fork_generation(void);

#endif
