#include "pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { READ_BYTES = 64 << 10, GARBAGE_BYTES = 16, QUEUE_BYTES = 1 << 20 };

struct piece {
    piece *next;
    uint64_t at_us;
    size_t len, done;
    char bytes[];
};

uint64_t clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- the queue -------------------------------------------------------------------------------------------------- */

static void enqueue(fault_pipe *pipe, const char *bytes, size_t len, uint64_t at_us) {
    piece *made = len == 0 ? NULL : (piece *)malloc(sizeof *made + len);
    if (made == NULL) {
        return;
    }
    *made = (piece){.at_us = at_us < pipe->last_at_us ? pipe->last_at_us : at_us, .len = len};
    memcpy(made->bytes, bytes, len);
    *(pipe->last == NULL ? &pipe->first : &pipe->last->next) = made;
    pipe->last = made;
    pipe->last_at_us = made->at_us;
    pipe->queued_bytes += len;
}

static void pop(fault_pipe *pipe) {
    piece *gone = pipe->first;
    pipe->first = gone->next;
    if (pipe->first == NULL) {
        pipe->last = NULL;
    }
    free(gone);
}

void pipe_clear(fault_pipe *pipe) {
    while (pipe->first != NULL) {
        pop(pipe);
    }
}

/* How many bytes the receiver took; below 0: it is gone. */
static ssize_t write_some(fault_pipe *pipe, const char *bytes, size_t len) {
    ssize_t sent = send(pipe->to, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    pipe->blocked = sent < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN);
    if (sent > 0) {
        pipe->passed_bytes += (uint64_t)sent;
    }
    return pipe->blocked ? 0 : sent;
}

/* ---- toxics ----------------------------------------------------------------------------------------------------- */

/* What is left of len before the connection is cut at so many bytes. */
static size_t cut(fault_pipe *pipe, toxic_kind kind, size_t len) {
    const toxic *one = &pipe->toxics->at[kind];
    if (!one->on || pipe->end != PIPE_OPEN || pipe->taken_bytes + len < one->bytes) {
        return len;
    }
    pipe->toxics->injected[kind]++;
    pipe->end = PIPE_ENDING;
    pipe->closes = kind == TOXIC_LIMIT_DATA;
    pipe->resets = kind == TOXIC_LIMIT_DATA && one->ms > 0;
    return (size_t)(one->bytes > pipe->taken_bytes ? one->bytes - pipe->taken_bytes : 0);
}

/* The length of the next piece, and how much later than the one before it comes. */
static size_t next_piece(fault_pipe *pipe, size_t len, uint64_t *later_us) {
    toxics *all = pipe->toxics;
    const toxic *rate = &all->at[TOXIC_BANDWIDTH], *slicer = &all->at[TOXIC_SLICER];
    size_t take = len;
    *later_us = 0;
    if (all->at[TOXIC_TRICKLE].on) {
        all->injected[TOXIC_TRICKLE]++;
        *later_us = all->at[TOXIC_TRICKLE].ms * 1000;
        return 1;
    }
    if (slicer->on && toxics_strike(all, TOXIC_SLICER)) {
        take = 1 + (size_t)random_below(slicer->bytes < len ? slicer->bytes : len);
        take = take < len ? take : len;
        *later_us = toxic_delay_us(slicer);
    }
    if (rate->on && rate->bytes > 0) {
        size_t slice = (size_t)(rate->bytes / 100 + 1);
        take = take < slice ? take : slice;
        *later_us += take * 1000000 / rate->bytes;
        all->injected[TOXIC_BANDWIDTH]++;
    }
    return take;
}

static void queue_pieces(fault_pipe *pipe, const char *bytes, size_t len, uint64_t now_us) {
    uint64_t late_us = toxics_strike(pipe->toxics, TOXIC_LATENCY) ? toxic_delay_us(&pipe->toxics->at[TOXIC_LATENCY]) : 0;
    uint64_t at_us = now_us + late_us, later_us;
    at_us = at_us > pipe->last_at_us ? at_us : pipe->last_at_us;
    while (len > 0) {
        size_t take = next_piece(pipe, len, &later_us);
        at_us += later_us;
        enqueue(pipe, bytes, take, at_us);
        bytes += take;
        len -= take;
    }
}

static void add_garbage(fault_pipe *pipe, uint64_t now_us) {
    char bytes[GARBAGE_BYTES];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)random_next();
    }
    enqueue(pipe, bytes, 1 + (size_t)random_below(sizeof bytes), now_us);
}

