#include "codec/codec_support.h"

#include "codec/compress.h"

enum { RAW_BYTES = 5000 };

static char *text_of(size_t len) {
    char *text = (char *)malloc(len);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) {
        text[i] = "the same words again, "[i % 22];
    }
    return text;
}

static void fill_noise(char *at, size_t len) {
    uint32_t state = 1;
    for (size_t i = 0; i < len; i++) {
        state = state * 1664525u + 1013904223u;
        at[i] = (char)(state >> 24);
    }
}

static coffer__buf compressed_text(void) {
    coffer__buf out = COFFER__BUF_INIT;
    char *raw = text_of(RAW_BYTES);
    assert_status(coffer__compress(coffer_slice_of(raw, RAW_BYTES), 1, &out), COFFER_OK);
    free(raw);
    return out;
}

/* Decompresses from and into exact heap blocks. */
static coffer_status decompress(coffer_slice in, size_t raw_bytes) {
    char *copy = (char *)malloc(in.len + 1);
    char *out = (char *)malloc(raw_bytes + 1);
    assert_non_null(copy);
    assert_non_null(out);
    memcpy(copy + 1, in.data, in.len);
    coffer_status status = coffer__decompress(coffer_slice_of(copy + 1, in.len), out + 1, raw_bytes);
    free(copy);
    free(out);
    return status;
}

static void test_round_trip_at_every_level(void **state) {
    (void)state;
    char *raw = text_of(300000);
    char *back = (char *)malloc(300000);
    for (int level = 1; level <= 22; level++) {
        coffer__buf out = COFFER__BUF_INIT;
        assert_true(coffer__buf_append(&out, "before", 6));
        assert_status(coffer__compress(coffer_slice_of(raw, 300000), level, &out), COFFER_OK);
        assert_memory_equal(out.data, "before", 6);
        assert_status(coffer__decompress(coffer_slice_of(out.data + 6, out.len - 6), back, 300000), COFFER_OK);
        assert_memory_equal(raw, back, 300000);
        coffer__buf_free(&out);
    }
    free(raw);
    free(back);
}

static void test_a_saving_under_a_tenth_is_not_worth_it(void **state) {
    (void)state;
    char raw[RAW_BYTES];
    coffer__buf out = COFFER__BUF_INIT;
    bool refused = false;
    for (size_t same = 0; same < RAW_BYTES; same += 100) { /* noise, and more and more that is not */
        memset(raw, 'x', sizeof raw);
        fill_noise(raw + same, sizeof raw - same);
        coffer__buf_clear(&out);
        coffer_status status = coffer__compress(coffer_slice_of(raw, sizeof raw), 1, &out);
        assert_true(status == COFFER_OK || (status == COFFER_NOT_STORED && out.len == 0 && same < 700));
        assert_true(out.len <= RAW_BYTES - RAW_BYTES / 10);
        refused = refused || status == COFFER_NOT_STORED;
    }
    assert_true(refused);
    assert_status(coffer__compress(COFFER_SLICE(""), 1, &out), COFFER_NOT_STORED);
    assert_status(coffer__compress(COFFER_SLICE("x"), 1, &out), COFFER_NOT_STORED);
    coffer__buf_free(&out);
}

static void test_a_cut_frame_is_refused_at_each_length(void **state) {
    (void)state;
    coffer__buf good = compressed_text();
    for (size_t len = 0; len < good.len; len++) {
        assert_status(decompress(coffer_slice_of(good.data, len), RAW_BYTES), COFFER_DECOMP);
    }
    assert_status(decompress(coffer__buf_slice(&good), RAW_BYTES), COFFER_OK);
    coffer__buf_free(&good);
}

static void test_another_length_than_said_is_refused(void **state) {
    (void)state;
    coffer__buf good = compressed_text();
    assert_status(decompress(coffer__buf_slice(&good), RAW_BYTES - 1), COFFER_DECOMP);
    assert_status(decompress(coffer__buf_slice(&good), RAW_BYTES + 1), COFFER_DECOMP);
    assert_status(decompress(coffer__buf_slice(&good), 0), COFFER_DECOMP);
    coffer__buf_free(&good);
}

