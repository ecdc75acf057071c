/* A driver on libuv: wires.h with its descriptors, a timer, what other threads ring, and what runs before it waits.
 *
 *     libuv_wires_open(&driver, loop, client, stopped);
 *     coffer_mux_submit(driver.wires.mux, ...);        at any time, in the loop's thread
 *     libuv_wires_close(&driver);                      when all tasks are freed, not by `stopped`; then have the loop run to its end */
#ifndef WIRES_LIBUV_H
#define WIRES_LIBUV_H

#include "wires.h"

#include <uv.h>

typedef struct libuv_wires {
    wires wires; /* first: what is given as wires is this */
    uv_prepare_t turn;
    uv_timer_t due;
    uv_async_t bell;
} libuv_wires;

static void libuv_free_handle(uv_handle_t *handle) {
    free(handle);
}

static void libuv_on_descriptor(uv_poll_t *poll, int error, int events) {
    (void)error; /* the socket says it better */
    (void)events;
    wire_ready((wire *)poll->data);
}

static bool libuv_watch(wire *w, short events) {
    uv_poll_t *poll = (uv_poll_t *)w->watcher;
    if (events == 0) {
        uv_close((uv_handle_t *)poll, libuv_free_handle);
        w->watcher = NULL;
        return true;
    }
    if (poll == NULL) {
        poll = (uv_poll_t *)malloc(sizeof *poll);
        if (poll == NULL || uv_poll_init(((libuv_wires *)w->all)->turn.loop, poll, w->fd) != 0) {
            free(poll);
            return false;
        }
        poll->data = w;
        w->watcher = poll;
    }
    return uv_poll_start(poll, (events & POLLIN ? UV_READABLE : 0) | (events & POLLOUT ? UV_WRITABLE : 0), libuv_on_descriptor) == 0;
}

static void libuv_ring(void *wires_of) {
    uv_async_send(&((libuv_wires *)wires_of)->bell);
}

static void libuv_on_bell(uv_async_t *bell) {
    wires_tick((wires *)bell->data);
}

static void libuv_on_due(uv_timer_t *due) {
    wires_tick((wires *)due->data);
}

/* What was asked in a turn of the loop goes out at its end, together. */
static void libuv_on_turn(uv_prepare_t *turn) {
    libuv_wires *driver = (libuv_wires *)turn->data;
    uint64_t wait_us = wires_turn(&driver->wires);
    uv_update_time(turn->loop);
    if (wait_us == UINT64_MAX) {
        uv_timer_stop(&driver->due);
    } else {
        uv_timer_start(&driver->due, libuv_on_due, (wait_us + 999) / 1000, 0);
    }
}

static coffer_status libuv_wires_open(libuv_wires *driver, uv_loop_t *loop, coffer_client *client, void (*stopped)(coffer_task *task)) {
    driver->wires = (wires){.watch = libuv_watch, .ring = libuv_ring, .stopped = stopped};
    driver->turn.data = driver->due.data = driver->bell.data = driver;
    uv_prepare_init(loop, &driver->turn);
    uv_prepare_start(&driver->turn, libuv_on_turn);
    uv_timer_init(loop, &driver->due);
    return uv_async_init(loop, &driver->bell, libuv_on_bell) != 0 ? COFFER_NO_MEMORY : wires_open(&driver->wires, client);
}

static void libuv_wires_close(libuv_wires *driver) {
    wires_close(&driver->wires);
    uv_close((uv_handle_t *)&driver->turn, NULL);
    uv_close((uv_handle_t *)&driver->due, NULL);
    uv_close((uv_handle_t *)&driver->bell, NULL);
}

#endif
