#include "guard_internal.h"

#include "base/alloc.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Two ways through a frame:
 *
 *   whole.c        steps over a well-formed frame that lies whole in the input. It accepts or does not; it never says why.
 *   go_on()        takes what whole.c would not: the frame that is cut, or wrong. It moves the bytes into `tail` (byte by byte in numbers, in
 *                  runs in lines and bodies), remembers where it is, and alone says what is wrong. So the answer does not depend on where the input
 *                  was cut, and a frame's bytes are looked at once, but for the header of the one frame in which an input ends.
 *
 *             + -                    its CRLF
 *   AT_TYPE -------> IN_LINE ----------------------> WHOLE --> AT_TYPE, when what was lent is taken back
 *           \------> IN_NUMBER --------------------/
 *             : * $            \------> IN_BODY ---/
 *                                 $n
 */
enum {
    HEADER_ROOM = 32, /* type, sign, one digit too many, CRLF */
    SMALLEST_LINE = 64, /* so that a header always fits */
    SMALLEST_TAIL = 256,
    KEEP_BYTES = 16 << 10 /* what an idle guard may go on holding */
};
#define MOST_BULK_BYTES ((size_t)512 << 20)

coffer_status coffer__guard_new(coffer__guard **guard, const coffer__guard_limits *limits) {
    *guard = NULL;
    if (limits->depth > COFFER__GUARD_DEPTH || limits->bulk_bytes > MOST_BULK_BYTES || limits->line_bytes < SMALLEST_LINE) {
        return COFFER_ARG;
    }
    coffer__guard *made = (coffer__guard *)coffer__alloc_zero(sizeof *made);
    if (made == NULL) {
        return COFFER_NO_MEMORY;
    }
    made->limits = *limits;
    *guard = made;
    return COFFER_OK;
}

void coffer__guard_free(coffer__guard *guard) {
    if (guard == NULL) {
        return;
    }
    coffer__buf_free(&guard->tail);
    coffer__release(guard);
}

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static coffer_status
refuse(coffer__guard *guard, coffer_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(guard->message, sizeof guard->message, format, arguments);
    va_end(arguments);
    coffer__buf_free(&guard->tail);
    guard->status = status;
    return status;
}

/* ---- the frame that is cut, or wrong */

/* Room for `more` bytes in the tail. It doubles as bytes come, but never past `most`, what the frame can come to. */
static bool tail_room(coffer__guard *guard, size_t more, size_t most) {
    coffer__buf *tail = &guard->tail;
    size_t need = tail->len + more;
    if (need <= tail->cap) {
        return true;
    }
    size_t cap = tail->cap * 2 < SMALLEST_TAIL ? SMALLEST_TAIL : tail->cap * 2;
    cap = cap > most ? most : cap;
    cap = cap < need ? need : cap;
    char *data = (char *)coffer__resize(tail->data, cap);
    if (data == NULL) {
        return false;
    }
    tail->data = data;
    tail->cap = cap;
    return true;
}

static coffer_status keep(coffer__guard *guard, coffer_slice *in, size_t count, size_t most) {
    if (!tail_room(guard, count, most)) {
        return COFFER_NO_MEMORY;
    }
    memcpy(guard->tail.data + guard->tail.len, in->data, count);
    guard->tail.len += count;
    in->data += count;
    in->len -= count;
    return COFFER_OK;
}

static const char *noun(const coffer__guard *guard) {
    switch (guard->tail.data[0]) {
    case '$':
        return "the length of a bulk";
    case '*':
        return "the length of an array";
    default:
        return "an integer";
    }
}

static coffer_status refuse_reply_bytes(coffer__guard *guard) {
    return refuse(guard, COFFER_LIMIT, "a reply is larger than the %zu bytes allowed", guard->limits.reply_bytes);
}

static coffer_status leaf_in_tail(coffer__guard *guard) {
    if (!coffer__fits_reply(guard, guard->tail.len)) {
        return refuse_reply_bytes(guard);
    }
    guard->reply_bytes += guard->tail.len;
    coffer__element_done(guard);
    guard->step = WHOLE;
    return COFFER_OK;
}

