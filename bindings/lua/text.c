#include "native.h"

#include <stdlib.h>

bool coffer__lua_text_reserve(coffer__lua_text *text, size_t more) {
    if (text->cap - text->len >= more) {
        return true;
    }
    size_t cap = text->cap < 128 ? 128 : text->cap;
    while (cap - text->len < more) {
        if (cap > SIZE_MAX / 2) {
            return false;
        }
        cap *= 2;
    }
    char *data = realloc(text->data, cap);
    if (data == NULL) {
        return false;
    }
    text->data = data;
    text->cap = cap;
    return true;
}

bool coffer__lua_text_append(coffer__lua_text *text, const char *data, size_t len) {
    if (!coffer__lua_text_reserve(text, len)) {
        return false;
    }
    if (len > 0) {
        memcpy(text->data + text->len, data, len);
        text->len += len;
    }
    return true;
}

void coffer__lua_text_free(coffer__lua_text *text) {
    free(text->data);
    *text = (coffer__lua_text){NULL, 0, 0};
}

/* The lengths that first bytes announce, and what the second byte may be (Unicode 15, table 3-7). */
typedef struct lead {
    unsigned char first, last; /* of the first byte */
    unsigned char length;
    unsigned char low, high; /* of the second byte */
} lead;

static const lead LEADS[] = {
    {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF}, {0xE1, 0xEC, 3, 0x80, 0xBF}, {0xED, 0xED, 3, 0x80, 0x9F},
    {0xEE, 0xEF, 3, 0x80, 0xBF}, {0xF0, 0xF0, 4, 0x90, 0xBF}, {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

static const lead *lead_of(unsigned char byte) {
    for (size_t i = 0; i < sizeof LEADS / sizeof LEADS[0]; i++) {
        if (byte >= LEADS[i].first && byte <= LEADS[i].last) {
            return &LEADS[i];
        }
    }
    return NULL;
}

/* The length of the sequence of two or more bytes at `bytes`, 0 where it is none. */
static size_t sequence(const unsigned char *bytes, size_t left) {
    const lead *row = lead_of(bytes[0]);
    if (row == NULL || left < row->length || bytes[1] < row->low || bytes[1] > row->high) {
        return 0;
    }
    for (size_t i = 2; i < row->length; i++) {
        if ((bytes[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return row->length;
}

/* How many of the first bytes are ASCII, eight at a time. */
static size_t ascii_run(const unsigned char *bytes, size_t len) {
    size_t i = 0;
    uint64_t word;
    for (; len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        if ((word & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
    }
    while (i < len && bytes[i] < 0x80) {
        i++;
    }
    return i;
}

bool coffer__lua_is_utf8(coffer_slice data) {
    const unsigned char *bytes = (const unsigned char *)data.data;
    size_t i = 0;
    while (i < data.len) {
        i += ascii_run(bytes + i, data.len - i);
        if (i == data.len) {
            return true;
        }
        size_t length = sequence(bytes + i, data.len - i);
        if (length == 0) {
            return false;
        }
        i += length;
    }
    return true;
}
