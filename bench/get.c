/* A GET at a time, or 100: `bench_get MODE PORT COUNT`. Linked twice: bench_get_unobserved is the same with metrics off (unobserved.c).
 *
 *   rawget   a prebuilt request, send and recv on a blocking socket until the reply is whole: the floor
 *   hiredis  redisCommandArgv
 *   coffer   coffer_get in a raw namespace: bytes in, bytes out
 *   coffer-envelope   the same with envelopes (checksum, entry id, freshness)
 *   coffer-mem   coffer_get of mem://
 *   coffer-near, coffer-near-shared   coffer_get of a copy of the server's value: in memory of this process; in the host's
 *   near-reader, near-writer   no way, but company: reads a copy, or lets copies go and come, in the same shared memory until it is killed
 *   coffer-off   coffer_get where caching is turned off: what an operation costs that asks nobody
 *   hiredis-json, coffer-json-sealed, coffer-json-packed   857 bytes of JSON: plain; sealed; compressed and sealed
 *   hiredis-pipeline, hiredis-mget, coffer-many   100 keys at once: 100 GETs pipelined, one MGET, coffer_get_many
 *
 * Prints one line of JSON: percentiles of a GET in nanoseconds, for coffer allocations a GET and the hits that it counted,
 * for JSON the bytes that the server holds.
 */
#include "base/alloc.h"
#include "record.h"
#include <coffer/coffer.h>

#include <arpa/inet.h>
#include <hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { VALUE_BYTES = 100, WARM_UP = 500, MANY = 100, LOCAL_BATCH = 64, RECORD_BYTES = sizeof bench_record - 1 };

static const char request[] = "*2\r\n$3\r\nGET\r\n$13\r\nbench:_:key:1\r\n";