static coffer_status begin_frame(coffer__guard *guard, coffer_slice *in) {
    char shown[COFFER__SHOWN_CAP];
    char type = in->data[0];
    if (memchr("_%>#,(~|=!", type, 10) != NULL) {
        return refuse(guard, COFFER_PROTO, "a reply of type '%c' belongs to RESP3, which was never asked for", type);
    }
    if (memchr("+-:$*", type, 5) == NULL) {
        return refuse(guard, COFFER_PROTO, "no reply of the Redis protocol begins with '%s'", coffer__show(coffer_slice_of(in->data, 1), shown));
    }
    coffer_status status = keep(guard, in, 1, SMALLEST_TAIL);
    if (status == COFFER_OK) {
        guard->step = type == '+' || type == '-' ? IN_LINE : IN_NUMBER;
        guard->number = (coffer__number){0};
    }
    return status;
}

static coffer_status go_on_line(coffer__guard *guard, coffer_slice *in) {
    size_t most = guard->limits.line_bytes;
    size_t window = in->len < most - guard->tail.len ? in->len : most - guard->tail.len;
    const char *lf = (const char *)memchr(in->data, '\n', window);
    coffer_status status = keep(guard, in, lf == NULL ? window : (size_t)(lf + 1 - in->data), most);
    if (status != COFFER_OK) {
        return status;
    }
    if (lf == NULL) {
        return guard->tail.len < most ? COFFER_OK : refuse(guard, COFFER_LIMIT, "a line is longer than the %zu bytes allowed", most);
    }
    if (!coffer__is_line(guard->tail.data, guard->tail.len)) {
        return refuse(guard, COFFER_PROTO, "a line holds a bare CR or LF");
    }
    return leaf_in_tail(guard);
}

static coffer_status add_digit(coffer__guard *guard, unsigned digit) {
    coffer__number *seen = &guard->number;
    if ((seen->digit_count > 0 && seen->magnitude == 0) || (seen->negative && seen->digit_count == 0 && digit == 0)) {
        return refuse(guard, COFFER_PROTO, "%s begins with a zero", noun(guard));
    }
    if (++seen->digit_count > COFFER__GUARD_DIGITS) {
        bool limit = guard->tail.data[0] != ':' && !seen->negative;
        return refuse(guard, limit ? COFFER_LIMIT : COFFER_PROTO, "%s has more than %d digits", noun(guard), COFFER__GUARD_DIGITS);
    }
    seen->magnitude = seen->magnitude * 10 + digit;
    return COFFER_OK;
}

static coffer_status add_number_byte(coffer__guard *guard, char byte) {
    coffer__number *seen = &guard->number;
    if (seen->cr) {
        return byte == '\n' ? COFFER_OK : refuse(guard, COFFER_PROTO, "%s is not followed by CRLF", noun(guard));
    }
    if (byte >= '0' && byte <= '9') {
        return add_digit(guard, (unsigned)(byte - '0'));
    }
    if (byte == '-' && !seen->negative && seen->digit_count == 0) {
        seen->negative = true;
        return COFFER_OK;
    }
    if (byte == '\r' && seen->digit_count > 0) {
        seen->cr = true;
        return COFFER_OK;
    }
    char shown[COFFER__SHOWN_CAP];
    return refuse(guard, COFFER_PROTO, "%s holds '%s'", noun(guard), coffer__show(coffer_slice_of(&byte, 1), shown));
}

static coffer_status integer_read(coffer__guard *guard) {
    if (guard->number.magnitude > (uint64_t)INT64_MAX + guard->number.negative) {
        return refuse(guard, COFFER_PROTO, "an integer does not fit 64 bits");
    }
    return leaf_in_tail(guard);
}

static coffer_status bulk_read(coffer__guard *guard) {
    uint64_t len = guard->number.magnitude;
    if (len > guard->limits.bulk_bytes) {
        return refuse(guard, COFFER_LIMIT, "a bulk of %" PRIu64 " bytes is larger than the %zu allowed", len, guard->limits.bulk_bytes);
    }
    guard->frame_bytes = guard->tail.len + (size_t)len + 2;
    if (!coffer__fits_reply(guard, guard->frame_bytes)) {
        return refuse_reply_bytes(guard);
    }
    guard->step = IN_BODY;
    return COFFER_OK;
}

static coffer_status array_read(coffer__guard *guard) {
    uint64_t count = guard->number.magnitude;
    if (!coffer__fits_elements(guard, count)) {
        return refuse(guard, COFFER_LIMIT, "an array of %" PRIu64 " elements brings its reply over the %zu allowed", count,
                      guard->limits.element_count);
    }
    if (guard->depth == guard->limits.depth) {
        return refuse(guard, COFFER_LIMIT, "arrays are nested more than %u deep", guard->limits.depth);
    }
    if (count == 0) {
        return leaf_in_tail(guard);
    }
    if (!coffer__fits_reply(guard, guard->tail.len)) {
        return refuse_reply_bytes(guard);
    }
    guard->reply_bytes += guard->tail.len;
    coffer__array_begun(guard, (size_t)count);
    guard->step = WHOLE;
    return COFFER_OK;
}

