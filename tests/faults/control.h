/* A thread that only sleeps: how late this machine wakes a thread now. What is measured beside it is judged over it. */
#ifndef COFFER_TESTS_FAULTS_CONTROL_H
#define COFFER_TESTS_FAULTS_CONTROL_H

#include <stdint.h>

enum { LATENESS_BUCKETS = 30000, LATENESS_BUCKET_US = 100 }; /* 3 s */

typedef struct lateness {
    uint64_t count, max_us;
    uint32_t buckets[LATENESS_BUCKETS];
} lateness;

void lateness_add(lateness *all, uint64_t late_us);
void lateness_merge(lateness *into, const lateness *from);
uint64_t lateness_at(const lateness *all, double share); /* 0.999: the upper bound of the bucket it falls into */

void control_start(void);
const lateness *control_stop(void);

void sleep_us(uint64_t us);
uint64_t now_us(void);

#endif