static void die(const char *what) {
    fprintf(stderr, "bench_get: %s\n", what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the three ways: each opens, gets once, and says how many bytes the value had ---- */

static int raw_socket;
static redisContext *context;
static coffer_cache *cache;
static unsigned long allocations;
static long long stored_bytes;

static void *counting_alloc(size_t size) {
    allocations++;
    return malloc(size);
}

static void *counting_resize(void *old, size_t size) {
    allocations++;
    return realloc(old, size);
}

static void open_raw(unsigned short port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    raw_socket = socket(AF_INET, SOCK_STREAM, 0);
    if (raw_socket < 0 || connect(raw_socket, (struct sockaddr *)&to, sizeof to) != 0) {
        die("cannot connect");
    }
    setsockopt(raw_socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Sends `text` and reads until the reply has `whole` bytes, which nobody looks at. */
static void exchange_raw(const char *text, size_t len, size_t whole) {
    static char reply[64 << 10];
    size_t got = 0;
    if (send(raw_socket, text, len, MSG_NOSIGNAL) != (ssize_t)len) {
        die("cannot send");
    }
    while (got < whole) {
        ssize_t n = recv(raw_socket, reply, sizeof reply, 0);
        if (n <= 0) {
            die("cannot receive");
        }
        got += (size_t)n;
    }
}

static size_t get_raw(void) {
    exchange_raw(request, sizeof request - 1, VALUE_BYTES + 8); /* $100 CRLF, the value, CRLF */
    return VALUE_BYTES;
}

static void open_hiredis(unsigned short port) {
    context = redisConnect("127.0.0.1", port);
    if (context == NULL || context->err != 0) {
        die("hiredis cannot connect");
    }
}

static size_t get_hiredis(void) {
    const char *arguments[] = {"GET", "bench:_:key:1"};
    const size_t lengths[] = {3, 13};
    redisReply *reply = (redisReply *)redisCommandArgv(context, 2, arguments, lengths);
    if (reply == NULL || reply->type != REDIS_REPLY_STRING) {
        die("hiredis got no value");
    }
    size_t len = (size_t)reply->len;
    freeReplyObject(reply);
    return len;
}

static void open_coffer_with(unsigned short port, const char *options) {
    static const coffer__allocator counting = {counting_alloc, counting_resize, free};
    char url[256];
    coffer_error error;
    coffer__set_allocator(&counting);
    snprintf(url, sizeof url, "redis://127.0.0.1:%u/0?prefix=bench&%s", (unsigned)port, options);
    if (coffer_open_url(&cache, url, &error) != COFFER_OK) {
        die(error.text);
    }
}

static void open_coffer(unsigned short port) {
    open_coffer_with(port, "raw=true");
}

static void open_envelope(unsigned short port) {
    static const char bytes[VALUE_BYTES];
    coffer_error error;
    open_coffer_with(port, "namespace=enveloped");
    if (coffer_set(cache, COFFER_SLICE("key:1"), coffer_slice_of(bytes, sizeof bytes), NULL, &error) != COFFER_OK) {
        die(error.text);
    }
}

static size_t get_coffer(void) {
    coffer_value value;
    coffer_error error;
    if (coffer_get(cache, COFFER_SLICE("key:1"), NULL, &value, &error) != COFFER_OK) {
        die("coffer got no value");
    }
    size_t len = value.data.len;
    coffer_value_clear(&value);
    return len;
}

/* ---- in this process ---- */

static void open_mem(unsigned short port) {
    static const char bytes[VALUE_BYTES];
    static const coffer__allocator counting = {counting_alloc, counting_resize, free};
    coffer_error error;
    (void)port;
    coffer__set_allocator(&counting);
    if (coffer_open_url(&cache, "mem://?prefix=bench", &error) != COFFER_OK ||
        coffer_set(cache, COFFER_SLICE("key:1"), coffer_slice_of(bytes, sizeof bytes), NULL, &error) != COFFER_OK) {
        die(error.text);
    }
}

/* ---- copies: read until one is had without a round trip ---- */

enum { COPIES_TRIES = 5000, COPIES = 1000 };
#define NEAR_SHARED "near=shared&near_bytes=16MiB&near_name=coffer-bench-%u"

static void await_copy(void) {
    struct timespec pause = {0, 1000000};
    for (unsigned i = 0; i < COPIES_TRIES; i++) {
        coffer_value value;
        coffer_error error;
        coffer_status status = coffer_get(cache, COFFER_SLICE("key:1"), NULL, &value, &error);
        bool is_near = status == COFFER_OK && value.source == COFFER_SOURCE_NEAR;
        if (status == COFFER_OK) {
            coffer_value_clear(&value);
        }
        if (is_near) {
            return;
        }
        nanosleep(&pause, NULL);
    }
    die("no copy of the value was kept: is the channel of invalidations live?");
}

static void open_near(unsigned short port) {
    open_coffer_with(port, "raw=true&near=process&near_bytes=16MiB&near_ttl=1h");
    await_copy();
}

static void open_near_shared(unsigned short port) {
    char options[128];
    snprintf(options, sizeof options, "raw=true&near_ttl=1h&" NEAR_SHARED, (unsigned)port);
    open_coffer_with(port, options);
    await_copy();
}

static void set_one(const char *key) {
    static const char bytes[VALUE_BYTES];
    coffer_error error;
    if (coffer_set(cache, coffer_slice_text(key), coffer_slice_of(bytes, sizeof bytes), NULL, &error) != COFFER_OK) {
        die(error.text);
    }
}

/* Each round some copies go, by a write, and come, by a read. */
static void keep_writing(void) {
    for (unsigned i = 0;; i = (i + 1) % COPIES) {
        char key[32];
        coffer_value value;
        coffer_error error;
        snprintf(key, sizeof key, "churn:%u", i);
        set_one(key);
        if (coffer_get(cache, coffer_slice_text(key), NULL, &value, &error) == COFFER_OK) {
            coffer_value_clear(&value);
        }
    }
}

static void open_off(unsigned short port) {
    coffer_error error;
    (void)port;
    if (coffer_open_url(&cache, "mem://?prefix=bench&enabled=false", &error) != COFFER_OK) {
        die(error.text);
    }
}

static size_t get_coffer_off(void) {
    coffer_value value;
    coffer_error error;
    if (coffer_get(cache, COFFER_SLICE("key:1"), NULL, &value, &error) != COFFER_MISS) {
        die("a cache that is turned off has a value");
    }
    return VALUE_BYTES;
}

/* ---- a record of JSON: what its key is on the server stands in json_key ---- */

static const char *json_key;

/* Asks for an integer or a word of the server's, by hiredis. */
static long long ask_server(int count, const char **words, const size_t *lengths) {
    redisReply *reply = (redisReply *)redisCommandArgv(context, count, words, lengths);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        die("hiredis was refused");
    }
    long long integer = reply->integer;
    freeReplyObject(reply);
    return integer;
}

static void note_stored_bytes(void) {
    const char *words[] = {"STRLEN", json_key};
    const size_t lengths[] = {6, strlen(json_key)};
    stored_bytes = ask_server(2, words, lengths);
    if (stored_bytes == 0) {
        die("the JSON is not where it was looked for");
    }
}

static void open_hiredis_json(unsigned short port) {
    json_key = "bench:_:json";
    const char *words[] = {"SET", json_key, bench_record};
    const size_t lengths[] = {3, strlen(json_key), RECORD_BYTES};
    open_hiredis(port);
    ask_server(3, words, lengths);
    note_stored_bytes();
}

static size_t get_hiredis_json(void) {
    const char *words[] = {"GET", json_key};
    const size_t lengths[] = {3, strlen(json_key)};
    redisReply *reply = (redisReply *)redisCommandArgv(context, 2, words, lengths);
    if (reply == NULL || reply->type != REDIS_REPLY_STRING) {
        die("hiredis got no value");
    }
    size_t len = (size_t)reply->len;
    freeReplyObject(reply);
    return len;
}

static void open_json(unsigned short port, const char *options) {
    coffer_error error;
    coffer_write_options json = COFFER_WRITE_OPTIONS_INIT;
    json.format = COFFER_FORMAT_JSON;
    open_coffer_with(port, options);
    if (coffer_set(cache, COFFER_SLICE("json"), coffer_slice_of(bench_record, RECORD_BYTES), &json, &error) != COFFER_OK) {
        die(error.text);
    }
    open_hiredis(port);
    note_stored_bytes();
    redisFree(context);
    context = NULL;
}

/* A key that everybody may know: the SHA-256 of "coffer bench". */
#define SEAL "seal_key=9Z7AhDCrOVq74iWFWEKe5dy422KFhvdQ%2BjArzY7waN8%3D"

static void open_json_sealed(unsigned short port) {
    json_key = "bench:sealed:json";
    open_json(port, "namespace=sealed&compress=never&" SEAL);
}

static void open_json_packed(unsigned short port) {
    json_key = "bench:packed:json";
    open_json(port, "namespace=packed&compress=trusted&compress_threshold=0&" SEAL);
}

static size_t get_coffer_json(void) {
    coffer_value value;
    coffer_error error;
    if (coffer_get(cache, COFFER_SLICE("json"), NULL, &value, &error) != COFFER_OK) {
        die("coffer got no value");
    }
    size_t len = value.data.len;
    coffer_value_clear(&value);
    return len;
}

/* ---- 100 keys at once: bench:_:key:0 and so on ---- */

static char many_texts[MANY][32];
static const char *many_words[MANY + 1];
static size_t many_lengths[MANY + 1];
static coffer_slice many_keys[MANY];

static void name_keys(const char *start) {
    many_words[0] = "MGET";
    many_lengths[0] = 4;
    for (size_t i = 0; i < MANY; i++) {
        snprintf(many_texts[i], sizeof many_texts[i], "%s%zu", start, i);
        many_words[i + 1] = many_texts[i];
        many_lengths[i + 1] = strlen(many_texts[i]);
        many_keys[i] = coffer_slice_text(many_texts[i]);
    }
}

static void open_hiredis_many(unsigned short port) {
    name_keys("bench:_:key:");
    open_hiredis(port);
}

static void open_coffer_many(unsigned short port) {
    name_keys("key:");
    open_coffer(port);
}

static char raw_mget[64 * (MANY + 1)];
static size_t raw_mget_len;

static void add_raw_word(const char *word, size_t len) {
    raw_mget_len += (size_t)snprintf(raw_mget + raw_mget_len, sizeof raw_mget - raw_mget_len, "$%zu\r\n%s\r\n", len, word);
}

static void open_raw_mget(unsigned short port) {
    name_keys("bench:_:key:");
    raw_mget_len = (size_t)snprintf(raw_mget, sizeof raw_mget, "*%d\r\n", MANY + 1);
    for (size_t i = 0; i <= MANY; i++) {
        add_raw_word(many_words[i], many_lengths[i]);
    }
    open_raw(port);
}

static size_t get_raw_mget(void) {
    exchange_raw(raw_mget, raw_mget_len, sizeof "*100\r\n" - 1 + MANY * (VALUE_BYTES + 8));
    return VALUE_BYTES;
}

static size_t get_hiredis_pipeline(void) {
    size_t len = 0;
    for (size_t i = 0; i < MANY; i++) {
        const char *words[] = {"GET", many_words[i + 1]};
        const size_t lengths[] = {3, many_lengths[i + 1]};
        redisAppendCommandArgv(context, 2, words, lengths);
    }
    for (size_t i = 0; i < MANY; i++) {
        redisReply *reply;
        if (redisGetReply(context, (void **)&reply) != REDIS_OK || reply->type != REDIS_REPLY_STRING) {
            die("hiredis got no value");
        }
        len += (size_t)reply->len;
        freeReplyObject(reply);
    }
    return len / MANY;
}

static size_t get_hiredis_mget(void) {
    size_t len = 0;
    redisReply *reply = (redisReply *)redisCommandArgv(context, MANY + 1, many_words, many_lengths);
    if (reply == NULL || reply->elements != MANY) {
        die("hiredis got no values");
    }
    for (size_t i = 0; i < MANY; i++) {
        len += (size_t)reply->element[i]->len;
    }
    freeReplyObject(reply);
    return len / MANY;
}

static size_t get_coffer_many(void) {
    static coffer_value values[MANY];
    static coffer_status statuses[MANY];
    size_t len = 0;
    if (coffer_get_many(cache, many_keys, MANY, NULL, values, statuses, NULL) != COFFER_OK) {
        die("coffer got no values");
    }
    for (size_t i = 0; i < MANY; i++) {
        len += values[i].data.len;
    }
    coffer_values_clear(values, MANY);
    return len / MANY;
}

/* `batch`: how many GETs lie between two looks at the clock, which would cost more than a hit in the process does. */
typedef struct way {
    const char *name;
    void (*open)(unsigned short port);
    size_t (*get)(void);
    size_t value_bytes, batch;
} way;

static const way ways[] = {
    {"rawget", open_raw, get_raw, VALUE_BYTES, 1},
    {"hiredis", open_hiredis, get_hiredis, VALUE_BYTES, 1},
    {"coffer", open_coffer, get_coffer, VALUE_BYTES, 1},
    {"coffer-envelope", open_envelope, get_coffer, VALUE_BYTES, 1},
    {"coffer-mem", open_mem, get_coffer, VALUE_BYTES, LOCAL_BATCH},
    {"coffer-near", open_near, get_coffer, VALUE_BYTES, LOCAL_BATCH},
    {"coffer-near-shared", open_near_shared, get_coffer, VALUE_BYTES, LOCAL_BATCH},
    {"coffer-off", open_off, get_coffer_off, VALUE_BYTES, LOCAL_BATCH},
    {"hiredis-json", open_hiredis_json, get_hiredis_json, RECORD_BYTES, 1},
    {"coffer-json-sealed", open_json_sealed, get_coffer_json, RECORD_BYTES, 1},
    {"coffer-json-packed", open_json_packed, get_coffer_json, RECORD_BYTES, 1},
    {"rawmget", open_raw_mget, get_raw_mget, VALUE_BYTES, 1},
    {"hiredis-pipeline", open_hiredis_many, get_hiredis_pipeline, VALUE_BYTES, 1},
    {"hiredis-mget", open_hiredis_many, get_hiredis_mget, VALUE_BYTES, 1},
    {"coffer-many", open_coffer_many, get_coffer_many, VALUE_BYTES, 1},
};

static int by_time(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static unsigned long long counted_hits(void) {
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    return cache != NULL && coffer_stats(cache, &metrics) == COFFER_OK ? (unsigned long long)metrics.counters.hits : 0;
}

/* `count` GETs, their times in batches. */
static void take_times(const way *chosen, uint64_t *times, size_t count) {
    uint64_t last = now_ns();
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < chosen->batch; j++) {
            chosen->get();
        }
        uint64_t now = now_ns();
        times[i] = now - last;
        last = now;
    }
    qsort(times, count, sizeof *times, by_time);
}

static void measure(const way *chosen, size_t get_count) {
    size_t count = (get_count + chosen->batch - 1) / chosen->batch;
    uint64_t *times = (uint64_t *)malloc(count * sizeof *times);
    double batch = (double)chosen->batch;
    if (times == NULL) {
        die("no memory");
    }
    for (size_t i = 0; i < WARM_UP; i++) {
        if (chosen->get() != chosen->value_bytes) {
            die("the value has another length");
        }
    }
    unsigned long before = allocations;
    unsigned long long hits_before = counted_hits();
    take_times(chosen, times, count);
    unsigned long made = allocations - before;
    printf("{\"p50_ns\": %.2f, \"p99_ns\": %.2f, \"allocations\": %.2f, \"hits\": %llu, \"stored_bytes\": %lld}\n", (double)times[count / 2] / batch,
           (double)times[count - 1 - count / 100] / batch, (double)made / ((double)count * batch), counted_hits() - hits_before, stored_bytes);
    free(times);
}

/* Says when it is at it, and is killed. */
static void keep_company(bool writes, unsigned short port) {
    open_near_shared(port);
    puts("ready");
    fflush(stdout);
    if (writes) {
        keep_writing();
    }
    for (;;) {
        get_coffer();
    }
}

int main(int argc, char **argv) {
    if (argc == 3 && strncmp(argv[1], "near-", 5) == 0) {
        keep_company(strcmp(argv[1], "near-writer") == 0, (unsigned short)strtoul(argv[2], NULL, 10));
    }
    if (argc != 4) {
        die("usage: bench_get MODE PORT COUNT (the modes are told at the top of bench/get.c)");
    }
    size_t count = strtoul(argv[3], NULL, 10);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(argv[1], ways[i].name) == 0) {
            ways[i].open((unsigned short)strtoul(argv[2], NULL, 10));
            measure(&ways[i], count == 0 ? 1 : count);
            coffer_close(cache);
            return 0;
        }
    }
    die("unknown mode");
}
