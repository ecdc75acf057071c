#include "native.h"

#include "native_loop.h"
#include "native_near.h"

struct coffer__py_handle {
    coffer_cache *cache; /* NULL once it was really closed */
    PyObject *lender; /* the handle whose cache it is; NULL: its own */
    size_t use_count; /* ops alive */
    bool is_closed; /* for new calls */
    bool is_local;
    PyObject *credentials; /* () -> (user name, password), each a str; NULL: none */
    PyObject *loop_capsule; /* its ops run there; NULL: they block */
    struct coffer__py_loop *loop; /* the same */
    coffer__py_near near;
};

static const char HANDLE_NAME[] = "coffer.cache";
static const char OP_NAME[] = "coffer.op";

/* ---- exceptions ---- */

/* Calls coffer._errors.<maker>(...) and raises what it made. */
static PyObject *raise_made(const char *maker, PyObject *arguments) {
    PyObject *module = arguments == NULL ? NULL : PyImport_ImportModule("coffer._errors");
    PyObject *function = module == NULL ? NULL : PyObject_GetAttrString(module, maker);
    PyObject *error = function == NULL ? NULL : PyObject_CallObject(function, arguments);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    }
    Py_XDECREF(error);
    Py_XDECREF(function);
    Py_XDECREF(module);
    Py_XDECREF(arguments);
    return NULL;
}

PyObject *coffer__py_raise(coffer_status status, const char *message) {
    const char *text = message == NULL || message[0] == '\0' ? coffer_status_text(status) : message;
    PyObject *words = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
    return words == NULL ? NULL : raise_made("error_of", Py_BuildValue("iN", (int)status, words));
}

PyObject *coffer__py_raise_many(coffer_status status, const char *message, PyObject *failed) {
    PyObject *words = failed == NULL ? NULL : PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "backslashreplace");
    if (words == NULL) {
        Py_XDECREF(failed);
        return NULL;
    }
    return raise_made("error_of_many", Py_BuildValue("iNN", (int)status, words, failed));
}

PyObject *coffer__py_raise_type(const char *what, PyObject *object) {
    PyObject *name = PyType_GetName(Py_TYPE(object));
    PyObject *words = name == NULL ? NULL : PyUnicode_FromFormat("%s, not %U", what, name);
    Py_XDECREF(name);
    return words == NULL ? NULL : raise_made("type_error", Py_BuildValue("(N)", words));
}

/* ---- inputs ---- */

/* A str gave no UTF-8: it has none, which is told in these words; or there was no memory, which Python has told. Always false. */
static bool text_refused(coffer_status status, const char *message) {
    if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        coffer__py_raise(status, message);
    }
    return false;
}

bool coffer__py_key(PyObject *object, coffer_slice *key) {
    Py_ssize_t length = 0;
    char *data = NULL;
    if (PyUnicode_Check(object)) {
        const char *text = PyUnicode_AsUTF8AndSize(object, &length);
        if (text == NULL) {
            return text_refused(COFFER_KEY_INVALID, "a key cannot hold lone surrogates");
        }
        *key = coffer_slice_of(text, (size_t)length);
        return true;
    }
    if (!PyBytes_Check(object)) {
        return coffer__py_raise_type("a key is a str or bytes", object) != NULL;
    }
    if (PyBytes_AsStringAndSize(object, &data, &length) != 0) {
        return false;
    }
    *key = coffer_slice_of(data, (size_t)length);
    return true;
}

static bool input_text(coffer__py_input *input, PyObject *object, uint8_t format) {
    Py_ssize_t length = 0;
    const char *text = PyUnicode_AsUTF8AndSize(object, &length);
    if (text == NULL) {
        return text_refused(COFFER_ARG, "a str with lone surrogates cannot be stored: it is not text");
    }
    input->data = coffer_slice_of(text, (size_t)length);
    input->format = format;
    input->held = object;
    Py_INCREF(object);
    return true;
}

