/* A program as users write them, on threads, which knows of each value that it reads whether it is the right one (values.h), and of each operation
 * whether it ended in time.
 *
 *     fault_load url=redis://127.0.0.1:6379/0 [check_url=...] [threads=8] [ms=5000] ...        numbers: SETTING_MAP of load.h
 *
 * While it runs: "gap A B" where no operation at all was answered between two moments of CLOCK_MONOTONIC (microseconds); "hang ..." for an operation
 * that does not end. SIGTERM ends it early. At its end one line of JSON. It knows nothing but Coffer's public headers. */
#include "load.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { WATCH_US = 10000, LAST_PATIENCE_US = 5000000 };

static worker workers[THREADS_MAX];
static atomic_bool stops;
static _Atomic uint64_t hangs;
static uint64_t peak_at_first_bytes;

/* ---- success ------------------------------------------------------------------------------------------------------ */

static _Atomic uint64_t last_success_us;
static uint64_t told_gap_us;

void successes_set_gap(uint64_t gap_us) {
    told_gap_us = gap_us;
    atomic_store(&last_success_us, now_us());
}

void successes_note(void) {
    uint64_t now = now_us(), before = atomic_exchange(&last_success_us, now);
    if (now > before && now - before > told_gap_us) {
        printf("gap %llu %llu\n", (unsigned long long)before, (unsigned long long)now);
    }
}

static void stop(int number) {
    (void)number;
    atomic_store(&stops, true);
}

/* ---- threads ------------------------------------------------------------------------------------------------------ */

static bool goes_on(const worker *self) {
    uint64_t share = self->settings->operations / self->settings->threads;
    return !atomic_load(&stops) && (share == 0 || self->tally.operations < share);
}

static void *work(void *argument) {
    worker *self = (worker *)argument;
    while (goes_on(self)) {
        worker_step(self);
        if (self->settings->pause_us > 0) {
            sleep_us(worker_random(self, self->settings->pause_us + 1));
        }
    }
    atomic_store(&self->is_done, true);
    return NULL;
}

/* A caller is inside for longer than it may: told once for each operation. */
static void watch(worker *one, uint64_t hang_us) {
    uint64_t ends_at_us = atomic_load(&one->ends_at_us);
    bool hangs_now = ends_at_us != 0 && now_us() > ends_at_us + hang_us;
    if (hangs_now && !atomic_exchange(&one->has_hung, true)) {
        atomic_fetch_add(&hangs, 1);
        printf("hang thread=%u late_ms=%llu\n", one->index, (unsigned long long)(now_us() - ends_at_us) / 1000);
    }
    if (!hangs_now) {
        atomic_store(&one->has_hung, false);
    }
}

static bool all_done(const settings *wanted) {
    for (size_t i = 0; i < wanted->threads; i++) {
        if (!atomic_load(&workers[i].is_done)) {
            return false;
        }
    }
    return true;
}

static void watch_until(const settings *wanted, uint64_t end_us, bool only_till_stopped) {
    while (now_us() < end_us && !all_done(wanted) && !(only_till_stopped && atomic_load(&stops))) {
        for (size_t i = 0; i < wanted->threads; i++) {
            watch(&workers[i], wanted->hang_ms * 1000);
        }
        sleep_us(WATCH_US);
    }
}

/* ---- figures ------------------------------------------------------------------------------------------------------ */

static tally sum;

static void add_up(const settings *wanted) {
    for (size_t i = 0; i < wanted->threads; i++) {
        const tally *own = &workers[i].tally;
        sum.operations += own->operations;
        sum.values += own->values;
        sum.wrong += own->wrong;
        sum.cancelled += own->cancelled;
        sum.counted_sure += own->counted_sure;
        sum.counted_maybe += own->counted_maybe;
        sum.timed_out += own->timed_out;
        for (size_t status = 0; status < STATUSES; status++) {
            sum.by_status[status] += own->by_status[status];
        }
        lateness_merge(&sum.overshoot, &own->overshoot);
    }
}

/* An outage is an error to every operation: what came of it has to be seen. */
static coffer_status open_at(coffer_cache **cache, const char *url, coffer_error *error) {
    coffer_options *options = coffer_options_new();
    coffer_status status = options == NULL ? COFFER_NO_MEMORY : coffer_options_set(options, "on_outage", COFFER_SLICE("error"), error);
    status = status == COFFER_OK ? coffer_options_set_url(options, coffer_slice_text(url), error) : status;
    status = status == COFFER_OK ? coffer_open(cache, options, error) : status;
    coffer_options_free(options);
    return status;
}

/* How many counters are less than what was acknowledged, or more than what may have been applied (F06). */
static uint64_t wrong_counters(const settings *wanted) {
    coffer_cache *cache = NULL;
    uint64_t wrong = 0;
    if (wanted->count_permille == 0 || open_at(&cache, wanted->check_url, NULL) != COFFER_OK) {
        return wanted->count_permille > 0;
    }
    for (size_t i = 0; i < wanted->threads; i++) {
        char key[32];
        int64_t count = 0;
        snprintf(key, sizeof key, "count%zu", i);
        coffer_status status = coffer_counter(cache, coffer_slice_text(key), &count, NULL);
        uint64_t sure = workers[i].tally.counted_sure, found = (uint64_t)count;
        if (status < 0 || found < sure || found > sure + workers[i].tally.counted_maybe) {
            wrong++;
            printf("counter %s: %llu, acknowledged %llu, perhaps %llu more\n", key, (unsigned long long)found, (unsigned long long)sure,
                   (unsigned long long)workers[i].tally.counted_maybe);
        }
    }
    coffer_close(cache);
    return wrong;
}

