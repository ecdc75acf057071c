/* Bytes through guard and reader, as a conn does it, with the replies written down as text. */
#ifndef COFFER_TESTS_FUZZ_READING_H
#define COFFER_TESTS_FUZZ_READING_H

#include "fuzz.h"

#include "resp/guard.h"
#include "resp/reader.h"

typedef struct reading {
    coffer__guard *guard;
    coffer__reader *reader;
    coffer__reply reply;
    notes text, frames; /* what came out, and what the guard had let through */
    coffer_status status;
    size_t reply_count;
} reading;

static inline void write_integer(notes *to, long long integer) {
    char text[32];
    snprintf(text, sizeof text, ":%lld ", integer);
    note_text(to, text);
}

static inline void write_text(notes *to, char sign, const char *bytes, size_t len) {
    char text[32];
    snprintf(text, sizeof text, "%c%zu ", sign, len);
    note_text(to, text);
    note(to, bytes, len);
}

static inline void write_reply(notes *to, const coffer__reply *reply) {
    static const char signs[] = {[COFFER__REPLY_BULK] = '$', [COFFER__REPLY_LINE] = '+', [COFFER__REPLY_ERROR] = '-'};
    for (size_t at = 0; at < reply->node_count; at++) {
        const coffer__node *node = &reply->nodes[at];
        if (node->type == COFFER__REPLY_INTEGER) {
            write_integer(to, node->integer);
        } else if (node->type == COFFER__REPLY_ARRAY) {
            write_text(to, '*', NULL, 0);
            write_integer(to, (long long)node->len);
        } else if (node->type == COFFER__REPLY_NIL) {
            note_text(to, "nil ");
        } else {
            coffer_slice text = coffer__reply_text(reply, at);
            write_text(to, signs[node->type], text.data, text.len);
        }
    }
    note_text(to, "\n");
}

static inline void reading_begin(reading *r, const coffer__guard_limits *limits) {
    *r = (reading){0};
    MUST(coffer__guard_new(&r->guard, limits) == COFFER_OK);
    MUST(coffer__reader_new(&r->reader) == COFFER_OK);
}

static inline void reading_end(reading *r) {
    coffer__guard_free(r->guard);
    coffer__reader_free(r->reader);
    coffer__reply_free(&r->reply);
    notes_free(&r->text);
    notes_free(&r->frames);
}

static inline void write_down(reading *r) {
    MUST(coffer__reply_after(&r->reply, 0) == r->reply.node_count);
    write_reply(&r->text, &r->reply);
    r->reply_count++;
}

/* What the guard has verified, the reader must read. */
static inline void read_frames(reading *r, coffer_slice frames) {
    note(&r->frames, frames.data, frames.len);
    coffer_status status = coffer__reader_feed(r->reader, frames);
    while (status == COFFER_OK) {
        status = coffer__reader_next(r->reader, &r->reply);
        if (status == COFFER_OK) {
            write_down(r);
        }
    }
    MUST(status == COFFER_AGAIN);
}

/* Replies that lie whole in the input. */
static inline void take_whole(reading *r, coffer_slice *in) {
    const char *from = in->data;
    while (coffer__guard_take(r->guard, in, &r->reply) == COFFER_OK) {
        note(&r->frames, from, (size_t)(in->data - from));
        from = in->data;
        write_down(r);
    }
}

/* One piece, in memory of its own that is gone afterwards. */
static inline void reading_feed(reading *r, coffer_slice piece) {
    char *copy = alone(piece);
    coffer_slice in = coffer_slice_of(copy, piece.len), frames = {NULL, 1};
    while (r->status == COFFER_OK && frames.len > 0) {
        take_whole(r, &in);
        r->status = coffer__guard_feed(r->guard, &in, &frames);
        if (frames.len > 0) {
            MUST(r->status == COFFER_OK);
            read_frames(r, frames);
        }
    }
    free(copy);
    MUST(r->reply_count == coffer__guard_reply_count(r->guard));
}

#endif
