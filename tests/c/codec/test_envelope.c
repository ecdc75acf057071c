/* What is written is read, and what is written where. Refusals: test_envelope_refusals.c. */
#include "codec/codec_support.h"

static void assert_entry_equal(const coffer__entry *got, const coffer__entry *wanted) {
    assert_int_equal(got->entry_id, wanted->entry_id);
    assert_int_equal(got->lease_unix_ms, wanted->lease_unix_ms);
    assert_int_equal(got->created_unix_ms, wanted->created_unix_ms);
    assert_int_equal(got->fresh_unix_ms, wanted->fresh_unix_ms);
    assert_int_equal(got->expires_unix_ms, wanted->expires_unix_ms);
    assert_int_equal(got->load_cost_ms, wanted->load_cost_ms);
    assert_int_equal(got->kind, wanted->kind);
    assert_int_equal(got->format, wanted->format);
    assert_int_equal(got->tag_count, wanted->tag_count);
    assert_true(coffer_slice_equal(got->tags, wanted->tags));
    assert_true(coffer_slice_equal(got->payload, wanted->payload));
}

static void round_trip(const coffer__codec *codec, const coffer__entry *entry, coffer__buf *scratch) {
    coffer__binding binding = users_42();
    coffer__buf out = COFFER__BUF_INIT;
    coffer__entry got;
    assert_true(coffer__buf_append(&out, "before", 6));
    assert_status(coffer__envelope_write(codec, &binding, entry, &out), COFFER_OK);
    assert_memory_equal(out.data, "before", 6);
    assert_status(coffer__envelope_read(codec, &binding, coffer_slice_of(out.data + 6, out.len - 6), scratch, &got), COFFER_OK);
    assert_entry_equal(&got, entry);
    coffer__buf_free(&out);
}

static void test_all_shapes_come_back_as_they_were(void **state) {
    (void)state;
    static const size_t lengths[] = {0, 1, 63, 64, 256, 1023, 1024, 5000, 1 << 20};
    static const uint8_t formats[] = {0, 1, 2, 3, 128, 255};
    coffer__codec codecs[] = {plain_codec(), sealed_codec()};
    coffer__buf scratch = COFFER__BUF_INIT;
    char *payload = (char *)malloc(1 << 20);
    assert_non_null(payload);
    for (size_t i = 0; i < 1 << 20; i++) {
        payload[i] = (char)(i ^ i >> 8);
    }
    for (size_t i = 0; i < 2 * 4 * 3 * 9; i++) {
        coffer__codec *codec = &codecs[i % 2];
        codec->compress = (int)(i / 2 % 4);
        codec->pad = (int)(i / 8 % 3);
        coffer__entry entry = entry_with(coffer_slice_of(payload, lengths[i / 24]));
        entry.format = formats[i % 6];
        entry.kind = (uint8_t)(i % 2);
        entry.lease_unix_ms = i;
        entry.expires_unix_ms = UINT64_MAX;
        entry.load_cost_ms = UINT32_MAX;
        entry.tags = i % 3 == 0 ? COFFER_SLICE("") : COFFER_SLICE("\1a12345678\2bc\0\0\0\0\0\0\0\1");
        entry.tag_count = i % 3 == 0 ? 0 : 2;
        round_trip(codec, &entry, &scratch);
    }
    coffer__buf_free(&scratch);
    coffer__sealer_free(codecs[1].sealer);
    free(payload);
}

static void test_an_unsealed_payload_is_lent_from_the_input(void **state) {
    (void)state;
    coffer__codec codec = plain_codec();
    coffer__binding binding = users_42();
    coffer__entry entry = entry_with(COFFER_SLICE("in place"));
    coffer__entry got;
    coffer__buf out = COFFER__BUF_INIT;
    coffer__buf scratch = COFFER__BUF_INIT;
    write_entry(&codec, &entry, &out);
    assert_int_equal(out.len, 24 + 36 + 8 + 4);
    assert_status(coffer__envelope_read(&codec, &binding, coffer__buf_slice(&out), &scratch, &got), COFFER_OK);
    assert_ptr_equal(got.payload.data, out.data + 24 + 36);
    assert_null(scratch.data);
    coffer__buf_free(&out);
}

