#include "policy/helpers.h"

typedef struct example {
    const char *url;
    const char *shown; /* by coffer_options_get(options, "url") */
    const char *username, *password;
    bool tls;
} example;

static void test_forms(void **state) {
    (void)state;
    static const example examples[] = {
        {"mem://", "mem://", "", "", false},
        {"mem:///", "mem://", "", "", false},
        {"mem://?memory=16MiB", "mem://", "", "", false},
        {"redis://", "redis://localhost:6379/0", "", "", false},
        {"redis://cache", "redis://cache:6379/0", "", "", false},
        {"redis://cache:", "redis://cache:6379/0", "", "", false},
        {"redis://cache/", "redis://cache:6379/0", "", "", false},
        {"REDIS://cache:7000/15", "redis://cache:7000/15", "", "", false},
        {"redis:///7", "redis://localhost:6379/7", "", "", false},
        {"redis://cache?db=4", "redis://cache:6379/4", "", "", false},
        {"redis://cache/3?db=4&db=5", "redis://cache:6379/5", "", "", false},
        {"redis://cache?", "redis://cache:6379/0", "", "", false},
        {"valkey://cache", "redis://cache:6379/0", "", "", false},
        {"rediss://cache:7000", "rediss://cache:7000/0", "", "", true},
        {"valkeys://cache", "rediss://cache:6379/0", "", "", true},
        {"redis://user@cache", "redis://user@cache:6379/0", "user", "", false},
        {"redis://user:pass@cache", "redis://user:***@cache:6379/0", "user", "pass", false},
        {"redis://:pass@cache", "redis://:***@cache:6379/0", "", "pass", false},
        {"redis://:pa:ss@cache", "redis://:***@cache:6379/0", "", "pa:ss", false},
        {"redis://:pa@ss@cache", "redis://:***@cache:6379/0", "", "pa@ss", false},
        {"redis://u%40x:p%2Fw%3f%23%25+%20@cache", "redis://u%40x:***@cache:6379/0", "u@x", "p/w?#%+ ", false},
        {"redis://@cache", "redis://cache:6379/0", "", "", false},
        {"redis://:@cache", "redis://cache:6379/0", "", "", false},
        {"redis://[::1]", "redis://[::1]:6379/0", "", "", false},
        {"redis://u:p@[fe80::1%25eth0]:7000/1", "redis://u:***@[fe80::1%25eth0]:7000/1", "u", "p", false},
        {"redis://cache?password=p%26w&username=u", "redis://u:***@cache:6379/0", "u", "p&w", false},
        {"unix:///run/redis.sock", "unix:///run/redis.sock?db=0", "", "", false},
        {"unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1", "", "", false},
        {"unix://user:pw@/run/redis.sock", "unix://user:***@/run/redis.sock?db=0", "user", "pw", false},
        {"unix:///run/a%20b@1.sock", "unix:///run/a%20b%401.sock?db=0", "", "", false},
        {"redis+cluster://a:7000,b,[fe80::1%25eth0]:7002/0", "redis+cluster://a:7000,b,[fe80::1%25eth0]:7002", "", "", false},
        {"redis+cluster://u:p,w@a:7000", "redis+cluster://u:***@a:7000", "u", "p,w", false},
        {"rediss+cluster://a", "rediss+cluster://a", "", "", true},
        {"redis+unix:///run/redis.sock", "unix:///run/redis.sock?db=0", "", "", false},
    };
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        coffer_options *options = coffer_options_new();
        coffer_error error = {COFFER_OK, ""};
        if (set_url(options, examples[i].url, &error) != COFFER_OK) {
            fail_msg("%s: %s", examples[i].url, error.text);
        }
        assert_string_equal(get(options, "url"), examples[i].shown);
        assert_string_equal(options->url, examples[i].shown);
        assert_string_equal(options->username, examples[i].username);
        assert_string_equal(options->password, examples[i].password);
        assert_int_equal(options->tls, examples[i].tls);
        assert_int_equal(options->local, strncmp(examples[i].shown, "mem", 3) == 0);
        assert_int_equal(set_url(options, examples[i].shown, &error), COFFER_OK);
        assert_string_equal(get(options, "url"), examples[i].shown);
        coffer_options_free(options);
    }
}

static void test_parameters_are_options(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    assert_int_equal(set_url(options, "redis://cache/1?timeout=500ms&&ttl=1h30m&prefix=prod&compress=never&client_name=a+b%2Dc&ttl=forever&", NULL),
                     COFFER_OK);
    assert_int_equal(options->timeout_ms, 500);
    assert_int_equal(options->ttl_ms, COFFER_TTL_FOREVER); /* the last wins */
    assert_int_equal(options->compress, COFFER_COMPRESS_NEVER);
    assert_string_equal(options->client_name, "a+b-c"); /* a plus is a plus */
    coffer_options_free(options);
}

