/* The guard, for the two files that make it: guard.c and whole.c. */
#ifndef COFFER_RESP_GUARD_INTERNAL_H
#define COFFER_RESP_GUARD_INTERNAL_H

#include "guard.h"

enum coffer__guard_step { AT_TYPE, IN_LINE, IN_NUMBER, IN_BODY, WHOLE }; /* guard.c draws it */

enum {
    COFFER__GUARD_DEPTH = 7, /* hiredis 0.14 refuses a ninth array, but keeps the eighth for itself */
    COFFER__GUARD_DIGITS = 19, /* of a signed 64-bit number; any number of so many digits fits an unsigned one */
    COFFER__GUARD_RUN_BYTES = 4 << 10, /* a run ends behind this: hiredis moves what is left of its buffer at each KiB read */
    COFFER__GUARD_MESSAGE_CAP = 160
};

/* What has been seen of `-12\r`. */
typedef struct coffer__number {
    uint64_t magnitude;
    unsigned digit_count;
    bool negative;
    bool cr;
} coffer__number;

struct coffer__guard {
    coffer__guard_limits limits;
    uint64_t reply_count;
    size_t reply_bytes; /* of the reply under way: whole frames, and the declared size of the one under way */
    size_t element_count; /* the same: declared elements, at all depths */
    unsigned depth; /* arrays open */
    size_t due[COFFER__GUARD_DEPTH]; /* elements each still waits for; those of the innermost at due[depth - 1] */
    enum coffer__guard_step step;
    coffer__number number;
    size_t frame_bytes; /* IN_BODY: header, body and CRLF */
    coffer__buf tail; /* the frame that is not whole yet, or (WHOLE) has just become so */
    bool lent; /* the whole one was handed on */
    coffer_status status;
    char message[COFFER__GUARD_MESSAGE_CAP];
};

/* ---- where we are in the reply */

/* A frame that is no open array is done; so are the arrays whose last element it was, and the reply if none is left open. */
static inline void coffer__element_done(coffer__guard *guard) {
    while (guard->depth > 0 && --guard->due[guard->depth - 1] == 0) {
        guard->depth--;
    }
    if (guard->depth == 0) {
        guard->reply_count++;
        guard->reply_bytes = 0;
        guard->element_count = 0;
    }
}

static inline bool coffer__fits_reply(const coffer__guard *guard, size_t frame_bytes) {
    return frame_bytes <= guard->limits.reply_bytes - guard->reply_bytes;
}

static inline bool coffer__fits_elements(const coffer__guard *guard, uint64_t count) {
    return count <= guard->limits.element_count - guard->element_count;
}

static inline void coffer__array_begun(coffer__guard *guard, size_t count) {
    guard->element_count += count;
    guard->due[guard->depth++] = count;
}

static inline bool coffer__is_crlf(const char *at) {
    return memcmp(at, "\r\n", 2) == 0;
}

/* A line and its CRLF, with no other CR or LF in it. */
static inline bool coffer__is_line(const char *line, size_t len) {
    return line[len - 2] == '\r' && memchr(line, '\r', len - 2) == NULL;
}

/* whole.c: the longest run of whole frames at the front of `in`, which is advanced past it. */
coffer_slice coffer__guard_take_run(coffer__guard *guard, coffer_slice *in);

/* guard.c: the frame that was lent is no longer needed. */
void coffer__guard_take_back(coffer__guard *guard);

#endif
