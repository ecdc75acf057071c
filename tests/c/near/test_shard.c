#include "near/shard.h"

#include "support/cmocka_all.h"

enum { BYTES = 64 * 1024 };

static coffer__shard *new_shard(void) {
    coffer__shard *shard = (coffer__shard *)aligned_alloc(64, BYTES);
    assert_non_null(shard);
    coffer__shard_init(shard, BYTES);
    return shard;
}

static coffer_status put(coffer__shard *shard, uint64_t hash, uint32_t number, size_t value_len, uint64_t now_ms, uint64_t expires_at_ms) {
    char *value = (char *)malloc(value_len + 1);
    assert_non_null(value);
    memset(value, (int)number, value_len);
    coffer__item item = {
        .hash = hash, .key = coffer_slice_of(&number, sizeof number), .value = coffer_slice_of(value, value_len), .expires_at_ms = expires_at_ms};
    coffer_status status = coffer__shard_put(shard, coffer__shard_find(shard, hash, item.key, now_ms), &item, now_ms);
    free(value);
    return status;
}

static uint64_t *find(coffer__shard *shard, uint64_t hash, uint32_t number, uint64_t now_ms) {
    return coffer__shard_find(shard, hash, coffer_slice_of(&number, sizeof number), now_ms);
}

static uint64_t hash_of(uint32_t number) {
    return number * UINT64_C(0x9E3779B97F4A7C15);
}

/* Somebody who knows the secret: every key has the same hash. */
static void test_colliding_keys_cost_entries_not_time_or_truth(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(put(shard, 42, i, 8, 1, UINT64_MAX), COFFER_OK);
        uint64_t *slot = find(shard, 42, i, 1);
        assert_non_null(slot);
        coffer_slice value = coffer__record_value(coffer__shard_record(shard, *slot));
        assert_int_equal(value.len, 8);
        assert_int_equal((uint8_t)value.data[0], (uint8_t)i);
    }
    assert_int_equal(shard->entries, COFFER__BUCKET_SLOTS);
    assert_int_equal(shard->evictions, 1000 - COFFER__BUCKET_SLOTS);
    free(shard);
}

static void test_a_full_bucket_gives_up_expired_then_unread_then_oldest(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    for (uint32_t i = 0; i < 8; i++) {
        put(shard, 42, i, 8, 1, i == 5 ? 10 : UINT64_MAX);
    }
    *find(shard, 42, 0, 1) |= COFFER__SLOT_READ;
    put(shard, 42, 8, 8, 10, UINT64_MAX); /* in place of 5, expired */
    assert_int_equal(shard->expirations, 1);
    assert_int_equal(shard->evictions, 0);
    put(shard, 42, 9, 8, 10, UINT64_MAX); /* in place of 1, as 0 was read */
    assert_non_null(find(shard, 42, 0, 10));
    assert_null(find(shard, 42, 1, 10));
    assert_non_null(find(shard, 42, 2, 10));
    assert_int_equal(shard->evictions, 1);
    free(shard);
}

static void test_what_was_read_gets_a_second_chance(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    put(shard, hash_of(1), 1, 100, 1, UINT64_MAX);
    put(shard, hash_of(2), 2, 100, 1, UINT64_MAX);
    for (uint32_t i = 3; shard->evictions < 2000; i++) {
        put(shard, hash_of(i), i, 100, 1, UINT64_MAX);
        uint64_t *kept = find(shard, hash_of(1), 1, 1);
        assert_non_null(kept);
        *kept |= COFFER__SLOT_READ;
    }
    assert_null(find(shard, hash_of(2), 2, 1));
    free(shard);
}

static void test_room_is_made_though_everything_was_read(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(put(shard, hash_of(i), i, i % 7 * 300, 1, UINT64_MAX), COFFER_OK);
        *find(shard, hash_of(i), i, 1) |= COFFER__SLOT_READ;
    }
    assert_true(shard->used_bytes <= shard->log_bytes);
    free(shard);
}

static void test_the_largest_value_fits_and_one_byte_more_does_not(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    size_t most = (size_t)shard->log_bytes - sizeof(coffer__record) - sizeof(uint32_t);
    for (uint32_t i = 0; i < 20; i++) {
        put(shard, hash_of(i), i, 1000, 1, UINT64_MAX);
    }
    assert_int_equal(put(shard, hash_of(3), 3, most, 1, UINT64_MAX), COFFER_OK);
    assert_int_equal(shard->entries, 1);
    assert_non_null(find(shard, hash_of(3), 3, 1));
    assert_int_equal(put(shard, hash_of(3), 3, most + 1, 1, UINT64_MAX), COFFER_TOO_LARGE);
    assert_null(find(shard, hash_of(3), 3, 1));
    assert_int_equal(shard->used_bytes, 0);
    free(shard);
}

static void test_expired_records_make_room_before_others_and_count_once(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    uint32_t number = 0;
    while (shard->evictions == 0) {
        put(shard, hash_of(number), number, 1000, 1, 100);
        number++;
    }
    uint64_t entries = shard->entries;
    uint64_t evictions = shard->evictions;
    for (uint32_t i = 0; i < entries; i++) {
        put(shard, hash_of(number + i), number + i, 1000, 100, UINT64_MAX);
    }
    assert_int_equal(shard->evictions, evictions);
    assert_in_range(shard->expirations, entries - 1, entries);
    free(shard);
}

static void test_half_a_change_empties_the_shard_of_a_child(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    put(shard, hash_of(1), 1, 10, 1, UINT64_MAX);
    coffer__shard_recover(shard);
    assert_non_null(find(shard, hash_of(1), 1, 1));
    atomic_store(&shard->changing, true);
    coffer__shard_recover(shard);
    assert_null(find(shard, hash_of(1), 1, 1));
    assert_int_equal(shard->entries, 0);
    assert_int_equal(put(shard, hash_of(1), 1, 10, 1, UINT64_MAX), COFFER_OK);
    assert_non_null(find(shard, hash_of(1), 1, 1));
    free(shard);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_colliding_keys_cost_entries_not_time_or_truth),
        cmocka_unit_test(test_a_full_bucket_gives_up_expired_then_unread_then_oldest),
        cmocka_unit_test(test_what_was_read_gets_a_second_chance),
        cmocka_unit_test(test_room_is_made_though_everything_was_read),
        cmocka_unit_test(test_the_largest_value_fits_and_one_byte_more_does_not),
        cmocka_unit_test(test_expired_records_make_room_before_others_and_count_once),
        cmocka_unit_test(test_half_a_change_empties_the_shard_of_a_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
