/* The short way of a read: what is in memory is answered without an op, and lies in a room of the thread's until the value is cleared. */
#ifndef COFFER_IO_NEAR_H
#define COFFER_IO_NEAR_H

#include "pools.h"
#include <coffer/driver.h>

/* OK or MISS: answered, `value` (may be NULL) as coffer_get or coffer_get_or_load gives it. AGAIN: an op has to. */
coffer_status coffer__near_answer(coffer_namespace *ns, coffer_operation operation, coffer_slice key, coffer_value *value);

/* Whether the value's owner is such a room, which goes back then; else it is an op. */
bool coffer__near_give_back(void *owner);

#endif
