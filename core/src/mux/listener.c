/* As io/listen.c does for the blocking driver: one connection to a sentinel, which only listens, so that a failover is heard when it is announced. Where it
 * is lost another sentinel is the next. Without it all is as with it, but later: the sentinels are asked every second or two all the same. */
#include "internal.h"

#include "base/random.h"
#include "engine/access.h"

enum { BACK_OFF_MS = 50, BACK_OFF_MOST_MS = 2000 };

void coffer__mux_listener_init(coffer_mux *mux) {
    mux->listener.look_at_us = coffer__client_announcer(mux->client, 0) == NULL ? UINT64_MAX : 0;
    mux->listener.turn = (size_t)coffer__random_u64() >> 1; /* not all processes the same one */
}

/* Those who lost the same sentinel do not come to the next one together. */
static void back_off(coffer_mux *mux) {
    uint64_t wait_ms = coffer__random_back_off_ms(mux->listener.failures++, BACK_OFF_MS, BACK_OFF_MOST_MS);
    mux->listener.look_at_us = mux->now_us + coffer__mux_us(wait_ms);
    mux->listener.turn++;
}

void coffer__mux_listener_lost(coffer_mux *mux, coffer__mux_link *link) {
    if (mux->listener.link == link) {
        mux->listener.link = NULL;
        back_off(mux);
    }
}

void coffer__mux_listen(coffer_mux *mux) {
    coffer__mux_link *link = mux->listener.link;
    if (link != NULL && link->state == COFFER__LINK_OPEN && coffer_conn_ready(link->conn)) {
        mux->listener.failures = 0;
    }
    if (link != NULL || mux->closed || mux->now_us < mux->listener.look_at_us || mux->listener.look_at_us == UINT64_MAX) {
        return;
    }
    link = coffer__mux_link_new(mux, coffer__client_announcer(mux->client, mux->listener.turn));
    if (link == NULL) {
        back_off(mux);
        return;
    }
    link->listens = true;
    mux->listener.link = link;
}
