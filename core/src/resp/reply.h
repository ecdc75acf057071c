/* Replies: what a server said, read.
 *
 * A reply is a row of nodes in the order they came (an array's node is followed by its elements' nodes), and one run of bytes that they point into:
 *
 *     *2 $1 a *1 :7   ->   [ARRAY 2] [BULK "a"] [ARRAY 1] [INTEGER 7]
 *
 * Nothing here allocates by a declared number: nodes and bytes grow as they come.
 */
#ifndef COFFER_RESP_REPLY_H
#define COFFER_RESP_REPLY_H

#include "base/buf.h"

typedef enum coffer__reply_type {
    COFFER__REPLY_NIL, /* $-1 and *-1 */
    COFFER__REPLY_BULK,
    COFFER__REPLY_LINE, /* +OK */
    COFFER__REPLY_ERROR,
    COFFER__REPLY_INTEGER,
    COFFER__REPLY_ARRAY
} coffer__reply_type;

typedef struct coffer__node {
    coffer__reply_type type;
    int64_t integer; /* INTEGER */
    size_t offset; /* BULK, LINE, ERROR: where in `bytes` */
    size_t len; /* the same: how many; ARRAY: how many elements */
} coffer__node;

/* A reply and the memory it lives in, which is used again for the next one. Zeroed: an empty one. */
typedef struct coffer__reply {
    coffer__node *nodes;
    size_t node_count;
    size_t node_cap;
    coffer__buf bytes;
} coffer__reply;

void coffer__reply_clear(coffer__reply *reply); /* no nodes; keeps up to 16 KiB of memory */
void coffer__reply_free(coffer__reply *reply);
void coffer__reply_swap(coffer__reply *a, coffer__reply *b);
coffer_slice coffer__reply_text(const coffer__reply *reply, size_t node); /* BULK, LINE, ERROR: its bytes, else empty */
size_t coffer__reply_after(const coffer__reply *reply, size_t node); /* index of the node behind this one and all its elements */

/* Room for so many more nodes; false where memory is short. */
bool coffer__reply_reserve(coffer__reply *reply, size_t node_count);

/* The next node, of this type and otherwise zero; the caller fills it in. NULL where memory is short. */
coffer__node *coffer__reply_add(coffer__reply *reply, coffer__reply_type type);

#endif
