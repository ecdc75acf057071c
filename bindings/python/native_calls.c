#include "native.h"

#include <time.h>

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

/* Runs an op without a loader to its end. False with an exception where it was interrupted or could not be made; its own errors are status. */
static bool finish(coffer__py_op *op, coffer_status made, bool at_once) {
    coffer_want want;
    if (made < 0) {
        return coffer__py_raise(made, NULL) != NULL;
    }
    return coffer__py_run(op, at_once, &want);
}

static PyObject *raise_of(const coffer__py_op *op) {
    return coffer__py_raise(coffer_op_status(op->op), coffer_op_message(op->op));
}

static bool is_answered(coffer_status status) {
    return status == COFFER_OK || status == COFFER_STALE;
}

static PyObject *read_answer(coffer__py_op *op, PyObject *fallback, PyObject *decode) {
    coffer_status status = coffer_op_status(op->op);
    if (is_answered(status)) {
        return coffer__py_op_value(op, decode);
    }
    return status == COFFER_MISS ? Py_NewRef(fallback) : raise_of(op);
}

static PyObject *entry_answer(coffer__py_op *op, PyObject *absent, PyObject *decode) {
    coffer_status status = coffer_op_status(op->op);
    const coffer_value *value = coffer_op_value(op->op);
    PyObject *object;
    if (status < 0) {
        return raise_of(op);
    }
    if (status == COFFER_MISS && value->source == COFFER_SOURCE_NONE) {
        Py_RETURN_NONE;
    }
    object = is_answered(status) ? coffer__py_op_value(op, decode) : Py_NewRef(absent);
    if (object == NULL) {
        return NULL;
    }
    return Py_BuildValue("NsKKKKIB", object, coffer_source_name(value->source), (unsigned long long)value->entry_id,
                         (unsigned long long)value->created_unix_ms, (unsigned long long)value->fresh_unix_ms,
                         (unsigned long long)value->expires_unix_ms, (unsigned int)value->load_cost_ms, value->format);
}

/* What get and entry share: (handle, key, otherwise, decode, stale, timeout_ms). */
static PyObject *read_one(PyObject *args, PyObject *(*answer_of)(coffer__py_op *, PyObject *, PyObject *)) {
    PyObject *capsule, *key_object, *otherwise, *decode;
    int is_stale_welcome;
    unsigned long long timeout_ms;
    coffer_slice key;
    if (!PyArg_ParseTuple(args, "OOOOpK", &capsule, &key_object, &otherwise, &decode, &is_stale_welcome, &timeout_ms)) {
        return NULL;
    }
    coffer__py_op *op = begin(capsule, key_object, &key);
    if (op == NULL) {
        return NULL;
    }
    coffer_read_options options = {sizeof options, timeout_ms, is_stale_welcome != 0};
    coffer_status made = coffer_op_get(&op->op, coffer__py_op_namespace(op), key, &options);
    bool is_done = finish(op, made, coffer__py_op_is_brief(op));
    PyObject *answer = is_done ? answer_of(op, otherwise, decode) : NULL;
    coffer__py_op_free(op);
    return answer;
}

/* (handle, key, default, decode, stale, timeout_ms) -> value or default */
PyObject *coffer__py_get(PyObject *self, PyObject *args) {
    (void)self;
    return read_one(args, read_answer);
}

/* (handle, key, absent, decode, stale, timeout_ms) -> (value, source, entry_id, created, fresh, expires, cost, format) or None; with the source
 * "outage" it is a miss as well */
PyObject *coffer__py_entry(PyObject *self, PyObject *args) {
    (void)self;
    return read_one(args, entry_answer);
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
    if (op == NULL) {
        return NULL;
    }
    PyObject *answer = NULL;
    if (is_absent || coffer__py_input_any(&op->value, value, encode)) {
        coffer_write_options options = {sizeof options, timeout_ms, ttl_ms, op->value.format, is_absent != 0};
        coffer_status made = coffer_op_set(&op->op, coffer__py_op_namespace(op), key, op->value.data, &options);
        if (finish(op, made, coffer__py_op_is_brief(op))) {
            answer = coffer_op_status(op->op) < 0 ? raise_of(op) : Py_NewRef(Py_None);
        }
    }
    coffer__py_op_free(op);
    return answer;
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
    PyObject *answer = NULL;
    coffer_read_options options = {sizeof options, timeout_ms, false};
    coffer_status made = coffer_op_delete(&op->op, coffer__py_op_namespace(op), key, &options);
    if (finish(op, made, coffer__py_op_is_brief(op))) {
        coffer_status status = coffer_op_status(op->op);
        answer = status < 0 ? raise_of(op) : PyBool_FromLong(status == COFFER_OK);
    }
    coffer__py_op_free(op);
    return answer;
}

