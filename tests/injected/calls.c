/* P13: each system call of the blocking driver fails, for each reason of the table in sites.h, the nth alone, and all from the nth on, until a run
 * reaches no more of them. Whatever fails, the operation ends in a status that is documented, with a sentence, and by its deadline; nothing wrong is
 * read, no connection and no descriptor stays behind, and the same cache works on when the fault is gone. The leak sanitizer sees the rest.
 *
 *     injected_calls OBJECTS        a file that names the objects of core/src/io and core/src/base, a line each
 *
 * Allocations: memory.c, tests/c (watched_alloc) and the starving suites of the bindings. */
#include "io/with_tls.h"
#include "sites.h"
#include "support/redis_server.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { TIMEOUT_MS = 100, PATIENCE_MS = 10000, LATE_MS = 700, MOST_CALLS = 250, THREADS = 3, LARGE_BYTES = 6000, SEND_IS_FULL = 4 };

static redis_server server;
static bool is_there;
static const char *objects; /* the file that names them */
static char *large;

/* ---- what is done meanwhile --------------------------------------------------------------------------------------- */

typedef struct way {
    const char *name;
    const char *url; /* %u: the port; %s: the folder of the certificates; or of the socket */
    void (*work)(coffer_cache *cache);
    site only; /* what fails on this way; 0: everything */
} way;

static const way *went; /* the one that is gone now */
static int timeout_ms = TIMEOUT_MS;
static site failing;
static size_t reason;

static void assert_documented(coffer_status status, const coffer_error *error) {
    static const coffer_status fits[] = {COFFER_OK,        COFFER_MISS,          COFFER_CONNECT,     COFFER_IO,
                                         COFFER_CLOSED,    COFFER_MAYBE_APPLIED, COFFER_DNS,         COFFER_NOT_SENT,
                                         COFFER_TIMEOUT,   COFFER_TLS,           COFFER_CREDENTIALS, COFFER_OPTION,
                                         COFFER_NO_RANDOM, COFFER_NO_MEMORY,     COFFER_CERTIFICATE, COFFER_POOL_TIMEOUT};
    for (size_t i = 0; i < sizeof fits / sizeof fits[0]; i++) {
        if (status == fits[i] && (status >= COFFER_OK || strlen(error->text) > 8)) {
            return;
        }
    }
    fail_msg("%s '%s' is not what a failing %s (%s) ends in over %s", coffer_status_name(status), error->text, site_name(failing),
             site_reason_text(failing, reason), went->name);
}

static void set_and_get(coffer_cache *cache, coffer_slice key, coffer_slice value) {
    coffer_error error = {.text = ""};
    coffer_value got;
    assert_documented(coffer_set(cache, key, value, NULL, &error), &error);
    coffer_status status = coffer_get(cache, key, NULL, &got, &error);
    assert_documented(status, &error);
    if (status == COFFER_OK) {
        assert_true(coffer_slice_equal(got.data, value));
        coffer_value_clear(&got);
    }
}

/* A set, a get and a batch; each ends in time, and what is read is right. */
static void exchange(coffer_cache *cache) {
    const coffer_slice keys[] = {COFFER_SLICE("one"), COFFER_SLICE("two"), COFFER_SLICE("three")};
    coffer_error error = {.text = ""};
    coffer_value values[3];
    coffer_status statuses[3];
    uint64_t began = real_ms();
    set_and_get(cache, keys[0], COFFER_SLICE("first"));
    coffer_status status = coffer_get_many(cache, keys, 3, NULL, values, statuses, &error);
    assert_documented(status, &error);
    for (size_t i = 0; i < 3; i++) {
        assert_true(statuses[i] != COFFER_OK || (i == 0 && coffer_slice_equal(values[0].data, COFFER_SLICE("first"))));
    }
    if (status == COFFER_OK) {
        coffer_values_clear(values, 3);
    }
    assert_true(real_ms() - began <= 3 * (TIMEOUT_MS + LATE_MS));
}

