/* GETs from many threads at once: `bench_threads MODE PORT COUNT THREADS`, COUNT being GETs of each thread.
 *
 *   hiredis   a connection for each thread
 *   coffer    one cache for all of them, raw namespace
 *
 * Prints one line of JSON: GETs a second, and percentiles of a GET in nanoseconds.
 */
#include <coffer/coffer.h>

#include <hiredis.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { VALUE_BYTES = 100, WARM_UP = 100, MOST_THREADS = 256 };

static void die(const char *what) {
    fprintf(stderr, "bench_threads: %s\n", what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned short port;
static size_t gets_each;
static uint64_t *times; /* of all threads, one after the other */
static coffer_cache *cache;
static pthread_barrier_t warm;

static void get_hiredis(void *context) {
    const char *words[] = {"GET", "bench:_:key:1"};
    const size_t lengths[] = {3, 13};
    redisReply *reply = (redisReply *)redisCommandArgv((redisContext *)context, 2, words, lengths);
    if (reply == NULL || reply->type != REDIS_REPLY_STRING || reply->len != VALUE_BYTES) {
        die("hiredis got no value");
    }
    freeReplyObject(reply);
}

static void get_coffer(void *unused) {
    coffer_value value;
    (void)unused;
    if (coffer_get(cache, COFFER_SLICE("key:1"), NULL, &value, NULL) != COFFER_OK || value.data.len != VALUE_BYTES) {
        die("coffer got no value");
    }
    coffer_value_clear(&value);
}

static void measure(void (*get)(void *), void *with, uint64_t *mine) {
    for (size_t i = 0; i < WARM_UP; i++) {
        get(with);
    }
    pthread_barrier_wait(&warm);
    uint64_t last = now_ns();
    for (size_t i = 0; i < gets_each; i++) {
        get(with);
        uint64_t now = now_ns();
        mine[i] = now - last;
        last = now;
    }
}

static void *run_hiredis(void *mine) {
    redisContext *context = redisConnect("127.0.0.1", port);
    if (context == NULL || context->err != 0) {
        die("hiredis cannot connect");
    }
    measure(get_hiredis, context, (uint64_t *)mine);
    redisFree(context);
    return NULL;
}

static void *run_coffer(void *mine) {
    measure(get_coffer, NULL, (uint64_t *)mine);
    return NULL;
}

static void open_coffer(void) {
    char url[96];
    coffer_error error;
    const char *more = getenv("BENCH_OPTIONS"); /* "&pipeline_depth=8" */
    snprintf(url, sizeof url, "redis://127.0.0.1:%u/0?prefix=bench&raw=true&timeout=30s%s", (unsigned)port, more == NULL ? "" : more);
    if (coffer_open_url(&cache, url, &error) != COFFER_OK) {
        die(error.text);
    }
}

static int by_time(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    pthread_t threads[MOST_THREADS];
    size_t thread_count = argc == 5 ? strtoul(argv[4], NULL, 10) : 0;
    if (thread_count < 1 || thread_count > MOST_THREADS) {
        die("usage: bench_threads hiredis|coffer PORT COUNT THREADS (256 at most)");
    }
    bool ours = strcmp(argv[1], "coffer") == 0;
    port = (unsigned short)strtoul(argv[2], NULL, 10);
    gets_each = strtoul(argv[3], NULL, 10);
    gets_each = gets_each == 0 ? 1 : gets_each;
    size_t count = thread_count * gets_each;
    times = (uint64_t *)malloc(count * sizeof *times);
    pthread_barrier_init(&warm, NULL, (unsigned)thread_count + 1);
    if (ours) {
        open_coffer();
    }
    for (size_t i = 0; i < thread_count; i++) {
        pthread_create(&threads[i], NULL, ours ? run_coffer : run_hiredis, times + i * gets_each);
    }
    pthread_barrier_wait(&warm);
    uint64_t began = now_ns();
    for (size_t i = 0; i < thread_count; i++) {
        pthread_join(threads[i], NULL);
    }
    double seconds = (double)(now_ns() - began) / 1e9;
    qsort(times, count, sizeof *times, by_time);
    printf("{\"gets_per_s\": %.0f, \"p50_ns\": %llu, \"p99_ns\": %llu}\n", (double)count / seconds, (unsigned long long)times[count / 2],
           (unsigned long long)times[count - 1 - count / 100]);
    coffer_close(cache);
    free(times);
    return 0;
}