/* The codec byte and the length of what is stored for 200 KB of one byte. */
static uint8_t codec_byte_of(coffer__codec *codec, int compress, size_t payload_bytes, bool *is_short) {
    char *payload = (char *)calloc(1, payload_bytes);
    coffer__entry entry = entry_with(coffer_slice_of(payload, payload_bytes));
    coffer__buf out = COFFER__BUF_INIT;
    codec->compress = compress;
    write_entry(codec, &entry, &out);
    uint8_t byte = (uint8_t)out.data[25];
    *is_short = out.len < payload_bytes;
    assert_status(read_users_42(codec, &out), COFFER_OK);
    coffer__buf_free(&out);
    free(payload);
    return byte;
}

static void test_when_unsealed_values_are_compressed(void **state) {
    (void)state;
    coffer__codec codec = plain_codec();
    bool is_short;
    assert_int_equal(codec_byte_of(&codec, COFFER_COMPRESS_NEVER, 5000, &is_short), 0);
    assert_int_equal(codec_byte_of(&codec, COFFER_COMPRESS_AUTO, 1023, &is_short), 0);
    assert_int_equal(codec_byte_of(&codec, COFFER_COMPRESS_AUTO, 1024, &is_short), 1);
    assert_int_equal(codec_byte_of(&codec, COFFER_COMPRESS_TRUSTED, 1023, &is_short), 0);
    assert_int_equal(codec_byte_of(&codec, COFFER_COMPRESS_TRUSTED, 1024, &is_short), 1);
    assert_int_equal(codec_byte_of(&codec, COFFER_COMPRESS_ALWAYS, 200, &is_short), 1);
    assert_int_equal(codec_byte_of(&codec, COFFER_COMPRESS_ALWAYS, 3, &is_short), 0);
}

static void test_sealed_values_are_compressed_only_where_trusted(void **state) {
    (void)state;
    coffer__codec codec = sealed_codec();
    bool is_short;
    codec_byte_of(&codec, COFFER_COMPRESS_NEVER, 5000, &is_short);
    assert_false(is_short);
    codec_byte_of(&codec, COFFER_COMPRESS_AUTO, 5000, &is_short);
    assert_false(is_short);
    codec_byte_of(&codec, COFFER_COMPRESS_ALWAYS, 5000, &is_short);
    assert_false(is_short);
    codec_byte_of(&codec, COFFER_COMPRESS_TRUSTED, 5000, &is_short);
    assert_true(is_short);
    coffer__sealer_free(codec.sealer);
}

/* A reader takes anything above 1000 : 1 (and 64 KiB) for a bomb, so the writer never makes one. */
static void test_an_unsealed_writer_obeys_the_readers_bound(void **state) {
    (void)state;
    coffer__codec codec = plain_codec();
    coffer__codec sealed = sealed_codec();
    bool is_short;
    codec.max_value_bytes = sealed.max_value_bytes = 8 << 20;
    assert_int_equal(codec_byte_of(&codec, COFFER_COMPRESS_AUTO, 64 << 10, &is_short), 1);
    assert_int_equal(codec_byte_of(&codec, COFFER_COMPRESS_AUTO, 8 << 20, &is_short), 0);
    assert_false(is_short);
    codec_byte_of(&sealed, COFFER_COMPRESS_TRUSTED, 8 << 20, &is_short);
    assert_true(is_short);
    coffer__sealer_free(sealed.sealer);
}

static void test_a_pad_hides_the_length(void **state) {
    (void)state;
    coffer__codec codec = sealed_codec();
    coffer__buf out = COFFER__BUF_INIT;
    char payload[100] = {0};
    codec.pad = COFFER_PAD_64;
    for (size_t len = 0; len < sizeof payload; len++) {
        coffer__entry entry = entry_with(coffer_slice_of(payload, len));
        write_entry(&codec, &entry, &out);
        assert_int_equal((out.len - 24 - 24 - 16) % 64, 0);
        assert_status(read_users_42(&codec, &out), COFFER_OK);
    }
    coffer__buf_free(&out);
    coffer__sealer_free(codec.sealer);
}

