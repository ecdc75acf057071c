/* What is turned off at run time. Any thread may read and change it; a reader sees a change at its next operation. */
#ifndef COFFER_ENGINE_SWITCHES_H
#define COFFER_ENGINE_SWITCHES_H

#include <coffer/metrics.h>

#include <stdatomic.h>

/* Of a namespace, shared by all its handles. Zeroed is all on. */
typedef struct coffer__switches {
    _Atomic bool is_off;
    _Atomic uint32_t operations_off; /* bit n: operation n */
    _Atomic uint32_t left_out_percent; /* of the keys */
} coffer__switches;

_Static_assert(COFFER_OPERATION_COUNT <= 32, "a bit for each operation");

/* Whether the operation (an op) may use the cache for this key of its caller; an empty key is in every share. */
bool coffer__is_on_for(const coffer_namespace *ns, coffer_operation operation, coffer_slice key);
bool coffer__is_on(const coffer_op *op, coffer_slice key);

/* The same of the share alone. */
bool coffer__is_in_share(const coffer__switches *switches, coffer_slice key);

#endif
