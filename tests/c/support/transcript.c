#include "transcript.h"

#include "base/buf.h"
#include "cmocka_all.h"
#include "support/transcript_ops.h"
#include "support/transcript_words.h"
#include <coffer/coffer.h>

#include <stdarg.h>

enum { MOST_NAMED = 12 };

typedef struct named_conn {
    char name[16];
    coffer_conn *conn;
    coffer__buf seen; /* what the server has received and not been told of yet */
    bool down; /* it refuses connections */
    const coffer_endpoint *at; /* NULL: it was not asked for by a call */
    bool listens; /* to a sentinel */
} named_conn;

typedef struct named_op {
    char name[16];
    coffer_op *op;
    char value[2048]; /* of a set: lent to the op */
    coffer_item items[3]; /* of a set_many: lent too */
} named_op;

typedef struct player {
    const char *path;
    unsigned line;
    size_t piece;
    uint64_t now_ms;
    bool greet_by_hand;
    coffer_options *options;
    coffer_client *client;
    coffer_namespace *ns;
    named_conn conns[MOST_NAMED];
    named_op ops[MOST_NAMED];
    char in_use[16];
    struct {
        char name[16];
        coffer__buf bytes;
    } captured[MOST_NAMED];
    word words[MOST_WORDS];
    size_t word_count;
} player;

__attribute__((format(printf, 2, 3), noreturn)) static void wrong(const player *p, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%u (pieces of %zu): %s\n", p->path, p->line, p->piece, text);
    fail_msg("%s", text);
    abort();
}

/* ---- words ---------------------------------------------------------------------------------------------------- */

static void split(player *p, const char *line) {
    if (!words_split(p->words, &p->word_count, line)) {
        wrong(p, "too many words");
    }
}

static bool word_is(const player *p, size_t index, const char *text) {
    return index < p->word_count && strcmp(p->words[index].text, text) == 0;
}

static const word *option(const player *p, const char *name) {
    return words_option(p->words, p->word_count, name);
}

static uint64_t number_option(const player *p, const char *name, uint64_t otherwise) {
    const word *w = option(p, name);
    return w == NULL ? otherwise : strtoull(w->text, NULL, 0);
}

/* ---- what has a name -------------------------------------------------------------------------------------------- */

static named_op *op_named(player *p, const char *name) {
    for (size_t i = 0; i < MOST_NAMED; i++) {
        if (strcmp(p->ops[i].name, name) == 0) {
            return &p->ops[i];
        }
    }
    wrong(p, "there is no op called %s", name);
}

static void greet(player *p, named_conn *c);

static void connect_conn(player *p, named_conn *c) {
    c->conn = transcript_connect(p->client, c->at, c->listens, p->now_ms);
    if (!p->greet_by_hand) {
        greet(p, c);
    }
}

/* The conn of that name, or a place for it. */
static named_conn *conn_place(player *p, const char *name) {
    for (size_t i = 0; i < MOST_NAMED; i++) {
        named_conn *c = &p->conns[i];
        if (c->name[0] == '\0') {
            snprintf(c->name, sizeof c->name, "%s", name);
        }
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }
    wrong(p, "too many conns");
}

static named_conn *conn_named(player *p, const char *name) {
    named_conn *c = conn_place(p, name);
    if (c->conn == NULL) {
        connect_conn(p, c);
    }
    return c;
}

/* For a call to this server of a cluster: NULL where it refuses connections. */
static named_conn *conn_to(player *p, const coffer_endpoint *endpoint) {
    char name[16];
    snprintf(name, sizeof name, "%.*s%s", (int)endpoint->host.len, endpoint->host.data, endpoint->replica ? "/r" : "");
    named_conn *c = conn_place(p, name);
    c->at = endpoint;
    if (c->down) {
        return NULL;
    }
    if (c->conn != NULL && coffer_conn_status(c->conn) != COFFER_OK) {
        coffer_conn_free(c->conn);
        c->conn = NULL;
        coffer__buf_clear(&c->seen);
    }
    return conn_named(p, name);
}

