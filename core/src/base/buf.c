#include "buf.h"

#include "alloc.h"

enum { SMALLEST = 64 };

bool coffer__buf_grow(coffer__buf *buf, size_t more) {
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
