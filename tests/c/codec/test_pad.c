#include "codec/codec_support.h"

#include "codec/pad.h"

static void test_lengths(void **state) {
    (void)state;
    static const struct {
        size_t body;
        size_t to_64;
        size_t to_padme;
    } lengths[] = {
        {36, 64, 40},      {62, 64, 64},         {63, 64, 64},          {64, 128, 72},         {99, 128, 104},
        {999, 1024, 1024}, {9999, 10048, 10240}, {65535, 65536, 65536}, {65536, 65600, 67584}, {1000000, 1000064, 1015808},
    };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(coffer__padded_bytes(lengths[i].body, COFFER_PAD_NONE), lengths[i].body + 1);
        assert_int_equal(coffer__padded_bytes(lengths[i].body, COFFER_PAD_64), lengths[i].to_64);
        assert_int_equal(coffer__padded_bytes(lengths[i].body, COFFER_PAD_PADME), lengths[i].to_padme);
    }
}

static void test_padme_costs_at_most_an_eighth_and_never_shrinks(void **state) {
    (void)state;
    for (size_t body = 36, last = 0; body < 200000; body += 1 + body / 97) {
        size_t padded = coffer__padded_bytes(body, COFFER_PAD_PADME);
        assert_true(padded > body && padded <= (body + 1) * 9 / 8 && padded >= last);
        last = padded;
    }
}

static void test_what_was_padded_is_stripped(void **state) {
    (void)state;
    char bytes[200];
    for (size_t body = 0; body < 100; body++) {
        for (size_t pad = 1; pad <= 100; pad++) {
            memset(bytes, body % 2 == 0 ? 0 : (char)0x80, body); /* a payload that looks like a pad */
            coffer__pad_write(bytes + body, pad);
            coffer_slice all = coffer_slice_of(bytes, body + pad);
            assert_status(coffer__pad_strip(&all), COFFER_OK);
            assert_int_equal(all.len, body);
        }
    }
}

static void test_a_missing_pad_is_refused(void **state) {
    (void)state;
    static const char zeros[64];
    coffer_slice wrong[] = {COFFER_SLICE(""), coffer_slice_of(zeros, sizeof zeros), COFFER_SLICE("abc"), COFFER_SLICE("\x80\x01"),
                            COFFER_SLICE("\x81")};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_status(coffer__pad_strip(&wrong[i]), COFFER_BAD_PAD);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_padme_costs_at_most_an_eighth_and_never_shrinks),
        cmocka_unit_test(test_what_was_padded_is_stripped),
        cmocka_unit_test(test_a_missing_pad_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
