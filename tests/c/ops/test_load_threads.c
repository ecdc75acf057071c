/* Many threads on few keys of mem://: one loader runs for a miss however many ask, nobody gets another key's value, and what a writer made old does not stay. */
#include "support/cmocka_all.h"
#include <coffer/coffer.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { THREADS = 8, KEYS = 3, ROUNDS = 40, ROUND_OPS = 200, MISSES = 50 };

typedef struct shared {
    coffer_cache *cache;
    pthread_barrier_t barrier;
    _Atomic unsigned database[KEYS]; /* the version that a loader would read */
    _Atomic unsigned wrong; /* threads may not assert */
    _Atomic unsigned loads;
} shared;

typedef struct worker {
    shared *all;
    unsigned index;
    uint64_t seed;
} worker;

static unsigned dice(worker *w, unsigned sides) { /* xorshift64 */
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return (unsigned)(w->seed % sides);
}

static const char *const key_texts[KEYS] = {"one", "two", "three"};

static coffer_slice key_of(unsigned key) {
    return coffer_slice_text(key_texts[key]);
}

static coffer_slice write_value(char out[64], unsigned key, unsigned version) {
    snprintf(out, 64, "%s at %u", key_texts[key], version);
    return coffer_slice_text(out);
}

/* The version in a value of this key; UINT32_MAX where it is another's. */
static unsigned version_in(const coffer_value *value, unsigned key) {
    char text[64];
    char name[16];
    unsigned version = 0;
    snprintf(text, sizeof text, "%.*s", (int)value->data.len, value->data.data);
    bool ours = sscanf(text, "%15s at %u", name, &version) == 2 && strcmp(name, key_texts[key]) == 0;
    return ours ? version : UINT32_MAX;
}

static void open_shared(shared *all, const char *url) {
    coffer_error error;
    memset(all, 0, sizeof *all);
    assert_int_equal(coffer_open_url(&all->cache, url, &error), COFFER_OK);
    assert_int_equal(pthread_barrier_init(&all->barrier, NULL, THREADS), 0);
}

static void close_shared(shared *all) {
    pthread_barrier_destroy(&all->barrier);
    coffer_close(all->cache);
}

static void run_threads(shared *all, void *(*run)(void *)) {
    pthread_t threads[THREADS];
    worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (worker){all, i, 88172645463325252ull + i * 7919ull};
        assert_int_equal(pthread_create(&threads[i], NULL, run, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static uint64_t waits_so_far(shared *all) {
    static _Thread_local coffer_metrics metrics;
    metrics.struct_size = sizeof metrics;
    coffer_stats(all->cache, &metrics);
    return metrics.counters.load_waits;
}

/* ---- one load a miss ---- */

/* Returns when all others wait for it: so they have surely asked while it ran. */
static coffer_status load_when_all_wait(coffer_load *load, coffer_slice key, void *data) {
    shared *all = (shared *)data;
    (void)key;
    unsigned turn = atomic_fetch_add(&all->loads, 1) + 1;
    for (unsigned spins = 0; waits_so_far(all) < (uint64_t)turn * (THREADS - 1) && spins < 10000000; spins++) {
        sched_yield();
    }
    char text[64];
    return coffer_loaded(load, write_value(text, 0, turn), NULL);
}

static void *miss_together(void *data) {
    worker *w = (worker *)data;
    for (unsigned turn = 1; turn <= MISSES; turn++) {
        pthread_barrier_wait(&w->all->barrier);
        coffer_value value;
        coffer_status status = coffer_get_or_load(w->all->cache, key_of(0), load_when_all_wait, w->all, NULL, &value, NULL);
        w->all->wrong += status != COFFER_OK || version_in(&value, 0) != turn;
        coffer_value_clear(&value);
        pthread_barrier_wait(&w->all->barrier);
        if (w->index == 0) {
            coffer_delete(w->all->cache, key_of(0), NULL);
        }
    }
    return NULL;
}

static void test_one_load_for_a_miss(void **state) {
    (void)state;
    shared all;
    open_shared(&all, "mem://?timeout=60s");
    run_threads(&all, miss_together);
    assert_int_equal(all.loads, MISSES);
    assert_int_equal(all.wrong, 0);
    close_shared(&all);
}

/* ---- nothing old stays ---- */

typedef struct asked {
    shared *all;
    unsigned key;
} asked;

static coffer_status load_from_database(coffer_load *load, coffer_slice key, void *data) {
    const asked *what = (const asked *)data;
    (void)key;
    unsigned version = what->all->database[what->key];
    sched_yield(); /* a writer may come now */
    char text[64];
    return coffer_loaded(load, write_value(text, what->key, version), NULL);
}

static void read_one(worker *w, unsigned key) {
    asked what = {w->all, key};
    coffer_value value;
    coffer_status status = coffer_get_or_load(w->all->cache, key_of(key), load_from_database, &what, NULL, &value, NULL);
    unsigned latest = w->all->database[key];
    w->all->wrong += status != COFFER_OK || version_in(&value, key) > latest;
    coffer_value_clear(&value);
}

/* Each key has one writer, as one row of a database is locked while it changes. */
static void write_one(worker *w, unsigned key) {
    char text[64];
    unsigned version = atomic_fetch_add(&w->all->database[key], 1) + 1;
    if (dice(w, 2) == 0) {
        coffer_set(w->all->cache, key_of(key), write_value(text, key, version), NULL, NULL);
    } else {
        coffer_delete(w->all->cache, key_of(key), NULL);
    }
}

static void check_all(worker *w) {
    for (unsigned key = 0; key < KEYS; key++) {
        coffer_value value;
        if (coffer_get(w->all->cache, key_of(key), NULL, &value, NULL) == COFFER_OK) {
            w->all->wrong += version_in(&value, key) != w->all->database[key];
            coffer_value_clear(&value);
        }
    }
}

static void *read_and_write(void *data) {
    worker *w = (worker *)data;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < ROUND_OPS; i++) {
            if (w->index < KEYS && dice(w, 4) == 0) {
                write_one(w, w->index);
            } else {
                read_one(w, dice(w, KEYS));
            }
        }
        pthread_barrier_wait(&w->all->barrier);
        if (w->index == 0) {
            check_all(w);
        }
        pthread_barrier_wait(&w->all->barrier);
    }
    return NULL;
}

static void test_nothing_old_stays(void **state) {
    const char *url = (const char *)*state;
    shared all;
    open_shared(&all, url);
    run_threads(&all, read_and_write);
    assert_int_equal(all.wrong, 0);
    close_shared(&all);
}

int main(void) {
    static char plain[] = "mem://?timeout=60s", raw[] = "mem://?timeout=60s&raw=true", small[] = "mem://?timeout=60s&memory=1MiB&ttl=1ms";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_load_for_a_miss),
        cmocka_unit_test_prestate(test_nothing_old_stays, plain),
        cmocka_unit_test_prestate(test_nothing_old_stays, raw),
        cmocka_unit_test_prestate(test_nothing_old_stays, small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
