/* Memory that processes share: a named object in /dev/shm, or one whose descriptor was inherited. Whoever finds it first makes it.
 *
 *     open, it is there       whose is it? who else may open it? has it one name, a size?     no: refused, in words
 *     its first word is 0     nobody has made it yet, or its maker died: locked, look again, make it in place, publish
 *     else                    mapped; what it holds is for the caller to check
 *
 * The file's locks are held while it is made and at no other time, and go with a process that dies; who waits for them does so for a bounded time. An object is
 * never replaced: others may have mapped it. It is unlinked by coffer__shared_remove alone, which ends nothing for those who have it.
 *
 * What remains: a process of the same user can truncate a named object, and whoever touches it then gets SIGBUS. A sealed memfd cannot be truncated.
 */
#ifndef COFFER_NEAR_SHARED_H
#define COFFER_NEAR_SHARED_H

#include "base/error.h"

#include <stdatomic.h>

enum { COFFER__SHARED_NAME_CAP = 160 };

typedef struct coffer__shared {
    void *memory; /* begins with a word that is 0 until all the rest is there */
    size_t bytes;
} coffer__shared;

typedef struct coffer__shared_want {
    const char *name; /* with its slash */
    int descriptor; /* instead of a name; stays the caller's. -1: none */
    size_t bytes; /* where it is made */
    coffer_slice owner, group; /* whose it may be, and whose it is where root makes it; empty: this user's alone */
    coffer_status (*make)(void *data, void *memory, size_t bytes); /* all but the first word, in memory that is 0 */
    void *data;
    uint64_t first_word; /* not 0: published when it is made */
} coffer__shared_want;

/* By name or number; an empty one is (uint32_t)-1. False: there is none. */
bool coffer__shared_user(coffer_slice owner, uint32_t *number);
bool coffer__shared_group(coffer_slice group, uint32_t *number);

/* OK; OPTION (it may not be used, or cannot be made), or what `make` says: told in `error`. */
coffer_status coffer__shared_open(coffer__shared *shared, const coffer__shared_want *want, coffer_error *error);
void coffer__shared_close(coffer__shared *shared);

/* OK; MISS: there is none; OPTION: it is not ours to remove. */
coffer_status coffer__shared_remove(const char *name);

#endif
