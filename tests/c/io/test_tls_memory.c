/* coffer/tls.h: TLS without a socket, with a server of OpenSSL's at the other end. What there is to say of certificates and files is tested over sockets,
 * in test_tls.c: it is the same code. */
#include "with_tls.h"

#include "base/buf.h"
#include "io/secure.h"
#include "support/watched_alloc.h"

#include <openssl/ssl.h>

enum { LARGE_BYTES = 3 << 20, ROUNDS_MAX = 1 << 20 };

static const tls_server_options right = {.certificate = "right", .tickets = 2};

typedef struct pair {
    coffer_client *client;
    coffer_endpoint endpoint;
    coffer_tls *tls;
    SSL_CTX *context;
    SSL *server;
    BIO *to_server, *from_server; /* the server's */
    size_t piece; /* the most that is moved at once, either way */
    coffer__buf got, heard; /* what the client and the server were told */
    bool has_ended; /* the server was told goodbye */
} pair;

/* ---- two ends ---------------------------------------------------------------------------------------------------- */

static coffer_client *client_with(coffer_options *options) {
    coffer_client *client = NULL;
    coffer_error error = {.text = ""};
    if (coffer_client_new(&client, options, (coffer_clock){.now_ms = 1, .unix_ms = 1}, &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    coffer_options_free(options);
    return client;
}

static coffer_options *trusting(const char *authority, const char *host, const char *more) {
    coffer_options *options = options_for(host, 6379, more);
    if (authority != NULL) {
        set_file(options, "tls_ca_file", authority);
    }
    return options;
}

static void pair_begin(pair *p, const tls_server_options *how, coffer_options *options, const char *host) {
    coffer_error error = {.text = ""};
    memset(p, 0, sizeof *p);
    p->piece = SIZE_MAX;
    p->endpoint = (coffer_endpoint){.host = coffer_slice_text(host), .port = 6379, .tls = true};
    p->client = client_with(options);
    p->context = tls_server_context(folder, how);
    p->server = SSL_new(p->context);
    p->to_server = BIO_new(BIO_s_mem());
    p->from_server = BIO_new(BIO_s_mem());
    SSL_set_bio(p->server, p->to_server, p->from_server);
    SSL_set_accept_state(p->server);
    if (coffer_tls_new(&p->tls, p->client, &p->endpoint, &error) != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    assert_true(coffer_tls_output(p->tls).len > 0);
}

/* The same with another client, whose reference it takes. */
static void pair_use(pair *p, coffer_client *client) {
    coffer_tls_free(p->tls);
    coffer_client_free(p->client);
    p->client = client;
    assert_int_equal(coffer_tls_new(&p->tls, client, &p->endpoint, NULL), COFFER_OK);
}

static void pair_begin_right(pair *p) {
    pair_begin(p, &right, trusting("ca.pem", "localhost", ""), "localhost");
}

static void pair_end(pair *p) {
    coffer_tls_free(p->tls);
    coffer_client_free(p->client);
    SSL_free(p->server);
    SSL_CTX_free(p->context);
    coffer__buf_free(&p->got);
    coffer__buf_free(&p->heard);
    ERR_clear_error(); /* the server's */
}

static bool output_moves(pair *p) {
    coffer_slice out = coffer_tls_output(p->tls);
    size_t len = out.len < p->piece ? out.len : p->piece;
    assert_int_equal(len == 0 ? 0 : BIO_write(p->to_server, out.data, (int)len), len);
    coffer_tls_sent(p->tls, len);
    return len > 0;
}

static void server_runs(pair *p) {
    char bytes[20000];
    int got = SSL_is_init_finished(p->server) ? 1 : SSL_do_handshake(p->server);
    while (got > 0 && (got = SSL_read(p->server, bytes, sizeof bytes)) > 0) {
        assert_true(coffer__buf_append(&p->heard, bytes, (size_t)got));
    }
    p->has_ended = p->has_ended || (SSL_get_shutdown(p->server) & SSL_RECEIVED_SHUTDOWN) != 0;
    ERR_clear_error();
}

/* `most` bytes of what the server has said. */
static bool input_moves(pair *p, size_t most) {
    char *bytes = NULL;
    coffer_slice plain = coffer_slice_of("never", 5);
    size_t len = (size_t)BIO_get_mem_data(p->from_server, &bytes);
    len = len < most ? len : most;
    if (len == 0) {
        return false;
    }
    char *copy = (char *)malloc(len); /* so that a sanitizer sees what is read of it later */
    assert_int_equal(BIO_read(p->from_server, copy, (int)len), len);
    coffer_status status = coffer_tls_feed(p->tls, coffer_slice_of(copy, len), &plain);
    free(copy);
    assert_int_equal(status, coffer_tls_status(p->tls));
    assert_int_equal(status == COFFER_OK, coffer_tls_message(p->tls)[0] == '\0');
    assert_int_equal(ERR_peek_error(), 0);
    assert_true(coffer__buf_append_slice(&p->got, plain));
    return true;
}

/* All that either end has to say is heard by the other. */
static void talk(pair *p) {
    size_t rounds = 0;
    for (bool moved = true; moved; rounds++) {
        moved = output_moves(p);
        server_runs(p);
        moved = input_moves(p, p->piece) || moved;
        assert_true(rounds < ROUNDS_MAX);
    }
}

static void server_says(pair *p, coffer_slice text) {
    assert_int_equal(SSL_write(p->server, text.data, (int)text.len), text.len);
}

static void assert_failed(const pair *p, coffer_status status, const char *words) {
    const char *message = coffer_tls_message(p->tls);
    char name[100];
    coffer_endpoint_name(&p->endpoint, name, sizeof name);
    if (coffer_tls_status(p->tls) != status || strstr(message, words) == NULL || strncmp(message, name, strlen(name)) != 0) {
        fail_msg("%s instead of %s: '%s', not '%s'", coffer_status_name(coffer_tls_status(p->tls)), coffer_status_name(status), message, words);
    }
    assert_false(coffer_tls_ready(p->tls));
}

static void assert_heard(const coffer__buf *heard, coffer_slice text) {
    assert_int_equal(heard->len, text.len);
    assert_true(coffer_slice_equal(coffer__buf_slice(heard), text));
}

/* ---- all is well -------------------------------------------------------------------------------------------------- */

static void test_data_goes_both_ways_however_it_is_cut(void **state) {
    static const size_t pieces[] = {1, 7, 1000, SIZE_MAX};
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
            tls_server_options how = {.certificate = "right", .tickets = 3, .most_version = version};
            pair p;
            pair_begin(&p, &how, trusting("ca.pem", "localhost", ""), "localhost");
            p.piece = pieces[i];
            assert_false(coffer_tls_ready(p.tls));
            talk(&p);
            assert_true(coffer_tls_ready(p.tls));
            assert_int_equal(p.got.len, 0);
            assert_int_equal(coffer_tls_write(p.tls, COFFER_SLICE("*1\r\n$4\r\nPING\r\n")), COFFER_OK);
            talk(&p);
            assert_heard(&p.heard, COFFER_SLICE("*1\r\n$4\r\nPING\r\n"));
            server_says(&p, COFFER_SLICE("+PO"));
            server_says(&p, COFFER_SLICE("NG\r\n"));
            talk(&p);
            assert_heard(&p.got, COFFER_SLICE("+PONG\r\n"));
            assert_int_equal(coffer_tls_status(p.tls), COFFER_OK);
            pair_end(&p);
        }
    }
}

static void test_large_data(void **state) {
    static const size_t pieces[] = {5000, 100000, SIZE_MAX};
    char *text = (char *)malloc(LARGE_BYTES);
    (void)state;
    for (size_t i = 0; i < LARGE_BYTES; i++) {
        text[i] = (char)(i * 2654435761u >> 13);
    }
    coffer_slice large = coffer_slice_of(text, LARGE_BYTES);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        pair p;
        pair_begin_right(&p);
        p.piece = pieces[i];
        talk(&p);
        assert_int_equal(coffer_tls_write(p.tls, large), COFFER_OK);
        server_says(&p, large);
        talk(&p);
        assert_heard(&p.heard, large);
        assert_heard(&p.got, large);
        pair_end(&p);
    }
    free(text);
}

