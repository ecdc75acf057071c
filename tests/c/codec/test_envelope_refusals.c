/* Everything wrong with an envelope has a status, gives nothing out and crashes nothing. */
#include "codec/codec_support.h"

#include "support/watched_alloc.h"

static coffer__codec plain;
static coffer__codec sealed;

static int set_up(void **state) {
    (void)state;
    plain = plain_codec();
    sealed = sealed_codec();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    coffer__sealer_free(sealed.sealer);
    return 0;
}

static coffer__buf written(const coffer__codec *codec) {
    coffer__buf out = COFFER__BUF_INIT;
    coffer__entry entry = entry_with(COFFER_SLICE("a value of some length"));
    entry.tags = COFFER_SLICE("\4team12345678");
    entry.tag_count = 1;
    write_entry(codec, &entry, &out);
    return out;
}

static bool is_lease(size_t at) {
    return at >= 16 && at < 24;
}

/* Reads with each bit flipped in turn: all but the lease is bound. */
static void flip_every_bit(const coffer__codec *codec) {
    coffer__buf good = written(codec);
    for (size_t bit = 0; bit < good.len * 8; bit++) {
        good.data[bit / 8] ^= (char)(1 << bit % 8);
        coffer_status status = read_users_42(codec, &good);
        assert_int_equal(status == COFFER_OK, is_lease(bit / 8));
        assert_true(status <= COFFER_OK);
        good.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_status(read_users_42(codec, &good), COFFER_OK);
    coffer__buf_free(&good);
}

static void test_every_bit_flipped_is_refused(void **state) {
    (void)state;
    flip_every_bit(&plain);
    flip_every_bit(&sealed);
    sealed.pad = COFFER_PAD_64;
    flip_every_bit(&sealed);
    sealed.pad = COFFER_PAD_NONE;
}

static void cut_at_every_length(const coffer__codec *codec) {
    coffer__buf good = written(codec);
    size_t len = good.len;
    for (good.len = 0; good.len < len; good.len++) {
        coffer_status status = read_users_42(codec, &good);
        assert_true(status < COFFER_OK);
        assert_true(good.len >= 24 || status == COFFER_BAD_LENGTH);
    }
    assert_true(coffer__buf_append(&good, "", 1)); /* a byte too many */
    assert_true(read_users_42(codec, &good) < COFFER_OK);
    coffer__buf_free(&good);
}

static void test_every_length_cut_is_refused(void **state) {
    (void)state;
    cut_at_every_length(&plain);
    cut_at_every_length(&sealed);
}

typedef struct byte_change {
    size_t at;
    uint8_t value; /* in the header; behind it the byte is turned over, for a sealed one is random and may be any value already */
    coffer_status plain_status;
    coffer_status sealed_status;
} byte_change;

enum { HEADER_BYTES = 24 };

static void test_each_field_of_the_header_has_its_status(void **state) {
    (void)state;
    static const byte_change changes[] = {
        {0, 0xC4, COFFER_BAD_MAGIC, COFFER_BAD_MAGIC},  {0, '{', COFFER_BAD_MAGIC, COFFER_BAD_MAGIC},  {1, 0, COFFER_BAD_VERSION, COFFER_BAD_VERSION},
        {1, 2, COFFER_BAD_VERSION, COFFER_BAD_VERSION}, {2, 3, COFFER_BAD_SUITE, COFFER_BAD_SUITE},    {2, 255, COFFER_BAD_SUITE, COFFER_BAD_SUITE},
        {3, 1, COFFER_BAD_FLAGS, COFFER_BAD_FLAGS},     {3, 128, COFFER_BAD_FLAGS, COFFER_BAD_FLAGS},  {7, 1, COFFER_BAD_KEY_ID, COFFER_UNKNOWN_KEY},
        {7, 0, COFFER_OK, COFFER_BAD_KEY_ID},           {4, 1, COFFER_BAD_KEY_ID, COFFER_UNKNOWN_KEY}, {2, 1, COFFER_BAD_KEY_ID, COFFER_OK},
        {2, 0, COFFER_OK, COFFER_BAD_KEY_ID},           {8, 0, COFFER_BAD_CRC, COFFER_AUTH_FAILED},    {24, 0, COFFER_BAD_CRC, COFFER_AUTH_FAILED},
        {60, 0, COFFER_BAD_CRC, COFFER_AUTH_FAILED},
    };
    coffer__buf from_plain = written(&plain);
    coffer__buf from_sealed = written(&sealed);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        size_t at = changes[i].at;
        char plain_byte = from_plain.data[at];
        char sealed_byte = from_sealed.data[at];
        from_plain.data[at] = at < HEADER_BYTES ? (char)changes[i].value : (char)~plain_byte;
        from_sealed.data[at] = at < HEADER_BYTES ? (char)changes[i].value : (char)~sealed_byte;
        assert_status(read_users_42(&plain, &from_plain), changes[i].plain_status);
        assert_status(read_users_42(&sealed, &from_sealed), changes[i].sealed_status);
        from_plain.data[at] = plain_byte;
        from_sealed.data[at] = sealed_byte;
    }
    assert_status(read_users_42(&sealed, &from_plain), COFFER_DOWNGRADE);
    assert_status(read_users_42(&plain, &from_sealed), COFFER_UNKNOWN_KEY);
    coffer__buf_free(&from_plain);
    coffer__buf_free(&from_sealed);
}

