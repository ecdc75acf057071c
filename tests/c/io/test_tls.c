/* TLS with servers that are right, wrong, broken or mute: each has its own status and its own words, by the deadline. */
#include "helpers.h"
#include "support/fake_server.h"
#include "support/redis_server.h"
#include "support/tls_server.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64] = "/tmp/coffer-tls-XXXXXX";

static int make_certificates(void **state) {
    char command[200];
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(command, sizeof command, "sh tests/certificates.sh %s >%s/log 2>&1", folder, folder);
    return system(command);
}

static int remove_certificates(void **state) {
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* "ca": the option tls_ca_file that names ca.pem of the folder. */
static void set_file(coffer_options *options, const char *option, const char *name) {
    char path[200];
    coffer_error error = {.text = ""};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (coffer_options_set(options, option, coffer_slice_text(path), &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
}

static coffer_options *options_for(const char *host, uint16_t port, const char *more) {
    char url[300];
    coffer_error error = {.text = ""};
    coffer_options *options = coffer_options_new();
    snprintf(url, sizeof url, "rediss://%s:%u/0?prefix=test&timeout=500ms%s", host, (unsigned)port, more);
    if (coffer_options_set_url(options, coffer_slice_text(url), &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    return options;
}

static coffer_cache *open_with(coffer_options *options) {
    coffer_cache *cache = NULL;
    coffer_error error = {.text = ""};
    if (coffer_open(&cache, options, &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    coffer_options_free(options);
    return cache;
}

static coffer_cache *open_tls(const char *host, uint16_t port, const char *more) {
    coffer_options *options = options_for(host, port, more);
    set_file(options, "tls_ca_file", "ca.pem");
    return open_with(options);
}

static void assert_says(coffer_cache *cache, coffer_status status, const char *words) {
    coffer_error error = {.text = ""};
    uint64_t began = real_ms();
    coffer_status got = coffer_get(cache, COFFER_SLICE("key"), NULL, NULL, &error);
    uint64_t took = real_ms() - began;
    if (got != status || strstr(error.text, words) == NULL) {
        fail_msg("%s instead of %s: '%s', not '%s'", coffer_status_name(got), coffer_status_name(status), error.text, words);
    }
    assert_in_range(took, 0, 500 + 4 * OVERSHOOT_MS);
    assert_int_equal(stats_of(cache).connections_in_use, 0);
    assert_int_equal(ERR_peek_error(), 0);
}

static bool always_nil(tls_peer *peer, const char *command) {
    return tls_greets(peer, command) || tls_says(peer, "$-1\r\n");
}

/* ---- who the server is ------------------------------------------------------------------------------------------------- */

static void test_only_the_right_certificate_is_taken(void **state) {
    static const struct {
        const char *certificate, *host, *more;
        coffer_status status;
        const char *words;
    } rows[] = {
        {"right", "127.0.0.1", "", COFFER_MISS, ""},
        {"right", "localhost", "", COFFER_MISS, ""},
        {"name", "localhost", "", COFFER_MISS, ""},
        {"name", "127.0.0.1", "&tls_server_name=localhost.", COFFER_MISS, ""},
        {"address", "127.0.0.1", "", COFFER_MISS, ""},
        {"right", "127.0.0.1", "&tls_min_version=1.3", COFFER_MISS, ""},
        {"right", "127.0.0.1", "&tls_server_name=cache.test", COFFER_MISS, ""},
        {"wildcard", "127.0.0.1", "&tls_server_name=one.cache.test", COFFER_MISS, ""},
        {"wildcard", "127.0.0.1", "&tls_server_name=one.two.cache.test", COFFER_CERTIFICATE, "'one.two.cache.test'"},
        {"wildcard", "127.0.0.1", "&tls_server_name=cache.test", COFFER_CERTIFICATE, "'cache.test'"},
        {"name", "127.0.0.1", "", COFFER_CERTIFICATE, "IP address mismatch"},
        {"address", "localhost", "", COFFER_CERTIFICATE, "not for the name 'localhost'"},
        {"other_name", "localhost", "", COFFER_CERTIFICATE, "not for the name 'localhost'"},
        {"cn", "localhost", "", COFFER_CERTIFICATE, "not for the name 'localhost'"},
        {"right", "localhost", "&tls_server_name=elsewhere.test", COFFER_CERTIFICATE, "not for the name 'elsewhere.test'"},
        {"expired", "localhost", "", COFFER_CERTIFICATE, "has expired"},
        {"self_signed", "localhost", "", COFFER_CERTIFICATE, "self-signed"},
        {"expired", "localhost", "&tls_insecure_skip_verify=true", COFFER_MISS, ""},
        {"self_signed", "127.0.0.1", "&tls_insecure_skip_verify=true", COFFER_MISS, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tls_server_options options = {.certificate = rows[i].certificate, .answer = always_nil, .tickets = 2};
        tls_server *server = tls_server_start(folder, &options);
        coffer_cache *cache = open_tls(rows[i].host, tls_server_port(server), rows[i].more);
        assert_says(cache, rows[i].status, rows[i].words);
        coffer_close(cache);
        tls_server_stop(server);
    }
}

static void test_an_authority_that_was_not_named_vouches_for_nobody(void **state) {
    static const char *const files[] = {"other_ca.pem", NULL}; /* NULL: the system's */
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        tls_server_options right = {.certificate = "right", .answer = always_nil};
        tls_server *server = tls_server_start(folder, &right);
        coffer_options *options = options_for("localhost", tls_server_port(server), "");
        if (files[i] != NULL) {
            set_file(options, "tls_ca_file", files[i]);
        }
        coffer_cache *cache = open_with(options);
        assert_says(cache, COFFER_CERTIFICATE, "unable to get local issuer certificate");
        coffer_close(cache);
        tls_server_stop(server);
    }
}

static void test_an_old_version_is_refused(void **state) {
    tls_server_options options = {.certificate = "right", .answer = always_nil, .most_version = TLS1_1_VERSION};
    (void)state;
    tls_server *server = tls_server_start(folder, &options);
    coffer_cache *cache = open_tls("localhost", tls_server_port(server), "");
    assert_says(cache, COFFER_TLS, "");
    coffer_close(cache);
    tls_server_stop(server);
    options.most_version = TLS1_2_VERSION;
    server = tls_server_start(folder, &options);
    cache = open_tls("localhost", tls_server_port(server), "&tls_min_version=1.3");
    assert_says(cache, COFFER_TLS, "");
    coffer_close(cache);
    cache = open_tls("localhost", tls_server_port(server), "");
    assert_says(cache, COFFER_MISS, "");
    coffer_close(cache);
    tls_server_stop(server);
}

/* ---- who we are -------------------------------------------------------------------------------------------------------- */

static void test_a_server_that_wants_a_certificate_gets_ours(void **state) {
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        tls_server_options wants = {.certificate = "right", .answer = always_nil, .most_version = versions[i], .wants_certificate = true};
        tls_server *server = tls_server_start(folder, &wants);
        coffer_cache *cache = open_tls("localhost", tls_server_port(server), "");
        assert_says(cache, COFFER_TLS, "it may want a client certificate");
        coffer_close(cache);
        coffer_options *options = options_for("localhost", tls_server_port(server), "");
        set_file(options, "tls_ca_file", "ca.pem");
        set_file(options, "tls_cert_file", "self_signed.pem");
        set_file(options, "tls_key_file", "server.key");
        cache = open_with(options);
        assert_says(cache, COFFER_TLS, "it may have refused our certificate");
        coffer_close(cache);
        options = options_for("localhost", tls_server_port(server), "&tls_key_password=opensesame");
        set_file(options, "tls_ca_file", "ca.pem");
        set_file(options, "tls_cert_file", "client.pem");
        set_file(options, "tls_key_file", "locked.key");
        cache = open_with(options);
        assert_says(cache, COFFER_MISS, "");
        coffer_close(cache);
        options = options_for("localhost", tls_server_port(server), "");
        set_file(options, "tls_ca_file", "ca.pem");
        set_file(options, "tls_cert_file", "both.pem");
        cache = open_with(options);
        assert_says(cache, COFFER_MISS, "");
        coffer_close(cache);
        tls_server_stop(server);
    }
}

/* What is wrong with the files is said when the cache is opened, with the file and never with what is in it. */
static void test_files_that_cannot_be_used_are_refused_at_once(void **state) {
    static const struct {
        const char *option, *file, *second, *second_file, *more, *words;
    } rows[] = {
        {"tls_ca_file", "nothing.pem", NULL, NULL, "", "No such file or directory"},
        {"tls_ca_file", ".", NULL, NULL, "", "it is no regular file"},
        {"tls_ca_file", "ca.key", NULL, NULL, "", "it holds no certificate in PEM"},
        {"tls_ca_dir", "ca.pem", NULL, NULL, "", "it is no folder"},
        {"tls_ca_dir", "nowhere", NULL, NULL, "", "No such file or directory"},
        {"tls_cert_file", "nothing.pem", NULL, NULL, "", "No such file or directory"},
        {"tls_cert_file", "client.key", NULL, NULL, "", "it holds no certificate in PEM"},
        {"tls_cert_file", "client.pem", NULL, NULL, "", "it holds no private key in PEM"},
        {"tls_key_file", "client.key", NULL, NULL, "", "a key needs its certificate"},
        {"tls_cert_file", "client.pem", "tls_key_file", "server.key", "", "the key does not belong to the certificate"},
        {"tls_cert_file", "client.pem", "tls_key_file", "locked.key", "", "needs 'tls_key_password'"},
        {"tls_cert_file", "client.pem", "tls_key_file", "locked.key", "&tls_key_password=wrong", "that 'tls_key_password' opens"},
        {"tls_cert_file", "client.pem", "tls_key_file", "nothing.key", "", "No such file or directory"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        coffer_cache *cache = NULL;
        coffer_error error = {.text = ""};
        coffer_options *options = options_for("localhost", 1, rows[i].more);
        set_file(options, rows[i].option, rows[i].file);
        if (rows[i].second != NULL) {
            set_file(options, rows[i].second, rows[i].second_file);
        }
        coffer_status status = coffer_open(&cache, options, &error);
        if (status != COFFER_OPTION || strstr(error.text, rows[i].words) == NULL || strstr(error.text, "the option 'tls_") == NULL) {
            fail_msg("%zu: %s: %s", i, coffer_status_name(status), error.text);
        }
        assert_null(strstr(error.text, "wrong"));
        assert_null(cache);
        assert_int_equal(ERR_peek_error(), 0);
        coffer_options_free(options);
    }
}

static void test_options_of_tls_without_tls_are_refused(void **state) {
    coffer_cache *cache = NULL;
    coffer_error error = {.text = ""};
    (void)state;
    assert_int_equal(coffer_open_url(&cache, "redis://localhost?tls_ca_file=/etc/ssl/ca.pem", &error), COFFER_OPTION);
    assert_non_null(strstr(error.text, "write rediss://"));
    assert_int_equal(coffer_open_url(&cache, "mem://?tls_ca_file=/etc/ssl/ca.pem", &error), COFFER_OK); /* nothing leaves the process */
    coffer_close(cache);
}

/* ---- what goes wrong --------------------------------------------------------------------------------------------------- */

static bool cuts_inside_a_record(tls_peer *peer, const char *command) {
    return tls_greets(peer, command) || (tls_says_part(peer, "$5\r\nhello\r\n", 9), false);
}

static bool cuts_between_records(tls_peer *peer, const char *command) {
    return tls_greets(peer, command) || (tls_says(peer, "$5\r\nhe"), false);
}

static bool ends_tls_inside_a_reply(tls_peer *peer, const char *command) {
    return tls_greets(peer, command) || (tls_says(peer, "$5\r\nhe") && tls_says_goodbye(peer));
}

static bool goes_plain(tls_peer *peer, const char *command) {
    return tls_greets(peer, command) || tls_says_plainly(peer, "$5\r\nhello\r\n");
}

static bool says_an_alert_by_hand(tls_peer *peer, const char *command) {
    return tls_greets(peer, command) || tls_says_plainly(peer, "\x17\x03\x03\x01");
}

static bool mute(tls_peer *peer, const char *command) {
    (void)peer;
    (void)command;
    return true;
}

static void test_each_way_to_break_has_its_words(void **state) {
    static const struct {
        tls_answer answer;
        coffer_status status;
        const char *words;
    } rows[] = {
        {cuts_inside_a_record, COFFER_CLOSED, "without ending TLS"},
        {cuts_between_records, COFFER_CLOSED, "without ending TLS"},
        {ends_tls_inside_a_reply, COFFER_CLOSED, "ended TLS (close_notify)"},
        {goes_plain, COFFER_TLS, "TLS: "},
        {says_an_alert_by_hand, COFFER_TIMEOUT, ""},
        {mute, COFFER_TIMEOUT, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            tls_server_options options = {.certificate = "right", .answer = rows[i].answer, .most_version = version};
            tls_server *server = tls_server_start(folder, &options);
            coffer_cache *cache = open_tls("localhost", tls_server_port(server), "");
            assert_says(cache, rows[i].status, rows[i].words);
            coffer_close(cache);
            tls_server_stop(server);
        }
    }
}

/* A server without TLS: takes what comes, says `text` and hangs up (data NULL: says nothing, ever). */
typedef struct plain_server {
    int listener;
    uint16_t port;
    coffer_slice text;
    pthread_t thread;
} plain_server;

static void *serve_plainly(void *argument) {
    const plain_server *server = (const plain_server *)argument;
    int fd;
    while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
        char bytes[2048];
        if (recv(fd, bytes, sizeof bytes, 0) > 0 && server->text.data != NULL) {
            (void)send(fd, server->text.data, server->text.len, MSG_NOSIGNAL);
            shutdown(fd, SHUT_WR);
        }
        while (recv(fd, bytes, sizeof bytes, 0) > 0) {
        }
        close(fd);
    }
    return NULL;
}

static void plain_server_start(plain_server *server, coffer_slice text) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    server->text = text;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(server->listener, 8), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&at, &len), 0);
    server->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, serve_plainly, server), 0);
}

static void plain_server_stop(plain_server *server) {
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
}

static void test_a_server_without_tls(void **state) {
    static const struct {
        coffer_slice text;
        coffer_status status;
        const char *words;
    } rows[] = {
        {{"-ERR unknown command\r\n", 22}, COFFER_TLS, "is not TLS"},
        {{"HTTP/1.1 400 Bad Request\r\n\r\n", 28}, COFFER_TLS, "is not TLS"},
        {{"\x15\x03\x01\x00\x02\x02\x28", 7}, COFFER_TLS, "the TLS alert 40"},
        {{"\x16\x03\x03\x00", 4}, COFFER_TLS, "hung up during the TLS handshake"},
        {{"", 0}, COFFER_TLS, "hung up during the TLS handshake"},
        {{NULL, 0}, COFFER_TIMEOUT, "the TLS handshake with 127.0.0.1:"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        plain_server server;
        plain_server_start(&server, rows[i].text);
        coffer_cache *cache = open_tls("127.0.0.1", server.port, "");
        assert_says(cache, rows[i].status, rows[i].words);
        coffer_close(cache);
        plain_server_stop(&server);
    }
}

/* ---- idle connections ---------------------------------------------------------------------------------------------------- */

static tls_peer *last_peer;

static bool remembers(tls_peer *peer, const char *command) {
    last_peer = peer;
    return always_nil(peer, command);
}

/* Tickets, which the server of TLS 1.3 sends behind the handshake, make an idle connection readable: it is used again all the same. */
static void test_tickets_do_not_cost_the_connection(void **state) {
    tls_server_options options = {.certificate = "right", .answer = always_nil, .tickets = 4};
    (void)state;
    tls_server *server = tls_server_start(folder, &options);
    coffer_cache *cache = open_tls("localhost", tls_server_port(server), "");
    for (int i = 0; i < 20; i++) {
        assert_says(cache, COFFER_MISS, "");
    }
    assert_int_equal(tls_server_accepted(server), 1);
    coffer_close(cache);
    tls_server_stop(server);
}

static void is_replaced_after(const char *what, bool (*act)(tls_peer *peer)) {
    tls_server_options options = {.certificate = "right", .answer = remembers, .tickets = 1};
    tls_server *server = tls_server_start(folder, &options);
    coffer_cache *cache = open_tls("localhost", tls_server_port(server), "");
    assert_says(cache, COFFER_MISS, "");
    assert_true(act(last_peer));
    pause_ms(20);
    assert_says(cache, COFFER_MISS, "");
    if (tls_server_accepted(server) != 2) {
        fail_msg("%s: the connection was used again", what);
    }
    coffer_close(cache);
    tls_server_stop(server);
}

static bool says_ghost(tls_peer *peer) {
    return tls_says(peer, "$5\r\nghost\r\n");
}

static bool says_half_a_ghost(tls_peer *peer) {
    return tls_says_part(peer, "$5\r\nghost\r\n", 12);
}

static void test_what_an_idle_connection_was_sent_is_nobodys(void **state) {
    (void)state;
    is_replaced_after("a reply", says_ghost);
    is_replaced_after("half a record", says_half_a_ghost);
    is_replaced_after("close_notify", tls_says_goodbye);
}

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_right_certificate_is_taken),
        cmocka_unit_test(test_an_authority_that_was_not_named_vouches_for_nobody),
        cmocka_unit_test(test_an_old_version_is_refused),
        cmocka_unit_test(test_a_server_that_wants_a_certificate_gets_ours),
        cmocka_unit_test(test_files_that_cannot_be_used_are_refused_at_once),
        cmocka_unit_test(test_options_of_tls_without_tls_are_refused),
        cmocka_unit_test(test_each_way_to_break_has_its_words),
        cmocka_unit_test(test_a_server_without_tls),
        cmocka_unit_test(test_tickets_do_not_cost_the_connection),
        cmocka_unit_test(test_what_an_idle_connection_was_sent_is_nobodys),
        cmocka_unit_test(test_large_values),
        cmocka_unit_test(test_certificates_of_clients_with_a_real_server),
        cmocka_unit_test(test_forked_children_leave_the_connections_alone),
        cmocka_unit_test(test_changed_files_are_read_anew),
        cmocka_unit_test(test_no_verification_is_logged_once),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
