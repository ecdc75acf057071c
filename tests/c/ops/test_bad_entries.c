/* Whatever may stand under a key that is not the entry of that key: to every operation it is not there, it is counted by its reason, and nothing of it
 * is given out. On mem://, whose store is written to behind the cache's back. */
#include "codec/codec_support.h"
#include "engine/engine.h"
#include "ops/helpers.h"

#define UNSEALED "mem://?prefix=app&namespace=users"
#define SEALED UNSEALED "&seal_key_id=7&seal_key=" KEY_A
#define WIRE "app:users:42"

enum { HEADER_BYTES = 24, LEASE_OFFSET = 16, NONCE_BYTES = 24 };

static const coffer_slice key_42 = {"42", 2};

/* What a set of the key stores, taken out of the store; the caller's. */
static coffer__buf stored(world *w, const char *value) {
    coffer__buf bytes = COFFER__BUF_INIT;
    assert_int_equal(RUN(*w, set, key_42, coffer_slice_text(value), NULL), COFFER_OK);
    assert_int_equal(coffer__near_get(w->client->store, COFFER_SLICE(WIRE), w->now_ms, &bytes, NULL), COFFER_OK);
    return bytes;
}

static void put_at(world *w, const char *wire, coffer_slice bytes) {
    assert_int_equal(coffer__near_put(w->client->store, coffer_slice_text(wire), bytes, w->now_ms, UINT64_MAX, NULL), COFFER_OK);
}

static coffer_counters counters_of(world *w) {
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    assert_int_equal(coffer_metrics_read(w->ns, &metrics), COFFER_OK);
    return metrics.counters;
}

/* How often entries were refused with this status; with OK, with any. */
static uint64_t refusals_of(world *w, coffer_status status) {
    uint64_t count = 0;
    coffer_refusal refusal;
    for (size_t i = 0; coffer_metrics_refusal(w->ns, i, &refusal); i++) {
        count += status == COFFER_OK || refusal.status == status ? refusal.count : 0;
    }
    return count;
}

static void assert_nothing_given(world *w) {
    const coffer_value *value = coffer_op_value(w->op);
    assert_int_equal(value->data.len, 0);
    assert_int_equal(value->source, COFFER_SOURCE_NONE);
    assert_int_equal(value->entry_id, 0);
}

/* A get of the key is a miss with this reason, one of each in the counters, and no other counter moves. */
static void assert_refused_as(world *w, coffer_slice key, coffer_status reason, size_t place) {
    coffer_counters before = counters_of(w);
    uint64_t counted = refusals_of(w, reason), all = refusals_of(w, COFFER_OK);
    assert_int_equal(RUN(*w, get, key, NULL), COFFER_MISS);
    assert_nothing_given(w);
    if (refusals_of(w, reason) != counted + 1) {
        fail_msg("at %zu: not refused as %s", place, coffer_status_name(reason));
    }
    assert_int_equal(refusals_of(w, COFFER_OK), all + 1);
    coffer_counters after = counters_of(w);
    before.misses++;
    before.unreadable++;
    assert_memory_equal(&before, &after, sizeof before);
}

static void assert_refused(world *w, const coffer__buf *bytes, coffer_status reason, size_t place) {
    put_at(w, WIRE, coffer__buf_slice(bytes));
    assert_refused_as(w, key_42, reason, place);
}

/* ---- every bit -------------------------------------------------------------------------------------------------- */

static coffer_status suite_refusal(bool sealed, size_t bit) {
    if (sealed) {
        return bit == 0 ? COFFER_BAD_KEY_ID : COFFER_BAD_SUITE; /* suite 0 has no key id */
    }
    return bit == 0 ? COFFER_BAD_KEY_ID : bit == 1 ? COFFER_BAD_LENGTH : COFFER_BAD_SUITE; /* suite 2 ends at its header */
}

static coffer_status refusal_of_flip(bool sealed, size_t at, size_t bit) {
    static const coffer_status first[] = {COFFER_BAD_MAGIC, COFFER_BAD_VERSION, COFFER_OK, COFFER_BAD_FLAGS};
    if (at == 2) {
        return suite_refusal(sealed, bit);
    }
    if (at < 4) {
        return first[at];
    }
    if (at < 8) {
        return sealed ? COFFER_UNKNOWN_KEY : COFFER_BAD_KEY_ID;
    }
    return sealed ? COFFER_AUTH_FAILED : COFFER_BAD_CRC;
}

