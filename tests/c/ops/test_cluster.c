/* A cluster of three nodes in a few lines, whose slots move all the time while operations run: every answer is right, and nobody sees an error. Then the
 * same with each allocation failed once. Nothing here is left to chance but by a seed, and time is a number. */
#include "support/cmocka_all.h"
#include "support/watched_alloc.h"
#include "topology/slots.h"
#include <coffer/coffer.h>

enum { NODES = 3, KEYS = 24, WORDS = 8, WORD_BYTES = 2048, NOWHERE = NODES };

typedef struct node {
    coffer_conn *conn;
    char out[1 << 14];
    size_t out_len;
    bool asking;
} node;

/* A key of the test, as the cluster has it. */
typedef struct entry {
    char key[16], value[16]; /* no value: it is not there */
    unsigned at; /* the node that has it */
} entry;

static struct {
    node nodes[NODES];
    unsigned owner[COFFER__SLOTS], target[COFFER__SLOTS]; /* target: the slot is moving there; NOWHERE: it is not */
    entry entries[KEYS];
    char words[WORDS][WORD_BYTES];
    size_t count;
    uint64_t now_ms, random;
    bool moving; /* the cluster is resharded all the time */
    size_t breaks, redirected; /* conns broken; MOVED and ASK said */
} world;

static coffer_client *client;
static coffer_namespace *ns;

static unsigned dice(unsigned sides) {
    world.random = world.random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(world.random >> 33) % sides;
}

/* ---- the cluster ---- */

static uint16_t slot_of(const entry *e) {
    char wire[32];
    snprintf(wire, sizeof wire, "_:_:%s", e->key);
    return coffer__slot_of(coffer_slice_text(wire));
}

/* One step of a reshard, at one key's slot: it begins to move, its keys move, it has moved. */
static void reshard(void) {
    entry *e = &world.entries[dice(KEYS)];
    uint16_t slot = slot_of(e);
    if (world.target[slot] == NOWHERE) {
        world.target[slot] = (world.owner[slot] + 1 + dice(NODES - 1)) % NODES;
        return;
    }
    bool moved = true;
    for (size_t i = 0; i < KEYS; i++) {
        if (slot_of(&world.entries[i]) == slot) {
            moved = moved && (world.entries[i].at == world.target[slot] || world.entries[i].value[0] == '\0');
            world.entries[i].at = world.target[slot];
        }
    }
    if (moved) {
        world.owner[slot] = world.target[slot];
        world.target[slot] = NOWHERE;
    }
}

static void say(node *n, const char *text) {
    size_t len = strlen(text);
    assert_true(n->out_len + len < sizeof n->out);
    memcpy(n->out + n->out_len, text, len);
    n->out_len += len;
}

static void say_bulk(node *n, const char *text) {
    char bulk[96];
    snprintf(bulk, sizeof bulk, "$%zu\r\n%s\r\n", strlen(text), text);
    say(n, text[0] == '\0' ? "$-1\r\n" : bulk);
}

static void say_redirect(node *n, const char *word, uint16_t slot, unsigned to) {
    char text[64];
    snprintf(text, sizeof text, "-%s %u %c:7000\r\n", word, slot, "abc"[to]);
    say(n, text);
    world.redirected++;
}

/* Whole owners only: what is between two nodes has a range of its own. */
static void say_slots(node *n) {
    char text[96], *ranges = (char *)calloc(1, 1 << 14);
    unsigned count = 0;
    for (unsigned first = 0, last; first < COFFER__SLOTS; first = last + 1) {
        for (last = first; last + 1 < COFFER__SLOTS && world.owner[last + 1] == world.owner[first]; last++) {
        }
        snprintf(text, sizeof text, "*3\r\n:%u\r\n:%u\r\n*3\r\n$1\r\n%c\r\n:7000\r\n$2\r\nid\r\n", first, last, "abc"[world.owner[first]]);
        strcat(ranges, text);
        count++;
    }
    snprintf(text, sizeof text, "*%u\r\n", count);
    say(n, text);
    say(n, ranges);
    free(ranges);
}

static entry *entry_of(const char *wire) {
    for (size_t i = 0; i < KEYS; i++) {
        if (strncmp(wire, "_:_:", 4) == 0 && strcmp(wire + 4, world.entries[i].key) == 0) {
            return &world.entries[i];
        }
    }
    fail_msg("nobody has written %s", wire);
    return NULL;
}