void pipe_ghost(fault_pipe *pipe, uint64_t now_us) {
    static const char said[] = "$7\r\nGHOST!!\r\n";
    enqueue(pipe, said, sizeof said - 1, now_us);
}

static bool touches_bytes(const toxics *all) {
    for (toxic_kind kind = 0; kind < TOXIC_COUNT; kind++) {
        if (all->at[kind].on && kind != TOXIC_SLOW_CLOSE && kind != TOXIC_ACCEPT_HANG) {
            return true;
        }
    }
    return false;
}

static bool poison(fault_pipe *pipe, char *bytes, size_t len, uint64_t now_us) {
    toxics *all = pipe->toxics;
    if (toxics_strike(all, TOXIC_RESET)) {
        return false;
    }
    if (toxics_strike(all, TOXIC_BLACK_HOLE)) {
        return true;
    }
    size_t left = cut(pipe, TOXIC_HALF_CLOSE, cut(pipe, TOXIC_LIMIT_DATA, len));
    pipe->taken_bytes += len;
    if (left > 0 && toxics_strike(all, TOXIC_CORRUPT)) {
        bytes[random_below(left)] ^= (char)(1u << random_below(8));
    }
    if (left > 0 && toxics_strike(all, TOXIC_GARBAGE)) {
        add_garbage(pipe, now_us);
    }
    toxics_strike(all, TOXIC_WITHHOLD); /* counted; pipe_deliver heeds it */
    queue_pieces(pipe, bytes, left, now_us);
    if (left > 0 && toxics_strike(all, TOXIC_DUPLICATE)) {
        queue_pieces(pipe, bytes, left, now_us);
    }
    if (left > 0 && toxics_strike(all, TOXIC_GHOST)) {
        pipe_ghost(pipe, now_us + toxic_delay_us(&all->at[TOXIC_GHOST]));
    }
    return true;
}

/* ---- in and out ------------------------------------------------------------------------------------------------- */

static void came_to_an_end(fault_pipe *pipe, uint64_t now_us) {
    pipe->end = PIPE_ENDING;
    pipe->end_at_us = now_us;
    if (toxics_strike(pipe->toxics, TOXIC_SLOW_CLOSE)) {
        pipe->end_at_us += toxic_delay_us(&pipe->toxics->at[TOXIC_SLOW_CLOSE]);
    }
}

bool pipe_take(fault_pipe *pipe, uint64_t now_us) {
    static char bytes[READ_BYTES];
    ssize_t got = recv(pipe->from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (got == 0) {
        came_to_an_end(pipe, now_us);
        return true;
    }
    if (touches_bytes(pipe->toxics) || pipe->first != NULL) {
        return poison(pipe, bytes, (size_t)got, now_us);
    }
    pipe->taken_bytes += (uint64_t)got;
    ssize_t sent = write_some(pipe, bytes, (size_t)got);
    if (sent >= 0) {
        enqueue(pipe, bytes + sent, (size_t)(got - sent), now_us);
    }
    return sent >= 0;
}

bool pipe_deliver(fault_pipe *pipe, uint64_t now_us) {
    if (pipe->toxics->at[TOXIC_WITHHOLD].on) {
        return true;
    }
    while (pipe->first != NULL && pipe->first->at_us <= now_us) {
        piece *head = pipe->first;
        ssize_t sent = write_some(pipe, head->bytes + head->done, head->len - head->done);
        if (sent <= 0) {
            return pipe->blocked;
        }
        head->done += (size_t)sent;
        pipe->queued_bytes -= (size_t)sent;
        if (head->done == head->len) {
            pop(pipe);
        }
    }
    if (pipe->end == PIPE_ENDING && pipe->first == NULL && now_us >= pipe->end_at_us) {
        pipe->end = PIPE_ENDED;
        shutdown(pipe->to, SHUT_WR);
    }
    return true;
}

uint64_t pipe_next_us(const fault_pipe *pipe) {
    if (pipe->toxics->at[TOXIC_WITHHOLD].on || pipe->blocked) {
        return NEVER_US;
    }
    if (pipe->first != NULL) {
        return pipe->first->at_us;
    }
    return pipe->end == PIPE_ENDING ? pipe->end_at_us : NEVER_US;
}

bool pipe_wants_input(const fault_pipe *pipe) {
    return pipe->end == PIPE_OPEN && pipe->queued_bytes < QUEUE_BYTES;
}
