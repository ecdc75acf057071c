#include "control.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

enum { CONTROL_SLEEP_US = 5000 };

uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void sleep_us(uint64_t us) {
    const struct timespec pause = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&pause, NULL);
}

void lateness_add(lateness *all, uint64_t late_us) {
    uint64_t bucket = late_us / LATENESS_BUCKET_US;
    all->count++;
    all->max_us = late_us > all->max_us ? late_us : all->max_us;
    all->buckets[bucket < LATENESS_BUCKETS ? bucket : LATENESS_BUCKETS - 1]++;
}

void lateness_merge(lateness *into, const lateness *from) {
    into->count += from->count;
    into->max_us = from->max_us > into->max_us ? from->max_us : into->max_us;
    for (size_t i = 0; i < LATENESS_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t lateness_at(const lateness *all, double share) {
    uint64_t wanted = (uint64_t)((double)all->count * share), seen = 0;
    for (size_t i = 0; i < LATENESS_BUCKETS; i++) {
        seen += all->buckets[i];
        if (seen > wanted || seen == all->count) {
            uint64_t bound = (i + 1) * LATENESS_BUCKET_US;
            return bound < all->max_us ? bound : all->max_us;
        }
    }
    return all->max_us;
}

static lateness own;
static pthread_t thread;
static atomic_bool stops;

static void *only_sleep(void *argument) {
    (void)argument;
    while (!atomic_load(&stops)) {
        uint64_t until_us = now_us() + CONTROL_SLEEP_US;
        sleep_us(CONTROL_SLEEP_US);
        uint64_t woke_us = now_us();
        lateness_add(&own, woke_us > until_us ? woke_us - until_us : 0);
    }
    return NULL;
}

void control_start(void) {
    pthread_create(&thread, NULL, only_sleep, NULL);
}

const lateness *control_stop(void) {
    atomic_store(&stops, true);
    pthread_join(thread, NULL);
    return &own;
}
