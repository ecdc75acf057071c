#include "policy/key.h"

#include "policy/helpers.h"

static coffer_status check(int rules, coffer_slice key) {
    return coffer__key_check(rules, key, NULL);
}

static void test_names(void **state) {
    (void)state;
    static const char *const good[] = {"_", "a", "prod", "A.b-c_9", "...", "0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(coffer__name_ok(coffer_slice_text(good[i])));
    }
    static const char *const bad[] = {"",   "a:b", "a b", "a@3",      "{a}",
                                      "a#", "a/b", "a%",  "\xc3\xa4", "01234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(coffer__name_ok(coffer_slice_text(bad[i])));
    }
    assert_false(coffer__name_ok(COFFER_SLICE("a\0b")));
}

static const char *const default_good[] = {"a",
                                           "user:42",
                                           "{}",
                                           "{a}{b}",
                                           "a{b",
                                           "%s%n",
                                           " ",
                                           "%41",
                                           "#",
                                           "\xc3\xa4",
                                           "\xe2\x82\xac",
                                           "\xf0\x9f\x98\x80",
                                           "\xf4\x8f\xbf\xbf",
                                           "\xc2\xa0",
                                           "\xed\x9f\xbf",
                                           "\xee\x80\x80",
                                           "\x7e",
                                           ":"};

static const char *const default_bad[] = {
    "",
    "\r\n",
    "a\nb",
    "\t",
    "\x1f",
    "\x7f",
    "\xc2\x80",
    "\xc2\x9f", /* controls */
    "\xff",
    "\x80",
    "\xc3",
    "a\xc3",
    "\xe2\x82",
    "\xf0\x9f\x98",
    "\xc3(",
    "\xe2(\x82", /* cut, bad */
    "\xc0\x80",
    "\xc1\xbf",
    "\xe0\x80\x80",
    "\xe0\x9f\xbf",
    "\xf0\x80\x80\x80",
    "\xf0\x8f\xbf\xbf", /* overlong */
    "\xed\xa0\x80",
    "\xed\xbf\xbf",
    "\xf4\x90\x80\x80",
    "\xf5\x80\x80\x80",
    "\xf8\x88\x80\x80\x80",
    "\xfe", /* no code points */
};

static void test_default_rules(void **state) {
    (void)state;
    char long_key[251];
    memset(long_key, 'k', sizeof long_key);
    assert_int_equal(check(COFFER_KEYS_DEFAULT, coffer_slice_of(long_key, 250)), COFFER_OK);
    assert_int_equal(check(COFFER_KEYS_DEFAULT, coffer_slice_of(long_key, 251)), COFFER_KEY_INVALID);
    for (size_t i = 0; i < sizeof default_good / sizeof default_good[0]; i++) {
        assert_int_equal(check(COFFER_KEYS_DEFAULT, coffer_slice_text(default_good[i])), COFFER_OK);
    }
    for (size_t i = 0; i < sizeof default_bad / sizeof default_bad[0]; i++) {
        if (check(COFFER_KEYS_DEFAULT, coffer_slice_text(default_bad[i])) != COFFER_KEY_INVALID) {
            fail_msg("default_bad key %zu was accepted", i);
        }
    }
    assert_int_equal(check(COFFER_KEYS_DEFAULT, COFFER_SLICE("a\0b")), COFFER_KEY_INVALID);
    assert_int_equal(check(COFFER_KEYS_DEFAULT, coffer_slice_of(NULL, 0)), COFFER_KEY_INVALID);
}

static void test_strict_rules(void **state) {
    (void)state;
    static const char *const good[] = {"a", "user:42", "A-z_0:9", "_", "-"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(check(COFFER_KEYS_STRICT, coffer_slice_text(good[i])), COFFER_OK);
    }
    static const char *const bad[] = {"", ":", ":a", "a:", "a.b", "a b", "a@b", "a/b", "\xc3\xa4", "{a}", "%41"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(check(COFFER_KEYS_STRICT, coffer_slice_text(bad[i])), COFFER_KEY_INVALID);
    }
}

