#include "policy/helpers.h"

static void test_defaults(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    assert_non_null(options);
    assert_true(options->local);
    assert_false(options->tls);
    assert_string_equal(get(options, "url"), "mem://");
    assert_int_equal(options->port, 6379);
    assert_int_equal(options->ttl_ms, 300000);
    assert_int_equal(options->memory_bytes, 64u << 20);
    assert_int_equal(options->compress, COFFER_COMPRESS_AUTO);
    assert_int_equal(options->ttl_jitter_percent, 10);
    assert_true(options->enabled);
    assert_false(options->raw);
    assert_string_equal(options->prefix, "_");
    assert_string_equal(options->seal_key, "");
    coffer_options_free(options);
    coffer_options_free(NULL);
}

/* What get shows, set takes and get shows again; and what a default says is what the option is. */
static void test_get_and_set_agree_for_each_option(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    coffer_options *defaults = coffer_options_new();
    coffer_option_info info;
    size_t count = 0;
    for (; coffer_options_describe(count, &info); count++) {
        const char *shown = get(options, info.name);
        coffer_error error = {COFFER_OK, ""};
        if (set(options, info.name, shown, &error) != COFFER_OK) {
            fail_msg("%s", error.text);
        }
        assert_string_equal(get(options, info.name), shown);
        assert_int_equal(set(options, info.name, info.default_text, &error), COFFER_OK);
        assert_string_equal(get(options, info.name), shown);
        assert_string_equal(get(defaults, info.name), shown);
    }
    assert_true(count >= 33);
    assert_false(coffer_options_describe(count, &info));
    coffer_options_free(options);
    coffer_options_free(defaults);
}

typedef struct example {
    const char *name, *value, *shown;
} example;

static void test_values_that_are_taken(void **state) {
    (void)state;
    static const example examples[] = {
        {"port", "1", "1"},
        {"port", "65535", "65535"},
        {"host", "::1", "::1"},
        {"host", "fe80::1%eth0", "fe80::1%eth0"},
        {"host", "cache.internal", "cache.internal"},
        {"path", "/run/redis@1.sock", "/run/redis@1.sock"},
        {"db", "65535", "65535"},
        {"timeout", "1ms", "1ms"},
        {"timeout", "0.5", "500ms"},
        {"pool_min", "0", "0"},
        {"pool_max", "4096", "4096"},
        {"keepalive", "1s", "1s"},
        {"memory", "1MiB", "1MiB"},
        {"memory", "1048577", "1048577"},
        {"max_reply", "1G", "1GiB"},
        {"prefix", "prod", "prod"},
        {"namespace", "a.b-c_9", "a.b-c_9"},
        {"version", "2147483647", "2147483647"},
        {"enabled", "OFF", "false"},
        {"raw", "yes", "true"},
        {"ttl", "forever", "forever"},
        {"ttl", "very_long", "1d"},
        {"ttl", "90", "90s"},
        {"ttl", "1h30m", "90m"},
        {"stale_ttl", "0", "0"},
        {"negative_ttl", "0s", "0"},
        {"ttl_jitter", "0", "0"},
        {"ttl_jitter", "100", "100"},
        {"max_value", "512MiB", "512MiB"},
        {"max_value", "1", "1"},
        {"key_rules", "strict", "strict"},
        {"compress", "Trusted", "trusted"},
        {"compress_level", "19", "19"},
        {"seal_pad", "64", "64"},
        {"seal_pad", "padme", "padme"},
        {"seal_key_id", "4294967295", "4294967295"},
        {"password", "secret with blank", "***"},
        {"password", "", ""},
        {"client_name", "", ""},
    };
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        coffer_options *options = coffer_options_new();
        coffer_error error = {COFFER_OK, ""};
        if (set(options, examples[i].name, examples[i].value, &error) != COFFER_OK) {
            fail_msg("%s", error.text);
        }
        assert_string_equal(get(options, examples[i].name), examples[i].shown);
        assert_int_equal(set(options, examples[i].name, examples[i].shown, &error), COFFER_OK);
        assert_string_equal(get(options, examples[i].name), examples[i].shown);
        coffer_options_free(options);
    }
}

