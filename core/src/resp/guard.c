#include "guard.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Two ways through a frame:
 *
 *   take_run()     steps over a well-formed frame that lies whole in the input, with nothing copied. It accepts or does not; it never says why.
 *   go_on()        takes what take_run() would not: the frame that is cut, or wrong. It moves the bytes into `tail` (byte by byte in numbers, in
 *                  runs in lines and bodies), remembers where it is, and alone says what is wrong. So the answer does not depend on where the input
 *                  was cut, and a frame's bytes are looked at once, but for the header of the one frame in which an input ends.
 *
 *             + -                    its CRLF
 *   AT_TYPE -------> IN_LINE ----------------------> WHOLE --> AT_TYPE, when what was lent is taken back
 *           \------> IN_NUMBER --------------------/
 *             : * $            \------> IN_BODY ---/
 *                                 $n
 */
enum step { AT_TYPE, IN_LINE, IN_NUMBER, IN_BODY, WHOLE };

enum {
    MOST_DEPTH = 7, /* hiredis 0.14 refuses a ninth array, but keeps the eighth for itself */
    MOST_DIGITS = 19, /* of a signed 64-bit number; any number of so many digits fits an unsigned one */
    HEADER_ROOM = 32, /* type, sign, one digit too many, CRLF */
    SMALLEST_LINE = 64, /* so that a header always fits */
    SMALLEST_TAIL = 256,
    KEEP_BYTES = 16 << 10, /* what an idle guard may go on holding */
    RUN_BYTES = 4 << 10, /* a run ends behind this: hiredis moves what is left of its buffer at each KiB read */
    MESSAGE_CAP = 160
};
#define MOST_BULK_BYTES ((size_t)512 << 20)

/* What has been seen of `-12\r`. */
typedef struct number {
    uint64_t magnitude;
    unsigned digit_count;
    bool negative;
    bool cr;
} number;

struct coffer__guard {
    coffer__guard_limits limits;
    uint64_t reply_count;
    size_t reply_bytes; /* of the reply under way: whole frames, and the declared size of the one under way */
    size_t element_count; /* the same: declared elements, at all depths */
    unsigned depth; /* arrays open */
    size_t due[MOST_DEPTH]; /* elements each still waits for; those of the innermost at due[depth - 1] */
    enum step step;
    number number;
    size_t frame_bytes; /* IN_BODY: header, body and CRLF */
    coffer__buf tail; /* the frame that is not whole yet, or (WHOLE) has just become so */
    bool lent; /* the whole one was handed on */
    coffer_status status;
    char message[MESSAGE_CAP];
};

