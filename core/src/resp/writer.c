#include "writer.h"

enum { DIGITS_CAP = 20, HEADER_CAP = 1 + DIGITS_CAP + 2 };

/* Writes `number` in decimal behind `to` and returns where it ends. */
static char *put_decimal(char *to, uint64_t number) {
    if (number < 100) { /* most lengths are */
        if (number >= 10) {
            *to++ = (char)('0' + number / 10);
        }
        *to = (char)('0' + number % 10);
        return to + 1;
    }
    char digits[DIGITS_CAP];
    char *first = digits + DIGITS_CAP;
    for (; number > 0; number /= 10) {
        *--first = (char)('0' + number % 10);
    }
    size_t count = (size_t)(digits + DIGITS_CAP - first);
    memcpy(to, first, count);
    return to + count;
}

static char *put_header(char *to, char type, uint64_t number) {
    *to = type;
    to = put_decimal(to + 1, number);
    to[0] = '\r';
    to[1] = '\n';
    return to + 2;
}

static inline char *put_bulk(char *to, coffer_slice bytes) {
    to = put_header(to, '$', bytes.len);
    if (bytes.len > 0) {
        memcpy(to, bytes.data, bytes.len);
        to += bytes.len;
    }
    to[0] = '\r';
    to[1] = '\n';
    return to + 2;
}

/* What put_bulk may need. False where it cannot be counted. */
static bool add_bulk_room(size_t *room, size_t len) {
    if (len > SIZE_MAX - HEADER_CAP - 2 - *room) {
        return false;
    }
    *room += HEADER_CAP + len + 2;
    return true;
}

static char *end_of(const coffer__buf *out) {
    return out->data + out->len;
}

static void ends_at(coffer__buf *out, const char *end) {
    out->len = (size_t)(end - out->data);
}

bool coffer__write_command(coffer__buf *out, size_t argument_count) {
    if (!coffer__buf_reserve(out, HEADER_CAP)) {
        return false;
    }
    ends_at(out, put_header(end_of(out), '*', argument_count));
    return true;
}

bool coffer__write_slice(coffer__buf *out, coffer_slice argument) {
    size_t room = 0;
    if (!add_bulk_room(&room, argument.len) || !coffer__buf_reserve(out, room)) {
        return false;
    }
    ends_at(out, put_bulk(end_of(out), argument));
    return true;
}

bool coffer__write_integer(coffer__buf *out, int64_t argument) {
    char text[1 + DIGITS_CAP] = "-";
    bool negative = argument < 0;
    uint64_t magnitude = negative ? 0 - (uint64_t)argument : (uint64_t)argument;
    const char *end = put_decimal(text + negative, magnitude);
    return coffer__write_slice(out, coffer_slice_of(text, (size_t)(end - text)));
}

bool coffer__write_argv(coffer__buf *out, const coffer_slice *arguments, size_t count) {
    size_t room = HEADER_CAP;
    for (size_t i = 0; i < count; i++) {
        if (!add_bulk_room(&room, arguments[i].len)) {
            return false;
        }
    }
    if (!coffer__buf_reserve(out, room)) {
        return false;
    }
    char *to = put_header(end_of(out), '*', count);
    for (size_t i = 0; i < count; i++) {
        to = put_bulk(to, arguments[i]);
    }
    ends_at(out, to);
    return true;
}
