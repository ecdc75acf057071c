/* How the flat functions of coffer.i look from Python: typemaps, and the hand-written calls. Python imports the module as coffer._coffer_core.
 *
 *   coffer_slice                  str or bytes in
 *   coffer_options, coffer_cache  capsules; a capsule that goes frees or closes
 *   coffer_op ** with namespace   a cache's capsule in, an op's capsule out: op_run runs it
 *   coffer_error *                not seen: an exception
 *   write and read options        (ttl_ms, format, absent, timeout_ms) or None; timeout_ms or None
 */
%module coffer_core

%{
#include "native.h"
#include "native_loop.h"
#include "native_near.h"

static void options_finalise(PyObject *capsule) {
    coffer_options_free(PyCapsule_GetPointer(capsule, "coffer.options"));
}

static PyObject *options_wrap(coffer_options *options) {
    PyObject *capsule = options == NULL ? PyErr_NoMemory() : PyCapsule_New(options, "coffer.options", options_finalise);
    if (capsule == NULL) {
        coffer_options_free(options);
    }
    return capsule;
}
%}

%init %{
    (void)coffer__py_near_init(m); /* where it fails there is an exception, which ends the import */
#ifdef Py_GIL_DISABLED
    /* not declared safe without the GIL: importing turns it on again */
#endif
%}

%include <stdint.i>

/* ---- text ---- */

%typemap(in) coffer_slice {
    if (!coffer__py_key($input, &$1)) SWIG_fail;
}
%typemap(in) const char *name {
    $1 = (char *)PyUnicode_AsUTF8AndSize($input, NULL);
    if ($1 == NULL) SWIG_fail;
}
%typemap(freearg) const char *name ""
%typemap(in, numinputs=0) (char *out, size_t cap) (char text[4096]) {
    text[0] = '\0';
    $1 = text;
    $2 = sizeof text;
}
%typemap(argout) (char *out, size_t cap) {
    Py_XDECREF($result);
    $result = PyUnicode_DecodeUTF8($1, (Py_ssize_t)strlen($1), "replace");
}

/* ---- numbers of enums ---- */

%typemap(in) coffer_scope, coffer_operation {
    $1 = ($1_ltype)PyLong_AsLong($input);
    if (PyErr_Occurred()) SWIG_fail;
}
%typemap(out) coffer_operation {
    $result = PyLong_FromLong((long)$1);
}

/* ---- statuses and errors ---- */

%typemap(in) coffer_status {
    $1 = (coffer_status)PyLong_AsLong($input);
    if (PyErr_Occurred()) SWIG_fail;
}
%typemap(out) coffer_status {
    $result = PyLong_FromLong($1);
}
%typemap(in, numinputs=0) coffer_error *error (coffer_error fault) {
    fault.status = COFFER_OK;
    fault.text[0] = '\0';
    $1 = &fault;
}
%typemap(argout) coffer_error *error {
    if (result < 0) {
        Py_XDECREF($result);
        $result = coffer__py_raise(result, $1->text);
        SWIG_fail;
    }
}

/* ---- options, caches ---- */

%typemap(in) coffer_options *, const coffer_options * {
    $1 = (coffer_options *)PyCapsule_GetPointer($input, "coffer.options");
    if ($1 == NULL) SWIG_fail;
}
%typemap(out) coffer_options * {
    $result = options_wrap($1);
}
%typemap(out) const coffer_options * { /* lent by the cache: Python gets a copy */
    $result = options_wrap(coffer_options_copy($1));
}
%typemap(in, numinputs=0) (coffer_lookup_fn lookup, void *user_data) {
    $1 = NULL;
    $2 = NULL;
}
%typemap(in) coffer_cache *, const coffer_cache * {
    coffer__py_handle *handle = coffer__py_handle_of($input);
    if (handle == NULL) SWIG_fail;
    $1 = coffer__py_handle_cache(handle);
}
%typemap(in, numinputs=0) coffer_cache ** (coffer_cache *opened = NULL) {
    $1 = &opened;
}
%typemap(argout) coffer_cache ** {
    if (result >= 0) {
        Py_XDECREF($result);
        $result = coffer__py_handle_wrap(*$1);
    }
}

/* ---- durations ---- */

%typemap(in, numinputs=0) uint64_t *ttl_ms (uint64_t parsed_ms = 0) {
    $1 = &parsed_ms;
}
%typemap(argout) uint64_t *ttl_ms {
    Py_XDECREF($result);
    $result = PyLong_FromUnsignedLongLong(*$1);
}

/* ---- ops ---- */

%typemap(in) (coffer_op **op, coffer_namespace *ns) (coffer__py_op *box = NULL) {
    box = coffer__py_op_begin($input);
    if (box == NULL) SWIG_fail;
    $1 = &box->op;
    $2 = coffer__py_op_namespace(box);
}
%typemap(argout) (coffer_op **op, coffer_namespace *ns) {
    Py_XDECREF($result);
    $result = coffer__py_op_wrap(box$argnum, result);
    box$argnum = NULL;
    if ($result == NULL) SWIG_fail;
}
%typemap(freearg) (coffer_op **op, coffer_namespace *ns) {
    coffer__py_op_free(box$argnum);
}
%typemap(in) const coffer_op * {
    coffer__py_op *box = coffer__py_op_of($input);
    if (box == NULL) SWIG_fail;
    $1 = box->op;
}

/* A stored value is lent until its op is freed, so the op's capsule holds it. The op is argument 1 of every function that takes one. */
%typemap(in) coffer_slice value_lent {
    if (!coffer__py_op_lend(arg1, $input, &$1)) SWIG_fail;
}
%typemap(in) const coffer_write_options *options (coffer_write_options given) {
    if (!coffer__py_write_options($input, &given)) SWIG_fail;
    $1 = &given;
}
%typemap(in) const coffer_read_options *options (coffer_read_options given) {
    if (!coffer__py_read_options($input, &given)) SWIG_fail;
    $1 = &given;
}

/* ---- written by hand in native_calls.c, native_loop.c, native_near.c and native_tables.c ---- */

%define COFFER_NATIVE(name)
%native(name) PyObject *coffer__py_##name(PyObject *self, PyObject *args);
%enddef
COFFER_NATIVE(get)
COFFER_NATIVE(entry)
COFFER_NATIVE(set)
COFFER_NATIVE(delete)
COFFER_NATIVE(get_many)
COFFER_NATIVE(set_many)
COFFER_NATIVE(delete_many)
COFFER_NATIVE(load_begin)
COFFER_NATIVE(load_supply)
COFFER_NATIVE(load_abort)
COFFER_NATIVE(op_run)
COFFER_NATIVE(ask)
COFFER_NATIVE(close)
COFFER_NATIVE(share)
COFFER_NATIVE(keep_objects)
COFFER_NATIVE(json_check)
COFFER_NATIVE(option_table)
COFFER_NATIVE(stats)
COFFER_NATIVE(health)
COFFER_NATIVE(inspect)
COFFER_NATIVE(simulate)
COFFER_NATIVE(loop_open)
COFFER_NATIVE(loop_attach)
COFFER_NATIVE(loop_turn)
COFFER_NATIVE(loop_opened)
COFFER_NATIVE(loop_fed)
COFFER_NATIVE(loop_lost)
COFFER_NATIVE(loop_hold)
COFFER_NATIVE(loop_tick)
COFFER_NATIVE(loop_drop)
COFFER_NATIVE(loop_close)

%include "coffer.i"
