#define _GNU_SOURCE /* ppoll */

#include "pump.h"

#include "clock.h"
#include "engine/channel.h"
#include "forked.h"
#include "link.h"
#include "policy/options_internal.h"
#include "pools.h"
#include "run.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>

enum { RETRY_MS = 1000, CONNECTING_MS = 20, CHORE_MS = 2, PIECE_BYTES = 16 << 10, PIECES_MOST = 64, LOOK_EVERY_MS = 50 };

/* ---- its connections ---------------------------------------------------------------------------------------------------- */

static void end_link(coffer__pump *pump, coffer__standing *standing, uint64_t now_ms) {
    coffer__link *link = (coffer__link *)standing->link;
    bool was_open = link != NULL && link->conn != NULL;
    atomic_fetch_sub(&pump->open_count, was_open);
    coffer__standing_ended(standing, now_ms);
    coffer__link_free(link);
}

static void go_on_connecting(coffer__pump *pump, coffer__standing *standing, uint64_t now_us) {
    coffer__link *link = (coffer__link *)standing->link;
    char detail[COFFER__DETAIL_CAP];
    coffer__limits limits = {.slice_us = now_us,
                             .deadline_us = coffer__clock_add_ms(link->moved_us, coffer_client_options(pump->client)->timeout_ms)};
    coffer_status status = coffer__link_connect(link, &limits, detail);
    if (status == COFFER_OK) {
        atomic_fetch_add(&pump->made_count, 1);
        atomic_fetch_add(&pump->open_count, 1);
        coffer__standing_opened(standing, link->conn, now_us / COFFER__US_PER_MS);
    } else if (status != COFFER_AGAIN) {
        atomic_fetch_add(&pump->failed_count, 1);
        end_link(pump, standing, now_us / COFFER__US_PER_MS);
    }
}

static void begin_link(coffer__pump *pump, coffer__standing *standing, uint64_t now_us) {
    coffer__link *link;
    if (coffer__link_new(&link, pump->client, standing->endpoint) != COFFER_OK) {
        coffer__standing_ended(standing, now_us / COFFER__US_PER_MS);
        return;
    }
    link->moved_us = now_us;
    standing->link = link;
}

static void read_link(coffer__link *link, uint64_t now_us) {
    char piece[PIECE_BYTES];
    ssize_t got = 1;
    for (unsigned i = 0; got > 0 && i < PIECES_MOST && coffer_conn_status(link->conn) == COFFER_OK; i++) {
        got = coffer__stream_receive_now(&link->stream, piece, sizeof piece);
        coffer__link_came(link, piece, got, now_us);
    }
}

/* What is wanted and can be done at once: connects, reads. */
static void serve(coffer__pump *pump, coffer__standing *standing, uint64_t now_us) {
    if (coffer__standing_is_due(standing, now_us / COFFER__US_PER_MS)) {
        begin_link(pump, standing, now_us);
    }
    coffer__link *link = (coffer__link *)standing->link;
    if (link != NULL && link->conn == NULL) {
        go_on_connecting(pump, standing, now_us);
    } else if (link != NULL) {
        read_link(link, now_us);
    }
}

/* What came of the beat: writes, closes. */
static void settle(coffer__pump *pump, coffer__standing *standing, uint64_t now_us) {
    coffer__link *link = (coffer__link *)standing->link;
    if (link != NULL && link->conn != NULL) {
        coffer__link_flush(link, NULL);
    }
    bool broken = link != NULL && link->conn != NULL && coffer_conn_status(link->conn) != COFFER_OK;
    if (broken || (link != NULL && !standing->wanted)) {
        end_link(pump, standing, now_us / COFFER__US_PER_MS);
    }
}

static void for_each(coffer__pump *pump, void (*act)(coffer__pump *, coffer__standing *, uint64_t), uint64_t now_us) {
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        coffer__standing *standing = coffer__channels_at(pump->channels, i);
        if (standing != NULL) {
            act(pump, standing, now_us);
        }
    }
}

/* ---- the loop ------------------------------------------------------------------------------------------------------------ */

/* Who reads nothing but copies asks no server who the servers are: true while there is more of that to be done. */
static bool do_chores(coffer__pump *pump, uint64_t now_us) {
    coffer_op *chore = coffer__channels_lead(pump->channels) ? coffer__pools_chore(pump->pools, now_us / COFFER__US_PER_MS) : NULL;
    coffer__run *run = chore == NULL ? NULL : coffer__run_of(chore);
    if (run == NULL) {
        coffer_op_free(chore);
        return false;
    }
    coffer__run_is_chore(run);
    if (coffer__run_go(run, pump->pools, chore, CHORE_MS) == COFFER_WANT_DONE) {
        coffer__run_drop(chore);
        return false;
    }
    coffer__pools_put_back(pump->pools, chore);
    return true;
}

