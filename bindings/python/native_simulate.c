/* coffer/simulate.h on arrays of Python's. */
#include "native.h"

/* A contiguous run of 4-byte numbers; NULL for None. */
static bool numbers_of(PyObject *object, Py_buffer *view, const uint32_t **numbers, size_t *count) {
    *numbers = NULL;
    *count = 0;
    view->obj = NULL;
    if (object == Py_None) {
        return true;
    }
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) != 0) {
        return false;
    }
    if (view->len % (Py_ssize_t)sizeof(uint32_t) != 0 || (uintptr_t)view->buf % sizeof(uint32_t) != 0) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_TypeError, "an array of 4-byte numbers is needed");
        return false;
    }
    *numbers = (const uint32_t *)view->buf;
    *count = (size_t)view->len / sizeof(uint32_t);
    return true;
}

static PyObject *simulated(const char *policy, const coffer_trace *trace, uint64_t capacity) {
    coffer_simulated out;
    coffer_error error;
    coffer_status status;
    Py_BEGIN_ALLOW_THREADS status = coffer_simulate(trace, policy, capacity, &out, &error);
    Py_END_ALLOW_THREADS if (status != COFFER_OK) {
        return coffer__py_raise(status, error.text);
    }
    return Py_BuildValue("{sKsKsKsK}", "hits", (unsigned long long)out.hits, "hit_bytes", (unsigned long long)out.hit_bytes, "requested_bytes",
                         (unsigned long long)out.requested_bytes, "capacity", (unsigned long long)out.capacity);
}

/* (policy, requests, sizes or None, key count, capacity) -> {"hits": ..., ...}: the fields of coffer_simulated */
PyObject *coffer__py_simulate(PyObject *self, PyObject *args) {
    PyObject *policy, *requests, *sizes, *result = NULL;
    unsigned long long capacity, object_count;
    Py_buffer request_view, size_view;
    coffer_trace trace;
    size_t size_count;
    (void)self;
    if (!PyArg_ParseTuple(args, "UOOKK", &policy, &requests, &sizes, &object_count, &capacity)) {
        return NULL;
    }
    const char *name = PyUnicode_AsUTF8AndSize(policy, NULL);
    if (name == NULL || !numbers_of(requests, &request_view, &trace.requests, &trace.request_count)) {
        return NULL;
    }
    if (numbers_of(sizes, &size_view, &trace.sizes, &size_count)) {
        trace.object_count = (size_t)object_count;
        if (trace.sizes != NULL && size_count < trace.object_count) {
            PyErr_SetString(PyExc_ValueError, "a size is needed for each key");
        } else {
            result = simulated(name, &trace, capacity);
        }
        if (size_view.obj != NULL) {
            PyBuffer_Release(&size_view);
        }
    }
    if (request_view.obj != NULL) {
        PyBuffer_Release(&request_view);
    }
    return result;
}