static void test_a_new_url_forgets_the_old_server_only(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    assert_int_equal(set_url(options, "rediss://u:pw@cache:7000/3?ttl=1h", NULL), COFFER_OK);
    assert_int_equal(set_url(options, "redis://other", NULL), COFFER_OK);
    assert_string_equal(get(options, "url"), "redis://other:6379/0");
    assert_string_equal(options->password, "");
    assert_false(options->tls);
    assert_string_equal(get(options, "ttl"), "1h");
    assert_int_equal(set_url(options, "unix:///run/x.sock", NULL), COFFER_OK);
    assert_int_equal(set_url(options, "redis+cluster://a:7000,b:7001", NULL), COFFER_OK);
    assert_string_equal(options->path, "");
    assert_string_equal(options->cluster_nodes, "a:7000,b:7001");
    assert_int_equal(set_url(options, "redis://other", NULL), COFFER_OK);
    assert_string_equal(options->cluster_nodes, "");
    coffer_options_free(options);
}

static const struct {
    const char *url, *words;
    coffer_status status;
} refused_urls[] = {
    {"", "must begin with mem://", COFFER_OPTION},
    {"cache:6379", "must begin with", COFFER_OPTION},
    {"u:hunter2@cache:6379", "must begin with", COFFER_OPTION},
    {"http://u:hunter2@cache", "must begin with", COFFER_OPTION},
    {"hunter2://cache", "must begin with", COFFER_OPTION},
    {"redis:cache", "must begin with", COFFER_OPTION},
    {"redis:/cache", "must begin with", COFFER_OPTION},
    {"mem:", "must begin with", COFFER_OPTION},
    {"mem://cache", "mem:// has no", COFFER_OPTION},
    {"mem:///5", "mem:// has no", COFFER_OPTION},
    {"mem://:hunter2@", "mem:// has no", COFFER_OPTION},
    {"redis+sentinel://:hunter2@a:26379,b:26379", "the name of the master is missing", COFFER_OPTION},
    {"redis+sentinel://:hunter2@/main", "the sentinels are missing", COFFER_OPTION},
    {"redis+sentinel://:hunter2@a/ma*in", "the name of the master", COFFER_OPTION},
    {"redis+sentinel://:hunter2@a/main/x", "the database", COFFER_OPTION},
    {"redis+sentinel://:x/hunter2@a/main", "behind its host", COFFER_OPTION},
    {"redis+cluster://:hunter2@a:7000/1", "database 0 alone", COFFER_OPTION},
    {"redis+cluster://:hunter2@", "the nodes are missing", COFFER_OPTION},
    {"redis+cluster://user:hunter2", "the list of nodes of the URL", COFFER_OPTION},
    {"redis+cluster://a:7000,,b", "the list of nodes of the URL", COFFER_OPTION},
    {"redis+cluster://a:7000/hunter2@b", "an '@' behind its host", COFFER_OPTION},
    {"redis://u:hunter2@cache:0", "the port of the URL cannot be accepted: it must be a number from 1 to 65535", COFFER_OPTION},
    {"redis://cache:70000", "1 to 65535", COFFER_OPTION},
    {"redis://:hunter2", "1 to 65535", COFFER_OPTION},
    {"redis://user:hunter2", "1 to 65535", COFFER_OPTION},
    {"redis://:x/hunter2@cache", "%2F", COFFER_OPTION},
    {"redis://:x?hunter2@cache", "%3F", COFFER_OPTION},
    {"redis://:x?ttl=hunter2@cache", "%40", COFFER_OPTION},
    {"redis://:x#hunter2@cache", "%23", COFFER_OPTION},
    {"redis://cache/0#hunter2", "%23", COFFER_OPTION},
    {"redis://:hunter2%zz@cache", "the password of the URL cannot be accepted: a '%'", COFFER_OPTION},
    {"redis://:hunter2%4@cache", "two hexadecimal digits", COFFER_OPTION},
    {"redis://:hunter2%@cache", "two hexadecimal digits", COFFER_OPTION},
    {"redis://:hunter2%00@cache", "the password of the URL", COFFER_OPTION},
    {"redis://:hunter2%0a@cache", "control", COFFER_OPTION},
    {"redis://:hunter2\n@cache", "control", COFFER_OPTION},
    {"redis://:hunter2 @cache", "blanks", COFFER_OPTION},
    {"redis://ca%00che", "the host of the URL", COFFER_OPTION},
    {"redis://ca%2Fche", "the host of the URL", COFFER_OPTION},
    {"redis://::1", "IPv6", COFFER_OPTION},
    {"redis://::1:6379/0", "IPv6", COFFER_OPTION},
    {"redis://[::1", "IPv6", COFFER_OPTION},
    {"redis://[cache]", "IPv6", COFFER_OPTION},
    {"redis://[::1]x", "IPv6", COFFER_OPTION},
    {"redis://cache/x", "the database, behind the '/', of the URL", COFFER_OPTION},
    {"redis://cache/-1", "the database", COFFER_OPTION},
    {"redis://cache/65536", "from 0 to 65535", COFFER_OPTION},
    {"redis://cache/1/2", "the database", COFFER_OPTION},
    {"redis://cache?tll=5m", "no option 'tll' for a parameter of the URL: did you mean 'ttl'?", COFFER_OPTION},
    {"redis://cache?url=mem://", "no option 'url'", COFFER_OPTION},
    {"redis://cache?pasword=hunter2", "did you mean 'password'?", COFFER_OPTION},
    {"redis://cache?password=hunter2%0A", "the parameter 'password' of the URL cannot be '***'", COFFER_OPTION},
    {"redis://u:hunter2@cache?ttl=0", "the parameter 'ttl' of the URL cannot be '0': it must be longer than 0", COFFER_OPTION},
    {"redis://cache?ttl", "name=value", COFFER_OPTION},
    {"redis://cache?=5", "name=value", COFFER_OPTION},
    {"redis://cache?ttl=", "cannot be ''", COFFER_OPTION},
    {"redis://cache?ttl=5%6", "two hexadecimal digits", COFFER_OPTION},
    {"redis://cache?ttl=5m%00", "the parameter 'ttl'", COFFER_OPTION},
    {"unix://run/redis.sock", "unix:///run/redis.sock", COFFER_OPTION},
    {"unix://", "path of the socket is missing", COFFER_OPTION},
    {"unix:///", "path of the socket is missing", COFFER_OPTION},
    {"unix://:hunter2/x@/run/r.sock", "no host", COFFER_OPTION},
    {"unix://u:hunter2@host/run/r.sock", "no host", COFFER_OPTION},
};