static void test_bytes_rules(void **state) {
    (void)state;
    char *bytes = (char *)calloc(1, 65537);
    assert_int_equal(check(COFFER_KEYS_BYTES, coffer_slice_of(bytes, 65536)), COFFER_OK);
    assert_int_equal(check(COFFER_KEYS_BYTES, coffer_slice_of(bytes, 65537)), COFFER_KEY_INVALID);
    assert_int_equal(check(COFFER_KEYS_BYTES, coffer_slice_of(bytes, 1)), COFFER_OK);
    assert_int_equal(check(COFFER_KEYS_BYTES, COFFER_SLICE("\xff\r\n")), COFFER_OK);
    assert_int_equal(check(COFFER_KEYS_BYTES, COFFER_SLICE("")), COFFER_KEY_INVALID);
    assert_int_equal(check(7, COFFER_SLICE("a")), COFFER_INTERNAL);
    assert_int_equal(check(-1, COFFER_SLICE("a")), COFFER_INTERNAL);
    free(bytes);
}

static void test_refusal_names_the_rule_and_the_place_not_the_key(void **state) {
    (void)state;
    char key[300];
    memset(key, 'k', sizeof key);
    coffer_error error;
    (void)coffer__key_check(COFFER_KEYS_DEFAULT, coffer_slice_of(key, sizeof key), &error);
    assert_has(error.text, "1 to 250 bytes");
    assert_has(error.text, "of 300 bytes");
    assert_has_not(error.text, "kkk");
    (void)coffer__key_check(COFFER_KEYS_DEFAULT, COFFER_SLICE("a\nb"), &error);
    assert_has(error.text, "byte 2 (0x0A)");
    assert_has(error.text, "control characters");
    (void)coffer__key_check(COFFER_KEYS_STRICT, COFFER_SLICE("a b"), &error);
    assert_has(error.text, "'strict'");
}

static void assert_encoded(coffer_slice key, bool counter, const char *expected) {
    coffer__buf out = COFFER__BUF_INIT;
    assert_true(coffer__key_append(&out, key, counter));
    assert_true(coffer_slice_equal(coffer__buf_slice(&out), coffer_slice_text(expected)));
    coffer__buf_free(&out);
}

static void test_form_on_the_server(void **state) {
    (void)state;
    assert_encoded(COFFER_SLICE("user:42"), false, "user:42");
    assert_encoded(COFFER_SLICE("visits"), true, "#visits");
    assert_encoded(COFFER_SLICE("#visits"), false, "%23visits");
    assert_encoded(COFFER_SLICE("A"), false, "A");
    assert_encoded(COFFER_SLICE("%41"), false, "%2541");
    assert_encoded(COFFER_SLICE("{a}b"), false, "%7Ba%7Db");
    assert_encoded(COFFER_SLICE("a\0\r\n\xff"), false, "a%00%0D%0A%FF");
    assert_encoded(COFFER_SLICE("Az09:_.@/+=,-"), false, "Az09:_.@/+=,-");
    coffer__buf out = COFFER__BUF_INIT;
    assert_true(coffer__key_base(&out, COFFER_SLICE("prod"), COFFER_SLICE("users"), 3));
    assert_true(coffer__key_append(&out, COFFER_SLICE("42"), false));
    assert_true(coffer_slice_equal(coffer__buf_slice(&out), COFFER_SLICE("prod:users@3:42")));
    coffer__buf_clear(&out);
    assert_true(coffer__key_base(&out, COFFER_SLICE("_"), COFFER_SLICE("_"), 0));
    assert_true(coffer_slice_equal(coffer__buf_slice(&out), COFFER_SLICE("_:_:")));
    coffer__buf_free(&out);
}

static int hex(char digit) {
    return digit <= '9' ? digit - '0' : digit - 'A' + 10;
}

static coffer__buf decode(coffer_slice text) {
    coffer__buf out = COFFER__BUF_INIT;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if (byte == '%') {
            byte = (char)(hex(text.data[i + 1]) * 16 + hex(text.data[i + 2]));
            i += 2;
        }
        assert_true(coffer__buf_append(&out, &byte, 1));
    }
    return out;
}

/* A decoder gives back what was encoded, so no two keys can share a form; and the form never holds what Redis or a sweep would take as special. */
static void test_encoding_is_injective(void **state) {
    (void)state;
    uint64_t seed = 3;
    coffer__buf out = COFFER__BUF_INIT;
    for (int round = 0; round < 20000; round++) {
        char key[40];
        size_t len = next_random(&seed) % sizeof key;
        for (size_t i = 0; i < len; i++) {
            uint64_t random = next_random(&seed);
            key[i] = round % 2 == 0 ? (char)random : "%4A1{}:#\r\n"[random % 10];
        }
        coffer__buf_clear(&out);
        assert_true(coffer__key_append(&out, coffer_slice_of(key, len), false));
        for (size_t i = 0; i < out.len; i++) {
            assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.@/+=,-%", out.data[i]));
        }
        coffer__buf back = decode(coffer__buf_slice(&out));
        assert_true(coffer_slice_equal(coffer__buf_slice(&back), coffer_slice_of(key, len)));
        coffer__buf_free(&back);
    }
    coffer__buf_free(&out);
}

