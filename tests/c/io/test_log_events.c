/* What is told to a program's log hook, and that nothing secret is in it: each of these puts canaries wherever a key, a value, a password
 * or a server's words could leak from. */
#include "helpers.h"
#include "support/fake_server.h"

#include <pthread.h>
#include <unistd.h>

#define CANARY "canary-3141"
#define LONG_CANARY CANARY CANARY CANARY CANARY CANARY CANARY CANARY CANARY CANARY CANARY

enum { RECORDS_MAX = 64 };

typedef struct heard {
    coffer_log_level level;
    coffer_log_event event;
    coffer_status status;
    char text[1024];
    bool here; /* in the thread of the test */
} heard;

static heard records[RECORDS_MAX];
static size_t record_count;
static pthread_t test_thread;

static void hear(void *user_data, const coffer_log_record *record) {
    (void)user_data;
    if (record_count < RECORDS_MAX) {
        heard *to = &records[record_count++];
        *to = (heard){.level = record->level, .event = record->event, .status = record->status, .here = pthread_equal(pthread_self(), test_thread)};
        snprintf(to->text, sizeof to->text, "%s", record->text);
    }
}

static int listen_in(void **state) {
    (void)state;
    record_count = 0;
    test_thread = pthread_self();
    coffer_set_log(hear, NULL);
    return 0;
}

/* Silence again; whatever was heard held no canary and came from the thread that made the call. */
static int end(void **state) {
    (void)state;
    coffer_set_log(NULL, NULL);
    for (size_t i = 0; i < record_count; i++) {
        if (strstr(records[i].text, "canary") != NULL || !records[i].here) {
            fprintf(stderr, "heard: %s\n", records[i].text);
            return 1;
        }
    }
    return 0;
}

static const heard *the_only(coffer_log_event event, coffer_status status) {
    const heard *found = NULL;
    for (size_t i = 0; i < record_count; i++) {
        if (records[i].event == event) {
            assert_null(found);
            found = &records[i];
        }
    }
    if (found == NULL || found->status != status) {
        fail_msg("%s with %s was not told (%zu records)", coffer_log_event_name(event), coffer_status_name(status), record_count);
    }
    return found;
}

static coffer_status get_canary(coffer_cache *cache) {
    coffer_value value;
    coffer_status status = coffer_get(cache, COFFER_SLICE(CANARY), NULL, &value, NULL);
    coffer_value_clear(&value);
    return status;
}

/* Asks a server that answers so for the key; all that was told is in `records`. */
static coffer_status ask(fake_answer answer) {
    fake_server *server = fake_server_start(answer, NULL);
    coffer_cache *cache = open_at(fake_server_port(server), "&timeout=300ms&username=canary-user&password=" CANARY);
    coffer_status status = get_canary(cache);
    coffer_close(cache);
    fake_server_stop(server);
    return status;
}

/* ---- connections ---- */

static bool nil(int fd, const char *command, void *data) {
    (void)data;
    return fake_greets(fd, command) || fake_says(fd, "$-1\r\n");
}

static void test_a_connection_that_is_made_is_told_and_an_orderly_end_is_not(void **state) {
    (void)state;
    assert_int_equal(ask(nil), COFFER_MISS);
    assert_int_equal(record_count, 1);
    assert_int_equal(the_only(COFFER_LOG_CONNECTED, COFFER_OK)->level, COFFER_LOG_INFO);
}

static void test_a_server_that_is_not_there_is_told(void **state) {
    (void)state;
    fake_server *server = fake_server_start(nil, NULL);
    uint16_t port = fake_server_port(server);
    fake_server_stop(server);
    coffer_cache *cache = open_at(port, "&password=" CANARY);
    assert_int_equal(get_canary(cache), COFFER_CONNECT);
    coffer_close(cache);
    const heard *failed = the_only(COFFER_LOG_CONNECT_FAILED, COFFER_CONNECT);
    assert_non_null(strstr(failed->text, "127.0.0.1:"));
    assert_non_null(strstr(failed->text, "refused"));
    assert_non_null(strstr(the_only(COFFER_LOG_OUTAGE_BEGAN, COFFER_CONNECT)->text, "127.0.0.1:"));
    assert_int_equal(record_count, 2);
}

static bool refuse_greeting(int fd, const char *command, void *data) {
    (void)command;
    (void)data;
    return fake_says(fd, "-WRONGPASS " CANARY " is not the password\r\n");
}

static void test_a_refused_login_is_told_without_the_servers_words(void **state) {
    (void)state;
    assert_int_equal(ask(refuse_greeting), COFFER_AUTH);
    assert_int_equal(the_only(COFFER_LOG_GREETING_REFUSED, COFFER_AUTH)->level, COFFER_LOG_ERROR);
    assert_int_equal(record_count, 1);
}

