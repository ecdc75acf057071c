#include "base/robust.h"

#include "support/cmocka_all.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 20000 };

static coffer__robust *shared_lock(void) {
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    assert_true(coffer__robust_init((coffer__robust *)memory, true));
    return (coffer__robust *)memory;
}

static void give_back(coffer__robust *lock) {
    assert_int_equal(munmap(lock, 4096), 0);
}

/* A child that takes the lock, says so, and waits to be killed. */
static pid_t child_with(coffer__robust *lock) {
    int said[2];
    char byte;
    assert_int_equal(pipe(said), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        bool taken = coffer__robust_take(lock, 0) == COFFER__ROBUST_TAKEN;
        (void)!write(said[1], taken ? "y" : "n", 1);
        pause();
        _exit(1);
    }
    assert_int_equal(read(said[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(said[0]);
    close(said[1]);
    return child;
}

static void kill_child(pid_t child) {
    int status;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void test_the_lock_of_one_that_was_killed_is_had_and_told(void **state) {
    (void)state;
    coffer__robust *lock = shared_lock();
    for (int i = 0; i < 3; i++) {
        pid_t child = child_with(lock);
        assert_int_equal(coffer__robust_take(lock, 0), COFFER__ROBUST_BUSY);
        kill_child(child);
        assert_int_equal(coffer__robust_take(lock, 0), COFFER__ROBUST_ORPHANED);
        coffer__robust_drop(lock);
        assert_int_equal(coffer__robust_take(lock, 0), COFFER__ROBUST_TAKEN);
        coffer__robust_drop(lock);
    }
    give_back(lock);
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void test_waiting_for_one_that_was_stopped_ends(void **state) {
    (void)state;
    coffer__robust *lock = shared_lock();
    pid_t child = child_with(lock);
    assert_int_equal(kill(child, SIGSTOP), 0);
    int64_t began_ms = now_ms();
    assert_int_equal(coffer__robust_take(lock, 30), COFFER__ROBUST_BUSY);
    assert_true(now_ms() - began_ms >= 29);
    kill_child(child);
    assert_int_equal(coffer__robust_take(lock, 2000), COFFER__ROBUST_ORPHANED);
    coffer__robust_drop(lock);
    give_back(lock);
}

typedef struct counted {
    coffer__robust *lock;
    int wait_ms;
    uint64_t count;
} counted;

static void *count_up(void *argument) {
    counted *this = (counted *)argument;
    for (int i = 0; i < ROUNDS; i++) {
        while (coffer__robust_take(this->lock, this->wait_ms) != COFFER__ROBUST_TAKEN) {
        }
        this->count++;
        coffer__robust_drop(this->lock);
    }
    return NULL;
}

static void assert_one_at_a_time(coffer__robust *lock, int wait_ms) {
    pthread_t threads[THREADS];
    counted this = {lock, wait_ms, 0};
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &this), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(this.count, THREADS * ROUNDS);
}

static void test_one_at_a_time(void **state) {
    (void)state;
    coffer__robust own;
    coffer__robust *lock = shared_lock();
    assert_true(coffer__robust_init(&own, false));
    assert_one_at_a_time(&own, COFFER__ROBUST_FOR_EVER);
    assert_one_at_a_time(lock, 5);
    give_back(lock);
}

static void test_init_again_frees_it_in_a_child(void **state) {
    (void)state;
    coffer__robust own;
    int status;
    assert_true(coffer__robust_init(&own, false));
    assert_int_equal(coffer__robust_take(&own, COFFER__ROBUST_FOR_EVER), COFFER__ROBUST_TAKEN);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool well = coffer__robust_init(&own, false) && coffer__robust_take(&own, 0) == COFFER__ROBUST_TAKEN;
        _exit(well ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    coffer__robust_drop(&own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_lock_of_one_that_was_killed_is_had_and_told),
        cmocka_unit_test(test_waiting_for_one_that_was_stopped_ends),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_init_again_frees_it_in_a_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