static void test_a_placeholder_is_exactly_its_header(void **state) {
    (void)state;
    coffer__buf in = COFFER__BUF_INIT;
    append_hex(&in, "c501020000000000 1122334455667788 00000000000003e8");
    assert_status(read_users_42(&plain, &in), COFFER_PLACEHOLDER);
    assert_status(read_users_42(&sealed, &in), COFFER_PLACEHOLDER);
    in.data[7] = 1;
    assert_status(read_users_42(&plain, &in), COFFER_BAD_KEY_ID);
    in.data[7] = 0;
    in.data[3] = 1;
    assert_status(read_users_42(&plain, &in), COFFER_BAD_FLAGS);
    in.data[3] = 0;
    in.len = 23;
    assert_status(read_users_42(&plain, &in), COFFER_BAD_LENGTH);
    in.len = 24;
    assert_true(coffer__buf_append(&in, "x", 1));
    assert_status(read_users_42(&plain, &in), COFFER_BAD_LENGTH);
    assert_status(read_users_42(&sealed, &in), COFFER_BAD_LENGTH);
    coffer__buf_free(&in);
}

static void test_it_opens_only_where_it_was_sealed(void **state) {
    (void)state;
    coffer__buf good = written(&sealed);
    coffer__binding binding = users_42();
    coffer_slice *const parts[] = {&binding.purpose, &binding.prefix, &binding.name, &binding.version, &binding.key};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const coffer_slice others[] = {COFFER_SLICE("session"), COFFER_SLICE(""), COFFER_SLICE("43"),
                                       coffer_slice_of(parts[i]->data, parts[i]->len - 1)};
        coffer_slice own = *parts[i];
        for (size_t j = 0; j < sizeof others / sizeof others[0]; j++) {
            *parts[i] = others[j];
            assert_status(read_bytes(&sealed, &binding, coffer__buf_slice(&good)), COFFER_AUTH_FAILED);
        }
        *parts[i] = own;
    }
    binding.prefix = COFFER_SLICE("appusers"); /* the same bytes, cut elsewhere */
    binding.name = COFFER_SLICE("");
    assert_status(read_bytes(&sealed, &binding, coffer__buf_slice(&good)), COFFER_AUTH_FAILED);
    coffer__buf_free(&good);
}

typedef struct bad_body {
    const char *head; /* kind, codec, format, tag count, raw length */
    const char *rest; /* tags and payload */
    coffer_status status;
} bad_body;

#define TIMES_AND_COST                                                                                                                               \
    "0000000000000001"                                                                                                                               \
    "0000000000000002"                                                                                                                               \
    "0000000000000003"                                                                                                                               \
    "00000000"