/* True where this node may carry the command out; else it has said who may. */
static bool serves(node *n, unsigned self, entry *e) {
    uint16_t slot = slot_of(e);
    bool asking = n->asking;
    n->asking = false;
    if (world.owner[slot] == self) {
        bool here = e->value[0] != '\0' && e->at == self;
        if (world.target[slot] == NOWHERE || here) {
            e->at = self;
            return true;
        }
        say_redirect(n, "ASK", slot, world.target[slot]);
        return false;
    }
    if (asking && world.target[slot] == self) {
        e->at = self;
        return true;
    }
    say_redirect(n, "MOVED", slot, world.owner[slot]);
    return false;
}

/* SCAN, seven entries a page: those that are here. */
static void say_page(node *n, unsigned self) {
    char page[1024] = "", text[64];
    unsigned next = (unsigned)strtoul(world.words[1], NULL, 10), count = 0, end = next + 7 < KEYS ? next + 7 : KEYS;
    assert_string_equal(world.words[3], "_:_:*");
    for (; next < end; next++) {
        const entry *e = &world.entries[next];
        if (e->value[0] != '\0' && e->at == self) {
            snprintf(text, sizeof text, "$%zu\r\n_:_:%s\r\n", strlen(e->key) + 4, e->key);
            strcat(page, text);
            count++;
        }
    }
    snprintf(text, sizeof text, "%u", next == KEYS ? 0 : next);
    say(n, "*2\r\n");
    say_bulk(n, text);
    snprintf(text, sizeof text, "*%u\r\n", count);
    say(n, text);
    say(n, page);
}

static void carry_out(unsigned self) {
    node *n = &world.nodes[self];
    const char *verb = world.words[0];
    static const char *const greetings[] = {"HELLO", "AUTH", "CLIENT"};
    if (strcmp(verb, "TIME") == 0) {
        say(n, "*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n");
    } else if (strcmp(verb, "ASKING") == 0) {
        n->asking = true;
        say(n, "+OK\r\n");
    } else if (strcmp(verb, "CLUSTER") == 0) {
        say_slots(n);
    } else if (strcmp(verb, "SCAN") == 0) {
        say_page(n, self);
    } else if (strcmp(verb, greetings[0]) == 0 || strcmp(verb, greetings[1]) == 0 || strcmp(verb, greetings[2]) == 0) {
        say(n, "+OK\r\n");
    } else {
        entry *e = entry_of(world.words[1]);
        if (!serves(n, self, e)) {
            return;
        }
        if (strcmp(verb, "GET") == 0) {
            say_bulk(n, e->value);
        } else if (strcmp(verb, "SET") == 0) {
            snprintf(e->value, sizeof e->value, "%.15s", world.words[2]);
            say(n, "+OK\r\n");
        } else {
            assert_string_equal(verb, "UNLINK");
            say(n, e->value[0] == '\0' ? ":0\r\n" : ":1\r\n");
            e->value[0] = '\0';
        }
    }
}

/* Everything that the conn has to say, carried out in order, with a step of the reshard before each command. */
static void answer(unsigned self, coffer_slice in) {
    const char *at = in.data;
    while (at < in.data + in.len) {
        char *end;
        world.count = strtoul(at + 1, &end, 10);
        at = end + 2;
        assert_true(world.count <= WORDS);
        for (size_t i = 0; i < world.count; i++) {
            size_t len = strtoul(at + 1, &end, 10);
            assert_true(len < WORD_BYTES);
            memcpy(world.words[i], end + 2, len);
            world.words[i][len] = '\0';
            at = end + 2 + len + 2;
        }
        if (world.moving && dice(3) == 0 && !world.nodes[self].asking) {
            reshard();
        }
        carry_out(self);
    }
}

/* ---- the driver ---- */

static void drop_conn(unsigned self) {
    coffer_conn_free(world.nodes[self].conn);
    world.nodes[self].conn = NULL;
    world.nodes[self].asking = false;
    world.nodes[self].out_len = 0;
}

