/* Keys that are owed a deletion: what was written while it could not be known whether the server took it. A set in bounded memory.
 *
 * Any thread may call anything. Whether there are any is one atomic read.
 */
#ifndef COFFER_ENGINE_OWED_H
#define COFFER_ENGINE_OWED_H

#include <coffer/status.h>

typedef struct coffer__owed coffer__owed;

/* A key that was taken out: a list, the taker's. */
typedef struct coffer__owed_key {
    struct coffer__owed_key *next;
    uint64_t hash;
    size_t len;
    char bytes[];
} coffer__owed_key;

coffer_status coffer__owed_new(coffer__owed **owed, size_t memory_bytes); /* OK, NO_MEMORY; 0 bytes: nothing is ever kept */
void coffer__owed_free(coffer__owed *owed); /* takes NULL */
void coffer__owed_after_fork(coffer__owed *owed);

/* True where the key is in it now. False: there is no room or memory for it, and it is counted as lost. */
bool coffer__owed_add(coffer__owed *owed, coffer_slice wire_key);

bool coffer__owed_any(const coffer__owed *owed);
bool coffer__owed_holds(coffer__owed *owed, coffer_slice wire_key); /* one atomic read where there are none */
size_t coffer__owed_count(const coffer__owed *owed);

/* How many keys there was no room for, or were given up for another reason. */
uint64_t coffer__owed_lost(const coffer__owed *owed);
void coffer__owed_lose(coffer__owed *owed, size_t count);

/* Takes out all, or `most` of them; `count` says how many. NULL: none. */
coffer__owed_key *coffer__owed_take(coffer__owed *owed, size_t most, size_t *count);

/* Frees a list; or gives it back, needing no memory for it: how many there was no room for any more. Both take NULL. */
void coffer__owed_free_keys(coffer__owed_key *keys);
size_t coffer__owed_give_back(coffer__owed *owed, coffer__owed_key *keys);

#endif