static const bad_body bodies[] = {
    {"00000000 00000003", "616263", COFFER_OK},
    {"02000000 00000003", "616263", COFFER_BAD_KIND},
    {"ff000000 00000003", "616263", COFFER_BAD_KIND},
    {"00030000 00000003", "616263", COFFER_BAD_CODEC},
    {"00020000 00000003", "616263", COFFER_BAD_DICTIONARY},
    {"00000400 00000003", "616263", COFFER_BAD_FORMAT},
    {"00007f00 00000003", "616263", COFFER_BAD_FORMAT},
    {"00008000 00000003", "616263", COFFER_OK},
    {"00000000 00000002", "616263", COFFER_BAD_LENGTH},
    {"00000000 00000004", "616263", COFFER_BAD_LENGTH},
    {"00000000 ffffffff", "616263", COFFER_TOO_LARGE},
    {"00010000 ffffffff", "616263", COFFER_TOO_LARGE},
    {"00020000 ffffffff", "616263", COFFER_TOO_LARGE},
    {"00000001 00000003", "616263", COFFER_BAD_TAGS},
    {"000000ff 00000000", "016131323334353637", COFFER_BAD_TAGS}, /* 255 tags in 9 bytes */
    {"00000001 00000000", "00 3132333435363738", COFFER_BAD_TAGS},
    {"00000001 00000000", "0161 31323334353637", COFFER_BAD_TAGS},
    {"00000001 00000000", "0161 3132333435363738", COFFER_OK},
    {"00000001 00000001", "0161 3132333435363738", COFFER_BAD_LENGTH},
    {"00010000 00000003", "616263", COFFER_DECOMP},
    {"00010000 000000c8", "28b52ffd20c843060061", COFFER_OK},
    {"00010000 000000c7", "28b52ffd20c843060061", COFFER_DECOMP},
    {"00010000 000000c9", "28b52ffd20c843060061", COFFER_DECOMP},
    {"00010000 000000c8", "28b52ffd2105c843060061", COFFER_BAD_DICTIONARY},
    {"00010000 00000000", "", COFFER_DECOMP},
};

static void make_body(const bad_body *from, coffer__buf *body) {
    coffer__buf_clear(body);
    append_hex(body, from->head);
    append_hex(body, TIMES_AND_COST);
    append_hex(body, from->rest);
}

static void test_a_body_that_is_wrong_under_a_right_checksum_or_seal(void **state) {
    (void)state;
    coffer__buf body = COFFER__BUF_INIT;
    coffer__buf in = COFFER__BUF_INIT;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        make_body(&bodies[i], &body);
        forge_plain(coffer__buf_slice(&body), &in);
        assert_status(read_users_42(&plain, &in), bodies[i].status);
        assert_true(coffer__buf_append(&body, "\x80\0\0", 3));
        forge_sealed(&sealed, coffer__buf_slice(&body), &in);
        assert_status(read_users_42(&sealed, &in), bodies[i].status);
    }
    coffer__buf_free(&body);
    coffer__buf_free(&in);
}

static void test_a_sealed_body_without_its_pad(void **state) {
    (void)state;
    coffer__buf body = COFFER__BUF_INIT;
    coffer__buf in = COFFER__BUF_INIT;
    make_body(&bodies[0], &body);
    forge_sealed(&sealed, coffer__buf_slice(&body), &in);
    assert_status(read_users_42(&sealed, &in), COFFER_BAD_PAD);
    coffer__buf_clear(&body);
    append_hex(&body, "00000000000000000000000000000000000000000000000000000000000000000000000000");
    forge_sealed(&sealed, coffer__buf_slice(&body), &in);
    assert_status(read_users_42(&sealed, &in), COFFER_BAD_PAD); /* zeros alone */
    body.data[35] = (char)0x80;
    forge_sealed(&sealed, coffer__buf_slice(&body), &in);
    assert_status(read_users_42(&sealed, &in), COFFER_BAD_LENGTH); /* a body of 35 bytes */
    coffer__buf_free(&body);
    coffer__buf_free(&in);
}

enum { BOMB_BLOCKS = 8192, BOMB_BLOCK_BYTES = 128 * 1024 };

