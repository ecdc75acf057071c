/* The blocking driver of C as the transcripts play it: does what each line of standard input says, through the public headers alone.
 *
 *     open NAME=HEX ...             a cache with these options, and the one before is closed
 *     clock MICROSECONDS            what time it is
 *     op NAME KIND key=HEX ...      begins an operation in a thread of its own; "ok THREAD"
 *     supply NAME HEX   absent NAME   abort NAME   interrupt NAME       the loader's answer
 *     free NAME                     nobody waits for it any more
 *     pass                          somebody calls who needs no server: what is due without a caller is done in passing
 *     count hits                    a counter; "count 1"
 *
 * Everything else is answered with "ok". In between, `load NAME`: its loader has to run; and `end NAME STATUS value=HEX integer=5 source=remote says=HEX
 * items=OK,MISS`. The other players, player.py and player.lua, speak the same.
 */
#include <coffer/coffer.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINE_BYTES = 1 << 16, WORDS = 24, OPS = 16, KEYS = 3, SLICE_MS = 20 };

static char *words[WORDS];
static size_t word_count;
static coffer_cache *cache, *aside;
static _Atomic uint64_t now_us;

typedef enum answer { ANSWER_NONE, ANSWER_SUPPLY, ANSWER_ABSENT, ANSWER_ABORT, ANSWER_INTERRUPT } answer;

typedef struct playing {
    char name[16];
    char key[1024], value[4096];
    coffer_item items[KEYS];
    coffer_op *op; /* NULL: the place is free */
    pthread_t thread;
    pid_t tid;
    bool freed;
    answer answered;
    coffer_slice supplied;
} playing;