/* Not before the server's name was checked: what is written then may be a password. */
static void test_what_is_written_too_early_is_kept(void **state) {
    static const struct {
        const char *certificate;
        coffer_slice heard;
    } rows[] = {{"right", {"onetwo", 6}}, {"other_name", {NULL, 0}}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        tls_server_options how = {.certificate = rows[i].certificate};
        pair p;
        pair_begin(&p, &how, trusting("ca.pem", "localhost", ""), "localhost");
        size_t hello = coffer_tls_output(p.tls).len;
        assert_int_equal(coffer_tls_write(p.tls, COFFER_SLICE("one")), COFFER_OK);
        assert_int_equal(coffer_tls_write(p.tls, COFFER_SLICE("two")), COFFER_OK);
        assert_int_equal(coffer_tls_output(p.tls).len, hello);
        talk(&p);
        assert_heard(&p.heard, rows[i].heard);
        pair_end(&p);
    }
}

/* A ticket that came by half: OpenSSL encrypts nothing before it has all of it. */
static void test_what_is_written_amid_a_message_of_the_handshake_is_kept(void **state) {
    tls_server_options how = {.certificate = "right", .most_version = TLS1_3_VERSION, .wants_certificate = true};
    coffer_options *options = trusting("ca.pem", "localhost", "");
    pair p;
    (void)state;
    set_file(options, "tls_cert_file", "both.pem");
    pair_begin(&p, &how, options, "localhost");
    talk(&p);
    assert_true(coffer_tls_ready(p.tls));
    SSL_set_max_send_fragment(p.server, 512); /* the ticket holds our certificate, and is longer */
    assert_int_equal(SSL_new_session_ticket(p.server), 1);
    assert_int_equal(SSL_do_handshake(p.server), 1);
    assert_true(input_moves(&p, 540));
    assert_true(BIO_ctrl_pending(p.from_server) > 0);
    assert_int_equal(coffer_tls_write(p.tls, COFFER_SLICE("one")), COFFER_OK);
    assert_int_equal(coffer_tls_write(p.tls, COFFER_SLICE("two")), COFFER_OK);
    assert_int_equal(coffer_tls_output(p.tls).len, 0);
    talk(&p);
    assert_heard(&p.heard, COFFER_SLICE("onetwo"));
    pair_end(&p);
}