/* 1 GiB of zeros in 32 KiB: run-length blocks of 128 KiB each, in four bytes. */
static void make_bomb(coffer__buf *body) {
    append_hex(body, "00010000 40000000" TIMES_AND_COST "28b52ffd 80 58 00000040");
    for (size_t i = 0; i < BOMB_BLOCKS; i++) {
        uint32_t head = (i == BOMB_BLOCKS - 1 ? 1u : 0u) | 1u << 1 | (uint32_t)BOMB_BLOCK_BYTES << 3;
        char block[4] = {(char)head, (char)(head >> 8), (char)(head >> 16), 0};
        assert_true(coffer__buf_append(body, block, sizeof block));
    }
}

static void test_a_bomb_is_refused_before_memory_is_taken(void **state) {
    (void)state;
    coffer__buf body = COFFER__BUF_INIT;
    coffer__buf in = COFFER__BUF_INIT;
    coffer__codec codec = plain;
    make_bomb(&body);
    forge_plain(coffer__buf_slice(&body), &in);
    watched_alloc_begin(WATCHED_NEVER);
    assert_status(read_users_42(&codec, &in), COFFER_TOO_LARGE);
    codec.max_value_bytes = SIZE_MAX;
    assert_status(read_users_42(&codec, &in), COFFER_DECOMP);
    assert_int_equal(watched_alloc.request_count, 0);
    watched_alloc_end();
    assert_true(coffer__buf_append(&body, "\x80", 1));
    forge_sealed(&sealed, coffer__buf_slice(&body), &in);
    watched_alloc_begin(WATCHED_NEVER);
    assert_status(read_users_42(&sealed, &in), COFFER_TOO_LARGE);
    assert_true(watched_alloc.peak_bytes <= 64 * 1024); /* the opened body */
    watched_alloc_end();
    coffer__buf_free(&body);
    coffer__buf_free(&in);
}

/* One run-length frame of 13 bytes, right in itself: unsealed it may say 13 * 1000 + 64 KiB and no more, sealed anything up to max_value. */
static void make_run(uint32_t raw_bytes, coffer__buf *body) {
    uint32_t block = 1u | 1u << 1 | raw_bytes << 3;
    char sizes[] = {(char)raw_bytes, (char)(raw_bytes >> 8), (char)(raw_bytes >> 16), 0, (char)block, (char)(block >> 8), (char)(block >> 16), 'a'};
    char raw_length[4];
    coffer__put_u32(raw_length, raw_bytes);
    coffer__buf_clear(body);
    append_hex(body, "00010000");
    assert_true(coffer__buf_append(body, raw_length, sizeof raw_length));
    append_hex(body, TIMES_AND_COST "28b52ffd a0");
    assert_true(coffer__buf_append(body, sizes, sizeof sizes));
}

static void test_the_bound_of_unsealed_growth(void **state) {
    (void)state;
    coffer__buf body = COFFER__BUF_INIT;
    coffer__buf in = COFFER__BUF_INIT;
    make_run(13 * 1000 + 64 * 1024, &body);
    forge_plain(coffer__buf_slice(&body), &in);
    assert_status(read_users_42(&plain, &in), COFFER_OK);
    make_run(13 * 1000 + 64 * 1024 + 1, &body);
    forge_plain(coffer__buf_slice(&body), &in);
    assert_status(read_users_42(&plain, &in), COFFER_DECOMP);
    assert_true(coffer__buf_append(&body, "\x80", 1));
    forge_sealed(&sealed, coffer__buf_slice(&body), &in);
    assert_status(read_users_42(&sealed, &in), COFFER_OK);
    coffer__buf_free(&body);
    coffer__buf_free(&in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bit_flipped_is_refused),
        cmocka_unit_test(test_every_length_cut_is_refused),
        cmocka_unit_test(test_each_field_of_the_header_has_its_status),
        cmocka_unit_test(test_a_placeholder_is_exactly_its_header),
        cmocka_unit_test(test_it_opens_only_where_it_was_sealed),
        cmocka_unit_test(test_a_body_that_is_wrong_under_a_right_checksum_or_seal),
        cmocka_unit_test(test_a_sealed_body_without_its_pad),
        cmocka_unit_test(test_a_bomb_is_refused_before_memory_is_taken),
        cmocka_unit_test(test_the_bound_of_unsealed_growth),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