static coffer__buf *captured_named(player *p, const char *name) {
    for (size_t i = 0; i < MOST_NAMED; i++) {
        if (p->captured[i].name[0] == '\0') {
            snprintf(p->captured[i].name, sizeof p->captured[i].name, "%s", name);
        }
        if (strcmp(p->captured[i].name, name) == 0) {
            return &p->captured[i].bytes;
        }
    }
    wrong(p, "too many captures");
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

/* Everything the conn wants written goes to the server, a piece at a time. */
static void drain(player *p, named_conn *c) {
    for (;;) {
        coffer_slice out = coffer_conn_output(c->conn);
        if (out.len == 0) {
            return;
        }
        size_t take = p->piece != 0 && p->piece < out.len ? p->piece : out.len;
        assert_true(coffer__buf_append(&c->seen, out.data, take));
        coffer_conn_sent(c->conn, take);
    }
}

static void feed(player *p, named_conn *c, const char *bytes, size_t len) {
    drain(p, c);
    for (size_t at = 0; at < len;) {
        size_t take = p->piece != 0 && p->piece < len - at ? p->piece : len - at;
        char *copy = (char *)malloc(take); /* of exactly that size, so that a read beyond it is seen */
        memcpy(copy, bytes + at, take);
        coffer_conn_feed(c->conn, coffer_slice_of(copy, take), p->now_ms);
        free(copy);
        at += take;
        drain(p, c);
    }
    coffer_waiter *waiter;
    while ((waiter = coffer_conn_pop_ready(c->conn)) != NULL) {
        coffer_waiter_free(waiter);
    }
}

/* Takes one command off what the server has received. False where there is none. */
static bool take_command(player *p, named_conn *c, word *arguments, size_t *count) {
    drain(p, c);
    const char *at = c->seen.data;
    if (c->seen.len == 0) {
        return false;
    }
    char *end;
    *count = strtoul(at + 1, &end, 10);
    at = end + 2;
    for (size_t i = 0; i < *count; i++) {
        size_t len = strtoul(at + 1, &end, 10);
        at = end + 2;
        assert_true(i < MOST_WORDS && len < sizeof arguments[i].text);
        memcpy(arguments[i].text, at, len);
        arguments[i].text[len] = '\0';
        arguments[i].len = len;
        at += len + 2;
    }
    coffer__buf_consume(&c->seen, (size_t)(at - c->seen.data));
    return true;
}

static void greet(player *p, named_conn *c) {
    static word arguments[MOST_WORDS];
    size_t count;
    while (take_command(p, c, arguments, &count)) {
        if (strcmp(arguments[0].text, "TIME") == 0) {
            char time[80];
            snprintf(time, sizeof time, "*2\r\n$10\r\n%010llu\r\n$6\r\n000000\r\n", 1700000000ull + (unsigned long long)p->now_ms / 1000);
            feed(p, c, time, strlen(time));
        } else {
            feed(p, c, "+OK\r\n", 5);
        }
    }
}

/* ---- the driver ------------------------------------------------------------------------------------------------- */

static coffer_want run(player *p, named_op *one) {
    coffer_action action;
    for (;;) {
        coffer_want want = coffer_op_next(one->op, p->now_ms, &action);
        if (want != COFFER_WANT_CALL) {
            return want;
        }
        bool scripted = coffer_slice_equal(action.endpoint->host, COFFER_SLICE("scripted"));
        named_conn *c = scripted ? conn_named(p, p->in_use) : conn_to(p, action.endpoint);
        coffer_status status = c == NULL ? COFFER_CONNECT : coffer_call_send(action.call, c->conn);
        if (status != COFFER_OK) {
            coffer_call_fail(action.call, status, c == NULL ? "the scripted server is down" : "the scripted conn has failed");
        }
    }
}

static named_op *op_place(player *p, const char *name);

/* What the client has to do for itself. */
static void run_chores(player *p) {
    named_op *one = p->client == NULL ? NULL : op_place(p, "refresh");
    if (one != NULL && one->op != NULL && run(p, one) == COFFER_WANT_DONE) {
        coffer_op_free(one->op);
        one->op = NULL;
    }
    if (one != NULL && one->op == NULL && (one->op = coffer_client_chores(p->client, p->now_ms)) != NULL) {
        run_chores(p);
    }
}

static void run_all(player *p) {
    run_chores(p);
    for (size_t i = 0; i < MOST_NAMED; i++) {
        if (p->ops[i].op != NULL) {
            run(p, &p->ops[i]);
        }
    }
}

/* ---- commands of the grammar ------------------------------------------------------------------------------------ */

static void set_options(player *p) {
    for (size_t i = 1; i < p->word_count; i++) {
        char *equals = strchr(p->words[i].text, '=');
        coffer_error error;
        *equals = '\0';
        const char *name = strcmp(p->words[i].text, "ns") == 0 ? "namespace" : p->words[i].text;
        if (coffer_options_set(p->options, name, coffer_slice_text(equals + 1), &error) != COFFER_OK) {
            wrong(p, "%s", error.text);
        }
    }
}

static void open_client(player *p) {
    coffer_error error;
    coffer_clock clock = {.now_ms = p->now_ms, .unix_ms = 1700000000000ull + p->now_ms};
    if (p->client == NULL && (coffer_client_new(&p->client, p->options, clock, &error) != COFFER_OK ||
                              coffer_namespace_new(&p->ns, p->client, NULL, &error) != COFFER_OK)) {
        wrong(p, "%s", error.text);
    }
}

static coffer_status make_op(player *p, named_op *one, const char *what, coffer_slice key) {
    transcript_op given = {.key = key, .value = coffer_slice_text(one->value), .items = one->items, .delta = (int64_t)number_option(p, "delta", 1)};
    given.read = (coffer_read_options)COFFER_READ_OPTIONS_INIT;
    given.write = (coffer_write_options)COFFER_WRITE_OPTIONS_INIT;
    given.read.timeout_ms = given.write.timeout_ms = number_option(p, "timeout_ms", 0);
    given.read.accept_stale = number_option(p, "stale", 0) != 0;
    given.write.ttl_ms = number_option(p, "ttl_ms", 0);
    given.write.format = (uint8_t)number_option(p, "format", 0);
    given.id = number_option(p, "id", 0);
    coffer_status status = transcript_make_op(&one->op, p->ns, what, &given);
    if (status == COFFER_MISS) {
        wrong(p, "there is no operation called %s", what);
    }
    return status;
}

/* The op of that name, or a place for one. */
static named_op *op_place(player *p, const char *name) {
    named_op *free_place = NULL;
    for (size_t i = 0; i < MOST_NAMED; i++) {
        if (strcmp(p->ops[i].name, name) == 0) {
            return &p->ops[i];
        }
        free_place = free_place == NULL && p->ops[i].op == NULL ? &p->ops[i] : free_place;
    }
    assert_non_null(free_place);
    snprintf(free_place->name, sizeof free_place->name, "%s", name);
    return free_place;
}

static void begin_op(player *p) {
    open_client(p);
    run_chores(p);
    const word *name = option(p, "as");
    named_op *one = op_place(p, name == NULL ? "op" : name->text);
    coffer_op_free(one->op);
    one->op = NULL;
    const word *value = option(p, "value");
    snprintf(one->value, sizeof one->value, "%s", value == NULL ? "" : value->text);
    const word *given = option(p, "key");
    const word key = given == NULL ? (word){.len = 0} : *given; /* a copy: looking up other options overwrites it */
    assert_int_equal(make_op(p, one, p->words[1].text, coffer_slice_of(key.text, key.len)), COFFER_OK);
    coffer_waiter *waiter;
    assert_int_equal(coffer_waiter_new(&waiter, one), COFFER_OK);
    coffer_op_set_waiter(one->op, waiter);
    coffer_waiter_free(waiter);
    run_all(p);
}

static void expect_argument(player *p, const word *expected, const word *got) {
    const char *text = expected->text;
    char inner[64] = "";
    if (!expected->quoted && text[0] == '<') {
        snprintf(inner, sizeof inner, "%.*s", (int)(expected->len - 2 < 63 ? expected->len - 2 : 63), text + 1);
        if (strncmp(inner, "sha:", 4) == 0 || strncmp(inner, "text:", 5) == 0) {
            bool sha = inner[0] == 's';
            text = words_script_part(inner + (sha ? 4 : 5), sha);
        } else {
            coffer__buf *keep = captured_named(p, inner);
            coffer__buf_clear(keep);
            assert_true(coffer__buf_append(keep, got->text, got->len));
            return;
        }
    }
    size_t len = inner[0] != '\0' ? strlen(text) : expected->len;
    if (len != got->len || memcmp(text, got->text, len) != 0) {
        wrong(p, "expected the argument '%s', the conn sent '%s'", text, got->text);
    }
}

static void expect_command(player *p) {
    static word arguments[MOST_WORDS];
    size_t count;
    run_all(p);
    if (!take_command(p, conn_named(p, p->words[1].text), arguments, &count)) {
        wrong(p, "the conn sent nothing");
    }
    if (count != p->word_count - 2) {
        wrong(p, "expected %zu arguments, the conn sent %zu, the first being %s", p->word_count - 2, count, arguments[0].text);
    }
    for (size_t i = 0; i < count; i++) {
        expect_argument(p, &p->words[i + 2], &arguments[i]);
    }
}

/* <e1> or <e1+9>: what was captured, as a bulk. */
static void append_captured(player *p, coffer__buf *out, const word *w) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(w->len - 2), w->text + 1);
    char *plus = strchr(name, '+');
    if (plus != NULL) {
        *plus = '\0';
    }
    coffer__buf *bytes = captured_named(p, name);
    size_t flip = plus == NULL ? 0 : strtoul(plus + 1, NULL, 10);
    assert_true(flip < bytes->len);
    bytes->data[flip] = (char)(bytes->data[flip] ^ (plus != NULL));
    words_append_bulk(out, coffer__buf_slice(bytes));
    bytes->data[flip] = (char)(bytes->data[flip] ^ (plus != NULL));
}

