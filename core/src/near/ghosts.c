#include "ghosts.h"

/* Ages are told in steps, of which the whole table has as many as it holds ghosts by this: 12 bits are 8 tables' worth. */
enum { STEPS_IN_TABLE = 512, AGE_SHIFT = 20, AGE_MASK = 0xFFF };

#define PRINT_MASK UINT32_C(0xFFFFE)

static uint32_t *line_of(const coffer__ghosts *ghosts, uint64_t hash) {
    return ghosts->lines[(uint32_t)((hash >> 32) * ghosts->line_count >> 32)].ghosts;
}

static uint64_t step_size(const coffer__ghosts *ghosts) {
    uint64_t size = (uint64_t)ghosts->line_count * COFFER__GHOSTS_IN_LINE / STEPS_IN_TABLE;
    return size > 0 ? size : 1;
}

/* The bits of the hash that choose neither line nor shard. */
static uint32_t print_of(uint64_t hash) {
    return (uint32_t)(hash >> 11) & PRINT_MASK;
}

static bool is_of(uint32_t ghost, uint64_t hash) {
    return ghost != 0 && ((ghost ^ print_of(hash)) & PRINT_MASK) == 0;
}

static uint32_t step_of(const coffer__ghosts *ghosts, const coffer__ghost_clock *clock, bool from_main) {
    return (uint32_t)(clock->from[from_main] / step_size(ghosts)) & AGE_MASK;
}

static uint32_t age_of(const coffer__ghosts *ghosts, const coffer__ghost_clock *clock, uint32_t ghost) {
    return (step_of(ghosts, clock, ghost & 1) - (ghost >> AGE_SHIFT)) & AGE_MASK;
}

void coffer__ghosts_add(const coffer__ghosts *ghosts, coffer__ghost_clock *clock, uint64_t hash, bool from_main) {
    uint32_t *line = line_of(ghosts, hash), *oldest = line;
    for (size_t i = 0; i < COFFER__GHOSTS_IN_LINE; i++) {
        if (line[i] == 0 || is_of(line[i], hash)) {
            oldest = &line[i];
            break;
        }
        oldest = age_of(ghosts, clock, line[i]) > age_of(ghosts, clock, *oldest) ? &line[i] : oldest;
    }
    clock->from[from_main]++;
    *oldest = step_of(ghosts, clock, from_main) << AGE_SHIFT | print_of(hash) | from_main;
}

coffer__ghost coffer__ghosts_take(const coffer__ghosts *ghosts, const coffer__ghost_clock *clock, uint64_t hash) {
    uint32_t *line = line_of(ghosts, hash);
    coffer__ghost found = {.was_there = false};
    for (size_t i = 0; i < COFFER__GHOSTS_IN_LINE && !found.was_there; i++) {
        if (is_of(line[i], hash)) {
            found = (coffer__ghost){true, line[i] & 1, age_of(ghosts, clock, line[i]) * step_size(ghosts)};
            line[i] = 0;
        }
    }
    return found;
}