static void test_goodbye(void **state) {
    pair p;
    (void)state;
    pair_begin_right(&p);
    coffer_tls_shutdown(p.tls); /* too early: there is nobody to say it to */
    talk(&p);
    assert_true(coffer_tls_ready(p.tls));
    coffer_tls_write(p.tls, COFFER_SLICE("last words"));
    coffer_tls_shutdown(p.tls);
    talk(&p);
    assert_heard(&p.heard, COFFER_SLICE("last words"));
    assert_true(p.has_ended);
    assert_true(coffer_tls_write(p.tls, COFFER_SLICE("more")) < COFFER_OK);
    pair_end(&p);
}

/* ---- who they are ------------------------------------------------------------------------------------------------- */

static void test_only_the_right_certificate_is_taken(void **state) {
    static const struct {
        const char *certificate, *authority, *host, *more;
        coffer_status status;
        const char *words;
    } rows[] = {
        {"right", "ca.pem", "127.0.0.1", "", COFFER_OK, ""},
        {"name", "ca.pem", "127.0.0.1", "&tls_server_name=localhost", COFFER_OK, ""},
        {"self_signed", "ca.pem", "localhost", "&tls_insecure_skip_verify=true", COFFER_OK, ""},
        {"name", "ca.pem", "127.0.0.1", "", COFFER_CERTIFICATE, "IP address mismatch"},
        {"other_name", "ca.pem", "localhost", "", COFFER_CERTIFICATE, "not for the name 'localhost'"},
        {"expired", "ca.pem", "localhost", "", COFFER_CERTIFICATE, "has expired"},
        {"self_signed", "ca.pem", "localhost", "", COFFER_CERTIFICATE, "self-signed"},
        {"right", "other_ca.pem", "localhost", "", COFFER_CERTIFICATE, "unable to get local issuer certificate"},
        {"right", NULL, "localhost", "", COFFER_CERTIFICATE, "unable to get local issuer certificate"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tls_server_options how = {.certificate = rows[i].certificate};
        pair p;
        pair_begin(&p, &how, trusting(rows[i].authority, rows[i].host, rows[i].more), rows[i].host);
        talk(&p);
        if (rows[i].status != COFFER_OK) {
            assert_failed(&p, rows[i].status, rows[i].words);
            assert_false(SSL_is_init_finished(p.server)); /* it was told by an alert, in the output */
            assert_int_equal(coffer_tls_write(p.tls, COFFER_SLICE("secret")), COFFER_CERTIFICATE);
            assert_int_equal(coffer_tls_end(p.tls), COFFER_CERTIFICATE);
            assert_int_equal(coffer_tls_output(p.tls).len, 0);
        } else if (!coffer_tls_ready(p.tls)) {
            fail_msg("%zu: %s", i, coffer_tls_message(p.tls));
        }
        pair_end(&p);
    }
}

static void test_a_server_that_wants_a_certificate_gets_ours(void **state) {
    static const struct {
        const char *file;
        coffer_status status;
        const char *words;
    } rows[] = {{NULL, COFFER_TLS, "it may want a client certificate"}, {"both.pem", COFFER_OK, ""}};
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        for (size_t i = 0; i < 2; i++) {
            tls_server_options how = {.certificate = "right", .most_version = version, .wants_certificate = true};
            coffer_options *options = trusting("ca.pem", "localhost", "");
            pair p;
            if (rows[i].file != NULL) {
                set_file(options, "tls_cert_file", rows[i].file);
            }
            pair_begin(&p, &how, options, "localhost");
            talk(&p);
            if (rows[i].status != COFFER_OK) {
                assert_failed(&p, rows[i].status, rows[i].words);
            } else {
                assert_true(coffer_tls_ready(p.tls));
            }
            pair_end(&p);
        }
    }
}