typedef struct waiting {
    struct pollfd polls[COFFER__STANDING_MOST + 1];
    size_t count;
    uint64_t until_us;
} waiting;

/* One that connects cannot be waited for as such: it may be at a name, or at credentials. It is looked after often at first, and then less. */
static void await_connect(waiting *w, const coffer__link *link, uint64_t now_us) {
    uint64_t took_ms = (now_us - link->moved_us) / COFFER__US_PER_MS, wait_ms = 1 + took_ms / 8;
    w->until_us = coffer__clock_earlier(w->until_us, coffer__clock_add_ms(now_us, wait_ms < CONNECTING_MS ? wait_ms : CONNECTING_MS));
}

static void await_link(waiting *w, coffer__link *link, uint64_t now_us) {
    if (link->conn == NULL) {
        await_connect(w, link, now_us);
        return;
    }
    bool writes = coffer_conn_output(link->conn).len > 0 || coffer__stream_has_unsent(&link->stream);
    if (coffer__stream_has_pending(&link->stream)) {
        w->until_us = now_us;
    }
    w->polls[w->count++] = (struct pollfd){.fd = coffer__stream_fd(&link->stream), .events = (short)(POLLIN | (writes ? POLLOUT : 0))};
}

/* A forked child finds everything in order that was so when this waited. */
static void wait(coffer__pump *pump, waiting *w) {
    const struct timespec left = coffer__clock_left(w->until_us);
    if (coffer__wake_begin_poll(&pump->wake)) {
        atomic_store(&pump->busy, false);
        (void)ppoll(w->polls, w->count, &left, NULL);
        atomic_store(&pump->busy, true);
    }
    coffer__wake_end_poll(&pump->wake);
}

/* The beat comes behind what was read: a PING that came back is answered for, and what has become of the servers is known. */
static void turn(coffer__pump *pump) {
    uint64_t now_us = coffer__clock_us();
    waiting w = {.polls = {{.fd = pump->wake.fd, .events = POLLIN}}, .count = 1};
    for_each(pump, serve, now_us);
    bool more = do_chores(pump, now_us);
    now_us = coffer__clock_us();
    w.until_us = coffer__clock_add_ms(0, coffer__channels_beat(pump->channels, now_us / COFFER__US_PER_MS));
    for_each(pump, settle, now_us);
    w.until_us = more ? now_us : w.until_us;
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        const coffer__standing *standing = coffer__channels_at(pump->channels, i);
        if (standing != NULL && standing->link != NULL) {
            await_link(&w, (coffer__link *)standing->link, now_us);
        } else if (standing != NULL && standing->wanted) {
            w.until_us = coffer__clock_earlier(w.until_us, coffer__clock_add_ms(0, standing->connect_at_ms));
        }
    }
    wait(pump, &w);
}

static void *thread_main(void *argument) {
    coffer__pump *pump = (coffer__pump *)argument;
    while (!atomic_load(&pump->ends)) {
        turn(pump);
    }
    for_each(pump, end_link, coffer__clock_us() / COFFER__US_PER_MS);
    coffer__channels_free(pump->channels);
    pump->channels = NULL;
    return NULL;
}

/* ---- those that run: the end of the program comes to all of them, before that of what they use (OpenSSL) ------------------ */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static _Atomic uint64_t mutex_generation = 1; /* of forks */
static coffer__pump *running;
static bool registered, over;

static void lock(void) {
    if (coffer__forked(&mutex_generation)) {
        pthread_mutex_init(&mutex, NULL);
        running = NULL; /* they run in the parent */
        coffer__forked_done(&mutex_generation);
    }
    pthread_mutex_lock(&mutex);
}

static void stop(coffer__pump *pump) {
    atomic_store(&pump->ends, true);
    coffer__wake_up(&pump->wake);
    pthread_join(pump->thread, NULL);
    coffer__wake_end(&pump->wake);
    atomic_store(&pump->state, COFFER__PUMP_IDLE);
}

static void stop_all(void) {
    lock();
    over = true;
    for (coffer__pump *pump = running; pump != NULL; pump = pump->next) {
        stop(pump);
    }
    running = NULL;
    pthread_mutex_unlock(&mutex);
}

