#include "native_loop.h"

#include <coffer/mux.h>
#include <coffer/tls.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

struct coffer__py_loop {
    coffer_mux *mux;
    coffer_client *client; /* the mux's */
    PyObject *create_future, *call_soon, *turn;
    PyObject *set_result, *set_exception; /* names of methods */
    int wake_fd;
    bool turn_asked;
    uint64_t armed_us; /* the tick that was asked for by the last turn */
    coffer__py_op *first, *last; /* those that are awaited, in the order in which they came */
};

/* One connection. Its capsule is the mux's from the order to connect until its end. */
typedef struct py_link {
    uint32_t name;
    const coffer_endpoint *endpoint;
    PyObject *write; /* of its transport, once it is connected */
    coffer_tls *tls; /* once it is connected; NULL: plain */
    coffer_login *login; /* what the options say; NULL: nobody, or the two below */
    PyObject *username, *password; /* what the program's function said */
    bool wants_login, is_told; /* the mux knows that it is open */
} py_link;

static const char LOOP_NAME[] = "coffer.loop", LINK_NAME[] = "coffer.link";

coffer__py_loop *coffer__py_loop_of(PyObject *capsule) {
    return PyCapsule_GetPointer(capsule, LOOP_NAME);
}

/* ---- those that are awaited ------------------------------------------------------------------------------------------ */

static void park(coffer__py_loop *loop, coffer__py_op *op, PyObject *future) {
    op->future = Py_NewRef(future);
    op->held = Py_XNewRef(op->capsule);
    op->before = loop->last;
    op->after = NULL;
    *(loop->last == NULL ? &loop->first : &loop->last->after) = op;
    loop->last = op;
}

/* Its future and its capsule are the caller's now. */
static void unpark(coffer__py_loop *loop, coffer__py_op *op, PyObject **future, PyObject **held) {
    *(op->before == NULL ? &loop->first : &op->before->after) = op->after;
    *(op->after == NULL ? &loop->last : &op->after->before) = op->before;
    op->before = op->after = NULL;
    *future = op->future;
    *held = op->held;
    op->future = op->held = NULL;
}

/* Gives the answer, which is taken, or the exception that is set, to who waits. A future that was cancelled a moment ago objects; so does one whose loop was
 * closed: nobody waits there. */