static void *exchange_large(void *cache) {
    set_and_get((coffer_cache *)cache, COFFER_SLICE("large"), coffer_slice_of(large, LARGE_BYTES));
    return NULL;
}

/* More than the kernel takes at once: what is left is polled for. In a thread of its own, which has nothing to poll with yet. */
static void exchange_anew(coffer_cache *cache) {
    pthread_t thread;
    site_narrow(true);
    if (pthread_create(&thread, NULL, exchange_large, cache) == 0) {
        pthread_join(thread, NULL);
    }
    site_narrow(false);
}

static void *exchange_often(void *argument) {
    char text[32];
    snprintf(text, sizeof text, "%lx", (unsigned long)pthread_self()); /* a key of its own: whatever is read from it, it has written */
    for (int i = 0; i < 3; i++) {
        set_and_get((coffer_cache *)argument, coffer_slice_text(text), coffer_slice_text(text));
    }
    return NULL;
}

/* Several on one connection. */
static void exchange_together(coffer_cache *cache) {
    pthread_t threads[THREADS];
    size_t count = 0;
    while (count < THREADS && pthread_create(&threads[count], NULL, exchange_often, cache) == 0) {
        count++;
    }
    while (count > 0) {
        pthread_join(threads[--count], NULL);
    }
}

/* clang-format off */
static const way tcp = {"tcp", "redis://127.0.0.1:%2$u?pool_max=2", exchange, 0};
static const way local = {"unix", "unix://%3$s?pool_max=2", exchange, 0};
static const way tls = {"tls", "rediss://127.0.0.1:%4$u?pool_max=2&tls_ca_file=%1$s/ca.pem&tls_cert_file=%1$s/client.pem&tls_key_file=%1$s/client.key", exchange, 0};
static const way system_tls = {"tls with the system's authorities", "rediss://127.0.0.1:%4$u?pool_max=2", exchange, SITE_access};
static const way name = {"a name, with a password in a file", "redis://localhost:%2$u?pool_max=2&password_file=%1$s/password", exchange, 0};
static const way shared = {"tcp, by threads", "redis://127.0.0.1:%2$u?pool_max=1", exchange_together, 0};
static const way wide = {"unix, with much to say", "unix://%3$s?pool_max=2&compress=never", exchange_anew, 0};
/* clang-format on */

static coffer_status open_way(coffer_cache **cache, coffer_error *error) {
    char url[600], whole[700];
    snprintf(url, sizeof url, went->url, folder, (unsigned)server.port, server.path, (unsigned)server.tls_port);
    snprintf(whole, sizeof whole, "%s&timeout=%dms&acquire_timeout=%dms&breaker=false&on_outage=error&on_outage=error", url, timeout_ms, timeout_ms);
    return coffer_open_url(cache, whole, error);
}

/* It does not matter what has failed before. With time enough: a busy machine may need more than the operations above are given. */
static void assert_whole(coffer_cache *cache) {
    const coffer_write_options writing = {.struct_size = sizeof writing, .timeout_ms = PATIENCE_MS};
    const coffer_read_options reading = {.struct_size = sizeof reading, .timeout_ms = PATIENCE_MS};
    coffer_error error = {.text = ""};
    coffer_value value;
    coffer_metrics metrics = stats_of(cache);
    assert_int_equal(metrics.connections_in_use, 0);
    assert_true(metrics.connections_open <= 2);
    if (went == &system_tls) { /* nobody there has signed our server */
        return;
    }
    bool stored = false;
    for (int tries = 0; tries < 30 && !stored; tries++) { /* a connection that says nothing for so long as is usual is closed all the same */
        stored = coffer_set(cache, COFFER_SLICE("whole"), COFFER_SLICE("again"), &writing, &error) == COFFER_OK &&
                 coffer_get(cache, COFFER_SLICE("whole"), &reading, &value, &error) == COFFER_OK;
    }
    if (!stored) {
        fail_msg("after %s (%s): %s", site_name(failing), site_reason_text(failing, reason), error.text);
    }
    assert_true(coffer_slice_equal(value.data, COFFER_SLICE("again")));
    coffer_value_clear(&value);
}