static void send(coffer_call *call, const coffer_endpoint *endpoint) {
    unsigned self = (unsigned)(endpoint->host.data[0] - 'a');
    assert_true(self < NODES && endpoint->host.len == 1 && endpoint->port == 7000);
    node *n = &world.nodes[self];
    if (n->conn != NULL && coffer_conn_status(n->conn) != COFFER_OK) {
        drop_conn(self);
    }
    coffer_status status = n->conn != NULL ? COFFER_OK : coffer_conn_new(&n->conn, client, endpoint, world.now_ms);
    status = status == COFFER_OK ? coffer_call_send(call, n->conn) : status;
    if (status != COFFER_OK) {
        coffer_call_fail(call, status, "no memory for a conn");
    }
}

static void exchange(void) {
    for (unsigned self = 0; self < NODES; self++) {
        node *n = &world.nodes[self];
        while (n->conn != NULL && coffer_conn_output(n->conn).len > 0) {
            coffer_slice out = coffer_conn_output(n->conn);
            answer(self, out);
            coffer_conn_sent(n->conn, out.len);
            size_t len = n->out_len;
            n->out_len = 0;
            coffer_conn_feed(n->conn, coffer_slice_of(n->out, len), world.now_ms);
        }
        coffer_waiter *waiter;
        while (n->conn != NULL && (waiter = coffer_conn_pop_ready(n->conn)) != NULL) {
            coffer_waiter_free(waiter);
        }
    }
}

static void run(coffer_op *op);

static void run_chores(void) {
    coffer_op *chore = coffer_client_chores(client, world.now_ms);
    if (chore != NULL) {
        run(chore);
        coffer_op_free(chore);
    }
}

static void run(coffer_op *op) {
    coffer_action action;
    coffer_want want;
    unsigned steps = 0;
    while ((want = coffer_op_next(op, ++world.now_ms, &action)) != COFFER_WANT_DONE) {
        assert_true(++steps < 5000);
        if (want == COFFER_WANT_CALL) {
            send(action.call, action.endpoint);
        } else if (want == COFFER_WANT_REPLY) {
            exchange();
        } else {
            assert_int_equal(want, COFFER_WANT_SLEEP);
            world.now_ms = action.wake_at_ms > world.now_ms ? action.wake_at_ms : world.now_ms;
            run_chores();
        }
    }
}

/* ---- operations, beside what they have to come to ---- */

static char expected[KEYS][16];
static size_t failures;

/* Whether it succeeded; where it did not, memory was short. */
static bool perform(coffer_status made, coffer_op *op) {
    coffer_status status = made;
    run_chores();
    if (made == COFFER_OK) {
        run(op);
        status = coffer_op_status(op);
    }
    if (status < 0) {
        failures++;
        if (watched_alloc.refused_count == 0) {
            fail_msg("%s", coffer_op_message(op));
        }
    }
    return status >= 0;
}

static void write_one(unsigned key) {
    char value[16];
    snprintf(value, sizeof value, "v%u", dice(100000));
    coffer_op *op = NULL;
    coffer_status made = coffer_op_set(&op, ns, coffer_slice_text(world.entries[key].key), coffer_slice_text(value), NULL);
    snprintf(expected[key], sizeof expected[key], "%s", perform(made, op) ? value : "?");
    coffer_op_free(op);
}

static void delete_one(unsigned key) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_delete(&op, ns, coffer_slice_text(world.entries[key].key), NULL);
    bool there = expected[key][0] == 'v', known = expected[key][0] != '?';
    bool ended = perform(made, op);
    if (ended && known) {
        assert_int_equal(coffer_op_status(op), there ? COFFER_OK : COFFER_MISS);
    }
    snprintf(expected[key], sizeof expected[key], "%s", ended ? "" : "?");
    coffer_op_free(op);
}

/* No slot moves meanwhile, though some may be on their way. */
static void clear_all(void) {
    bool moving = world.moving;
    int64_t live = 0;
    coffer_op *op = NULL;
    coffer_status made = coffer_op_clear(&op, ns, NULL);
    for (size_t i = 0; i < KEYS; i++) {
        live += world.entries[i].value[0] != '\0';
    }
    world.moving = false;
    bool ended = perform(made, op);
    world.moving = moving;
    for (size_t i = 0; i < KEYS; i++) {
        assert_true(!ended || world.entries[i].value[0] == '\0');
        snprintf(expected[i], sizeof expected[i], "%s", ended ? "" : "?");
    }
    assert_true(!ended || coffer_op_integer(op) == live);
    coffer_op_free(op);
}

