/* The memory of a peek (driver.h). */
#ifndef COFFER_ENGINE_ROOM_H
#define COFFER_ENGINE_ROOM_H

#include "base/buf.h"
#include <coffer/driver.h>

struct coffer_room {
    coffer__buf wire_key;
    coffer__buf bytes; /* as stored */
    coffer__buf opened;
};

/* Whether it is worth keeping for the next one: what a large value has left would be kept for ever. */
bool coffer__room_is_small(const coffer_room *room);

#endif
