/* Whom a connection logs in as, and that nobody else gets to see it. */
#include "helpers.h"
#include "support/redis_server.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static redis_server server;
static bool is_there;
static char path[128];

/* Tells the server something, as somebody who is logged in. */
static void tell(const char *first, const char *second) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char reply[64] = "";
    memcpy(at.sun_path, server.path, strlen(server.path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    const char *const lines[] = {first, second};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(send(fd, lines[i], strlen(lines[i]), MSG_NOSIGNAL), strlen(lines[i]));
        assert_true(recv(fd, reply, sizeof reply - 1, 0) > 0);
    }
    assert_int_equal(reply[0], '+');
    close(fd);
}

static int start(void **state) {
    (void)state;
    is_there = redis_server_start(&server);
    if (is_there) {
        snprintf(path, sizeof path, "%s/password", server.folder);
        tell("PING\r\n", "ACL SETUSER app on >canary-one ~* +@all\r\n");
    }
    return 0;
}

static int stop(void **state) {
    (void)state;
    if (is_there) {
        unlink(path);
        redis_server_stop(&server);
    }
    return 0;
}

static void write_file(const char *text, size_t len, mode_t mode) {
    unlink(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static coffer_cache *open_with_file(void) {
    char more[300];
    snprintf(more, sizeof more, "&username=app&password_file=%s", path);
    return open_at(server.port, more);
}

static void assert_ends(coffer_cache *cache, coffer_status status, const char *words) {
    coffer_error error = {.text = ""};
    coffer_status got = coffer_get(cache, COFFER_SLICE("key"), NULL, NULL, &error);
    if (got != status || strstr(error.text, words) == NULL) {
        fail_msg("%s instead of %s: '%s', not '%s'", coffer_status_name(got), coffer_status_name(status), error.text, words);
    }
    assert_null(strstr(error.text, "canary"));
}

static void test_a_file_is_read_at_each_connect(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    write_file("canary-wrong", 12, 0600);
    coffer_cache *cache = open_with_file();
    assert_ends(cache, COFFER_AUTH, "");
    write_file("canary-one\r\n", 12, 0400);
    assert_ends(cache, COFFER_MISS, "");
    coffer_close(cache);
}

static void test_a_file_that_cannot_be_the_password_is_refused(void **state) {
    static char large[70000];
    static const struct {
        const char *text;
        size_t len;
        mode_t mode;
        const char *words;
    } rows[] = {
        {"canary-one", 10, 0602, "others than its owner may write"},
        {"canary-one", 10, 0620, "others than its owner may write"},
        {"", 0, 0600, "it is empty"},
        {"\n", 1, 0600, "it is empty"},
        {"canary\nand more", 15, 0600, "control characters"},
        {"canary\0and more", 15, 0600, "control characters"},
        {large, sizeof large, 0600, "more than 64KiB"},
    };
    (void)state;
    if (!is_there) {
        skip();
    }
    memset(large, 'x', sizeof large);
    coffer_cache *cache = open_with_file();
    unlink(path);
    assert_ends(cache, COFFER_CREDENTIALS, "No such file or directory");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_file(rows[i].text, rows[i].len, rows[i].mode);
        assert_ends(cache, COFFER_CREDENTIALS, rows[i].words);
        assert_ends(cache, COFFER_CREDENTIALS, path);
    }
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_ends(cache, COFFER_CREDENTIALS, "it is no regular file");
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_ends(cache, COFFER_CREDENTIALS, "it is no regular file");
    coffer_close(cache);
}

/* ---- a function ------------------------------------------------------------------------------------------------------------ */

typedef struct vault {
    const char *username, *password;
    coffer_status answer;
    size_t asked_count;
} vault;

static coffer_status ask(void *user_data, coffer_credentials *credentials) {
    vault *from = (vault *)user_data;
    from->asked_count++;
    if (from->password != NULL) {
        coffer_status status = coffer_credentials_set(credentials, coffer_slice_text(from->username), coffer_slice_text(from->password));
        return status == COFFER_OK ? from->answer : status;
    }
    return from->answer;
}

static void test_a_function_is_asked_at_each_connect(void **state) {
    vault from = {.username = "app", .password = "canary-wrong", .answer = COFFER_OK};
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "&username=nobody&password=canary-nothing");
    coffer_set_credentials(cache, ask, &from);
    assert_int_equal(from.asked_count, 0);
    assert_ends(cache, COFFER_AUTH, "");
    from.password = "canary-one";
    assert_ends(cache, COFFER_MISS, "");
    assert_ends(cache, COFFER_MISS, "");
    assert_int_equal(from.asked_count, 2);
    coffer_close(cache);
}