static void settle(const coffer__py_loop *loop, PyObject *future, PyObject *answer) {
    PyObject *kind = NULL, *trace = NULL, *given = answer;
    if (answer == NULL) {
        PyErr_Fetch(&kind, &given, &trace);
        PyErr_NormalizeException(&kind, &given, &trace);
    }
    PyObject *done = PyObject_CallMethodObjArgs(future, answer != NULL ? loop->set_result : loop->set_exception, given, NULL);
    if (done == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(done);
    Py_XDECREF(kind);
    Py_XDECREF(trace);
    Py_XDECREF(given);
}

/* What Python gets of a task that has stopped. */
static PyObject *answer_of(coffer__py_op *op) {
    op->want = coffer_task_want(op->task);
    bool was_closed = op->want == COFFER_WANT_DONE && coffer_task_status(op->task) == COFFER_CLOSED_CACHE;
    return was_closed ? coffer__py_raise(COFFER_CLOSED_CACHE, NULL) : op->answer(op);
}

/* All that have stopped are answered. No exception is set, before or after. */
static void settle_stopped(coffer__py_loop *loop) {
    coffer_task *task;
    while ((task = coffer_mux_next_stopped(loop->mux)) != NULL) {
        coffer__py_op *op = coffer_task_data(task);
        PyObject *future, *held;
        unpark(loop, op, &future, &held);
        PyObject *answer = answer_of(op);
        bool answered = answer != NULL;
        settle(loop, future, answer);
        coffer__py_op_ended(op, answered);
        Py_DECREF(future);
        Py_XDECREF(held);
    }
}

void coffer__py_loop_forget(coffer__py_op *op) {
    if (op->future != NULL) {
        PyObject *future, *held;
        unpark(op->loop, op, &future, &held);
        Py_DECREF(future);
        Py_XDECREF(held);
    }
}

/* Where there is something to do, Python is told once to take a turn. False with an exception. */
static bool ask_turn(coffer__py_loop *loop) {
    if (loop->turn_asked || loop->turn == NULL || (!coffer_mux_has_orders(loop->mux) && coffer_mux_due_us(loop->mux) >= loop->armed_us)) {
        return true;
    }
    PyObject *told = PyObject_CallFunctionObjArgs(loop->call_soon, loop->turn, NULL);
    loop->turn_asked = told != NULL;
    Py_XDECREF(told);
    return told != NULL;
}

/* What an entry ends with. */
static bool went_on(coffer__py_loop *loop) {
    settle_stopped(loop);
    return ask_turn(loop);
}

static PyObject *gone_on(coffer__py_loop *loop) {
    return went_on(loop) ? Py_NewRef(Py_None) : NULL;
}

static bool advance(coffer__py_op *op) {
    if (op->task != NULL) {
        coffer_task_run(op->task, coffer_now_us());
        return true;
    }
    coffer_status status = coffer_mux_submit(op->loop->mux, op->op, op, coffer_now_us(), &op->task);
    return status == COFFER_OK || coffer__py_raise(status, NULL) != NULL;
}

PyObject *coffer__py_loop_go(coffer__py_op *op) {
    coffer__py_loop *loop = op->loop;
    if (!advance(op)) {
        return NULL;
    }
    settle_stopped(loop);
    if (!ask_turn(loop)) {
        return NULL;
    }
    if (coffer_task_want(op->task) != COFFER_WANT_REPLY) {
        return answer_of(op);
    }
    PyObject *future = PyObject_CallNoArgs(loop->create_future);
    if (future != NULL) {
        park(loop, op, future);
    }
    return future;
}

void coffer__py_loop_add_metrics(const coffer__py_loop *loop, coffer_metrics *metrics) {
    coffer_mux_add_metrics(loop->mux, metrics);
}

/* ---- links ----------------------------------------------------------------------------------------------------------- */

static void link_finalise(PyObject *capsule) {
    py_link *at = PyCapsule_GetPointer(capsule, LINK_NAME);
    Py_XDECREF(at->write);
    coffer_tls_free(at->tls);
    coffer_login_free(at->login);
    Py_XDECREF(at->username);
    Py_XDECREF(at->password);
    PyMem_Free(at);
}

/* A capsule that the mux holds; borrowed. NULL with an exception. */
static PyObject *link_new(coffer__py_loop *loop, const coffer_order *order) {
    py_link *at = PyMem_Calloc(1, sizeof *at);
    PyObject *capsule = at == NULL ? PyErr_NoMemory() : PyCapsule_New(at, LINK_NAME, link_finalise);
    if (capsule == NULL) {
        PyMem_Free(at);
        return NULL;
    }
    at->name = order->link;
    at->endpoint = order->endpoint;
    at->wants_login = order->wants_login;
    coffer_mux_set_link_data(loop->mux, order->link, capsule);
    return capsule;
}

static bool link_and_loop(PyObject *loop_capsule, PyObject *link_capsule, coffer__py_loop **loop, py_link **at) {
    *loop = coffer__py_loop_of(loop_capsule);
    *at = *loop == NULL ? NULL : PyCapsule_GetPointer(link_capsule, LINK_NAME);
    return *at != NULL;
}

/* ---- orders ---------------------------------------------------------------------------------------------------------- */

static PyObject *text_of(coffer_slice text) {
    return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.len, "surrogateescape");
}

static PyObject *connect_order(coffer__py_loop *loop, const coffer_order *order) {
    const coffer_endpoint *at = order->endpoint;
    PyObject *capsule = link_new(loop, order);
    return capsule == NULL ? NULL
                           : Py_BuildValue("sONiNN", "connect", capsule, text_of(at->host), (int)at->port, text_of(at->path),
                                           PyBool_FromLong(order->wants_login));
}

