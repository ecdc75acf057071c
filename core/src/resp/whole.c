/* The guard's way through what lies whole in the input: nothing is copied but a reply, once. */
#include "guard_internal.h"

/* What a frame says. */
typedef struct seen_frame {
    coffer__reply_type type;
    const char *text; /* BULK, LINE, ERROR: where its bytes are */
    size_t len; /* as in a node */
    int64_t integer;
} seen_frame;

/* ---- frames: each function gives where the one at `at` ends, NULL unless it is whole and in order; it never says why */

static inline const char *whole_leaf(coffer__guard *guard, const char *at, const char *behind) {
    size_t frame_bytes = (size_t)(behind - at);
    if (!coffer__fits_reply(guard, frame_bytes)) {
        return NULL;
    }
    guard->reply_bytes += frame_bytes;
    coffer__element_done(guard);
    return behind;
}

/* The digits at `at` and their CRLF; gives where they end, or NULL unless all of it is there and in order. */
static inline const char *whole_digits(const char *at, const char *end, uint64_t *out) {
    const char *first = at;
    uint64_t value = 0; /* wraps where there are too many digits, and is not used then */
    for (; at < end && (unsigned char)(*at - '0') <= 9; at++) {
        value = value * 10 + (unsigned char)(*at - '0');
    }
    size_t digit_count = (size_t)(at - first);
    if (end - at < 2 || !coffer__is_crlf(at) || digit_count - 1 >= COFFER__GUARD_DIGITS || (*first == '0' && digit_count > 1)) {
        return NULL;
    }
    *out = value;
    return at + 2;
}

/* `$-1` or `*-1` */
static inline const char *whole_nil(coffer__guard *guard, const char *at, const char *end, seen_frame *frame) {
    frame->type = COFFER__REPLY_NIL;
    return end - at < 5 || memcmp(at + 1, "-1\r\n", 4) != 0 ? NULL : whole_leaf(guard, at, at + 5);
}

static inline const char *whole_bulk(coffer__guard *guard, const char *at, const char *end, seen_frame *frame) {
    uint64_t len = 0;
    const char *body = whole_digits(at + 1, end, &len);
    if (body == NULL) {
        return whole_nil(guard, at, end, frame);
    }
    if (len > guard->limits.bulk_bytes || (size_t)(end - body) < len + 2 || !coffer__is_crlf(body + len)) {
        return NULL;
    }
    frame->type = COFFER__REPLY_BULK;
    frame->text = body;
    frame->len = (size_t)len;
    return whole_leaf(guard, at, body + len + 2);
}

static const char *whole_integer(coffer__guard *guard, const char *at, const char *end, seen_frame *frame) {
    uint64_t magnitude = 0;
    bool negative = end - at > 1 && at[1] == '-';
    const char *behind = whole_digits(at + 1 + negative, end, &magnitude);
    if (behind == NULL || magnitude > (uint64_t)INT64_MAX + negative || (negative && magnitude == 0)) {
        return NULL;
    }
    frame->type = COFFER__REPLY_INTEGER;
    frame->integer = (int64_t)(negative ? 0 - magnitude : magnitude);
    return whole_leaf(guard, at, behind);
}

static const char *whole_array(coffer__guard *guard, const char *at, const char *end, seen_frame *frame) {
    uint64_t count = 0;
    const char *behind = whole_digits(at + 1, end, &count);
    if (behind == NULL) {
        return whole_nil(guard, at, end, frame);
    }
    size_t frame_bytes = (size_t)(behind - at);
    if (guard->depth == guard->limits.depth || !coffer__fits_elements(guard, count) || !coffer__fits_reply(guard, frame_bytes)) {
        return NULL;
    }
    frame->type = COFFER__REPLY_ARRAY;
    frame->len = (size_t)count;
    if (count == 0) {
        return whole_leaf(guard, at, behind);
    }
    guard->reply_bytes += frame_bytes;
    coffer__array_begun(guard, (size_t)count);
    return behind;
}

static const char *whole_line(coffer__guard *guard, const char *at, const char *end, seen_frame *frame) {
    size_t window = (size_t)(end - at) < guard->limits.line_bytes ? (size_t)(end - at) : guard->limits.line_bytes;
    const char *lf = (const char *)memchr(at, '\n', window);
    if (lf == NULL || !coffer__is_line(at, (size_t)(lf + 1 - at))) {
        return NULL;
    }
    frame->type = *at == '-' ? COFFER__REPLY_ERROR : COFFER__REPLY_LINE;
    frame->text = at + 1;
    frame->len = (size_t)(lf - 1 - frame->text);
    return whole_leaf(guard, at, lf + 1);
}

