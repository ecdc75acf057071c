/* The sockets of a driver, for any loop that can watch a descriptor; all else is the mux's. wires_libuv.h and wires_libev.h add their loop, in a page each.
 *
 *     wires_open(&wires, client)       after `watch`, `ring` and `stopped` were set
 *     wires_turn(&wires)               before the loop waits: does what is ordered; gives the time until wires_tick is due
 *     wires_tick(&wires)               then, and when it was rung
 *     wire_ready(wire)                 a descriptor that is watched can be read or written
 *     wires_close(&wires)              when all tasks are freed, not by `stopped`; waits for names that are being looked up
 *
 * TLS, where it is asked for, stands between send and recv here and the mux (coffer/tls.h). docs/drivers.md explains the rest. */
#ifndef WIRES_H
#define WIRES_H

#include <coffer/mux.h>
#include <coffer/tls.h>

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
    coffer_tls *tls; /* NULL: plain */
    bool open, unwanted, wants_login, held;
    char *rest; /* of a write that the kernel did not take at once */
    size_t rest_bytes, rest_sent;
} wire;

struct wires {
    coffer_client *client;
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
    coffer_tls_free(w->tls);
    free(w->rest);
    free(w);
}

static void lose_as(wire *w, coffer_status why, const char *detail) {
    coffer_mux_lost(w->all->mux, w->link, why, detail, now_us());
    drop(w);
}

static void lose(wire *w, coffer_status why, const char *text) {
    char name[300], detail[400];
    snprintf(detail, sizeof detail, "%s: %s", coffer_endpoint_name(w->endpoint, name, sizeof name), text);
    lose_as(w, why, detail);
}

/* ---- bytes ---- */

static coffer_slice unsent(const wire *w) {
    coffer_slice rest = coffer_slice_of(w->rest, w->rest_bytes);
    rest.data = w->rest == NULL ? NULL : w->rest + w->rest_sent;
    rest.len -= w->rest_sent;
    return w->tls == NULL ? rest : coffer_tls_output(w->tls);
}

/* Sends what is to be sent; while the kernel does not take it the mux is held. False: it broke. */
static bool push(wire *w) {
    coffer_slice out = unsent(w);
    ssize_t sent = out.len == 0 ? 0 : send(w->fd, out.data, out.len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        return false;
    }
    size_t sent_bytes = sent > 0 ? (size_t)sent : 0;
    if (w->tls != NULL) {
        coffer_tls_sent(w->tls, sent_bytes);
    } else {
        w->rest_sent += sent_bytes;
    }
    bool held = unsent(w).len > 0;
    if (held == w->held) {
        return true;
    }
    if (!held) {
        free(w->rest);
        w->rest = NULL;
    }
    w->held = held;
    coffer_mux_hold(w->all->mux, w->link, held);
    return w->all->watch(w, held ? POLLIN | POLLOUT : POLLIN);
}

/* `data` is lent: what does not pass at once is kept, and nothing more is written before it has. */
static void write_to(wire *w, coffer_slice data) {
    coffer_status status = w->tls == NULL ? COFFER_OK : coffer_tls_write(w->tls, data);
    if (status != COFFER_OK) {
        lose_as(w, status, coffer_tls_message(w->tls));
        return;
    }
    if (w->tls == NULL) {
        ssize_t sent = send(w->fd, data.data, data.len, MSG_NOSIGNAL);
        w->rest_sent = 0;
        w->rest_bytes = data.len - (sent > 0 ? (size_t)sent : 0);
        if (w->rest_bytes == 0) {
            return;
        }
        w->rest = (char *)malloc(w->rest_bytes);
        if (w->rest == NULL) {
            lose(w, COFFER_NO_MEMORY, "no memory to write");
            return;
        }
        memcpy(w->rest, data.data + data.len - w->rest_bytes, w->rest_bytes);
    }
    if (!push(w)) {
        lose(w, COFFER_CLOSED, strerror(errno));
    }
}

/* Connected, shaken hands: now it is the mux's. */
static bool tell_opened(wire *w) {
    coffer_error error;
    coffer_login *login = NULL;
    coffer_slice nobody = coffer_slice_text("");
    coffer_status status = w->wants_login ? coffer_login_new(&login, w->all->client, &error) : COFFER_OK;
    if (status != COFFER_OK) {
        lose_as(w, status, error.text);
        return false;
    }
    w->open = true;
    coffer_mux_opened(w->all->mux, w->link, login == NULL ? nobody : coffer_login_username(login),
                      login == NULL ? nobody : coffer_login_password(login), now_us());
    coffer_login_free(login);
    return true;
}

static void take(wire *w, coffer_slice in) {
    coffer_status status = w->tls == NULL ? COFFER_OK : coffer_tls_feed(w->tls, in, &in);
    if (!w->open && coffer_tls_ready(w->tls) && !tell_opened(w)) {
        return;
    }
    if (in.len > 0) {
        coffer_mux_fed(w->all->mux, w->link, in, now_us());
    }
    bool sent = push(w);
    if (status != COFFER_OK) {
        lose_as(w, status, coffer_tls_message(w->tls));
    } else if (!sent) {
        lose(w, COFFER_CLOSED, strerror(errno));
    }
}

/* ---- connecting ---- */

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
    *w = (wire){.all = all, .after = all->first, .endpoint = order->endpoint, .link = order->link, .fd = -1, .wants_login = order->wants_login};
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
    coffer_error error;
    if (!dial_reached(&w->dial, w->fd)) {
        hang_up(w);
        attempt(w);
    } else if (!w->all->watch(w, POLLIN)) {
        lose(w, COFFER_NO_MEMORY, "it cannot be watched");
    } else if (!w->endpoint->tls) {
        tell_opened(w);
    } else if (coffer_tls_new(&w->tls, w->all->client, w->endpoint, &error) != COFFER_OK) {
        lose_as(w, error.status, error.text);
    } else if (!push(w)) {
        lose(w, COFFER_CLOSED, strerror(errno));
    }
}

static void wire_ready(wire *w) {
    char in[32768];
    if (!w->open && w->tls == NULL) {
        connected(w);
        return;
    }
    ssize_t came = push(w) ? recv(w->fd, in, sizeof in, 0) : -1;
    if (came > 0) {
        take(w, coffer_slice_of(in, (size_t)came));
    } else if (came == 0 && w->tls != NULL) {
        coffer_status why = coffer_tls_end(w->tls);
        lose_as(w, why, coffer_tls_message(w->tls));
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
        if (w->tls != NULL) {
            coffer_tls_shutdown(w->tls);
            push(w);
        }
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
    all->client = client;
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
