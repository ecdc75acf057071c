/* A driver on libev: wires.h with its descriptors, a timer, what other threads ring, and what runs before it waits.
 *
 *     libev_wires_open(&driver, loop, client, stopped);
 *     coffer_mux_submit(driver.wires.mux, ...);        at any time, in the loop's thread
 *     libev_wires_close(&driver);                      when all tasks are freed, not by `stopped` */
#ifndef WIRES_LIBEV_H
#define WIRES_LIBEV_H

#include "wires.h"

#include <ev.h>

typedef struct libev_wires {
    wires wires; /* first: what is given as wires is this */
    struct ev_loop *loop;
    ev_prepare turn;
    ev_timer due;
    ev_async bell;
} libev_wires;

static void libev_on_descriptor(struct ev_loop *loop, ev_io *io, int events) {
    (void)loop;
    (void)events;
    wire_ready((wire *)io->data);
}

static bool libev_watch(wire *w, short events) {
    struct ev_loop *loop = ((libev_wires *)w->all)->loop;
    ev_io *io = (ev_io *)w->watcher;
    if (io == NULL) {
        io = (ev_io *)malloc(sizeof *io);
        if (io == NULL) {
            return false;
        }
        ev_init(io, libev_on_descriptor);
        io->data = w;
        w->watcher = io;
    }
    ev_io_stop(loop, io);
    if (events == 0) {
        free(io);
        w->watcher = NULL;
        return true;
    }
    ev_io_set(io, w->fd, (events & POLLIN ? EV_READ : 0) | (events & POLLOUT ? EV_WRITE : 0));
    ev_io_start(loop, io);
    return true;
}

static void libev_ring(void *wires_of) {
    libev_wires *driver = (libev_wires *)wires_of;
    ev_async_send(driver->loop, &driver->bell);
}

static void libev_on_bell(struct ev_loop *loop, ev_async *bell, int events) {
    (void)loop;
    (void)events;
    wires_tick((wires *)bell->data);
}

static void libev_on_due(struct ev_loop *loop, ev_timer *due, int events) {
    (void)loop;
    (void)events;
    wires_tick((wires *)due->data);
}

/* What was asked in a turn of the loop goes out at its end, together. */
static void libev_on_turn(struct ev_loop *loop, ev_prepare *turn, int events) {
    libev_wires *driver = (libev_wires *)turn->data;
    (void)events;
    uint64_t wait_us = wires_turn(&driver->wires);
    ev_timer_stop(loop, &driver->due);
    if (wait_us != UINT64_MAX) {
        ev_now_update(loop);
        ev_timer_set(&driver->due, (double)wait_us / 1e6, 0.0);
        ev_timer_start(loop, &driver->due);
    }
}

static coffer_status libev_wires_open(libev_wires *driver, struct ev_loop *loop, coffer_client *client, void (*stopped)(coffer_task *task)) {
    driver->wires = (wires){.watch = libev_watch, .ring = libev_ring, .stopped = stopped};
    driver->loop = loop;
    driver->turn.data = driver->due.data = driver->bell.data = driver;
    ev_prepare_init(&driver->turn, libev_on_turn);
    ev_prepare_start(loop, &driver->turn);
    ev_init(&driver->due, libev_on_due);
    ev_async_init(&driver->bell, libev_on_bell);
    ev_async_start(loop, &driver->bell);
    return wires_open(&driver->wires, client);
}

static void libev_wires_close(libev_wires *driver) {
    wires_close(&driver->wires);
    ev_prepare_stop(driver->loop, &driver->turn);
    ev_timer_stop(driver->loop, &driver->due);
    ev_async_stop(driver->loop, &driver->bell);
}

#endif
