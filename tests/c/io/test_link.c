/* What servers and networks do to a call: each ends by its deadline, with the right status, and nobody sees another's bytes. */
#include "helpers.h"
#include "support/fake_server.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static bool always_nil(int fd, const char *command, void *data) {
    (void)data;
    return fake_greets(fd, command) || fake_says(fd, "$-1\r\n");
}

static bool mute(int fd, const char *command, void *data) {
    (void)fd;
    (void)command;
    (void)data;
    return true;
}

static bool mute_after_greeting(int fd, const char *command, void *data) {
    (void)data;
    fake_greets(fd, command);
    return true;
}

static void ends_with(fake_answer answer, coffer_status status, uint64_t least_ms, uint64_t most_ms) {
    fake_server *server = fake_server_start(answer, NULL);
    coffer_cache *cache = open_at(fake_server_port(server), "&timeout=300ms");
    assert_get_ends(cache, status, least_ms, most_ms);
    assert_int_equal(stats_of(cache).connections_in_use, 0);
    coffer_close(cache);
    fake_server_stop(server);
}

static void test_a_black_hole_ends_by_the_deadline(void **state) {
    (void)state;
    ends_with(mute, COFFER_TIMEOUT, 300, 300);
    ends_with(mute_after_greeting, COFFER_TIMEOUT, 300, 300);
}

static bool trickle(int fd, const char *command, void *data) {
    (void)data;
    if (fake_greets(fd, command)) {
        return true;
    }
    if (!fake_says(fd, "$1000\r\n")) {
        return false;
    }
    for (int i = 0; i < 100 && fake_says(fd, "x"); i++) {
        pause_ms(20);
    }
    return false;
}

static void test_a_byte_now_and_then_does_not_move_the_deadline(void **state) {
    (void)state;
    ends_with(trickle, COFFER_TIMEOUT, 300, 300);
}

static bool cut(int fd, const char *command, void *data) {
    (void)data;
    return fake_greets(fd, command) || (fake_says(fd, "$5\r\nhe"), false);
}

