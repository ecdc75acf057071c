#include "native_near.h"

/* ---- one key ---- */

/* An op about to be made for `key`; NULL with an exception where handle or key is refused. */
static coffer__py_op *begin(PyObject *capsule, PyObject *key_object, coffer_slice *key) {
    coffer__py_op *op = coffer__py_op_begin(capsule);
    if (op != NULL && !coffer__py_key(key_object, key)) {
        coffer__py_op_free(op);
        return NULL;
    }
    return op;
}

static PyObject *raise_of(const coffer__py_op *op) {
    return coffer__py_raise(coffer_op_status(op->op), coffer_op_message(op->op));
}

static bool is_answered(coffer_status status) {
    return status == COFFER_OK || status == COFFER_STALE;
}

static PyObject *read_answer(coffer__py_op *op) {
    coffer_status status = coffer_op_status(op->op);
    if (is_answered(status)) {
        return coffer__py_op_value(op, op->decode);
    }
    return status == COFFER_MISS ? Py_NewRef(op->subject) : raise_of(op);
}

PyObject *coffer__py_entry_of(const coffer_value *value, PyObject *object) {
    if (object == NULL) {
        return NULL;
    }
    return Py_BuildValue("NsKKKKIB", object, coffer_source_name(value->source), (unsigned long long)value->entry_id,
                         (unsigned long long)value->created_unix_ms, (unsigned long long)value->fresh_unix_ms,
                         (unsigned long long)value->expires_unix_ms, (unsigned int)value->load_cost_ms, value->format);
}

static PyObject *entry_answer(coffer__py_op *op) {
    coffer_status status = coffer_op_status(op->op);
    const coffer_value *value = coffer_op_value(op->op);
    if (status < 0) {
        return raise_of(op);
    }
    if (status == COFFER_MISS && value->source == COFFER_SOURCE_NONE) {
        Py_RETURN_NONE;
    }
    return coffer__py_entry_of(value, is_answered(status) ? coffer__py_op_value(op, op->decode) : Py_NewRef(op->subject));
}

static PyObject *read_one(PyObject *capsule, PyObject *key_object, PyObject *otherwise, PyObject *decode, const coffer_read_options *options,
                          coffer__py_answer *answer) {
    coffer_slice key;
    coffer__py_op *op = begin(capsule, key_object, &key);
    if (op == NULL) {
        return NULL;
    }
    coffer__py_op_expect(op, answer, otherwise, decode);
    return coffer__py_go(op, coffer_op_get(&op->op, coffer__py_op_namespace(op), key, options));
}

PyObject *coffer__py_read(PyObject *capsule, PyObject *key_object, PyObject *otherwise, PyObject *decode, const coffer_read_options *options) {
    return read_one(capsule, key_object, otherwise, decode, options, read_answer);
}

/* What get and entry take: (handle, key, otherwise, decode, stale, timeout_ms). */
static bool read_arguments(PyObject *args, PyObject **capsule, PyObject **key, PyObject **otherwise, PyObject **decode,
                           coffer_read_options *options) {
    int is_stale_welcome;
    unsigned long long timeout_ms;
    if (!PyArg_ParseTuple(args, "OOOOpK", capsule, key, otherwise, decode, &is_stale_welcome, &timeout_ms)) {
        return false;
    }
    *options = (coffer_read_options){sizeof *options, timeout_ms, is_stale_welcome != 0};
    return true;
}

/* (handle, key, default, decode, stale, timeout_ms) -> value or default, by an op */
PyObject *coffer__py_get(PyObject *self, PyObject *args) {
    PyObject *capsule, *key, *otherwise, *decode;
    coffer_read_options options;
    (void)self;
    return read_arguments(args, &capsule, &key, &otherwise, &decode, &options) ? coffer__py_read(capsule, key, otherwise, decode, &options) : NULL;
}

/* (handle, key, absent, decode, stale, timeout_ms) -> (value, source, entry_id, created, fresh, expires, cost, format) or None; with the source
 * "outage" it is a miss as well */
PyObject *coffer__py_entry(PyObject *self, PyObject *args) {
    PyObject *capsule, *key, *absent, *decode, *answer;
    coffer_read_options options;
    (void)self;
    coffer__py_handle *handle = read_arguments(args, &capsule, &key, &absent, &decode, &options) ? coffer__py_handle_of(capsule) : NULL;
    if (handle == NULL) {
        return NULL;
    }
    if (coffer__py_near_entry(handle, key, absent, decode, &answer)) {
        return answer;
    }
    return read_one(capsule, key, absent, decode, &options, entry_answer);
}

static PyObject *done_answer(coffer__py_op *op) {
    return coffer_op_status(op->op) < 0 ? raise_of(op) : Py_NewRef(Py_None);
}

