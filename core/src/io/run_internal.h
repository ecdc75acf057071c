/* A run, for the files that make it: run.c (the loop), acquire.c (a link for a call), await.c (waiting, and reading for all), thread.c (what each
 * thread keeps). */
#ifndef COFFER_IO_RUN_INTERNAL_H
#define COFFER_IO_RUN_INTERNAL_H

#include "run.h"
#include "wake.h"

#include <poll.h>

enum { COFFER__READ_BYTES = 64 << 10 };

/* How far a call is on its way to a link. */
typedef enum coffer__stage {
    COFFER__STAGE_NONE,
    COFFER__STAGE_QUEUED,
    COFFER__STAGE_CONNECTING,
    COFFER__STAGE_OPEN,
    COFFER__STAGE_COUNT
} coffer__stage;

/* A run's share of a link to one endpoint, or its way to one. */
struct coffer__hold {
    coffer__hold *next; /* of the same run */
    coffer__run *run;
    const coffer_endpoint *endpoint; /* with STAGE_NONE: may be used for another one */
    coffer__pool *pool;
    coffer__stage stage;
    coffer__ticket ticket;
    uint64_t acquire_until_us;
    coffer__link *link;
    size_t postponed_count; /* calls that wait for it */
    coffer_status why; /* they came to nothing when the deadline had passed */
    unsigned waited_in; /* the pass in which the first of them could not have it yet */
    bool has_put; /* a call, since it took part */
    bool fresh; /* nothing was sent on it yet: it may be dead */
    /* while the run awaits */
    bool leads, follows;
    bool writes; /* not all could be written */
    uint64_t due_us; /* leads: if nothing comes by then, the link is to be looked after */
    coffer__hold *next_follower; /* of the link's */
};

/* A call that has no link yet, while others of its op are on their way. */
typedef struct coffer__postponed {
    coffer_call *call;
    coffer__hold *hold;
} coffer__postponed;

struct coffer__run {
    coffer__wake wake;
    coffer_waiter *waiter;
    /* the op's */
    uint64_t generation; /* of forks, when it was last used */
    uint64_t started_us;
    uint64_t now_us;
    coffer__limits limits;
    bool went_out; /* it has used a link */
    bool is_chore; /* of a chore of the client's: no other is looked for */
    coffer_call *call; /* handed out by the op, not sent yet */
    const coffer_endpoint *endpoint;
    bool has_several; /* calls at once, the op */
    coffer__postponed *postponed; /* in the order they came */
    size_t postponed_count, postponed_cap;
    unsigned pass;
    /* the links' */
    coffer__pools *pools; /* that the holds' pools are of */
    coffer__hold hold; /* the first; one server needs no other */
    coffer__link *locked; /* its mutex is held from the first call that is put in to the last, and on to the await */
    const coffer_endpoint *failed_at; /* no link could be had there: calls that follow at once fail alike */
    coffer_status failed;
    char detail[COFFER__DETAIL_CAP];
    struct pollfd *polls;
    size_t poll_count, poll_cap;
};

/* The hold for an endpoint, made where there is none; NULL where memory is short. */
coffer__hold *coffer__run_hold(coffer__run *run, const coffer_endpoint *endpoint);

/* acquire.c: OK: hold->link is open. AGAIN: the slice is over. Below 0: why not, with the run's detail. */
coffer_status coffer__hold_acquire(coffer__hold *hold);

/* acquire.c: the share, or the way to one, is given back. */
void coffer__hold_let_go(coffer__hold *hold);

/* acquire.c: the link is dead: it is given back as such, and acquire begins anew. */
void coffer__hold_replace(coffer__hold *hold);

/* await.c: writes what is to be written, and waits until the run is woken (a call of its op has ended, a link was granted, somebody called
 * coffer__run_wake) or until_us; meanwhile it reads the links it has a share of, for all of their callers, where nobody else does.
 * `alone`: nothing can wake it but a reply on its only link. Nothing is led when it returns. */
void coffer__run_await(coffer__run *run, uint64_t until_us, bool alone);

/* await.c: just waits. */
void coffer__run_sleep(coffer__run *run, uint64_t until_us);

/* await.c: locks the link for the run, which may hold one at a time; and lets go of that, when what its conn's last moves have ended is told to
 * whoever waits for it. */
void coffer__run_lock(coffer__run *run, coffer__link *link);
void coffer__run_unlock(coffer__run *run);

/* thread.c: a run for an op, fresh; NULL where memory is short. And back. */
coffer__run *coffer__thread_take_run(void);
void coffer__thread_give_run(coffer__run *run);

/* thread.c: COFFER__READ_BYTES of scratch; NULL where memory is short. */
char *coffer__thread_buffer(void);

/* thread.c: a room, and back; NULL where memory is short. */
coffer_room *coffer__thread_take_room(void);
void coffer__thread_give_room(coffer_room *room);

/* thread.c: true once in 64 times. */
bool coffer__thread_samples(void);

#endif