static void answer(player *p) {
    coffer__buf out = COFFER__BUF_INIT;
    for (size_t i = 2; i < p->word_count; i++) {
        const word *w = &p->words[i];
        if (w->quoted) {
            words_append_bulk(&out, coffer_slice_of(w->text, w->len));
        } else if (w->text[0] == '<') {
            append_captured(p, &out, w);
        } else if (strncmp(w->text, "hex:", 4) == 0) {
            words_append_hex(&out, w->text + 4);
        } else {
            words_append_text(&out, w->text);
            for (; w->text[0] == '-' && i + 1 < p->word_count; i++) { /* an error takes the rest of the line */
                words_append_text(&out, " ");
                words_append_text(&out, p->words[i + 1].text);
            }
            words_append_text(&out, "\r\n");
        }
    }
    feed(p, conn_named(p, p->words[1].text), out.data, out.len);
    coffer__buf_free(&out);
    run_all(p);
}

/* `says=` is part of the text, `hides=` is not. */
static void expect_text(const player *p, const char *text) {
    const word *says = option(p, "says");
    if (says != NULL && strstr(text, says->text) == NULL) {
        wrong(p, "it says: %s", text);
    }
    const word *hides = option(p, "hides");
    if (hides != NULL && strstr(text, hides->text) != NULL) {
        wrong(p, "it tells '%s': %s", hides->text, text);
    }
}