/* (handle, key, value, encode, ttl_ms, absent, timeout_ms) -> None; an absence is stored instead of the value where `absent` */
PyObject *coffer__py_set(PyObject *self, PyObject *args) {
    PyObject *capsule, *key_object, *value, *encode;
    unsigned long long ttl_ms, timeout_ms;
    int is_absent;
    coffer_slice key;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOKpK", &capsule, &key_object, &value, &encode, &ttl_ms, &is_absent, &timeout_ms)) {
        return NULL;
    }
    coffer__py_op *op = begin(capsule, key_object, &key);
    if (op == NULL || (!is_absent && !coffer__py_input_any(&op->value, value, encode))) {
        coffer__py_op_free(op);
        return NULL;
    }
    coffer_write_options options = {sizeof options, timeout_ms, ttl_ms, op->value.format, is_absent != 0};
    coffer__py_op_expect(op, done_answer, NULL, NULL);
    return coffer__py_go(op, coffer_op_set(&op->op, coffer__py_op_namespace(op), key, op->value.data, &options));
}

static PyObject *whether_answer(coffer__py_op *op) {
    coffer_status status = coffer_op_status(op->op);
    return status < 0 ? raise_of(op) : PyBool_FromLong(status == COFFER_OK);
}

/* (handle, key, timeout_ms) -> whether something was there */
PyObject *coffer__py_delete(PyObject *self, PyObject *args) {
    PyObject *capsule, *key_object;
    unsigned long long timeout_ms;
    coffer_slice key;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOK", &capsule, &key_object, &timeout_ms)) {
        return NULL;
    }
    coffer__py_op *op = begin(capsule, key_object, &key);
    if (op == NULL) {
        return NULL;
    }
    coffer_read_options options = {sizeof options, timeout_ms, false};
    coffer__py_op_expect(op, whether_answer, NULL, NULL);
    return coffer__py_go(op, coffer_op_delete(&op->op, coffer__py_op_namespace(op), key, &options));
}

static PyObject *status_answer(coffer__py_op *op) {
    coffer_status status = coffer_op_status(op->op);
    return status < 0 ? raise_of(op) : PyLong_FromLong(status);
}

/* (op, is_long) -> status: runs an op that a generated wrapper made; a long one not under the GIL, wherever it is answered. */
PyObject *coffer__py_op_run(PyObject *self, PyObject *args) {
    PyObject *capsule;
    int is_long = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "O|p", &capsule, &is_long)) {
        return NULL;
    }
    coffer__py_op *op = coffer__py_op_of(capsule);
    if (op == NULL) {
        return NULL;
    }
    op->is_long = is_long != 0;
    coffer__py_op_expect(op, status_answer, NULL, NULL);
    return coffer__py_go(op, COFFER_OK);
}

/* ---- many keys: the lists are the callers' own, made anew by the package for each call ---- */

static coffer_slice *slices_of(PyObject *keys, size_t *count) {
    Py_ssize_t length = PyList_Size(keys);
    coffer_slice *slices = length < 0 ? NULL : PyMem_Calloc((size_t)length + 1, sizeof *slices);
    if (slices == NULL) {
        return length < 0 ? NULL : (coffer_slice *)PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < length; i++) {
        if (!coffer__py_key(PyList_GetItem(keys, i), &slices[i])) {
            PyMem_Free(slices);
            return NULL;
        }
    }
    *count = (size_t)length;
    return slices;
}

/* The key of item `index`: a list's own, or of a list of pairs. Borrowed. */
static PyObject *key_at(PyObject *list, size_t index) {
    PyObject *item = PyList_GetItem(list, (Py_ssize_t)index);
    return item != NULL && PyTuple_Check(item) ? PyTuple_GetItem(item, 0) : item;
}

/* Raises what the whole came to, with {key: status} of those that failed. The subject is the list. */
static PyObject *raise_of_many(const coffer__py_op *op) {
    PyObject *failed = PyDict_New();
    for (size_t i = 0; failed != NULL && i < coffer_op_count(op->op); i++) {
        coffer_status status = coffer_op_item(op->op, i, NULL);
        PyObject *name = status < 0 ? PyUnicode_FromString(coffer_status_name(status)) : NULL;
        PyObject *key = name == NULL ? NULL : key_at(op->subject, i);
        if (status < 0 && (key == NULL || PyDict_SetItem(failed, key, name) != 0)) {
            Py_CLEAR(failed);
        }
        Py_XDECREF(name);
    }
    return coffer__py_raise_many(coffer_op_status(op->op), coffer_op_message(op->op), failed);
}

static bool put_item(const coffer__py_op *op, size_t index, PyObject *found) {
    coffer_value value;
    coffer_status status = coffer_op_item(op->op, index, &value);
    if (status < 0) {
        return coffer__py_raise(status, NULL) != NULL;
    }
    if (!is_answered(status)) {
        return true;
    }
    PyObject *object = coffer__py_value(&value, op->decode);
    bool is_put = object != NULL && PyDict_SetItem(found, key_at(op->subject, index), object) == 0;
    Py_XDECREF(object);
    return is_put;
}

