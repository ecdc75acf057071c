/* Several servers, one of which cannot be reached: it takes nothing along. */
#include "helpers.h"
#include "support/fake_server.h"
#include "topology/slots.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEYS = 24, FILLERS = 16 };

/* A server whose kernel drops the SYNs of whoever comes, for its queue is full. */
typedef struct hole {
    int fd, fillers[FILLERS];
    uint16_t port;
} hole;

static void hole_open(hole *own) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    own->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(own->fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(own->fd, 0), 0);
    assert_int_equal(getsockname(own->fd, (struct sockaddr *)&at, &len), 0);
    own->port = ntohs(at.sin_port);
    for (size_t i = 0; i < FILLERS; i++) {
        own->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(own->fillers[i], (struct sockaddr *)&at, sizeof at);
    }
}

static void hole_close(hole *own) {
    for (size_t i = 0; i < FILLERS; i++) {
        close(own->fillers[i]);
    }
    close(own->fd);
}

typedef struct world {
    fake_server *server;
    hole away;
    char slots[256];
    char names[KEYS][8];
    coffer_slice keys[KEYS];
    bool is_away[KEYS];
    size_t away_count;
} world;

/* The first half of the slots is here, the second half where nobody can be reached. */
static bool node(int fd, const char *command, void *data) {
    world *w = (world *)data;
    if (strcmp(command, "CLUSTER") == 0 || strcmp(command, "SENTINEL") == 0) {
        return fake_says(fd, w->slots);
    }
    return fake_greets(fd, command) || fake_says(fd, strcmp(command, "GET") == 0 ? "$-1\r\n" : strcmp(command, "SET") == 0 ? "+OK\r\n" : ":1\r\n");
}

static coffer_cache *open_world(world *w) {
    char url[200], wire[32];
    coffer_cache *cache = NULL;
    *w = (world){.server = fake_server_start(node, w)};
    hole_open(&w->away);
    snprintf(w->slots, sizeof w->slots,
             "*2\r\n*3\r\n:0\r\n:8191\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n*3\r\n:8192\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
             fake_server_port(w->server), w->away.port);
    for (size_t i = 0; i < KEYS; i++) {
        snprintf(w->names[i], sizeof w->names[i], "k%zu", i);
        snprintf(wire, sizeof wire, "test:_:k%zu", i);
        w->keys[i] = coffer_slice_text(w->names[i]);
        w->is_away[i] = coffer__slot_of(coffer_slice_text(wire)) > 8191;
        w->away_count += w->is_away[i];
    }
    assert_true(w->away_count > 4 && w->away_count < KEYS - 4);
    snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%u?prefix=test&on_outage=error&timeout=300ms", fake_server_port(w->server));
    assert_int_equal(coffer_open_url(&cache, url, NULL), COFFER_OK);
    return cache;
}

static void close_world(world *w, coffer_cache *cache) {
    coffer_close(cache);
    hole_close(&w->away);
    fake_server_stop(w->server);
}

static void assert_items(const world *w, const coffer_status *statuses, coffer_status here) {
    for (size_t i = 0; i < KEYS; i++) {
        coffer_status expected = w->is_away[i] ? COFFER_TIMEOUT : here;
        if (statuses[i] != expected) {
            fail_msg("%s (%s): %s instead of %s", w->names[i], w->is_away[i] ? "away" : "here", coffer_status_name(statuses[i]),
                     coffer_status_name(expected));
        }
    }
}

static void test_keys_of_others_are_read_while_one_is_connected_to(void **state) {
    (void)state;
    world w;
    coffer_status statuses[KEYS];
    coffer_value values[KEYS];
    coffer_cache *cache = open_world(&w);
    uint64_t began = real_ms();
    assert_int_equal(coffer_get_many(cache, w.keys, KEYS, NULL, values, statuses, NULL), COFFER_TIMEOUT);
    assert_true(real_ms() - began <= 300 + 3 * OVERSHOOT_MS);
    coffer_values_clear(values, KEYS);
    assert_items(&w, statuses, COFFER_MISS);
    close_world(&w, cache);
}

static void test_keys_of_others_are_written_while_one_is_connected_to(void **state) {
    (void)state;
    world w;
    coffer_status statuses[KEYS];
    coffer_item items[KEYS];
    coffer_cache *cache = open_world(&w);
    for (size_t i = 0; i < KEYS; i++) {
        items[i] = (coffer_item){.key = w.keys[i], .value = COFFER_SLICE("v")};
    }
    assert_int_equal(coffer_set_many(cache, items, KEYS, NULL, statuses, NULL), COFFER_TIMEOUT);
    assert_items(&w, statuses, COFFER_OK);
    close_world(&w, cache);
}

/* All are asked at once, so it does not matter which of them is the first in the list. */
static void test_sentinels_are_heard_while_one_is_connected_to(void **state) {
    (void)state;
    world w;
    char url[200];
    coffer_cache *cache = open_world(&w);
    coffer_close(cache);
    unsigned port = fake_server_port(w.server);
    snprintf(w.slots, sizeof w.slots,
             "*8\r\n$4\r\nname\r\n$1\r\nm\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$4\r\nport\r\n$5\r\n%05u\r\n$5\r\nflags\r\n$6\r\nmaster\r\n", port);
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%u,127.0.0.1:%u/m?prefix=test&on_outage=error&timeout=1500ms", w.away.port, port);
    assert_int_equal(coffer_open_url(&cache, url, NULL), COFFER_OK);
    coffer_error error = {.text = ""};
    coffer_status status = coffer_get(cache, COFFER_SLICE("k"), NULL, NULL, &error);
    if (status != COFFER_MISS) {
        fail_msg("%s: %s", coffer_status_name(status), error.text);
    }
    close_world(&w, cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_of_others_are_read_while_one_is_connected_to),
        cmocka_unit_test(test_keys_of_others_are_written_while_one_is_connected_to),
        cmocka_unit_test(test_sentinels_are_heard_while_one_is_connected_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
