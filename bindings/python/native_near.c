#include "native_near.h"

#include <structmember.h>

enum { TIMED_OF = 64, ROOM_BYTES_MOST = 64 << 10 };

/* ---- objects ---- */

static void objects_clear(coffer__py_near *near) {
    coffer__py_slot *slots = near->slots;
    size_t count = near->slot_count;
    Py_CLEAR(near->objects);
    near->slots = NULL;
    near->slot_count = near->slot_next = 0;
    for (size_t i = 0; slots != NULL && i < count; i++) {
        Py_XDECREF(slots[i].key);
        Py_XDECREF(slots[i].object);
    }
    PyMem_Free(slots);
}

void coffer__py_near_clear(coffer__py_near *near) {
    coffer_room *room = near->room;
    near->room = NULL;
    coffer_room_free(room);
    objects_clear(near);
}

/* Objects are kept by keys that compare without running anybody's code, and never equal to one of another type. */
static bool is_keepable(const coffer__py_near *near, PyObject *key) {
    return near->objects != NULL && PyUnicode_CheckExact(key);
}

/* The slot of a key; NULL: it has none. */
static coffer__py_slot *slot_of(const coffer__py_near *near, PyObject *key) {
    PyObject *number = PyDict_GetItemWithError(near->objects, key);
    if (number == NULL) {
        PyErr_Clear();
        return NULL;
    }
    return &near->slots[PyLong_AsSize_t(number)];
}

/* The place of the oldest, for a key that has none. NULL: no memory, which only means that it is not kept. */
static coffer__py_slot *slot_take(coffer__py_near *near, PyObject *key) {
    coffer__py_slot *slot = &near->slots[near->slot_next];
    PyObject *number = PyLong_FromSize_t(near->slot_next);
    if (number == NULL || (slot->key != NULL && PyDict_DelItem(near->objects, slot->key) != 0)) {
        PyErr_Clear();
        Py_XDECREF(number);
        return NULL;
    }
    Py_CLEAR(slot->key);
    if (PyDict_SetItem(near->objects, key, number) == 0) {
        slot->key = Py_NewRef(key);
        near->slot_next = (near->slot_next + 1) % near->slot_count;
    }
    PyErr_Clear();
    Py_DECREF(number);
    return slot->key == NULL ? NULL : slot;
}

static void keep_object(coffer__py_near *near, PyObject *key, uint64_t version, PyObject *object) {
    if (version == 0 || !is_keepable(near, key)) {
        return;
    }
    coffer__py_slot *slot = slot_of(near, key);
    slot = slot == NULL ? slot_take(near, key) : slot;
    if (slot != NULL) {
        PyObject *before = slot->object;
        slot->object = Py_NewRef(object);
        slot->version = version;
        Py_XDECREF(before); /* last: it may run anything */
    }
}

/* (handle, how many) keeps so many objects, those of before are forgotten; 0: none */
PyObject *coffer__py_keep_objects(PyObject *self, PyObject *args) {
    PyObject *capsule;
    Py_ssize_t count;
    (void)self;
    coffer__py_handle *handle = PyArg_ParseTuple(args, "On", &capsule, &count) ? coffer__py_handle_of(capsule) : NULL;
    if (handle == NULL) {
        return NULL;
    }
    coffer__py_near *near = coffer__py_handle_near(handle);
    objects_clear(near);
    if (count > 0) {
        coffer__py_slot *slots = PyMem_Calloc((size_t)count, sizeof *slots);
        PyObject *objects = slots == NULL ? PyErr_NoMemory() : PyDict_New();
        if (objects == NULL) {
            PyMem_Free(slots);
            return NULL;
        }
        near->objects = objects;
        near->slots = slots;
        near->slot_count = (size_t)count;
    }
    Py_RETURN_NONE;
}

/* ---- reading ---- */

/* One read of a key, from here to what is made of it. */
typedef struct look {
    coffer_namespace *ns;
    coffer__py_near *near;
    coffer_operation operation;
    PyObject *key_object;
    coffer_slice key;
    uint64_t now_ms, began_us; /* began_us: 0 where it is not timed */
} look;

