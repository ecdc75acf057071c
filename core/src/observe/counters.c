#include "counters.h"

#include "base/alloc.h"
#include "histogram.h"

/* The first rows are each one thread's alone, written without a locked instruction (1 ns and not 5); the threads that come later share the others. */
enum { ROWS_OWNED = 8, ROWS_SHARED = 8, ROW_COUNT = ROWS_OWNED + ROWS_SHARED };

enum { LINE_BYTES = 64, REFUSED_LOWEST = -79, REFUSED_HIGHEST = -60, REFUSED_RANGE = REFUSED_HIGHEST - REFUSED_LOWEST + 1 };

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

/* Threads take rows in turn and keep them for life; an owned one is never given again (nor in a forked child, which goes on counting from here). */
static size_t my_row(void) {
    static atomic_uint_fast64_t next;
    static _Thread_local size_t taken; /* row + 1 */
    if (taken == 0) {
        uint64_t turn = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
        taken = 1 + (size_t)(turn < ROWS_OWNED ? turn : ROWS_OWNED + turn % ROWS_SHARED);
    }
    return taken - 1;
}

static void add_to(atomic_uint_fast64_t *number, uint64_t add) {
    atomic_fetch_add_explicit(number, add, memory_order_relaxed);
}

static void add_in_row(size_t row_number, atomic_uint_fast64_t *number, uint64_t add) {
    if (row_number >= ROWS_OWNED) {
        add_to(number, add);
        return;
    }
    uint64_t before = atomic_load_explicit(number, memory_order_relaxed);
    atomic_store_explicit(number, before + add, memory_order_relaxed);
}

void coffer__count(coffer__observer *observer, coffer__counter counter, uint64_t add) {
    size_t mine = my_row();
    add_in_row(mine, &observer->rows[mine].counters[counter], add);
}

void coffer__count_operation(coffer__observer *observer, coffer_operation operation) {
    size_t mine = my_row();
    add_in_row(mine, &observer->rows[mine].operations[operation], 1);
}

void coffer__count_answer(coffer__observer *observer, coffer_operation operation, coffer__counter answer, coffer__counter nearness, size_t bytes) {
    size_t mine = my_row();
    row *own = &observer->rows[mine];
    add_in_row(mine, &own->operations[operation], 1);
    add_in_row(mine, &own->counters[answer], 1);
    if (nearness != answer) {
        add_in_row(mine, &own->counters[nearness], 1);
    }
    if (bytes > 0) {
        add_in_row(mine, &own->counters[COFFER__COUNT_bytes_read], bytes);
    }
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
