/* Random operations on the store and on a plain table beside it. */
#include "near/near.h"

#include "support/cmocka_all.h"

enum { KEYS = 512, VALUE_MAX = 4000, OPERATIONS = 200000 };

typedef struct model_entry {
    bool is_there;
    uint64_t expires_at_ms;
    size_t len;
    char bytes[VALUE_MAX];
} model_entry;

typedef struct world {
    coffer__near *near;
    model_entry *model;
    uint64_t now_ms;
    uint64_t random;
    bool may_evict; /* a MISS of what the model has is allowed; a wrong value never */
} world;

static uint64_t draw(world *w, uint64_t below) {
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (w->random >> 33) % below;
}

/* Keys of different lengths, NUL bytes in them. */
static coffer_slice key_of(size_t number, char key[40]) {
    memset(key, 0, 40);
    memcpy(key, &number, 2);
    return coffer_slice_of(key, 2 + number % 38);
}

static model_entry *living(world *w, size_t number) {
    model_entry *entry = &w->model[number];
    entry->is_there = entry->is_there && entry->expires_at_ms > w->now_ms;
    return entry->is_there ? entry : NULL;
}

/* Brings the model up to what the store has evicted, after checking that it is nothing else. */
static model_entry *agree(world *w, size_t number) {
    char key[40];
    coffer__buf out = COFFER__BUF_INIT;
    uint64_t expires_at_ms = 0;
    model_entry *entry = living(w, number);
    coffer_status status = coffer__near_get(w->near, key_of(number, key), w->now_ms, &out, &expires_at_ms);
    if (status == COFFER_OK) {
        assert_non_null(entry);
        assert_true(coffer_slice_equal(coffer__buf_slice(&out), coffer_slice_of(entry->bytes, entry->len)));
        assert_int_equal(expires_at_ms, entry->expires_at_ms);
    } else {
        assert_int_equal(status, COFFER_MISS);
        assert_true(entry == NULL || w->may_evict);
        w->model[number].is_there = false;
        entry = NULL;
    }
    coffer__buf_free(&out);
    return entry;
}

static uint64_t some_end(world *w) {
    return draw(w, 3) == 0 ? UINT64_MAX : w->now_ms + draw(w, 3000);
}

static void do_put(world *w, size_t number) {
    char key[40];
    char value[VALUE_MAX];
    size_t len = draw(w, 4) == 0 ? draw(w, VALUE_MAX) : draw(w, 60);
    memset(value, (int)draw(w, 256), len);
    model_entry *entry = agree(w, number);
    coffer__near_condition condition = {(coffer__near_when)draw(w, 4), draw(w, 8), coffer_slice_of(value, 0), 3};
    if (entry != NULL && condition.when == COFFER__NEAR_MATCH) {
        condition.bytes = coffer_slice_of(entry->bytes, entry->len < 3 ? entry->len : 3);
        condition.offset = 0;
    }
    bool is_met = condition.when == COFFER__NEAR_ALWAYS || (condition.when == COFFER__NEAR_ABSENT) == (entry == NULL);
    uint64_t end_ms = some_end(w);
    coffer_status status = coffer__near_put(w->near, key_of(number, key), coffer_slice_of(value, len), w->now_ms, end_ms, &condition);
    assert_int_equal(status, is_met ? COFFER_OK : COFFER_NOT_STORED);
    if (is_met) {
        w->model[number].is_there = true;
        w->model[number].expires_at_ms = end_ms;
        w->model[number].len = len;
        memcpy(w->model[number].bytes, value, len);
    }
}

static void do_delete(world *w, size_t number) {
    char key[40];
    model_entry *entry = agree(w, number);
    assert_int_equal(coffer__near_delete(w->near, key_of(number, key), w->now_ms), entry == NULL ? COFFER_MISS : COFFER_OK);
    w->model[number].is_there = false;
}

static void do_expire(world *w, size_t number) {
    char key[40];
    uint64_t end_ms = some_end(w);
    model_entry *entry = agree(w, number);
    assert_int_equal(coffer__near_expire(w->near, key_of(number, key), w->now_ms, end_ms), entry == NULL ? COFFER_MISS : COFFER_OK);
    if (entry != NULL) {
        entry->expires_at_ms = end_ms;
    }
}

static void do_add(world *w, size_t number) {
    char key[40];
    int64_t sum = 0;
    int64_t delta = (int64_t)draw(w, 2000) - 1000;
    uint64_t end_ms = some_end(w);
    model_entry *entry = agree(w, number);
    coffer_status status = coffer__near_add(w->near, key_of(number, key), delta, w->now_ms, end_ms, &sum);
    if (entry == NULL) {
        assert_int_equal(status, COFFER_OK);
        assert_int_equal(sum, delta);
        w->model[number].is_there = true;
        w->model[number].expires_at_ms = end_ms;
    }
    assert_true(status == COFFER_OK || status == COFFER_NOT_INTEGER);
    if (status == COFFER_OK) {
        w->model[number].len = (size_t)snprintf(w->model[number].bytes, VALUE_MAX, "%lld", (long long)sum);
    }
}

static void run(size_t memory_bytes, size_t keys, bool may_evict) {
    static void (*const steps[])(world *, size_t) = {do_put, do_put, do_put, do_delete, do_expire, do_add};
    world w = {.now_ms = 1000, .random = 20, .may_evict = may_evict};
    w.model = (model_entry *)calloc(keys, sizeof *w.model);
    assert_non_null(w.model);
    assert_int_equal(coffer__near_new(&w.near, memory_bytes), COFFER_OK);
    for (size_t i = 0; i < OPERATIONS; i++) {
        steps[draw(&w, sizeof steps / sizeof steps[0])](&w, draw(&w, keys));
        w.now_ms += draw(&w, 3);
    }
    size_t there = 0;
    for (size_t i = 0; i < keys; i++) {
        there += agree(&w, i) != NULL;
    }
    coffer__near_stats stats;
    coffer__near_stats_read(w.near, &stats);
    assert_int_equal(stats.entries, there);
    assert_true((stats.evictions > 0) == may_evict);
    coffer__near_free(w.near);
    free(w.model);
}

static void test_with_ample_memory_the_store_is_the_model(void **state) {
    (void)state;
    run((size_t)64 * 1024 * 1024, KEYS, false);
}

static void test_with_little_memory_it_forgets_but_is_never_wrong(void **state) {
    (void)state;
    run((size_t)1024 * 1024, 16 * KEYS, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_ample_memory_the_store_is_the_model),
        cmocka_unit_test(test_with_little_memory_it_forgets_but_is_never_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