/* False: an op has to ask; or an exception. */
static bool look_begin(look *this, coffer__py_handle *handle, coffer_operation operation, PyObject *key_object) {
    if (!coffer__py_handle_is_open(handle) || !coffer__py_key(key_object, &this->key)) {
        return false;
    }
    this->near = coffer__py_handle_near(handle);
    this->operation = operation;
    if (this->near->is_heavy || (this->near->room == NULL && coffer_room_new(&this->near->room) != COFFER_OK)) {
        return false;
    }
    this->ns = coffer__py_handle_namespace(handle);
    this->key_object = key_object;
    this->now_ms = coffer_now_coarse_ms();
    this->began_us = this->near->read_counts[operation]++ % TIMED_OF == 0 ? coffer_now_us() : 0;
    return true;
}

/* The object that was made of the entry that is there; NULL: none. `*outdated` is the caller's to let go of, last: that may run anything, as closing the cache. */
static PyObject *kept_object(const look *this, PyObject **outdated) {
    coffer__py_slot *slot = is_keepable(this->near, this->key_object) ? slot_of(this->near, this->key_object) : NULL;
    *outdated = NULL;
    if (slot == NULL || slot->object == NULL) {
        return NULL;
    }
    if (coffer_peek_confirms(this->ns, this->operation, this->key, slot->version, this->now_ms, this->near->room)) {
        return Py_NewRef(slot->object);
    }
    *outdated = slot->object;
    slot->object = NULL;
    return NULL;
}

static coffer_status peek(const look *this, coffer_value *value) {
    return coffer_peek(this->ns, this->operation, this->key, this->now_ms, this->near->room, value);
}

static void look_end(const look *this) {
    if (this->began_us != 0) {
        coffer_metrics_record(this->ns, this->operation, coffer_now_us() - this->began_us);
    }
}

/* After all was made of a value: what is large is not held for the next, and read by an op then, which lets go of the GIL. */
static void note_size(coffer__py_near *near, size_t len) {
    near->is_heavy = len > COFFER__PY_BRIEF_BYTES;
    if (len > ROOM_BYTES_MOST) {
        coffer_room_free(near->room);
        near->room = NULL;
    }
}

/* A value as Python sees it, kept where objects are. JSON's text is a str of its own before Python decodes it. */
static PyObject *object_of(const look *this, const coffer_value *value, PyObject *decode) {
    size_t len = value->data.len;
    uint64_t version = value->near_version;
    PyObject *object;
    look_end(this);
    if (value->format == COFFER_FORMAT_JSON) {
        PyObject *text = coffer__py_text(value);
        note_size(this->near, len);
        object = text == NULL ? NULL : PyObject_CallFunctionObjArgs(decode, text, NULL);
        Py_XDECREF(text);
    } else {
        object = coffer__py_value(value, decode);
        note_size(this->near, len);
    }
    if (object != NULL) {
        keep_object(this->near, this->key_object, version, object);
    }
    return object;
}

bool coffer__py_near_get(coffer__py_handle *handle, coffer_operation operation, PyObject *key, PyObject *absent, PyObject *decode,
                         PyObject **answer) {
    look this;
    coffer_value value;
    *answer = NULL;
    if (!look_begin(&this, handle, operation, key)) {
        return PyErr_Occurred() != NULL;
    }
    PyObject *outdated, *kept = kept_object(&this, &outdated);
    if (kept != NULL) {
        look_end(&this);
        *answer = kept;
        return true;
    }
    coffer_status status = peek(&this, &value);
    if (status == COFFER_OK) {
        *answer = object_of(&this, &value, decode);
    } else if (status == COFFER_MISS) {
        look_end(&this);
        *answer = Py_NewRef(absent);
    }
    Py_XDECREF(outdated);
    return status == COFFER_OK || status == COFFER_MISS;
}

