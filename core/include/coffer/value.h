/* What is stored and what is read: the options of a write, the answer of a read. */
#ifndef COFFER_VALUE_H
#define COFFER_VALUE_H

#include <coffer/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the payload is. 128 to 255 are the application's own; 4 to 127 are refused. */
enum {
    COFFER_FORMAT_BYTES = 0,
    COFFER_FORMAT_TEXT = 1, /* UTF-8 */
    COFFER_FORMAT_JSON = 2,
    COFFER_FORMAT_MSGPACK = 3,
    COFFER_FORMAT_APPLICATION = 128
};

/* How a read was answered. */
typedef enum coffer_source {
    COFFER_SOURCE_NONE = 0, /* a plain miss */
    COFFER_SOURCE_NEAR = 1, /* from this process, no round trip (mem:// always) */
    COFFER_SOURCE_REMOTE = 2, /* from the server */
    COFFER_SOURCE_LOADED = 3, /* by the loader, this caller's or the one it waited for */
    COFFER_SOURCE_STALE = 4, /* past its freshness, because the loader failed or stale was asked for */
    COFFER_SOURCE_NEGATIVE = 5, /* known to be absent */
    COFFER_SOURCE_OUTAGE = 6 /* a miss because the server could not be asked (option on_outage) */
} coffer_source;

/* "none", "near", "remote", "loaded", "stale", "negative", "outage". Static. */
COFFER_API const char *coffer_source_name(coffer_source source);

/* One read value. `data` is lent by the object it came from: an op until that is freed, `owner` until coffer_value_clear. */
typedef struct coffer_value {
    coffer_slice data;
    uint8_t format;
    coffer_source source;
    uint64_t entry_id; /* changes with every write: for compare_and_set; 0 in raw namespaces */
    uint64_t created_unix_ms; /* these three by the server's clock; 0 in raw namespaces */
    uint64_t fresh_unix_ms; /* UINT64_MAX: for ever */
    uint64_t expires_unix_ms;
    uint32_t load_cost_ms; /* what the loader took; 0 unknown */
    uint64_t near_version; /* of the copy it came from, for coffer_peek_confirms; 0: it came from elsewhere */
    void *owner; /* coffer_value_clear frees it */
} coffer_value;

/* Options of reads; COFFER_READ_OPTIONS_INIT means: as the namespace says. */
typedef struct coffer_read_options {
    size_t struct_size;
    uint64_t timeout_ms; /* 0: the client's */
    bool accept_stale; /* a stale value is answered (status STALE) instead of a miss */
} coffer_read_options;
#define COFFER_READ_OPTIONS_INIT                                                                                                                     \
    { sizeof(coffer_read_options), 0, false }

/* Options of writes and of what a loader supplies. */
typedef struct coffer_write_options {
    size_t struct_size;
    uint64_t timeout_ms; /* 0: the client's */
    uint64_t ttl_ms; /* 0: the namespace's; COFFER_TTL_FOREVER */
    uint8_t format; /* COFFER_FORMAT_... */
    bool absent; /* store "known to be absent"; the value is ignored and the TTL is the negative one unless given */
} coffer_write_options;
#define COFFER_WRITE_OPTIONS_INIT                                                                                                                    \
    { sizeof(coffer_write_options), 0, 0, COFFER_FORMAT_BYTES, false }

/* One pair of set_many. */
typedef struct coffer_item {
    coffer_slice key;
    coffer_slice value;
    uint8_t format;
} coffer_item;

#ifdef __cplusplus
}
#endif
#endif
