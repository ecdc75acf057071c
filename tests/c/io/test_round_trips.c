/* Keys and values at the edges of what is allowed come back exactly, in the process and from a real server; those beyond are refused before any I/O. */
#include "helpers.h"
#include "with_server.h"

enum { LONGEST_KEY = 250, LONGEST_BYTES_KEY = 64 << 10, MIB = 1 << 20, MOST_KEYS = 32 };

static char zeros[MIB + 1], letters[MIB], all_bytes[256];

/* Calls `check` with a cache in the process, and with one on the server where there is one. */
static void on_both(void (*check)(coffer_cache *cache), const char *options) {
    char url[400];
    for (int remote = 0; remote <= is_there; remote++) {
        coffer_cache *cache = NULL;
        coffer_error error = {.text = ""};
        int len = remote ? snprintf(url, sizeof url, "redis://127.0.0.1:%u/0?", (unsigned)server.port) : snprintf(url, sizeof url, "mem://?");
        snprintf(url + len, sizeof url - (size_t)len, "namespace=n&%s", options);
        if (coffer_open_url(&cache, url, &error) != COFFER_OK) {
            fail_msg("%s", error.text);
        }
        check(cache);
        coffer_close(cache);
    }
}

static void assert_got(coffer_cache *cache, coffer_slice key, coffer_slice wanted) {
    coffer_value value;
    coffer_error error = {.text = ""};
    if (coffer_get(cache, key, NULL, &value, &error) != COFFER_OK) {
        fail_msg("no value of %zu bytes under a key of %zu: %s", wanted.len, key.len, error.text);
    }
    assert_true(coffer_slice_equal(value.data, wanted));
    coffer_value_clear(&value);
}

/* ---- keys --------------------------------------------------------------------------------------------------------- */

#define KEY(text)                                                                                                                                    \
    { text, sizeof text - 1 }

static const coffer_slice text_keys[] = {
    KEY("{}"), KEY("{a}{b}"), KEY("a{b"), KEY("%s%n"),  KEY("%41"), KEY("A"), KEY("#"),        KEY("#A"),
    KEY(" "),  KEY("*"),      KEY("a:b"), KEY("a%3Ab"), KEY("a*b"), KEY(":"), KEY("\xc3\xa9"), {letters, LONGEST_KEY},
};

static const coffer_slice byte_keys[] = {
    KEY("\0"),
    KEY("a\0"),
    KEY("a\0b"),
    KEY("\xff"),
    KEY("\xc3"),
    KEY("\xc3("),
    KEY("\xed\xa0\x80"),
    KEY("\r\n"),
    KEY("a\r\nDEL b\r\n"),
    {all_bytes, sizeof all_bytes},
    {letters, LONGEST_KEY + 1},
    {zeros, LONGEST_BYTES_KEY},
};

static const coffer_slice no_keys[] = {KEY(""), {zeros, LONGEST_BYTES_KEY + 1}, {letters, MIB}};

enum {
    TEXT_KEYS = sizeof text_keys / sizeof text_keys[0],
    BYTE_KEYS = sizeof byte_keys / sizeof byte_keys[0],
    NO_KEYS = sizeof no_keys / sizeof no_keys[0]
};

