/* The sockets of a driver, for any loop that can watch a descriptor; all else is the mux's. wires_libuv.h and wires_libev.h add their loop, in a page each.
 *
 *     wires_open(&wires, client)       after `watch`, `ring` and `stopped` were set
 *     wires_turn(&wires)               before the loop waits: does what is ordered; gives the time until wires_tick is due
 *     wires_tick(&wires)               then, and when it was rung
 *     wire_ready(wire)                 a descriptor that is watched can be read or written
 *     wires_close(&wires)              when all tasks are freed; waits for names that are being looked up
 *
 * No TLS: it would stand between send and recv here and the mux (docs/drivers.md). */
#ifndef WIRES_H
#define WIRES_H

#include <coffer/mux.h>

#include "dial.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>

typedef struct wires wires;

typedef struct wire {
    wires *all;
    struct wire *before, *after;
    const coffer_endpoint *endpoint;
    uint32_t link;
    int fd; /* -1: none */
    void *watcher; /* the loop's */
    dial dial;
    bool open, unwanted;
    char *rest; /* of a write that the kernel did not take at once */
    size_t rest_bytes, rest_sent;
} wire;

struct wires {
    coffer_mux *mux;
    bool (*watch)(wire *w, short events); /* POLLIN, POLLOUT, or 0: no more. False: it cannot */
    void (*ring)(void *wires); /* from any thread: have wires_tick called */
    void (*stopped)(coffer_task *task); /* that is DONE or wants its loader to run */
    wire *first;
};

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- beginning and end of one ---- */

static void hang_up(wire *w) {
    if (w->watcher != NULL) {
        w->all->watch(w, 0);
    }
    if (w->fd >= 0) {
        close(w->fd);
    }
    w->fd = -1;
}

static void drop(wire *w) {
    hang_up(w);
    w->unwanted = true;
    if (w->dial.searching) {
        return; /* its thread still writes to it: wires_tick comes again */
    }
    *(w->before == NULL ? &w->all->first : &w->before->after) = w->after;
    if (w->after != NULL) {
        w->after->before = w->before;
    }
    dial_clear(&w->dial);
    free(w->rest);
    free(w);
}

static void lose(wire *w, coffer_status why, const char *text) {
    char name[300], detail[400];
    snprintf(detail, sizeof detail, "%s: %s", coffer_endpoint_name(w->endpoint, name, sizeof name), text);
    coffer_mux_lost(w->all->mux, w->link, why, detail, now_us());
    drop(w);
}

/* To the next address, or nowhere. */
static void attempt(wire *w) {
    w->fd = dial_next(&w->dial);
    if (w->fd < 0) {
        lose(w, w->dial.status, w->dial.why);
    } else if (!w->all->watch(w, POLLOUT)) {
        lose(w, COFFER_NO_MEMORY, "it cannot be watched");
    }
}

static void begin(wires *all, const coffer_order *order) {
    wire *w = (wire *)calloc(1, sizeof *w);
    if (w == NULL) {
        coffer_mux_lost(all->mux, order->link, COFFER_NO_MEMORY, NULL, now_us());
        return;
    }
    *w = (wire){.all = all, .after = all->first, .endpoint = order->endpoint, .link = order->link, .fd = -1};
    if (all->first != NULL) {
        all->first->before = w;
    }
    all->first = w;
    coffer_mux_set_link_data(all->mux, order->link, w);
    if (!dial_begin(&w->dial, order->endpoint, all->ring, all)) {
        lose(w, w->dial.status, w->dial.why);
    } else if (!w->dial.searching) {
        attempt(w);
    }
}

static void connected(wire *w) {
    if (!dial_reached(&w->dial, w->fd)) {
        hang_up(w);
        attempt(w);
    } else if (!w->all->watch(w, POLLIN)) {
        lose(w, COFFER_NO_MEMORY, "it cannot be watched");
    } else {
        w->open = true;
        coffer_mux_opened(w->all->mux, w->link, coffer_slice_text(""), coffer_slice_text(""), now_us());
    }
}

