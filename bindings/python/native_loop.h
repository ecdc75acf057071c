/* loop: the half in C of asyncio's driver. coffer/mux.h knows what is to be done; here it meets Python's futures and transports.
 *
 *     loop_open(handle, create_future, call_soon, turn, wake_fd) -> loop     from now on what would block on this handle answers with a future
 *     loop_attach(loop, handle)                           so does this one: another namespace of the same client
 *     loop_turn(loop) -> (orders or None, due_ms)         writes what is to be written; gives the other orders, and when loop_tick is wanted (-1: never)
 *     loop_opened / loop_fed / loop_lost / loop_hold      what became of a connection
 *     loop_tick(loop)                                     time has passed, or wake_fd was written to
 *     loop_drop(loop, future)                             nobody waits for it: its op is freed, its reply will go to nobody
 *     loop_close(loop)                                    everything under way ends with ClosedError; a last loop_turn gives the orders to close
 *
 * Sockets, names and timers are Python's, TLS and credentials of the options the core's (coffer/aio/_driver.py). `call_soon(turn)` is called once when there is something to do, `wake_fd` (an eventfd) is
 * written to when another thread has ended a wait. An order is ("connect", link, host, port, path, wants_login) or ("close", link); a link is a capsule.
 * All of a loop belongs to one thread, and every entry holds the GIL. */
#ifndef COFFER_PYTHON_NATIVE_LOOP_H
#define COFFER_PYTHON_NATIVE_LOOP_H

#include "native.h"

typedef struct coffer__py_loop coffer__py_loop;

coffer__py_loop *coffer__py_loop_of(PyObject *capsule); /* lent by it */

/* The answer of an op whose loop is named, or a future of it; NULL with an exception. */
PyObject *coffer__py_loop_go(coffer__py_op *op);

/* The op goes while it is under way: its future is nobody's any more. */
void coffer__py_loop_forget(coffer__py_op *op);

void coffer__py_loop_add_metrics(const coffer__py_loop *loop, coffer_metrics *metrics);

PyObject *coffer__py_loop_open(PyObject *self, PyObject *args);
PyObject *coffer__py_loop_attach(PyObject *self, PyObject *args);
PyObject *coffer__py_loop_turn(PyObject *self, PyObject *args);
PyObject *coffer__py_loop_opened(PyObject *self, PyObject *args);
PyObject *coffer__py_loop_fed(PyObject *self, PyObject *args);
PyObject *coffer__py_loop_lost(PyObject *self, PyObject *args);
PyObject *coffer__py_loop_hold(PyObject *self, PyObject *args);
PyObject *coffer__py_loop_tick(PyObject *self, PyObject *args);
PyObject *coffer__py_loop_drop(PyObject *self, PyObject *args);
PyObject *coffer__py_loop_close(PyObject *self, PyObject *args);

#endif
