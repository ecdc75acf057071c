#include "base/hash.h"

#include "support/cmocka_all.h"

/* Key 00..0f, message 00, 01, ...: the usual vectors of SipHash, for 1 and 3 rounds. Checked against CPython's siphash13. */
static void test_known_answers(void **state) {
    (void)state;
    static const struct {
        size_t len;
        uint64_t hash;
    } answers[] = {
        {0, UINT64_C(0xabac0158050fc4dc)}, {1, UINT64_C(0xc9f49bf37d57ca93)},  {7, UINT64_C(0xd3927d989bb11140)},  {8, UINT64_C(0x369095118d299a8e)},
        {9, UINT64_C(0x25a48eb36c063de4)}, {15, UINT64_C(0xd320d86d2a519956)}, {16, UINT64_C(0xcc4fdd1a7d908b66)}, {33, UINT64_C(0x4d54b9e57a8ff9bf)},
    };
    const coffer__hash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    char message[64];
    for (size_t i = 0; i < sizeof message; i++) {
        message[i] = (char)i;
    }
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        assert_true(coffer__hash(key, coffer_slice_of(message, answers[i].len)) == answers[i].hash);
    }
    assert_true(coffer__hash(key, coffer_slice_of(NULL, 0)) == answers[0].hash);
}

static void test_another_key_gives_another_hash(void **state) {
    (void)state;
    const coffer__hash_key one = {1, 2};
    const coffer__hash_key other = {1, 3};
    assert_false(coffer__hash(one, COFFER_SLICE("user:42")) == coffer__hash(other, COFFER_SLICE("user:42")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_another_key_gives_another_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
