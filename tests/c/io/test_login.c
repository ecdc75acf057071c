/* Whom a driver on an event loop is told to log in as. That it is who the blocking driver logs in as is tested in test_credentials.c: it is the same code. */
#include "helpers.h"
#include "support/watched_alloc.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/coffer-login-XXXXXX";

static int make_file(void **state) {
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state) {
    (void)state;
    return unlink(path);
}

static void write_file(const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
}

static coffer_client *client_of(coffer_cache *cache) {
    return coffer_namespace_client(coffer_cache_namespace(cache));
}

static coffer_cache *open_with_file(void) {
    char more[200];
    snprintf(more, sizeof more, "&username=app&password_file=%s", path);
    return open_at(6379, more);
}

static void assert_login(coffer_client *client, const char *username, const char *password) {
    coffer_error error = {.text = ""};
    coffer_login *login;
    if (coffer_login_new(&login, client, &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    assert_true(coffer_slice_equal(coffer_login_username(login), coffer_slice_text(username)));
    assert_true(coffer_slice_equal(coffer_login_password(login), coffer_slice_text(password)));
    coffer_login_free(login);
}

static void assert_none(coffer_client *client, coffer_status status, const char *words) {
    coffer_error error = {.text = ""};
    coffer_login *login;
    assert_int_equal(coffer_login_new(&login, client, &error), status);
    assert_null(login);
    if (strstr(error.text, words) == NULL || strstr(error.text, "canary") != NULL) {
        fail_msg("'%s', not '%s'", error.text, words);
    }
}

static void test_what_the_options_say(void **state) {
    static const struct {
        const char *more, *username, *password;
    } rows[] = {{"", "", ""}, {"&password=canary", "", "canary"}, {"&username=app&password=canary", "app", "canary"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        coffer_cache *cache = open_at(6379, rows[i].more);
        assert_login(client_of(cache), rows[i].username, rows[i].password);
        coffer_close(cache);
    }
    coffer_login_free(NULL);
}

/* A client that no cache was opened for has its password from the file too. */
static void test_a_bare_client(void **state) {
    char url[200];
    coffer_options *options = coffer_options_new();
    coffer_client *client;
    (void)state;
    snprintf(url, sizeof url, "redis://localhost?password_file=%s", path);
    assert_int_equal(coffer_options_set_url(options, coffer_slice_text(url), NULL), COFFER_OK);
    assert_int_equal(coffer_client_new(&client, options, (coffer_clock){.now_ms = 1, .unix_ms = 1}, NULL), COFFER_OK);
    write_file("canary");
    assert_login(client, "", "canary");
    coffer_client_free(client);
    coffer_options_free(options);
}

static void test_a_file_is_read_anew_each_time(void **state) {
    (void)state;
    coffer_cache *cache = open_with_file();
    write_file("canary-one\n");
    assert_login(client_of(cache), "app", "canary-one");
    write_file("canary-two");
    assert_login(client_of(cache), "app", "canary-two");
    write_file("canary\nand more");
    assert_none(client_of(cache), COFFER_CREDENTIALS, "control characters");
    assert_none(client_of(cache), COFFER_CREDENTIALS, path);
    write_file("canary-three");
    assert_int_equal(chmod(path, 0620), 0);
    assert_none(client_of(cache), COFFER_CREDENTIALS, "others than its owner may write");
    assert_int_equal(chmod(path, 0600), 0);
    assert_login(client_of(cache), "app", "canary-three");
    coffer_close(cache);
}

static coffer_status says(void *user_data, coffer_credentials *credentials) {
    return user_data == NULL ? COFFER_IO : coffer_credentials_set(credentials, COFFER_SLICE("it"), coffer_slice_text((const char *)user_data));
}

static void test_functions_go_before_the_options(void **state) {
    char words[] = "canary";
    (void)state;
    coffer_cache *cache = open_with_file();
    coffer_set_credentials(cache, says, words);
    assert_login(client_of(cache), "it", "canary");
    coffer_set_credentials(cache, says, NULL);
    assert_none(client_of(cache), COFFER_CREDENTIALS, "the function that gives them failed");
    coffer_close(cache);
    cache = open_with_file();
    coffer_ask_for_credentials(cache);
    assert_none(client_of(cache), COFFER_AGAIN, "");
    assert_true(coffer_credentials_wanted(cache));
    assert_int_equal(coffer_give_credentials(cache, COFFER_SLICE("it"), COFFER_SLICE("canary")), COFFER_OK);
    assert_login(client_of(cache), "it", "canary");
    assert_none(client_of(cache), COFFER_AGAIN, ""); /* for one connection each */
    coffer_close(cache);
}

static void test_without_memory(void **state) {
    (void)state;
    write_file("canary");
    watched_alloc_begin(WATCHED_NEVER);
    coffer_cache *cache = open_with_file();
    for (size_t nth = 1; nth <= 3; nth++) { /* the login, the name, the password */
        watched_alloc_fail_once(nth);
        assert_none(client_of(cache), COFFER_NO_MEMORY, "memory");
    }
    assert_login(client_of(cache), "app", "canary");
    coffer_close(cache);
    assert_int_equal(watched_alloc.live_bytes, 0);
    watched_alloc_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_options_say),
        cmocka_unit_test(test_a_bare_client),
        cmocka_unit_test(test_a_file_is_read_anew_each_time),
        cmocka_unit_test(test_functions_go_before_the_options),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