/* ---- what goes wrong ---------------------------------------------------------------------------------------------- */

static void test_a_server_that_is_not_one_of_tls(void **state) {
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
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pair p;
        coffer_slice plain;
        pair_begin_right(&p);
        (void)coffer_tls_feed(p.tls, rows[i].text, &plain);
        assert_int_equal(plain.len, 0);
        assert_int_equal(coffer_tls_end(p.tls), rows[i].status);
        assert_failed(&p, rows[i].status, rows[i].words);
        assert_int_equal(coffer_tls_feed(p.tls, rows[i].text, &plain), rows[i].status); /* the first failure stays */
        assert_failed(&p, rows[i].status, rows[i].words);
        assert_int_equal(ERR_peek_error(), 0);
        pair_end(&p);
    }
}

/* What came before the end came: "-ERR max number of clients reached" is such a thing. */
static void test_what_came_before_the_end_counts(void **state) {
    (void)state;
    for (int says_goodbye = 0; says_goodbye <= 1; says_goodbye++) {
        pair p;
        pair_begin_right(&p);
        talk(&p);
        server_says(&p, COFFER_SLICE("-ERR why"));
        if (says_goodbye == 1) {
            (void)SSL_shutdown(p.server);
        }
        talk(&p);
        assert_heard(&p.got, COFFER_SLICE("-ERR why"));
        assert_int_equal(coffer_tls_end(p.tls), COFFER_CLOSED);
        assert_failed(&p, COFFER_CLOSED, says_goodbye == 1 ? "ended TLS (close_notify)" : "without ending TLS");
        size_t len = coffer_tls_output(p.tls).len;
        coffer_tls_shutdown(p.tls);
        assert_int_equal(coffer_tls_output(p.tls).len, len); /* nothing is said any more */
        pair_end(&p);
    }
}

static void test_bytes_that_were_changed_are_found(void **state) {
    char bytes[200];
    pair p;
    coffer_slice plain;
    (void)state;
    pair_begin_right(&p);
    talk(&p);
    server_says(&p, COFFER_SLICE("+OK\r\n"));
    int len = BIO_read(p.from_server, bytes, sizeof bytes);
    bytes[len - 1] ^= 1;
    assert_int_equal(coffer_tls_feed(p.tls, coffer_slice_of(bytes, (size_t)len), &plain), COFFER_TLS);
    assert_int_equal(plain.len, 0);
    assert_failed(&p, COFFER_TLS, "TLS: ");
    assert_true(coffer_tls_output(p.tls).len > 0); /* an alert */
    pair_end(&p);
}

