/* What the fuzz targets share. A target is a file named after the property that has to hold, with one function:
 *
 *     int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);      any bytes; aborts through MUST where the property does not hold
 *
 * libFuzzer calls it with bytes of its own making (`./dev fuzz`); replay.c calls it with the files of corpus/<target>, in the ordinary tests.
 */
#ifndef COFFER_TESTS_FUZZ_H
#define COFFER_TESTS_FUZZ_H

#include <coffer/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(holds)                                                                                                                                  \
    do {                                                                                                                                             \
        if (!(holds)) {                                                                                                                              \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds);                                                               \
            abort();                                                                                                                                 \
        }                                                                                                                                            \
    } while (0)

/* The input as a row of choices; 0 and nothing once it is used up. */
typedef struct choices {
    const uint8_t *at;
    size_t left;
} choices;

static inline uint8_t next_byte(choices *from) {
    if (from->left == 0) {
        return 0;
    }
    from->left--;
    return *from->at++;
}

static inline unsigned next_pair(choices *from) {
    unsigned high = next_byte(from);
    return high << 8 | next_byte(from);
}

static inline coffer_slice next_slice(choices *from, size_t len) {
    coffer_slice taken = coffer_slice_of(from->at, len < from->left ? len : from->left);
    from->at += taken.len;
    from->left -= taken.len;
    return taken;
}

/* A copy in memory of exactly its size, so that a sanitizer sees a byte too far; free() it. */
static inline char *alone(coffer_slice bytes) {
    char *copy = (char *)malloc(bytes.len == 0 ? 1 : bytes.len);
    MUST(copy != NULL);
    if (bytes.len > 0) {
        memcpy(copy, bytes.data, bytes.len);
    }
    return copy;
}

/* Memory of the harness's own, which does not go through the library's allocator: that may be watched, or run dry. */
typedef struct notes {
    char *data;
    size_t len, cap;
} notes;

static inline void note(notes *to, const void *bytes, size_t len) {
    if (to->len + len + 1 > to->cap) {
        to->cap = (to->len + len + 1) * 2;
        to->data = (char *)realloc(to->data, to->cap);
        MUST(to->data != NULL);
    }
    if (len > 0) {
        memcpy(to->data + to->len, bytes, len);
    }
    to->len += len;
    to->data[to->len] = '\0';
}

static inline void note_text(notes *to, const char *text) {
    note(to, text, strlen(text));
}

static inline void notes_drop(notes *from, size_t len) {
    memmove(from->data, from->data + len, from->len - len);
    from->len -= len;
}

static inline void notes_free(notes *of) {
    free(of->data);
    *of = (notes){0};
}

/* What is read must be there: a sanitizer sees it if not. */
static inline void touch(coffer_slice bytes) {
    static volatile uint8_t seen;
    for (size_t i = 0; i < bytes.len; i++) {
        seen = (uint8_t)(seen ^ (uint8_t)bytes.data[i]);
    }
}

#endif
