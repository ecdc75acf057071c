/* A GET at a time, or 100: `bench_get MODE PORT COUNT`.
 *
 *   rawget   a prebuilt request, send and recv on a blocking socket until the reply is whole: the floor
 *   hiredis  redisCommandArgv
 *   coffer   coffer_get in a raw namespace: bytes in, bytes out
 *   coffer-envelope   the same with envelopes (checksum, entry id, freshness)
 *   hiredis-pipeline, hiredis-mget, coffer-many   100 keys at once: 100 GETs pipelined, one MGET, coffer_get_many
 *
 * Prints one line of JSON: percentiles of a GET in nanoseconds, and, for coffer, allocations a GET.
 */
#include "base/alloc.h"
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

enum { VALUE_BYTES = 100, WARM_UP = 500, MANY = 100 };

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

static size_t get_raw(void) {
    static char reply[4096];
    size_t whole = VALUE_BYTES + 8, got = 0; /* $100 CRLF, the value, CRLF */
    if (send(raw_socket, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1) {
        die("cannot send");
    }
    while (got < whole) {
        ssize_t n = recv(raw_socket, reply + got, sizeof reply - got, 0);
        if (n <= 0) {
            die("cannot receive");
        }
        got += (size_t)n;
    }
    return got - 8;
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
    char url[128];
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

static const struct {
    const char *name;
    void (*open)(unsigned short port);
    size_t (*get)(void);
} ways[] = {
    {"rawget", open_raw, get_raw},
    {"hiredis", open_hiredis, get_hiredis},
    {"coffer", open_coffer, get_coffer},
    {"coffer-envelope", open_envelope, get_coffer},
    {"hiredis-pipeline", open_hiredis_many, get_hiredis_pipeline},
    {"hiredis-mget", open_hiredis_many, get_hiredis_mget},
    {"coffer-many", open_coffer_many, get_coffer_many},
};

static int by_time(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void measure(size_t (*get)(void), size_t count) {
    uint64_t *times = (uint64_t *)malloc(count * sizeof *times);
    for (size_t i = 0; i < WARM_UP; i++) {
        if (get() != VALUE_BYTES) {
            die("the value has another length");
        }
    }
    unsigned long before = allocations;
    uint64_t last = now_ns();
    for (size_t i = 0; i < count; i++) {
        get();
        uint64_t now = now_ns();
        times[i] = now - last;
        last = now;
    }
    unsigned long made = allocations - before;
    qsort(times, count, sizeof *times, by_time);
    printf("{\"p50_ns\": %llu, \"p99_ns\": %llu, \"allocations\": %.2f}\n", (unsigned long long)times[count / 2],
           (unsigned long long)times[count - 1 - count / 100], (double)made / (double)count);
    free(times);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        die("usage: bench_get MODE PORT COUNT (the modes are told at the top of bench/get.c)");
    }
    size_t count = strtoul(argv[3], NULL, 10);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(argv[1], ways[i].name) == 0) {
            ways[i].open((unsigned short)strtoul(argv[2], NULL, 10));
            measure(ways[i].get, count == 0 ? 1 : count);
            coffer_close(cache);
            return 0;
        }
    }
    die("unknown mode");
}
