/* A growing run of bytes.
 *
 *     coffer__buf out = COFFER__BUF_INIT;
 *     if (!coffer__buf_append(&out, "abc", 3)) return COFFER_NO_MEMORY;
 *     use(out.data, out.len);
 *     coffer__buf_free(&out);
 *
 * Growth doubles. A failed call leaves the buffer as it was.
 */
#ifndef COFFER_BASE_BUF_H
#define COFFER_BASE_BUF_H

#include <coffer/types.h>

#include <string.h>

typedef struct coffer__buf {
    char *data;
    size_t len;
    size_t cap;
} coffer__buf;

#define COFFER__BUF_INIT                                                                                                                             \
    { NULL, 0, 0 }

bool coffer__buf_grow(coffer__buf *buf, size_t more); /* reserve, where there is not that much room yet */
void coffer__buf_consume(coffer__buf *buf, size_t from_front); /* drops bytes at the front */
void coffer__buf_free(coffer__buf *buf);
void coffer__buf_wipe(coffer__buf *buf); /* overwrites all of cap, then frees */

static inline bool coffer__buf_reserve(coffer__buf *buf, size_t more) { /* room for `more` bytes behind len */
    return more <= buf->cap - buf->len || coffer__buf_grow(buf, more);
}

static inline bool coffer__buf_append(coffer__buf *buf, const void *bytes, size_t len) {
    if (!coffer__buf_reserve(buf, len)) {
        return false;
    }
    if (len > 0) {
        memcpy(buf->data + buf->len, bytes, len);
        buf->len += len;
    }
    return true;
}

static inline bool coffer__buf_append_slice(coffer__buf *buf, coffer_slice slice) {
    return coffer__buf_append(buf, slice.data, slice.len);
}

static inline void coffer__buf_clear(coffer__buf *buf) { /* len = 0, keeps the memory */
    buf->len = 0;
}

static inline coffer_slice coffer__buf_slice(const coffer__buf *buf) {
    return coffer_slice_of(buf->data, buf->len);
}

#endif
