#include "near/shard.h"

#include "support/cmocka_all.h"

enum { BYTES = 64 * 1024 };

static coffer__shard *new_shard(void) {
    coffer__shard *shard = (coffer__shard *)malloc(sizeof *shard);
    void *memory = aligned_alloc(64, BYTES);
    assert_true(shard != NULL && memory != NULL);
    memset(memory, 0xA5, BYTES);
    coffer__shard_plan plan = coffer__shard_plan_of(BYTES);
    assert_true(coffer__shard_bytes(&plan) <= BYTES);
    coffer__shard_attach(shard, memory, &plan, 20);
    coffer__shard_init(shard);
    return shard;
}

static void free_shard(coffer__shard *shard) {
    free(shard->state);
    free(shard);
}

static size_t log_bytes(const coffer__shard *shard) {
    return (size_t)shard->log.segment_count * shard->log.segment_words * 8;
}

static coffer__spot find(coffer__shard *shard, uint64_t hash, uint32_t number, uint64_t now_ms) {
    return coffer__shard_find(shard, hash, coffer_slice_of(&number, sizeof number), now_ms);
}

static bool has(coffer__shard *shard, uint64_t hash, uint32_t number, uint64_t now_ms) {
    return find(shard, hash, number, now_ms).slot != NULL;
}

static void read_it(coffer__shard *shard, uint64_t hash, uint32_t number) {
    coffer__spot spot = find(shard, hash, number, 1);
    assert_non_null(spot.slot);
    coffer__slot_count_read(spot.slot, coffer__slot_load(spot.slot));
}

static void *filled(uint32_t number, size_t len) {
    uint8_t *value = (uint8_t *)malloc(len + 1);
    assert_non_null(value);
    for (size_t i = 0; i < len; i++) {
        value[i] = (uint8_t)(number * 31 + i * 7 + i / 251);
    }
    return value;
}

static coffer_status put_as(coffer__shard *shard, uint64_t hash, uint32_t number, size_t value_len, uint64_t now_ms, uint64_t expires_at_ms,
                            bool apart) {
    void *value = filled(number, value_len);
    coffer__item item = {.hash = hash,
                         .key = coffer_slice_of(&number, sizeof number),
                         .value = coffer_slice_of(value, value_len),
                         .expires_at_ms = expires_at_ms,
                         .apart = apart};
    coffer__spot old = coffer__shard_find(shard, hash, item.key, now_ms);
    coffer_status status = coffer__shard_put(shard, &old, &item, now_ms);
    free(value);
    return status;
}

static coffer_status put(coffer__shard *shard, uint64_t hash, uint32_t number, size_t value_len, uint64_t now_ms, uint64_t expires_at_ms) {
    return put_as(shard, hash, number, value_len, now_ms, expires_at_ms, false);
}

/* The value that put gave it, whole, and its check. */
static void assert_whole(coffer__shard *shard, uint64_t hash, uint32_t number, size_t value_len) {
    coffer__spot spot = find(shard, hash, number, 1);
    void *wanted = filled(number, value_len), *value = malloc(value_len + 1);
    assert_non_null(spot.slot);
    assert_int_equal(spot.record.value_len, value_len);
    coffer__shard_value(shard, &spot, 0, value_len, (char *)value);
    assert_memory_equal(value, wanted, value_len);
    coffer_slice key = coffer_slice_of(&number, sizeof number);
    assert_int_equal(coffer__record_check(20, &spot.record, key, coffer_slice_of(value, value_len)), spot.record.check);
    free(value);
    free(wanted);
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
        assert_whole(shard, 42, i, 8);
    }
    assert_int_equal(shard->state->entries, COFFER__BUCKET_SLOTS);
    assert_int_equal(shard->state->evicted[COFFER__EVICTED_BUCKET], 1000 - COFFER__BUCKET_SLOTS);
    assert_int_equal(coffer__shard_evictions(shard->state), 1000 - COFFER__BUCKET_SLOTS);
    free_shard(shard);
}

static void test_a_full_bucket_gives_up_expired_then_unread_then_oldest(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    for (uint32_t i = 0; i < COFFER__BUCKET_SLOTS; i++) {
        put(shard, 42, i, 8, 1, i == 5 ? 10 : UINT64_MAX);
    }
    read_it(shard, 42, 0);
    put(shard, 42, 8, 8, 10, UINT64_MAX); /* in place of 5, expired */
    assert_int_equal(shard->state->expirations, 1);
    assert_int_equal(coffer__shard_evictions(shard->state), 0);
    put(shard, 42, 9, 8, 10, UINT64_MAX); /* in place of 1, as 0 was read */
    assert_true(has(shard, 42, 0, 10));
    assert_false(has(shard, 42, 1, 10));
    assert_true(has(shard, 42, 2, 10));
    assert_int_equal(coffer__shard_evictions(shard->state), 1);
    free_shard(shard);
}