static void test_short_memory_leaves_the_buffer(void **state) {
    (void)state;
    coffer__buf out = COFFER__BUF_INIT;
    watched_alloc_begin(0);
    assert_false(coffer__key_base(&out, COFFER_SLICE("prod"), COFFER_SLICE("users"), 3));
    assert_false(coffer__key_append(&out, COFFER_SLICE("{}"), true));
    assert_int_equal(coffer__key_write(&out, COFFER_KEYS_DEFAULT, COFFER_SLICE("plain"), false, NULL), COFFER_NO_MEMORY);
    assert_int_equal(coffer__key_write(&out, COFFER_KEYS_BYTES, COFFER_SLICE("visits"), true, NULL), COFFER_NO_MEMORY);
    watched_alloc_end();
    assert_int_equal(out.len, 0);
    coffer__buf_free(&out);
}

/* Without a key that the rules allow, nothing is written; strict rules look at plain bytes too. */
static void test_a_key_is_written_if_the_rules_allow_it(void **state) {
    (void)state;
    coffer_error error;
    coffer__buf out = COFFER__BUF_INIT;
    char longest[251];
    memset(longest, 'k', sizeof longest);
    assert_true(coffer__buf_append_slice(&out, COFFER_SLICE("p:_:")));
    const struct {
        int rules;
        coffer_slice key;
        const char *rule;
    } refused[] = {
        {COFFER_KEYS_DEFAULT, COFFER_SLICE(""), "1 to 250"},    {COFFER_KEYS_DEFAULT, coffer_slice_of(longest, 251), "1 to 250"},
        {COFFER_KEYS_DEFAULT, COFFER_SLICE("abc\n"), "byte 4"}, {COFFER_KEYS_STRICT, COFFER_SLICE("a/b"), "'strict'"},
        {COFFER_KEYS_STRICT, COFFER_SLICE(":ab"), "':'"},       {COFFER_KEYS_BYTES, COFFER_SLICE(""), "1 to 65536"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(coffer__key_write(&out, refused[i].rules, refused[i].key, false, &error), COFFER_KEY_INVALID);
        assert_has(error.text, refused[i].rule);
        assert_true(coffer_slice_equal(coffer__buf_slice(&out), COFFER_SLICE("p:_:")));
    }
    assert_int_equal(coffer__key_write(&out, COFFER_KEYS_STRICT, COFFER_SLICE("user:1"), true, &error), COFFER_OK);
    assert_int_equal(coffer__key_write(&out, COFFER_KEYS_DEFAULT, COFFER_SLICE("/a b"), false, &error), COFFER_OK);
    assert_int_equal(coffer__key_write(&out, COFFER_KEYS_BYTES, coffer_slice_of(longest, 251), false, &error), COFFER_OK);
    assert_true(coffer_slice_equal(coffer_slice_of(out.data, out.len - 251), COFFER_SLICE("p:_:#user:1/a%20b")));
    coffer__buf_free(&out);
}

static void test_a_pattern_means_no_other_keys(void **state) {
    (void)state;
    coffer__buf out = COFFER__BUF_INIT;
    assert_true(coffer__key_pattern(&out, COFFER_SLICE("prod:a.b-c_d@3:")));
    assert_true(coffer_slice_equal(coffer__buf_slice(&out), COFFER_SLICE("prod:a.b-c_d@3:*")));
    coffer__buf_clear(&out);
    assert_true(coffer__key_pattern(&out, COFFER_SLICE("a*b?c[d-e]^f\\g")));
    assert_true(coffer_slice_equal(coffer__buf_slice(&out), COFFER_SLICE("a\\*b\\?c\\[d-e\\]^f\\\\g*")));
    coffer__buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_is_written_if_the_rules_allow_it),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_default_rules),
        cmocka_unit_test(test_strict_rules),
        cmocka_unit_test(test_bytes_rules),
        cmocka_unit_test(test_refusal_names_the_rule_and_the_place_not_the_key),
        cmocka_unit_test(test_form_on_the_server),
        cmocka_unit_test(test_encoding_is_injective),
        cmocka_unit_test(test_short_memory_leaves_the_buffer),
        cmocka_unit_test(test_a_pattern_means_no_other_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