/* All of them are there at once, each with its own bytes as its value and a counter of its own: none has taken another's place. */
static void store_and_find(coffer_cache *cache, const coffer_slice *keys, size_t count) {
    coffer_value values[MOST_KEYS];
    coffer_status statuses[MOST_KEYS];
    assert_true(count <= MOST_KEYS);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(coffer_set(cache, keys[i], keys[i], NULL, NULL), COFFER_OK);
        assert_int_equal(coffer_increment(cache, keys[i], (int64_t)i + 1, NULL, NULL, NULL), COFFER_OK);
    }
    assert_int_equal(coffer_get_many(cache, keys, count, NULL, values, statuses, NULL), COFFER_OK);
    for (size_t i = 0; i < count; i++) {
        int64_t counter = 0;
        assert_got(cache, keys[i], keys[i]);
        assert_int_equal(statuses[i], COFFER_OK);
        assert_true(coffer_slice_equal(values[i].data, keys[i]));
        assert_int_equal(coffer_counter(cache, keys[i], &counter, NULL), COFFER_OK);
        assert_int_equal(counter, i + 1);
    }
    coffer_values_clear(values, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(coffer_delete(cache, keys[i], NULL), COFFER_OK);
        assert_int_equal(coffer_reset_counter(cache, keys[i], NULL), COFFER_OK);
        assert_int_equal(coffer_exists(cache, keys[i], NULL), COFFER_MISS);
    }
}

static void check_text_keys(coffer_cache *cache) {
    store_and_find(cache, text_keys, TEXT_KEYS);
}

static void check_byte_keys(coffer_cache *cache) {
    coffer_slice keys[MOST_KEYS];
    memcpy(keys, text_keys, sizeof text_keys);
    memcpy(keys + TEXT_KEYS, byte_keys, sizeof byte_keys);
    store_and_find(cache, keys, TEXT_KEYS + BYTE_KEYS);
}

