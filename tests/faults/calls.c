/* P13: each system call of the blocking driver fails, the nth alone and all from the nth on, until a run reaches no more of them. Whatever fails, the
 * operation ends in a status that is documented and by its deadline, no connection stays out, and the same cache works on when the fault is gone.
 *
 * The linker gives the calls of the library to those below (--wrap). Allocations: tests/c (watched_alloc) and the starving suites of the bindings. */
#include "io/with_tls.h"
#include "support/redis_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMEOUT_MS = 300, LATE_MS = 250, MOST_CALLS = 200 };

/* clang-format off */
/* X(name, result, parameters, arguments, what it fails with) */
#define CALL_MAP(X) \
    X(socket, int, (int family, int type, int protocol), (family, type, protocol), EMFILE) \
    X(connect, int, (int fd, const struct sockaddr *at, socklen_t len), (fd, at, len), ENETUNREACH) \
    X(send, ssize_t, (int fd, const void *bytes, size_t len, int flags), (fd, bytes, len, flags), EPIPE) \
    X(recv, ssize_t, (int fd, void *into, size_t cap, int flags), (fd, into, cap, flags), ECONNRESET) \
    X(poll, int, (struct pollfd *all, nfds_t count, int wait_ms), (all, count, wait_ms), ENOMEM) \
    X(setsockopt, int, (int fd, int level, int name, const void *value, socklen_t len), (fd, level, name, value, len), EINVAL) \
    X(getsockopt, int, (int fd, int level, int name, void *value, socklen_t *len), (fd, level, name, value, len), EINVAL) \
    X(getsockname, int, (int fd, struct sockaddr *at, socklen_t *len), (fd, at, len), ENOBUFS)
/* clang-format on */

typedef enum call_kind {
#define CALL_ENUM(name, result, parameters, arguments, why) CALL_##name,
    CALL_MAP(CALL_ENUM)
#undef CALL_ENUM
        CALL_fcntl,
    CALL_COUNT
} call_kind;

static const char *const call_names[] = {
#define CALL_NAME(name, result, parameters, arguments, why) #name,
    CALL_MAP(CALL_NAME)
#undef CALL_NAME
        "fcntl",
};

static struct {
    bool on;
    call_kind kind;
    int skip, count; /* so many succeed, then so many fail */
    int error; /* instead of the table's; 0: that */
    int failed;
} plan;

static bool strikes(call_kind kind, int error) {
    if (!plan.on || plan.kind != kind || plan.skip-- > 0 || plan.count-- <= 0) {
        return false;
    }
    plan.failed++;
    errno = plan.error != 0 ? plan.error : error;
    return true;
}

#define CALL_WRAP(name, result, parameters, arguments, why)                                                                                          \
    result __real_##name parameters;                                                                                                                 \
    result __wrap_##name parameters;                                                                                                                 \
    result __wrap_##name parameters {                                                                                                                \
        return strikes(CALL_##name, why) ? -1 : __real_##name arguments;                                                                             \
    }
CALL_MAP(CALL_WRAP)
#undef CALL_WRAP

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...) {
    va_list more;
    va_start(more, command);
    long argument = va_arg(more, long);
    va_end(more);
    return strikes(CALL_fcntl, EBADF) ? -1 : __real_fcntl(fd, command, argument);
}

/* ---- what is done meanwhile --------------------------------------------------------------------------------------- */

static redis_server server;
static bool is_there;
static const char *way; /* "tcp", "unix" or "tls" */

static coffer_cache *open_way(void) {
    char url[256];
    coffer_cache *cache = NULL;
    const char *options = "pool_max=2&timeout=300ms&acquire_timeout=300ms&breaker=false";
    if (strcmp(way, "unix") == 0) {
        snprintf(url, sizeof url, "unix://%s?%s", server.path, options);
    } else if (strcmp(way, "tls") == 0) {
        snprintf(url, sizeof url, "rediss://127.0.0.1:%u?tls_ca_file=%s/ca.pem&%s", (unsigned)server.tls_port, folder, options);
    } else {
        snprintf(url, sizeof url, "redis://127.0.0.1:%u?%s", (unsigned)server.port, options);
    }
    assert_int_equal(coffer_open_url(&cache, url, NULL), COFFER_OK);
    return cache;
}

static void assert_documented(coffer_status status, coffer_status fits[], size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (status == fits[i]) {
            return;
        }
    }
    fail_msg("%s is not what a failing %s ends in", coffer_status_name(status), call_names[plan.kind]);
}

