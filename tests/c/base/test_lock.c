#include "base/lock.h"

#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 20000 };

typedef struct shared {
    coffer__lock *lock;
    uint64_t count;
} shared;

static void *count_up(void *argument) {
    shared *ours = (shared *)argument;
    for (int i = 0; i < ROUNDS; i++) {
        coffer__lock_take(ours->lock);
        ours->count++;
        coffer__lock_drop(ours->lock);
    }
    return NULL;
}

static void test_one_at_a_time(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    shared ours = {coffer__lock_new(), 0};
    assert_non_null(ours.lock);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &ours), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(ours.count, THREADS * ROUNDS);
    coffer__lock_free(ours.lock);
    coffer__lock_free(NULL);
}

/* Runs `body` in a child; its answer. */
static int answer_of_child(int (*body)(void *), void *argument) {
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20); /* a child that hangs is a failed test */
        _exit(body(argument));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int take_after_reset(void *argument) {
    coffer__lock *lock = (coffer__lock *)argument;
    coffer__lock_reset(lock);
    coffer__lock_take(lock);
    coffer__lock_drop(lock);
    return 0;
}

static void test_a_lock_held_at_the_fork_is_free_in_the_child_after_reset(void **state) {
    (void)state;
    coffer__lock *lock = coffer__lock_new();
    assert_non_null(lock);
    coffer__lock_take(lock);
    assert_int_equal(answer_of_child(take_after_reset, lock), 0);
    coffer__lock_drop(lock);
    coffer__lock_free(lock);
}

static int generation_differs(void *argument) {
    uint64_t parents = *(uint64_t *)argument;
    uint64_t mine = coffer__fork_generation();
    if (mine == parents || mine != coffer__fork_generation()) {
        return 1;
    }
    return parents == 1 ? answer_of_child(generation_differs, &mine) : 0; /* and a child of the child */
}

static void test_each_child_has_another_generation(void **state) {
    (void)state;
    uint64_t generation = coffer__fork_generation();
    assert_int_equal(generation, 1);
    assert_int_equal(answer_of_child(generation_differs, &generation), 0);
    assert_int_equal(coffer__fork_generation(), 1);
}

/* As answer_of_child, but no handler of pthread_atfork runs. */
static int answer_of_raw_child(int (*body)(void *), void *argument) {
    int status;
    pid_t child = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, 0UL, 0UL, 0UL, 0UL);
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        _exit(body(argument));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool can_wipe(void) {
#ifdef MADV_WIPEONFORK
    const size_t bytes = 1 << 16;
    void *own = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool can = own != MAP_FAILED && madvise(own, bytes, MADV_WIPEONFORK) == 0;
    munmap(own, bytes);
    return can;
#else
    return false;
#endif
}

static int forked_child_differs(void *argument) {
    uint64_t parents = *(uint64_t *)argument, mine = coffer__fork_generation();
    return mine == parents ? 1 : answer_of_child(generation_differs, &mine);
}

static void test_a_child_of_a_raw_clone_has_another_generation(void **state) {
    (void)state;
    uint64_t generation = coffer__fork_generation();
    if (!can_wipe()) {
        skip(); /* fork's handler is all there is */
    }
    assert_int_equal(answer_of_raw_child(generation_differs, &generation), 0);
    assert_int_equal(answer_of_raw_child(forked_child_differs, &generation), 0);
    assert_int_equal(coffer__fork_generation(), generation);
}

static void test_no_memory_makes_no_lock(void **state) {
    (void)state;
    watched_alloc_begin(0);
    assert_null(coffer__lock_new());
    watched_alloc_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_a_lock_held_at_the_fork_is_free_in_the_child_after_reset),
        cmocka_unit_test(test_each_child_has_another_generation),
        cmocka_unit_test(test_a_child_of_a_raw_clone_has_another_generation),
        cmocka_unit_test(test_no_memory_makes_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