/* Each is refused with words that help, leaves the options as they were, and never shows "hunter2", which stands for a part of a password. */
static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused_urls / sizeof refused_urls[0]; i++) {
        coffer_options *options = coffer_options_new();
        assert_int_equal(set_url(options, "redis://a:b@before:1/2?prefix=p", NULL), COFFER_OK);
        char *before = all_options(options);
        coffer_error error = {COFFER_OK, ""};
        coffer_status status = set_url(options, refused_urls[i].url, &error);
        if (status != refused_urls[i].status) {
            fail_msg("%s gave %s", refused_urls[i].url, coffer_status_name(status));
        }
        assert_int_equal(error.status, status);
        assert_has(error.text, refused_urls[i].words);
        assert_has_not(error.text, "hunter2");
        assert_unchanged(options, before);
        coffer_options_free(options);
    }
}

static void test_nul_and_length(void **state) {
    (void)state;
    coffer_options *options = coffer_options_new();
    assert_int_equal(coffer_options_set_url(options, COFFER_SLICE("redis://a\0b"), NULL), COFFER_OPTION);
    assert_int_equal(coffer_options_set_url(options, COFFER_SLICE("mem://\0"), NULL), COFFER_OPTION);
    assert_int_equal(coffer_options_set_url(options, coffer_slice_of(NULL, 0), NULL), COFFER_OPTION);
    assert_int_equal(coffer_options_set_url(NULL, COFFER_SLICE("mem://"), NULL), COFFER_ARG);
    char *url = (char *)malloc(9000);
    memset(url, 'a', 9000);
    memcpy(url, "redis://", 8);
    assert_int_equal(coffer_options_set_url(options, coffer_slice_of(url, 9000), NULL), COFFER_OPTION);
    assert_int_equal(coffer_options_set_url(options, coffer_slice_of(url, 8 + 254), NULL), COFFER_OPTION);
    assert_int_equal(coffer_options_set_url(options, coffer_slice_of(url, 8 + 253), NULL), COFFER_OK);
    free(url);
    coffer_options_free(options);
}

/* Cut or changed anywhere, a URL gives an error or options that can be shown and read again; never a crash, never the password. */
static void test_damaged(void **state) {
    (void)state;
    static const char url[] = "redis://us%20er:hunter2@[::1]:7000/3?ttl=1h&prefix=prod&password=hunter2&host=a";
    static const char wild[] = "@:/?#[]%&= \n2";
    uint64_t seed = 5;
    coffer_options *options = coffer_options_new();
    for (int i = 0; i < 4000; i++) {
        char text[sizeof url];
        memcpy(text, url, sizeof url);
        size_t len = sizeof url - 1 - next_random(&seed) % 40 * (i % 2 == 0);
        for (uint64_t change = next_random(&seed) % 3; change > 0; change--) {
            text[next_random(&seed) % len] = wild[next_random(&seed) % (sizeof wild - 1)];
        }
        if (coffer_options_set_url(options, coffer_slice_of(text, len), NULL) == COFFER_OK) {
            char shown[2048];
            (void)snprintf(shown, sizeof shown, "%s", get(options, "url"));
            assert_int_equal(set_url(options, shown, NULL), COFFER_OK);
            assert_string_equal(get(options, "url"), shown);
        }
    }
    coffer_options_free(options);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),   cmocka_unit_test(test_parameters_are_options), cmocka_unit_test(test_a_new_url_forgets_the_old_server_only),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_nul_and_length),         cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
