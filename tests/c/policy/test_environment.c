#include "policy/helpers.h"

/* Name, value, name, value ..., NULL. */
static const char *look_up(void *user_data, const char *name) {
    for (const char *const *pair = (const char *const *)user_data; *pair != NULL; pair += 2) {
        if (strcmp(pair[0], name) == 0) {
            return pair[1];
        }
    }
    return NULL;
}

static coffer_status read_environment(coffer_options *options, const char **pairs, coffer_error *error) {
    return coffer_options_from_environment(options, look_up, (void *)pairs, error);
}

static void test_nothing_set_changes_nothing(void **state) {
    (void)state;
    const char *pairs[] = {"REDIS_HOST", "", "COFFER_TTL", "", "PATH", "/bin", "HOST", "x", NULL};
    coffer_options *options = coffer_options_new();
    char *before = all_options(options);
    assert_int_equal(read_environment(options, pairs, NULL), COFFER_OK);
    assert_unchanged(options, before);
    coffer_options_free(options);
}

static void test_usual_names(void **state) {
    (void)state;
    const char *pairs[] = {"REDIS_HOST",
                           "cache",
                           "REDIS_PORT",
                           "7000",
                           "REDIS_USERNAME",
                           "u",
                           "REDIS_PASSWORD",
                           "p@/w",
                           "REDIS_DB",
                           "3",
                           "REDIS_KEY_PREFIX",
                           "prod",
                           "CACHE_ENABLED",
                           "False",
                           "CACHE_DEFAULT_TTL",
                           "1.5",
                           "COFFER_POOL_MAX",
                           "5",
                           "COFFER_SEAL_KEY_ID",
                           "9",
                           NULL};
    coffer_options *options = coffer_options_new();
    coffer_error error = {COFFER_OK, ""};
    assert_int_equal(read_environment(options, pairs, &error), COFFER_OK);
    assert_string_equal(get(options, "url"), "redis://u:***@cache:7000/3");
    assert_string_equal(options->password, "p@/w");
    assert_string_equal(options->prefix, "prod");
    assert_false(options->enabled);
    assert_int_equal(options->ttl_ms, 1500);
    assert_int_equal(options->pool_max_count, 5);
    assert_int_equal(options->seal_key_id_count, 9);
    coffer_options_free(options);
}

static void test_precedence(void **state) {
    (void)state;
    const char *pairs[] = {"CACHE_KEY_PREFIX",
                           "last",
                           "REDIS_KEY_PREFIX",
                           "second",
                           "REDIS_DB",
                           "7",
                           "REDIS_URL",
                           "redis://a:1/1",
                           "COFFER_URL",
                           "redis://b:2/2?ttl=2h&prefix=url",
                           "COFFER_TTL",
                           "3h",
                           NULL};
    coffer_options *options = coffer_options_new();
    assert_int_equal(read_environment(options, pairs, NULL), COFFER_OK);
    assert_string_equal(get(options, "url"), "redis://b:2/2"); /* COFFER_URL before REDIS_URL, and nothing of REDIS_DB */
    assert_string_equal(options->prefix, "second");
    assert_string_equal(get(options, "ttl"), "3h");
    coffer_options_free(options);
}

