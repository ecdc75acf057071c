/* Metrics turned off, for the price of having them: all of observe/counters.h, doing nothing. Linked instead of core/src/observe (CMakeLists.txt);
 * run.py sees by the hits that were counted whether it was. */
#include "base/alloc.h"
#include "observe/counters.h"

struct coffer__observer {
    bool unused;
};

coffer_status coffer__observer_new(coffer__observer **observer) {
    *observer = (coffer__observer *)coffer__alloc_zero(sizeof **observer);
    return *observer == NULL ? COFFER_NO_MEMORY : COFFER_OK;
}

void coffer__observer_free(coffer__observer *observer) {
    coffer__release(observer);
}

void coffer__count(coffer__observer *observer, coffer__counter counter, uint64_t add) {
    (void)observer;
    (void)counter;
    (void)add;
}

void coffer__count_refusal(coffer__observer *observer, coffer_status status) {
    (void)observer;
    (void)status;
}

void coffer__count_operation(coffer__observer *observer, coffer_operation operation) {
    (void)observer;
    (void)operation;
}

void coffer__count_answer(coffer__observer *observer, coffer_operation operation, coffer__counter answer, coffer__counter nearness, size_t bytes) {
    (void)observer;
    (void)operation;
    (void)answer;
    (void)nearness;
    (void)bytes;
}

void coffer__record_latency(coffer__observer *observer, coffer_operation operation, uint64_t elapsed_us) {
    (void)observer;
    (void)operation;
    (void)elapsed_us;
}

void coffer__observer_read(const coffer__observer *observer, coffer_counters *counters, coffer_latency latency[COFFER_OPERATION_COUNT]) {
    (void)observer;
    (void)counters;
    (void)latency;
}

bool coffer__observer_refusal(const coffer__observer *observer, size_t index, coffer_refusal *refusal) {
    (void)observer;
    (void)index;
    (void)refusal;
    return false;
}