static bool input_buffer(coffer__py_input *input, PyObject *object) {
    if (PyObject_GetBuffer(object, &input->view, PyBUF_SIMPLE) != 0) {
        memset(&input->view, 0, sizeof input->view);
        if (PyErr_ExceptionMatches(PyExc_BufferError)) {
            PyErr_Clear();
            coffer__py_raise_type("a memoryview has to be contiguous to be stored", object);
        }
        return false;
    }
    input->data = coffer_slice_of(input->view.buf, (size_t)input->view.len);
    input->format = COFFER_FORMAT_BYTES;
    return true;
}

static bool is_buffer(PyObject *object) {
    return PyBytes_Check(object) || PyByteArray_Check(object) || PyMemoryView_Check(object);
}

bool coffer__py_input_plain(coffer__py_input *input, PyObject *object) {
    if (PyUnicode_Check(object)) {
        return input_text(input, object, COFFER_FORMAT_TEXT);
    }
    if (is_buffer(object)) {
        return input_buffer(input, object);
    }
    return coffer__py_raise_type("expected str, bytes, bytearray or memoryview", object) != NULL;
}

bool coffer__py_input_any(coffer__py_input *input, PyObject *object, PyObject *encode) {
    if (PyUnicode_Check(object) || is_buffer(object)) {
        return coffer__py_input_plain(input, object);
    }
    if (!coffer__py_json_fits(object)) {
        return false;
    }
    PyObject *text = PyObject_CallFunctionObjArgs(encode, object, NULL);
    bool is_done = text != NULL && input_text(input, text, COFFER_FORMAT_JSON);
    Py_XDECREF(text);
    return is_done;
}

void coffer__py_input_clear(coffer__py_input *input) {
    if (input->view.obj != NULL) {
        PyBuffer_Release(&input->view);
    }
    Py_CLEAR(input->held);
    input->data = coffer_slice_of(NULL, 0);
}

bool coffer__py_write_options(PyObject *object, coffer_write_options *options) {
    unsigned long long ttl_ms = 0, timeout_ms = 0;
    unsigned char format = COFFER_FORMAT_BYTES;
    int is_absent = 0;
    if (object != Py_None && !PyArg_ParseTuple(object, "KbpK", &ttl_ms, &format, &is_absent, &timeout_ms)) {
        return false;
    }
    *options = (coffer_write_options)COFFER_WRITE_OPTIONS_INIT;
    options->ttl_ms = ttl_ms;
    options->format = format;
    options->absent = is_absent != 0;
    options->timeout_ms = timeout_ms;
    return true;
}

bool coffer__py_read_options(PyObject *object, coffer_read_options *options) {
    *options = (coffer_read_options)COFFER_READ_OPTIONS_INIT;
    if (object != Py_None) {
        options->timeout_ms = PyLong_AsUnsignedLongLong(object);
    }
    return PyErr_Occurred() == NULL;
}

/* ---- handles ---- */

static void handle_settle(coffer__py_handle *handle) {
    coffer_cache *cache = handle->cache;
    if (!handle->is_closed || handle->use_count > 0 || cache == NULL) {
        return;
    }
    handle->cache = NULL;
    if (handle->lender == NULL) {
        coffer_close(cache);
    } else {
        coffer__py_handle *lender = PyCapsule_GetPointer(handle->lender, HANDLE_NAME);
        lender->use_count--;
        handle_settle(lender);
        Py_CLEAR(handle->lender);
    }
    handle->loop = NULL; /* not before: an op that was made and not begun begins there */
    Py_CLEAR(handle->loop_capsule);
}

void coffer__py_handle_close(coffer__py_handle *handle) {
    handle->is_closed = true;
    handle_settle(handle);
    Py_CLEAR(handle->credentials);
    coffer__py_near_clear(&handle->near);
}

void coffer__py_handle_ask(coffer__py_handle *handle, PyObject *credentials) {
    Py_INCREF(credentials);
    PyObject *before = handle->credentials;
    handle->credentials = credentials;
    Py_XDECREF(before);
    coffer_ask_for_credentials(handle->cache);
}

