/* Who was evicted lately: fingerprints of keys, without their values, in lines of 16 by hash. A line's oldest gives way.
 *
 *     ghost    when it came: 12 bits | of the hash: 19 | from main, not from small: 1         0: none
 *
 * `now` counts those that came to the table and is kept by the shard; a ghost counts as gone when as many have come as its user allows. Half a million keys
 * that were never there are taken for a ghost 8 times. */
#ifndef COFFER_NEAR_GHOSTS_H
#define COFFER_NEAR_GHOSTS_H

#include <coffer/types.h>

enum { COFFER__GHOSTS_IN_LINE = 16 };

typedef struct coffer__ghost_line {
    _Alignas(64) uint32_t ghosts[COFFER__GHOSTS_IN_LINE];
} coffer__ghost_line;

typedef struct coffer__ghosts {
    coffer__ghost_line *lines;
    uint32_t line_count;
} coffer__ghosts;

/* In the arena: how many have come, from small and from main. */
typedef struct coffer__ghost_clock {
    uint64_t from[2];
} coffer__ghost_clock;

typedef struct coffer__ghost {
    bool was_there, from_main;
    uint64_t age; /* so many came after it from where it came from, more or less */
} coffer__ghost;

/* Its key is gone from a queue. */
void coffer__ghosts_add(const coffer__ghosts *ghosts, coffer__ghost_clock *clock, uint64_t hash, bool from_main);

/* The ghost of a key; it is none any more then. */
coffer__ghost coffer__ghosts_take(const coffer__ghosts *ghosts, const coffer__ghost_clock *clock, uint64_t hash);

#endif
