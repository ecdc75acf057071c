/* The invalidation channels of a client that keeps copies (engine/channel.h), as links of this mux. Where several muxes share an arena, in one process or in
 * many, one of them has the channels, and the others look twice a second whether they are to. */
#include "internal.h"

static void connect_one(coffer_mux *mux, coffer__standing *standing) {
    coffer__mux_link *link = coffer__mux_link_new(mux, standing->endpoint);
    if (link == NULL) {
        coffer__standing_ended(standing, coffer__mux_ms(mux->now_us));
        return;
    }
    link->listens = true;
    link->standing = standing;
    standing->link = link;
}

static void settle(coffer_mux *mux, coffer__standing *standing) {
    coffer__mux_link *link = (coffer__mux_link *)standing->link;
    if (link == NULL) {
        return;
    }
    if (link->conn != NULL) {
        coffer__mux_link_told(mux, link); /* ends it where it is broken */
    }
    if (standing->link == link && !standing->wanted) {
        coffer__mux_link_end(mux, link, COFFER_CLOSED, "another one listens, or there is nothing to be heard there any more", true);
    }
}

void coffer__mux_let_go(coffer_mux *mux) {
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        coffer__standing *standing = coffer__channels_at(mux->channels, i);
        if (standing != NULL) {
            settle(mux, standing);
        }
    }
}

void coffer__mux_beat(coffer_mux *mux) {
    uint64_t now_ms = coffer__mux_ms(mux->now_us);
    uint64_t due_ms = coffer__channels_beat(mux->channels, now_ms);
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        coffer__standing *standing = coffer__channels_at(mux->channels, i);
        if (standing != NULL && coffer__standing_is_due(standing, now_ms)) {
            connect_one(mux, standing);
        }
        if (standing != NULL) {
            settle(mux, standing);
        }
        if (standing != NULL && standing->wanted && standing->link == NULL && standing->connect_at_ms < due_ms) {
            due_ms = standing->connect_at_ms;
        }
    }
    mux->beat_us = coffer__mux_us(due_ms);
}