static bool speaks_http(int fd, const char *command, void *data) {
    (void)command;
    (void)data;
    return fake_says(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
}

static bool speaks_tls(int fd, const char *command, void *data) {
    (void)command;
    (void)data;
    return fake_says(fd, "\x15\x03\x01");
}

static bool speaks_ssh(int fd, const char *command, void *data) {
    (void)command;
    (void)data;
    return fake_says(fd, "SSH-2.0-OpenSSH_9.2p1\r\n");
}

static bool one_byte_of_a_greeting(int fd, const char *command, void *data) {
    (void)command;
    (void)data;
    return fake_says(fd, "*"), false;
}

static bool one_byte(int fd, const char *command, void *data) {
    (void)data;
    return fake_greets(fd, command) || (fake_says(fd, "$"), false);
}

static bool is_full(int fd, const char *command, void *data) {
    (void)command;
    (void)data;
    fake_says(fd, "-ERR max number of clients reached\r\n");
    return false;
}

static void test_a_cut_reply_is_closed(void **state) {
    (void)state;
    ends_with(cut, COFFER_CLOSED, 0, 100);
    ends_with(one_byte, COFFER_CLOSED, 0, 100);
    ends_with(one_byte_of_a_greeting, COFFER_CLOSED, 0, 100);
}

static void test_another_protocol_is_refused(void **state) {
    (void)state;
    ends_with(speaks_http, COFFER_PROTO, 0, 100);
    ends_with(speaks_tls, COFFER_PROTO, 0, 100);
    ends_with(speaks_ssh, COFFER_PROTO, 0, 100);
}

static void test_a_full_server_says_so(void **state) {
    (void)state;
    fake_server *server = fake_server_start(is_full, NULL);
    coffer_cache *cache = open_at(fake_server_port(server), "&timeout=300ms");
    coffer_error error;
    assert_true(coffer_get(cache, COFFER_SLICE("k"), NULL, NULL, &error) < 0);
    assert_non_null(strstr(error.text, "max number of clients"));
    coffer_close(cache);
    fake_server_stop(server);
}

static uint16_t bound_port(int *fd, int queue) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(queue < 0 ? 0 : listen(*fd, queue), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

static void test_a_refused_connection_names_the_address(void **state) {
    (void)state;
    int fd;
    coffer_cache *cache = open_at(bound_port(&fd, -1), "");
    coffer_error error;
    time_get(cache, COFFER_CONNECT, 0);
    assert_int_equal(coffer_set(cache, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL, &error), COFFER_CONNECT);
    assert_non_null(strstr(error.text, "connection refused by 127.0.0.1:"));
    assert_int_equal(stats_of(cache).connections_failed, 2);
    assert_int_equal(stats_of(cache).connections_open, 0);
    close(fd);
    coffer_close(cache);
}

static void test_a_batch_to_a_dead_server_tries_once(void **state) {
    (void)state;
    int fd;
    coffer_cache *cache = open_at(bound_port(&fd, -1), "");
    coffer_item items[100];
    for (size_t i = 0; i < 100; i++) {
        items[i] = (coffer_item){.key = COFFER_SLICE("k"), .value = COFFER_SLICE("v")};
    }
    assert_int_equal(coffer_set_many(cache, items, 100, NULL, NULL, NULL), COFFER_CONNECT);
    assert_int_equal(stats_of(cache).connections_failed, 1);
    close(fd);
    coffer_close(cache);
}

/* The kernel drops the SYNs of whoever comes when the queue is full. */
static void test_a_full_accept_queue_ends_by_the_deadline(void **state) {
    (void)state;
    int fd, fillers[16];
    uint16_t port = bound_port(&fd, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    for (size_t i = 0; i < 16; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fillers[i], (struct sockaddr *)&at, sizeof at);
    }
    coffer_cache *cache = open_at(port, "&timeout=200ms");
    assert_get_ends(cache, COFFER_TIMEOUT, 200, 200);
    coffer_close(cache);
    for (size_t i = 0; i < 16; i++) {
        close(fillers[i]);
    }
    close(fd);
}

static void test_a_full_unix_queue_ends_by_the_deadline(void **state) {
    (void)state;
    char folder[] = "/tmp/coffer-test-XXXXXX", path[64], url[128];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    memcpy(at.sun_path, path, sizeof path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), fillers[4];
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 0), 0);
    for (size_t i = 0; i < 4; i++) {
        fillers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&at, sizeof at);
    }
    coffer_cache *cache;
    snprintf(url, sizeof url, "unix://%s?timeout=200ms&on_outage=error", path);
    assert_int_equal(coffer_open_url(&cache, url, NULL), COFFER_OK);
    assert_get_ends(cache, COFFER_TIMEOUT, 200, 200);
    coffer_close(cache);
    for (size_t i = 0; i < 4; i++) {
        close(fillers[i]);
    }
    close(fd);
    unlink(path);
    rmdir(folder);
}

/* ---- idle links ------------------------------------------------------------------------------------------------- */

static void test_ghost_bytes_on_an_idle_link_are_never_seen(void **state) {
    (void)state;
    fake_server *server = fake_server_start(always_nil, NULL);
    coffer_cache *cache = open_at(fake_server_port(server), "");
    for (size_t i = 0; i < 20; i++) {
        assert_get_ends(cache, COFFER_MISS, 0, 1000);
        fake_server_say_to_all(server, "$6\r\nGHOST!\r\n"); /* loopback: it is there when send returns */
    }
    assert_int_equal(stats_of(cache).connections_made, 20);
    assert_int_equal(stats_of(cache).connections_open, 1);
    coffer_close(cache);
    fake_server_stop(server);
}

static void test_a_link_that_the_server_closed_is_replaced(void **state) {
    (void)state;
    fake_server *server = fake_server_start(always_nil, NULL);
    coffer_cache *cache = open_at(fake_server_port(server), "");
    for (size_t i = 0; i < 5; i++) {
        assert_get_ends(cache, COFFER_MISS, 0, 1000);
        fake_server_hang_up(server);
    }
    assert_int_equal(fake_server_accepted(server), 5);
    coffer_close(cache);
    fake_server_stop(server);
}

/* After a time-out the late reply is nobody's. */
static bool late_then_right(int fd, const char *command, void *data) {
    int *count = (int *)data;
    if (fake_greets(fd, command)) {
        return true;
    }
    if (__atomic_fetch_add(count, 1, __ATOMIC_SEQ_CST) == 0) {
        pause_ms(250);
        return fake_says(fd, "$4\r\nlate\r\n");
    }
    return fake_says(fd, "$5\r\nright\r\n");
}

