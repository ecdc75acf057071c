/* The thread that pumps the invalidation channel: against a real server, over breaks, refusals and forks. */
#include "near/arena.h"
#include "near_support.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static size_t thread_count(void) {
    size_t count = 0;
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        count += entry->d_name[0] != '.';
    }
    closedir(folder);
    return count;
}

/* One that was joined may be seen for a moment yet. */
static void await_threads(size_t count) {
    for (uint64_t end_ms = real_ms() + 10000; thread_count() != count; pause_ms(1)) {
        assert_true(real_ms() < end_ms);
    }
}

/* No thread may be started in the child of a process with threads. */
static void skip_forks_under_tsan(void) {
#if defined(__SANITIZE_THREAD__)
    skip();
#endif
}

static coffer_cache *open_live(void) {
    coffer_cache *cache = open_near("");
    time_get(cache, COFFER_MISS, 0);
    await_live(cache, true);
    return cache;
}

static void *do_nothing(void *argument) {
    return argument;
}

/* The sanitizer's own thread begins with the first one. */
static void begin_others(void) {
    pthread_t thread;
    size_t before = thread_count();
    assert_int_equal(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    pthread_join(thread, NULL);
#if defined(__SANITIZE_THREAD__)
    before++;
#endif
    await_threads(before);
}

static void test_a_thread_begins_with_the_first_call_and_ends_with_the_cache(void **state) {
    (void)state;
    begin_others();
    size_t before = thread_count();
    coffer_cache *off = open_at(server.port, "");
    time_get(off, COFFER_MISS, 0);
    assert_int_equal(thread_count(), before);
    coffer_close(off);
    coffer_cache *cache = open_near("");
    assert_int_equal(thread_count(), before);
    time_get(cache, COFFER_MISS, 0);
    assert_int_equal(thread_count(), before + 1);
    await_live(cache, true);
    coffer_close(cache);
    await_threads(before);
}

static void test_what_others_change_goes(void **state) {
    (void)state;
    static const char *const changes[] = {
        "SET test:_:a 2", "DEL test:_:a", "PEXPIRE test:_:a 1", "RENAME test:_:a test:_:b", "RENAME test:_:b test:_:a", "APPEND test:_:a 3",
        "FLUSHDB",        "FLUSHALL"};
    coffer_cache *cache = open_live();
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        tell("SET test:_:a 1");
        tell("SET test:_:b 1");
        await_all_heard(cache);
        assert_int_equal(keep(cache, "test:_:a", "1"), COFFER_OK);
        tell(changes[i]);
        await_gone(cache, "test:_:a");
        assert_true(is_live(cache));
    }
    assert_int_equal(atomic_load(&coherence_of(cache)->flushes), 2);
    coffer_close(cache);
}

static void test_a_channel_that_is_killed_takes_all_copies_with_it_and_comes_back(void **state) {
    (void)state;
    coffer_cache *cache = open_live();
    for (int i = 0; i < 5; i++) {
        assert_int_equal(keep(cache, "test:_:k", "1"), COFFER_OK);
        uint32_t epoch = coffer__epoch(coherence_of(cache));
        tell("CLIENT KILL TYPE pubsub");
        await_gone(cache, "test:_:k");
        assert_true(coffer__epoch(coherence_of(cache)) != epoch);
        await_live(cache, true);
        assert_false(has(cache, "test:_:k"));
    }
    coffer_close(cache);
}

static void test_a_server_that_stands_still_is_believed_for_two_seconds(void **state) {
    (void)state;
    coffer_cache *cache = open_live();
    assert_int_equal(keep(cache, "test:_:k", "1"), COFFER_OK);
    kill(server.pid, SIGSTOP);
    uint64_t began_ms = real_ms(), look_ms = began_ms, last_ms = began_ms; /* the last look that found it began then: who looks may be late himself */
    for (; has(cache, "test:_:k"); look_ms = real_ms()) {
        assert_true(look_ms < began_ms + 10000);
        last_ms = look_ms;
        pause_ms(1);
    }
    kill(server.pid, SIGCONT);
    assert_true(last_ms - began_ms <= 2000 + OVERSHOOT_MS);
    await_live(cache, true);
    assert_false(has(cache, "test:_:k"));
    coffer_close(cache);
}

static void test_where_tracking_is_forbidden_copies_may_be_kept_and_it_shows(void **state) {
    (void)state;
    tell("ACL SETUSER plain on >secret ~* &* +@all -client|tracking");
    coffer_cache *cache = open_near("&username=plain&password=secret");
    time_get(cache, COFFER_MISS, 0);
    await_live(cache, true);
    assert_false(coffer__channel_is_tracked(coherence_of(cache), (unsigned)channel_of(cache)));
    assert_int_equal(keep(cache, "test:_:k", "1"), COFFER_OK);
    pause_ms(2500);
    await_live(cache, true);
    assert_true(stats_of(cache).connections_made <= 2); /* it is not asked again and again */
    coffer_close(cache);
    tell("ACL DELUSER plain");
}

