#include "base/crc32c.h"

#include "support/cmocka_all.h"

static void test_known_answers(void **state) {
    (void)state;
    assert_int_equal(coffer__crc32c(0, COFFER_SLICE("")), 0);
    assert_int_equal(coffer__crc32c(0, COFFER_SLICE("123456789")), 0xE3069283);
    char zeros[32] = {0}; /* RFC 3720, B.4 */
    assert_int_equal(coffer__crc32c(0, coffer_slice_of(zeros, sizeof zeros)), 0x8A9136AA);
}

static void test_instruction_and_table_agree_in_parts(void **state) {
    (void)state;
    char bytes[257];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 7);
    }
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        uint32_t head = coffer__crc32c(0, coffer_slice_of(bytes, cut));
        uint32_t whole = coffer__crc32c(head, coffer_slice_of(bytes + cut, sizeof bytes - cut));
        assert_int_equal(whole, coffer__crc32c_table(0, coffer_slice_of(bytes, sizeof bytes)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_instruction_and_table_agree_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