/* ---- bytes ---- */

/* Sends what is left of a write that did not pass at once, and gives the mux leave for the next one. */
static bool push(wire *w) {
    ssize_t sent = send(w->fd, w->rest + w->rest_sent, w->rest_bytes - w->rest_sent, MSG_NOSIGNAL);
    w->rest_sent += sent > 0 ? (size_t)sent : 0;
    if (w->rest_sent == w->rest_bytes) {
        free(w->rest);
        w->rest = NULL;
        coffer_mux_hold(w->all->mux, w->link, false);
        return w->all->watch(w, POLLIN);
    }
    return sent >= 0 || errno == EAGAIN;
}

/* `data` is lent: what does not pass is kept, and nothing more is written before it has. */
static void write_to(wire *w, coffer_slice data) {
    ssize_t sent = send(w->fd, data.data, data.len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        lose(w, COFFER_CLOSED, strerror(errno));
    } else if (sent < (ssize_t)data.len) {
        w->rest_sent = 0;
        w->rest_bytes = data.len - (sent > 0 ? (size_t)sent : 0);
        w->rest = (char *)malloc(w->rest_bytes);
        if (w->rest == NULL || !w->all->watch(w, POLLIN | POLLOUT)) {
            lose(w, COFFER_NO_MEMORY, "no memory to write");
            return;
        }
        memcpy(w->rest, data.data + data.len - w->rest_bytes, w->rest_bytes);
        coffer_mux_hold(w->all->mux, w->link, true);
    }
}

static void wire_ready(wire *w) {
    char in[32768];
    if (!w->open) {
        connected(w);
        return;
    }
    ssize_t came = w->rest != NULL && !push(w) ? -1 : recv(w->fd, in, sizeof in, 0);
    if (came > 0) {
        coffer_mux_fed(w->all->mux, w->link, coffer_slice_of(in, (size_t)came), now_us());
    } else if (came == 0 || errno != EAGAIN) {
        lose(w, COFFER_CLOSED, came == 0 ? "the server closed the connection" : strerror(errno));
    }
}

/* ---- what the mux orders ---- */

static void obey(wires *all, const coffer_order *order) {
    wire *w = (wire *)order->link_data;
    switch (order->kind) {
    case COFFER_ORDER_CONNECT:
        begin(all, order);
        break;
    case COFFER_ORDER_WRITE:
        write_to(w, order->data);
        break;
    case COFFER_ORDER_CLOSE:
        drop(w);
        break;
    }
}

/* UINT64_MAX: not before something else happens. */
static uint64_t wires_turn(wires *all) {
    coffer_task *task;
    coffer_order order;
    for (;;) {
        if ((task = coffer_mux_next_stopped(all->mux)) != NULL) {
            all->stopped(task);
        } else if (coffer_mux_next_order(all->mux, now_us(), &order)) {
            obey(all, &order);
        } else {
            break;
        }
    }
    uint64_t due = coffer_mux_due_us(all->mux), now = now_us();
    return due == UINT64_MAX ? due : due > now ? due - now : 0;
}

static void wires_tick(wires *all) {
    for (wire *w = all->first, *after; w != NULL; w = after) {
        after = w->after;
        if (w->dial.searching && dial_found(&w->dial)) {
            w->unwanted ? drop(w) : attempt(w);
        }
    }
    coffer_mux_tick(all->mux, now_us());
}

static coffer_status wires_open(wires *all, coffer_client *client) {
    return coffer_mux_new(&all->mux, client, all->ring, all);
}

static void wires_close(wires *all) {
    coffer_mux_close(all->mux);
    wires_turn(all);
    while (all->first != NULL) { /* its name is still being looked up */
        dial_join(&all->first->dial);
        drop(all->first);
    }
    coffer_mux_free(all->mux);
}

#endif
