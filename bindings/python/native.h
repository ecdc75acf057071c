/* The hand-written part of the Python binding: what SWIG's generated wrappers stand on, and the calls that are too hot for them.
 *
 *     handle   a capsule "coffer.cache": one coffer_cache, and how many ops and calls are using it
 *     op       a capsule "coffer.op": one coffer_op, the values that were lent to it, and its handle
 *     input    a key or value given by Python, whose memory stays where it is until input_clear
 *
 * Everything here is called with the GIL held, which is also what guards the counts of a handle; running an op releases it.
 * Closing a handle that is in use closes it for new calls at once, and the cache itself when the last user leaves.
 * No callbacks: C never enters Python but to decode a value, to ask about signals or for credentials, and to make an exception.
 * Errors: functions that return an object or a pointer answer NULL with an exception set; those that return bool, false.
 * Source: the limited API of CPython 3.11 and coffer/coffer.h, nothing else.
 */
#ifndef COFFER_PYTHON_NATIVE_H
#define COFFER_PYTHON_NATIVE_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN /* lengths in PyArg_ParseTuple are Py_ssize_t */
#endif
#include <Python.h>
#include <coffer/coffer.h>

typedef struct coffer__py_handle coffer__py_handle;
struct coffer__py_loop; /* native_loop.h */

/* Bytes lent by a Python object: str, bytes, or a pinned buffer. Zeroed is empty. */
typedef struct coffer__py_input {
    coffer_slice data;
    uint8_t format;
    PyObject *held;
    Py_buffer view; /* pinned where view.obj is set: resizing a bytearray raises meanwhile */
} coffer__py_input;

/* The items of a set_many, and what they lend. */
typedef struct coffer__py_batch {
    coffer_item *items;
    coffer__py_input *inputs;
    size_t count;
} coffer__py_batch;

typedef struct coffer__py_op coffer__py_op;

/* What Python gets of an op that has stopped: a new object, or NULL with an exception. */
typedef PyObject *coffer__py_answer(coffer__py_op *op);

/* One op. It uses its handle from begin to free, so that a cache closed meanwhile stays whole under it. */
struct coffer__py_op {
    coffer_op *op; /* first: generated wrappers know this address as the `coffer_op **op` that they fill */
    PyObject *handle_capsule;
    PyObject *capsule; /* the op's own, borrowed; NULL: who calls coffer__py_go gives the op away */
    coffer__py_op *parent, *first_child, *next_child; /* loads: whose loader began this one, and which its own began */
    /* on an event loop */
    PyObject *loop_capsule; /* holds `loop` */
    struct coffer__py_loop *loop;
    coffer_task *task; /* NULL: it has not begun, or does not run there */
    PyObject *future, *held; /* who waits, and the op's own capsule meanwhile; NULL: nobody does */
    coffer__py_op *before, *after; /* of those that are awaited */
    coffer__py_input value;
    coffer__py_batch batch;
    uint64_t load_began_ms;
    bool is_long; /* always worth letting other threads run */
    coffer_want want; /* why it has stopped: DONE or LOAD */
    /* the answer, and what it is made of */
    coffer__py_answer *answer;
    PyObject *subject; /* what a miss is told as, the list of keys, what was loaded */
    PyObject *decode;
};

/* ---- native.c: exceptions, inputs, handles, ops ---- */

/* Raise coffer's exception for `status`, with `message` or the table's text. Always NULL. */
PyObject *coffer__py_raise(coffer_status status, const char *message);

/* Raise coffer.ValueTypeError: "<what>, not <type of object>". Always NULL. */
PyObject *coffer__py_raise_many(coffer_status status, const char *message, PyObject *failed); /* with {key: status}, which it takes */
PyObject *coffer__py_raise_type(const char *what, PyObject *object);

/* A key: str (as UTF-8) or bytes; lent by the object. */
bool coffer__py_key(PyObject *object, coffer_slice *key);

/* A value that is stored as it stands: str, bytes, bytearray, contiguous memoryview. */
bool coffer__py_input_plain(coffer__py_input *input, PyObject *object);

/* Any value: the above, or what `encode` makes a JSON text of. */
bool coffer__py_input_any(coffer__py_input *input, PyObject *object, PyObject *encode);
void coffer__py_input_clear(coffer__py_input *input);

/* (ttl_ms, format, absent, timeout_ms) or None. */
bool coffer__py_write_options(PyObject *object, coffer_write_options *options);

/* timeout_ms or None. */
bool coffer__py_read_options(PyObject *object, coffer_read_options *options);

