#include "near/near.h"

#include "support/cmocka_all.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 30000, KEYS = 3000, VALUE_MAX = 2000, LARGE = 500000 };

static coffer__near *store;

/* A value says which key it is of, over its whole length. */
static coffer_slice value_of(uint32_t key, size_t len, char value[VALUE_MAX]) {
    memset(value, (int)(key * 31 & 0xFF), len);
    return coffer_slice_of(value, len);
}

static bool is_of(uint32_t key, const coffer__buf *out) {
    for (size_t i = 0; i < out->len; i++) {
        if ((uint8_t)out->data[i] != (uint8_t)(key * 31 & 0xFF)) {
            return false;
        }
    }
    return true;
}

static bool one_round(uint32_t key, uint32_t choice, uint64_t now_ms, coffer__buf *out) {
    char value[VALUE_MAX];
    coffer_slice name = coffer_slice_of(&key, sizeof key);
    coffer__buf_clear(out);
    if (choice % 8 == 0) {
        return coffer__near_delete(store, name, now_ms) >= COFFER_OK;
    }
    if (choice % 8 < 4) {
        return coffer__near_put(store, name, value_of(key, choice % VALUE_MAX, value), now_ms, now_ms + choice % 64, NULL) == COFFER_OK;
    }
    return coffer__near_get(store, name, now_ms, out, NULL) >= COFFER_OK && is_of(key, out);
}

static void *hammer(void *argument) {
    uint64_t random = (uint64_t)(uintptr_t)argument;
    coffer__buf out = COFFER__BUF_INIT;
    coffer_slice counter = COFFER_SLICE("counter");
    bool well = true;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        int64_t sum;
        random = random * UINT64_C(6364136223846793005) + 1;
        well = one_round((uint32_t)(random >> 33) % KEYS, (uint32_t)(random >> 40), i, &out) && well;
        if (i % 10 == 0) {
            well = coffer__near_add(store, counter, 1, i, UINT64_MAX, &sum) == COFFER_OK && well;
        }
    }
    coffer__buf_free(&out);
    return well ? store : NULL;
}

static void test_threads_never_see_a_wrong_value_or_lose_a_count(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    int64_t sum = 0;
    assert_int_equal(coffer__near_new(&store, (size_t)2 * 1024 * 1024), COFFER_OK);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(uintptr_t)(i + 1)), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *well;
        assert_int_equal(pthread_join(threads[i], &well), 0);
        assert_non_null(well);
    }
    /* read and written all the time, the counter is never evicted */
    assert_int_equal(coffer__near_add(store, COFFER_SLICE("counter"), 0, 0, UINT64_MAX, &sum), COFFER_OK);
    assert_int_equal(sum, THREADS * (ROUNDS / 10));
    coffer__near_free(store);
}

/* In the child: whatever the other threads were at, nothing is locked and nothing is wrong. */
static int look_after_fork(void) {
    coffer__buf out = COFFER__BUF_INIT;
    bool well = true;
    coffer__near_after_fork(store);
    for (uint32_t key = 0; key < KEYS; key++) {
        coffer__buf_clear(&out);
        well = coffer__near_get(store, coffer_slice_of(&key, sizeof key), 0, &out, NULL) >= COFFER_OK && is_of(key, &out) && well;
        well = one_round(key, key * 7 + 1, 0, &out) && well;
    }
    coffer__buf_free(&out);
    return well ? 0 : 1;
}

static atomic_bool is_enough;

static void *write_all_the_time(void *argument) {
    coffer__buf out = COFFER__BUF_INIT;
    bool well = true;
    for (uint32_t i = 0; !atomic_load(&is_enough); i++) {
        well = one_round(i % KEYS, i / KEYS * 8 + 1, 0, &out) && well;
    }
    coffer__buf_free(&out);
    return well ? argument : NULL;
}

/* Values so large that a fork most often finds one half written; each is of one byte all over. */
static void *overwrite_all_the_time(void *argument) {
    static char values[2][LARGE];
    memset(values[1], 1, LARGE);
    bool well = true;
    for (size_t i = 0; !atomic_load(&is_enough); i++) {
        coffer_slice value = coffer_slice_of(values[i % 2], LARGE);
        well = coffer__near_put(store, COFFER_SLICE("large"), value, 0, UINT64_MAX, NULL) == COFFER_OK && well;
    }
    return well ? argument : NULL;
}

static int look_for_halves_after_fork(void) {
    coffer__buf out = COFFER__BUF_INIT;
    coffer__near_after_fork(store);
    bool well = coffer__near_get(store, COFFER_SLICE("large"), 0, &out, NULL) >= COFFER_OK;
    well = well && (out.len == 0 || memcmp(out.data, out.data + 1, out.len - 1) == 0);
    coffer__buf_free(&out);
    return well ? 0 : 1;
}

/* `look` in children that are forked while a thread is in `write`. */
static void fork_amid(void *(*write)(void *), int (*look)(void)) {
    pthread_t thread;
    void *well;
    atomic_store(&is_enough, false);
    assert_int_equal(coffer__near_new(&store, (size_t)2 * 1024 * 1024), COFFER_OK);
    assert_int_equal(pthread_create(&thread, NULL, write, &is_enough), 0);
    for (int i = 0; i < 40; i++) {
        int status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(20); /* a lock left taken ends the child, not the test */
            _exit(look());
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&is_enough, true);
    assert_int_equal(pthread_join(thread, &well), 0);
    assert_non_null(well);
    coffer__near_free(store);
}

static void test_a_child_forked_amid_writes_goes_on(void **state) {
    (void)state;
    fork_amid(write_all_the_time, look_after_fork);
}

static void test_a_child_never_sees_half_a_write(void **state) {
    (void)state;
    fork_amid(overwrite_all_the_time, look_for_halves_after_fork);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_never_see_a_wrong_value_or_lose_a_count),
        cmocka_unit_test(test_a_child_forked_amid_writes_goes_on),
        cmocka_unit_test(test_a_child_never_sees_half_a_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