/* To its transport. False with an exception: what is wrong with it, connection_lost will say too. */
static bool write_bytes(const py_link *at, coffer_slice data) {
    PyObject *bytes = PyBytes_FromStringAndSize(data.data, (Py_ssize_t)data.len);
    PyObject *written = bytes == NULL ? NULL : PyObject_CallFunctionObjArgs(at->write, bytes, NULL);
    Py_XDECREF(bytes);
    Py_XDECREF(written);
    return written != NULL;
}

/* What TLS has to say. */
static bool write_tls(const py_link *at) {
    coffer_slice output = coffer_tls_output(at->tls);
    bool written = output.len == 0 || at->write == NULL || write_bytes(at, output);
    coffer_tls_sent(at->tls, output.len);
    return written;
}

/* The mux's reference goes with it. */
static PyObject *close_order(const coffer_order *order) {
    if (order->link_data == NULL) {
        return Py_NewRef(Py_None);
    }
    py_link *at = PyCapsule_GetPointer(order->link_data, LINK_NAME);
    if (at->tls != NULL) {
        coffer_tls_shutdown(at->tls);
        if (!write_tls(at)) {
            PyErr_Clear();
        }
    }
    return Py_BuildValue("sN", "close", (PyObject *)order->link_data);
}

/* Where TLS cannot take it, what came to the link says why. */
static bool write_out(const coffer_order *order) {
    py_link *at = PyCapsule_GetPointer(order->link_data, LINK_NAME);
    if (at->tls == NULL) {
        return write_bytes(at, order->data);
    }
    (void)coffer_tls_write(at->tls, order->data);
    return write_tls(at);
}

/* Into the list, which is made for the first. */
static bool keep_order(PyObject **orders, PyObject *order) {
    if (*orders == Py_None) {
        *orders = PyList_New(0);
    }
    bool kept = order != NULL && *orders != NULL && PyList_Append(*orders, order) == 0;
    Py_XDECREF(order);
    return kept;
}

static bool carry_out(coffer__py_loop *loop, PyObject **orders) {
    coffer_order order;
    while (coffer_mux_next_order(loop->mux, coffer_now_us(), &order)) {
        bool done = order.kind == COFFER_ORDER_WRITE     ? write_out(&order)
                    : order.kind == COFFER_ORDER_CONNECT ? keep_order(orders, connect_order(loop, &order))
                                                         : keep_order(orders, close_order(&order));
        if (!done) {
            return false;
        }
    }
    return true;
}

/* (loop) -> (orders or None, milliseconds until loop_tick, -1: never) */
PyObject *coffer__py_loop_turn(PyObject *self, PyObject *args) {
    PyObject *capsule, *orders = Py_None;
    (void)self;
    coffer__py_loop *loop = PyArg_ParseTuple(args, "O", &capsule) ? coffer__py_loop_of(capsule) : NULL;
    if (loop == NULL) {
        return NULL;
    }
    bool done = carry_out(loop, &orders);
    loop->turn_asked = false;
    if (!done) {
        Py_XDECREF(orders);
        return NULL;
    }
    settle_stopped(loop);
    uint64_t due_us = coffer_mux_due_us(loop->mux), wait_us = coffer_wait_us(due_us);
    loop->armed_us = due_us;
    long long due_ms = wait_us == UINT64_MAX ? -1 : (long long)((wait_us + 999) / 1000);
    return Py_BuildValue("NL", orders == Py_None ? Py_NewRef(orders) : orders, due_ms);
}

/* ---- what became of a connection --------------------------------------------------------------------------------------- */

