/* For the suites of TLS: certificates of their own, made anew, and caches that trust them.
 * cmocka_run_group_tests(tests, make_certificates, remove_certificates) */
#ifndef COFFER_TESTS_IO_WITH_TLS_H
#define COFFER_TESTS_IO_WITH_TLS_H

#include "helpers.h"
#include "support/tls_server.h"

#include <openssl/err.h>
#include <stdlib.h>

static char folder[64] = "/tmp/coffer-tls-XXXXXX";

static inline int make_certificates(void **state) {
    char command[200];
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(command, sizeof command, "sh tests/certificates.sh %s >%s/log 2>&1", folder, folder);
    return system(command);
}

static inline int remove_certificates(void **state) {
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* "ca": the option tls_ca_file that names ca.pem of the folder. */
static inline void set_file(coffer_options *options, const char *option, const char *name) {
    char path[200];
    coffer_error error = {.text = ""};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (coffer_options_set(options, option, coffer_slice_text(path), &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
}

static inline coffer_options *options_for(const char *host, uint16_t port, const char *more) {
    char url[300];
    coffer_error error = {.text = ""};
    coffer_options *options = coffer_options_new();
    snprintf(url, sizeof url, "rediss://%s:%u/0?prefix=test&timeout=5s&on_outage=error%s", host, (unsigned)port, more);
    if (coffer_options_set_url(options, coffer_slice_text(url), &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    return options;
}

static inline coffer_cache *open_with(coffer_options *options) {
    coffer_cache *cache = NULL;
    coffer_error error = {.text = ""};
    if (coffer_open(&cache, options, &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    coffer_options_free(options);
    return cache;
}

static inline coffer_cache *open_tls(const char *host, uint16_t port, const char *more) {
    coffer_options *options = options_for(host, port, more);
    set_file(options, "tls_ca_file", "ca.pem");
    return open_with(options);
}

/* TIMEOUT is expected of a cache that was opened with SHORT. */
enum { SHORT_MS = 300 };
#define SHORT "&timeout=300ms"

static inline void assert_says(coffer_cache *cache, coffer_status status, const char *words) {
    coffer_error error = {.text = ""};
    uint64_t began = real_ms();
    coffer_status got = coffer_get(cache, COFFER_SLICE("key"), NULL, NULL, &error);
    uint64_t took = real_ms() - began;
    if (got != status || strstr(error.text, words) == NULL) {
        fail_msg("%s instead of %s: '%s', not '%s'", coffer_status_name(got), coffer_status_name(status), error.text, words);
    }
    if (status == COFFER_TIMEOUT) {
        assert_in_range(took, SHORT_MS - 2, SHORT_MS + 4 * OVERSHOOT_MS);
    }
    assert_int_equal(stats_of(cache).connections_in_use, 0);
    assert_int_equal(ERR_peek_error(), 0);
}

static inline bool always_nil(tls_peer *peer, const char *command) {
    return tls_greets(peer, command) || tls_says(peer, "$-1\r\n");
}

#endif
