/* What each consumer does, in the C that is C++ too: sets, reads, loads, counts. Ends with 0 where all was as it should be. */
#ifndef COFFER_TESTS_PACKAGING_CONSUMER_H
#define COFFER_TESTS_PACKAGING_CONSUMER_H

#include <coffer/coffer.h>

#include <stdio.h>

static coffer_status consumer_load(coffer_load *load, coffer_slice key, void *user_data) {
    ++*(int *)user_data;
    return coffer_loaded(load, key, NULL);
}

static bool consumer_reads(coffer_cache *cache, coffer_slice key, coffer_slice wanted) {
    coffer_value value;
    if (coffer_get(cache, key, NULL, &value, NULL) != COFFER_OK) {
        return false;
    }
    bool same = coffer_slice_equal(value.data, wanted);
    coffer_value_clear(&value);
    return same;
}

static bool consumer_loads(coffer_cache *cache) {
    int loads = 0;
    for (int round = 0; round < 2; round++) {
        coffer_value value;
        if (coffer_get_or_load(cache, COFFER_SLICE("loaded"), consumer_load, &loads, NULL, &value, NULL) != COFFER_OK) {
            return false;
        }
        coffer_value_clear(&value);
    }
    return loads == 1;
}

static int consumer_main(const char *url) {
    coffer_cache *cache;
    coffer_error error;
    coffer_write_options a_minute = COFFER_WRITE_OPTIONS_INIT;
    a_minute.ttl_ms = 60000;
    if (strcmp(coffer_version(), COFFER_VERSION) != 0) {
        fprintf(stderr, "the header is of %s, the library of %s\n", COFFER_VERSION, coffer_version());
        return 1;
    }
    if (coffer_open_url(&cache, url, &error) != COFFER_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    bool good = coffer_set(cache, COFFER_SLICE("key"), COFFER_SLICE("value"), &a_minute, &error) == COFFER_OK &&
                consumer_reads(cache, COFFER_SLICE("key"), COFFER_SLICE("value")) && consumer_loads(cache);
    coffer_close(cache);
    printf("coffer %s %s\n", coffer_version(), good ? "works" : "does not work");
    return good ? 0 : 1;
}

#endif
