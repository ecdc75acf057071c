/* Keys that are owed a deletion: what was written while it could not be known whether the server took it. A set in bounded memory.
 *
 * Any thread may call anything. Whether there are any is one atomic read.
 */
#ifndef COFFER_ENGINE_OWED_H
#define COFFER_ENGINE_OWED_H

#include <coffer/status.h>

#include <stdbool.h>

typedef struct coffer__owed coffer__owed;

/* A key that somebody has taken to delete it: a list, the taker's. It is held until it is gone. */
typedef struct coffer__owed_key {
    struct coffer__owed_key *next;
    struct coffer__owed_key *in_bucket; /* the set's own */
    uint64_t hash;
    size_t len;
    enum { COFFER__OWED_KEPT, COFFER__OWED_TAKEN, COFFER__OWED_ORPHAN } state; /* orphan: the taker's alone, which was the parent's */
    char bytes[];
} coffer__owed_key;

coffer_status coffer__owed_new(coffer__owed **owed, size_t memory_bytes); /* OK, NO_MEMORY; 0 bytes: nothing is ever kept */
void coffer__owed_free(coffer__owed *owed); /* takes NULL */
void coffer__owed_after_fork(coffer__owed *owed);

/* True where the key is in it now. False: there is no room or memory for it, and it is counted as lost. */
bool coffer__owed_add(coffer__owed *owed, coffer_slice wire_key);

bool coffer__owed_any(const coffer__owed *owed); /* that nobody has taken yet */
bool coffer__owed_holds(coffer__owed *owed, coffer_slice wire_key); /* taken or not; one atomic read where there are none */
size_t coffer__owed_count(const coffer__owed *owed); /* that nobody has taken yet */

/* How many keys there was no room for, or were given up for another reason. */
uint64_t coffer__owed_lost(const coffer__owed *owed);
void coffer__owed_lose(coffer__owed *owed, size_t count);

/* Takes all, or `most` of them, for the caller to delete; `count` says how many. NULL: none. */
coffer__owed_key *coffer__owed_take(coffer__owed *owed, size_t most, size_t *count);

/* They are gone, or given up; or they are not, and somebody else has to. Both take NULL. */
void coffer__owed_forget(coffer__owed *owed, coffer__owed_key *keys);
void coffer__owed_give_back(coffer__owed *owed, coffer__owed_key *keys);

#endif
