#include "listen.h"

#include "base/random.h"
#include "clock.h"
#include "engine/access.h"
#include "policy/options_internal.h"

enum { LOOK_EVERY_MS = 10, BACK_OFF_MS = 50, BACK_OFF_MOST_MS = 2000, PIECE_BYTES = 2048, PIECES_MOST = 16 };

void coffer__listener_init(coffer__listener *listener, coffer_client *client) {
    listener->client = client;
    atomic_init(&listener->look_at_ms, coffer__client_announcer(client, 0) == NULL ? UINT64_MAX : 0);
    atomic_flag_clear(&listener->busy);
    listener->turn = (size_t)coffer__random_u64() >> 1; /* not all processes the same one */
}

void coffer__listener_clear(coffer__listener *listener) {
    coffer__link_free(atomic_load(&listener->link));
}

/* Where a thread of the parent was at work with the link, or with the name it leads to, its memory is left alone. */
void coffer__listener_after_fork(coffer__listener *listener) {
    coffer__link *link = atomic_exchange(&listener->link, NULL);
    bool was_busy = atomic_flag_test_and_set(&listener->busy);
    if (link != NULL) {
        coffer__link_disown(link);
    }
    if (!was_busy && link != NULL && link->dial == NULL) {
        coffer__link_free(link);
    }
    atomic_store(&listener->open_count, 0);
    listener->failures = 0;
    if (atomic_load(&listener->look_at_ms) != UINT64_MAX) {
        atomic_store(&listener->look_at_ms, 0);
    }
    atomic_flag_clear(&listener->busy);
}

void coffer__listener_add(coffer__listener *listener, coffer_metrics *metrics) {
    metrics->connections_open += atomic_load(&listener->open_count);
    metrics->connections_made += atomic_load(&listener->made_count);
    metrics->connections_failed += atomic_load(&listener->failed_count);
}

/* ---- a look: when the next is ------------------------------------------------------------------------------------ */

/* Those who lost the same sentinel do not come to the next one together. */
static uint64_t give_up(coffer__listener *listener) {
    coffer__link_free(atomic_exchange(&listener->link, NULL));
    atomic_store(&listener->open_count, 0);
    listener->turn++;
    return coffer__random_back_off_ms(listener->failures++, BACK_OFF_MS, BACK_OFF_MOST_MS);
}

static uint64_t go_on_connecting(coffer__listener *listener, coffer__link *link, uint64_t now_us) {
    char detail[COFFER__DETAIL_CAP];
    coffer__limits limits = {.slice_us = now_us, .deadline_us = listener->until_us};
    coffer_status status = coffer__link_connect(link, &limits, detail);
    if (status == COFFER_OK) {
        coffer__conn_listen(link->conn);
        atomic_fetch_add(&listener->made_count, 1);
        atomic_store(&listener->open_count, 1);
        coffer__link_flush(link, listener);
    } else if (status != COFFER_AGAIN) {
        atomic_fetch_add(&listener->failed_count, 1);
        return give_up(listener);
    }
    return 1;
}

static uint64_t begin(coffer__listener *listener, uint64_t now_us) {
    coffer__link *link;
    if (coffer__link_new(&link, listener->client, coffer__client_announcer(listener->client, listener->turn)) != COFFER_OK) {
        return give_up(listener);
    }
    atomic_store(&listener->link, link);
    listener->until_us = coffer__clock_add_ms(now_us, coffer_client_options(listener->client)->timeout_ms);
    return go_on_connecting(listener, link, now_us);
}

static uint64_t read_news(coffer__listener *listener, coffer__link *link, uint64_t now_us) {
    char piece[PIECE_BYTES];
    ssize_t got = 1;
    for (unsigned i = 0; got > 0 && i < PIECES_MOST; i++) {
        got = coffer__stream_receive_now(&link->stream, piece, sizeof piece);
        coffer__link_came(link, piece, got, now_us);
        coffer__link_flush(link, listener);
    }
    coffer__link_heed_stall(link, now_us);
    if (coffer_conn_status(link->conn) != COFFER_OK) {
        return give_up(listener);
    }
    if (coffer_conn_ready(link->conn)) {
        listener->failures = 0;
        return LOOK_EVERY_MS;
    }
    return 1;
}

void coffer__listener_look_now(coffer__listener *listener, uint64_t now_ms) {
    if (atomic_flag_test_and_set_explicit(&listener->busy, memory_order_acquire)) {
        return;
    }
    coffer__link *link = atomic_load(&listener->link);
    uint64_t now_us = coffer__clock_us();
    uint64_t next_ms = link == NULL         ? begin(listener, now_us)
                       : link->conn == NULL ? go_on_connecting(listener, link, now_us)
                                            : read_news(listener, link, now_us);
    atomic_store_explicit(&listener->look_at_ms, now_ms + next_ms, memory_order_relaxed);
    atomic_flag_clear_explicit(&listener->busy, memory_order_release);
}