static void flip_every_bit(const char *url, bool sealed) {
    world w;
    open_world(&w, url);
    coffer__buf bytes = stored(&w, "a value of some length");
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        size_t at = bit / 8;
        bytes.data[at] ^= (char)(1 << bit % 8);
        if (at < LEASE_OFFSET || at >= HEADER_BYTES) {
            assert_refused(&w, &bytes, refusal_of_flip(sealed, at, bit % 8), bit);
        } else { /* the lease changes in place, and says nothing about the value */
            put_at(&w, WIRE, coffer__buf_slice(&bytes));
            assert_int_equal(RUN(w, get, key_42, NULL), COFFER_OK);
            assert_true(coffer_slice_equal(coffer_op_value(w.op)->data, COFFER_SLICE("a value of some length")));
        }
        bytes.data[at] ^= (char)(1 << bit % 8);
    }
    put_at(&w, WIRE, coffer__buf_slice(&bytes));
    assert_int_equal(RUN(w, get, key_42, NULL), COFFER_OK);
    coffer__buf_free(&bytes);
    close_world(&w);
}

static void test_every_bit_flipped_is_a_counted_miss(void **state) {
    (void)state;
    flip_every_bit(UNSEALED, false);
    flip_every_bit(SEALED, true);
    flip_every_bit(SEALED "&seal_pad=64", true);
    flip_every_bit(UNSEALED "&compress=always", false);
}

/* ---- every length ------------------------------------------------------------------------------------------------ */

static void cut_at_every_length(const char *url, size_t smallest, coffer_status reason) {
    world w;
    open_world(&w, url);
    coffer__buf bytes = stored(&w, "a value of some length, so that an envelope of it is longer than the smallest one");
    size_t whole = bytes.len;
    assert_true(whole > smallest && smallest >= 64);
    for (bytes.len = 0; bytes.len < whole; bytes.len++) {
        assert_refused(&w, &bytes, bytes.len < smallest ? COFFER_BAD_LENGTH : reason, bytes.len);
    }
    assert_true(coffer__buf_append(&bytes, "", 1)); /* a byte too many */
    assert_refused(&w, &bytes, reason, bytes.len);
    coffer__buf_free(&bytes);
    close_world(&w);
}

static void test_an_envelope_cut_anywhere_is_a_counted_miss(void **state) {
    (void)state;
    cut_at_every_length(UNSEALED, 24 + 36 + 4, COFFER_BAD_CRC);
    cut_at_every_length(SEALED, 24 + 24 + 36 + 1 + 16, COFFER_AUTH_FAILED);
}

/* ---- the right bytes in the wrong place -------------------------------------------------------------------------- */

static void test_a_sealed_entry_opens_under_no_other_name(void **state) {
    (void)state;
    static const struct {
        const char *url, *wire, *key;
    } rows[] = {
        {SEALED, "app:users:43", "43"},
        {SEALED, "app:users:%2542", "%42"},
        {SEALED "&namespace=orders", "app:orders:42", "42"},
        {SEALED "&namespace=_", "app:_:42", "42"},
        {SEALED "&prefix=prod", "prod:users:42", "42"},
        {SEALED "&version=2", "app:users@2:42", "42"},
        {"mem://?namespace=users&seal_key_id=7&seal_key=" KEY_B, "_:users:42", "42"}, /* another key that says it is the same one */
    };
    world writer;
    open_world(&writer, SEALED);
    coffer__buf bytes = stored(&writer, "mine");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        world w;
        open_world(&w, rows[i].url);
        put_at(&w, rows[i].wire, coffer__buf_slice(&bytes));
        assert_refused_as(&w, coffer_slice_text(rows[i].key), COFFER_AUTH_FAILED, i);
        close_world(&w);
    }
    coffer__buf_free(&bytes);
    close_world(&writer);
}

static void read_elsewhere(const char *writer_url, const char *value, const char *reader_url, coffer_status reason) {
    world writer, reader;
    open_world(&writer, writer_url);
    open_world(&reader, reader_url);
    coffer__buf bytes = stored(&writer, value);
    assert_refused(&reader, &bytes, reason, 0);
    coffer__buf_free(&bytes);
    close_world(&writer);
    close_world(&reader);
}

static void test_another_suite_or_key_is_never_tried(void **state) {
    (void)state;
    read_elsewhere(UNSEALED, "mine", SEALED, COFFER_DOWNGRADE);
    read_elsewhere(SEALED, "mine", UNSEALED, COFFER_UNKNOWN_KEY);
    read_elsewhere(SEALED, "mine", UNSEALED "&seal_key_id=8&seal_key=" KEY_A, COFFER_UNKNOWN_KEY);
    read_elsewhere(SEALED, "mine", UNSEALED "&seal_key=" KEY_B, COFFER_UNKNOWN_KEY);
    read_elsewhere(SEALED, "mine", UNSEALED "&seal_key_id=7&seal_key=" KEY_B, COFFER_AUTH_FAILED);
}