static coffer_status number_read(coffer__guard *guard) {
    char type = guard->tail.data[0];
    if (type == ':') {
        return integer_read(guard);
    }
    if (guard->number.negative) {
        return guard->number.magnitude == 1 ? leaf_in_tail(guard) : refuse(guard, COFFER_PROTO, "%s is negative", noun(guard));
    }
    return type == '$' ? bulk_read(guard) : array_read(guard);
}

static coffer_status go_on_number(coffer__guard *guard, coffer_slice *in) {
    char byte = in->data[0];
    coffer_status status = keep(guard, in, 1, HEADER_ROOM);
    if (status == COFFER_OK) {
        status = add_number_byte(guard, byte);
    }
    return status == COFFER_OK && byte == '\n' ? number_read(guard) : status;
}

static coffer_status go_on_body(coffer__guard *guard, coffer_slice *in) {
    size_t missing = guard->frame_bytes - guard->tail.len;
    coffer_status status = keep(guard, in, in->len < missing ? in->len : missing, guard->frame_bytes);
    if (status != COFFER_OK || guard->tail.len < guard->frame_bytes) {
        return status;
    }
    if (!coffer__is_crlf(guard->tail.data + guard->frame_bytes - 2)) {
        return refuse(guard, COFFER_PROTO, "a bulk of %" PRIu64 " bytes is not followed by CRLF", guard->number.magnitude);
    }
    return leaf_in_tail(guard);
}

/* Moves bytes of `in` to the tail until it is a whole frame, wrong, or all were taken. */
static coffer_status go_on(coffer__guard *guard, coffer_slice *in) {
    static coffer_status (*const steps[])(coffer__guard *, coffer_slice *) = {
        [AT_TYPE] = begin_frame, [IN_LINE] = go_on_line, [IN_NUMBER] = go_on_number, [IN_BODY] = go_on_body};
    coffer_status status = COFFER_OK;
    while (status == COFFER_OK && in->len > 0 && guard->step != WHOLE) {
        status = steps[guard->step](guard, in);
    }
    return status;
}

/* ---- the outside */

void coffer__guard_take_back(coffer__guard *guard) {
    guard->step = AT_TYPE;
    guard->lent = false;
    coffer__buf_clear(&guard->tail);
    if (guard->tail.cap > KEEP_BYTES) {
        coffer__buf_free(&guard->tail);
    }
}

/* A frame that was cut goes out alone, from the tail. */
static coffer_status feed_tail(coffer__guard *guard, coffer_slice *in, coffer_slice *frames) {
    coffer_status status = go_on(guard, in);
    if (guard->step == WHOLE) {
        guard->lent = true;
        *frames = coffer__buf_slice(&guard->tail);
    }
    return status;
}

/* Else a run goes out of `in`, and if it ends before COFFER__GUARD_RUN_BYTES the rest of `in` is the beginning of a frame: it is kept at once, so that the caller's
 * memory is not needed any more. What is wrong behind a run is said at the next call. */
coffer_status coffer__guard_feed(coffer__guard *guard, coffer_slice *in, coffer_slice *frames) {
    *frames = coffer_slice_of(NULL, 0);
    if (guard->status != COFFER_OK) {
        return guard->status;
    }
    if (guard->lent) {
        coffer__guard_take_back(guard);
    }
    if (in->len == 0) {
        return COFFER_OK;
    }
    if (guard->tail.len == 0) {
        *frames = coffer__guard_take_run(guard, in);
    }
    if (frames->len == 0) {
        return feed_tail(guard, in, frames);
    }
    if (in->len > 0 && frames->len < COFFER__GUARD_RUN_BYTES) {
        go_on(guard, in);
    }
    return COFFER_OK;
}

uint64_t coffer__guard_reply_count(const coffer__guard *guard) {
    return guard->reply_count;
}

bool coffer__guard_between_replies(const coffer__guard *guard) {
    return guard->status == COFFER_OK && guard->depth == 0 && (guard->step == AT_TYPE || guard->step == WHOLE);
}

const char *coffer__guard_message(const coffer__guard *guard) {
    return guard->message;
}
