/* near: reads of what is in this host's memory, in one crossing, without an op; and the objects that were made of such values.
 *
 *     Reader         the base of coffer.Cache and coffer.aio.Cache: holds their handle, and reads: a call of it costs no frame of Python. What get, get_or_load
 *                    and @cached find near goes through it
 *     coffer__py_near   a handle's own: its room, and its objects
 *
 *     objects   key -> number of a slot            dict
 *     slots     | key, version, object | ...       in the order of their coming; the oldest gives up its place
 *
 * An object is given only where the arena confirms that the entry it was made of is still there: so it lives no longer than a near copy does, and is
 * gone with it. It is the very object that others got: who changes it changes theirs.
 *
 * The GIL guards all of it. Between a peek and the end of what is made of its value no Python runs that could peek again: bytes and str are made of the
 * room's memory first. */
#ifndef COFFER_PYTHON_NATIVE_NEAR_H
#define COFFER_PYTHON_NATIVE_NEAR_H

#include "native.h"

typedef struct coffer__py_slot {
    PyObject *key; /* NULL: never used */
    PyObject *object; /* NULL: it was found to be out of date */
    uint64_t version;
} coffer__py_slot;

typedef struct coffer__py_near {
    coffer_room *room; /* NULL before the first peek, and after a large value */
    uint32_t read_counts[COFFER_OPERATION_COUNT]; /* some are timed */
    bool is_heavy; /* the last value that was read is above COFFER__PY_BRIEF_BYTES: it is read by an op, without the GIL */
    PyObject *objects; /* NULL: none are kept */
    coffer__py_slot *slots;
    size_t slot_count, slot_next;
} coffer__py_near;

coffer__py_near *coffer__py_handle_near(coffer__py_handle *handle); /* lent: a shared handle's is that of its lender */
void coffer__py_near_clear(coffer__py_near *near); /* zeroed again; twice is harmless */

/* A read that needs no op, by GET or GET_OR_LOAD: `*answer` is a new object, or NULL with an exception. False: an op has to ask. */
bool coffer__py_near_get(coffer__py_handle *handle, coffer_operation operation, PyObject *key, PyObject *absent, PyObject *decode, PyObject **answer);
bool coffer__py_near_entry(coffer__py_handle *handle, PyObject *key, PyObject *absent, PyObject *decode, PyObject **answer);

/* ---- native_calls.c ---- */

/* An entry as coffer__py_entry gives it; takes `object`, and NULL. */
PyObject *coffer__py_entry_of(const coffer_value *value, PyObject *object);

/* (capsule, key, otherwise, decode, stale, timeout_ms) by an op: a value or otherwise. */
PyObject *coffer__py_read(PyObject *capsule, PyObject *key_object, PyObject *otherwise, PyObject *decode, const coffer_read_options *options);

/* ---- entered from Python ---- */

bool coffer__py_near_init(PyObject *module); /* adds the type Reader */
PyObject *coffer__py_keep_objects(PyObject *self, PyObject *args);

#endif
