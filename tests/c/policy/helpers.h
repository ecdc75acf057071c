/* What the tests of policy/ share. */
#ifndef COFFER_TESTS_POLICY_HELPERS_H
#define COFFER_TESTS_POLICY_HELPERS_H

#include "base/alloc.h"
#include "policy/options_internal.h"

#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

static inline coffer_status set(coffer_options *options, const char *name, const char *value, coffer_error *error) {
    return coffer_options_set(options, name, coffer_slice_text(value), error);
}

static inline coffer_status set_url(coffer_options *options, const char *url, coffer_error *error) {
    return coffer_options_set_url(options, coffer_slice_text(url), error);
}

static inline const char *get(const coffer_options *options, const char *name) {
    static char texts[4][1024];
    static size_t turn;
    char *text = texts[turn++ % 4];
    size_t len = coffer_options_get(options, name, text, sizeof texts[0]);
    assert_int_equal(len, strlen(text));
    return text;
}

/* All options as one text, to see that nothing has changed. */
static inline char *all_options(const coffer_options *options) {
    char *text = (char *)calloc(1, 16384);
    coffer_option_info info;
    assert_non_null(text);
    for (size_t i = 0; coffer_options_describe(i, &info); i++) {
        size_t len = strlen(text);
        (void)snprintf(text + len, 16384 - len, "%s=%s\n", info.name, get(options, info.name));
    }
    size_t len = strlen(text);
    (void)snprintf(text + len, 16384 - len, "password=%s seal_key=%s local=%d tls=%d", options->password, options->seal_key, options->local,
                   options->tls);
    return text;
}

/* They are as all_options said; `before` is freed. */
static inline void assert_unchanged(const coffer_options *options, char *before) {
    char *after = all_options(options);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static inline void assert_has(const char *text, const char *part) {
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" does not hold \"%s\"", text, part);
    }
}

static inline void assert_has_not(const char *text, const char *part) {
    if (strstr(text, part) != NULL) {
        fail_msg("\"%s\" holds \"%s\"", text, part);
    }
}

static inline uint64_t next_random(uint64_t *state) { /* xorshift64 */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