/* items=OK,MISS: what became of each of many. */
static void expect_items(const player *p, const coffer_op *op) {
    char got[256];
    const word *items = option(p, "items");
    if (items != NULL && strcmp(transcript_items(op, got, sizeof got), items->text) != 0) {
        wrong(p, "the items are %s", got);
    }
}

static void expect_end(player *p) {
    named_op *one = op_named(p, p->words[1].text);
    coffer_want want = run(p, one);
    if (want != COFFER_WANT_DONE) {
        wrong(p, "the op has not ended: it wants %d", (int)want);
    }
    const char *status = coffer_status_name(coffer_op_status(one->op));
    if (!word_is(p, 2, status)) {
        wrong(p, "expected %s, it ended with %s (%s)", p->words[2].text, status, coffer_op_message(one->op));
    }
    const coffer_value *value = coffer_op_value(one->op);
    const word *w = option(p, "value");
    if (w != NULL && !coffer_slice_equal(value->data, coffer_slice_of(w->text, w->len))) {
        wrong(p, "expected the value '%s', got '%.*s'", w->text, (int)value->data.len, value->data.data);
    }
    if (option(p, "integer") != NULL && coffer_op_integer(one->op) != (int64_t)number_option(p, "integer", 0)) {
        wrong(p, "the integer is %lld", (long long)coffer_op_integer(one->op));
    }
    w = option(p, "source");
    if (w != NULL && strcmp(w->text, coffer_source_name(value->source)) != 0) {
        wrong(p, "the source is %s", coffer_source_name(value->source));
    }
    expect_items(p, one->op);
    expect_text(p, coffer_op_message(one->op));
}

static void expect_want(player *p) {
    static const char *const names[] = {"DONE", "CALL", "REPLY", "SLEEP", "WAIT", "LOAD", "SECRET", "TAKE"};
    coffer_want want = run(p, op_named(p, p->words[1].text));
    if (!word_is(p, 2, names[want])) {
        wrong(p, "it wants %s", names[want]);
    }
}

static void expect_conn(player *p) {
    named_conn *c = conn_named(p, p->words[1].text);
    const char *state = transcript_state(c->conn);
    if (!word_is(p, 2, state)) {
        wrong(p, "the conn is %s: %s", state, coffer_conn_message(c->conn));
    }
    if (option(p, "due") != NULL && coffer_conn_due(c->conn) != number_option(p, "due", 0)) {
        wrong(p, "%zu replies are due", coffer_conn_due(c->conn));
    }
    expect_text(p, coffer_conn_message(c->conn));
}

