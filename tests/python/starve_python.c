/* What tests/python/starving.py adds to tests/c/support/starve.c: Python's own allocators, and a call that is starved from its first
 * allocation to its last. In C, for a Python that is starved could not end its own hunger.
 */
#include <Python.h>

#include "starve.h"

typedef struct domain {
    PyMemAllocatorEx before;
} domain;

static domain domains[3];
static bool is_python_hungry; /* guarded by the GIL, but for the raw domain, where a thread more or less is of no matter */

static bool refuses(void) {
    return is_python_hungry && starve_refuses();
}

static void *hungry_malloc(void *context, size_t size) {
    const PyMemAllocatorEx *before = &((domain *)context)->before;
    return refuses() ? NULL : before->malloc(before->ctx, size);
}

static void *hungry_calloc(void *context, size_t count, size_t size) {
    const PyMemAllocatorEx *before = &((domain *)context)->before;
    return refuses() ? NULL : before->calloc(before->ctx, count, size);
}

static void *hungry_realloc(void *context, void *old, size_t size) {
    const PyMemAllocatorEx *before = &((domain *)context)->before;
    return refuses() ? NULL : before->realloc(before->ctx, old, size);
}

static void hungry_free(void *context, void *block) {
    const PyMemAllocatorEx *before = &((domain *)context)->before;
    before->free(before->ctx, block);
}

void starve_python_hook(void) {
    for (int i = PYMEM_DOMAIN_RAW; i <= PYMEM_DOMAIN_OBJ; i++) {
        PyMemAllocatorEx hungry = {&domains[i], hungry_malloc, hungry_calloc, hungry_realloc, hungry_free};
        PyMem_GetAllocator((PyMemAllocatorDomain)i, &domains[i].before);
        PyMem_SetAllocator((PyMemAllocatorDomain)i, &hungry);
    }
}

/* What function() answers, or NULL with what it raised. */
PyObject *starve_python_call(PyObject *function, long skip_count, long refuse_count) {
    is_python_hungry = true;
    starve_begin(skip_count, refuse_count);
    PyObject *answer = PyObject_CallNoArgs(function);
    starve_end();
    is_python_hungry = false;
    return answer;
}

/* The same, while what was hooked by starve_hook starves. */
PyObject *starve_module_call(PyObject *function, long skip_count, long refuse_count) {
    starve_begin(skip_count, refuse_count);
    PyObject *answer = PyObject_CallNoArgs(function);
    starve_end();
    return answer;
}
