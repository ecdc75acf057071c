/* A waiter's count (driver.h). */
#ifndef COFFER_ENGINE_WAITER_H
#define COFFER_ENGINE_WAITER_H

#include <coffer/driver.h>

#include <stdatomic.h>

coffer_waiter *coffer__waiter_ref(coffer_waiter *waiter); /* takes NULL; gives it back */

#endif
