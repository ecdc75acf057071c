/* A web service on libuv whose pages are cached: many visitors at once, one thread, and a database that takes its time.
 *
 *     on_libuv [URL]                    redis://127.0.0.1 unless another is named; prints its address; SIGTERM ends it
 *     curl http://127.0.0.1:PORT/42     what it says: pages.h
 *     cc on_libuv.c $(pkg-config --cflags --libs coffer libuv) -pthread
 *
 * The driver is wires_libuv.h. on_libev.c is the same on libev; docs/drivers.md explains both. */
#include <coffer/coffer.h>

#include "pages.h"
#include "wires_libuv.h"

#include <signal.h>

typedef struct service {
    uv_loop_t loop;
    libuv_wires driver;
    pages pages;
    uv_tcp_t door;
    uv_signal_t term;
    struct visitor *visitors;
} service;

/* ---- visitors ---- */

typedef struct visitor {
    uv_tcp_t socket;
    uv_timer_t query; /* stands for a database that answers later */
    uv_write_t writing;
    service *service;
    struct visitor *before, *after;
    coffer_task *task; /* NULL: has not asked yet, or is being answered */
    char *answer;
    char request[REQUEST_CAP];
    size_t request_bytes;
} visitor;

static void on_left(uv_handle_t *query) {
    visitor *v = (visitor *)query->data;
    free(v->answer);
    free(v);
}

static void on_hung_up(uv_handle_t *socket) {
    uv_close((uv_handle_t *)&((visitor *)socket->data)->query, on_left);
}

/* At any time: who goes in the midst of a load leaves it to the others who wait for it. */
static void leave(visitor *v) {
    if (uv_is_closing((uv_handle_t *)&v->socket)) {
        return;
    }
    *(v->before == NULL ? &v->service->visitors : &v->before->after) = v->after;
    if (v->after != NULL) {
        v->after->before = v->before;
    }
    coffer_task_free(v->task);
    uv_close((uv_handle_t *)&v->socket, on_hung_up);
}

static void on_answered(uv_write_t *writing, int error) {
    (void)error;
    leave((visitor *)writing->handle->data);
}

static void answer(visitor *v) {
    size_t bytes = 0;
    v->answer = pages_answer(v->task, &bytes);
    coffer_task_free(v->task);
    v->task = NULL;
    uv_buf_t out = {.base = v->answer, .len = bytes};
    if (v->answer == NULL || uv_write(&v->writing, (uv_stream_t *)&v->socket, &out, 1, on_answered) != 0) {
        leave(v);
    }
}

static void on_query(uv_timer_t *query);

/* As far as it goes now: wires_turn says when it goes on. */
static void go_on(coffer_task *task) {
    visitor *v = (visitor *)coffer_task_data(task);
    if (v != NULL && coffer_task_want(task) == COFFER_WANT_DONE) {
        answer(v);
    } else if (v != NULL && coffer_task_want(task) == COFFER_WANT_LOAD) {
        uv_timer_start(&v->query, on_query, QUERY_MS, 0);
    }
}

static void on_query(uv_timer_t *query) {
    visitor *v = (visitor *)query->data;
    pages_made(&v->service->pages, v->request, coffer_task_op(v->task));
    coffer_task_run(v->task, now_us());
    go_on(v->task);
}

static void on_room(uv_handle_t *socket, size_t wish_bytes, uv_buf_t *room) {
    (void)wish_bytes;
    visitor *v = (visitor *)socket->data;
    *room = uv_buf_init(v->request + v->request_bytes, (unsigned)(REQUEST_CAP - 1 - v->request_bytes)); /* none is left: on_read is told ENOBUFS */
}

static void on_read(uv_stream_t *socket, ssize_t came, const uv_buf_t *room) {
    (void)room;
    visitor *v = (visitor *)socket->data;
    if (came < 0) {
        leave(v);
        return;
    }
    v->request_bytes += (size_t)came;
    v->request[v->request_bytes] = '\0';
    if (v->task != NULL || v->answer != NULL || strstr(v->request, "\r\n\r\n") == NULL) {
        return;
    }
    coffer_op *op = pages_asked(&v->service->pages, v->request);
    if (op == NULL || coffer_mux_submit(v->service->driver.wires.mux, op, v, now_us(), &v->task) != COFFER_OK) {
        coffer_op_free(op);
        answer(v);
    } else {
        go_on(v->task);
    }
}

static void on_knock(uv_stream_t *door, int error) {
    service *s = (service *)door->data;
    visitor *v = error == 0 ? (visitor *)calloc(1, sizeof *v) : NULL;
    if (v == NULL) {
        return;
    }
    v->service = s;
    v->socket.data = v->query.data = v;
    v->after = s->visitors;
    if (s->visitors != NULL) {
        s->visitors->before = v;
    }
    s->visitors = v;
    uv_timer_init(&s->loop, &v->query);
    uv_tcp_init(&s->loop, &v->socket);
    if (uv_accept(door, (uv_stream_t *)&v->socket) != 0 || uv_read_start((uv_stream_t *)&v->socket, on_room, on_read) != 0) {
        leave(v);
    }
}

/* ---- the service ---- */

static void on_signal(uv_signal_t *sign, int number) {
    service *s = (service *)sign->data;
    (void)number;
    while (s->visitors != NULL) {
        leave(s->visitors);
    }
    libuv_wires_close(&s->driver);
    uv_close((uv_handle_t *)&s->door, NULL);
    uv_close((uv_handle_t *)&s->term, NULL);
}

static bool try_server(service *s) {
    coffer_op *ping = NULL;
    coffer_task *task = NULL;
    if (coffer_op_ping(&ping, s->pages.ns, NULL) != COFFER_OK || coffer_mux_submit(s->driver.wires.mux, ping, NULL, now_us(), &task) != COFFER_OK) {
        coffer_op_free(ping);
        return false;
    }
    while (coffer_task_want(task) != COFFER_WANT_DONE) {
        uv_run(&s->loop, UV_RUN_ONCE);
    }
    return pages_may_begin(task);
}

static bool open_door(service *s) {
    int fd = pages_door();
    return fd >= 0 && uv_tcp_open(&s->door, fd) == 0 && uv_listen((uv_stream_t *)&s->door, SOMAXCONN, on_knock) == 0;
}

int main(int argc, char **argv) {
    service s = {0};
    signal(SIGPIPE, SIG_IGN);
    if (!pages_open(&s.pages, argc > 1 ? argv[1] : "redis://127.0.0.1", now_us() / 1000)) {
        return 1;
    }
    uv_loop_init(&s.loop);
    uv_tcp_init(&s.loop, &s.door);
    uv_signal_init(&s.loop, &s.term);
    s.door.data = s.term.data = &s;
    if (libuv_wires_open(&s.driver, &s.loop, s.pages.client, go_on) != COFFER_OK) {
        return 1;
    }
    bool good = try_server(&s) && uv_signal_start(&s.term, on_signal, SIGTERM) == 0 && open_door(&s);
    if (!good) {
        on_signal(&s.term, 0);
    }
    uv_run(&s.loop, UV_RUN_DEFAULT);
    good = uv_loop_close(&s.loop) == 0 && good;
    pages_close(&s.pages);
    return good ? 0 : 1;
}