static void test_a_late_reply_is_given_to_nobody(void **state) {
    (void)state;
    int count = 0;
    fake_server *server = fake_server_start(late_then_right, &count);
    coffer_cache *cache = open_at(fake_server_port(server), "&timeout=100ms&raw=true");
    coffer_value value;
    time_get(cache, COFFER_TIMEOUT, 100);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(coffer_get(cache, COFFER_SLICE("k"), NULL, &value, NULL), COFFER_OK);
        assert_true(coffer_slice_equal(value.data, COFFER_SLICE("right")));
        coffer_value_clear(&value);
        pause_ms(50);
    }
    coffer_close(cache);
    fake_server_stop(server);
}

/* ---- threads and signals ---------------------------------------------------------------------------------------- */

static bool slow(int fd, const char *command, void *data) {
    (void)data;
    if (fake_greets(fd, command)) {
        return true;
    }
    pause_ms(100);
    return fake_says(fd, "$-1\r\n");
}

static void *get_once(void *argument) {
    return coffer_get((coffer_cache *)argument, COFFER_SLICE("k"), NULL, NULL, NULL) == COFFER_MISS ? argument : NULL;
}

static void test_threads_wait_beside_each_other(void **state) {
    (void)state;
    fake_server *server = fake_server_start(slow, NULL);
    coffer_cache *cache = open_at(fake_server_port(server), "&pipeline_depth=1"); /* this server answers one connection's requests one by one */
    pthread_t threads[8];
    uint64_t began = real_ms();
    for (size_t i = 0; i < 8; i++) {
        pthread_create(&threads[i], NULL, get_once, cache);
    }
    for (size_t i = 0; i < 8; i++) {
        void *fine;
        pthread_join(threads[i], &fine);
        assert_ptr_equal(fine, cache);
    }
    uint64_t took = real_ms() - began;
    assert_in_range(took, 98, 400); /* one after the other it would be 800 */
    coffer_close(cache);
    fake_server_stop(server);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number) {
    (void)number;
    alarms = alarms + 1;
}

static void test_a_storm_of_signals_does_not_move_the_deadline(void **state) {
    (void)state;
    struct sigaction act = {.sa_handler = on_alarm}, before;
    const struct itimerval every_ms = {.it_interval = {.tv_usec = 1000}, .it_value = {.tv_usec = 1000}}, never = {.it_value = {.tv_usec = 0}};
    fake_server *silent = fake_server_start(mute_after_greeting, NULL), *late = fake_server_start(slow, NULL);
    coffer_cache *cache = open_at(fake_server_port(silent), "&timeout=300ms"), *other = open_at(fake_server_port(late), "");
    sigaction(SIGALRM, &act, &before); /* without SA_RESTART: every call is interrupted */
    setitimer(ITIMER_REAL, &every_ms, NULL);
    assert_get_ends(cache, COFFER_TIMEOUT, 300, 300);
    assert_get_ends(other, COFFER_MISS, 0, 200);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    assert_true(alarms > 50);
    coffer_close(cache);
    coffer_close(other);
    fake_server_stop(silent);
    fake_server_stop(late);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_black_hole_ends_by_the_deadline),
        cmocka_unit_test(test_a_byte_now_and_then_does_not_move_the_deadline),
        cmocka_unit_test(test_a_cut_reply_is_closed),
        cmocka_unit_test(test_another_protocol_is_refused),
        cmocka_unit_test(test_a_full_server_says_so),
        cmocka_unit_test(test_a_refused_connection_names_the_address),
        cmocka_unit_test(test_a_batch_to_a_dead_server_tries_once),
        cmocka_unit_test(test_a_full_accept_queue_ends_by_the_deadline),
        cmocka_unit_test(test_a_full_unix_queue_ends_by_the_deadline),
        cmocka_unit_test(test_ghost_bytes_on_an_idle_link_are_never_seen),
        cmocka_unit_test(test_a_link_that_the_server_closed_is_replaced),
        cmocka_unit_test(test_a_late_reply_is_given_to_nobody),
        cmocka_unit_test(test_threads_wait_beside_each_other),
        cmocka_unit_test(test_a_storm_of_signals_does_not_move_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