static void test_errors_name_the_variable_and_change_nothing(void **state) {
    (void)state;
    static const char *examples[][5] = {
        {"REDIS_PORT", "tcp://10.0.0.1:6379", "the environment variable 'REDIS_PORT' cannot be 'tcp://10.0.0.1:6379'", NULL, NULL},
        {"CACHE_DEFAULT_TTL", "0", "the environment variable 'CACHE_DEFAULT_TTL' cannot be '0': it must be longer than 0", NULL, NULL},
        {"CACHE_DEFAULT_TTL", "-1", "'CACHE_DEFAULT_TTL'", NULL, NULL},
        {"COFFER_POOL_MAX", "none", "'COFFER_POOL_MAX'", NULL, NULL},
        {"REDIS_PASSWORD", "hunter2\n", "'REDIS_PASSWORD' cannot be '***'", NULL, NULL},
        {"REDIS_URL", "http://:hunter2@a", "the environment variable 'REDIS_URL' cannot be accepted", NULL, NULL},
        {"REDIS_URL", "redis://:hunter2@a:0", "the port of the environment variable 'REDIS_URL'", NULL, NULL},
        {"COFFER_URL", "redis://a?ttl=x", "the parameter 'ttl' of the environment variable 'COFFER_URL' cannot be 'x'", NULL, NULL},
        {"COFFER_URL", "redis+sentinel://a", "the environment variable 'COFFER_URL'", NULL, NULL},
        {"REDIS_HOST", "redis://:hunter2@a", "the environment variable 'REDIS_HOST' cannot be '***@a'", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        const char *pairs[] = {"COFFER_CLIENT_NAME", "changed", "REDIS_DB", "4", examples[i][0], examples[i][1], NULL};
        coffer_options *options = coffer_options_new();
        char *before = all_options(options);
        coffer_error error = {COFFER_OK, ""};
        assert_true(read_environment(options, pairs, &error) < 0);
        assert_has(error.text, examples[i][2]);
        assert_has_not(error.text, "hunter2");
        assert_unchanged(options, before);
        coffer_options_free(options);
    }
    assert_int_equal(coffer_options_from_environment(NULL, look_up, NULL, NULL), COFFER_ARG);
}

static void test_a_url_is_not_contradicted_by_names_left_over(void **state) {
    (void)state;
    const char *pairs[] = {"COFFER_URL", "mem://", "REDIS_HOST", "cache", "REDIS_PORT", "tcp://10.0.0.1:6379", "REDIS_KEY_PREFIX", "prod", NULL};
    const char *meant[] = {"REDIS_URL", "redis://a:1/1", "COFFER_PORT", "2", "REDIS_DB", "7", NULL};
    coffer_options *options = coffer_options_new();
    assert_int_equal(read_environment(options, pairs, NULL), COFFER_OK);
    assert_true(options->local);
    assert_string_equal(options->prefix, "prod");
    assert_int_equal(read_environment(options, meant, NULL), COFFER_OK);
    assert_string_equal(get(options, "url"), "redis://a:2/1");
    coffer_options_free(options);
}

static void test_process_environment_is_read_where_no_lookup_is_given(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    assert_int_equal(setenv("COFFER_COMPRESS_LEVEL", "7", 1), 0);
    assert_int_equal(coffer_options_from_environment(options, NULL, NULL, NULL), COFFER_OK);
    assert_int_equal(unsetenv("COFFER_COMPRESS_LEVEL"), 0);
    assert_int_equal(options->compress_level_count, 7);
    coffer_options_free(options);
}

static void test_each_allocation_may_fail(void **state) {
    (void)state;
    const char *pairs[] = {"REDIS_URL", "redis://u:p@a:1/1?prefix=x", "REDIS_HOST", "cache", "REDIS_PASSWORD", "pw", NULL};
    watched_alloc_begin(WATCHED_NEVER);
    coffer_options *options = coffer_options_new();
    char *before = all_options(options);
    coffer_status status = COFFER_NO_MEMORY;
    for (size_t most = 0; status != COFFER_OK && most < 200; most++) {
        watched_alloc_dry_after(most);
        status = read_environment(options, pairs, NULL);
        watched_alloc_dry_after(WATCHED_NEVER);
        char *after = all_options(options);
        assert_true(status == COFFER_OK || (status == COFFER_NO_MEMORY && strcmp(before, after) == 0));
        free(after);
    }
    assert_int_equal(status, COFFER_OK);
    free(before);
    coffer_options_free(options);
    assert_int_equal(watched_alloc.live_bytes, 0);
    watched_alloc_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_set_changes_nothing),
        cmocka_unit_test(test_usual_names),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_errors_name_the_variable_and_change_nothing),
        cmocka_unit_test(test_a_url_is_not_contradicted_by_names_left_over),
        cmocka_unit_test(test_process_environment_is_read_where_no_lookup_is_given),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
