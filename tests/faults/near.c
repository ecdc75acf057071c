/* One of several processes that use a shared near cache at full rate while some of them are killed and stopped.
 *
 *     fault_near NAME worker          until it is killed
 *     fault_near NAME judge MS        so long; it is never stopped or killed, and measures how long each call waits, beside a thread that only sleeps. Then it
 *                                     says so, and at the end of its input, when nobody else uses the cache, ends in a line of JSON
 *
 * Behind the cache stands a server that is an array of numbers in memory which all share: a write adds one to its key's number. Whoever has written says so
 * (`done`) only after the write's invalidation was carried out; from then on no process may see an older number near. A value says which key's it
 * is, and which number, over all its length. Everybody tries to lead, so the leader is killed and stopped like the others. */
#include "near/copies.h"

#include "control.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { KEYS = 4000, VALUE_MAX = 4000, LARGE_EVERY = 97, NODE = 99, LEAD_EVERY_US = 300000, MEMORY = 4 << 20, FILLED = 100000 };

typedef struct server {
    _Atomic uint64_t number[KEYS];
    _Atomic uint64_t done[KEYS];
} server;

typedef struct process {
    coffer__near *near;
    server *server;
    coffer__lead lead;
    uint64_t random, led_us, began_us, delayed_us;
    uint64_t calls, hits, slowest_us;
    bool measures;
    int delays; /* measuring: its own schedstat */
} process;

static uint32_t random_below(process *self, uint32_t end) {
    self->random = self->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((self->random >> 33) % end);
}

