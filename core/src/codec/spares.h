/* A few idle objects that are costly to make (contexts of zstd and libcrypto), taken and given back by any thread without a lock.
 *
 *     thing *it = coffer__spares_take(&spares);      nobody else has it now
 *     if (it == NULL) it = thing_new();
 *     ...
 *     if (!coffer__spares_give(&spares, it)) thing_free(it);
 *
 * Unlike thread-local ones they need no hook at the end of a thread, and those that hold a key go when their owner drops them all.
 * A child of fork loses at most what other threads had taken. All zero is empty.
 */
#ifndef COFFER_CODEC_SPARES_H
#define COFFER_CODEC_SPARES_H

#include <coffer/types.h>
#include <stdatomic.h>

enum { COFFER__SPARES_COUNT = 16, COFFER__SPARES_APART_BYTES = 64 };

/* One cache line each, so that threads do not slow each other down. */
typedef struct coffer__spare {
    _Atomic(void *) item;
    char apart[COFFER__SPARES_APART_BYTES - sizeof(void *)];
} coffer__spare;

typedef struct coffer__spares {
    coffer__spare slots[COFFER__SPARES_COUNT];
} coffer__spares;

void *coffer__spares_take(coffer__spares *spares); /* NULL: none idle */
bool coffer__spares_give(coffer__spares *spares, void *item); /* false: full, the caller frees it */

#endif