/* ---- the client ---------------------------------------------------------------------------------------------------- */

static void assert_refused(coffer_options *options, coffer_status status, const char *words) {
    coffer_endpoint endpoint = {.host = COFFER_SLICE("localhost"), .port = 6379, .tls = true};
    coffer_client *client = client_with(options);
    coffer_error error = {.text = ""};
    coffer_tls *tls;
    assert_int_equal(coffer_tls_new(&tls, client, &endpoint, &error), status);
    assert_null(tls);
    assert_int_equal(error.status, status);
    if (strncmp(error.text, "localhost:6379: ", 16) != 0 || strstr(error.text, words) == NULL) {
        fail_msg("'%s', not '%s'", error.text, words);
    }
    assert_int_equal(coffer_tls_new(&tls, client, &endpoint, NULL), status);
    coffer_client_free(client);
}

static void test_certificates_that_cannot_be_had(void **state) {
    coffer_options *plain = coffer_options_new();
    (void)state;
    assert_refused(trusting("nothing.pem", "localhost", ""), COFFER_TLS, "nothing.pem: No such file or directory");
    assert_int_equal(coffer_options_set_url(plain, COFFER_SLICE("redis://localhost"), NULL), COFFER_OK);
    assert_refused(plain, COFFER_TLS, "ask for no TLS");
}

static size_t warned_count;

static void counts(void *user_data, const coffer_log_record *record) {
    (void)user_data;
    warned_count += record->event == COFFER_LOG_TLS_UNVERIFIED;
}

/* One context for all: the files are read once, and what is to be told is told once. The client lives as long as they do. */
static void test_connections_share_what_is_the_clients(void **state) {
    pair first, second;
    tls_server_options how = {.certificate = "self_signed"};
    (void)state;
    warned_count = 0;
    coffer_set_log(counts, NULL);
    pair_begin(&first, &how, trusting(NULL, "localhost", "&tls_insecure_skip_verify=true"), "localhost");
    pair_begin(&second, &how, trusting(NULL, "localhost", "&tls_insecure_skip_verify=true"), "localhost");
    assert_int_equal(warned_count, 2);
    coffer_client_ref(first.client);
    pair_use(&second, first.client);
    coffer_client_after_fork(first.client);
    coffer_client_free(first.client);
    coffer_client_free(second.client);
    first.client = second.client = NULL;
    talk(&first);
    talk(&second);
    assert_true(coffer_tls_ready(first.tls) && coffer_tls_ready(second.tls));
    assert_int_equal(warned_count, 2);
    coffer_set_log(NULL, NULL);
    pair_end(&first);
    pair_end(&second);
}

/* As its own connections do: whose client it is does not matter. */
static void test_a_caches_client(void **state) {
    coffer_cache *cache = open_tls("localhost", 6379, "");
    coffer_client *client = coffer_namespace_client(coffer_cache_namespace(cache));
    pair p;
    (void)state;
    pair_begin_right(&p);
    int mine = 7;
    coffer_client_set_driver(client, &mine); /* what a driver keeps there is its own */
    coffer_client_ref(client);
    pair_use(&p, client);
    coffer_close(cache);
    talk(&p);
    assert_true(coffer_tls_ready(p.tls));
    assert_ptr_equal(coffer_client_driver(client), &mine);
    pair_end(&p);
}

static void test_changed_files_are_read_anew(void **state) {
    static const char *const steps[] = {"other_ca.pem", "ca.pem", "other_ca.pem"};
    char command[300];
    coffer_client *client = NULL;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        pair p;
        snprintf(command, sizeof command, "cp %s/%s %s/new && mv %s/new %s/trusted.pem", folder, steps[i], folder, folder, folder);
        assert_int_equal(system(command), 0);
        pair_begin(&p, &right, trusting("trusted.pem", "localhost", ""), "localhost");
        if (client != NULL) {
            pair_use(&p, client);
        }
        talk(&p);
        assert_int_equal(coffer_tls_status(p.tls), i == 1 ? COFFER_OK : COFFER_CERTIFICATE);
        client = p.client;
        coffer_client_ref(client);
        pair_end(&p);
    }
    coffer_client_free(client);
}