/* How long it was ready to run and another one ran: that is the machine's doing. 0 where the kernel does not say. */
static uint64_t delayed_us(const process *self) {
    char text[128], *second;
    ssize_t got = pread(self->delays, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    (void)strtoull(text, &second, 10);
    return strtoull(second, NULL, 10) / 1000;
}

static void begin_call(process *self) {
    self->calls++;
    if (self->measures) {
        self->delayed_us = delayed_us(self);
        self->began_us = now_us();
    }
}

static void end_call(process *self) {
    if (self->measures) {
        uint64_t took_us = now_us() - self->began_us, late_us = delayed_us(self) - self->delayed_us;
        uint64_t waited_us = took_us > late_us ? took_us - late_us : 0;
        self->slowest_us = waited_us > self->slowest_us ? waited_us : self->slowest_us;
    }
}

/* ---- values ---- */

static coffer_slice key_of(const uint32_t *key) {
    return coffer_slice_of(key, sizeof *key);
}

/* The key and its number again and again. */
static size_t write_value(uint32_t key, uint64_t number, char *value) {
    size_t len = 16 + (key % LARGE_EVERY == 0 ? VALUE_MAX - 32 : (key * 7 + (size_t)number) % 20 * 16) / 16 * 16;
    const uint64_t words[2] = {key, number};
    for (size_t i = 0; i < len; i += sizeof words) {
        memcpy(value + i, words, sizeof words);
    }
    return len;
}

/* What is wrong with it, or NULL. */
static const char *fault_of(uint32_t key, uint64_t done, coffer_slice value) {
    char wanted[VALUE_MAX];
    uint64_t words[2];
    if (value.len < sizeof words) {
        return "too short";
    }
    memcpy(words, value.data, sizeof words);
    if (words[0] != key) {
        return "of another key";
    }
    if (write_value(key, words[1], wanted) != value.len || memcmp(wanted, value.data, value.len) != 0) {
        return "torn";
    }
    return words[1] >= done ? NULL : "stale";
}

static void look(process *self, uint32_t key, coffer__buf *out) {
    coffer__near_found found;
    uint64_t done = atomic_load(&self->server->done[key]);
    coffer__buf_clear(out);
    begin_call(self);
    coffer_status status = coffer__near_look(self->near, key_of(&key), now_us() / 1000, out, &found);
    end_call(self);
    const char *fault = status == COFFER_OK ? fault_of(key, done, coffer__buf_slice(out)) : NULL;
    if (fault != NULL) {
        printf("wrong: key %u: %s\n", key, fault);
        fflush(stdout);
        _exit(3);
    }
    self->hits += status == COFFER_OK;
}

/* As a GET fills it. */
static void fill(process *self, uint32_t key) {
    char value[VALUE_MAX];
    coffer__near_token token;
    uint64_t now_ms = now_us() / 1000;
    coffer__near_expect(self->near, key_of(&key), now_ms, &token);
    size_t len = write_value(key, atomic_load(&self->server->number[key]), value);
    int channel = coffer__channel_find(coffer__near_coherence(self->near), NODE);
    if (token.given && channel >= 0) {
        coffer__near_copy copy = {.value = coffer_slice_of(value, len), .channel = (unsigned)channel, .expires_at_ms = now_ms + 60000};
        begin_call(self);
        coffer__near_fill(self->near, &token, key_of(&key), &copy, now_ms);
        end_call(self);
    }
}

static void drop(process *self, uint32_t key) {
    begin_call(self);
    coffer__near_drop(self->near, key_of(&key));
    end_call(self);
}

static void write_key(process *self, uint32_t key) {
    drop(self, key);
    uint64_t number = atomic_fetch_add(&self->server->number[key], 1) + 1;
    drop(self, key);
    uint64_t done = atomic_load(&self->server->done[key]);
    while (done < number && !atomic_compare_exchange_weak(&self->server->done[key], &done, number)) {
    }
}

static void lead(process *self) {
    coffer__coherence *coherence = coffer__near_coherence(self->near);
    uint64_t now = now_us();
    if (now - self->led_us < LEAD_EVERY_US) {
        return;
    }
    self->led_us = now;
    if (coffer__lead_hold(coherence, &self->lead, (uint64_t)getpid(), now / 1000)) {
        int channel = coffer__channel_take(coherence, &self->lead, NODE);
        if (channel >= 0) {
            coffer__channel_heard(coherence, &self->lead, (unsigned)channel, now / 1000, now / 1000);
        }
    }
}

static void step(process *self, coffer__buf *out) {
    uint32_t key = random_below(self, KEYS), choice = random_below(self, 100);
    lead(self);
    if (choice < 3) {
        write_key(self, key);
    } else if (choice < 25) {
        fill(self, key);
    } else {
        look(self, key, out);
    }
}

/* ---- the end ---- */

/* How many of many new entries stay, each of which is read, so that they go through all of the memory. */
static size_t capacity_of(coffer__near *near) {
    coffer__near_stats stats;
    coffer__buf out = COFFER__BUF_INIT;
    char value[200] = "";
    for (uint32_t i = 0; i < FILLED; i++) {
        uint64_t key = (uint64_t)i << 32 | 1;
        coffer__near_put(near, coffer_slice_of(&key, sizeof key), coffer_slice_of(value, sizeof value), 0, UINT64_MAX, NULL);
        coffer__buf_clear(&out);
        coffer__near_get(near, coffer_slice_of(&key, sizeof key), 0, &out, NULL);
    }
    coffer__buf_free(&out);
    coffer__near_stats_read(near, &stats);
    return (size_t)stats.entries;
}

static void report(process *self, uint64_t control_us) {
    coffer__near_stats stats;
    coffer__near *fresh = NULL;
    coffer__coherence *coherence = coffer__near_coherence(self->near);
    coffer__near_stats_read(self->near, &stats);
    printf("{\"calls\": %llu, \"hits\": %llu, \"slowest_us\": %llu, \"control_us\": %llu, \"wiped\": %llu, \"timeouts\": %llu, \"takeovers\": %llu, ",
           (unsigned long long)self->calls, (unsigned long long)self->hits, (unsigned long long)self->slowest_us, (unsigned long long)control_us,
           (unsigned long long)stats.wiped_shards, (unsigned long long)stats.lock_timeouts, (unsigned long long)coherence->takeovers);
    if (coffer__near_new(&fresh, MEMORY) != COFFER_OK) {
        exit(2);
    }
    printf("\"capacity\": %zu, \"capacity_fresh\": %zu}\n", capacity_of(self->near), capacity_of(fresh));
    coffer__near_free(fresh);
}

static server *open_server(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "/%s.server", name);
    int descriptor = shm_open(path, O_RDWR | O_CREAT, 0600);
    void *memory = descriptor >= 0 && ftruncate(descriptor, sizeof(server)) == 0
                       ? mmap(NULL, sizeof(server), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
                       : MAP_FAILED;
    return memory == MAP_FAILED ? NULL : (server *)memory;
}

int main(int count, char **words) {
    process self = {.random = (uint64_t)getpid() * 7919, .delays = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)};
    coffer_error error;
    coffer__buf out = COFFER__BUF_INIT;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (count < 3) {
        return 2;
    }
    const coffer__near_site site = {.name = coffer_slice_text(words[1]), .identity = 1, .memory_bytes = MEMORY, .descriptor = -1};
    self.server = open_server(words[1]);
    if (self.server == NULL || coffer__near_attach(&self.near, &site, &error) != COFFER_OK) {
        printf("wrong: %s\n", self.server == NULL ? "no memory for the server" : error.text);
        return 2;
    }
    self.measures = count == 4;
    if (self.measures) {
        control_start();
    }
    for (uint64_t until_us = self.measures ? now_us() + strtoull(words[3], NULL, 10) * 1000 : UINT64_MAX; now_us() < until_us;) {
        step(&self, &out);
    }
    uint64_t control_us = control_stop()->max_us;
    puts("measured");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    report(&self, control_us);
    coffer__buf_free(&out);
    coffer__near_free(self.near);
    return 0;
}
