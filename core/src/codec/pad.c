#include "codec/pad.h"

#include <coffer/options.h>

static const char FIRST = (char)0x80;

static unsigned floor_log2(size_t number) {
    unsigned log = 0;
    for (; number > 1; number >>= 1) {
        log++;
    }
    return log;
}

/* Only the highest bits of a length may be set: as many as it takes to write its exponent. */
static size_t padme(size_t len) {
    unsigned exponent = floor_log2(len);
    unsigned kept = floor_log2(exponent) + 1;
    size_t low = ((size_t)1 << (exponent > kept ? exponent - kept : 0)) - 1;
    return (len + low) & ~low;
}

size_t coffer__padded_bytes(size_t body_bytes, int pad) {
    size_t least = body_bytes + 1;
    if (pad == COFFER_PAD_64) {
        return (least + 63) / 64 * 64;
    }
    return pad == COFFER_PAD_PADME ? padme(least) : least;
}

void coffer__pad_write(char *at, size_t pad_bytes) {
    memset(at, 0, pad_bytes);
    at[0] = FIRST;
}

coffer_status coffer__pad_strip(coffer_slice *body) {
    size_t len = body->len;
    while (len > 0 && body->data[len - 1] == 0) {
        len--;
    }
    if (len == 0 || body->data[len - 1] != FIRST) {
        return COFFER_BAD_PAD;
    }
    body->len = len - 1;
    return COFFER_OK;
}
