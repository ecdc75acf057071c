/* toxics: what the proxy does to bytes on their way, one setting for each direction.
 *
 *     up   : what callers send to the server          down : what the server answers
 *
 * A toxic has up to four numbers, each 0 where it is not given: `permille` (the chance, 0: always), `ms` and `max_ms` (a time between the two),
 * `bytes`. */
#ifndef COFFER_TESTS_FAULTS_TOXICS_H
#define COFFER_TESTS_FAULTS_TOXICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
/* X(NAME, name, what it does) */
#define TOXIC_MAP(X) \
    X(LATENCY,     latency,     "each piece is late by ms to max_ms; order is kept") \
    X(BANDWIDTH,   bandwidth,   "so many bytes a second") \
    X(TRICKLE,     trickle,     "one byte every ms") \
    X(SLICER,      slicer,      "pieces of 1 to `bytes` bytes, ms to max_ms apart") \
    X(BLACK_HOLE,  black_hole,  "bytes are read and dropped") \
    X(LIMIT_DATA,  limit_data,  "after so many bytes of a connection it is closed; with ms=1 reset") \
    X(RESET,       reset,       "the connection is reset in the place of a piece") \
    X(SLOW_CLOSE,  slow_close,  "an end is passed on ms later") \
    X(HALF_CLOSE,  half_close,  "after so many bytes nothing more comes; the other direction goes on") \
    X(CORRUPT,     corrupt,     "one bit of a piece is flipped") \
    X(GARBAGE,     garbage,     "random bytes in front of a piece") \
    X(DUPLICATE,   duplicate,   "a piece comes twice") \
    X(GHOST,       ghost,       "a reply that nobody asked for, behind a piece, ms later") \
    X(WITHHOLD,    withhold,    "nothing is delivered until the toxic is cleared") \
    X(ACCEPT_HANG, accept_hang, "nobody is accepted, and the queue of those who wait is full")
/* clang-format on */

typedef enum toxic_kind {
#define TOXIC_ENUM(NAME, name, what) TOXIC_##NAME,
    TOXIC_MAP(TOXIC_ENUM)
#undef TOXIC_ENUM
        TOXIC_COUNT
} toxic_kind;

typedef struct toxic {
    bool on;
    uint64_t permille, ms, max_ms, bytes;
} toxic;

typedef struct toxics {
    toxic at[TOXIC_COUNT];
    uint64_t injected[TOXIC_COUNT];
} toxics;

/* "latency ms=1 max_ms=50 permille=100": switched on. False: no such toxic or number. */
bool toxics_set(toxics *all, const char *words);
bool toxics_clear(toxics *all, const char *name); /* NULL: all of them */
const char *toxic_name(toxic_kind kind);

/* Whether it strikes now; then it is counted. */
bool toxics_strike(toxics *all, toxic_kind kind);
uint64_t toxic_delay_us(const toxic *one); /* between ms and max_ms, at random */

void random_seed(uint64_t seed);
uint64_t random_next(void);
uint64_t random_below(uint64_t end); /* 0 where end is 0 */

#endif
