/* P13: each allocation fails on the way from opening a cache to values over TLS: those of the core, of OpenSSL, of hiredis and of zstd, the nth alone,
 * and all from the nth on. Each step is done as ever or says that it cannot be, no connection and no block stays behind, OpenSSL's queue of errors is
 * empty, the same cache works on, and a certificate that is wrong is never taken for right.
 *
 * How: the libraries' malloc is relocated to one that refuses (support/starve.h), the core's is set to the same. There are thousands, most of them
 * OpenSSL's: those near the beginning are all tried, then one in so many (COFFER_INJECT_EVERY=1 tries all). */
#include "io/with_tls.h"
#include "support/redis_server.h"
#include "support/starve.h"

#include "base/alloc.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ALL_OF = 120, EVERY = 31, ONCE_EVERY = 23, HELLOS = 1500, FEW = 7, MOST = 200000, LARGE_BYTES = 200 << 10, PATIENCE_MS = 10000 };

static redis_server server;
static bool is_there;
static char *large; /* it comes in pieces, which are hiredis' to put together */

/* ---- the core's allocator ----------------------------------------------------------------------------------------- */

static void *refusing_malloc(size_t size) {
    void *block = starve_refuses() ? NULL : malloc(size);
    starve_count(block != NULL);
    return block;
}

static void *refusing_resize(void *old, size_t size) {
    void *block = starve_refuses() ? NULL : realloc(old, size);
    starve_count(block != NULL && old == NULL);
    return block;
}

static void refusing_release(void *block) {
    starve_count(block == NULL ? 0 : -1);
    free(block);
}

static bool hook(void) {
    static const coffer__allocator refusing = {refusing_malloc, refusing_resize, refusing_release};
    static const char *const libraries[] = {"/libcrypto.", "/libhiredis.", "/libzstd."}; /* libssl asks libcrypto */
    bool all = true;
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        if (starve_hook(libraries[i]) == 0) {
            print_message("[   INFO   ] %s cannot be starved here\n", libraries[i]);
            all = false;
        }
    }
    coffer__set_allocator(&refusing);
    return all;
}

/* ---- what is done meanwhile --------------------------------------------------------------------------------------- */

static long step; /* of those that are tried: the allocation that fails */
static const char *name_in_certificate = "127.0.0.1", *authority = "ca";

static coffer_status open_it(coffer_cache **cache, coffer_error *error) {
    char url[600];
    snprintf(url, sizeof url,
             "rediss://127.0.0.1:%u?tls_ca_file=%s/%s.pem&tls_cert_file=%s/client.pem&tls_key_file=%s/client.key&tls_server_name=%s&pool_max=1"
             "&timeout=%dms&breaker=false&on_outage=error&compress=always",
             (unsigned)server.tls_port, folder, authority, folder, folder, name_in_certificate, PATIENCE_MS);
    return coffer_open_url(cache, url, error);
}

/* It was done, or memory was short. Where OpenSSL hides why it failed, the operation ended in what TLS failures end in; and a connection that broke in
 * the midst of it may have carried a write. */
static bool fits(coffer_status status, const coffer_error *error) {
    static const coffer_status all[] = {COFFER_OK,     COFFER_MISS, COFFER_NO_MEMORY, COFFER_TLS,    COFFER_MAYBE_APPLIED, COFFER_NOT_SENT,
                                        COFFER_CLOSED, COFFER_IO,   COFFER_NO_RANDOM, COFFER_OPTION, COFFER_CERTIFICATE};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (status == all[i]) {
            return status >= COFFER_OK || strlen(error->text) > 8;
        }
    }
    print_error("allocation %ld: %s '%s'\n", step, coffer_status_name(status), error->text);
    return false;
}

static bool set_and_get(coffer_cache *cache, coffer_slice key, coffer_slice value) {
    coffer_error error = {.text = ""};
    coffer_value got;
    if (!fits(coffer_set(cache, key, value, NULL, &error), &error)) {
        return false;
    }
    coffer_status status = coffer_get(cache, key, NULL, &got, &error);
    bool right = fits(status, &error) && (status != COFFER_OK || coffer_slice_equal(got.data, value));
    if (status == COFFER_OK) {
        coffer_value_clear(&got);
    }
    return right;
}

static coffer_cache *opened; /* what exchange leaves open */

/* Opens, stores and reads; leaves the cache open where it could be opened. */
static bool exchange(void) {
    coffer_error error = {.text = ""};
    coffer_status status = open_it(&opened, &error);
    if (status != COFFER_OK) {
        return opened == NULL && fits(status, &error);
    }
    return set_and_get(opened, COFFER_SLICE("small"), COFFER_SLICE("a value")) &&
           set_and_get(opened, COFFER_SLICE("large"), coffer_slice_of(large, LARGE_BYTES));
}

static bool works(coffer_cache *cache) {
    coffer_value value;
    coffer_error error = {.text = ""};
    bool right = coffer_set(cache, COFFER_SLICE("whole"), COFFER_SLICE("again"), NULL, &error) == COFFER_OK &&
                 coffer_get(cache, COFFER_SLICE("whole"), NULL, &value, &error) == COFFER_OK;
    if (right) {
        right = coffer_slice_equal(value.data, COFFER_SLICE("again"));
        coffer_value_clear(&value);
    } else {
        print_error("after allocation %ld: %s '%s'\n", step, coffer_status_name(error.status), error.text);
    }
    return right;
}

