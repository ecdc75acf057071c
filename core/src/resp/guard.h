/* Sees every byte before the reader does, and hands on only complete, verified frames: an array header, a line, or a bulk with its CRLF.
 *
 *                               /-> replies that lie whole in the input: most of them
 *     input, cut anywhere ->  guard  -> runs of whole frames -> reader -> replies that came in pieces
 *                               \-> keeps the tail of a frame that is not whole yet
 *
 * What hiredis' reader lets pass (the two bytes after a bulk are skipped unseen, *2147483647 asks for 17 GB) ends here: limits are checked on the
 * declared number, before anything is allocated for it. See docs/architecture.md for the rules and their sources.
 * PROTO: malformed, or a RESP3 type (never asked for). LIMIT: larger than allowed. Both are final for the guard. NO_MEMORY is not: nothing was
 * lost, the call may be made again with what is left of `in`.
 */
#ifndef COFFER_RESP_GUARD_H
#define COFFER_RESP_GUARD_H

#include "reply.h"
#include <coffer/status.h>

typedef struct coffer__guard coffer__guard;

typedef struct coffer__guard_limits {
    size_t line_bytes; /* 64 KiB, its type byte and CRLF among them; 64 bytes at least */
    size_t bulk_bytes; /* 64 MiB; 512 MiB at most */
    size_t reply_bytes; /* 128 MiB: one whole reply */
    size_t element_count; /* 1 Mi: of one array, and of a reply in all */
    unsigned depth; /* 7 nested arrays at most */
} coffer__guard_limits;
#define COFFER__GUARD_LIMITS_INIT                                                                                                                    \
    { 64u << 10, 64u << 20, 128u << 20, 1u << 20, 7 }

/* ARG where a limit is beyond what its line above says. */
coffer_status coffer__guard_new(coffer__guard **guard, const coffer__guard_limits *limits);
void coffer__guard_free(coffer__guard *guard);

/* Looks at `in` (advanced past what was taken) and gives in `frames` the next run of whole frames, which is lent until the next call and
 * may point into `in` or into the guard. `frames->len` 0 with OK: all of `in` was taken and no more frames are whole. Call until then.
 * No frame of the run is handed on before it was verified to its end. */
coffer_status coffer__guard_feed(coffer__guard *guard, coffer_slice *in, coffer_slice *frames);

/* The reply at the front of `in` (advanced past it) into `reply` (cleared first), where it lies there whole and in order. AGAIN where it does not, or
 * memory is short, or a reply is under way: nothing was taken, and feed() goes on with it, or says what is wrong. What the reader would read of the
 * same bytes, with each looked at once and copied once. */
coffer_status coffer__guard_take(coffer__guard *guard, coffer_slice *in, coffer__reply *reply);

/* How many whole replies have been handed on since the start; whether the input so far ends between two replies. */
uint64_t coffer__guard_reply_count(const coffer__guard *guard);
bool coffer__guard_between_replies(const coffer__guard *guard);

/* Why it failed: "a bulk of 5 bytes is not followed by CRLF". "" while all is well. Lives on the guard. */
const char *coffer__guard_message(const coffer__guard *guard);

#endif
