#include "counters.h"

#include "base/alloc.h"
#include "histogram.h"

enum { ROW_COUNT = 8, LINE_BYTES = 64, REFUSED_LOWEST = -79, REFUSED_HIGHEST = -60, REFUSED_RANGE = REFUSED_HIGHEST - REFUSED_LOWEST + 1 };

/* What some of the threads have counted, on cache lines of its own. */
typedef struct row {
    _Alignas(LINE_BYTES) atomic_uint_fast64_t counters[COFFER__COUNTER_COUNT];
    atomic_uint_fast64_t operations[COFFER_OPERATION_COUNT];
} row;

struct coffer__observer {
    row rows[ROW_COUNT];
    atomic_uint_fast64_t refusals[REFUSED_RANGE + 1]; /* -60, -61, ... -79, and last TOO_LARGE */
    coffer__histogram histograms[COFFER_OPERATION_COUNT];
    void *memory;
};

coffer_status coffer__observer_new(coffer__observer **observer) {
    char *memory = (char *)coffer__alloc_zero(sizeof **observer + LINE_BYTES);
    if (memory == NULL) {
        *observer = NULL;
        return COFFER_NO_MEMORY;
    }
    size_t skipped = (LINE_BYTES - (uintptr_t)memory % LINE_BYTES) % LINE_BYTES;
    *observer = (coffer__observer *)(void *)(memory + skipped);
    (*observer)->memory = memory;
    return COFFER_OK;
}

void coffer__observer_free(coffer__observer *observer) {
    if (observer != NULL) {
        coffer__release(observer->memory);
    }
}

/* Threads take rows in turn; each keeps its own for life. */
static row *my_row(coffer__observer *observer) {
    static atomic_uint next;
    static _Thread_local unsigned taken; /* row + 1 */
    if (taken == 0) {
        taken = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % ROW_COUNT + 1;
    }
    return &observer->rows[taken - 1];
}

static void add_to(atomic_uint_fast64_t *number, uint64_t add) {
    atomic_fetch_add_explicit(number, add, memory_order_relaxed);
}

void coffer__count(coffer__observer *observer, coffer__counter counter, uint64_t add) {
    add_to(&my_row(observer)->counters[counter], add);
}

void coffer__count_operation(coffer__observer *observer, coffer_operation operation) {
    add_to(&my_row(observer)->operations[operation], 1);
}

void coffer__record_latency(coffer__observer *observer, coffer_operation operation, uint64_t elapsed_us) {
    coffer__histogram_record(&observer->histograms[operation], elapsed_us);
}

void coffer__count_refusal(coffer__observer *observer, coffer_status status) {
    int number = status;
    if (status == COFFER_TOO_LARGE) {
        add_to(&observer->refusals[REFUSED_RANGE], 1);
    } else if (number >= REFUSED_LOWEST && number <= REFUSED_HIGHEST) {
        add_to(&observer->refusals[REFUSED_HIGHEST - number], 1);
    }
}

static uint64_t value_of(const atomic_uint_fast64_t *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

static uint64_t sum_of_counter(const coffer__observer *observer, coffer__counter counter) {
    uint64_t sum = 0;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        sum += value_of(&observer->rows[i].counters[counter]);
    }
    return sum;
}

static uint64_t sum_of_operation(const coffer__observer *observer, size_t operation) {
    uint64_t sum = 0;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        sum += value_of(&observer->rows[i].operations[operation]);
    }
    return sum;
}

void coffer__observer_read(const coffer__observer *observer, coffer_counters *counters, coffer_latency latency[COFFER_OPERATION_COUNT]) {
#define READ(field, help) counters->field = sum_of_counter(observer, COFFER__COUNT_##field);
    COFFER_COUNTER_MAP(READ)
#undef READ
    for (size_t i = 0; i < COFFER_OPERATION_COUNT; i++) {
        coffer__histogram_read(&observer->histograms[i], &latency[i]);
        latency[i].count = sum_of_operation(observer, i);
    }
}

/* The index-th status that was seen at all. */
bool coffer__observer_refusal(const coffer__observer *observer, size_t index, coffer_refusal *refusal) {
    for (size_t i = 0; i <= REFUSED_RANGE; i++) {
        uint64_t count = value_of(&observer->refusals[i]);
        if (count > 0 && index-- == 0) {
            refusal->status = i == REFUSED_RANGE ? COFFER_TOO_LARGE : (coffer_status)(REFUSED_HIGHEST - (int)i);
            refusal->count = count;
            return true;
        }
    }
    return false;
}
