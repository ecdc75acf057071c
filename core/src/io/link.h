/* link: a stream and the conn that speaks on it. One caller uses it at a time.
 *
 *     coffer__link_new(&link, client, endpoint)
 *     coffer__link_connect(link, ...)       until it says something else than AGAIN
 *     coffer__link_exchange(link, ...)      writes what is to be written, reads until a call has ended
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

enum { COFFER__NAME_CAP = 160, COFFER__DETAIL_CAP = 320 };

typedef struct coffer__dial coffer__dial; /* what only a link that connects has */

typedef struct coffer__link {
    struct coffer__link *newer, *older; /* among the idle ones of its pool */
    coffer__stream stream;
    atomic_bool idle; /* in the pool and nobody's; read by a forked child */
    size_t slot; /* its place in its pool */
    uint64_t idle_since_ms;
    coffer_client *client; /* lent: the pool's */
    const coffer_endpoint *endpoint; /* lent: the client's */
    coffer_conn *conn; /* NULL until it is open */
    coffer__dial *dial; /* NULL once it is open */
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

/* Open, its conn is well, and the server has neither sent anything nor hung up while nobody looked (F02). */
bool coffer__link_is_usable(coffer__link *link);

/* Writes and reads until at least one call has ended or the conn has failed (OK: ask the op), the deadline has come (OK too) or the slice is over
 * (AGAIN). *now_us: the time at entry, and at the end. `buffer` is scratch. While the server takes nothing more it is read from, because it
 * may be waiting for that. */
coffer_status coffer__link_exchange(coffer__link *link, const coffer__limits *limits, uint64_t *now_us, char *buffer, size_t cap);

/* Writes what can be written without waiting. */
void coffer__link_flush(coffer__link *link);

/* "10.0.0.1:6379", "[::1]:6379", "/run/redis.sock". */
const char *coffer__endpoint_name(const coffer_endpoint *endpoint, char out[COFFER__NAME_CAP]);

#endif