static void test_what_was_read_gets_a_second_chance(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    put(shard, hash_of(1), 1, 100, 1, UINT64_MAX);
    put(shard, hash_of(2), 2, 100, 1, UINT64_MAX);
    for (uint32_t i = 3; coffer__shard_evictions(shard->state) < 2000; i++) {
        put(shard, hash_of(i), i, 100, 1, UINT64_MAX);
        read_it(shard, hash_of(1), 1);
    }
    assert_false(has(shard, hash_of(2), 2, 1));
    free_shard(shard);
}

static void test_room_is_made_though_everything_was_read(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(put(shard, hash_of(i), i, i % 7 * 300, 1, UINT64_MAX), COFFER_OK);
        read_it(shard, hash_of(i), i);
    }
    assert_true(shard->state->used_bytes <= log_bytes(shard));
    free_shard(shard);
}

static void test_the_largest_value_fits_and_one_byte_more_does_not(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    size_t most = log_bytes(shard) / 8 / 4 * 3 * 8 - sizeof(coffer__record) - 8;
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 100; i++) {
            put(shard, hash_of(i), i, 1000, 1, UINT64_MAX);
        }
        assert_int_equal(put(shard, hash_of(3), 3, most, 1, UINT64_MAX), COFFER_OK);
        assert_whole(shard, hash_of(3), 3, most);
        assert_int_equal(put(shard, hash_of(3), 3, most + 1, 1, UINT64_MAX), COFFER_TOO_LARGE);
        assert_false(has(shard, hash_of(3), 3, 1));
    }
    free_shard(shard);
}

/* Each size from nothing to several segments, in memory that holds few of them. */
static void test_values_of_all_sizes_come_back_whole(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    for (uint32_t i = 0; i < 30000; i++) {
        uint32_t number = i * 7919 % 4099;
        assert_int_equal(put_as(shard, hash_of(number), number, number % 61 * 67 % 3000, 1, UINT64_MAX, number % 11 == 0), COFFER_OK);
        assert_whole(shard, hash_of(number), number, number % 61 * 67 % 3000);
        uint32_t before = (i + 30000 - 13) * 7919 % 4099;
        if (i > 13 && has(shard, hash_of(before), before, 1)) {
            assert_whole(shard, hash_of(before), before, before % 61 * 67 % 3000);
            read_it(shard, hash_of(before), before);
        }
    }
    assert_int_equal(shard->state->wiped, 0);
    free_shard(shard);
}

static void test_a_part_of_a_value_is_that_part(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    char *wanted = (char *)filled(1, 3000), part[64];
    put(shard, hash_of(1), 1, 3000, 1, UINT64_MAX);
    coffer__spot spot = find(shard, hash_of(1), 1, 1);
    for (size_t offset = 0; offset < 2900; offset++) {
        size_t len = offset % 64 + 1;
        memset(part, 0, sizeof part);
        coffer__shard_value(shard, &spot, offset, len, part);
        assert_memory_equal(part, wanted + offset, len);
    }
    free(wanted);
    free_shard(shard);
}

/* A flood of what is apart takes nothing from what is not, but for the segments that are its own. */
static void test_what_is_apart_pushes_out_its_like_only(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    uint32_t kept = 0;
    put_as(shard, hash_of(1000000), 1000000, 10, 1, UINT64_MAX, true);
    for (uint32_t i = 0; coffer__shard_evictions(shard->state) == 0; i++) {
        put(shard, hash_of(i), i, 500, 1, UINT64_MAX);
        kept = i;
    }
    for (uint32_t i = 1000; i < 6000; i++) {
        assert_int_equal(put_as(shard, hash_of(i), i, 10, 1, UINT64_MAX, true), COFFER_OK);
        assert_true(has(shard, hash_of(i), i, 1));
    }
    assert_true(shard->state->evicted[COFFER__QUEUE_APART] > 2000);
    uint32_t there = 0;
    for (uint32_t i = 0; i <= kept; i++) {
        there += has(shard, hash_of(i), i, 1);
    }
    print_message("           %u of %u are still there\n", there, kept);
    assert_true(there >= kept * 3 / 4);
    free_shard(shard);
}

static void test_expire_keeps_the_check(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    put(shard, hash_of(1), 1, 700, 1, 50);
    coffer__spot spot = find(shard, hash_of(1), 1, 1);
    coffer__shard_expire(shard, &spot, 99);
    assert_whole(shard, hash_of(1), 1, 700);
    assert_true(has(shard, hash_of(1), 1, 98));
    assert_false(has(shard, hash_of(1), 1, 99));
    free_shard(shard);
}

