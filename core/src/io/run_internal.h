/* A run, for the files that make it: run.c (the loop), acquire.c (a link for a call), thread.c (what each thread keeps). */
#ifndef COFFER_IO_RUN_INTERNAL_H
#define COFFER_IO_RUN_INTERNAL_H

#include "run.h"

enum { COFFER__READ_BYTES = 64 << 10 };

/* How far a call is on its way to a link. */
typedef enum coffer__stage {
    COFFER__STAGE_NONE,
    COFFER__STAGE_QUEUED,
    COFFER__STAGE_CONNECTING,
    COFFER__STAGE_OPEN,
    COFFER__STAGE_COUNT
} coffer__stage;

struct coffer__run {
    /* the wake */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    atomic_bool woken;
    coffer_waiter *waiter;
    /* the op's */
    uint64_t generation; /* of forks, when it was last used */
    uint64_t started_us;
    uint64_t now_us;
    coffer__limits limits;
    bool went_out; /* it has used a link */
    coffer_call *call; /* handed out by the op, not sent yet */
    const coffer_endpoint *endpoint;
    /* the link's */
    coffer__pool *pool; /* that stage, ticket and link are of */
    coffer__stage stage;
    coffer__ticket ticket;
    uint64_t acquire_until_us;
    coffer__link *link;
    coffer_status failed; /* no link could be had: calls that follow at once fail alike */
    char detail[COFFER__DETAIL_CAP];
};

/* acquire.c: OK: run->link is open. AGAIN: the slice is over. Below 0: why not, with run->detail. */
coffer_status coffer__run_acquire(coffer__run *run);

/* acquire.c: the link, or the way to one, is given back. */
void coffer__run_let_go(coffer__run *run);

/* thread.c: a run for an op, fresh; NULL where memory is short. And back. */
coffer__run *coffer__thread_take_run(void);
void coffer__thread_give_run(coffer__run *run);

/* thread.c: COFFER__READ_BYTES of scratch; NULL where memory is short. */
char *coffer__thread_buffer(void);

/* thread.c: true once in 64 times. */
bool coffer__thread_samples(void);

#endif