static PyObject *found_answer(coffer__py_op *op) {
    size_t count = coffer_op_count(op->op);
    if (coffer_op_status(op->op) < 0) {
        return raise_of_many(op);
    }
    PyObject *found = PyDict_New();
    for (size_t i = 0; found != NULL && i < count; i++) {
        if (!put_item(op, i, found)) {
            Py_CLEAR(found);
        }
    }
    return found;
}

/* What get_many and delete_many share: an op for `keys`, which are copied. */
static PyObject *ask_many(PyObject *capsule, PyObject *keys, coffer__py_answer *answer, PyObject *decode, const coffer_read_options *options,
                          coffer_status (*make)(coffer_op **, coffer_namespace *, const coffer_slice *, size_t, const coffer_read_options *)) {
    size_t count = 0;
    coffer__py_op *op = coffer__py_op_begin(capsule);
    coffer_slice *slices = op == NULL ? NULL : slices_of(keys, &count);
    if (slices == NULL) {
        coffer__py_op_free(op);
        return NULL;
    }
    coffer__py_op_expect(op, answer, keys, decode);
    coffer_status made = make(&op->op, coffer__py_op_namespace(op), slices, count, options);
    PyMem_Free(slices);
    op->is_long = true;
    return coffer__py_go(op, made);
}

/* (handle, list of keys, decode, stale, timeout_ms) -> {key: value} of those that were found */
PyObject *coffer__py_get_many(PyObject *self, PyObject *args) {
    PyObject *capsule, *keys, *decode;
    int is_stale_welcome;
    unsigned long long timeout_ms;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOpK", &capsule, &keys, &decode, &is_stale_welcome, &timeout_ms)) {
        return NULL;
    }
    coffer_read_options options = {sizeof options, timeout_ms, is_stale_welcome != 0};
    return ask_many(capsule, keys, found_answer, decode, &options, coffer_op_get_many);
}

static PyObject *deleted_answer(coffer__py_op *op) {
    return coffer_op_status(op->op) < 0 ? raise_of_many(op) : PyLong_FromLongLong(coffer_op_integer(op->op));
}

/* (handle, list of keys, timeout_ms) -> how many were there */
PyObject *coffer__py_delete_many(PyObject *self, PyObject *args) {
    PyObject *capsule, *keys;
    unsigned long long timeout_ms;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOK", &capsule, &keys, &timeout_ms)) {
        return NULL;
    }
    coffer_read_options options = {sizeof options, timeout_ms, false};
    return ask_many(capsule, keys, deleted_answer, NULL, &options, coffer_op_delete_many);
}

static bool batch_fill(coffer__py_batch *all, PyObject *pairs, PyObject *encode) {
    Py_ssize_t length = PyList_Size(pairs);
    if (length < 0) {
        return false;
    }
    all->items = PyMem_Calloc((size_t)length + 1, sizeof *all->items);
    all->inputs = PyMem_Calloc((size_t)length + 1, sizeof *all->inputs);
    if (all->items == NULL || all->inputs == NULL) {
        return PyErr_NoMemory() != NULL;
    }
    all->count = (size_t)length;
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *key, *value;
        coffer_item *item = &all->items[i];
        coffer__py_input *input = &all->inputs[i];
        if (!PyArg_ParseTuple(PyList_GetItem(pairs, i), "OO", &key, &value) || !coffer__py_key(key, &item->key) ||
            !coffer__py_input_any(input, value, encode)) {
            return false;
        }
        item->value = input->data;
        item->format = input->format;
    }
    return true;
}

static PyObject *stored_answer(coffer__py_op *op) {
    return coffer_op_status(op->op) < 0 ? raise_of_many(op) : Py_NewRef(Py_None);
}

/* (handle, list of (key, value), encode, ttl_ms, timeout_ms) -> None */
PyObject *coffer__py_set_many(PyObject *self, PyObject *args) {
    PyObject *capsule, *pairs, *encode;
    unsigned long long ttl_ms, timeout_ms;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOKK", &capsule, &pairs, &encode, &ttl_ms, &timeout_ms)) {
        return NULL;
    }
    coffer__py_op *op = coffer__py_op_begin(capsule);
    if (op == NULL || !batch_fill(&op->batch, pairs, encode)) {
        coffer__py_op_free(op);
        return NULL;
    }
    coffer_write_options options = {sizeof options, timeout_ms, ttl_ms, COFFER_FORMAT_BYTES, false};
    coffer__py_op_expect(op, stored_answer, pairs, NULL);
    op->is_long = true;
    return coffer__py_go(op, coffer_op_set_many(&op->op, coffer__py_op_namespace(op), op->batch.items, op->batch.count, &options));
}