/* False: the nth was not reached. */
static bool fail_from(long nth, long count) {
    coffer_cache *cache;
    coffer_error error = {.text = ""};
    site_begin(failing, reason, nth, count);
    coffer_status opened = open_way(&cache, &error);
    assert_documented(opened, &error);
    if (opened == COFFER_OK) {
        went->work(cache);
    }
    long failed = site_end();
    if (opened == COFFER_OK) {
        assert_whole(cache);
        site_begin(failing, reason, 0, count); /* and while it is closed */
        coffer_close(cache);
        site_end();
    }
    return failed > 0;
}

/* What this thread keeps once it had to wait for several things at once, as it does where the socket is full. */
static void warm_up(void) {
    coffer_cache *cache = NULL;
    assert_string_equal(site_reason_text(SITE_send, SEND_IS_FULL), strerror(EAGAIN));
    site_begin(SITE_send, SEND_IS_FULL, 0, 1);
    assert_int_equal(open_way(&cache, NULL), COFFER_OK);
    went->work(cache);
    assert_true(site_end() == 1);
    coffer_close(cache);
}

static int open_descriptors(void) {
    struct stat about;
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fstat(fd, &about) == 0;
    }
    return count;
}

/* ---- each call, alone and for good -------------------------------------------------------------------------------- */

static void begin_on(void **state) {
    if (!is_there) {
        skip();
    }
    went = (const way *)*state;
}

static void test_each_system_call_fails_once(void **state) {
    begin_on(state);
    warm_up();
    int sites = 0, before = open_descriptors();
    for (failing = went->only; failing < (went->only == 0 ? SITE_COUNT : went->only + 1); failing++) {
        for (reason = 0; reason < site_reason_count(failing); reason++) {
            long nth = 0;
            while (nth < MOST_CALLS && fail_from(nth, 1)) {
                nth++;
            }
            assert_true(nth < MOST_CALLS); /* it came to an end */
            sites += (int)nth;
        }
    }
    assert_int_equal(open_descriptors(), before);
    print_message("[   INFO   ] %d calls failed over %s\n", sites, went->name);
    assert_true(sites > 0);
}

/* Interrupted for good, or woken for nothing: that is nothing a kernel does. */
static bool lasts(void) {
    const char *why = site_reason_text(failing, reason);
    return strcmp(why, strerror(EINTR)) != 0 && strcmp(why, "nothing") != 0;
}

/* From each call on, for the first reason; for the others from the first and from one in the midst. */
static void test_each_system_call_fails_for_good(void **state) {
    static const long from[] = {0, 4};
    begin_on(state);
    warm_up();
    int before = open_descriptors();
    for (failing = 0; failing < SITE_COUNT; failing++) {
        for (reason = 0; reason < site_reason_count(failing); reason++) {
            long nth = 0;
            while (lasts() && nth < (reason == 0 ? MOST_CALLS : 2) && fail_from(reason == 0 ? nth : from[nth], SITE_FOR_GOOD)) {
                nth++;
            }
            assert_true(nth < MOST_CALLS);
        }
    }
    assert_int_equal(open_descriptors(), before);
}

/* The server stands still, so that the connection is taken from whoever reads it. */
static void test_letting_a_reader_go_may_fail(void **state) {
    begin_on(state);
    coffer_cache *cache;
    assert_int_equal(open_way(&cache, NULL), COFFER_OK);
    went->work(cache);
    failing = SITE_shutdown;
    reason = 0;
    site_begin(failing, reason, 0, SITE_FOR_GOOD);
    kill(server.pid, SIGSTOP);
    exchange_together(cache);
    kill(server.pid, SIGCONT);
    assert_true(site_end() > 0);
    assert_whole(cache);
    coffer_close(cache);
}

/* ---- what is done once in a process ------------------------------------------------------------------------------- */

