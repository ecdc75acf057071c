/* TLS with a real server: values of many records, clients' certificates, forks; and files that change while they are used. */
#include "with_tls.h"

#include "io/tls_context.h"
#include "support/redis_server.h"

#include <sys/wait.h>
#include <unistd.h>

/* ---- a real server --------------------------------------------------------------------------------------------------------- */

static char *new_text(size_t len) {
    char *text = (char *)malloc(len);
    uint32_t state = 1;
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) {
        state = state * 1664525 + 1013904223;
        text[i] = (char)(state >> 24);
    }
    return text;
}

/* Of many records, in both directions, larger than any socket's buffer. */
static void test_large_values(void **state) {
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 65536, 1 << 20, 20 << 20};
    redis_server server;
    (void)state;
    if (!redis_server_start_tls(&server, folder, "no")) {
        skip();
    }
    coffer_cache *cache = open_tls("127.0.0.1", server.tls_port, "&timeout=20s&compress=never");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *text = new_text(sizes[i] + 1);
        coffer_error error = {.text = ""};
        coffer_value value;
        coffer_status status = coffer_set(cache, COFFER_SLICE("key"), coffer_slice_of(text, sizes[i]), NULL, &error);
        assert_string_equal(error.text, "");
        assert_int_equal(status, COFFER_OK);
        assert_int_equal(coffer_get(cache, COFFER_SLICE("key"), NULL, &value, &error), COFFER_OK);
        assert_true(coffer_slice_equal(value.data, coffer_slice_of(text, sizes[i])));
        coffer_value_clear(&value);
        free(text);
    }
    assert_int_equal(stats_of(cache).connections_open, 1);
    coffer_close(cache);
    redis_server_stop(&server);
}

static void test_certificates_of_clients_with_a_real_server(void **state) {
    redis_server server;
    (void)state;
    if (!redis_server_start_tls(&server, folder, "yes")) {
        skip();
    }
    coffer_cache *cache = open_tls("127.0.0.1", server.tls_port, "");
    assert_says(cache, COFFER_TLS, "it may want a client certificate");
    coffer_close(cache);
    coffer_options *options = options_for("localhost", server.tls_port, "");
    set_file(options, "tls_ca_file", "ca.pem");
    set_file(options, "tls_cert_file", "client.pem");
    set_file(options, "tls_key_file", "client.key");
    cache = open_with(options);
    assert_says(cache, COFFER_MISS, "");
    coffer_close(cache);
    redis_server_stop(&server);
}

static int in_the_child(coffer_cache *cache, int number) {
    char key[32];
    coffer_error error;
    for (int i = 0; i < 20; i++) {
        coffer_value value;
        snprintf(key, sizeof key, "child%d.%d", number, i);
        if (coffer_set(cache, coffer_slice_text(key), coffer_slice_text(key), NULL, &error) != COFFER_OK ||
            coffer_get(cache, coffer_slice_text(key), NULL, &value, &error) != COFFER_OK || !coffer_slice_equal(value.data, coffer_slice_text(key))) {
            return 1;
        }
        coffer_value_clear(&value);
    }
    coffer_close(cache);
    return 0;
}

/* Children open connections of their own and say nothing on their parent's, which goes on using them. */
static void test_forked_children_leave_the_connections_alone(void **state) {
    enum { CHILDREN = 10 };
    redis_server server;
    pid_t children[CHILDREN];
    (void)state;
    if (!redis_server_start_tls(&server, folder, "no")) {
        skip();
    }
    coffer_cache *cache = open_tls("127.0.0.1", server.tls_port, "&timeout=10s");
    assert_says(cache, COFFER_MISS, "");
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            _exit(in_the_child(cache, i));
        }
        assert_says(cache, COFFER_MISS, "");
    }
    for (int i = 0; i < CHILDREN; i++) {
        int ended;
        assert_int_equal(waitpid(children[i], &ended, 0), children[i]);
        assert_int_equal(ended, 0);
        assert_says(cache, COFFER_MISS, "");
    }
    assert_int_equal(stats_of(cache).connections_made, 1);
    coffer_close(cache);
    redis_server_stop(&server);
}

/* ---- files that change ------------------------------------------------------------------------------------------------------- */

static size_t kept_count, warned_count;