/* (op) -> status: runs an op that a generated wrapper made. */
PyObject *coffer__py_op_run(PyObject *self, PyObject *args) {
    PyObject *capsule, *answer = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "O", &capsule)) {
        return NULL;
    }
    coffer__py_op *op = coffer__py_op_of(capsule);
    if (op == NULL) {
        return NULL;
    }
    if (finish(op, COFFER_OK, coffer__py_op_is_brief(op))) {
        coffer_status status = coffer_op_status(op->op);
        answer = status < 0 ? raise_of(op) : PyLong_FromLong(status);
    }
    if (answer == NULL) {
        coffer__py_op_settle(op);
    }
    return answer;
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

/* Raises what the whole came to, with {key: status} of those that failed. */
static PyObject *raise_of_many(const coffer__py_op *op, PyObject *list) {
    PyObject *failed = PyDict_New();
    for (size_t i = 0; failed != NULL && i < coffer_op_count(op->op); i++) {
        coffer_status status = coffer_op_item(op->op, i, NULL);
        PyObject *name = status < 0 ? PyUnicode_FromString(coffer_status_name(status)) : NULL;
        PyObject *key = name == NULL ? NULL : key_at(list, i);
        if (status < 0 && (key == NULL || PyDict_SetItem(failed, key, name) != 0)) {
            Py_CLEAR(failed);
        }
        Py_XDECREF(name);
    }
    return coffer__py_raise_many(coffer_op_status(op->op), coffer_op_message(op->op), failed);
}

static bool put_item(const coffer__py_op *op, size_t index, PyObject *found, PyObject *key, PyObject *decode) {
    coffer_value value;
    coffer_status status = coffer_op_item(op->op, index, &value);
    if (status < 0) {
        return coffer__py_raise(status, NULL) != NULL;
    }
    if (!is_answered(status)) {
        return true;
    }
    PyObject *object = coffer__py_value(&value, decode);
    bool is_put = object != NULL && PyDict_SetItem(found, key, object) == 0;
    Py_XDECREF(object);
    return is_put;
}

static PyObject *found_items(const coffer__py_op *op, PyObject *keys, PyObject *decode) {
    size_t count = coffer_op_count(op->op);
    if (coffer_op_status(op->op) < 0) {
        return raise_of_many(op, keys);
    }
    PyObject *found = PyDict_New();
    for (size_t i = 0; found != NULL && i < count; i++) {
        if (!put_item(op, i, found, PyList_GetItem(keys, (Py_ssize_t)i), decode)) {
            Py_CLEAR(found);
        }
    }
    return found;
}

/* (handle, list of keys, decode, stale, timeout_ms) -> {key: value} of those that were found */
PyObject *coffer__py_get_many(PyObject *self, PyObject *args) {
    PyObject *capsule, *keys, *decode, *found = NULL;
    int is_stale_welcome;
    unsigned long long timeout_ms;
    size_t count = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOpK", &capsule, &keys, &decode, &is_stale_welcome, &timeout_ms)) {
        return NULL;
    }
    coffer__py_op *op = coffer__py_op_begin(capsule);
    coffer_slice *slices = op == NULL ? NULL : slices_of(keys, &count);
    if (slices != NULL) {
        coffer_read_options options = {sizeof options, timeout_ms, is_stale_welcome != 0};
        coffer_status made = coffer_op_get_many(&op->op, coffer__py_op_namespace(op), slices, count, &options);
        found = finish(op, made, false) ? found_items(op, keys, decode) : NULL;
    }
    PyMem_Free(slices);
    coffer__py_op_free(op);
    return found;
}

