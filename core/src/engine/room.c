#include "room.h"

#include "access.h"
#include "base/alloc.h"
#include "client.h"

enum { KEPT_BYTES = 64 * 1024 };

coffer_status coffer_room_new(coffer_room **room) {
    *room = (coffer_room *)coffer__alloc_zero(sizeof **room);
    return *room == NULL ? COFFER_NO_MEMORY : COFFER_OK;
}

void coffer_room_free(coffer_room *room) {
    if (room != NULL) {
        coffer__buf_free(&room->wire_key);
        coffer__buf_free(&room->bytes);
        coffer__buf_free(&room->opened);
        coffer__release(room);
    }
}

bool coffer__namespace_is_near(const coffer_namespace *ns) {
    return ns->copies != NULL || ns->client->store != NULL;
}

bool coffer__room_is_small(const coffer_room *room) {
    return room->wire_key.cap <= KEPT_BYTES && room->bytes.cap <= KEPT_BYTES && room->opened.cap <= KEPT_BYTES;
}