/* A set, a get and a batch; each ends in time, and what is read is right. */
static void exchange(coffer_cache *cache) {
    static coffer_status fits[] = {COFFER_OK,       COFFER_MISS,    COFFER_CONNECT, COFFER_IO, COFFER_CLOSED, COFFER_MAYBE_APPLIED,
                                   COFFER_NOT_SENT, COFFER_TIMEOUT, COFFER_TLS};
    const coffer_slice keys[] = {COFFER_SLICE("one"), COFFER_SLICE("two"), COFFER_SLICE("three")};
    coffer_value values[3], value;
    coffer_status statuses[3], status;
    uint64_t began = real_ms();
    assert_documented(coffer_set(cache, keys[0], COFFER_SLICE("first"), NULL, NULL), fits, sizeof fits / sizeof fits[0]);
    status = coffer_get(cache, keys[0], NULL, &value, NULL);
    assert_documented(status, fits, sizeof fits / sizeof fits[0]);
    if (status == COFFER_OK) {
        assert_true(coffer_slice_equal(value.data, COFFER_SLICE("first")));
        coffer_value_clear(&value);
    }
    status = coffer_get_many(cache, keys, 3, NULL, values, statuses, NULL);
    assert_documented(status, fits, sizeof fits / sizeof fits[0]);
    if (status == COFFER_OK) {
        coffer_values_clear(values, 3);
    }
    assert_true(real_ms() - began <= 3 * (TIMEOUT_MS + LATE_MS));
}

static void assert_whole(coffer_cache *cache) {
    coffer_value value;
    coffer_metrics metrics = stats_of(cache);
    assert_int_equal(metrics.connections_in_use, 0);
    assert_true(metrics.connections_open <= 2);
    assert_int_equal(coffer_set(cache, COFFER_SLICE("whole"), COFFER_SLICE("again"), NULL, NULL), COFFER_OK);
    assert_int_equal(coffer_get(cache, COFFER_SLICE("whole"), NULL, &value, NULL), COFFER_OK);
    assert_true(coffer_slice_equal(value.data, COFFER_SLICE("again")));
    coffer_value_clear(&value);
}

/* False: the nth was not reached. */
static bool fail_from(call_kind kind, int nth, int count, int error) {
    coffer_cache *cache = open_way();
    plan.kind = kind;
    plan.skip = nth;
    plan.count = count;
    plan.error = error;
    plan.failed = 0;
    plan.on = true;
    exchange(cache);
    plan.on = false;
    assert_whole(cache);
    coffer_close(cache);
    return plan.failed > 0;
}

static int open_descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += __real_fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void fail_each(int count, int error) {
    if (!is_there) {
        skip();
    }
    int sites = 0, before = open_descriptors();
    for (call_kind kind = 0; kind < CALL_COUNT; kind++) {
        int nth = 0;
        while (nth < MOST_CALLS && fail_from(kind, nth, count, error)) {
            nth++;
        }
        assert_true(nth < MOST_CALLS); /* it came to an end */
        sites += nth;
    }
    assert_int_equal(open_descriptors(), before);
    print_message("[   INFO   ] %d calls failed over %s\n", sites, way);
    assert_true(sites > 10);
}

static void test_each_system_call_fails_once(void **state) {
    way = (const char *)*state;
    fail_each(1, 0);
}

static void test_each_system_call_fails_for_good(void **state) {
    way = (const char *)*state;
    fail_each(1 << 30, 0);
}

static void test_each_system_call_is_interrupted_once(void **state) {
    static const call_kind may_be[] = {CALL_send, CALL_recv, CALL_poll};
    way = (const char *)*state;
    if (!is_there) {
        skip();
    }
    for (size_t i = 0; i < sizeof may_be / sizeof may_be[0]; i++) {
        int nth = 0;
        while (nth < MOST_CALLS && fail_from(may_be[i], nth, 1, EINTR)) {
            nth++;
        }
    }
}

static int start(void **state) {
    is_there = make_certificates(state) == 0 && redis_server_start_tls(&server, folder, "no");
    return 0;
}

static int stop(void **state) {
    if (is_there) {
        redis_server_stop(&server);
    }
    return remove_certificates(state);
}

#define OVER(test, where)                                                                                                                            \
    { #test " over " where, test, NULL, NULL, (void *)(uintptr_t)where }

int main(void) {
    const struct CMUnitTest tests[] = {
        OVER(test_each_system_call_fails_once, "tcp"),           OVER(test_each_system_call_fails_once, "unix"),
        OVER(test_each_system_call_fails_for_good, "tcp"),       OVER(test_each_system_call_fails_for_good, "unix"),
        OVER(test_each_system_call_fails_once, "tls"),           OVER(test_each_system_call_fails_for_good, "tls"),
        OVER(test_each_system_call_is_interrupted_once, "tls"),  OVER(test_each_system_call_is_interrupted_once, "tcp"),
        OVER(test_each_system_call_is_interrupted_once, "unix"),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
