#include "native.h"

#include "native_loop.h"

/* ---- what JSON keeps as it is ----
 * json.dumps would make lists of tuples and strings of the keys 1, None and True: what came back would not be what was stored. */

static bool json_part_fits(PyObject *object);

static bool json_key_fits(PyObject *key) {
    return PyUnicode_Check(key) || coffer__py_raise_type("the keys of a dict have to be str to be stored", key) != NULL;
}

static bool json_dict_fits(PyObject *dict) {
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(dict, &position, &key, &value)) {
        if (!json_key_fits(key) || !json_part_fits(value)) {
            return false;
        }
    }
    return true;
}

static bool json_list_fits(PyObject *list) {
    for (Py_ssize_t i = 0; i < PyList_Size(list); i++) {
        if (!json_part_fits(PyList_GetItem(list, i))) {
            return false;
        }
    }
    return true;
}

static bool json_children_fit(PyObject *object) {
    if (Py_EnterRecursiveCall(" while looking through a value to store") != 0) {
        return false;
    }
    bool is_fit = PyDict_Check(object) ? json_dict_fits(object) : json_list_fits(object);
    Py_LeaveRecursiveCall();
    return is_fit;
}

static bool json_part_fits(PyObject *object) {
    if (object == Py_None || PyUnicode_Check(object) || PyLong_Check(object) || PyFloat_Check(object)) {
        return true;
    }
    if (PyDict_Check(object) || PyList_Check(object)) {
        return json_children_fit(object);
    }
    return coffer__py_raise_type("what is neither bytes nor str is stored as JSON: None, bool, int, float, str, list and dict", object) != NULL;
}

/* Too deep a value is told of up here: down there no exception of our own could be made any more. */
bool coffer__py_json_fits(PyObject *object) {
    if (json_part_fits(object)) {
        return true;
    }
    if (PyErr_ExceptionMatches(PyExc_RecursionError)) {
        PyErr_Clear();
        coffer__py_raise(COFFER_ARG, "the value is nested too deeply, or holds itself");
    }
    return false;
}