/* A connection waits to be told whom to log in as: Python is asked. False where its function raised. */
static bool give_credentials(const coffer__py_handle *handle) {
    const char *username = NULL, *password = NULL;
    Py_ssize_t username_len = 0, password_len = 0;
    PyObject *ask = handle->credentials;
    Py_XINCREF(ask); /* the function may close the cache */
    PyObject *answer = ask == NULL ? coffer__py_raise(COFFER_CLOSED_CACHE, NULL) : PyObject_CallObject(ask, NULL);
    Py_XDECREF(ask);
    bool given = answer != NULL && PyArg_ParseTuple(answer, "s#s#", &username, &username_len, &password, &password_len);
    if (given) {
        coffer_status status =
            coffer_give_credentials(handle->cache, coffer_slice_of(username, (size_t)username_len), coffer_slice_of(password, (size_t)password_len));
        given = status == COFFER_OK || coffer__py_raise(status, "what the function 'credentials' gave is too long") != NULL;
    }
    Py_XDECREF(answer);
    return given;
}

/* Ops hold a reference to the capsule, so nothing uses the handle any more. */
static void handle_finalise(PyObject *capsule) {
    coffer__py_handle *handle = PyCapsule_GetPointer(capsule, HANDLE_NAME);
    coffer__py_handle_close(handle);
    PyMem_Free(handle);
}

void coffer__py_handle_attach(coffer__py_handle *handle, PyObject *loop_capsule) {
    PyObject *before = handle->loop_capsule;
    handle->loop_capsule = Py_NewRef(loop_capsule);
    handle->loop = coffer__py_loop_of(loop_capsule);
    Py_XDECREF(before);
}

struct coffer__py_loop *coffer__py_handle_loop(const coffer__py_handle *handle) {
    return handle->loop;
}

PyObject *coffer__py_handle_wrap(coffer_cache *cache) {
    coffer__py_handle *handle = PyMem_Calloc(1, sizeof *handle);
    PyObject *capsule = handle == NULL ? PyErr_NoMemory() : PyCapsule_New(handle, HANDLE_NAME, handle_finalise);
    if (capsule == NULL) {
        PyMem_Free(handle);
        coffer_close(cache);
        return NULL;
    }
    handle->cache = cache;
    handle->is_local = coffer_client_is_local(coffer_namespace_client(coffer_cache_namespace(cache)));
    return capsule;
}

/* (handle) -> another handle of the same cache: it is closed for itself, and its ops run where it is attached */
PyObject *coffer__py_share(PyObject *self, PyObject *args) {
    PyObject *lender_capsule;
    (void)self;
    coffer__py_handle *lender = PyArg_ParseTuple(args, "O", &lender_capsule) ? coffer__py_handle_of(lender_capsule) : NULL;
    coffer__py_handle *handle = lender == NULL ? NULL : PyMem_Calloc(1, sizeof *handle);
    if (handle == NULL) {
        return lender == NULL ? NULL : PyErr_NoMemory();
    }
    PyObject *capsule = PyCapsule_New(handle, HANDLE_NAME, handle_finalise);
    if (capsule == NULL) {
        PyMem_Free(handle);
        return NULL;
    }
    handle->cache = lender->cache;
    handle->is_local = lender->is_local;
    handle->lender = Py_NewRef(lender_capsule);
    lender->use_count++;
    return capsule;
}

coffer__py_handle *coffer__py_handle_of(PyObject *capsule) {
    coffer__py_handle *handle = PyCapsule_GetPointer(capsule, HANDLE_NAME);
    return handle != NULL && coffer__py_handle_is_open(handle) ? handle : NULL;
}

bool coffer__py_handle_is_open(const coffer__py_handle *handle) {
    return !handle->is_closed || coffer__py_raise(COFFER_CLOSED_CACHE, NULL) != NULL;
}

coffer__py_near *coffer__py_handle_near(coffer__py_handle *handle) {
    coffer__py_handle *lender = handle->lender == NULL ? handle : PyCapsule_GetPointer(handle->lender, HANDLE_NAME);
    return &lender->near;
}

coffer_cache *coffer__py_handle_cache(const coffer__py_handle *handle) {
    return handle->cache;
}

coffer_namespace *coffer__py_handle_namespace(const coffer__py_handle *handle) {
    return coffer_cache_namespace(handle->cache);
}

/* ---- ops ---- */