static void be_child(coffer_cache *cache) {
    coffer_cache_namespace(cache); /* it finds out that it was forked */
    bool began_dead = !is_live(cache), began_alone = thread_count() == 1;
    coffer_value value;
    bool works = coffer_get(cache, COFFER_SLICE("key"), NULL, &value, NULL) == COFFER_MISS;
    for (uint64_t end_ms = real_ms() + 10000; !is_live(cache) && real_ms() < end_ms; pause_ms(1)) {
    }
    bool is_pumped = is_live(cache) && thread_count() == 2;
    coffer_close(cache);
    _exit(!began_dead + 2 * !began_alone + 4 * !works + 8 * !is_pumped);
}

static void test_a_child_of_fork_has_a_channel_of_its_own(void **state) {
    (void)state;
    skip_forks_under_tsan();
    coffer_cache *cache = open_live();
    for (int i = 0; i < 5; i++) {
        uint64_t takeovers = atomic_load(&coherence_of(cache)->takeovers);
        assert_int_equal(keep(cache, "test:_:k", "1"), COFFER_OK);
        pid_t child = fork();
        if (child == 0) {
            be_child(cache);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_true(has(cache, "test:_:k")); /* the parent's went on */
        assert_int_equal(atomic_load(&coherence_of(cache)->takeovers), takeovers);
    }
    coffer_close(cache);
}

static coffer_cache *open_shared(void) {
    char more[100];
    snprintf(more, sizeof more, "&near=shared&near_bytes=1MiB&near_name=coffer-pump-%ld", (long)getpid());
    return open_at(server.port, more);
}

static void remove_shared(void) {
    char name[100];
    snprintf(name, sizeof name, "/coffer-pump-%ld.u%u.%08x", (long)getpid(), (unsigned)getuid(), (unsigned)(coffer__arena_layout() >> 32));
    assert_int_equal(shm_unlink(name), 0);
}

static void write_one(coffer_cache *cache) {
    assert_int_equal(coffer_set(cache, COFFER_SLICE("other"), COFFER_SLICE("1"), NULL, NULL), COFFER_OK);
}

/* The end of who hears is found out by the next call of whoever is there, and not half a second later: six times that are three seconds. */
static void test_another_hears_from_its_first_call_after_the_end_of_who_did(void **state) {
    (void)state;
    coffer_cache *cache = open_shared();
    uint64_t waited_ms = 0;
    write_one(cache);
    await_live(cache, true);
    for (int i = 0; i < 6; i++) {
        coffer_cache *next = open_shared();
        for (int j = 0; j < 50; j++) {
            write_one(next); /* its thread has begun, and seen that another one leads */
        }
        coffer_close(cache);
        uint64_t closed_ms = real_ms();
        assert_false(is_live(next));
        for (; !is_live(next); pause_ms(1)) {
            write_one(next);
            assert_true(real_ms() < closed_ms + 10000);
        }
        waited_ms += real_ms() - closed_ms;
        cache = next;
    }
    assert_true(waited_ms < 1500);
    coffer_close(cache);
    remove_shared();
}

/* The end of the program finds the thread at work. */
static void test_a_program_may_end_without_closing(void **state) {
    (void)state;
    skip_forks_under_tsan();
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0) {
            static coffer_cache *cache; /* nothing is lost, it is only not closed */
            cache = open_near("");
            coffer_value value;
            coffer_get(cache, COFFER_SLICE("key"), NULL, &value, NULL);
            pause_ms(i * 3);
            fclose(stdout);
            exit(0);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thread_begins_with_the_first_call_and_ends_with_the_cache),
        cmocka_unit_test(test_what_others_change_goes),
        cmocka_unit_test(test_a_channel_that_is_killed_takes_all_copies_with_it_and_comes_back),
        cmocka_unit_test(test_a_server_that_stands_still_is_believed_for_two_seconds),
        cmocka_unit_test(test_where_tracking_is_forbidden_copies_may_be_kept_and_it_shows),
        cmocka_unit_test(test_a_child_of_fork_has_a_channel_of_its_own),
        cmocka_unit_test(test_another_hears_from_its_first_call_after_the_end_of_who_did),
        cmocka_unit_test(test_a_program_may_end_without_closing),
    };
    start_server(NULL);
    int failed = is_there ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
    stop_server(NULL);
    return failed;
}