static bool works(coffer_cache *cache, const char *text) {
    coffer_value value;
    bool right = coffer_set(cache, coffer_slice_text(text), coffer_slice_text(text), NULL, NULL) == COFFER_OK &&
                 coffer_get(cache, coffer_slice_text(text), NULL, &value, NULL) == COFFER_OK;
    right = right && coffer_slice_equal(value.data, coffer_slice_text(text));
    if (right) {
        coffer_value_clear(&value);
    }
    return right;
}

/* In a child: it forks on, so that the notice of forks is needed. Its own child has to have a connection of its own. */
static int be_first(void) {
    coffer_cache *cache;
    coffer_error error = {.text = ""};
    alarm(20);
    timeout_ms = PATIENCE_MS;
    site_begin(failing, 0, 0, 1);
    if (open_way(&cache, &error) != COFFER_OK || !works(cache, "before")) {
        return 1;
    }
    long failed = site_end();
    pid_t child = fork();
    if (child == 0) {
        bool fine = works(cache, "child") && stats_of(cache).connections_made == 2; /* its parent's is counted */
        coffer_close(cache);
        _exit(fine ? 0 : 1);
    }
    int status = -1;
    bool fine = works(cache, "parent") && waitpid(child, &status, 0) == child && status == 0 && stats_of(cache).connections_made == 1;
    coffer_close(cache);
    return failed != 1 ? 2 : fine ? 0 : 3;
}

/* This test is the first: nothing of the library was used before it. What fails leaves something else to notice forks by. */
static void test_what_is_set_up_once_may_fail(void **state) {
    static const site once[] = {SITE_mmap, SITE_madvise, SITE_sysconf, SITE_pthread_atfork, SITE_pthread_key_create, SITE_pthread_setspecific};
    begin_on(state);
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++) {
        int status = -1;
        failing = once[i];
        pid_t child = fork();
        if (child == 0) {
            _exit(be_first());
        }
        waitpid(child, &status, 0);
        if (status != 0) {
            fail_msg("%s failed: the child ended with %d", site_name(failing), status);
        }
    }
}

static coffer_cache *forked;
static pid_t forked_child;

static int open_sockets(void) {
    struct stat about;
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fstat(fd, &about) == 0 && S_ISSOCK(about.st_mode);
    }
    return count;
}

/* As another thread might: at any moment of this one. */
static void fork_now(void) {
    int before = open_sockets();
    forked_child = fork();
    if (forked_child == 0) {
        bool fine = works(forked, "child") && open_sockets() <= before;
        _exit(fine ? 0 : 1);
    }
}

/* A connection that is being made at the fork is closed in the child too, which has one of its own then. */
static void test_a_fork_while_connecting_leaves_nothing_in_the_child(void **state) {
    static const site moments[] = {SITE_connect, SITE_ppoll, SITE_getsockopt, SITE_send, SITE_recv};
    begin_on(state);
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        int status = -1;
        timeout_ms = PATIENCE_MS;
        assert_int_equal(open_way(&forked, NULL), COFFER_OK);
        timeout_ms = TIMEOUT_MS;
        site_at(moments[i], fork_now);
        forked_child = -1;
        assert_true(works(forked, "parent"));
        site_at(moments[i], NULL);
        if (forked_child != -1) { /* connected at once: nothing to poll for */
            assert_int_equal(waitpid(forked_child, &status, 0), forked_child);
            assert_int_equal(status, 0);
        }
        assert_true(works(forked, "parent"));
        coffer_close(forked);
    }
}

/* ---- completeness ------------------------------------------------------------------------------------------------- */