static int open_descriptors(void) {
    struct stat about;
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fstat(fd, &about) == 0;
    }
    return count;
}

static long every(long usual) {
    const char *said = getenv("COFFER_INJECT_EVERY");
    return said == NULL ? usual : atol(said);
}

/* ---- each allocation ---------------------------------------------------------------------------------------------- */

/* False: there were no `step` allocations. */
static bool fail_at(long count) {
    opened = NULL;
    starve_begin(step, count);
    bool fine = exchange();
    bool did_starve = starve_end();
    assert_true(fine);
    assert_int_equal(ERR_peek_error(), 0);
    coffer_close(opened);
    return did_starve;
}

static void begin(void) {
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = NULL;
    assert_int_equal(open_it(&cache, NULL), COFFER_OK); /* what libraries make once and keep */
    assert_true(works(cache));
    coffer_close(cache);
}

static void fail_each(long count, long stride) {
    begin();
    step = 0;
    fail_at(count); /* and what they make once for their failures */
    int descriptors = open_descriptors();
    long tried = 0, blocks = starve_live();
    for (step = 0; step < MOST && fail_at(count); step += step < ALL_OF ? 1 : stride) {
        tried++;
    }
    print_message("[   INFO   ] %ld of about %ld allocations failed; %ld blocks more than before\n", tried, step, starve_live() - blocks);
    assert_true(step < MOST && tried > 100);
    assert_int_equal(open_descriptors(), descriptors);
    assert_true(starve_live() - blocks <= tried / 10);
}

static void test_each_allocation_fails_once(void **state) {
    (void)state;
    fail_each(1, every(EVERY));
}

static void test_each_allocation_fails_for_good(void **state) {
    (void)state;
    fail_each(STARVE_FOR_GOOD, every(ONCE_EVERY));
}

/* Once the server has said who it is, none is left out: OpenSSL 3.0 takes no notice of three of them, and would then have verified no name. */
static void assert_never_trusted(long stride) {
    coffer_cache *cache = NULL;
    assert_int_equal(open_it(&cache, NULL), COFFER_OK);
    bool did_starve = true;
    for (step = 0; step < MOST && did_starve; step += step < HELLOS ? every(FEW) : stride) {
        coffer_error error = {.text = ""};
        starve_begin(step, 1);
        coffer_status status = coffer_ping(cache, &error);
        did_starve = starve_end();
        if (status >= COFFER_OK || strlen(error.text) <= 8) {
            fail_msg("allocation %ld: %s '%s'", step, coffer_status_name(status), error.text);
        }
    }
    assert_true(step > HELLOS);
    coffer_close(cache);
}

static void test_no_failure_lets_a_certificate_for_another_name_pass(void **state) {
    (void)state;
    begin();
    name_in_certificate = "elsewhere.test";
    assert_never_trusted(1);
    name_in_certificate = "127.0.0.2";
    assert_never_trusted(1);
    name_in_certificate = "127.0.0.1";
}

static void test_no_failure_lets_a_stranger_s_certificate_pass(void **state) {
    (void)state;
    begin();
    authority = "other_ca";
    assert_never_trusted(every(FEW));
    authority = "ca";
}

/* ---- first use ---------------------------------------------------------------------------------------------------- */

/* What libraries set up once in a process. A child for each; in one where OpenSSL could not be set up nothing may work later, but nothing crashes. */
static void test_the_first_use_of_all_may_fail(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    for (step = 0; step < 20000; step += 1 + step / 4) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            starve_begin(step, 1);
            bool fine = exchange();
            starve_end();
            _exit(fine ? 0 : 1);
        }
        waitpid(child, &status, 0);
        if (status != 0) {
            fail_msg("allocation %ld of the first use: the child ended with %d", step, status);
        }
    }
}

/* ---- the suite ---------------------------------------------------------------------------------------------------- */

static int start(void **state) {
    large = (char *)malloc(LARGE_BYTES);
    is_there = large != NULL && make_certificates(state) == 0 && redis_server_start_tls(&server, folder, "optional") && hook();
    for (uint32_t i = 0, random = 1; large != NULL && i < LARGE_BYTES; i++) { /* which zstd does not make smaller */
        random = random * 1664525u + 1013904223u;
        large[i] = (char)(random >> 24);
    }
    return 0;
}

static int stop(void **state) {
    coffer__set_allocator(NULL);
    free(large);
    if (server.pid > 0) {
        redis_server_stop(&server);
    }
    return remove_certificates(state);
}

/* One test's name may be given. */
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_use_of_all_may_fail), /* before any other use */
        cmocka_unit_test(test_each_allocation_fails_once),
        cmocka_unit_test(test_each_allocation_fails_for_good),
        cmocka_unit_test(test_no_failure_lets_a_certificate_for_another_name_pass),
        cmocka_unit_test(test_no_failure_lets_a_stranger_s_certificate_pass),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, start, stop);
}