/* (object) -> None, or raises */
PyObject *coffer__py_json_check(PyObject *self, PyObject *args) {
    PyObject *object;
    (void)self;
    if (!PyArg_ParseTuple(args, "O", &object) || !coffer__py_json_fits(object)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* (handle, credentials) -> None */
PyObject *coffer__py_ask(PyObject *self, PyObject *args) {
    PyObject *capsule, *credentials;
    (void)self;
    coffer__py_handle *handle = PyArg_ParseTuple(args, "OO", &capsule, &credentials) ? coffer__py_handle_of(capsule) : NULL;
    if (handle == NULL) {
        return NULL;
    }
    coffer__py_handle_ask(handle, credentials);
    Py_RETURN_NONE;
}

/* (handle) -> None */
PyObject *coffer__py_close(PyObject *self, PyObject *args) {
    PyObject *capsule;
    (void)self;
    if (!PyArg_ParseTuple(args, "O", &capsule)) {
        return NULL;
    }
    coffer__py_handle *handle = PyCapsule_GetPointer(capsule, "coffer.cache");
    if (handle == NULL) {
        return NULL;
    }
    coffer__py_handle_close(handle);
    Py_RETURN_NONE;
}

/* ---- tables ---- */

/* () -> [(name, kind, default, environment, help, per_namespace, secret)] */
PyObject *coffer__py_option_table(PyObject *self, PyObject *args) {
    coffer_option_info info;
    PyObject *rows = PyList_New(0);
    (void)self;
    (void)args;
    for (size_t i = 0; rows != NULL && coffer_options_describe(i, &info); i++) {
        PyObject *row = Py_BuildValue("sssssNN", info.name, info.kind, info.default_text, info.environment, info.help,
                                      PyBool_FromLong(info.per_namespace), PyBool_FromLong(info.secret));
        if (row == NULL || PyList_Append(rows, row) != 0) {
            Py_CLEAR(rows);
        }
        Py_XDECREF(row);
    }
    return rows;
}

/* Puts a new object into a dict; takes it over. False where either is NULL or it cannot be put. */
static bool put(PyObject *dict, const char *name, PyObject *object) {
    bool is_put = dict != NULL && object != NULL && PyDict_SetItemString(dict, name, object) == 0;
    Py_XDECREF(object);
    return is_put;
}

static bool put_count(PyObject *dict, const char *name, uint64_t count) {
    return put(dict, name, PyLong_FromUnsignedLongLong(count));
}

/* A dict, or NULL where filling it failed. */
static PyObject *filled(PyObject *dict, bool is_filled) {
    if (!is_filled) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *counter_dict(const coffer_counters *counters) {
    PyObject *dict = PyDict_New();
    return filled(dict, true
#define PUT(field, help) &&put_count(dict, #field, counters->field)
                  COFFER_COUNTER_MAP(PUT)
#undef PUT
    );
}

static PyObject *latency_dict(const coffer_latency *latency) {
    PyObject *dict = PyDict_New();
    bool is_filled = dict != NULL;
    for (int i = 0; is_filled && i < COFFER_OPERATION_COUNT; i++) {
        const coffer_latency *one = &latency[i];
        if (one->count > 0) {
            PyObject *row = Py_BuildValue("KKdddd", (unsigned long long)one->count, (unsigned long long)one->timed_count, one->p50_us, one->p95_us,
                                          one->p99_us, one->max_us);
            is_filled = put(dict, coffer_operation_name((coffer_operation)i), row);
        }
    }
    return filled(dict, is_filled);
}

static PyObject *refusal_dict(coffer_namespace *ns) {
    coffer_refusal refusal;
    PyObject *dict = PyDict_New();
    bool is_filled = dict != NULL;
    for (size_t i = 0; is_filled && coffer_metrics_refusal(ns, i, &refusal); i++) {
        is_filled = refusal.count == 0 || put_count(dict, coffer_status_name(refusal.status), refusal.count);
    }
    return filled(dict, is_filled);
}

static PyObject *store_dict(const coffer_store_stats *store) {
    PyObject *dict = PyDict_New();
    return filled(dict, put_count(dict, "memory_bytes", store->memory_bytes) && put_count(dict, "used_bytes", store->used_bytes) &&
                            put_count(dict, "entries", store->entries) && put_count(dict, "evictions", store->evictions) &&
                            put_count(dict, "expirations", store->expirations));
}

static PyObject *pool_dict(const coffer_metrics *metrics) {
    PyObject *dict = PyDict_New();
    return filled(dict, put_count(dict, "open", metrics->connections_open) && put_count(dict, "in_use", metrics->connections_in_use) &&
                            put_count(dict, "made", metrics->connections_made) && put_count(dict, "failed", metrics->connections_failed) &&
                            put_count(dict, "waits", metrics->pool_waits) && put_count(dict, "timeouts", metrics->pool_timeouts));
}

static PyObject *breaker_dict(const coffer_metrics *metrics) {
    PyObject *dict = PyDict_New();
    return filled(dict, put_count(dict, "open", metrics->breakers_open) && put_count(dict, "opened", metrics->breaker_opened) &&
                            put_count(dict, "refused", metrics->breaker_refused));
}

static PyObject *topology_dict(const coffer_topology_stats *topology) {
    PyObject *dict = PyDict_New();
    return filled(dict, true
#define PUT(field, help) &&put_count(dict, #field, topology->field)
                  COFFER_TOPOLOGY_MAP(PUT)
#undef PUT
    );
}

static PyObject *near_dict(const coffer_near_stats *near) {
    PyObject *dict = PyDict_New();
    return filled(dict, true
#define PUT(field, help) &&put_count(dict, #field, near->field)
                  COFFER_NEAR_MAP(PUT)
#undef PUT
    );
}

/* (handle) -> {"counters": {...}, "refusals": {...}, "latency": {name: (count, timed, p50, p95, p99, max)}, "store": {...}, "pool": {...}} */
PyObject *coffer__py_stats(PyObject *self, PyObject *args) {
    PyObject *capsule;
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    (void)self;
    if (!PyArg_ParseTuple(args, "O", &capsule)) {
        return NULL;
    }
    coffer__py_handle *handle = coffer__py_handle_of(capsule);
    if (handle == NULL) {
        return NULL;
    }
    coffer_status status = coffer_stats(coffer__py_handle_cache(handle), &metrics);
    if (status < 0) {
        return coffer__py_raise(status, NULL);
    }
    if (coffer__py_handle_loop(handle) != NULL) {
        coffer__py_loop_add_metrics(coffer__py_handle_loop(handle), &metrics);
    }
    PyObject *dict = PyDict_New();
    return filled(dict, put(dict, "counters", counter_dict(&metrics.counters)) &&
                            put(dict, "refusals", refusal_dict(coffer__py_handle_namespace(handle))) &&
                            put(dict, "latency", latency_dict(metrics.latency)) && put(dict, "store", store_dict(&metrics.store)) &&
                            put(dict, "breaker", breaker_dict(&metrics)) && put(dict, "pool", pool_dict(&metrics)) &&
                            put(dict, "topology", topology_dict(&metrics.topology)) && put(dict, "near", near_dict(&metrics.near)));
}

/* ---- health ---- */

static PyObject *reason_list(const coffer_health *health) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < health->reason_count; i++) {
        PyObject *text = PyUnicode_DecodeUTF8(health->reasons[i], (Py_ssize_t)strlen(health->reasons[i]), "replace");
        if (text == NULL || PyList_Append(list, text) != 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(text);
    }
    return list;
}

static PyObject *endpoint_row(const coffer_endpoint_health *one) {
    PyObject *name = PyUnicode_DecodeUTF8(one->name, (Py_ssize_t)strlen(one->name), "replace");
    return name == NULL
               ? NULL
               : Py_BuildValue("NsKKKKKLssssL", name, one->breaker, (unsigned long long)one->retry_in_ms, (unsigned long long)one->opened_count,
                               (unsigned long long)one->refused_count, (unsigned long long)one->calls_count, (unsigned long long)one->failed_count,
                               (long long)one->round_trip_ms, one->version, one->forbidden, one->role, one->zone, (long long)one->smoothed_us);
}

static PyObject *endpoint_list(const coffer_health *health) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < health->endpoint_count; i++) {
        PyObject *row = endpoint_row(&health->endpoints[i]);
        if (row == NULL || PyList_Append(list, row) != 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(row);
    }
    return list;
}

static PyObject *health_dict(const coffer_health *health) {
    PyObject *dict = PyDict_New();
    return filled(dict, put(dict, "state", PyUnicode_FromString(coffer_health_state_name(health->state))) &&
                            put(dict, "reasons", reason_list(health)) && put(dict, "endpoints", endpoint_list(health)) &&
                            put(dict, "near", PyUnicode_FromString(health->near)) && put_count(dict, "owed_keys", health->owed_count) &&
                            put_count(dict, "lost_keys", health->lost_count));
}

/* (handle) -> {"state", "reasons", "endpoints": [(name, breaker, retry_in_ms, opened, refused, calls, failed, round_trip_ms, version, forbidden,
 * role, zone, smoothed_us)], "near", "owed_keys", "lost_keys"} */
PyObject *coffer__py_health(PyObject *self, PyObject *args) {
    PyObject *capsule;
    coffer_health health = COFFER_HEALTH_INIT;
    (void)self;
    if (!PyArg_ParseTuple(args, "O", &capsule)) {
        return NULL;
    }
    coffer__py_handle *handle = coffer__py_handle_of(capsule);
    if (handle == NULL) {
        return NULL;
    }
    coffer_status status = coffer_health_read(coffer__py_handle_cache(handle), &health, NULL);
    if (status < 0) {
        return coffer__py_raise(status, NULL);
    }
    PyObject *dict = health_dict(&health);
    coffer_health_clear(&health);
    return dict;
}

/* ---- a stored envelope ---- */

static bool put_text(PyObject *dict, const char *name, const char *text) {
    return put(dict, name, PyUnicode_FromString(text));
}

static bool put_flag(PyObject *dict, const char *name, bool flag) {
    return put(dict, name, PyBool_FromLong(flag));
}

static PyObject *inspection_dict(const coffer_inspection *seen) {
    PyObject *dict = PyDict_New();
    bool has_header = put_text(dict, "verdict", coffer_status_name(seen->verdict)) && put_text(dict, "text", coffer_status_text(seen->verdict)) &&
                      put_flag(dict, "has_header", seen->has_header) && put_flag(dict, "has_body", seen->has_body) &&
                      put_count(dict, "version", seen->version) && put_count(dict, "suite", seen->suite) && put_count(dict, "flags", seen->flags) &&
                      put_count(dict, "key_id", seen->key_id) && put_count(dict, "entry_id", seen->entry_id) &&
                      put_count(dict, "lease_unix_ms", seen->lease_unix_ms);
    bool has_body = has_header && put_count(dict, "kind", seen->kind) && put_count(dict, "codec", seen->codec) &&
                    put_count(dict, "format", seen->format) && put_count(dict, "tag_count", seen->tag_count) &&
                    put_count(dict, "payload_bytes", seen->payload_bytes) && put_count(dict, "stored_bytes", seen->stored_bytes) &&
                    put_count(dict, "pad_bytes", seen->pad_bytes) && put_count(dict, "created_unix_ms", seen->created_unix_ms) &&
                    put_count(dict, "fresh_unix_ms", seen->fresh_unix_ms) && put_count(dict, "expires_unix_ms", seen->expires_unix_ms) &&
                    put_count(dict, "load_cost_ms", seen->load_cost_ms);
    return filled(dict, has_body && put(dict, "payload", PyBytes_FromStringAndSize(seen->payload.data, (Py_ssize_t)seen->payload.len)));
}

/* (handle, key, bytes) -> {"verdict": "OK", ...}: the fields of coffer_inspection */
PyObject *coffer__py_inspect(PyObject *self, PyObject *args) {
    PyObject *capsule, *key_object, *bytes;
    coffer_slice key;
    char *data;
    Py_ssize_t len;
    coffer_inspection seen = {.struct_size = sizeof seen};
    (void)self;
    if (!PyArg_ParseTuple(args, "OOO", &capsule, &key_object, &bytes) || !coffer__py_key(key_object, &key) ||
        PyBytes_AsStringAndSize(bytes, &data, &len) != 0) {
        return NULL;
    }
    coffer__py_handle *handle = coffer__py_handle_of(capsule);
    if (handle == NULL) {
        return NULL;
    }
    coffer_status status = coffer_envelope_inspect(coffer__py_handle_namespace(handle), key, coffer_slice_of(data, (size_t)len), &seen);
    if (status != COFFER_OK) {
        return coffer__py_raise(status, NULL);
    }
    PyObject *dict = inspection_dict(&seen);
    coffer_inspection_clear(&seen);
    return dict;
}