static bool hang_up(int fd, const char *command, void *data) {
    (void)data;
    return fake_greets(fd, command) || (fake_says(fd, "$100\r\n" CANARY), false);
}

/* Each time: a read is asked once more. */
static void test_a_lost_connection_is_told(void **state) {
    (void)state;
    size_t told = 0;
    assert_int_equal(ask(hang_up), COFFER_CLOSED);
    for (size_t i = 0; i < record_count; i++) {
        told += records[i].event == COFFER_LOG_CONNECTION_LOST && records[i].status == COFFER_CLOSED && strstr(records[i].text, "hung up") != NULL;
    }
    assert_int_equal(told, 2);
}

static bool never(int fd, const char *command, void *data) {
    (void)data;
    fake_greets(fd, command);
    return true;
}

static void test_a_connection_given_up_at_the_deadline_is_told(void **state) {
    (void)state;
    assert_int_equal(ask(never), COFFER_TIMEOUT);
    assert_non_null(strstr(the_only(COFFER_LOG_CONNECTION_LOST, COFFER_OK)->text, "replies due: 1"));
}

static bool http(int fd, const char *command, void *data) {
    (void)data;
    return fake_greets(fd, command) || fake_says(fd, "HTTP/1.1 400 " CANARY "\r\n\r\n");
}

static void test_bytes_that_are_not_the_protocol_are_told(void **state) {
    (void)state;
    assert_int_equal(ask(http), COFFER_PROTO);
    assert_int_equal(the_only(COFFER_LOG_REPLY_REFUSED, COFFER_PROTO)->level, COFFER_LOG_ERROR);
}

/* ---- entries and loads ---- */

static bool forged(int fd, const char *command, void *data) {
    (void)data;
    return fake_greets(fd, command) || fake_says(fd, "$110\r\n" LONG_CANARY "\r\n");
}

static void test_a_refused_entry_is_told(void **state) {
    (void)state;
    assert_int_equal(ask(forged), COFFER_MISS);
    const heard *refused = the_only(COFFER_LOG_ENTRY_REFUSED, COFFER_BAD_MAGIC);
    assert_non_null(strstr(refused->text, "not an envelope: get"));
}

typedef struct script {
    size_t value_bytes; /* of what is loaded; 0: the loader fails */
} script;

static coffer_status load_as_told(coffer_load *load, coffer_slice key, void *user_data) {
    static const char bytes[5000] = CANARY;
    const script *told = (const script *)user_data;
    (void)key;
    return told->value_bytes == 0 ? COFFER_ARG : coffer_loaded(load, coffer_slice_of(bytes, told->value_bytes), NULL);
}

static coffer_status load(script told) {
    coffer_cache *cache;
    coffer_value value;
    assert_int_equal(coffer_open_url(&cache, "mem://?memory=1mb&max_value=4kb", NULL), COFFER_OK);
    coffer_status status = coffer_get_or_load(cache, COFFER_SLICE(CANARY), load_as_told, &told, NULL, &value, NULL);
    coffer_value_clear(&value);
    coffer_close(cache);
    return status;
}

static void test_a_loaded_value_that_is_too_large_to_store_is_told(void **state) {
    (void)state;
    assert_int_equal(load((script){.value_bytes = 5000}), COFFER_OK);
    the_only(COFFER_LOG_FILL_NOT_STORED, COFFER_TOO_LARGE);
    assert_int_equal(record_count, 1);
}

static void test_a_failed_loader_is_told_and_a_good_one_is_not(void **state) {
    (void)state;
    assert_int_equal(load((script){.value_bytes = 100}), COFFER_OK);
    assert_int_equal(record_count, 0);
    assert_int_equal(load((script){.value_bytes = 0}), COFFER_LOAD_FAILED);
    the_only(COFFER_LOG_LOAD_FAILED, COFFER_OK);
    assert_int_equal(record_count, 1);
}

#define HEARD(test) cmocka_unit_test_setup_teardown(test, listen_in, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        HEARD(test_a_connection_that_is_made_is_told_and_an_orderly_end_is_not),
        HEARD(test_a_server_that_is_not_there_is_told),
        HEARD(test_a_refused_login_is_told_without_the_servers_words),
        HEARD(test_a_lost_connection_is_told),
        HEARD(test_a_connection_given_up_at_the_deadline_is_told),
        HEARD(test_bytes_that_are_not_the_protocol_are_told),
        HEARD(test_a_refused_entry_is_told),
        HEARD(test_a_loaded_value_that_is_too_large_to_store_is_told),
        HEARD(test_a_failed_loader_is_told_and_a_good_one_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