/* The mux holds a reference as long as the link is its own. */
static void lose(coffer__py_loop *loop, PyObject *capsule, coffer_status why, const char *words) {
    const py_link *at = PyCapsule_GetPointer(capsule, LINK_NAME);
    if (coffer_mux_lost(loop->mux, at->name, why, words, coffer_now_us())) {
        Py_DECREF(capsule);
    }
}

/* The mux is told, once the connection is as it should be. False with an exception. */
static bool tell_opened(coffer__py_loop *loop, PyObject *capsule) {
    py_link *at = PyCapsule_GetPointer(capsule, LINK_NAME);
    const char *username = "", *password = "";
    Py_ssize_t username_len = 0, password_len = 0;
    if (at->username != NULL && ((username = PyUnicode_AsUTF8AndSize(at->username, &username_len)) == NULL ||
                                 (password = PyUnicode_AsUTF8AndSize(at->password, &password_len)) == NULL)) {
        return false;
    }
    coffer_slice user = at->login != NULL ? coffer_login_username(at->login) : coffer_slice_of(username, (size_t)username_len);
    coffer_slice secret = at->login != NULL ? coffer_login_password(at->login) : coffer_slice_of(password, (size_t)password_len);
    at->is_told = true;
    coffer_mux_opened(loop->mux, at->name, user, secret, coffer_now_us());
    coffer_login_free(at->login);
    at->login = NULL;
    Py_CLEAR(at->username);
    Py_CLEAR(at->password);
    return true;
}

/* TLS, and whom to log in as. False where it is lost by that. */
static bool settle_link(coffer__py_loop *loop, PyObject *capsule) {
    py_link *at = PyCapsule_GetPointer(capsule, LINK_NAME);
    coffer_error error = {.status = COFFER_OK};
    bool asks = at->wants_login && at->username == NULL;
    if ((asks && coffer_login_new(&at->login, loop->client, &error) != COFFER_OK) ||
        (at->endpoint->tls && coffer_tls_new(&at->tls, loop->client, at->endpoint, &error) != COFFER_OK)) {
        lose(loop, capsule, error.status, error.text);
        return false;
    }
    return true;
}

/* (loop, link, write, user name or None, password or None): it is connected. False: and no use */
PyObject *coffer__py_loop_opened(PyObject *self, PyObject *args) {
    PyObject *loop_capsule, *capsule, *write_method, *username, *password;
    coffer__py_loop *loop;
    py_link *at;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOO", &loop_capsule, &capsule, &write_method, &username, &password) ||
        !link_and_loop(loop_capsule, capsule, &loop, &at)) {
        return NULL;
    }
    Py_XDECREF(at->write);
    at->write = Py_NewRef(write_method);
    at->username = username == Py_None ? NULL : Py_NewRef(username);
    at->password = password == Py_None ? NULL : Py_NewRef(password);
    bool is_settled = settle_link(loop, capsule);
    bool done = !is_settled || (at->tls != NULL ? write_tls(at) : tell_opened(loop, capsule));
    return done && went_on(loop) ? PyBool_FromLong(is_settled) : NULL;
}

/* Through TLS: what it makes ready, gives out, and finds wrong. */
static bool feed_tls(coffer__py_loop *loop, PyObject *capsule, coffer_slice in) {
    py_link *at = PyCapsule_GetPointer(capsule, LINK_NAME);
    coffer_slice plain;
    coffer_status status = coffer_tls_feed(at->tls, in, &plain);
    bool done = write_tls(at);
    if (done && !at->is_told && coffer_tls_ready(at->tls)) {
        done = tell_opened(loop, capsule);
    }
    if (done && plain.len > 0) {
        coffer_mux_fed(loop->mux, at->name, plain, coffer_now_us());
    }
    if (done && status != COFFER_OK) {
        lose(loop, capsule, status, coffer_tls_message(at->tls));
    }
    return done;
}