static coffer__py_handle *op_handle(const coffer__py_op *op) {
    return PyCapsule_GetPointer(op->handle_capsule, HANDLE_NAME);
}

coffer__py_op *coffer__py_op_begin(PyObject *capsule) {
    coffer__py_handle *handle = coffer__py_handle_of(capsule);
    coffer__py_op *op = handle == NULL ? NULL : PyMem_Calloc(1, sizeof *op);
    if (op == NULL) {
        return handle == NULL ? NULL : (coffer__py_op *)PyErr_NoMemory();
    }
    handle->use_count++;
    op->handle_capsule = capsule;
    Py_INCREF(capsule);
    return op;
}

static void batch_clear(coffer__py_batch *all) {
    for (size_t i = 0; all->inputs != NULL && i < all->count; i++) {
        coffer__py_input_clear(&all->inputs[i]);
    }
    PyMem_Free(all->inputs);
    PyMem_Free(all->items);
    *all = (coffer__py_batch){NULL, NULL, 0};
}

void coffer__py_op_set_parent(coffer__py_op *op, coffer__py_op *parent) {
    op->parent = parent;
    coffer_op_set_parent(op->op, parent == NULL ? NULL : parent->op);
    if (parent != NULL) {
        op->next_child = parent->first_child;
        parent->first_child = op;
    }
}

/* What a loader began may go on when its load has ended: it is asked for by the load around that one from then on. */
static void leave_family(coffer__py_op *op) {
    coffer__py_op *child;
    while ((child = op->first_child) != NULL) {
        op->first_child = child->next_child;
        coffer__py_op_set_parent(child, op->parent);
    }
    if (op->parent != NULL) {
        coffer__py_op **link = &op->parent->first_child;
        while (*link != op) {
            link = &(*link)->next_child;
        }
        *link = op->next_child;
        op->parent = NULL;
    }
}

void coffer__py_op_settle(coffer__py_op *op) {
    if (op->handle_capsule == NULL) {
        return;
    }
    coffer__py_handle *handle = op_handle(op);
    leave_family(op);
    if (op->task != NULL) {
        coffer__py_loop_forget(op);
        coffer_task_free(op->task);
        op->task = NULL;
    } else {
        coffer_cache_drop(handle->cache, op->op);
    }
    op->op = NULL;
    coffer__py_input_clear(&op->value);
    batch_clear(&op->batch);
    Py_CLEAR(op->subject);
    Py_CLEAR(op->decode);
    handle->use_count--;
    handle_settle(handle);
    op->loop = NULL;
    Py_CLEAR(op->loop_capsule);
    Py_CLEAR(op->handle_capsule);
}

void coffer__py_op_free(coffer__py_op *op) {
    if (op != NULL) {
        coffer__py_op_settle(op);
        PyMem_Free(op);
    }
}

coffer_namespace *coffer__py_op_namespace(const coffer__py_op *op) {
    return coffer__py_handle_namespace(op_handle(op));
}

/* Whether it is not worth letting other threads run meanwhile: answered in the process, and no large value to copy, compress or seal.
 * How large a value will be is not known before it is read: the last one of the same handle says. */
static bool is_brief(const coffer__py_op *op) {
    const coffer__py_handle *handle = op_handle(op);
    return !op->is_long && handle->is_local && !handle->near.is_heavy && op->value.data.len <= COFFER__PY_BRIEF_BYTES;
}

static void op_finalise(PyObject *capsule) {
    coffer__py_op_free(PyCapsule_GetPointer(capsule, OP_NAME));
}

PyObject *coffer__py_op_wrap(coffer__py_op *op, coffer_status made) {
    PyObject *capsule = made < 0 ? coffer__py_raise(made, NULL) : PyCapsule_New(op, OP_NAME, op_finalise);
    if (capsule == NULL) {
        coffer__py_op_free(op);
    } else {
        op->capsule = capsule;
    }
    return capsule;
}

coffer__py_op *coffer__py_op_of(PyObject *capsule) {
    coffer__py_op *op = PyCapsule_GetPointer(capsule, OP_NAME);
    if (op != NULL && op->op == NULL) {
        coffer__py_raise(COFFER_INTERNAL, "an operation that has ended was used again");
        return NULL;
    }
    return op;
}

