/* The cache from C: open, set, get, get_or_load, statistics, close.
 *
 *     hello [URL]        mem:// unless a server is named: redis://localhost
 *
 * The shape is a program's own: a "database" that is slow to ask, and a cache in front of it.
 */
#include <coffer/coffer.h>

#include <stdio.h>

typedef struct database {
    int queries;
} database;

/* What coffer_get_or_load runs on a miss: it gives the value that is stored, or says that there is none. */
static coffer_status load_user(coffer_load *load, coffer_slice key, void *user_data) {
    database *db = (database *)user_data;
    db->queries++;
    if (!coffer_slice_equal(key, COFFER_SLICE("user:42"))) {
        return coffer_loaded_absent(load);
    }
    return coffer_loaded(load, COFFER_SLICE("Ada Lovelace"), NULL);
}

static coffer_status show(const char *what, coffer_status status, coffer_value *value, const coffer_error *error) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, error->text);
        return status;
    }
    if (status == COFFER_MISS) {
        printf("%s: nothing (%s)\n", what, coffer_source_name(value->source));
    } else {
        printf("%s: %.*s (%s)\n", what, (int)value->data.len, value->data.data, coffer_source_name(value->source));
    }
    coffer_value_clear(value);
    return COFFER_OK;
}

static coffer_status set_and_get(coffer_cache *cache, coffer_error *error) {
    coffer_write_options a_minute = COFFER_WRITE_OPTIONS_INIT;
    a_minute.ttl_ms = 60000;
    coffer_status status = coffer_set(cache, COFFER_SLICE("greeting"), COFFER_SLICE("hello"), &a_minute, error);
    if (status < 0) {
        return show("set", status, NULL, error);
    }
    coffer_value value = {0};
    status = coffer_get(cache, COFFER_SLICE("greeting"), NULL, &value, error);
    return show("get", status, &value, error);
}

static coffer_status load_twice(coffer_cache *cache, coffer_slice key, coffer_error *error) {
    database db = {0};
    for (int round = 0; round < 2; round++) {
        coffer_value value = {0};
        coffer_status status = coffer_get_or_load(cache, key, load_user, &db, NULL, &value, error);
        status = show("get_or_load", status, &value, error);
        if (status < 0) {
            return status;
        }
    }
    printf("asked twice, the database answered %d time\n", db.queries);
    return COFFER_OK;
}

static void print_stats(coffer_cache *cache) {
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    if (coffer_stats(cache, &metrics) == COFFER_OK) {
        printf("hits %llu, misses %llu, sets %llu, loads %llu\n", (unsigned long long)metrics.counters.hits,
               (unsigned long long)metrics.counters.misses, (unsigned long long)metrics.counters.sets, (unsigned long long)metrics.counters.loads);
    }
}

int main(int argc, char **argv) {
    coffer_cache *cache = NULL;
    coffer_error error = {0};
    if (coffer_open_url(&cache, argc > 1 ? argv[1] : "mem://", &error) != COFFER_OK) {
        fprintf(stderr, "open: %s\n", error.text);
        return 1;
    }
    bool good = set_and_get(cache, &error) == COFFER_OK && load_twice(cache, COFFER_SLICE("user:42"), &error) == COFFER_OK &&
                load_twice(cache, COFFER_SLICE("user:nobody"), &error) == COFFER_OK;
    print_stats(cache);
    coffer_close(cache);
    return good ? 0 : 1;
}
