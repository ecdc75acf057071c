/* pipe: one direction of a connection through the proxy. Bytes that may go at once are written from where they were read; those that a toxic
 * delays wait in a queue, each piece with the time of its delivery.
 *
 *     from --> take --> [piece at 10 ms] [piece at 12 ms] --> deliver --> to
 */
#ifndef COFFER_TESTS_FAULTS_PIPE_H
#define COFFER_TESTS_FAULTS_PIPE_H

#include "toxics.h"

#define NEVER_US UINT64_MAX

typedef struct piece piece;

typedef enum pipe_end {
    PIPE_OPEN,
    PIPE_ENDING, /* no more comes in; what is queued is delivered, and then the end is */
    PIPE_ENDED
} pipe_end;

typedef struct fault_pipe {
    int from, to;
    toxics *toxics; /* of this direction */
    piece *first, *last;
    size_t queued_bytes;
    uint64_t taken_bytes, passed_bytes;
    uint64_t last_at_us; /* of the last piece: order is kept */
    uint64_t end_at_us;
    pipe_end end;
    bool blocked; /* the receiver takes nothing more now */
    bool closes, resets; /* at its end the whole connection is closed, or reset */
} fault_pipe;

/* False: the connection has to be reset now. */
bool pipe_take(fault_pipe *pipe, uint64_t now_us); /* `from` is readable */
bool pipe_deliver(fault_pipe *pipe, uint64_t now_us);
void pipe_ghost(fault_pipe *pipe, uint64_t now_us); /* a reply that nobody asked for, now */
uint64_t pipe_next_us(const fault_pipe *pipe); /* when there is something to deliver */
bool pipe_wants_input(const fault_pipe *pipe);
void pipe_clear(fault_pipe *pipe);

uint64_t clock_us(void);

#endif