static void test_every_write_has_another_nonce(void **state) {
    (void)state;
    coffer__codec codec = sealed_codec();
    coffer__entry entry = entry_with(COFFER_SLICE("same"));
    coffer__buf one = COFFER__BUF_INIT;
    coffer__buf two = COFFER__BUF_INIT;
    write_entry(&codec, &entry, &one);
    write_entry(&codec, &entry, &two);
    assert_memory_equal(one.data, two.data, 24);
    assert_memory_not_equal(one.data + 24, two.data + 24, 24);
    assert_memory_not_equal(one.data + 48, two.data + 48, 36);
    coffer__buf_free(&one);
    coffer__buf_free(&two);
    coffer__sealer_free(codec.sealer);
}

/* A key of a megabyte (key_rules: bytes) does not fit the stack. */
static void test_a_long_key_is_bound_too(void **state) {
    (void)state;
    coffer__codec codec = sealed_codec();
    coffer__binding binding = users_42();
    coffer__entry entry = entry_with(COFFER_SLICE("value"));
    coffer__buf out = COFFER__BUF_INIT;
    char *key = (char *)calloc(1, 1 << 20);
    for (size_t len = 600; len <= 1 << 20; len = len < 700 ? len + 1 : len * 4) {
        binding.key = coffer_slice_of(key, len);
        coffer__buf_clear(&out);
        assert_status(coffer__envelope_write(&codec, &binding, &entry, &out), COFFER_OK);
        assert_status(read_bytes(&codec, &binding, coffer__buf_slice(&out)), COFFER_OK);
        binding.key.len--;
        assert_status(read_bytes(&codec, &binding, coffer__buf_slice(&out)), COFFER_AUTH_FAILED);
    }
    free(key);
    coffer__buf_free(&out);
    coffer__sealer_free(codec.sealer);
}

typedef struct bad_entry {
    uint8_t kind;
    uint8_t format;
    uint8_t tag_count;
    coffer_slice tags;
    size_t payload_bytes;
    coffer_status status;
} bad_entry;

static void test_what_a_writer_refuses(void **state) {
    (void)state;
    static char payload[101];
    const bad_entry entries[] = {
        {2, 0, 0, COFFER_SLICE(""), 0, COFFER_BAD_KIND},
        {0, 4, 0, COFFER_SLICE(""), 0, COFFER_BAD_FORMAT},
        {0, 127, 0, COFFER_SLICE(""), 0, COFFER_BAD_FORMAT},
        {0, 0, 1, COFFER_SLICE(""), 0, COFFER_BAD_TAGS},
        {0, 0, 0, COFFER_SLICE("\1a12345678"), 0, COFFER_BAD_TAGS},
        {0, 0, 1,
         COFFER_SLICE("\0"
                      "12345678"),
         0, COFFER_BAD_TAGS},
        {0, 0, 1, COFFER_SLICE("\1a1234567"), 0, COFFER_BAD_TAGS},
        {0, 0, 1, COFFER_SLICE("\1a123456789"), 0, COFFER_BAD_TAGS},
        {0, 0, 0, COFFER_SLICE(""), 101, COFFER_TOO_LARGE},
        {0, 0, 0, COFFER_SLICE(""), 100, COFFER_OK},
    };
    coffer__codec codec = plain_codec();
    coffer__binding binding = users_42();
    codec.max_value_bytes = 100;
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        coffer__buf out = COFFER__BUF_INIT;
        coffer__entry entry = entry_with(coffer_slice_of(payload, entries[i].payload_bytes));
        entry.kind = entries[i].kind;
        entry.format = entries[i].format;
        entry.tag_count = entries[i].tag_count;
        entry.tags = entries[i].tags;
        assert_status(coffer__envelope_write(&codec, &binding, &entry, &out), entries[i].status);
        assert_int_equal(out.len == 0, entries[i].status != COFFER_OK);
        coffer__buf_free(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_shapes_come_back_as_they_were),
        cmocka_unit_test(test_an_unsealed_payload_is_lent_from_the_input),
        cmocka_unit_test(test_when_unsealed_values_are_compressed),
        cmocka_unit_test(test_sealed_values_are_compressed_only_where_trusted),
        cmocka_unit_test(test_an_unsealed_writer_obeys_the_readers_bound),
        cmocka_unit_test(test_a_pad_hides_the_length),
        cmocka_unit_test(test_every_write_has_another_nonce),
        cmocka_unit_test(test_a_long_key_is_bound_too),
        cmocka_unit_test(test_what_a_writer_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
