/* TLS with servers that are right, wrong, broken or mute: each has its own status and its own words, by the deadline. */
#include "with_tls.h"

#include "support/fake_server.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

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
            coffer_cache *cache = open_tls("localhost", tls_server_port(server), rows[i].status == COFFER_TIMEOUT ? SHORT : "");
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
        {{"\x16\x03\x03\x00", 4}, COFFER_CLOSED, "hung up during the TLS handshake"},
        {{"", 0}, COFFER_CLOSED, "hung up during the TLS handshake"},
        {{NULL, 0}, COFFER_TIMEOUT, "the TLS handshake with 127.0.0.1:"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        plain_server server;
        plain_server_start(&server, rows[i].text);
        coffer_cache *cache = open_tls("127.0.0.1", server.port, rows[i].status == COFFER_TIMEOUT ? SHORT : "");
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

static void test_a_ticket_on_an_idle_connection_is_taken(void **state) {
    tls_server_options options = {.certificate = "right", .answer = remembers, .most_version = TLS1_3_VERSION};
    (void)state;
    tls_server *server = tls_server_start(folder, &options);
    coffer_cache *cache = open_tls("localhost", tls_server_port(server), "");
    for (int i = 0; i < 5; i++) {
        assert_says(cache, COFFER_MISS, "");
        assert_true(tls_says_ticket(last_peer));
        pause_ms(20);
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
        cmocka_unit_test(test_a_ticket_on_an_idle_connection_is_taken),
        cmocka_unit_test(test_what_an_idle_connection_was_sent_is_nobodys),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
