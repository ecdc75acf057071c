/* The race that makes caches stale for ever, by brute force against a real server: readers fill what another client and this process change meanwhile. When
 * all is quiet and the channel has heard of everything, what is near is what the server holds. COFFER_NEAR_ROUNDS: how many fills are raced (100,000). */
#include "near_support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { KEYS = 64, READERS = 2, NAME_CAP = 32 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 10000 };
#else
enum { ROUNDS = 100000 };
#endif

typedef struct race {
    coffer_cache *cache;
    pthread_barrier_t begins, ends;
    atomic_bool over;
    int other; /* of the one who sets from outside */
    unsigned long batch;
    _Atomic unsigned long hits, failed;
} race;

static void name_of(char name[NAME_CAP], unsigned key) {
    snprintf(name, NAME_CAP, "k%u", key);
}

/* All keys, each once, in an order of this thread's own. */
static unsigned shuffled(unsigned i, unsigned seed) {
    return (i * (2 * (seed % 31) + 1) + seed) % KEYS;
}

static void read_all(race *r, unsigned seed) {
    for (unsigned i = 0; i < 2 * KEYS; i++) {
        char name[NAME_CAP];
        coffer_value value;
        name_of(name, shuffled(i % KEYS, seed));
        coffer_status status = coffer_get(r->cache, coffer_slice_text(name), NULL, &value, NULL);
        atomic_fetch_add(&r->failed, status != COFFER_OK && status != COFFER_MISS);
        coffer_value_clear(&value);
    }
}

static void *read_keys(void *argument) {
    race *r = (race *)argument;
    for (unsigned seed = (unsigned)(uintptr_t)&seed;; seed += 7) {
        pthread_barrier_wait(&r->begins);
        if (atomic_load(&r->over)) {
            return NULL;
        }
        read_all(r, seed >> 4);
        pthread_barrier_wait(&r->ends);
    }
}

/* This process's own writes: of each fourth key. */
static void *write_keys(void *argument) {
    race *r = (race *)argument;
    for (;;) {
        pthread_barrier_wait(&r->begins);
        if (atomic_load(&r->over)) {
            return NULL;
        }
        for (unsigned i = 0; i < KEYS; i += 4) {
            char name[NAME_CAP], text[NAME_CAP];
            name_of(name, i);
            snprintf(text, sizeof text, "own %lu", r->batch);
            atomic_fetch_add(&r->failed, coffer_set(r->cache, coffer_slice_text(name), coffer_slice_text(text), NULL, NULL) != COFFER_OK);
        }
        pthread_barrier_wait(&r->ends);
    }
}

static void set_from_outside(race *r) {
    for (unsigned i = 0; i < KEYS; i++) {
        char command[100], answer[20];
        snprintf(command, sizeof command, "SET test:_:k%u %lu", shuffled(i, (unsigned)r->batch), r->batch);
        ask_by(r->other, command, answer, sizeof answer);
    }
}

static void assert_not_stale(race *r) {
    for (unsigned i = 0; i < KEYS; i++) {
        char name[NAME_CAP], command[100], answer[100], wire[NAME_CAP + 8];
        coffer_value value;
        name_of(name, i);
        snprintf(wire, sizeof wire, "test:_:%s", name);
        snprintf(command, sizeof command, "GET %s", wire);
        ask_by(r->other, command, answer, sizeof answer);
        atomic_fetch_add(&r->hits, has(r->cache, wire));
        assert_int_equal(coffer_get(r->cache, coffer_slice_text(name), NULL, &value, NULL), COFFER_OK);
        const char *held = strchr(answer, '\n') + 1;
        if (strncmp(held, value.data.data, value.data.len) != 0 || held[value.data.len] != '\r') {
            fail_msg("%s is '%.*s' near, and the server holds %s", name, (int)value.data.len, value.data.data, held);
        }
        coffer_value_clear(&value);
    }
}

static void test_no_fill_stays_that_was_overtaken(void **state) {
    (void)state;
    const char *wanted = getenv("COFFER_NEAR_ROUNDS");
    unsigned long rounds = wanted == NULL ? ROUNDS : strtoul(wanted, NULL, 10);
    race r = {.cache = open_near("&raw=true&timeout=10s"), .other = connect_other()};
    pthread_t threads[READERS + 1];
    pthread_barrier_init(&r.begins, NULL, READERS + 2);
    pthread_barrier_init(&r.ends, NULL, READERS + 2);
    time_get(r.cache, COFFER_MISS, 0);
    await_live(r.cache, true);
    for (size_t i = 0; i <= READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, i < READERS ? read_keys : write_keys, &r), 0);
    }
    for (; r.batch * KEYS < rounds; r.batch++) {
        pthread_barrier_wait(&r.begins);
        set_from_outside(&r);
        pthread_barrier_wait(&r.ends);
        await_all_heard(r.cache);
        assert_not_stale(&r);
    }
    atomic_store(&r.over, true);
    pthread_barrier_wait(&r.begins);
    for (size_t i = 0; i <= READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    const coffer__coherence *coherence = coherence_of(r.cache);
    print_message("%lu rounds: %llu fills, %llu too late; near when all was heard: %lu\n", r.batch * KEYS,
                  (unsigned long long)atomic_load(&coherence->fills), (unsigned long long)atomic_load(&coherence->fills_refused),
                  atomic_load(&r.hits));
    assert_int_equal(atomic_load(&r.failed), 0);
    assert_true(atomic_load(&coherence->fills) > rounds / 1000); /* how many depends on how busy the machine is */
    assert_true(atomic_load(&r.hits) > rounds / 1000); /* it was the copies that were looked at */
    pthread_barrier_destroy(&r.begins);
    pthread_barrier_destroy(&r.ends);
    close(r.other);
    coffer_close(r.cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_fill_stays_that_was_overtaken),
    };
    start_server(NULL);
    int failed = is_there ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
    stop_server(NULL);
    return failed;
}
