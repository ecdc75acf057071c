/* The two or three types that every other header speaks of.
 *
 *     coffer_slice key = COFFER_SLICE("user:42");           a literal
 *     coffer_slice raw = coffer_slice_of(bytes, length);    anything else
 *
 * A slice lends; it never owns. Each function says how long what it was lent must stay.
 */
#ifndef COFFER_TYPES_H
#define COFFER_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#error "coffer is for POSIX systems"
#endif
#if defined(__GNUC__)
#define COFFER_API __attribute__((visibility("default")))
#else
#define COFFER_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that somebody else owns. `data` may be NULL when `len` is 0. Not NUL-terminated. */
typedef struct coffer_slice {
    const char *data;
    size_t len;
} coffer_slice;

static inline coffer_slice coffer_slice_of(const void *data, size_t len) {
    coffer_slice slice = {(const char *)data, len};
    return slice;
}

static inline coffer_slice coffer_slice_text(const char *text) {
    return coffer_slice_of(text, text == NULL ? 0 : strlen(text));
}

static inline bool coffer_slice_equal(coffer_slice a, coffer_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#define COFFER_SLICE(literal) coffer_slice_of("" literal, sizeof(literal) - 1)

/* A time to live that never ends. It has to be said: 0 and negative numbers are refused. */
#define COFFER_TTL_FOREVER UINT64_MAX

typedef struct coffer_options coffer_options; /* options.h */
typedef struct coffer_cache coffer_cache; /* cache.h */
typedef struct coffer_client coffer_client; /* driver.h */
typedef struct coffer_namespace coffer_namespace; /* driver.h */
typedef struct coffer_op coffer_op; /* driver.h */

#ifdef __cplusplus
}
#endif
#endif
