#include <coffer/coffer.h>

/* One row of the table. */
typedef struct row {
    coffer_status status;
    const char *name;
    const char *exception;
    const char *text;
} row;

static const row rows[] = {
#define ROW(name, value, exception, text) {COFFER_##name, #name, exception, text},
    COFFER_STATUS_MAP(ROW)
#undef ROW
};

static const row *find(coffer_status status) {
    static const row unknown = {COFFER_INTERNAL, "UNKNOWN", "InternalError", "an unknown status"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].status == status) {
            return &rows[i];
        }
    }
    return &unknown;
}

const char *coffer_status_name(coffer_status status) {
    return find(status)->name;
}

coffer_status coffer_status_named(const char *name) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (coffer_slice_equal(coffer_slice_text(rows[i].name), coffer_slice_text(name))) {
            return rows[i].status;
        }
    }
    return COFFER_INTERNAL;
}

const char *coffer_status_text(coffer_status status) {
    return find(status)->text;
}

const char *coffer_status_exception(coffer_status status) {
    return find(status)->exception;
}

bool coffer_status_is_outage(coffer_status status) {
    switch (status) {
    case COFFER_TIMEOUT:
    case COFFER_POOL_TIMEOUT:
    case COFFER_NOT_SENT:
    case COFFER_MAYBE_APPLIED:
    case COFFER_CONNECT:
    case COFFER_DNS:
    case COFFER_IO:
    case COFFER_CLOSED:
    case COFFER_BREAKER_OPEN:
    case COFFER_LOADING:
    case COFFER_BUSY:
    case COFFER_MASTERDOWN:
    case COFFER_CLUSTERDOWN:
    case COFFER_TRYAGAIN:
        return true;
    default:
        return false;
    }
}

const char *coffer_source_name(coffer_source source) {
    static const char *const names[] = {"none", "near", "remote", "loaded", "stale", "negative", "outage"};
    return (size_t)source < sizeof names / sizeof names[0] ? names[source] : "none";
}

const char *coffer_operation_name(coffer_operation operation) {
    static const char *const names[] = {
#define NAME(name, text) text,
        COFFER_OPERATION_MAP(NAME)
#undef NAME
    };
    return (size_t)operation < COFFER_OPERATION_COUNT ? names[operation] : "unknown";
}

const char *coffer_version(void) {
    return COFFER_VERSION;
}
