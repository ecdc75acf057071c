#include "base/error.h"

#include "support/cmocka_all.h"

static void test_an_error_says_what_and_why(void **state) {
    (void)state;
    coffer_error error;
    assert_int_equal(coffer__error_set(&error, COFFER_ARG, "%s is %d", "ttl", -5), COFFER_ARG);
    assert_int_equal(error.status, COFFER_ARG);
    assert_string_equal(error.text, "ttl is -5");
    assert_int_equal(coffer__error_set(NULL, COFFER_TIMEOUT, "nobody reads %d", 1), COFFER_TIMEOUT);
}

/* Cuts `character`, repeated behind `lead` ASCII bytes, and looks at the end. */
static void assert_cut_whole(const char *character, size_t lead) {
    char text[1200] = "";
    coffer_error error;
    memset(text, 'x', lead);
    for (size_t at = lead; at < 1000; at += strlen(character)) {
        strcpy(text + at, character);
    }
    coffer__error_set(&error, COFFER_ARG, "%s", text);
    size_t len = strlen(error.text);
    assert_in_range(len, sizeof error.text - 1 - 4, sizeof error.text - 1);
    assert_memory_equal(error.text, text, len);
    assert_int_equal((len - lead) % strlen(character), 0);
}

static void test_a_long_text_is_cut_between_characters(void **state) {
    (void)state;
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t i = 0; i < 4; i++) {
        for (size_t lead = 0; lead < 4; lead++) {
            assert_cut_whole(characters[i], lead);
        }
    }
}

static void test_a_text_that_just_fits_stays(void **state) {
    (void)state;
    coffer_error error;
    char text[sizeof error.text];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    coffer__error_set(&error, COFFER_ARG, "%s", text);
    assert_string_equal(error.text, text);
}

static void test_bytes_are_shown_printable_and_short(void **state) {
    (void)state;
    char out[COFFER__SHOWN_CAP];
    char nasty[65];
    assert_string_equal(coffer__show(COFFER_SLICE("user:42"), out), "user:42");
    assert_string_equal(coffer__show(COFFER_SLICE("a\r\n\0'\"\\\x7F\xFF"), out), "a\\x0d\\x0a\\x00\\x27\\x22\\x5c\\x7f\\xff");
    assert_string_equal(coffer__show(coffer_slice_of(NULL, 0), out), "");
    memset(nasty, 1, sizeof nasty);
    assert_int_equal(strlen(coffer__show(coffer_slice_of(nasty, 64), out)), 64 * 4);
    assert_int_equal(strlen(coffer__show(coffer_slice_of(nasty, 65), out)), COFFER__SHOWN_CAP - 1);
    assert_string_equal(out + 64 * 4, "...");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_error_says_what_and_why),
        cmocka_unit_test(test_a_long_text_is_cut_between_characters),
        cmocka_unit_test(test_a_text_that_just_fits_stays),
        cmocka_unit_test(test_bytes_are_shown_printable_and_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
