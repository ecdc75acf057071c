/* Counting that costs a hit a few nanoseconds: each thread adds to one of a few striped rows, a reader sums them. */
#ifndef COFFER_OBSERVE_COUNTERS_H
#define COFFER_OBSERVE_COUNTERS_H

#include <coffer/metrics.h>

typedef struct coffer__observer coffer__observer;

/* Index of a counter in the table. */
typedef enum coffer__counter {
#define COFFER__COUNTER_ENUM(field, help) COFFER__COUNT_##field,
    COFFER_COUNTER_MAP(COFFER__COUNTER_ENUM)
#undef COFFER__COUNTER_ENUM
        COFFER__COUNTER_COUNT
} coffer__counter;

coffer_status coffer__observer_new(coffer__observer **observer);
void coffer__observer_free(coffer__observer *observer);

void coffer__count(coffer__observer *observer, coffer__counter counter, uint64_t add);
void coffer__count_refusal(coffer__observer *observer, coffer_status status); /* of an entry */
void coffer__count_operation(coffer__observer *observer, coffer_operation operation); /* how many were done */
/* The same for a read that is answered in the process, all at once: what it came to, how near (or what it came to once more), and how many bytes. */
void coffer__count_answer(coffer__observer *observer, coffer_operation operation, coffer__counter answer, coffer__counter nearness, size_t bytes);
void coffer__record_latency(coffer__observer *observer, coffer_operation operation, uint64_t elapsed_us);

void coffer__observer_read(const coffer__observer *observer, coffer_counters *counters, coffer_latency latency[COFFER_OPERATION_COUNT]);
bool coffer__observer_refusal(const coffer__observer *observer, size_t index, coffer_refusal *refusal);

#endif