/* (loop, link, buffer, count): so many bytes came. False: no more are wanted */
PyObject *coffer__py_loop_fed(PyObject *self, PyObject *args) {
    PyObject *loop_capsule, *capsule;
    Py_buffer view;
    Py_ssize_t count;
    coffer__py_loop *loop;
    py_link *at;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOy*n", &loop_capsule, &capsule, &view, &count)) {
        return NULL;
    }
    bool done = link_and_loop(loop_capsule, capsule, &loop, &at) && count >= 0 && count <= view.len;
    if (done && at->tls != NULL) {
        done = feed_tls(loop, capsule, coffer_slice_of(view.buf, (size_t)count));
    } else if (done) {
        coffer_mux_fed(loop->mux, at->name, coffer_slice_of(view.buf, (size_t)count), coffer_now_us());
    }
    PyBuffer_Release(&view);
    bool is_well = done && (at->tls == NULL || coffer_tls_status(at->tls) == COFFER_OK);
    return done && went_on(loop) ? PyBool_FromLong(is_well) : NULL;
}

/* (loop, link, "CONNECT" or the like, words): it could not be connected, or is gone */
PyObject *coffer__py_loop_lost(PyObject *self, PyObject *args) {
    PyObject *loop_capsule, *link_capsule;
    const char *name, *words;
    coffer__py_loop *loop;
    py_link *at;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOss", &loop_capsule, &link_capsule, &name, &words) || !link_and_loop(loop_capsule, link_capsule, &loop, &at)) {
        return NULL;
    }
    if (coffer_mux_lost(loop->mux, at->name, coffer_status_named(name), words, coffer_now_us())) {
        Py_DECREF(link_capsule); /* the mux's; the caller has one too */
    }
    return gone_on(loop);
}

/* (loop, link, held): whether its transport has enough for now */
PyObject *coffer__py_loop_hold(PyObject *self, PyObject *args) {
    PyObject *loop_capsule, *link_capsule;
    int is_held;
    coffer__py_loop *loop;
    py_link *at;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOp", &loop_capsule, &link_capsule, &is_held) || !link_and_loop(loop_capsule, link_capsule, &loop, &at)) {
        return NULL;
    }
    coffer_mux_hold(loop->mux, at->name, is_held != 0);
    return gone_on(loop);
}

/* ---- the loop -------------------------------------------------------------------------------------------------------- */

/* The core's hook: from any thread, with or without the GIL. */
static void notify(void *data) {
    const coffer__py_loop *loop = data;
    const uint64_t one = 1;
    if (write(loop->wake_fd, &one, sizeof one) < 0) {
        return; /* it is full: then there is a wake in it already */
    }
}

/* Ops that run there hold it: there are none. */
static void loop_finalise(PyObject *capsule) {
    coffer__py_loop *loop = PyCapsule_GetPointer(capsule, LOOP_NAME);
    coffer_order order;
    coffer_mux_close(loop->mux);
    while (coffer_mux_next_order(loop->mux, coffer_now_us(), &order)) {
        Py_XDECREF((PyObject *)order.link_data);
    }
    coffer_mux_free(loop->mux);
    close(loop->wake_fd);
    Py_XDECREF(loop->create_future);
    Py_XDECREF(loop->call_soon);
    Py_XDECREF(loop->turn);
    Py_XDECREF(loop->set_result);
    Py_XDECREF(loop->set_exception);
    PyMem_Free(loop);
}

/* With a descriptor of its own, for other threads may write to it as long as the mux lives. */
static coffer__py_loop *loop_new(coffer_client *client, int wake_fd) {
    int fd = fcntl(wake_fd, F_DUPFD_CLOEXEC, 0);
    coffer__py_loop *loop = fd < 0 ? NULL : PyMem_Calloc(1, sizeof *loop);
    if (fd < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return NULL;
    }
    if (loop == NULL || coffer_mux_new(&loop->mux, client, notify, loop) != COFFER_OK) {
        PyMem_Free(loop);
        close(fd);
        PyErr_NoMemory();
        return NULL;
    }
    loop->client = client;
    loop->wake_fd = fd;
    loop->armed_us = UINT64_MAX;
    return loop;
}

