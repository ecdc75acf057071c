/* The Nth allocation fails, for every N until all goes well: NO_MEMORY, nothing lost, nothing half done. */
#include "codec/codec_support.h"

#include "support/watched_alloc.h"

/* Keyring, two keys, sealer. */
static coffer_status make_sealer(coffer__sealer **sealer) {
    coffer__keyring *keyring;
    coffer_status status = coffer__keyring_new(&keyring);
    if (status == COFFER_OK) {
        status = coffer__keyring_add(keyring, COFFER_SLICE(KEY_A), 7, COFFER__KEY_PRIMARY, NULL);
        if (status == COFFER_OK) {
            status = coffer__keyring_add(keyring, COFFER_SLICE(KEY_B), 0, COFFER__KEY_OLD, NULL);
        }
        if (status == COFFER_OK) {
            status = coffer__sealer_new(sealer, keyring, COFFER_SLICE("users"), NULL);
        }
    }
    coffer__keyring_free(keyring);
    return status;
}

static coffer_status write_and_read(const coffer__codec *codec, const coffer__binding *binding, const coffer__entry *entry) {
    coffer__buf out = COFFER__BUF_INIT;
    coffer__buf scratch = COFFER__BUF_INIT;
    coffer__entry got;
    coffer_status status = coffer__envelope_write(codec, binding, entry, &out);
    if (status == COFFER_OK) {
        status = coffer__envelope_read(codec, binding, coffer__buf_slice(&out), &scratch, &got);
        if (status == COFFER_OK) {
            assert_true(coffer_slice_equal(got.payload, entry->payload));
        }
    } else {
        assert_int_equal(out.len, 0);
    }
    coffer__buf_free(&out);
    coffer__buf_free(&scratch);
    return status;
}

static coffer_status all_of_it(void) {
    static char payload[5000];
    static char long_key[1000];
    coffer__codec codec = plain_codec();
    coffer__binding binding = users_42();
    coffer__entry entry = entry_with(coffer_slice_of(payload, sizeof payload));
    binding.key = coffer_slice_of(long_key, sizeof long_key);
    codec.compress = COFFER_COMPRESS_TRUSTED;
    coffer_status status = write_and_read(&codec, &binding, &entry);
    if (status == COFFER_OK) {
        status = make_sealer(&codec.sealer);
    }
    if (status == COFFER_OK) {
        status = write_and_read(&codec, &binding, &entry);
    }
    coffer__sealer_free(codec.sealer);
    return status;
}

static void test_every_failed_allocation_is_told(void **state) {
    (void)state;
    size_t count = 0;
    coffer_status status = COFFER_NO_MEMORY;
    for (; status != COFFER_OK && count < 1000; count++) {
        watched_alloc_begin(count);
        status = all_of_it();
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
        assert_true(status == COFFER_OK || status == COFFER_NO_MEMORY);
    }
    assert_status(status, COFFER_OK);
    assert_true(count > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_failed_allocation_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