/* ---- loads ----
 *
 *     load_begin ──> value, or a load ──(the package runs the loader)──> load_supply ──> value
 *                                                                  └──> load_abort  ──> a stale value, or the load: raise what the loader raised
 */

static uint64_t clock_ms(void) {
    return coffer_now_us() / 1000;
}

/* The load itself where its loader has to run; else it is settled, and answered: with what was loaded, where there is such (the subject; NULL: none yet),
 * or with the value read. */
static PyObject *load_answer(coffer__py_op *op) {
    if (op->want == COFFER_WANT_LOAD) {
        op->load_began_ms = clock_ms();
        return Py_NewRef(op->capsule);
    }
    bool is_own = op->subject != NULL && coffer_op_status(op->op) == COFFER_OK && coffer_op_value(op->op)->source == COFFER_SOURCE_LOADED;
    if (!is_own) {
        coffer__py_op_expect(op, NULL, Py_None, op->decode);
    }
    PyObject *answer = is_own ? Py_NewRef(op->subject) : read_answer(op);
    coffer__py_op_settle(op);
    return answer;
}

/* (handle, key, decode, parent load or None, timeout_ms) -> value, None for an absence, or a load whose loader has to run */
PyObject *coffer__py_load_begin(PyObject *self, PyObject *args) {
    PyObject *capsule, *key_object, *decode, *parent;
    unsigned long long timeout_ms;
    coffer_slice key;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOK", &capsule, &key_object, &decode, &parent, &timeout_ms)) {
        return NULL;
    }
    coffer__py_op *outer = parent == Py_None ? NULL : coffer__py_op_of(parent);
    coffer__py_op *op = outer == NULL && parent != Py_None ? NULL : begin(capsule, key_object, &key);
    if (op == NULL) {
        return NULL;
    }
    coffer_read_options options = {sizeof options, timeout_ms, false};
    coffer_status made = coffer_op_get_or_load(&op->op, coffer__py_op_namespace(op), key, &options);
    if (made >= 0 && outer != NULL) {
        coffer__py_op_set_parent(op, outer);
    }
    coffer__py_op_expect(op, load_answer, NULL, decode);
    PyObject *load = coffer__py_op_wrap(op, made);
    PyObject *answer = load == NULL ? NULL : coffer__py_go(op, made);
    Py_XDECREF(load);
    return answer;
}

/* (load, value, format, ttl_ms, absent, own, decode) -> as load_begin; `own` is the object that `value` is the stored form of */
PyObject *coffer__py_load_supply(PyObject *self, PyObject *args) {
    PyObject *load, *value, *own, *decode;
    unsigned long long ttl_ms;
    unsigned char format;
    int is_absent;
    (void)self;
    if (!PyArg_ParseTuple(args, "OObKpOO", &load, &value, &format, &ttl_ms, &is_absent, &own, &decode)) {
        return NULL;
    }
    coffer__py_op *op = coffer__py_op_of(load);
    if (op == NULL || (!is_absent && !coffer__py_input_plain(&op->value, value))) {
        return NULL;
    }
    coffer_write_options options = {sizeof options, 0, ttl_ms, format, is_absent != 0};
    uint64_t cost_ms = clock_ms() - op->load_began_ms;
    coffer_op_supply(op->op, op->value.data, &options, cost_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)cost_ms);
    coffer__py_op_expect(op, load_answer, own, decode);
    return coffer__py_go(op, COFFER_OK);
}

/* A stale value, or the load itself where there is none. */
static PyObject *failed_answer(coffer__py_op *op) {
    bool is_stale = op->want == COFFER_WANT_DONE && coffer_op_status(op->op) == COFFER_STALE;
    PyObject *answer = is_stale ? coffer__py_op_value(op, op->decode) : Py_NewRef(op->capsule);
    coffer__py_op_settle(op);
    return answer;
}

/* (load, failed, decode) -> a stale value, or the load itself where there is none. Not failed: interrupted, and nothing is waited for. */
PyObject *coffer__py_load_abort(PyObject *self, PyObject *args) {
    PyObject *load, *decode;
    int is_failed;
    (void)self;
    if (!PyArg_ParseTuple(args, "OpO", &load, &is_failed, &decode)) {
        return NULL;
    }
    coffer__py_op *op = coffer__py_op_of(load);
    if (op == NULL) {
        return NULL;
    }
    coffer_op_abort(op->op, is_failed ? COFFER_LOAD_FAILED : COFFER_INTERRUPTED);
    if (!is_failed) {
        coffer__py_op_settle(op);
        return Py_NewRef(load);
    }
    coffer__py_op_expect(op, failed_answer, NULL, decode);
    return coffer__py_go(op, COFFER_OK);
}
