#include <coffer/coffer.h>

#include "support/cmocka_all.h"

#include <ctype.h>

static const coffer_status all[] = {
#define VALUE(name, value, exception, text) COFFER_##name,
    COFFER_STATUS_MAP(VALUE)
#undef VALUE
};

enum { ALL_COUNT = sizeof all / sizeof all[0] };

static void test_each_status_has_a_name_a_text_and_an_exception(void **state) {
    (void)state;
    for (size_t i = 0; i < ALL_COUNT; i++) {
        const char *text = coffer_status_text(all[i]);
        assert_true(strlen(text) > 3 && islower((unsigned char)text[0]) && text[strlen(text) - 1] != '.');
        assert_string_not_equal(coffer_status_name(all[i]), "UNKNOWN");
        assert_int_equal(coffer_status_named(coffer_status_name(all[i])), all[i]);
        bool is_quiet = all[i] >= COFFER_OK || all[i] == COFFER_PLACEHOLDER;
        assert_int_equal(strlen(coffer_status_exception(all[i])) == 0, is_quiet);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(all[i], all[j]);
            assert_string_not_equal(coffer_status_name(all[i]), coffer_status_name(all[j]));
        }
    }
}

static void test_unknown_numbers_are_named_so(void **state) {
    (void)state;
    static const int unknown[] = {5, 1000, -10, -500, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_string_equal(coffer_status_name((coffer_status)unknown[i]), "UNKNOWN");
        assert_string_equal(coffer_status_exception((coffer_status)unknown[i]), "InternalError");
        assert_non_null(coffer_status_text((coffer_status)unknown[i]));
        assert_false(coffer_status_is_outage((coffer_status)unknown[i]));
    }
    assert_int_equal(coffer_status_named("UNKNOWN"), COFFER_INTERNAL);
    assert_int_equal(coffer_status_named(""), COFFER_INTERNAL);
    assert_string_equal(coffer_operation_name(COFFER_OPERATION_COUNT), "unknown");
    assert_string_equal(coffer_operation_name((coffer_operation)-1), "unknown");
    assert_string_equal(coffer_source_name((coffer_source)99), "none");
}

static void test_an_outage_is_a_server_away_not_a_fault_of_the_caller(void **state) {
    (void)state;
    static const coffer_status outages[] = {COFFER_TIMEOUT,    COFFER_CONNECT,     COFFER_DNS,          COFFER_POOL_TIMEOUT, COFFER_LOADING,
                                            COFFER_MASTERDOWN, COFFER_CLUSTERDOWN, COFFER_BREAKER_OPEN, COFFER_CLOSED,       COFFER_MAYBE_APPLIED};
    static const coffer_status others[] = {COFFER_OK,       COFFER_MISS,        COFFER_ARG,         COFFER_AUTH,        COFFER_WRONGTYPE,
                                           COFFER_BAD_CRC,  COFFER_NO_MEMORY,   COFFER_NOPERM,      COFFER_PROTO,       COFFER_LIMIT,
                                           COFFER_TLS,      COFFER_CERTIFICATE, COFFER_CREDENTIALS, COFFER_AUTH_FAILED, COFFER_INTERRUPTED,
                                           COFFER_READONLY, COFFER_SERVER};
    for (size_t i = 0; i < sizeof outages / sizeof outages[0]; i++) {
        assert_true(coffer_status_is_outage(outages[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(coffer_status_is_outage(others[i]));
    }
}

static void test_names_come_from_the_tables(void **state) {
    (void)state;
    assert_string_equal(coffer_status_name(COFFER_TIMEOUT), "TIMEOUT");
    assert_string_equal(coffer_status_exception(COFFER_TIMEOUT), "TimeoutError");
    assert_string_equal(coffer_operation_name(COFFER_OPERATION_GET_OR_LOAD), "get_or_load");
    assert_string_equal(coffer_operation_name(COFFER_OPERATION_PING), "ping");
    assert_string_equal(coffer_version(), COFFER_VERSION);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_status_has_a_name_a_text_and_an_exception),
        cmocka_unit_test(test_unknown_numbers_are_named_so),
        cmocka_unit_test(test_an_outage_is_a_server_away_not_a_fault_of_the_caller),
        cmocka_unit_test(test_names_come_from_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