/* What a reader without the lock relies on. */
static void test_each_change_of_a_record_moves_its_sequence_by_two(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    coffer__bucket *bucket = coffer__shard_bucket(shard, hash_of(1));
    uint64_t before = coffer__bucket_sequence(bucket);
    assert_int_equal(before % 2, 0);
    put(shard, hash_of(1), 1, 10, 1, UINT64_MAX);
    assert_int_equal(coffer__bucket_sequence(bucket), before + 2);
    put(shard, hash_of(1), 1, 9, 1, UINT64_MAX); /* in place */
    assert_int_equal(coffer__bucket_sequence(bucket), before + 4);
    coffer__spot spot = find(shard, hash_of(1), 1, 1);
    coffer__shard_expire(shard, &spot, 99);
    assert_int_equal(coffer__bucket_sequence(bucket), before + 6);
    coffer__shard_remove(shard, &spot);
    assert_int_equal(coffer__bucket_sequence(bucket), before + 8);
    coffer__bucket_open(bucket); /* and its writer dies */
    atomic_store(&shard->state->changing, true);
    coffer__shard_recover(shard);
    assert_int_equal(coffer__bucket_sequence(bucket), before + 10);
    assert_int_equal(shard->state->wiped, 1);
    free_shard(shard);
}

/* Whatever is in the arena: no access beyond it (ASan), no endless loop, and what is read back is what was put or fails its check. */
static void test_damage_costs_entries_not_memory_safety(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    uint64_t random = 20;
    uint8_t *bytes = (uint8_t *)shard->state;
    for (uint32_t i = 0; i < 200000; i++) {
        uint32_t number = i * 7919 % 509;
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        size_t at = (random >> 20) % 4 == 0 ? (random >> 33) % 1024 : (random >> 33) % BYTES;
        bytes[at] ^= (uint8_t)(1 << (random >> 60) % 8);
        put_as(shard, hash_of(number), number, number % 61 * 67 % 3000, 1, UINT64_MAX, number % 11 == 0);
        if (i % 3 == 0) {
            coffer__spot spot = find(shard, hash_of(number / 2), number / 2, 1);
            if (spot.slot != NULL) {
                char *value = (char *)malloc(spot.record.value_len + 1);
                assert_non_null(value);
                coffer__shard_value(shard, &spot, 0, spot.record.value_len, value);
                coffer__shard_remove(shard, &spot);
                free(value);
            }
        }
    }
    free_shard(shard);
}

static void test_expired_records_make_room_before_others_and_count_once(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    uint32_t number = 0;
    while (coffer__shard_evictions(shard->state) == 0) {
        put(shard, hash_of(number), number, 1000, 1, 100);
        number++;
    }
    uint64_t entries = shard->state->entries;
    uint64_t evictions = coffer__shard_evictions(shard->state);
    for (uint32_t i = 0; i < entries; i++) {
        put(shard, hash_of(number + i), number + i, 1000, 100, UINT64_MAX);
    }
    assert_int_equal(coffer__shard_evictions(shard->state), evictions);
    assert_in_range(shard->state->expirations, entries - 1, entries);
    free_shard(shard);
}

static void test_half_a_change_empties_the_shard_of_a_child(void **state) {
    (void)state;
    coffer__shard *shard = new_shard();
    put(shard, hash_of(1), 1, 10, 1, UINT64_MAX);
    coffer__shard_recover(shard);
    assert_true(has(shard, hash_of(1), 1, 1));
    atomic_store(&shard->state->changing, true);
    coffer__shard_recover(shard);
    assert_false(has(shard, hash_of(1), 1, 1));
    assert_int_equal(shard->state->entries, 0);
    assert_int_equal(put(shard, hash_of(1), 1, 10, 1, UINT64_MAX), COFFER_OK);
    assert_true(has(shard, hash_of(1), 1, 1));
    free_shard(shard);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_colliding_keys_cost_entries_not_time_or_truth),
        cmocka_unit_test(test_a_full_bucket_gives_up_expired_then_unread_then_oldest),
        cmocka_unit_test(test_what_was_read_gets_a_second_chance),
        cmocka_unit_test(test_room_is_made_though_everything_was_read),
        cmocka_unit_test(test_the_largest_value_fits_and_one_byte_more_does_not),
        cmocka_unit_test(test_values_of_all_sizes_come_back_whole),
        cmocka_unit_test(test_a_part_of_a_value_is_that_part),
        cmocka_unit_test(test_what_is_apart_pushes_out_its_like_only),
        cmocka_unit_test(test_expire_keeps_the_check),
        cmocka_unit_test(test_each_change_of_a_record_moves_its_sequence_by_two),
        cmocka_unit_test(test_damage_costs_entries_not_memory_safety),
        cmocka_unit_test(test_expired_records_make_room_before_others_and_count_once),
        cmocka_unit_test(test_half_a_change_empties_the_shard_of_a_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