static void say_statuses(void) {
    const char *comma = "";
    printf("\"errors\": {");
    for (int status = 1; status < STATUSES; status++) {
        if (sum.by_status[status] > 0) {
            printf("%s\"%s\": %llu", comma, coffer_status_name((coffer_status)-status), (unsigned long long)sum.by_status[status]);
            comma = ", ";
        }
    }
    printf("}");
}

static void say(const char *name, uint64_t number) {
    printf("\"%s\": %llu, ", name, (unsigned long long)number);
}

/* The most memory that the program ever had in use; what getrusage says is also of who started it. */
static uint64_t peak_bytes(void) {
    unsigned long long kib = 0;
    char line[128];
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        sscanf(line, "VmHWM: %llu kB", &kib);
    }
    if (status != NULL) {
        fclose(status);
    }
    return kib * 1024;
}

static void report(const settings *wanted, coffer_cache *cache, const lateness *control) {
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    coffer_stats(cache, &metrics);
    uint64_t grown_bytes = peak_bytes() - peak_at_first_bytes;
    add_up(wanted);
    printf("{");
    say("grown_bytes", grown_bytes);
    say("operations", sum.operations);
    say("values", sum.values);
    say("wrong", sum.wrong);
    say("hangs", atomic_load(&hangs));
    say("cancelled", sum.cancelled);
    say("timed_out", sum.timed_out);
    say("counted_sure", sum.counted_sure);
    say("counted_maybe", sum.counted_maybe);
    say("wrong_counters", wrong_counters(wanted));
    say("overshoot_max_us", sum.overshoot.max_us);
    say("overshoot_p999_us", lateness_at(&sum.overshoot, 0.999));
    say("deadlines", sum.overshoot.count);
    say("control_max_us", control->max_us);
    say("control_p999_us", lateness_at(control, 0.999));
    say("links_in_use", metrics.connections_in_use);
    say("links_open", metrics.connections_open);
    say("links_made", metrics.connections_made);
    say("redirects", metrics.counters.redirects);
    say_statuses();
    printf("}\n");
}

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

static bool set(settings *wanted, const char *word) {
    const struct {
        const char *name;
        uint64_t *number;
    } numbers[] = {
#define SETTING_ROW(name, default, what) {#name "=", &wanted->name},
        SETTING_MAP(SETTING_ROW)
#undef SETTING_ROW
    };
    const struct {
        const char *name;
        const char **text;
    } texts[] = {{"url=", &wanted->url}, {"check_url=", &wanted->check_url}, {"only=", &wanted->only}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strncmp(word, numbers[i].name, strlen(numbers[i].name)) == 0) {
            *numbers[i].number = strtoull(word + strlen(numbers[i].name), NULL, 10);
            return true;
        }
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strncmp(word, texts[i].name, strlen(texts[i].name)) == 0) {
            *texts[i].text = word + strlen(texts[i].name);
            return true;
        }
    }
    return false;
}

static bool read_settings(settings *wanted, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (!set(wanted, argv[i])) {
            fprintf(stderr, "fault_load: there is no setting %s\n", argv[i]);
            return false;
        }
    }
    wanted->check_url = wanted->check_url == NULL ? wanted->url : wanted->check_url;
    return keys_choose(wanted) && wanted->url != NULL && wanted->threads > 0 && wanted->threads <= THREADS_MAX &&
           wanted->value_bytes >= VALUE_HEADER_BYTES;
}

static bool begin(const settings *wanted, coffer_cache *cache, pthread_t *threads) {
    for (uint32_t i = 0; i < wanted->threads; i++) {
        worker *one = &workers[i];
        one->settings = wanted;
        one->cache = cache;
        one->index = i;
        one->random = wanted->seed * 1000003 + i;
        one->scratch = (char *)malloc(wanted->value_bytes * MANY);
        if (one->scratch == NULL || pthread_create(&threads[i], NULL, work, one) != 0) {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv) {
    static settings wanted = {
#define SETTING_DEFAULT(name, default, what) .name = (default),
        SETTING_MAP(SETTING_DEFAULT)
#undef SETTING_DEFAULT
    };
    static pthread_t threads[THREADS_MAX];
    coffer_cache *cache;
    coffer_error error;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!read_settings(&wanted, argc, argv)) {
        return 2;
    }
    if (open_at(&cache, wanted.url, &error) != COFFER_OK) {
        fprintf(stderr, "fault_load: %s\n", error.text);
        return 1;
    }
    signal(SIGTERM, stop);
    successes_set_gap(wanted.gap_ms * 1000);
    control_start();
    peak_at_first_bytes = peak_bytes();
    uint64_t end_us = now_us() + wanted.ms * 1000;
    if (!begin(&wanted, cache, threads)) {
        return 1;
    }
    watch_until(&wanted, end_us, true);
    atomic_store(&stops, true);
    watch_until(&wanted, now_us() + wanted.timeout_ms * 1000 + wanted.hang_ms * 1000 + LAST_PATIENCE_US, false);
    if (!all_done(&wanted)) { /* those that hang cannot be joined */
        report(&wanted, cache, control_stop());
        fflush(stdout);
        _exit(3);
    }
    for (size_t i = 0; i < wanted.threads; i++) {
        pthread_join(threads[i], NULL);
        free(workers[i].scratch);
    }
    report(&wanted, cache, control_stop());
    coffer_close(cache);
    return 0;
}