static void test_parts_of_two_entries_make_none(void **state) {
    (void)state;
    static const struct {
        size_t from, len;
    } parts[] = {{8, 8}, {HEADER_BYTES, NONCE_BYTES}, {HEADER_BYTES + NONCE_BYTES, 8}, {HEADER_BYTES + NONCE_BYTES + 40, 16}};
    world w, other;
    open_world(&w, SEALED);
    open_world(&other, SEALED);
    coffer__buf bytes = stored(&w, "mine"), others = stored(&other, "mine");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char kept[NONCE_BYTES];
        memcpy(kept, bytes.data + parts[i].from, parts[i].len);
        memcpy(bytes.data + parts[i].from, others.data + parts[i].from, parts[i].len);
        assert_refused(&w, &bytes, COFFER_AUTH_FAILED, i);
        memcpy(bytes.data + parts[i].from, kept, parts[i].len);
    }
    coffer__buf_free(&bytes);
    coffer__buf_free(&others);
    close_world(&w);
    close_world(&other);
}

/* ---- what other operations make of it ---------------------------------------------------------------------------- */

static void test_a_value_larger_than_the_reader_allows_is_a_counted_miss(void **state) {
    (void)state;
    static char large[4096];
    memset(large, 'x', sizeof large - 1);
    read_elsewhere(UNSEALED, large, UNSEALED "&max_value=1KiB", COFFER_TOO_LARGE);
    read_elsewhere(UNSEALED "&compress=never", large, UNSEALED "&max_value=1KiB", COFFER_TOO_LARGE);
    read_elsewhere(SEALED, large, SEALED "&max_value=1KiB", COFFER_TOO_LARGE);
}

/* However little of an entry is there, it is absent to a reader and no hindrance to a writer. */
static void try_every_operation(world *w, coffer_slice bytes) {
    const coffer_slice keys[] = {key_42, COFFER_SLICE("43")};
    coffer_value value;
    put_at(w, WIRE, bytes);
    assert_int_equal(RUN(*w, exists, key_42, NULL), COFFER_MISS);
    assert_int_equal(RUN(*w, ttl, key_42, NULL), COFFER_MISS);
    assert_int_equal(RUN(*w, expire, key_42, 5000, NULL), COFFER_MISS);
    assert_int_equal(RUN(*w, touch, key_42, NULL), COFFER_MISS);
    assert_int_equal(RUN(*w, replace, key_42, COFFER_SLICE("v"), NULL), COFFER_NOT_STORED);
    assert_int_equal(RUN(*w, get_many, keys, 2, NULL), COFFER_OK);
    assert_int_equal(coffer_op_item(w->op, 0, &value), COFFER_MISS);
    assert_int_equal(value.data.len, 0);
    assert_int_equal(RUN(*w, add, key_42, COFFER_SLICE("added"), NULL), COFFER_OK);
    assert_int_equal(RUN(*w, get, key_42, NULL), COFFER_OK);
    put_at(w, WIRE, bytes);
    assert_int_equal(RUN(*w, get_or_load, key_42, NULL), COFFER_OK);
    assert_int_equal(coffer_op_value(w->op)->source, COFFER_SOURCE_LOADED);
    assert_int_equal(RUN(*w, get, key_42, NULL), COFFER_OK);
    assert_true(coffer_slice_equal(coffer_op_value(w->op)->data, COFFER_SLICE("loaded")));
    put_at(w, WIRE, bytes);
    assert_int_equal(RUN(*w, delete, key_42, NULL), COFFER_OK);
}

static void test_a_bad_entry_is_absent_to_every_operation(void **state) {
    (void)state;
    static const char *const urls[] = {UNSEALED, SEALED};
    for (size_t i = 0; i < 2; i++) {
        world w;
        open_world(&w, urls[i]);
        coffer__buf good = stored(&w, "a value of some length");
        for (size_t len = 0; len < good.len; len++) {
            try_every_operation(&w, coffer_slice_of(good.data, len));
        }
        try_every_operation(&w, COFFER_SLICE("not an envelope"));
        good.data[good.len - 1] ^= 1;
        try_every_operation(&w, coffer__buf_slice(&good));
        coffer__buf_free(&good);
        close_world(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bit_flipped_is_a_counted_miss),
        cmocka_unit_test(test_an_envelope_cut_anywhere_is_a_counted_miss),
        cmocka_unit_test(test_a_sealed_entry_opens_under_no_other_name),
        cmocka_unit_test(test_another_suite_or_key_is_never_tried),
        cmocka_unit_test(test_parts_of_two_entries_make_none),
        cmocka_unit_test(test_a_value_larger_than_the_reader_allows_is_a_counted_miss),
        cmocka_unit_test(test_a_bad_entry_is_absent_to_every_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