static bool is_word_of(const char *words, const char *word) {
    size_t len = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += len) {
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool is_known(const char *symbol) {
    static const char *const spared[] = {
#define SPARED_WORDS(why, words) words,
        SITE_SPARED_MAP(SPARED_WORDS)
#undef SPARED_WORDS
    };
    for (site which = 0; which < SITE_COUNT; which++) {
        if (strcmp(symbol, site_name(which)) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof spared / sizeof spared[0]; i++) {
        if (is_word_of(spared[i], symbol)) {
            return true;
        }
    }
    return false;
}

/* Our own, OpenSSL's, which begin with a capital, and what sanitizers put in. */
static bool is_of_others(const char *symbol) {
    static const char *const beginnings[] = {"coffer_", "__asan_", "__ubsan_", "__tsan_", "__sanitizer_", "__msan_", "__sanitize"};
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++) {
        if (strncmp(symbol, beginnings[i], strlen(beginnings[i])) == 0) {
            return true;
        }
    }
    return symbol[0] >= 'A' && symbol[0] <= 'Z';
}

/* A call that is new to the driver fails this test, until it has a row in sites.h. */
static void test_every_call_of_the_driver_has_its_row(void **state) {
    char command[400], line[300], symbol[300];
    size_t seen = 0;
    (void)state;
    if (objects == NULL || system("command -v nm >/dev/null") != 0) {
        skip();
    }
    snprintf(command, sizeof command, "xargs nm -u < %s", objects);
    FILE *symbols = popen(command, "r");
    assert_non_null(symbols);
    while (fgets(line, sizeof line, symbols) != NULL) {
        if (sscanf(line, " %*1[Uw] %299s", symbol) == 1 && !is_of_others(symbol)) {
            seen++;
            if (!is_known(symbol)) {
                fail_msg("%s is called and has no row in tests/injected/sites.h", symbol);
            }
        }
    }
    assert_int_equal(pclose(symbols), 0);
    assert_true(seen > 100);
}

/* The last: each row was reached by the ways above. (Those that are done once in a process failed in children.) */
static void test_every_row_was_tried(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    int missing = 0;
    for (site which = 0; which < SITE_COUNT; which++) {
        bool once = which == SITE_mmap || which == SITE_madvise || which == SITE_sysconf || which == SITE_pthread_atfork ||
                    which == SITE_pthread_key_create || which == SITE_pthread_setspecific;
        if (site_hits(which) == 0 && !once) {
            print_error("no test makes %s fail\n", site_name(which));
            missing++;
        }
    }
    assert_int_equal(missing, 0);
}

/* ---- the suite ---------------------------------------------------------------------------------------------------- */

static int start(void **state) {
    char path[100];
    is_there = make_certificates(state) == 0 && redis_server_start_tls(&server, folder, "optional");
    snprintf(path, sizeof path, "%s/password", folder);
    FILE *password = fopen(path, "w");
    large = (char *)malloc(LARGE_BYTES);
    if (password == NULL || large == NULL) {
        return -1;
    }
    fputs("any will do: the server's user has none\n", password);
    for (size_t i = 0; i < LARGE_BYTES; i++) {
        large[i] = (char)(i * 2654435761u >> 13);
    }
    return fclose(password);
}

static int stop(void **state) {
    free(large);
    if (is_there) {
        redis_server_stop(&server);
    }
    return remove_certificates(state);
}

#define OVER(test, way)                                                                                                                              \
    { #test " over " #way, test, NULL, NULL, (void *)(uintptr_t)&way }

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        OVER(test_what_is_set_up_once_may_fail, tcp),
        OVER(test_each_system_call_fails_once, tcp),
        OVER(test_each_system_call_fails_once, local),
        OVER(test_each_system_call_fails_once, tls),
        OVER(test_each_system_call_fails_once, system_tls),
        OVER(test_each_system_call_fails_once, name),
        OVER(test_each_system_call_fails_once, shared),
        OVER(test_each_system_call_fails_once, wide),
        OVER(test_each_system_call_fails_for_good, tcp),
        OVER(test_each_system_call_fails_for_good, local),
        OVER(test_each_system_call_fails_for_good, tls),
        OVER(test_each_system_call_fails_for_good, name),
        OVER(test_a_fork_while_connecting_leaves_nothing_in_the_child, tcp),
        OVER(test_a_fork_while_connecting_leaves_nothing_in_the_child, local),
        OVER(test_a_fork_while_connecting_leaves_nothing_in_the_child, tls),
        OVER(test_letting_a_reader_go_may_fail, shared),
        cmocka_unit_test(test_every_call_of_the_driver_has_its_row),
        cmocka_unit_test(test_every_row_was_tried),
    };
    objects = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests(tests, start, stop);
}