/* OpenSSL's own, which a later one cannot have the address of before it is given back. */
static SSL_CTX *context_of(const coffer_client *client) {
    SSL *ssl = coffer__tls_context_connection(coffer__secure_of(client)->tls, COFFER_SLICE("localhost"));
    SSL_CTX *context = SSL_get_SSL_CTX(ssl);
    SSL_CTX_up_ref(context);
    SSL_free(ssl);
    return context;
}

/* What want of memory may have broken: tls_context.h. */
static void test_after_a_handshake_that_failed_all_is_made_anew(void **state) {
    static const char *const certificates[] = {"right", "other_name"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        tls_server_options how = {.certificate = certificates[i]};
        pair p;
        pair_begin(&p, &how, trusting("ca.pem", "localhost", ""), "localhost");
        SSL_CTX *before = context_of(p.client);
        talk(&p);
        SSL_CTX *after = context_of(p.client);
        assert_int_equal(before == after, i == 0);
        SSL_CTX_free(before);
        SSL_CTX_free(after);
        pair_end(&p);
    }
}

/* ---- without memory -------------------------------------------------------------------------------------------------- */

/* The core's own: OpenSSL's are starved in tests/injected. False where there were not so many. */
static bool goes_without(size_t nth, bool for_good) {
    static char text[40000];
    coffer_error error = {.text = ""};
    pair p;
    pair_begin_right(&p);
    coffer_tls_free(p.tls);
    if (for_good) {
        watched_alloc_dry_after(nth - 1);
    } else {
        watched_alloc_fail_once(nth);
    }
    size_t refused = watched_alloc.refused_count;
    coffer_status status = coffer_tls_new(&p.tls, p.client, &p.endpoint, &error);
    for (int i = 0; i < 3 && status == COFFER_OK; i++) {
        coffer_slice plain = {NULL, 0};
        char bytes[50000];
        status = coffer_tls_write(p.tls, coffer_slice_of(text, sizeof text));
        coffer_slice out = coffer_tls_output(p.tls);
        assert_int_equal(BIO_write(p.to_server, out.data, (int)out.len), out.len);
        coffer_tls_sent(p.tls, out.len);
        (void)SSL_read(p.server, bytes, sizeof bytes);
        (void)SSL_write(p.server, text, sizeof text);
        int got = BIO_read(p.from_server, bytes, sizeof bytes);
        status = status != COFFER_OK ? status : coffer_tls_feed(p.tls, coffer_slice_of(bytes, got > 0 ? (size_t)got : 0), &plain);
    }
    bool did_fail = watched_alloc.refused_count > refused;
    watched_alloc_dry_after(WATCHED_NEVER);
    assert_int_equal(status, did_fail ? COFFER_NO_MEMORY : COFFER_OK);
    if (p.tls == NULL) {
        assert_true(strncmp(error.text, "localhost:6379: ", 16) == 0);
    } else if (did_fail) {
        assert_failed(&p, COFFER_NO_MEMORY, "memory");
    }
    pair_end(&p);
    return did_fail;
}

static void test_without_memory(void **state) {
    (void)state;
    for (int for_good = 0; for_good <= 1; for_good++) {
        size_t nth = 1;
        watched_alloc_begin(WATCHED_NEVER);
        while (goes_without(nth, for_good == 1)) {
            nth++;
        }
        assert_in_range(nth, 5, 100);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    }
    coffer_tls_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_goes_both_ways_however_it_is_cut),
        cmocka_unit_test(test_large_data),
        cmocka_unit_test(test_what_is_written_too_early_is_kept),
        cmocka_unit_test(test_what_is_written_amid_a_message_of_the_handshake_is_kept),
        cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_only_the_right_certificate_is_taken),
        cmocka_unit_test(test_a_server_that_wants_a_certificate_gets_ours),
        cmocka_unit_test(test_a_server_that_is_not_one_of_tls),
        cmocka_unit_test(test_what_came_before_the_end_counts),
        cmocka_unit_test(test_bytes_that_were_changed_are_found),
        cmocka_unit_test(test_certificates_that_cannot_be_had),
        cmocka_unit_test(test_connections_share_what_is_the_clients),
        cmocka_unit_test(test_a_caches_client),
        cmocka_unit_test(test_changed_files_are_read_anew),
        cmocka_unit_test(test_after_a_handshake_that_failed_all_is_made_anew),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