/* A new capsule; takes the cache over, also where it fails. */
PyObject *coffer__py_handle_wrap(coffer_cache *cache);
coffer__py_handle *coffer__py_handle_of(PyObject *capsule); /* ClosedError once closed */
bool coffer__py_handle_is_open(const coffer__py_handle *handle); /* false: ClosedError */
coffer_cache *coffer__py_handle_cache(const coffer__py_handle *handle);
coffer_namespace *coffer__py_handle_namespace(const coffer__py_handle *handle);
void coffer__py_handle_ask(coffer__py_handle *handle, PyObject *credentials); /* who is asked at each connect: () -> (user name, password) */
void coffer__py_handle_attach(coffer__py_handle *handle, PyObject *loop_capsule); /* its ops run there from now on; held until it is closed */
struct coffer__py_loop *coffer__py_handle_loop(const coffer__py_handle *handle); /* NULL: its ops block */
void coffer__py_handle_close(coffer__py_handle *handle); /* twice is harmless */

PyObject *coffer__py_share(PyObject *self, PyObject *args); /* entered through %native */

/* An op that has no coffer_op yet, for the handle in `capsule`. Free it with op_free, or give it away with op_wrap. */
coffer__py_op *coffer__py_op_begin(PyObject *capsule);
void coffer__py_op_free(coffer__py_op *op); /* takes NULL */

/* Ends the op and all that it holds, but not the object: an exception's traceback may keep a capsule long after its call. Twice is harmless. */
void coffer__py_op_settle(coffer__py_op *op);
coffer_namespace *coffer__py_op_namespace(const coffer__py_op *op);

/* A capsule that owns the op, unless making the coffer_op ended in an error (`made`), which is raised. Takes the op over in both cases. */
PyObject *coffer__py_op_wrap(coffer__py_op *op, coffer_status made);
coffer__py_op *coffer__py_op_of(PyObject *capsule); /* InternalError once settled */

/* Where a generated wrapper lends a value to the op that it is about to make. */
bool coffer__py_op_lend(coffer_op **op, PyObject *value, coffer_slice *data);

/* The op, which is made and not begun, is asked for by the loader of `parent`, and may outlive it. */
void coffer__py_op_set_parent(coffer__py_op *op, coffer__py_op *parent);

/* How the op will be answered; both objects may be NULL, and are held. */
void coffer__py_op_expect(coffer__py_op *op, coffer__py_answer *answer, PyObject *subject, PyObject *decode);

/* Runs the op until DONE or LOAD, in slices of COFFER__PY_SLICE_MS between which Python may handle signals, and answers. Where making it ended in an
 * error (`made`), that is raised. An op without a capsule is freed, one with a capsule is settled where the answer is an exception. */
#define COFFER__PY_SLICE_MS 50
PyObject *coffer__py_go(coffer__py_op *op, coffer_status made);

#define COFFER__PY_BRIEF_BYTES 4096

/* What go ends with: an op without a capsule is freed, one with a capsule is settled unless it was answered. */
void coffer__py_op_ended(coffer__py_op *op, bool answered);

/* A read value as Python sees it: bytes, str, or what `decode` makes of a JSON text. */
PyObject *coffer__py_value(const coffer_value *value, PyObject *decode);
PyObject *coffer__py_text(const coffer_value *value); /* text, JSON's too, as a str */
PyObject *coffer__py_op_value(coffer__py_op *op, PyObject *decode);

/* ---- native_calls.c: entered through %native ---- */

PyObject *coffer__py_get(PyObject *self, PyObject *args);
PyObject *coffer__py_entry(PyObject *self, PyObject *args);
PyObject *coffer__py_set(PyObject *self, PyObject *args);
PyObject *coffer__py_delete(PyObject *self, PyObject *args);
PyObject *coffer__py_get_many(PyObject *self, PyObject *args);
PyObject *coffer__py_set_many(PyObject *self, PyObject *args);
PyObject *coffer__py_delete_many(PyObject *self, PyObject *args);
PyObject *coffer__py_load_begin(PyObject *self, PyObject *args);
PyObject *coffer__py_load_supply(PyObject *self, PyObject *args);
PyObject *coffer__py_load_abort(PyObject *self, PyObject *args);
PyObject *coffer__py_op_run(PyObject *self, PyObject *args);

/* ---- native_tables.c: entered through %native ---- */

PyObject *coffer__py_ask(PyObject *self, PyObject *args);
PyObject *coffer__py_close(PyObject *self, PyObject *args);
PyObject *coffer__py_json_check(PyObject *self, PyObject *args);
PyObject *coffer__py_option_table(PyObject *self, PyObject *args);
PyObject *coffer__py_stats(PyObject *self, PyObject *args);
PyObject *coffer__py_health(PyObject *self, PyObject *args);
PyObject *coffer__py_inspect(PyObject *self, PyObject *args);
PyObject *coffer__py_simulate(PyObject *self, PyObject *args);

/* Whether JSON keeps the object as it is; ValueTypeError or ArgumentError says what does not fit. */
bool coffer__py_json_fits(PyObject *object);

#endif