bool coffer__py_near_entry(coffer__py_handle *handle, PyObject *key, PyObject *absent, PyObject *decode, PyObject **answer) {
    look this;
    coffer_value value;
    *answer = NULL;
    if (!look_begin(&this, handle, COFFER_OPERATION_GET, key)) {
        return PyErr_Occurred() != NULL;
    }
    coffer_status status = peek(&this, &value);
    if (status == COFFER_MISS && value.source == COFFER_SOURCE_NONE) {
        *answer = Py_NewRef(Py_None);
    } else if (status == COFFER_OK || status == COFFER_MISS) {
        coffer_value about = value; /* what is lent goes as soon as Python decodes */
        *answer = coffer__py_entry_of(&about, status == COFFER_OK ? object_of(&this, &value, decode) : Py_NewRef(absent));
    }
    return status == COFFER_OK || status == COFFER_MISS;
}

/* ---- the type ---- */

typedef struct reader {
    PyObject_HEAD PyObject *capsule;
    coffer__py_handle *handle; /* what lies in it: a hit pays for no look into a capsule */
    PyObject *decode; /* of JSON */
} reader;

static void reader_free(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    Py_CLEAR(((reader *)(void *)self)->capsule);
    Py_CLEAR(((reader *)(void *)self)->decode);
    release(self);
    Py_DECREF(type);
}

static bool is_opened(const reader *this) {
    if (this->handle == NULL || this->decode == NULL) {
        coffer__py_raise(COFFER_CLOSED_CACHE, "the cache was never opened");
        return false;
    }
    return true;
}

/* What coffer._values.timeout_ms makes of a timeout; UINT64_MAX with an exception. */
static unsigned long long timeout_of(PyObject *timeout) {
    if (timeout == NULL || timeout == Py_None) {
        return 0;
    }
    PyObject *module = PyImport_ImportModule("coffer._values");
    PyObject *limit = module == NULL ? NULL : PyObject_CallMethod(module, "timeout_ms", "O", timeout);
    unsigned long long limit_ms = limit == NULL ? UINT64_MAX : PyLong_AsUnsignedLongLong(limit);
    Py_XDECREF(limit);
    Py_XDECREF(module);
    return limit_ms;
}

/* The arguments that are no plain key and default, for PyArg_ParseTupleAndKeywords: new references, or both NULL. */
static bool gather(PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject **positional, PyObject **named) {
    Py_ssize_t named_count = names == NULL ? 0 : PyTuple_Size(names);
    *positional = PyTuple_New(count);
    *named = PyDict_New();
    bool is_done = *positional != NULL && *named != NULL;
    for (Py_ssize_t i = 0; is_done && i < count; i++) {
        is_done = PyTuple_SetItem(*positional, i, Py_NewRef(args[i])) == 0;
    }
    for (Py_ssize_t i = 0; is_done && i < named_count; i++) {
        is_done = PyDict_SetItem(*named, PyTuple_GetItem(names, i), args[count + i]) == 0;
    }
    return is_done;
}

static PyObject *get_as_asked(const reader *this, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    static char *keywords[] = {"key", "default", "stale", "timeout", NULL};
    PyObject *positional, *named, *key, *otherwise = Py_None, *timeout = NULL, *answer = NULL;
    coffer_read_options options = COFFER_READ_OPTIONS_INIT;
    int is_stale_welcome = 0;
    if (gather(args, count, names, &positional, &named) &&
        PyArg_ParseTupleAndKeywords(positional, named, "O|O$pO:get", keywords, &key, &otherwise, &is_stale_welcome, &timeout)) {
        options.accept_stale = is_stale_welcome != 0;
        options.timeout_ms = timeout_of(timeout);
        if (PyErr_Occurred() == NULL && !coffer__py_near_get(this->handle, COFFER_OPERATION_GET, key, otherwise, this->decode, &answer)) {
            answer = coffer__py_read(this->capsule, key, otherwise, this->decode, &options);
        }
    }
    Py_XDECREF(positional);
    Py_XDECREF(named);
    return answer;
}