static void test_values_that_are_refused(void **state) {
    (void)state;
    static const example examples[] = {
        {"ttl", "0", "the option 'ttl' cannot be '0': it must be longer than 0"},
        {"ttl", "-1", "'30m', '1h', a class such as 'short', or 'forever'"},
        {"ttl", "nan", "'nan'"},
        {"ttl", "", "cannot be ''"},
        {"port", "0", "from 1 to 65535"},
        {"port", "65536", "'65536'"},
        {"port", "tcp://10.0.0.1:6379", "'port'"},
        {"db", "65536", "from 0 to 65535"},
        {"pool_max", "0", "from 1 to 4096"},
        {"pool_max", "4097", "from 1 to 4096"},
        {"pool_min", "4097", "from 0 to 4096"},
        {"pool_min", "-1", "from 0 to 4096"},
        {"memory", "1048575", "from 1MiB"},
        {"max_reply", "1023KiB", "from 1MiB"},
        {"max_value", "0", "512MiB"},
        {"max_value", "536870913", "512MiB"},
        {"compress_level", "0", "from 1 to 19"},
        {"compress_level", "20", "from 1 to 19"},
        {"ttl_jitter", "101", "from 0 to 100"},
        {"keepalive", "999ms", "from 1s"},
        {"timeout", "0", "from 1ms"},
        {"timeout", "forever", "from 1ms"},
        {"acquire_timeout", "25h", "24h"},
        {"pool_idle_timeout", "0", "at least 1ms"},
        {"seal_key_id", "4294967296", "4294967295"},
        {"version", "2147483648", "2147483647"},
        {"prefix", "myapp:", "'_' for none"},
        {"prefix", "", "'_' for none"},
        {"namespace", "a b", "'namespace'"},
        {"key_rules", "loose", "one of 'default', 'strict', 'bytes'"},
        {"compress", "1", "one of 'never', 'auto', 'always', 'trusted'"},
        {"enabled", "maybe", "true, false"},
        {"host", "localhost:6379", "without port"},
        {"host", "a b", "without port"},
        {"host", "h/x", "without port"},
        {"path", "relative.sock", "absolute path"},
        {"path", "/", "absolute path"},
        {"username", "a\nb", "a\\x0ab"},
        {"client_name", "two words", "without blanks"},
        {"url", "", "mem://"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        coffer_options *options = coffer_options_new();
        char *before = all_options(options);
        coffer_error error = {COFFER_OK, ""};
        assert_int_equal(set(options, examples[i].name, examples[i].value, &error), COFFER_OPTION);
        assert_int_equal(error.status, COFFER_OPTION);
        assert_has(error.text, examples[i].shown);
        assert_has(error.text, examples[i].name);
        assert_unchanged(options, before);
        coffer_options_free(options);
    }
}

static void test_nul_is_refused_everywhere(void **state) {
    (void)state;
    coffer_option_info info;
    for (size_t i = 0; coffer_options_describe(i, &info); i++) {
        coffer_options *options = coffer_options_new();
        assert_int_equal(coffer_options_set(options, info.name, COFFER_SLICE("1\0"), NULL), COFFER_OPTION);
        coffer_options_free(options);
    }
}

static void test_errors_hide_secrets(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    coffer_error error;
    assert_int_equal(set(options, "password", "hunter2\n", &error), COFFER_OPTION);
    assert_has(error.text, "the option 'password' cannot be '***'");
    assert_has_not(error.text, "hunter2");
    assert_int_equal(set(options, "seal_key", "hunter2\x01", &error), COFFER_OPTION);
    assert_has_not(error.text, "hunter2");
    assert_int_equal(set(options, "host", "redis://:hunter2@cache:6379", &error), COFFER_OPTION); /* a URL in the wrong place */
    assert_has(error.text, "'***@cache:6379'");
    assert_has_not(error.text, "hunter2");
    coffer_options_free(options);
}

static void test_unknown_name_suggests_the_nearest(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    coffer_error error;
    assert_int_equal(set(options, "tll", "5m", &error), COFFER_OPTION);
    assert_has(error.text, "there is no option 'tll': did you mean 'ttl'?");
    assert_int_equal(set(options, "pool_maximum", "5", &error), COFFER_OPTION);
    assert_has(error.text, "'pool_max'");
    assert_int_equal(set(options, "TTL", "5m", &error), COFFER_OPTION);
    assert_int_equal(set(options, "wholly_unlike_any_of_them", "5", &error), COFFER_OPTION);
    assert_has_not(error.text, "did you mean");
    assert_int_equal(set(options, "an_extremely_long_name_that_is_longer_than_any_option_there_ever_was_or_will_be", "5", &error), COFFER_OPTION);
    assert_int_equal(set(options, "", "5", &error), COFFER_OPTION);
    assert_int_equal(set(options, NULL, "5", &error), COFFER_OPTION);
    assert_int_equal(set(NULL, "ttl", "5", &error), COFFER_ARG);
    char out[8] = "x";
    assert_int_equal(coffer_options_get(options, "tll", out, sizeof out), 0);
    assert_string_equal(out, "");
    coffer_options_free(options);
}

static void test_host_and_path_leave_mem_and_the_last_wins(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    assert_int_equal(set(options, "host", "", NULL), COFFER_OK);
    assert_true(options->local);
    assert_int_equal(set(options, "db", "3", NULL), COFFER_OK);
    assert_true(options->local);
    assert_int_equal(set(options, "host", "cache", NULL), COFFER_OK);
    assert_false(options->local);
    assert_string_equal(get(options, "url"), "redis://cache:6379/3");
    assert_int_equal(set(options, "path", "/run/r.sock", NULL), COFFER_OK);
    assert_string_equal(options->host, "");
    assert_string_equal(get(options, "url"), "unix:///run/r.sock?db=3");
    assert_int_equal(set(options, "host", "", NULL), COFFER_OK); /* the path stays */
    assert_int_equal(set(options, "path", "", NULL), COFFER_OPTION); /* nothing would be left */
    assert_string_equal(options->path, "/run/r.sock");
    assert_int_equal(set(options, "host", "::1", NULL), COFFER_OK);
    assert_string_equal(options->path, "");
    assert_string_equal(get(options, "url"), "redis://[::1]:6379/3");
    assert_int_equal(set(options, "url", "mem://", NULL), COFFER_OK);
    assert_true(options->local);
    assert_string_equal(options->host, "");
    assert_int_equal(options->db, 0);
    coffer_options_free(options);
}

static void test_copy_is_deep(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    assert_int_equal(set_url(options, "redis://u:pw@cache:7000/2?ttl=30m&prefix=prod", NULL), COFFER_OK);
    coffer_options *copy = coffer_options_copy(options);
    char *before = all_options(options);
    char *same = all_options(copy);
    assert_string_equal(before, same);
    assert_int_equal(set(copy, "password", "other", NULL), COFFER_OK);
    assert_int_equal(set(copy, "prefix", "test", NULL), COFFER_OK);
    char *after = all_options(options);
    assert_string_equal(before, after);
    coffer_options_free(options);
    assert_string_equal(copy->username, "u");
    coffer_options_free(copy);
    assert_null(coffer_options_copy(NULL));
    free(before);
    free(same);
    free(after);
}

static void test_get_cuts_at_the_room(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    char out[4] = "xyz";
    assert_int_equal(coffer_options_get(options, "client_name", out, sizeof out), 6);
    assert_string_equal(out, "cof");
    assert_int_equal(coffer_options_get(options, "client_name", NULL, 0), 6);
    assert_int_equal(coffer_options_get(options, "client_name", out, 1), 6);
    assert_string_equal(out, "");
    coffer_options_free(options);
}

/* Memory that is given back holds no secret: the release hook looks into every block. */
static size_t leaks_count;

static void *traced_alloc(size_t size) {
    size_t *block = (size_t *)malloc(sizeof(size_t) * 2 + size);
    *block = size;
    return block + 2;
}

static void traced_release(void *memory) {
    if (memory == NULL) {
        return;
    }
    size_t *block = (size_t *)memory - 2;
    for (size_t i = 0; i + 7 <= *block; i++) {
        leaks_count += memcmp((char *)memory + i, "hunter2", 7) == 0;
    }
    free(block);
}

static void *traced_resize(void *old, size_t size) {
    void *memory = traced_alloc(size);
    memset(memory, 0, size);
    if (old != NULL) {
        size_t had = ((size_t *)old)[-2];
        memcpy(memory, old, had < size ? had : size);
    }
    traced_release(old);
    return memory;
}

static void test_secrets_are_wiped(void **state) {
    (void)state;
    static const coffer__allocator traced = {traced_alloc, traced_resize, traced_release};
    coffer__set_allocator(&traced);
    coffer_options *options = coffer_options_new();
    assert_int_equal(set_url(options, "redis://u:hunter2@cache/0?seal_key=hunter2hunter2", NULL), COFFER_OK);
    assert_int_equal(set(options, "password", "hunter2hunter2", NULL), COFFER_OK);
    assert_int_equal(set(options, "password", "hunter2", NULL), COFFER_OK);
    assert_int_equal(set(options, "ttl", "0", NULL), COFFER_OPTION);
    coffer_options *copy = coffer_options_copy(options);
    coffer_options_free(options);
    coffer_options_free(copy);
    coffer__set_allocator(NULL);
    assert_int_equal(leaks_count, 0);
}

/* Whichever allocation fails: NO_MEMORY, the options as they were, nothing leaked. */
static coffer_status change_everything(coffer_options *options) {
    coffer_error error;
    return coffer_options_set_url(options, COFFER_SLICE("redis://u:p%20w@cache:7000/2?ttl=30m&prefix=prod&path=/run/x"), &error);
}

static coffer_status change_one(coffer_options *options) {
    coffer_error error;
    return coffer_options_set(options, "host", COFFER_SLICE("other.internal"), &error);
}

static coffer_status change_none(coffer_options *options) {
    coffer_options *copy = coffer_options_copy(options);
    coffer_status status = copy == NULL ? COFFER_NO_MEMORY : COFFER_OK;
    coffer_options_free(copy);
    return status;
}

static void test_each_allocation_may_fail(void **state) {
    (void)state;
    static coffer_status (*const changes[])(coffer_options *) = {change_everything, change_one, change_none};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        watched_alloc_begin(WATCHED_NEVER);
        coffer_options *options = coffer_options_new();
        char *before = all_options(options);
        coffer_status status = COFFER_NO_MEMORY;
        size_t most = 0;
        for (; status != COFFER_OK && most < 200; most++) {
            watched_alloc_dry_after(most);
            status = changes[i](options);
            watched_alloc_dry_after(WATCHED_NEVER);
            char *after = all_options(options);
            assert_true(status == COFFER_OK || (status == COFFER_NO_MEMORY && strcmp(before, after) == 0));
            free(after);
        }
        assert_int_equal(status, COFFER_OK);
        assert_true(most > 4);
        free(before);
        coffer_options_free(options);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    }
}

static void test_new_without_memory(void **state) {
    (void)state;
    coffer_options *options = NULL;
    size_t most = 0;
    watched_alloc_begin(WATCHED_NEVER);
    for (; options == NULL && most < 200; most++) {
        watched_alloc_dry_after(most);
        options = coffer_options_new();
    }
    assert_non_null(options);
    assert_true(most > 4);
    coffer_options_free(options);
    assert_int_equal(watched_alloc.live_bytes, 0);
    watched_alloc_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_get_and_set_agree_for_each_option),
        cmocka_unit_test(test_values_that_are_taken),
        cmocka_unit_test(test_values_that_are_refused),
        cmocka_unit_test(test_nul_is_refused_everywhere),
        cmocka_unit_test(test_errors_hide_secrets),
        cmocka_unit_test(test_unknown_name_suggests_the_nearest),
        cmocka_unit_test(test_host_and_path_leave_mem_and_the_last_wins),
        cmocka_unit_test(test_copy_is_deep),
        cmocka_unit_test(test_get_cuts_at_the_room),
        cmocka_unit_test(test_secrets_are_wiped),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_new_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