static void test_only_one_frame_and_nothing_beside_it(void **state) {
    (void)state;
    coffer__buf good = compressed_text();
    coffer__buf both = COFFER__BUF_INIT;
    append_hex(&both, "502a4d180400000000000000"); /* a skippable frame of 4 bytes */
    assert_status(decompress(coffer__buf_slice(&both), 0), COFFER_DECOMP);
    assert_true(coffer__buf_append(&both, good.data, good.len));
    assert_status(decompress(coffer__buf_slice(&both), RAW_BYTES), COFFER_DECOMP);
    coffer__buf_clear(&both);
    assert_true(coffer__buf_append(&both, good.data, good.len));
    append_hex(&both, "502a4d180400000000000000");
    assert_status(decompress(coffer__buf_slice(&both), RAW_BYTES), COFFER_DECOMP);
    both.len = good.len;
    assert_true(coffer__buf_append(&both, good.data, good.len));
    assert_status(decompress(coffer__buf_slice(&both), RAW_BYTES), COFFER_DECOMP);
    assert_status(decompress(coffer__buf_slice(&both), (size_t)2 * RAW_BYTES), COFFER_DECOMP);
    both.len = good.len + 1;
    assert_status(decompress(coffer__buf_slice(&both), RAW_BYTES), COFFER_DECOMP);
    coffer__buf_free(&good);
    coffer__buf_free(&both);
}

typedef struct forged {
    const char *hex;
    size_t raw_bytes;
    coffer_status status;
} forged;

/* Frames by hand (RFC 8878): descriptor, window, sizes, one block that repeats 'a' or holds "abc". */
static void test_forged_frames(void **state) {
    (void)state;
    static const forged frames[] = {
        {"28b52ffd 20 c8 430600 61", 200, COFFER_OK}, /* one segment, 200 times 'a' */
        {"28b52ffd 40 68 2c01 630900 61", 556, COFFER_DECOMP}, /* content 300 + 256, block of 300 */
        {"28b52ffd 40 68 2c01 631100 61", 556, COFFER_OK}, /* the same, block of 556 */
        {"28b52ffd 00 00 430600 61", 200, COFFER_DECOMP}, /* no content size */
        {"28b52ffd c0 00 0000000000000010 430600 61", 200, COFFER_DECOMP}, /* content size 2^60 */
        {"28b52ffd c0 00 c800000000000000 430600 61", 200, COFFER_OK}, /* told in eight bytes */
        {"28b52ffd c0 68 c800000000000000 430600 61", 200, COFFER_OK}, /* window 2^23 */
        {"28b52ffd c0 69 c800000000000000 430600 61", 200, COFFER_DECOMP}, /* and an eighth */
        {"28b52ffd c0 a8 c800000000000000 430600 61", 200, COFFER_DECOMP}, /* windowLog 31 */
        {"28b52ffd c0 f8 c800000000000000 430600 61", 200, COFFER_DECOMP}, /* windowLog 41 */
        {"28b52ffd 21 05 c8 430600 61", 200, COFFER_BAD_DICTIONARY}, /* dictionary 5 */
        {"28b52ffd 23 00000001 c8 430600 61", 200, COFFER_BAD_DICTIONARY}, /* dictionary 2^24 */
        {"28b52ffd 28 c8 430600 61", 200, COFFER_DECOMP}, /* reserved bit */
        {"28b52ffd 20 c8 470600 61", 200, COFFER_DECOMP}, /* reserved block type */
        {"28b52ffd 20 c8 420600 61", 200, COFFER_DECOMP}, /* the last block is missing */
        {"28b52ffd 24 c8 430600 61 00000000", 200, COFFER_DECOMP}, /* wrong checksum */
        {"28b52ffd", 0, COFFER_DECOMP}, /* magic alone */
        {"27b52ffd 20 c8 430600 61", 200, COFFER_DECOMP}, /* zstd 0.7 */
        {"1f8b0800000000000003", 200, COFFER_DECOMP}, /* gzip */
    };
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        coffer__buf in = COFFER__BUF_INIT;
        append_hex(&in, frames[i].hex);
        assert_status(decompress(coffer__buf_slice(&in), frames[i].raw_bytes), frames[i].status);
        coffer__buf_free(&in);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_at_every_level),
        cmocka_unit_test(test_a_saving_under_a_tenth_is_not_worth_it),
        cmocka_unit_test(test_a_cut_frame_is_refused_at_each_length),
        cmocka_unit_test(test_another_length_than_said_is_refused),
        cmocka_unit_test(test_only_one_frame_and_nothing_beside_it),
        cmocka_unit_test(test_forged_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
