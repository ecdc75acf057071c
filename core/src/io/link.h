/* link: a stream, the conn that speaks on it, and the callers that share it.
 *
 *     coffer__link_new(&link, client, endpoint)
 *     coffer__link_connect(link, ...)       until it says something else than AGAIN
 *     coffer__link_lock(link)               then anybody may put a call into link->conn and flush it;
 *                                           one reads for all: the leader (await.c)
 *     coffer__link_free(link)               closes it
 *
 *          NAME --> ADDRESS --> PENDING --> open, conn made, its handshake is the first output
 *                      ^  '--------'
 *                      next address, while there is one and time
 */
#ifndef COFFER_IO_LINK_H
#define COFFER_IO_LINK_H

#include "stream.h"
#include <coffer/driver.h>

#include <pthread.h>

enum { COFFER__NAME_CAP = 160, COFFER__DETAIL_CAP = 320 };

typedef struct coffer__dial coffer__dial; /* what only a link that connects has */
typedef struct coffer__hold coffer__hold; /* a run's share of a link; run_internal.h */

typedef struct coffer__row coffer__row; /* pool.c */

/* Writing for several at once; await.c. */
typedef struct coffer__gather {
    uint64_t until_us; /* until then at most nothing is written; 0: it is written at once */
    size_t woken_count; /* callers who may put in another call before */
    size_t awaited_count; /* of them, those who did not yet */
    unsigned missed, skip; /* how often in a row they did not; how many occasions are let pass therefore */
} coffer__gather;

typedef struct coffer__link {
    /* its pool's, under the pool's mutex */
    struct coffer__link *before, *after; /* in its row: of the idle ones, or of those with room for another caller */
    coffer__row *row; /* NULL: in none */
    size_t slot; /* its place in its pool */
    uint64_t idle_since_ms;
    _Atomic size_t users; /* read by a forked child, and by a user who wants to know whether it is alone */
    /* for all */
    coffer__stream stream;
    coffer_client *client; /* lent: the pool's */
    const coffer_endpoint *endpoint; /* lent: the client's */
    coffer__dial *dial; /* NULL once it is open */
    atomic_bool broken; /* its conn has failed: no new callers */
    pthread_mutex_t mutex; /* of what follows */
    coffer_conn *conn; /* NULL until it is open */
    const void *leader; /* the run that reads; NULL: nobody does */
    coffer__gather gather;
    coffer__hold *followers; /* who wait for replies that somebody else reads */
    uint64_t moved_us; /* when bytes last came, or the first call was put into an idle conn */
} coffer__link;

/* Until when a step may take: until the slice ends (then AGAIN, and the step goes on later), and until the op's deadline. */
typedef struct coffer__limits {
    uint64_t slice_us;
    uint64_t deadline_us;
} coffer__limits;

static inline uint64_t coffer__limits_first(const coffer__limits *limits) {
    return limits->slice_us < limits->deadline_us ? limits->slice_us : limits->deadline_us;
}

coffer_status coffer__link_new(coffer__link **link, coffer_client *client, const coffer_endpoint *endpoint);
void coffer__link_free(coffer__link *link); /* closes the socket, ends what is in flight with CLOSED; takes NULL */

/* In a forked child: the socket is closed here and stays open in the parent. Touches nothing else. */
void coffer__link_disown(coffer__link *link);

/* OK: open. AGAIN: the slice is over. TIMEOUT, DNS, CONNECT (after each address was tried), NO_MEMORY: `detail` says what and where. */
coffer_status coffer__link_connect(coffer__link *link, const coffer__limits *limits, char detail[COFFER__DETAIL_CAP]);

static inline void coffer__link_lock(coffer__link *link) {
    pthread_mutex_lock(&link->mutex);
}

static inline void coffer__link_unlock(coffer__link *link) {
    pthread_mutex_unlock(&link->mutex);
}

/* ---- under its mutex */

/* Its conn is well; where nothing is due, the server has neither sent anything nor hung up while nobody looked (F02); where something is, a reply has
 * come not too long ago. Else it is failed. */
bool coffer__link_is_usable(coffer__link *link, uint64_t now_us);

/* Fails it where something is due and nothing has come for as long as a call may take (the option 'timeout'). When to ask again at the latest. */
uint64_t coffer__link_heed_stall(coffer__link *link, uint64_t now_us);

/* Writes what can be written without waiting. `reader`: who asks; where somebody else reads, a broken stream is left for that one to find. */
void coffer__link_flush(coffer__link *link, const void *reader);

/* Bytes came (or the end, or an error): the conn is told. For the leader. */
void coffer__link_came(coffer__link *link, const char *bytes, ssize_t got, uint64_t now_us);

#endif
