/* Between an operation and the stored form: what a reply holds, judged as a reader has to; and what a write stores. */
#ifndef COFFER_OPS_ENTRY_H
#define COFFER_OPS_ENTRY_H

#include "engine/engine.h"

typedef enum coffer__found {
    COFFER__FOUND_NOTHING,
    COFFER__FOUND_DEAD, /* something is there that no reader may have: refused (counted by reason), or past its life */
    COFFER__FOUND_NEGATIVE, /* a remembered absence, fresh */
    COFFER__FOUND_STALE, /* past its freshness, within its life */
    COFFER__FOUND_FRESH
} coffer__found;

/* What a reader saw: enough to write over it only while it is still the same. */
typedef struct coffer__seen {
    coffer__found found;
    coffer__entry entry; /* of STALE and FRESH; slices into the reply or the scratch */
    uint8_t id[8]; /* bytes 8 to 15 of what is there, as far as they go */
    size_t id_len;
    bool near; /* in a near copy, not on the server */
    uint64_t near_version; /* of that copy */
} coffer__seen;

/* Judges what is stored at this node of a reply, a BULK or NIL, for this key of the caller. Counts refusals. `scratch` holds what had to be
 * decompressed or opened, as long as the entry is used. In raw namespaces whatever is there is FRESH.
 * False: it could not be told (NO_MEMORY, or INTERNAL of the cryptographic library), and the op is finished. */
bool coffer__judge(coffer_op *op, coffer_slice key, const coffer__reply *reply, size_t node, coffer__buf *scratch, coffer__seen *seen);

/* The same of bytes that are there. */
bool coffer__judge_bytes(coffer_op *op, coffer_slice key, coffer_slice bytes, coffer__buf *scratch, coffer__seen *seen);

/* The same without an op, by the clock of now_ms: nothing is counted. OK, or why the entry was refused (`seen` says DEAD); NO_MEMORY and INTERNAL say
 * nothing about it. */
coffer_status coffer__judge_stored(const coffer_namespace *ns, coffer_slice key, coffer_slice bytes, uint64_t now_ms, coffer__buf *scratch,
                                   coffer__seen *seen);

/* The value that a reader gets of what was seen. */
coffer_value coffer__seen_value(const coffer_namespace *ns, const coffer__seen *seen);

/* A read that ends with what was seen: a value, a stale one where that is accepted, a remembered absence or a miss. Sets the op's value, counts, finishes. */
void coffer__finish_read(coffer_op *op, const coffer__seen *seen, bool accept_stale);

/* One write: what is stored under the key and for how long. */
typedef struct coffer__stored {
    size_t offset, len; /* in the buffer it was composed into */
    uint64_t life_ms; /* for the server; COFFER_TTL_FOREVER */
    uint64_t entry_id; /* 0 in raw namespaces */
    coffer__entry entry;
} coffer__stored;

/* Refuses a write's options and value in words (ARG, TOO_LARGE, UNSUPPORTED): the op is finished and false given. */
bool coffer__check_write(coffer_op *op, coffer_slice value, const coffer_write_options *options);

/* Appends the stored form of a value to `out`. `load_cost_ms` 0 for a plain write. Statuses of coffer__envelope_write. */
coffer_status coffer__compose(coffer_op *op, coffer_slice key, coffer_slice value, const coffer_write_options *options, uint32_t load_cost_ms,
                              coffer__buf *out, coffer__stored *stored);

/* The same for an entry whose times are given (expire). The entry gets a new id. */
coffer_status coffer__compose_entry(coffer_op *op, coffer_slice key, coffer__entry *entry, coffer__buf *out, coffer__stored *stored);

/* A call that stores it: SET, with NX or XX (condition NULL: neither); or only while the key is as it was seen. NULL: the op is finished. */
coffer_call *coffer__call_set(coffer_op *op, const coffer__buf *buf, const coffer__stored *stored, const char *condition);
coffer_call *coffer__call_store_if(coffer_op *op, const coffer__buf *buf, const coffer__stored *stored, const coffer__seen *seen);

/* A write to the op's key begins or has ended: loads of it that are under way may not store. */
void coffer__key_changes(coffer_op *op);

/* The call's status; SERVER where it was answered with another type than this, or another number than one up to `most`. And why that is not OK, in the op's
 * message. */
coffer_status coffer__reply_status(const coffer_call *call, coffer__reply_type type);
coffer_status coffer__reply_count_status(const coffer_call *call, size_t most);
void coffer__reply_say(coffer_op *op, const coffer_call *call);

/* Whether the reply is of this type; else the op is finished with a sentence about an unexpected reply. */
bool coffer__reply_is(coffer_op *op, const coffer_call *call, coffer__reply_type type);

/* The same for what is stored under a key: BULK or NIL. */
bool coffer__reply_is_stored(coffer_op *op, const coffer_call *call);
/* The same for an INTEGER that counts up to `most`. */
bool coffer__reply_counts(coffer_op *op, const coffer_call *call, size_t most);

/* Where the cache is turned off: counted, and the keys of a write remembered. On the op's key, or on these. */
bool coffer__is_bypassed(coffer_op *op);
bool coffer__is_bypassed_many(coffer_op *op, const coffer_slice *wire_keys, size_t count);

/* Where a reader does not want options: the defaults. */
coffer_read_options coffer__read_options(const coffer_read_options *options);
coffer_write_options coffer__write_options(const coffer_write_options *options);

#endif
