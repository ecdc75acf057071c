/* What the handles of one client share: the client and its pools. Counted. */
#ifndef COFFER_IO_FAMILY_H
#define COFFER_IO_FAMILY_H

#include "pools.h"
#include "secure.h"
#include <coffer/cache.h>

typedef struct coffer__family {
    _Atomic size_t refs;
    _Atomic uint64_t generation; /* of forks */
    coffer_client *client;
    coffer__secure *secure; /* the client's */
    coffer__pools *pools; /* NULL for mem:// */
} coffer__family;

struct coffer_cache {
    coffer__family *family;
    coffer_namespace *ns;
};

/* The first thing of every call: in a forked child, puts the family in order once. The namespace, for the op's sake. */
coffer_namespace *coffer__cache_enter(coffer_cache *cache);

/* `made`: what the function that made the op said. Runs it to its end; a status below 0 goes into the error. The op is the caller's still. */
coffer_status coffer__cache_finish(coffer_cache *cache, coffer_status made, coffer_op *op, coffer_error *error);

/* What a DONE op read, for the application: the value owns the op from now on, or the op is freed where it read nothing. `value` may be NULL. */
void coffer__cache_take_value(coffer_op *op, coffer_value *value);

/* The op of the loader that runs on this thread, or NULL. */
const coffer_op *coffer__load_running(void);

#endif