static void test_keys_come_back_exactly(void **state) {
    (void)state;
    on_both(check_text_keys, "key_rules=default");
    on_both(check_byte_keys, "key_rules=bytes");
    on_both(check_byte_keys, "key_rules=bytes&seal_key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    on_both(check_byte_keys, "key_rules=bytes&raw=true");
}

static void refuse_key(coffer_cache *cache, coffer_slice key) {
    coffer_value value, many[2];
    coffer_status statuses[2];
    const coffer_slice keys[] = {COFFER_SLICE("good"), key};
    const coffer_item items[] = {{.key = keys[0]}, {.key = key}};
    const coffer_status got[] = {
        coffer_get(cache, key, NULL, &value, NULL),
        coffer_set(cache, key, key, NULL, NULL),
        coffer_add(cache, key, key, NULL, NULL),
        coffer_delete(cache, key, NULL),
        coffer_exists(cache, key, NULL),
        coffer_expire(cache, key, 1000, NULL),
        coffer_increment(cache, key, 1, NULL, NULL, NULL),
        coffer_get_many(cache, keys, 2, NULL, many, statuses, NULL),
        coffer_set_many(cache, items, 2, NULL, NULL, NULL),
        coffer_delete_many(cache, keys, 2, NULL, NULL, NULL),
    };
    for (size_t i = 0; i < sizeof got / sizeof got[0]; i++) {
        assert_int_equal(got[i], COFFER_KEY_INVALID);
    }
    assert_null(value.owner); /* what is refused leaves nothing to free */
    assert_null(many[0].owner);
}

static void refuse_keys(const char *rules, const coffer_slice *keys, size_t count) {
    coffer_cache *cache = open_at(1, rules); /* nobody is there: any I/O would be another error, and be counted */
    for (size_t i = 0; i < count; i++) {
        refuse_key(cache, keys[i]);
    }
    coffer_metrics metrics = stats_of(cache);
    assert_int_equal(metrics.connections_made + metrics.connections_failed, 0);
    coffer_close(cache);
}

static void test_other_keys_are_refused_before_any_io(void **state) {
    (void)state;
    static const char *const rules[] = {"&key_rules=default", "&key_rules=strict", "&key_rules=bytes"};
    for (size_t i = 0; i < 3; i++) {
        refuse_keys(rules[i], no_keys, NO_KEYS);
    }
    refuse_keys(rules[0], byte_keys, BYTE_KEYS);
    refuse_keys(rules[1], byte_keys, BYTE_KEYS);
    refuse_keys(rules[1], text_keys, 5);
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

static void check_values(coffer_cache *cache) {
    const coffer_slice values[] = {
        KEY(""), KEY("\0"), KEY("x"), {all_bytes, sizeof all_bytes}, {zeros, MIB - 1}, {zeros, MIB}, {letters, MIB},
    };
    const coffer_slice key = COFFER_SLICE("k"), too_large = coffer_slice_of(zeros, MIB + 1);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const coffer_item item = {.key = key, .value = values[i]}, large_item = {.key = key, .value = too_large};
        coffer_error error = {.text = ""};
        assert_int_equal(coffer_set(cache, key, values[i], NULL, NULL), COFFER_OK);
        assert_got(cache, key, values[i]);
        assert_int_equal(coffer_set(cache, key, too_large, NULL, &error), COFFER_TOO_LARGE);
        assert_non_null(strstr(error.text, "max_value"));
        assert_int_equal(coffer_set_many(cache, &large_item, 1, NULL, NULL, NULL), COFFER_TOO_LARGE);
        assert_got(cache, key, values[i]); /* the one that is refused changes nothing */
        assert_int_equal(coffer_set_many(cache, &item, 1, NULL, NULL, NULL), COFFER_OK);
        assert_got(cache, key, values[i]);
        assert_int_equal(coffer_delete(cache, key, NULL), COFFER_OK);
        assert_int_equal(coffer_add(cache, key, too_large, NULL, NULL), COFFER_TOO_LARGE);
        assert_int_equal(coffer_add(cache, key, values[i], NULL, NULL), COFFER_OK);
        assert_got(cache, key, values[i]);
        assert_int_equal(coffer_delete(cache, key, NULL), COFFER_OK);
    }
}

static void test_values_come_back_exactly_up_to_the_limit(void **state) {
    (void)state;
    on_both(check_values, "max_value=1MiB");
    on_both(check_values, "max_value=1MiB&compress=never");
    on_both(check_values, "max_value=1MiB&raw=true");
    on_both(check_values, "max_value=1MiB&seal_key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=&seal_pad=padme");
}

/* ---- times -------------------------------------------------------------------------------------------------------- */

static void check_a_millisecond(coffer_cache *cache) {
    coffer_write_options brief = COFFER_WRITE_OPTIONS_INIT;
    const coffer_slice key = COFFER_SLICE("brief");
    coffer_value value;
    brief.ttl_ms = 1;
    assert_int_equal(coffer_set(cache, key, key, &brief, NULL), COFFER_OK);
    uint64_t until = real_ms() + 5000;
    coffer_status status;
    do {
        status = coffer_get(cache, key, NULL, &value, NULL);
        coffer_value_clear(&value);
    } while (status == COFFER_OK && real_ms() < until);
    assert_int_equal(status, COFFER_MISS);
    brief.ttl_ms = INT64_MAX;
    assert_int_equal(coffer_set(cache, key, key, &brief, NULL), COFFER_ARG);
    assert_int_equal(coffer_expire(cache, key, 0, NULL), COFFER_ARG);
    assert_int_equal(coffer_get(cache, key, NULL, &value, NULL), COFFER_MISS);
}

static void test_a_millisecond_is_a_life_and_the_largest_number_is_not_for_ever(void **state) {
    (void)state;
    on_both(check_a_millisecond, "ttl_jitter=0");
    on_both(check_a_millisecond, "ttl_jitter=0&raw=true");
}

static int start(void **state) {
    memset(letters, 'k', sizeof letters);
    for (size_t i = 0; i < sizeof all_bytes; i++) {
        all_bytes[i] = (char)i;
    }
    return start_server(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_come_back_exactly),
        cmocka_unit_test(test_other_keys_are_refused_before_any_io),
        cmocka_unit_test(test_values_come_back_exactly_up_to_the_limit),
        cmocka_unit_test(test_a_millisecond_is_a_life_and_the_largest_number_is_not_for_ever),
    };
    return cmocka_run_group_tests(tests, start, stop_server);
}
