/* A web service on libev whose pages are cached: many visitors at once, one thread, and a database that takes its time.
 *
 *     on_libev [URL]                    redis://127.0.0.1 unless another is named; prints its address; SIGTERM ends it
 *     curl http://127.0.0.1:PORT/42     what it says: pages.h
 *     cc on_libev.c $(pkg-config --cflags --libs coffer) -lev -pthread
 *
 * The driver is wires_libev.h. on_libuv.c is the same on libuv; docs/drivers.md explains both. */
#include <coffer/coffer.h>

#include "pages.h"
#include "wires_libev.h"

#include <fcntl.h>
#include <signal.h>

typedef struct service {
    struct ev_loop *loop;
    libev_wires driver;
    pages pages;
    ev_io door;
    ev_signal term;
    struct visitor *visitors;
} service;

/* ---- visitors ---- */

typedef struct visitor {
    ev_io socket;
    ev_timer query; /* stands for a database that answers later */
    service *service;
    struct visitor *before, *after;
    coffer_task *task; /* NULL: has not asked yet, or is being answered */
    char *answer;
    size_t answer_bytes, sent_bytes, request_bytes;
    char request[REQUEST_CAP];
} visitor;

/* At any time: who goes in the midst of a load leaves it to the others who wait for it. */
static void leave(visitor *v) {
    *(v->before == NULL ? &v->service->visitors : &v->before->after) = v->after;
    if (v->after != NULL) {
        v->after->before = v->before;
    }
    coffer_task_free(v->task);
    ev_io_stop(v->service->loop, &v->socket);
    ev_timer_stop(v->service->loop, &v->query);
    close(v->socket.fd);
    free(v->answer);
    free(v);
}

static void write_answer(visitor *v) {
    ssize_t sent = send(v->socket.fd, v->answer + v->sent_bytes, v->answer_bytes - v->sent_bytes, MSG_NOSIGNAL);
    v->sent_bytes += sent > 0 ? (size_t)sent : 0;
    if (v->sent_bytes == v->answer_bytes || (sent < 0 && errno != EAGAIN)) {
        leave(v);
    }
}

static void answer(visitor *v) {
    v->answer = pages_answer(v->task, &v->answer_bytes);
    coffer_task_free(v->task);
    v->task = NULL;
    if (v->answer == NULL) {
        leave(v);
        return;
    }
    ev_io_stop(v->service->loop, &v->socket);
    ev_io_set(&v->socket, v->socket.fd, EV_WRITE);
    ev_io_start(v->service->loop, &v->socket);
}

/* As far as it goes now: wires_turn says when it goes on. */
static void go_on(coffer_task *task) {
    visitor *v = (visitor *)coffer_task_data(task);
    if (v != NULL && coffer_task_want(task) == COFFER_WANT_DONE) {
        answer(v);
    } else if (v != NULL && coffer_task_want(task) == COFFER_WANT_LOAD) {
        ev_timer_start(v->service->loop, &v->query);
    }
}

static void on_query(struct ev_loop *loop, ev_timer *query, int events) {
    visitor *v = (visitor *)query->data;
    (void)loop;
    (void)events;
    pages_made(&v->service->pages, v->request, coffer_task_op(v->task));
    coffer_task_run(v->task, now_us());
    go_on(v->task);
}

static void ask(visitor *v) {
    coffer_op *op = pages_asked(&v->service->pages, v->request);
    if (op == NULL || coffer_mux_submit(v->service->driver.wires.mux, op, v, now_us(), &v->task) != COFFER_OK) {
        coffer_op_free(op);
        answer(v);
    } else {
        go_on(v->task);
    }
}

static void on_socket(struct ev_loop *loop, ev_io *socket, int events) {
    visitor *v = (visitor *)socket->data;
    (void)loop;
    if ((events & EV_WRITE) != 0) {
        write_answer(v);
        return;
    }
    ssize_t came = recv(socket->fd, v->request + v->request_bytes, REQUEST_CAP - 1 - v->request_bytes, 0); /* 0 too where there is no more room */
    if (came == 0 || (came < 0 && errno != EAGAIN)) {
        leave(v);
        return;
    }
    v->request_bytes += came > 0 ? (size_t)came : 0;
    v->request[v->request_bytes] = '\0';
    if (v->task == NULL && strstr(v->request, "\r\n\r\n") != NULL) {
        ask(v);
    }
}

static void on_knock(struct ev_loop *loop, ev_io *door, int events) {
    service *s = (service *)door->data;
    (void)events;
    int fd = accept(door->fd, NULL, NULL);
    visitor *v = fd < 0 ? NULL : (visitor *)calloc(1, sizeof *v);
    if (v == NULL) {
        close(fd);
        return;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    v->service = s;
    v->after = s->visitors;
    if (s->visitors != NULL) {
        s->visitors->before = v;
    }
    s->visitors = v;
    ev_timer_init(&v->query, on_query, QUERY_MS / 1e3, 0.0);
    ev_io_init(&v->socket, on_socket, fd, EV_READ);
    v->socket.data = v->query.data = v;
    ev_io_start(loop, &v->socket);
}

/* ---- the service ---- */

static void on_signal(struct ev_loop *loop, ev_signal *sign, int events) {
    service *s = (service *)sign->data;
    (void)events;
    while (s->visitors != NULL) {
        leave(s->visitors);
    }
    libev_wires_close(&s->driver);
    ev_signal_stop(loop, sign);
    if (ev_is_active(&s->door)) {
        ev_io_stop(loop, &s->door);
        close(s->door.fd);
    }
}

static bool try_server(service *s) {
    coffer_op *ping = NULL;
    coffer_task *task = NULL;
    if (coffer_op_ping(&ping, s->pages.ns, NULL) != COFFER_OK || coffer_mux_submit(s->driver.wires.mux, ping, NULL, now_us(), &task) != COFFER_OK) {
        coffer_op_free(ping);
        return false;
    }
    while (coffer_task_want(task) != COFFER_WANT_DONE) {
        ev_run(s->loop, EVRUN_ONCE);
    }
    return pages_may_begin(task);
}

static bool open_door(service *s) {
    int fd = pages_door();
    ev_io_init(&s->door, on_knock, fd, EV_READ);
    s->door.data = s;
    if (fd >= 0) {
        ev_io_start(s->loop, &s->door);
    }
    return fd >= 0;
}

int main(int argc, char **argv) {
    service s = {.loop = ev_default_loop(0)};
    if (s.loop == NULL || !pages_open(&s.pages, argc > 1 ? argv[1] : "redis://127.0.0.1", now_us() / 1000) ||
        libev_wires_open(&s.driver, s.loop, s.pages.client, go_on) != COFFER_OK) {
        return 1;
    }
    ev_signal_init(&s.term, on_signal, SIGTERM);
    s.term.data = &s;
    ev_signal_start(s.loop, &s.term);
    bool good = try_server(&s) && open_door(&s);
    if (!good) {
        on_signal(s.loop, &s.term, 0);
    }
    ev_run(s.loop, 0);
    ev_loop_destroy(s.loop);
    pages_close(&s.pages);
    return good ? 0 : 1;
}