/* (handle, create_future, call_soon, turn, wake_fd) -> loop */
PyObject *coffer__py_loop_open(PyObject *self, PyObject *args) {
    PyObject *handle_capsule, *create_future, *call_soon, *turn;
    int wake_fd;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOi", &handle_capsule, &create_future, &call_soon, &turn, &wake_fd)) {
        return NULL;
    }
    coffer__py_handle *handle = coffer__py_handle_of(handle_capsule);
    coffer__py_loop *loop = handle == NULL ? NULL : loop_new(coffer_namespace_client(coffer__py_handle_namespace(handle)), wake_fd);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *capsule = PyCapsule_New(loop, LOOP_NAME, loop_finalise);
    if (capsule == NULL) {
        close(loop->wake_fd);
        coffer_mux_free(loop->mux);
        PyMem_Free(loop);
        return NULL;
    }
    loop->create_future = Py_NewRef(create_future);
    loop->call_soon = Py_NewRef(call_soon);
    loop->turn = Py_NewRef(turn);
    loop->set_result = PyUnicode_InternFromString("set_result");
    loop->set_exception = PyUnicode_InternFromString("set_exception");
    if (loop->set_result == NULL || loop->set_exception == NULL) {
        Py_DECREF(capsule);
        return NULL;
    }
    coffer__py_handle_attach(handle, capsule);
    return capsule;
}

/* (loop, handle): the handle's ops run there, too */
PyObject *coffer__py_loop_attach(PyObject *self, PyObject *args) {
    PyObject *capsule, *handle_capsule;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO", &capsule, &handle_capsule) || coffer__py_loop_of(capsule) == NULL) {
        return NULL;
    }
    coffer__py_handle *handle = coffer__py_handle_of(handle_capsule);
    if (handle == NULL) {
        return NULL;
    }
    coffer__py_handle_attach(handle, capsule);
    Py_RETURN_NONE;
}

/* (loop): time has passed */
PyObject *coffer__py_loop_tick(PyObject *self, PyObject *args) {
    PyObject *capsule;
    (void)self;
    coffer__py_loop *loop = PyArg_ParseTuple(args, "O", &capsule) ? coffer__py_loop_of(capsule) : NULL;
    if (loop == NULL) {
        return NULL;
    }
    loop->armed_us = UINT64_MAX;
    coffer_mux_tick(loop->mux, coffer_now_us());
    return gone_on(loop);
}

/* (loop, future): nobody waits for it any more */
PyObject *coffer__py_loop_drop(PyObject *self, PyObject *args) {
    PyObject *capsule, *future;
    (void)self;
    coffer__py_loop *loop = PyArg_ParseTuple(args, "OO", &capsule, &future) ? coffer__py_loop_of(capsule) : NULL;
    if (loop == NULL) {
        return NULL;
    }
    coffer__py_op *op = loop->first;
    while (op != NULL && op->future != future) {
        op = op->after;
    }
    if (op != NULL) {
        PyObject *unawaited, *held;
        unpark(loop, op, &unawaited, &held);
        coffer__py_op_ended(op, false);
        Py_DECREF(unawaited);
        Py_XDECREF(held);
        coffer_mux_tick(loop->mux, coffer_now_us()); /* its load may be another's now */
    }
    return gone_on(loop);
}

/* (loop): everything that waits ends with ClosedError */
PyObject *coffer__py_loop_close(PyObject *self, PyObject *args) {
    PyObject *capsule;
    (void)self;
    coffer__py_loop *loop = PyArg_ParseTuple(args, "O", &capsule) ? coffer__py_loop_of(capsule) : NULL;
    if (loop == NULL) {
        return NULL;
    }
    coffer_mux_close(loop->mux);
    settle_stopped(loop);
    Py_CLEAR(loop->turn);
    Py_RETURN_NONE;
}
