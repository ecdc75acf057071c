#include "base/log.h"

#include "support/cmocka_all.h"

static coffer_log_record last;
static char last_text[2048];
static size_t record_count;

static void keep(void *user_data, const coffer_log_record *record) {
    assert_ptr_equal(user_data, &record_count);
    record_count++;
    last = *record;
    snprintf(last_text, sizeof last_text, "%s", record->text);
}

static int listen(void **state) {
    (void)state;
    record_count = 0;
    coffer_set_log(keep, &record_count);
    return 0;
}

static int be_silent(void **state) {
    (void)state;
    coffer_set_log(NULL, NULL);
    return 0;
}

static void test_a_record_says_what_why_and_the_details(void **state) {
    (void)state;
    coffer__log(COFFER_LOG_CONNECT_FAILED, COFFER_CONNECT, "localhost:%d: Connection refused", 1);
    assert_string_equal(last_text, "a connection could not be made: the server cannot be reached: localhost:1: Connection refused");
    assert_int_equal(last.event, COFFER_LOG_CONNECT_FAILED);
    assert_int_equal(last.level, COFFER_LOG_WARNING);
    assert_int_equal(last.status, COFFER_CONNECT);
    coffer__log(COFFER_LOG_CONNECTED, COFFER_OK, NULL);
    assert_string_equal(last_text, "a connection is ready for use");
    assert_int_equal(last.level, COFFER_LOG_INFO);
    assert_int_equal(record_count, 2);
}

static void test_no_text_forges_a_line(void **state) {
    (void)state;
    coffer__log(COFFER_LOG_CONNECTION_LOST, COFFER_OK, "%s", "a\r\nb\x1b[2J\x7f\xffz");
    assert_string_equal(strrchr(last_text, ':'), ": a  b [2J  z");
}

static void test_a_long_text_is_cut(void **state) {
    (void)state;
    char text[4000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    coffer__log(COFFER_LOG_CONNECTION_LOST, COFFER_IO, "%s", text);
    assert_in_range(strlen(last_text), 500, 1023);
    assert_int_equal(last_text[strlen(last_text) - 1], 'x');
}

static void test_without_a_hook_there_is_silence(void **state) {
    (void)state;
    coffer_set_log(NULL, NULL);
    coffer__log(COFFER_LOG_LOAD_FAILED, COFFER_OK, NULL);
    assert_int_equal(record_count, 0);
}

static void test_levels_and_events_have_names(void **state) {
    (void)state;
    assert_string_equal(coffer_log_level_name(COFFER_LOG_ERROR), "error");
    assert_string_equal(coffer_log_level_name(COFFER_LOG_WARNING), "warning");
    assert_string_equal(coffer_log_level_name(COFFER_LOG_INFO), "info");
    assert_string_equal(coffer_log_level_name((coffer_log_level)0), "unknown");
    assert_string_equal(coffer_log_level_name((coffer_log_level)-1), "unknown");
    assert_string_equal(coffer_log_event_name(COFFER_LOG_CONNECTION_LOST), "CONNECTION_LOST");
    assert_string_equal(coffer_log_event_name(COFFER_LOG_EVENT_COUNT), "UNKNOWN");
    assert_string_equal(coffer_log_event_name((coffer_log_event)-1), "UNKNOWN");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_record_says_what_why_and_the_details, listen, be_silent),
        cmocka_unit_test_setup_teardown(test_no_text_forges_a_line, listen, be_silent),
        cmocka_unit_test_setup_teardown(test_a_long_text_is_cut, listen, be_silent),
        cmocka_unit_test_setup_teardown(test_without_a_hook_there_is_silence, listen, be_silent),
        cmocka_unit_test(test_levels_and_events_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