static void expect_count(player *p) {
    uint64_t got = transcript_count(p->ns, p->words[1].text);
    if (got != strtoull(p->words[2].text, NULL, 10)) {
        wrong(p, "%s is %llu", p->words[1].text, (unsigned long long)got);
    }
}

static void answer_loader(player *p) {
    named_op *one = op_named(p, p->words[1].text);
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.absent = word_is(p, 0, "supply_absent");
    if (word_is(p, 0, "abort")) {
        coffer_op_abort(one->op, p->word_count > 2 ? COFFER_INTERRUPTED : COFFER_LOAD_FAILED);
    } else {
        coffer_slice value = p->word_count > 2 ? coffer_slice_of(p->words[2].text, p->words[2].len) : coffer_slice_of(NULL, 0);
        coffer_op_supply(one->op, value, &options, 0);
    }
    run(p, one);
}

static void free_op(player *p) {
    named_op *one = op_named(p, p->words[1].text);
    coffer_op_free(one->op);
    memset(one, 0, sizeof *one);
}

static void pass_time(player *p) {
    p->now_ms += strtoull(p->words[1].text, NULL, 10);
    run_all(p);
}

static void break_conn(player *p) {
    drain(p, conn_named(p, p->words[1].text));
    coffer_conn_fail(conn_named(p, p->words[1].text)->conn, COFFER_CLOSED, "the scripted socket broke");
}

static void greet_by_hand(player *p) {
    p->greet_by_hand = true;
}

static void turn_server(player *p) {
    named_conn *c = conn_place(p, p->words[1].text);
    if ((c->down = word_is(p, 0, "down")) && c->conn != NULL) {
        drain(p, c);
        coffer_conn_fail(c->conn, COFFER_CLOSED, "the scripted server went down");
    }
}

static void use_conn(player *p) {
    snprintf(p->in_use, sizeof p->in_use, "%.15s", p->words[1].text);
}

/* A conn to that sentinel that only listens. */
static void listen_to(player *p) {
    open_client(p);
    named_conn *c = conn_place(p, p->words[1].text);
    c->at = transcript_announcer(p->client, p->words[2].text);
    c->listens = true;
    connect_conn(p, c);
}

static void near(player *p) {
    open_client(p);
    transcript_near(p->client, p->words[1].text, coffer_slice_text(p->word_count > 2 ? p->words[2].text : ""), p->now_ms);
}

static void play_line(player *p) {
    static const struct {
        const char *word;
        void (*play)(player *);
    } lines[] = {
        {"options", set_options}, {"op", begin_op},        {">", expect_command},     {"<", answer},
        {"~", pass_time},         {"wants", expect_want},  {"supply", answer_loader}, {"supply_absent", answer_loader},
        {"abort", answer_loader}, {"free", free_op},       {"break", break_conn},     {"=", expect_end},
        {"conn", expect_conn},    {"count", expect_count}, {"greet", greet_by_hand},  {"use", use_conn},
        {"down", turn_server},    {"up", turn_server},     {"listen", listen_to},     {"near", near},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (word_is(p, 0, lines[i].word)) {
            lines[i].play(p);
            return;
        }
    }
    wrong(p, "what is '%s'?", p->words[0].text);
}

static void end(player *p) {
    for (size_t i = 0; i < MOST_NAMED; i++) {
        coffer_op_free(p->ops[i].op);
        coffer_conn_free(p->conns[i].conn);
        coffer__buf_free(&p->conns[i].seen);
        coffer__buf_free(&p->captured[i].bytes);
    }
    coffer_namespace_free(p->ns);
    coffer_client_free(p->client);
    coffer_options_free(p->options);
    free(p);
}

void transcript_play(const char *path, size_t piece_bytes) {
    player *p = (player *)calloc(1, sizeof *p);
    *p = (player){.path = path, .piece = piece_bytes, .now_ms = 1000, .in_use = "a", .options = coffer_options_new()};
    split(p, "options url=redis://scripted/0?timeout=2s prefix=app namespace=users ttl=300s ttl_jitter=0");
    set_options(p);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        wrong(p, "cannot be read");
    }
    char line[4096];
    while (fgets(line, sizeof line, file) != NULL) {
        p->line++;
        line[strcspn(line, "\n")] = '\0';
        char *comment = strstr(line, "  # ");
        if (comment != NULL) {
            *comment = '\0';
        }
        split(p, line);
        if (p->word_count > 0 && line[0] != '#') {
            play_line(p);
        }
    }
    fclose(file);
    end(p);
}