/* The program's signals are not for this thread. */
static int start_thread(coffer__pump *pump) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&pump->thread, NULL, thread_main, pump);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

/* Under the mutex. */
static bool start(coffer__pump *pump) {
    registered = registered || atexit(stop_all) == 0;
    coffer__wake_init(&pump->wake);
    atomic_store(&pump->ends, false);
    atomic_store(&pump->busy, true);
    if (over || !registered || !coffer__wake_has_fd(&pump->wake) || coffer__channels_new(&pump->channels, pump->client) != COFFER_OK) {
        coffer__wake_end(&pump->wake);
        return false;
    }
    if (start_thread(pump) != 0) {
        coffer__channels_free(pump->channels);
        coffer__wake_end(&pump->wake);
        return false;
    }
    pump->next = running;
    running = pump;
    return true;
}

void coffer__pump_start(coffer__pump *pump, uint64_t now_ms) {
    int idle = COFFER__PUMP_IDLE;
    if (now_ms < atomic_load(&pump->start_at_ms) || !atomic_compare_exchange_strong(&pump->state, &idle, COFFER__PUMP_STARTING)) {
        return;
    }
    lock();
    bool started = start(pump);
    atomic_store(&pump->start_at_ms, started ? 0 : now_ms + RETRY_MS);
    atomic_store(&pump->state, started ? COFFER__PUMP_RUNNING : COFFER__PUMP_IDLE);
    pthread_mutex_unlock(&mutex);
}

/* Its next beat takes the lead, where it may. */
void coffer__pump_look(coffer__pump *pump, uint64_t now_ms) {
    uint64_t at_ms = atomic_load_explicit(&pump->look_at_ms, memory_order_relaxed);
    if (now_ms >= at_ms && coffer__channels_nobody_leads(pump->client, now_ms) &&
        atomic_compare_exchange_strong(&pump->look_at_ms, &at_ms, now_ms + LOOK_EVERY_MS)) {
        coffer__wake_up(&pump->wake);
    }
}

/* ---- beginning and end ----------------------------------------------------------------------------------------------------- */

void coffer__pump_init(coffer__pump *pump, coffer__pools *pools, coffer_client *client) {
    pump->pools = pools;
    pump->client = client;
    atomic_init(&pump->state, coffer__channels_are_needed(client) ? COFFER__PUMP_IDLE : COFFER__PUMP_UNNEEDED);
}

static void take_out(const coffer__pump *pump) {
    for (coffer__pump **at = &running; *at != NULL; at = &(*at)->next) {
        if (*at == pump) {
            *at = pump->next;
            return;
        }
    }
}

void coffer__pump_clear(coffer__pump *pump) {
    if (atomic_load(&pump->state) == COFFER__PUMP_UNNEEDED) {
        return;
    }
    lock();
    bool runs = atomic_load(&pump->state) == COFFER__PUMP_RUNNING;
    if (runs) {
        take_out(pump);
    }
    pthread_mutex_unlock(&mutex);
    if (runs) {
        stop(pump);
    }
}

/* Sockets are closed here; where the thread was at work with what is theirs, that memory is left alone. */
static void forget(coffer__pump *pump) {
    bool was_busy = atomic_load(&pump->busy);
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        const coffer__standing *standing = coffer__channels_at(pump->channels, i);
        coffer__link *link = standing == NULL ? NULL : (coffer__link *)standing->link;
        if (link != NULL) {
            coffer__link_disown(link);
        }
        if (link != NULL && !was_busy && link->dial == NULL) {
            coffer__link_free(link);
        }
    }
    coffer__wake_end(&pump->wake);
    coffer__channels_after_fork(pump->channels);
    if (!was_busy) {
        coffer__channels_free(pump->channels);
    }
    pump->channels = NULL;
}

void coffer__pump_after_fork(coffer__pump *pump) {
    int state = atomic_load(&pump->state);
    if (state == COFFER__PUMP_RUNNING) {
        forget(pump);
    }
    if (state != COFFER__PUMP_UNNEEDED) {
        atomic_store(&pump->open_count, 0);
        atomic_store(&pump->start_at_ms, 0);
        atomic_store(&pump->state, COFFER__PUMP_IDLE);
    }
}

void coffer__pump_add(coffer__pump *pump, coffer_metrics *metrics) {
    metrics->connections_open += atomic_load(&pump->open_count);
    metrics->connections_made += atomic_load(&pump->made_count);
    metrics->connections_failed += atomic_load(&pump->failed_count);
}