static void test_a_function_that_gives_nothing(void **state) {
    static char large[70000];
    vault from = {.username = "app", .password = "canary-one", .answer = COFFER_IO};
    (void)state;
    if (!is_there) {
        skip();
    }
    memset(large, 'x', sizeof large - 1);
    coffer_cache *cache = open_at(server.port, "");
    coffer_set_credentials(cache, ask, &from);
    assert_ends(cache, COFFER_CREDENTIALS, "the function that gives them failed");
    from = (vault){.answer = COFFER_OK};
    assert_ends(cache, COFFER_CREDENTIALS, "gave none");
    from = (vault){.username = "app", .password = large, .answer = COFFER_OK};
    assert_ends(cache, COFFER_CREDENTIALS, "failed");
    assert_int_equal(stats_of(cache).connections_open, 0);
    coffer_close(cache);
}

/* ---- as a binding asks ------------------------------------------------------------------------------------------------------ */

static coffer_status run(coffer_cache *cache, const char *password, size_t *asked_count) {
    coffer_op *op = NULL;
    coffer_want want;
    assert_int_equal(coffer_op_get(&op, coffer_cache_namespace(cache), COFFER_SLICE("key"), NULL), COFFER_OK);
    while ((want = coffer_cache_run(cache, op, 50)) == COFFER_WANT_REPLY) {
        if (coffer_credentials_wanted(cache)) {
            ++*asked_count;
            assert_int_equal(coffer_give_credentials(cache, COFFER_SLICE("app"), coffer_slice_text(password)), COFFER_OK);
        }
    }
    assert_int_equal(want, COFFER_WANT_DONE);
    coffer_status status = coffer_op_status(op);
    assert_null(strstr(coffer_op_message(op), "canary"));
    coffer_cache_drop(cache, op);
    return status;
}

static void test_a_binding_is_told_when_to_ask(void **state) {
    size_t asked_count = 0;
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "");
    coffer_ask_for_credentials(cache);
    assert_false(coffer_credentials_wanted(cache));
    assert_int_equal(run(cache, "canary-wrong", &asked_count), COFFER_AUTH);
    assert_int_equal(run(cache, "canary-one", &asked_count), COFFER_MISS);
    assert_int_equal(run(cache, "canary-one", &asked_count), COFFER_MISS);
    assert_int_equal(asked_count, 2);
    coffer_close(cache);
}

static void test_a_binding_that_has_none_says_so(void **state) {
    size_t asked_count = 0;
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "");
    coffer_ask_for_credentials(cache);
    coffer_op *op = NULL;
    assert_int_equal(coffer_op_get(&op, coffer_cache_namespace(cache), COFFER_SLICE("key"), NULL), COFFER_OK);
    while (coffer_cache_run(cache, op, 50) == COFFER_WANT_REPLY) {
        coffer_refuse_credentials(cache);
        asked_count++;
    }
    assert_int_equal(coffer_op_status(op), COFFER_CREDENTIALS);
    assert_int_equal(asked_count, 1);
    coffer_cache_drop(cache, op);
    assert_int_equal(run(cache, "canary-one", &asked_count), COFFER_MISS);
    coffer_close(cache);
}

static void test_a_binding_that_gives_nothing_waits_until_the_deadline(void **state) {
    (void)state;
    if (!is_there) {
        skip();
    }
    coffer_cache *cache = open_at(server.port, "&timeout=200ms");
    coffer_ask_for_credentials(cache);
    coffer_op *op = NULL;
    assert_int_equal(coffer_op_get(&op, coffer_cache_namespace(cache), COFFER_SLICE("key"), NULL), COFFER_OK);
    while (coffer_cache_run(cache, op, 20) == COFFER_WANT_REPLY) {
    }
    assert_int_equal(coffer_op_status(op), COFFER_TIMEOUT);
    coffer_cache_drop(cache, op);
    coffer_close(cache);
}

static void test_both_a_password_and_its_file_are_refused(void **state) {
    coffer_cache *cache = NULL;
    coffer_error error = {.text = ""};
    (void)state;
    assert_int_equal(coffer_open_url(&cache, "redis://:canary@localhost?password_file=/run/secret", &error), COFFER_OPTION);
    assert_non_null(strstr(error.text, "both set"));
    assert_null(strstr(error.text, "canary"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_read_at_each_connect),
        cmocka_unit_test(test_a_file_that_cannot_be_the_password_is_refused),
        cmocka_unit_test(test_a_function_is_asked_at_each_connect),
        cmocka_unit_test(test_a_function_that_gives_nothing),
        cmocka_unit_test(test_a_binding_is_told_when_to_ask),
        cmocka_unit_test(test_a_binding_that_has_none_says_so),
        cmocka_unit_test(test_a_binding_that_gives_nothing_waits_until_the_deadline),
        cmocka_unit_test(test_both_a_password_and_its_file_are_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
