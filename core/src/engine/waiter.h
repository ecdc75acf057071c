/* A waiter's count (driver.h). */
#ifndef COFFER_ENGINE_WAITER_H
#define COFFER_ENGINE_WAITER_H

#include <coffer/driver.h>

#include <stdatomic.h>

coffer_waiter *coffer__waiter_ref(coffer_waiter *waiter); /* takes NULL; gives it back */

/* A waiter whose data lives as long as it is counted: the last reference gives it to `release`. */
coffer_status coffer__waiter_new_owning(coffer_waiter **waiter, void *data, void (*release)(void *data));

#endif
