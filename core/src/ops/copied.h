/* Reads that near copies of the server's values may answer, and what makes such copies of its replies (near/copies.h). All of it does nothing where the
 * namespace has none. */
#ifndef COFFER_OPS_COPIED_H
#define COFFER_OPS_COPIED_H

#include "entry.h"
#include "near/copies.h"

/* Looks at the copy of the key; one that is owed its deletion has none, whoever kept it. True: `seen` is what a reply would have said, FRESH, NEGATIVE or NOTHING (the server was asked a while ago, and had nothing); its
 * entry lies in `bytes` or `scratch`. False: the server has to be asked. */
bool coffer__copied_look(coffer_op *op, coffer_slice key, coffer_slice wire_key, coffer__buf *bytes, coffer__buf *scratch, coffer__seen *seen);

/* The same without an op, for a get by the clock of now_ms, which may be behind; `bytes` is emptied first. That the namespace has copies, is on, and owes the key
 * nothing is the caller's to see to. */
bool coffer__copied_peek(const coffer_namespace *ns, coffer_slice key, coffer_slice wire_key, uint64_t now_ms, coffer__buf *bytes,
                         coffer__buf *scratch, coffer__seen *seen);

/* It has answered: which counter says so; counted. */
static inline coffer__counter coffer__copied_counter(const coffer__seen *seen) {
    return seen->found == COFFER__FOUND_FRESH ? COFFER__COUNT_near_hits : COFFER__COUNT_near_negative_hits;
}
void coffer__copied_count(const coffer_namespace *ns, const coffer__seen *seen);

/* Before the call is sent that asks for the key. Whether a copy of its answer may be kept at all. */
typedef struct coffer__asked {
    coffer__near_token token;
    uint64_t at_ms;
} coffer__asked;
bool coffer__copied_expect(coffer_op *op, coffer_slice wire_key, coffer__asked *asked);

/* Whether the server has to be asked for the life of what is there too. An entry says how long it is fresh, but EXPIRE may have given its key less since, and a
 * server that has not come upon a key whose time has passed tells nobody. */
static inline bool coffer__copied_needs_life(const coffer__asked *asked) {
    return asked->token.given;
}

/* The answer, at this node of the call's reply, judged: kept, where it may be. `life` is the call of a PTTL on the key, where that was needed. */
void coffer__copied_keep(coffer_op *op, const coffer__asked *asked, coffer_slice wire_key, const coffer_call *call, size_t node,
                         const coffer__seen *seen, const coffer_call *life);

#endif