bool coffer__py_op_lend(coffer_op **op, PyObject *value, coffer_slice *data) {
    coffer__py_op *owner = (coffer__py_op *)(void *)op;
    if (!coffer__py_input_plain(&owner->value, value)) {
        return false;
    }
    *data = owner->value.data;
    return true;
}

void coffer__py_op_expect(coffer__py_op *op, coffer__py_answer *answer, PyObject *subject, PyObject *decode) {
    PyObject *before[] = {op->subject, op->decode};
    op->answer = answer;
    op->subject = Py_XNewRef(subject);
    op->decode = Py_XNewRef(decode);
    Py_XDECREF(before[0]);
    Py_XDECREF(before[1]);
}

/* Until DONE or LOAD; false where a signal's handler raised, or the function that is asked for credentials. */
static bool run(coffer__py_op *op) {
    coffer_cache *cache = op_handle(op)->cache;
    if (is_brief(op)) {
        op->want = coffer_cache_run(cache, op->op, 0);
        if (op->want != COFFER_WANT_REPLY) {
            return true;
        }
    }
    for (;;) {
        Py_BEGIN_ALLOW_THREADS op->want = coffer_cache_run(cache, op->op, COFFER__PY_SLICE_MS);
        Py_END_ALLOW_THREADS if (op->want != COFFER_WANT_REPLY) {
            return true;
        }
        if (PyErr_CheckSignals() != 0 || (coffer_credentials_wanted(cache) && !give_credentials(op_handle(op)))) {
            return false;
        }
    }
}

/* Once it has begun on an event loop it goes on there, though the cache be closed. */
static PyObject *go(coffer__py_op *op) {
    coffer__py_handle *handle = op_handle(op);
    if (op->loop == NULL && handle->loop != NULL) {
        op->loop_capsule = Py_NewRef(handle->loop_capsule);
        op->loop = handle->loop;
    }
    return op->loop != NULL ? coffer__py_loop_go(op) : run(op) ? op->answer(op) : NULL;
}

PyObject *coffer__py_go(coffer__py_op *op, coffer_status made) {
    PyObject *answer = made < 0 ? coffer__py_raise(made, NULL) : go(op);
    if (op->future == NULL) {
        coffer__py_op_ended(op, answer != NULL);
    }
    return answer;
}

void coffer__py_op_ended(coffer__py_op *op, bool answered) {
    if (op->capsule == NULL) {
        coffer__py_op_free(op);
    } else if (!answered) {
        coffer__py_op_settle(op);
    }
}

/* ---- results ---- */

PyObject *coffer__py_text(const coffer_value *value) {
    PyObject *text = PyUnicode_DecodeUTF8(value->data.data, (Py_ssize_t)value->data.len, NULL);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        coffer__py_raise(COFFER_BAD_FORMAT, "the value is marked as text but is not UTF-8");
    }
    return text;
}

static PyObject *json_value(const coffer_value *value, PyObject *decode) {
    PyObject *text = coffer__py_text(value);
    PyObject *object = text == NULL ? NULL : PyObject_CallFunctionObjArgs(decode, text, NULL);
    Py_XDECREF(text);
    return object;
}

PyObject *coffer__py_op_value(coffer__py_op *op, PyObject *decode) {
    const coffer_value *value = coffer_op_value(op->op);
    coffer__py_handle_near(op_handle(op))->is_heavy = value->data.len > COFFER__PY_BRIEF_BYTES;
    return coffer__py_value(value, decode);
}

PyObject *coffer__py_value(const coffer_value *value, PyObject *decode) {
    switch (value->format) {
    case COFFER_FORMAT_TEXT:
        return coffer__py_text(value);
    case COFFER_FORMAT_JSON:
        return json_value(value, decode);
    case COFFER_FORMAT_MSGPACK:
        return coffer__py_raise(COFFER_UNSUPPORTED, "the value is MessagePack, which this version does not read");
    default:
        return PyBytes_FromStringAndSize(value->data.data, (Py_ssize_t)value->data.len);
    }
}
