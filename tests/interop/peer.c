/* What the interop tests ask of C: does what each line of standard input says, through the public headers alone, and answers with a line.
 *
 * Words are separated by one blank. Keys, option values, TTLs and payloads are hex; a value is FORMAT:PAYLOAD, or `absent`.
 * Answers: ok, no, number N, value SOURCE VALUE, miss SOURCE, many VALUE|- ..., id HEX, refusals NAME=COUNT ..., error STATUS.
 * The same lines are understood by peer.lua; peers.py speaks them.
 */
#include <coffer/coffer.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_BYTES = 1 << 20, WORDS = 64 };

/* A line, cut into words; hex is decoded where it stands. */
typedef struct request {
    char *words[WORDS];
    size_t count;
} request;

static coffer_cache *cache;

static void fail(const char *what) {
    fprintf(stderr, "peer: %s\n", what);
    exit(2);
}

/* ---- lines ---- */

static unsigned digit(char hex) {
    return (unsigned)(hex <= '9' ? hex - '0' : hex - 'a' + 10);
}

static coffer_slice unhex(char *hex) {
    size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len; i++) {
        hex[i] = (char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    }
    hex[len] = '\0';
    return coffer_slice_of(hex, len);
}

static coffer_slice bytes(const request *asked, size_t index) {
    if (index >= asked->count) {
        fail("a word is missing");
    }
    return unhex(asked->words[index]);
}

static void print_value(const coffer_value *value) {
    printf("%u:", (unsigned)value->format);
    for (size_t i = 0; i < value->data.len; i++) {
        printf("%02x", (unsigned)(uint8_t)value->data.data[i]);
    }
}

static void answer_status(coffer_status status) {
    if (status < 0) {
        printf("error %s\n", coffer_status_name(status));
    } else {
        printf(status == COFFER_OK ? "ok\n" : "no\n");
    }
}

static void answer_number(coffer_status status, int64_t number) {
    if (status == COFFER_OK) {
        printf("number %" PRId64 "\n", number);
    } else {
        answer_status(status);
    }
}

static void answer_value(coffer_status status, coffer_value *value) {
    if (status == COFFER_OK || status == COFFER_STALE) {
        printf("value %s ", coffer_source_name(value->source));
        print_value(value);
        printf("\n");
    } else if (status == COFFER_MISS) {
        printf("miss %s\n", coffer_source_name(value->source));
    } else {
        answer_status(status);
    }
    coffer_value_clear(value);
}

/* ---- arguments ---- */

/* `absent`, or FORMAT:PAYLOAD. */
static coffer_slice value_of(char *word, coffer_write_options *options) {
    if (strcmp(word, "absent") == 0) {
        options->absent = true;
        return COFFER_SLICE("");
    }
    char *payload = NULL;
    options->format = (uint8_t)strtoul(word, &payload, 10);
    return unhex(payload + 1);
}

static uint64_t ttl_of(const request *asked, size_t index) {
    uint64_t ttl_ms = 0;
    if (index < asked->count && coffer_ttl_parse(bytes(asked, index), &ttl_ms, NULL) != COFFER_OK) {
        fail("not a TTL");
    }
    return ttl_ms;
}

/* ---- commands: KEY is word 1 ---- */

static void do_open(const request *asked) {
    coffer_options *options = coffer_options_new();
    coffer_status status = coffer_options_set_url(options, bytes(asked, 1), NULL);
    for (size_t i = 2; i + 1 < asked->count && status == COFFER_OK; i += 2) {
        status = coffer_options_set(options, asked->words[i], bytes(asked, i + 1), NULL);
    }
    coffer_close(cache);
    cache = NULL;
    answer_status(status == COFFER_OK ? coffer_open(&cache, options, NULL) : status);
    coffer_options_free(options);
}

typedef coffer_status store_function(coffer_cache *of, coffer_slice key, coffer_slice value, const coffer_write_options *options,
                                     coffer_error *error);

/* KEY VALUE [TTL] */
static void store(const request *asked, store_function *how) {
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    coffer_slice key = bytes(asked, 1);
    coffer_slice value = value_of(asked->words[2], &options);
    options.ttl_ms = ttl_of(asked, 3);
    answer_status(how(cache, key, value, &options, NULL));
}

static void do_set(const request *asked) {
    store(asked, coffer_set);
}

static void do_add(const request *asked) {
    store(asked, coffer_add);
}

static void do_replace(const request *asked) {
    store(asked, coffer_replace);
}

/* KEY ID VALUE */
static void do_compare_and_set(const request *asked) {
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    uint64_t id = strtoull(asked->words[2], NULL, 16);
    coffer_slice value = value_of(asked->words[3], &options);
    answer_status(coffer_compare_and_set(cache, bytes(asked, 1), id, value, &options, NULL));
}

static void read_one(const request *asked, bool accept_stale) {
    coffer_read_options options = COFFER_READ_OPTIONS_INIT;
    coffer_value value = {.owner = NULL};
    options.accept_stale = accept_stale;
    answer_value(coffer_get(cache, bytes(asked, 1), &options, &value, NULL), &value);
}

static void do_get(const request *asked) {
    read_one(asked, false);
}

static void do_stale(const request *asked) {
    read_one(asked, true);
}

static void do_id(const request *asked) {
    coffer_value value = {.owner = NULL};
    coffer_status status = coffer_get(cache, bytes(asked, 1), NULL, &value, NULL);
    if (status == COFFER_OK) {
        printf("id %016" PRIx64 "\n", value.entry_id);
    } else {
        answer_status(status);
    }
    coffer_value_clear(&value);
}