static const char *whole_other(coffer__guard *guard, const char *at, const char *end, seen_frame *frame) {
    switch (*at) {
    case '+':
    case '-':
        return whole_line(guard, at, end, frame);
    case ':':
        return whole_integer(guard, at, end, frame);
    case '*':
        return whole_array(guard, at, end, frame);
    default:
        return NULL;
    }
}

static inline const char *whole_frame(coffer__guard *guard, const char *at, const char *end, seen_frame *frame) {
    return *at == '$' ? whole_bulk(guard, at, end, frame) : whole_other(guard, at, end, frame);
}

/* The longest run of whole frames at the front of `in`, which is advanced past it. */
coffer_slice coffer__guard_take_run(coffer__guard *guard, coffer_slice *in) {
    const char *end = in->data + in->len;
    const char *enough = in->len < COFFER__GUARD_RUN_BYTES ? end : in->data + COFFER__GUARD_RUN_BYTES;
    const char *at = in->data;
    while (at < enough) {
        seen_frame frame;
        const char *behind = whole_frame(guard, at, end, &frame);
        if (behind == NULL) {
            break;
        }
        at = behind;
    }
    coffer_slice run = coffer_slice_of(in->data, (size_t)(at - in->data));
    in->data = at;
    in->len -= run.len;
    return run;
}

/* ---- whole replies in the input */

/* Room is made for so many elements at once, if the input may hold them: what an array declares is not believed. */
enum { SMALLEST_FRAME = 3, ELEMENTS_AT_ONCE = 512 };

static inline size_t expected_elements(size_t declared, size_t left_bytes) {
    size_t most = left_bytes / SMALLEST_FRAME < ELEMENTS_AT_ONCE ? left_bytes / SMALLEST_FRAME : ELEMENTS_AT_ONCE;
    return declared < most ? declared : most;
}

static inline bool add_frame(coffer__reply *reply, const seen_frame *frame, const char *start, size_t left_bytes) {
    coffer__node *node = coffer__reply_add(reply, frame->type);
    if (node == NULL) {
        return false;
    }
    switch (frame->type) {
    case COFFER__REPLY_BULK:
    case COFFER__REPLY_LINE:
    case COFFER__REPLY_ERROR:
        node->offset = (size_t)(frame->text - start);
        node->len = frame->len;
        break;
    case COFFER__REPLY_ARRAY:
        node->len = frame->len;
        return coffer__reply_reserve(reply, expected_elements(frame->len, left_bytes));
    case COFFER__REPLY_INTEGER:
        node->integer = frame->integer;
        break;
    case COFFER__REPLY_NIL:
        break;
    }
    return true;
}

/* Where the reply that begins at `start` ends; NULL unless all of it is there, in order, and fits into `reply`'s memory. */
static const char *whole_reply(coffer__guard *guard, const char *start, const char *end, coffer__reply *reply) {
    const char *at = start;
    uint64_t before = guard->reply_count;
    while (at < end) {
        seen_frame frame;
        at = whole_frame(guard, at, end, &frame);
        if (at == NULL || !add_frame(reply, &frame, start, (size_t)(end - at))) {
            return NULL;
        }
        if (guard->reply_count != before) {
            return coffer__buf_append(&reply->bytes, start, (size_t)(at - start)) ? at : NULL;
        }
    }
    return NULL;
}

/* Between replies nothing is open, so that is also what there is to go back to. */
static coffer_status take_nothing(coffer__guard *guard, uint64_t reply_count) {
    guard->reply_count = reply_count;
    guard->reply_bytes = guard->element_count = guard->depth = 0;
    return COFFER_AGAIN;
}

coffer_status coffer__guard_take(coffer__guard *guard, coffer_slice *in, coffer__reply *reply) {
    coffer__reply_clear(reply);
    if (in->len == 0 || !coffer__guard_between_replies(guard)) {
        return COFFER_AGAIN;
    }
    if (guard->lent) {
        coffer__guard_take_back(guard);
    }
    uint64_t before = guard->reply_count;
    const char *behind = whole_reply(guard, in->data, in->data + in->len, reply);
    if (behind == NULL) {
        return take_nothing(guard, before);
    }
    in->len -= (size_t)(behind - in->data);
    in->data = behind;
    return COFFER_OK;
}