static playing ops[OPS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void fail(const char *what, const char *more) {
    fprintf(stderr, "player: %s %s\n", what, more);
    exit(2);
}

/* ---- lines ---- */

static void split(char *line) {
    char *rest = NULL;
    word_count = 0;
    for (char *word = strtok_r(line, " \n", &rest); word != NULL && word_count < WORDS; word = strtok_r(NULL, " \n", &rest)) {
        words[word_count++] = word;
    }
}

static size_t unhex(const char *hex, char *out, size_t cap) {
    size_t len = strlen(hex) / 2;
    if (len >= cap) {
        fail("too long:", hex);
    }
    for (size_t i = 0; i < len; i++) {
        char byte[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out[i] = (char)strtol(byte, NULL, 16);
    }
    out[len] = '\0';
    return len;
}

/* What stands behind NAME= in the line; "" where it does not. */
static const char *given(const char *name) {
    size_t len = strlen(name);
    for (size_t i = 1; i < word_count; i++) {
        if (strncmp(words[i], name, len) == 0 && words[i][len] == '=') {
            return words[i] + len + 1;
        }
    }
    return "";
}

static uint64_t number(const char *name) {
    return strtoull(given(name), NULL, 10);
}

static void print_hex(const char *name, coffer_slice bytes) {
    printf(" %s=", name);
    for (size_t i = 0; i < bytes.len; i++) {
        printf("%02x", (unsigned)(uint8_t)bytes.data[i]);
    }
}

static void say(const char *what) {
    puts(what);
    fflush(stdout);
}

/* ---- operations, each in a thread ---- */

static void say_end(const playing *own) {
    const coffer_value *value = coffer_op_value(own->op);
    flockfile(stdout);
    printf("end %s %s integer=%" PRId64 " source=%s", own->name, coffer_status_name(coffer_op_status(own->op)), coffer_op_integer(own->op),
           coffer_source_name(value->source));
    print_hex("value", value->data);
    print_hex("says", coffer_slice_text(coffer_op_message(own->op)));
    for (size_t i = 0; i < coffer_op_count(own->op); i++) {
        printf("%s%s", i == 0 ? " items=" : ",", coffer_status_name(coffer_op_item(own->op, i, NULL)));
    }
    say("");
    funlockfile(stdout);
}

/* Waits for the loader's answer and tells it. */
static void load(playing *own) {
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    flockfile(stdout);
    printf("load %s\n", own->name);
    fflush(stdout);
    funlockfile(stdout);
    pthread_mutex_lock(&mutex);
    while (own->answered == ANSWER_NONE && !own->freed) {
        pthread_cond_wait(&changed, &mutex);
    }
    options.absent = own->answered == ANSWER_ABSENT;
    if (own->answered == ANSWER_SUPPLY || own->answered == ANSWER_ABSENT) {
        coffer_op_supply(own->op, own->supplied, &options, 0);
    } else if (own->answered != ANSWER_NONE) {
        coffer_op_abort(own->op, own->answered == ANSWER_ABORT ? COFFER_LOAD_FAILED : COFFER_INTERRUPTED);
    }
    own->answered = ANSWER_NONE;
    pthread_mutex_unlock(&mutex);
}

static bool is_freed(const playing *own) {
    pthread_mutex_lock(&mutex);
    bool freed = own->freed;
    pthread_mutex_unlock(&mutex);
    return freed;
}

static void *play(void *data) {
    playing *own = (playing *)data;
    coffer_want want = COFFER_WANT_REPLY;
    pthread_mutex_lock(&mutex);
    own->tid = (pid_t)syscall(SYS_gettid);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    while (want != COFFER_WANT_DONE && !is_freed(own)) {
        want = coffer_cache_run(cache, own->op, SLICE_MS);
        if (want == COFFER_WANT_LOAD) {
            load(own);
        }
    }
    if (want == COFFER_WANT_DONE) {
        say_end(own);
    }
    coffer_cache_drop(cache, own->op);
    pthread_mutex_lock(&mutex);
    own->op = NULL;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static coffer_status make(playing *own, const char *kind, coffer_slice key, coffer_slice value) {
    coffer_namespace *ns = coffer_cache_namespace(cache);
    const coffer_slice keys[KEYS] = {key, COFFER_SLICE("second"), COFFER_SLICE("third")};
    coffer_read_options read = COFFER_READ_OPTIONS_INIT;
    coffer_write_options write = COFFER_WRITE_OPTIONS_INIT;
    read.timeout_ms = write.timeout_ms = number("timeout_ms");
    read.accept_stale = number("stale") != 0;
    write.ttl_ms = number("ttl_ms");
    write.format = (uint8_t)number("format");
    for (size_t i = 0; i < KEYS; i++) {
        own->items[i] = (coffer_item){.key = keys[i], .value = value, .format = write.format};
    }
    int64_t delta = given("delta")[0] == '\0' ? 1 : strtoll(given("delta"), NULL, 10);
#define MAKE(word, expression)                                                                                                                       \
    if (strcmp(kind, word) == 0) {                                                                                                                   \
        return (expression);                                                                                                                         \
    }
    MAKE("get", coffer_op_get(&own->op, ns, key, &read))
    MAKE("set", coffer_op_set(&own->op, ns, key, value, &write))
    MAKE("add", coffer_op_add(&own->op, ns, key, value, &write))
    MAKE("replace", coffer_op_replace(&own->op, ns, key, value, &write))
    MAKE("delete", coffer_op_delete(&own->op, ns, key, &read))
    MAKE("exists", coffer_op_exists(&own->op, ns, key, &read))
    MAKE("ttl", coffer_op_ttl(&own->op, ns, key, &read))
    MAKE("expire", coffer_op_expire(&own->op, ns, key, write.ttl_ms, &read))
    MAKE("increment", coffer_op_increment(&own->op, ns, key, delta, &write))
    MAKE("counter", coffer_op_counter(&own->op, ns, key, &read))
    MAKE("get_many", coffer_op_get_many(&own->op, ns, keys, KEYS, &read))
    MAKE("set_many", coffer_op_set_many(&own->op, ns, own->items, KEYS, &write))
    MAKE("delete_many", coffer_op_delete_many(&own->op, ns, keys, KEYS, &read))
    MAKE("get_or_load", coffer_op_get_or_load(&own->op, ns, key, &read))
    MAKE("clear", coffer_op_clear(&own->op, ns, &read))
    MAKE("ping", coffer_op_ping(&own->op, ns, &read))
#undef MAKE
    return COFFER_UNSUPPORTED;
}

/* ---- what a line asks for ---- */

static uint64_t held(void) {
    return now_us;
}

static void set_clock(void) {
    now_us = strtoull(words[1], NULL, 10);
    coffer_set_clock(held);
    say("ok");
}

static void close_all(void) {
    coffer_close(aside);
    coffer_close(cache);
    cache = aside = NULL;
}

static void open_all(void) {
    char value[4096];
    coffer_error error;
    coffer_options *options = coffer_options_new();
    close_all();
    for (size_t i = 1; i < word_count; i++) {
        char *equals = strchr(words[i], '=');
        *equals = '\0';
        size_t len = unhex(equals + 1, value, sizeof value);
        if (coffer_options_set(options, words[i], coffer_slice_of(value, len), &error) != COFFER_OK) {
            fail(words[i], error.text);
        }
    }
    if (coffer_open(&cache, options, &error) != COFFER_OK || coffer_options_set(options, "namespace", COFFER_SLICE("aside"), &error) != COFFER_OK ||
        coffer_options_set(options, "enabled", COFFER_SLICE("false"), &error) != COFFER_OK ||
        coffer_open_namespace(&aside, cache, options, &error) != COFFER_OK) {
        fail("open", error.text);
    }
    coffer_options_free(options);
    say("ok");
}

static playing *place(const char *name) {
    playing *empty = NULL;
    for (size_t i = 0; i < OPS; i++) {
        if (ops[i].op != NULL && strcmp(ops[i].name, name) == 0) {
            return &ops[i];
        }
        empty = ops[i].op == NULL ? &ops[i] : empty;
    }
    if (empty == NULL) {
        fail("too many operations", name);
    }
    memset(empty, 0, sizeof *empty);
    snprintf(empty->name, sizeof empty->name, "%s", name);
    return empty;
}

static void begin(void) {
    pthread_mutex_lock(&mutex);
    playing *own = place(words[1]);
    size_t key_len = unhex(given("key"), own->key, sizeof own->key), value_len = unhex(given("value"), own->value, sizeof own->value);
    if (make(own, words[2], coffer_slice_of(own->key, key_len), coffer_slice_of(own->value, value_len)) != COFFER_OK) {
        fail("cannot be begun:", words[2]);
    }
    if (pthread_create(&own->thread, NULL, play, own) != 0 || pthread_detach(own->thread) != 0) {
        fail("no thread for", words[1]);
    }
    while (own->tid == 0) {
        pthread_cond_wait(&changed, &mutex);
    }
    printf("ok %d\n", (int)own->tid);
    fflush(stdout);
    pthread_mutex_unlock(&mutex);
}

static void answer_loader(void) {
    static const struct {
        const char *word;
        answer answer;
    } answers[] = {{"supply", ANSWER_SUPPLY}, {"absent", ANSWER_ABSENT}, {"abort", ANSWER_ABORT}, {"interrupt", ANSWER_INTERRUPT}};
    pthread_mutex_lock(&mutex);
    playing *own = place(words[1]);
    size_t len = word_count > 2 ? unhex(words[2], own->value, sizeof own->value) : 0;
    own->supplied = coffer_slice_of(own->value, len);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        own->answered = strcmp(words[0], answers[i].word) == 0 ? answers[i].answer : own->answered;
    }
    pthread_cond_broadcast(&changed);
    say("ok");
    pthread_mutex_unlock(&mutex);
}

static void free_op(void) {
    pthread_mutex_lock(&mutex);
    playing *own = place(words[1]);
    own->freed = true;
    pthread_cond_broadcast(&changed);
    while (own->op != NULL) {
        pthread_cond_wait(&changed, &mutex);
    }
    say("ok");
    pthread_mutex_unlock(&mutex);
}

static void pass_by(void) {
    coffer_get(aside, COFFER_SLICE("k"), NULL, NULL, NULL);
    say("ok");
}

static void count(void) {
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    uint64_t got = UINT64_MAX;
    coffer_stats(cache, &metrics);
#define COUNTED(field, help) got = strcmp(words[1], #field) == 0 ? metrics.counters.field : got;
    COFFER_COUNTER_MAP(COUNTED)
#undef COUNTED
#define COUNTED(field, help) got = strcmp(words[1], "topology." #field) == 0 ? metrics.topology.field : got;
    COFFER_TOPOLOGY_MAP(COUNTED)
#undef COUNTED
    printf("count %" PRIu64 "\n", got);
    fflush(stdout);
}

int main(void) {
    static char line[LINE_BYTES];
    static const struct {
        const char *word;
        void (*act)(void);
    } lines[] = {
        {"open", open_all},       {"clock", set_clock},         {"op", begin},     {"supply", answer_loader}, {"absent", answer_loader},
        {"abort", answer_loader}, {"interrupt", answer_loader}, {"free", free_op}, {"pass", pass_by},         {"count", count},
    };
    while (fgets(line, sizeof line, stdin) != NULL) {
        split(line);
        for (size_t i = 0; word_count > 0 && i < sizeof lines / sizeof lines[0]; i++) {
            if (strcmp(words[0], lines[i].word) == 0) {
                lines[i].act();
            }
        }
    }
    return 0;
}