static size_t keys_of(const request *asked, coffer_slice keys[WORDS]) {
    for (size_t i = 1; i < asked->count; i++) {
        keys[i - 1] = bytes(asked, i);
    }
    return asked->count - 1;
}

static void do_get_many(const request *asked) {
    coffer_slice keys[WORDS];
    coffer_value values[WORDS];
    coffer_status statuses[WORDS];
    size_t count = keys_of(asked, keys);
    coffer_status status = coffer_get_many(cache, keys, count, NULL, values, statuses, NULL);
    if (status != COFFER_OK) {
        answer_status(status);
        return;
    }
    printf("many");
    for (size_t i = 0; i < count; i++) {
        printf(" ");
        if (statuses[i] == COFFER_OK) {
            print_value(&values[i]);
        } else {
            printf("-");
        }
    }
    printf("\n");
    coffer_values_clear(values, count);
}

/* KEY VALUE KEY VALUE ... */
static void do_set_many(const request *asked) {
    coffer_item items[WORDS];
    size_t count = (asked->count - 1) / 2;
    for (size_t i = 0; i < count; i++) {
        coffer_write_options one = COFFER_WRITE_OPTIONS_INIT;
        coffer_slice value = value_of(asked->words[2 * i + 2], &one);
        items[i] = (coffer_item){bytes(asked, 2 * i + 1), value, one.format};
    }
    answer_status(coffer_set_many(cache, items, count, NULL, NULL, NULL));
}

static void do_delete(const request *asked) {
    answer_status(coffer_delete(cache, bytes(asked, 1), NULL));
}

static void do_delete_many(const request *asked) {
    coffer_slice keys[WORDS];
    size_t count = keys_of(asked, keys);
    size_t deleted = 0;
    coffer_status status = coffer_delete_many(cache, keys, count, &deleted, NULL, NULL);
    answer_number(status, (int64_t)deleted);
}

static void do_exists(const request *asked) {
    answer_status(coffer_exists(cache, bytes(asked, 1), NULL));
}

/* -1: for ever */
static void do_ttl(const request *asked) {
    int64_t ttl_ms = 0;
    coffer_status status = coffer_ttl(cache, bytes(asked, 1), &ttl_ms, NULL);
    answer_number(status, ttl_ms);
}

/* KEY TTL */
static void do_expire(const request *asked) {
    answer_status(coffer_expire(cache, bytes(asked, 1), ttl_of(asked, 2), NULL));
}

static void do_touch(const request *asked) {
    answer_status(coffer_touch(cache, bytes(asked, 1), NULL));
}

/* KEY DELTA */
static void do_increment(const request *asked) {
    int64_t count = 0;
    coffer_status status = coffer_increment(cache, bytes(asked, 1), strtoll(asked->words[2], NULL, 10), NULL, &count, NULL);
    answer_number(status, count);
}

static void do_counter(const request *asked) {
    int64_t count = 0;
    coffer_status status = coffer_counter(cache, bytes(asked, 1), &count, NULL);
    answer_number(status, count);
}

static coffer_status load(coffer_load *now, coffer_slice key, void *word) {
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    coffer_slice value = value_of((char *)word, &options);
    (void)key;
    return options.absent ? coffer_loaded_absent(now) : coffer_loaded(now, value, &options);
}

/* KEY VALUE: what the loader gives */
static void do_load(const request *asked) {
    coffer_value value = {.owner = NULL};
    answer_value(coffer_get_or_load(cache, bytes(asked, 1), load, asked->words[2], NULL, &value, NULL), &value);
}

static void do_refusals(const request *asked) {
    coffer_refusal refusal;
    (void)asked;
    printf("refusals");
    for (size_t i = 0; coffer_metrics_refusal(coffer_cache_namespace(cache), i, &refusal); i++) {
        if (refusal.count > 0) {
            printf(" %s=%" PRIu64, coffer_status_name(refusal.status), refusal.count);
        }
    }
    printf("\n");
}

static const struct command {
    const char *name;
    void (*run)(const request *asked);
} commands[] = {
    {"open", do_open},
    {"set", do_set},
    {"add", do_add},
    {"replace", do_replace},
    {"compare_and_set", do_compare_and_set},
    {"get", do_get},
    {"stale", do_stale},
    {"id", do_id},
    {"get_many", do_get_many},
    {"set_many", do_set_many},
    {"delete", do_delete},
    {"delete_many", do_delete_many},
    {"exists", do_exists},
    {"ttl", do_ttl},
    {"expire", do_expire},
    {"touch", do_touch},
    {"increment", do_increment},
    {"counter", do_counter},
    {"load", do_load},
    {"refusals", do_refusals},
};

static void run(char *line) {
    request asked = {.count = 0};
    line[strcspn(line, "\n")] = '\0';
    for (char *word = line; word != NULL; word = strchr(word, ' ')) {
        word += word == line ? 0 : 1;
        if (word > line) {
            word[-1] = '\0';
        }
        if (asked.count == WORDS) {
            fail("too many words");
        }
        asked.words[asked.count++] = word;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, asked.words[0]) == 0) {
            commands[i].run(&asked);
            fflush(stdout);
            return;
        }
    }
    fail("there is no such command");
}

int main(void) {
    char *line = (char *)malloc(LINE_BYTES);
    if (line == NULL) {
        fail("no memory");
    }
    while (fgets(line, LINE_BYTES, stdin) != NULL) {
        run(line);
    }
    coffer_close(cache);
    free(line);
    return 0;
}