coffer_status coffer__guard_new(coffer__guard **guard, const coffer__guard_limits *limits) {
    *guard = NULL;
    if (limits->depth > MOST_DEPTH || limits->bulk_bytes > MOST_BULK_BYTES || limits->line_bytes < SMALLEST_LINE) {
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

/* ---- where we are in the reply */

/* A frame that is no open array is done; so are the arrays whose last element it was, and the reply if none is left open. */
static inline void element_done(coffer__guard *guard) {
    while (guard->depth > 0 && --guard->due[guard->depth - 1] == 0) {
        guard->depth--;
    }
    if (guard->depth == 0) {
        guard->reply_count++;
        guard->reply_bytes = 0;
        guard->element_count = 0;
    }
}

static inline bool fits_reply(const coffer__guard *guard, size_t frame_bytes) {
    return frame_bytes <= guard->limits.reply_bytes - guard->reply_bytes;
}

static inline bool fits_elements(const coffer__guard *guard, uint64_t count) {
    return count <= guard->limits.element_count - guard->element_count;
}

static void array_begun(coffer__guard *guard, size_t count) {
    guard->element_count += count;
    guard->due[guard->depth++] = count;
}

/* ---- whole frames in the input */

static inline const char *whole_leaf(coffer__guard *guard, const char *at, const char *behind) {
    size_t frame_bytes = (size_t)(behind - at);
    if (!fits_reply(guard, frame_bytes)) {
        return NULL;
    }
    guard->reply_bytes += frame_bytes;
    element_done(guard);
    return behind;
}

static inline bool is_crlf(const char *at) {
    return memcmp(at, "\r\n", 2) == 0;
}

/* The digits at `at` and their CRLF; gives where they end, or NULL unless all of it is there and in order. */
static inline const char *whole_digits(const char *at, const char *end, uint64_t *out) {
    const char *first = at;
    uint64_t value = 0; /* wraps where there are too many digits, and is not used then */
    for (; at < end && (unsigned char)(*at - '0') <= 9; at++) {
        value = value * 10 + (unsigned char)(*at - '0');
    }
    size_t digit_count = (size_t)(at - first);
    if (end - at < 2 || !is_crlf(at) || digit_count - 1 >= MOST_DIGITS || (*first == '0' && digit_count > 1)) {
        return NULL;
    }
    *out = value;
    return at + 2;
}

/* `$-1` or `*-1` */
static inline const char *whole_nil(coffer__guard *guard, const char *at, const char *end) {
    return end - at < 5 || memcmp(at + 1, "-1\r\n", 4) != 0 ? NULL : whole_leaf(guard, at, at + 5);
}

static inline const char *whole_bulk(coffer__guard *guard, const char *at, const char *end) {
    uint64_t len = 0;
    const char *body = whole_digits(at + 1, end, &len);
    if (body == NULL) {
        return whole_nil(guard, at, end);
    }
    if (len > guard->limits.bulk_bytes || (size_t)(end - body) < len + 2 || !is_crlf(body + len)) {
        return NULL;
    }
    return whole_leaf(guard, at, body + len + 2);
}

static const char *whole_integer(coffer__guard *guard, const char *at, const char *end) {
    uint64_t magnitude = 0;
    bool negative = end - at > 1 && at[1] == '-';
    const char *behind = whole_digits(at + 1 + negative, end, &magnitude);
    if (behind == NULL || magnitude > (uint64_t)INT64_MAX + negative || (negative && magnitude == 0)) {
        return NULL;
    }
    return whole_leaf(guard, at, behind);
}

static const char *whole_array(coffer__guard *guard, const char *at, const char *end) {
    uint64_t count = 0;
    const char *behind = whole_digits(at + 1, end, &count);
    if (behind == NULL) {
        return whole_nil(guard, at, end);
    }
    size_t frame_bytes = (size_t)(behind - at);
    if (guard->depth == guard->limits.depth || !fits_elements(guard, count) || !fits_reply(guard, frame_bytes)) {
        return NULL;
    }
    if (count == 0) {
        return whole_leaf(guard, at, behind);
    }
    guard->reply_bytes += frame_bytes;
    array_begun(guard, (size_t)count);
    return behind;
}

/* A line and its CRLF, with no other CR or LF in it. */
static inline bool is_line(const char *line, size_t len) {
    return line[len - 2] == '\r' && memchr(line, '\r', len - 2) == NULL;
}

static const char *whole_line(coffer__guard *guard, const char *at, const char *end) {
    size_t window = (size_t)(end - at) < guard->limits.line_bytes ? (size_t)(end - at) : guard->limits.line_bytes;
    const char *lf = (const char *)memchr(at, '\n', window);
    if (lf == NULL || !is_line(at, (size_t)(lf + 1 - at))) {
        return NULL;
    }
    return whole_leaf(guard, at, lf + 1);
}

static const char *whole_other(coffer__guard *guard, const char *at, const char *end) {
    switch (*at) {
    case '+':
    case '-':
        return whole_line(guard, at, end);
    case ':':
        return whole_integer(guard, at, end);
    case '*':
        return whole_array(guard, at, end);
    default:
        return NULL;
    }
}

/* The longest run of whole frames at the front of `in`, which is advanced past it. */
static coffer_slice take_run(coffer__guard *guard, coffer_slice *in) {
    const char *end = in->data + in->len;
    const char *enough = in->len < RUN_BYTES ? end : in->data + RUN_BYTES;
    const char *at = in->data;
    while (at < enough) {
        const char *behind = *at == '$' ? whole_bulk(guard, at, end) : whole_other(guard, at, end);
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
    if (!fits_reply(guard, guard->tail.len)) {
        return refuse_reply_bytes(guard);
    }
    guard->reply_bytes += guard->tail.len;
    element_done(guard);
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
        guard->number = (number){0};
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
    if (!is_line(guard->tail.data, guard->tail.len)) {
        return refuse(guard, COFFER_PROTO, "a line holds a bare CR or LF");
    }
    return leaf_in_tail(guard);
}

static coffer_status add_digit(coffer__guard *guard, unsigned digit) {
    number *seen = &guard->number;
    if ((seen->digit_count > 0 && seen->magnitude == 0) || (seen->negative && seen->digit_count == 0 && digit == 0)) {
        return refuse(guard, COFFER_PROTO, "%s begins with a zero", noun(guard));
    }
    if (++seen->digit_count > MOST_DIGITS) {
        bool limit = guard->tail.data[0] != ':' && !seen->negative;
        return refuse(guard, limit ? COFFER_LIMIT : COFFER_PROTO, "%s has more than %d digits", noun(guard), MOST_DIGITS);
    }
    seen->magnitude = seen->magnitude * 10 + digit;
    return COFFER_OK;
}

static coffer_status add_number_byte(coffer__guard *guard, char byte) {
    number *seen = &guard->number;
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
    if (!fits_reply(guard, guard->frame_bytes)) {
        return refuse_reply_bytes(guard);
    }
    guard->step = IN_BODY;
    return COFFER_OK;
}

static coffer_status array_read(coffer__guard *guard) {
    uint64_t count = guard->number.magnitude;
    if (!fits_elements(guard, count)) {
        return refuse(guard, COFFER_LIMIT, "an array of %" PRIu64 " elements brings its reply over the %zu allowed", count,
                      guard->limits.element_count);
    }
    if (guard->depth == guard->limits.depth) {
        return refuse(guard, COFFER_LIMIT, "arrays are nested more than %u deep", guard->limits.depth);
    }
    if (count == 0) {
        return leaf_in_tail(guard);
    }
    if (!fits_reply(guard, guard->tail.len)) {
        return refuse_reply_bytes(guard);
    }
    guard->reply_bytes += guard->tail.len;
    array_begun(guard, (size_t)count);
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
    if (!is_crlf(guard->tail.data + guard->frame_bytes - 2)) {
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

static void take_back(coffer__guard *guard) {
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

/* Else a run goes out of `in`, and if it ends before RUN_BYTES the rest of `in` is the beginning of a frame: it is kept at once, so that the caller's
 * memory is not needed any more. What is wrong behind a run is said at the next call. */
coffer_status coffer__guard_feed(coffer__guard *guard, coffer_slice *in, coffer_slice *frames) {
    *frames = coffer_slice_of(NULL, 0);
    if (guard->status != COFFER_OK) {
        return guard->status;
    }
    if (guard->lent) {
        take_back(guard);
    }
    if (in->len == 0) {
        return COFFER_OK;
    }
    if (guard->tail.len == 0) {
        *frames = take_run(guard, in);
    }
    if (frames->len == 0) {
        return feed_tail(guard, in, frames);
    }
    if (in->len > 0 && frames->len < RUN_BYTES) {
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