/* (key, default=None, *, stale=False, timeout=None) */
static PyObject *reader_get(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    const reader *this = (reader *)(void *)self;
    PyObject *answer;
    if (!is_opened(this)) {
        return NULL;
    }
    if (names != NULL || count < 1 || count > 2) {
        return get_as_asked(this, args, count, names);
    }
    PyObject *otherwise = count == 2 ? args[1] : Py_None;
    if (coffer__py_near_get(this->handle, COFFER_OPERATION_GET, args[0], otherwise, this->decode, &answer)) {
        return answer;
    }
    coffer_read_options options = COFFER_READ_OPTIONS_INIT;
    return coffer__py_read(this->capsule, args[0], otherwise, this->decode, &options);
}

static PyObject *peek_for(PyObject *self, coffer_operation operation, PyObject *const *args, Py_ssize_t count) {
    const reader *this = (reader *)(void *)self;
    PyObject *answer;
    if (count != 3) {
        return coffer__py_raise(COFFER_INTERNAL, "a peek takes three arguments");
    }
    if (!is_opened(this)) {
        return NULL;
    }
    return coffer__py_near_get(this->handle, operation, args[0], args[1], this->decode, &answer) ? answer : Py_NewRef(args[2]);
}

/* (key, absent, otherwise) -> what get answers without an op, absent where there is nothing, or otherwise where an op has to ask */
static PyObject *reader_peek(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    return peek_for(self, COFFER_OPERATION_GET, args, count);
}

/* The same of get_or_load */
static PyObject *reader_peek_load(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    return peek_for(self, COFFER_OPERATION_GET_OR_LOAD, args, count);
}

PyDoc_STRVAR(get_words, "get($self, key, default=None, *, stale=False, timeout=None)\n--\n\n"
                        "The value, or `default` where there is none. With `stale` a value past its freshness is answered too.\n\n"
                        "An entry that cannot be trusted (damaged, sealed with an unknown key, too old) is a miss, and counted in `stats()`.\n"
                        "FormatError is raised where an entry is whole but its text or JSON is not. Where `near_objects` keeps objects, the\n"
                        "same one may be answered again: copy what you change.");

static PyMethodDef reader_methods[] = {
    {"get", (PyCFunction)(void (*)(void))reader_get, METH_FASTCALL | METH_KEYWORDS, get_words},
    {"_peek", (PyCFunction)(void (*)(void))reader_peek, METH_FASTCALL, NULL},
    {"_peek_load", (PyCFunction)(void (*)(void))reader_peek_load, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

/* As the cache is opened. What closes it at the end (_base.py) holds a former one too. */
static int set_handle(PyObject *self, PyObject *capsule, void *unused) {
    reader *this = (reader *)(void *)self;
    (void)unused;
    if (capsule == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_handle");
        return -1;
    }
    coffer__py_handle *handle = coffer__py_handle_of(capsule);
    if (handle == NULL) {
        return -1;
    }
    PyObject *before = this->capsule;
    this->capsule = Py_NewRef(capsule);
    this->handle = handle;
    Py_XDECREF(before);
    return 0;
}

static PyObject *handle_of(PyObject *self, void *unused) {
    (void)unused;
    PyObject *capsule = ((reader *)(void *)self)->capsule;
    if (capsule == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_handle");
    }
    return Py_XNewRef(capsule);
}

static PyGetSetDef reader_properties[] = {
    {"_handle", handle_of, set_handle, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef reader_members[] = {
    {"_decode", T_OBJECT_EX, offsetof(reader, decode), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

bool coffer__py_near_init(PyObject *module) {
    static PyType_Slot slots[] = {
        {Py_tp_dealloc, (void *)reader_free},
        {Py_tp_methods, reader_methods},
        {Py_tp_members, reader_members},
        {Py_tp_getset, reader_properties},
        {Py_tp_doc, (void *)"A handle of the core's, and reads without a frame of Python."},
        {0, NULL},
    };
    static PyType_Spec spec = {"coffer._coffer_core.Reader", sizeof(reader), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
    PyObject *type = PyType_FromSpec(&spec);
    bool is_added = type != NULL && PyModule_AddObjectRef(module, "Reader", type) == 0;
    Py_XDECREF(type);
    return is_added;
}