static void counts(void *user_data, const coffer_log_record *record) {
    (void)user_data;
    kept_count += record->event == COFFER_LOG_CERTIFICATES_KEPT;
    warned_count += record->event == COFFER_LOG_TLS_UNVERIFIED;
}

static void put_file(const char *from, const char *to) {
    char command[300];
    snprintf(command, sizeof command, "cp %s/%s %s/new && mv %s/new %s/%s", folder, from, folder, folder, folder, to);
    assert_int_equal(system(command), 0);
}

static bool answers_once(tls_peer *peer, const char *command) {
    return tls_greets(peer, command) || (tls_says(peer, "$-1\r\n") && tls_says_goodbye(peer));
}

/* The server ends each connection behind its answer: the next get connects anew. */
static void assert_misses(coffer_cache *cache, tls_server *server) {
    size_t accepted = tls_server_accepted(server);
    assert_says(cache, COFFER_MISS, "");
    assert_int_equal(tls_server_accepted(server), accepted + 1);
    pause_ms(20);
}

static void test_changed_files_are_read_anew(void **state) {
    tls_server_options options = {.certificate = "right", .answer = answers_once};
    (void)state;
    tls_server *server = tls_server_start(folder, &options);
    put_file("other_ca.pem", "trusted.pem");
    coffer_options *given = options_for("localhost", tls_server_port(server), "");
    set_file(given, "tls_ca_file", "trusted.pem");
    coffer_cache *cache = open_with(given);
    assert_says(cache, COFFER_CERTIFICATE, "issuer");
    put_file("ca.pem", "trusted.pem");
    assert_misses(cache, server);
    put_file("server.key", "trusted.pem"); /* as in the middle of a rotation */
    coffer_set_log(counts, NULL);
    kept_count = 0;
    assert_misses(cache, server);
    assert_misses(cache, server);
    assert_int_equal(kept_count, 1);
    put_file("other_ca.pem", "trusted.pem");
    assert_says(cache, COFFER_CERTIFICATE, "issuer");
    coffer_set_log(NULL, NULL);
    coffer_close(cache);
    tls_server_stop(server);
}

static void test_no_verification_is_logged_once(void **state) {
    tls_server_options options = {.certificate = "self_signed", .answer = answers_once};
    (void)state;
    tls_server *server = tls_server_start(folder, &options);
    coffer_cache *cache = open_with(options_for("localhost", tls_server_port(server), "&tls_insecure_skip_verify=true"));
    coffer_set_log(counts, NULL);
    warned_count = 0;
    assert_misses(cache, server);
    assert_misses(cache, server);
    assert_int_equal(warned_count, 1);
    coffer_set_log(NULL, NULL);
    coffer_close(cache);
    tls_server_stop(server);
}

/* What OpenSSL keeps may be broken since memory was short: it is made anew, less often the more often that does not help. */
static void test_after_a_handshake_that_failed_all_is_made_anew(void **state) {
    static const struct {
        bool well, is_anew;
    } steps[] = {{true, false}, {false, true}, {false, true}, {false, false}, {false, true}, {false, false}, {true, false}, {false, true}};
    coffer__tls_context *context = NULL;
    coffer_options *options = options_for("localhost", 1, "");
    (void)state;
    set_file(options, "tls_ca_file", "ca.pem");
    assert_int_equal(coffer__tls_context_new(&context, options, NULL), COFFER_OK);
    SSL *last = coffer__tls_context_connection(context, COFFER_SLICE("localhost"));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        coffer__tls_context_shook(context, steps[i].well);
        SSL *next = coffer__tls_context_connection(context, COFFER_SLICE("localhost"));
        assert_non_null(next);
        assert_int_equal(SSL_get_SSL_CTX(next) != SSL_get_SSL_CTX(last), steps[i].is_anew);
        SSL_free(last);
        last = next;
    }
    SSL_free(last);
    coffer__tls_context_free(context);
    coffer_options_free(options);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_values),
        cmocka_unit_test(test_certificates_of_clients_with_a_real_server),
        cmocka_unit_test(test_forked_children_leave_the_connections_alone),
        cmocka_unit_test(test_changed_files_are_read_anew),
        cmocka_unit_test(test_no_verification_is_logged_once),
        cmocka_unit_test(test_after_a_handshake_that_failed_all_is_made_anew),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