static void read_some(unsigned first) {
    coffer_slice keys[5];
    for (unsigned i = 0; i < 5; i++) {
        keys[i] = coffer_slice_text(world.entries[(first + i) % KEYS].key);
    }
    coffer_op *op = NULL;
    coffer_status made = coffer_op_get_many(&op, ns, keys, 5, NULL);
    bool all = perform(made, op);
    for (unsigned i = 0; all && i < 5; i++) {
        const char *wanted = expected[(first + i) % KEYS];
        coffer_value value;
        coffer_status item = coffer_op_item(op, i, &value);
        if (wanted[0] != '?') {
            assert_int_equal(item, wanted[0] == 'v' ? COFFER_OK : COFFER_MISS);
            assert_true(item == COFFER_MISS || coffer_slice_equal(value.data, coffer_slice_text(wanted)));
        }
    }
    coffer_op_free(op);
}

static void open_world(uint64_t seed, const char *parameters) {
    char url[128];
    memset(&world, 0, sizeof world);
    memset(expected, 0, sizeof expected);
    failures = 0;
    world.now_ms = 1;
    world.random = seed;
    for (size_t slot = 0; slot < COFFER__SLOTS; slot++) {
        world.owner[slot] = (unsigned)(slot * NODES / COFFER__SLOTS);
        world.target[slot] = NOWHERE;
    }
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(world.entries[i].key, sizeof world.entries[i].key, "k%u", i);
    }
    snprintf(url, sizeof url, "redis+cluster://a:7000,b:7000?raw=true%s", parameters);
    coffer_options *options = coffer_options_new();
    coffer_error error;
    if (options != NULL && coffer_options_set_url(options, coffer_slice_text(url), &error) == COFFER_OK &&
        coffer_client_new(&client, options, (coffer_clock){1, 1}, &error) == COFFER_OK) {
        coffer_namespace_new(&ns, client, NULL, &error);
    }
    coffer_options_free(options);
}

static void close_world(void) {
    for (unsigned self = 0; self < NODES; self++) {
        drop_conn(self);
    }
    coffer_namespace_free(ns);
    coffer_client_free(client);
    ns = NULL;
    client = NULL;
}

static void do_something(void) {
    unsigned key = dice(KEYS);
    if (dice(50) == 0) {
        clear_all();
    }
    switch (dice(8)) {
    case 0:
    case 1:
    case 2:
        write_one(key);
        break;
    case 3:
        delete_one(key);
        break;
    default:
        read_some(key);
    }
}

static void test_a_reshard_under_load_is_not_seen(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        watched_alloc_begin(WATCHED_NEVER);
        open_world(seed, "");
        world.moving = true;
        for (int i = 0; i < 400; i++) {
            do_something();
        }
        assert_int_equal(failures, 0);
        assert_true(world.redirected > 100);
        close_world();
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    }
}

static void break_a_conn(void) {
    unsigned self = dice(NODES);
    if (world.nodes[self].conn != NULL) {
        coffer_conn_fail(world.nodes[self].conn, COFFER_CLOSED, "broken by the test");
        world.breaks++;
    }
}

static void test_idle_conns_that_break_are_not_seen(void **state) {
    (void)state;
    watched_alloc_begin(WATCHED_NEVER);
    open_world(7, "");
    world.moving = true;
    for (int i = 0; i < 2000; i++) {
        if (dice(4) == 0) {
            break_a_conn();
        }
        do_something();
    }
    assert_int_equal(failures, 0);
    assert_true(world.breaks > 100);
    close_world();
    watched_alloc_end();
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    size_t nth = 0;
    do {
        watched_alloc_begin(WATCHED_NEVER);
        watched_alloc_fail_once(++nth);
        open_world(3, "&breaker=false&timeout=500ms");
        world.moving = true;
        for (int i = 0; ns != NULL && i < 12; i++) {
            do_something();
        }
        close_world();
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
    } while (watched_alloc.refused_count > 0 && nth < 3000);
    assert_true(nth > 60 && nth < 3000);
    assert_int_equal(failures, 0); /* the last of them had all it wanted */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reshard_under_load_is_not_seen),
        cmocka_unit_test(test_idle_conns_that_break_are_not_seen),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