/* (handle, list of keys, timeout_ms) -> how many were there */
PyObject *coffer__py_delete_many(PyObject *self, PyObject *args) {
    PyObject *capsule, *keys, *deleted = NULL;
    unsigned long long timeout_ms;
    size_t count = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOK", &capsule, &keys, &timeout_ms)) {
        return NULL;
    }
    coffer__py_op *op = coffer__py_op_begin(capsule);
    coffer_slice *slices = op == NULL ? NULL : slices_of(keys, &count);
    if (slices != NULL) {
        coffer_read_options options = {sizeof options, timeout_ms, false};
        coffer_status made = coffer_op_delete_many(&op->op, coffer__py_op_namespace(op), slices, count, &options);
        if (finish(op, made, false)) {
            deleted = coffer_op_status(op->op) < 0 ? raise_of_many(op, keys) : PyLong_FromLongLong(coffer_op_integer(op->op));
        }
    }
    PyMem_Free(slices);
    coffer__py_op_free(op);
    return deleted;
}

/* The items of a set_many, and what they lend. */
typedef struct batch {
    coffer_item *items;
    coffer__py_input *inputs;
    size_t count;
} batch;

static void batch_clear(batch *all) {
    for (size_t i = 0; all->inputs != NULL && i < all->count; i++) {
        coffer__py_input_clear(&all->inputs[i]);
    }
    PyMem_Free(all->inputs);
    PyMem_Free(all->items);
}

static bool batch_fill(batch *all, PyObject *pairs, PyObject *encode) {
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

/* (handle, list of (key, value), encode, ttl_ms, timeout_ms) -> None */
PyObject *coffer__py_set_many(PyObject *self, PyObject *args) {
    PyObject *capsule, *pairs, *encode, *answer = NULL;
    unsigned long long ttl_ms, timeout_ms;
    batch all = {NULL, NULL, 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOKK", &capsule, &pairs, &encode, &ttl_ms, &timeout_ms)) {
        return NULL;
    }
    coffer__py_op *op = coffer__py_op_begin(capsule);
    if (op != NULL && batch_fill(&all, pairs, encode)) {
        coffer_write_options options = {sizeof options, timeout_ms, ttl_ms, COFFER_FORMAT_BYTES, false};
        coffer_status made = coffer_op_set_many(&op->op, coffer__py_op_namespace(op), all.items, all.count, &options);
        if (finish(op, made, false)) {
            answer = coffer_op_status(op->op) < 0 ? raise_of_many(op, pairs) : Py_NewRef(Py_None);
        }
    }
    coffer__py_op_free(op);
    batch_clear(&all);
    return answer;
}

/* ---- loads ----
 *
 *     load_begin ──> value, or a load ──(the package runs the loader)──> load_supply ──> value
 *                                                                  └──> load_abort  ──> a stale value, or the load: raise what the loader raised
 */

static uint64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* The answer of a load that is done: `own` where that is what was loaded, else the value read. */
static PyObject *done_answer(coffer__py_op *op, PyObject *own, PyObject *decode) {
    if (own != NULL && coffer_op_status(op->op) == COFFER_OK && coffer_op_value(op->op)->source == COFFER_SOURCE_LOADED) {
        return Py_NewRef(own);
    }
    return read_answer(op, Py_None, decode);
}

/* Runs on to the next answer: the load itself where its loader has to run, else the load is settled. */
static PyObject *load_answer(PyObject *load, coffer__py_op *op, PyObject *own, PyObject *decode) {
    coffer_want want = COFFER_WANT_DONE;
    bool has_run = coffer__py_run(op, coffer__py_op_is_brief(op), &want);
    if (has_run && want == COFFER_WANT_LOAD) {
        op->load_began_ms = clock_ms();
        return Py_NewRef(load);
    }
    PyObject *answer = has_run ? done_answer(op, own, decode) : NULL;
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
        op->parent_capsule = Py_NewRef(parent);
        coffer_op_set_parent(op->op, outer->op);
    }
    PyObject *load = coffer__py_op_wrap(op, made);
    PyObject *answer = load == NULL ? NULL : load_answer(load, op, NULL, decode);
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
    return load_answer(load, op, own, decode);
}

static PyObject *failed_answer(PyObject *load, coffer__py_op *op, PyObject *decode) {
    coffer_want want;
    if (!coffer__py_run(op, coffer__py_op_is_brief(op), &want)) {
        return NULL;
    }
    bool is_stale = want == COFFER_WANT_DONE && coffer_op_status(op->op) == COFFER_STALE;
    return is_stale ? coffer__py_op_value(op, decode) : Py_NewRef(load);
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
    PyObject *answer = is_failed ? failed_answer(load, op, decode) : Py_NewRef(load);
    coffer__py_op_settle(op);
    return answer;
}
