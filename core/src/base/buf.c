#include "buf.h"

#include "alloc.h"

enum { SMALLEST = 64 };

bool coffer__buf_reserve(coffer__buf *buf, size_t more) {
    if (more <= buf->cap - buf->len) {
        return true;
    }
    if (more > SIZE_MAX / 4 - buf->len) {
        return false;
    }
    size_t cap = buf->cap < SMALLEST ? SMALLEST : buf->cap;
    while (cap - buf->len < more) {
        cap *= 2;
    }
    char *data = (char *)coffer__resize(buf->data, cap);
    if (data == NULL) {
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

bool coffer__buf_append(coffer__buf *buf, const void *bytes, size_t len) {
    if (!coffer__buf_reserve(buf, len)) {
        return false;
    }
    if (len > 0) {
        memcpy(buf->data + buf->len, bytes, len);
        buf->len += len;
    }
    return true;
}

bool coffer__buf_append_slice(coffer__buf *buf, coffer_slice slice) {
    return coffer__buf_append(buf, slice.data, slice.len);
}

void coffer__buf_clear(coffer__buf *buf) {
    buf->len = 0;
}

void coffer__buf_consume(coffer__buf *buf, size_t from_front) {
    if (from_front >= buf->len) {
        buf->len = 0;
        return;
    }
    memmove(buf->data, buf->data + from_front, buf->len - from_front);
    buf->len -= from_front;
}

void coffer__buf_free(coffer__buf *buf) {
    coffer__release(buf->data);
    *buf = (coffer__buf)COFFER__BUF_INIT;
}

void coffer__buf_wipe(coffer__buf *buf) {
    coffer__wipe(buf->data, buf->cap);
    coffer__buf_free(buf);
}
