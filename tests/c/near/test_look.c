/* Reading without a lock, beside writers that write, stop and die, and over memory in which anything may stand. */
#include "near/copies.h"
#include "near/look.h"

#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1024 * 1024)
#define FOREVER UINT64_MAX

enum { PAGE = COFFER__ARENA_PAGE, CHANNEL_NODE = 77, NOW = 1000 };

/* An arena that other processes have too, between two pages that nobody may touch. */
static struct {
    char *mapped;
    size_t bytes;
    coffer__near near;
    unsigned channel;
} here;

static int set_up(void **state) {
    (void)state;
    memset(&here, 0, sizeof here);
    here.bytes = 4 * MIB;
    here.mapped = (char *)mmap(NULL, here.bytes + 2 * PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (here.mapped == MAP_FAILED || mprotect(here.mapped + PAGE, here.bytes, PROT_READ | PROT_WRITE) != 0) {
        return -1;
    }
    char *arena = here.mapped + PAGE;
    if (coffer__arena_make(arena, here.bytes, 0, true) != COFFER_OK) {
        return -1;
    }
    atomic_store(&((coffer__arena_head *)(void *)arena)->magic, COFFER__ARENA_MAGIC);
    here.near.is_shared = true;
    coffer__lead lead = {.fence = 0};
    if (coffer__arena_attach(&here.near, arena, here.bytes, 0) != NULL || !coffer__lead_hold(&here.near.head->coherence, &lead, 1, NOW)) {
        return -1;
    }
    int channel = coffer__channel_take(&here.near.head->coherence, &lead, CHANNEL_NODE);
    here.channel = (unsigned)channel;
    return channel >= 0 && coffer__channel_heard(&here.near.head->coherence, &lead, here.channel, NOW, NOW) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return munmap(here.mapped, here.bytes + 2 * PAGE);
}

static coffer_status fill(coffer__near *near, coffer_slice key, coffer_slice value) {
    coffer__near_token token;
    coffer__near_copy copy = {.value = value, .channel = here.channel, .expires_at_ms = FOREVER};
    coffer__near_expect(near, key, NOW, &token);
    return coffer__near_fill(near, &token, key, &copy, NOW);
}

/* A value says of which key it is, over all its length. */
enum { VALUE_MAX = 3000 };

static coffer_slice value_of(uint32_t key, uint32_t choice, char value[VALUE_MAX]) {
    size_t len = choice % 7 == 0 ? choice % VALUE_MAX : choice % 120;
    memset(value, (int)((key * 31 + choice) & 0xFF), len);
    for (size_t i = 0; i + 4 <= len; i += 64) {
        memcpy(value + i, &key, sizeof key);
    }
    return coffer_slice_of(value, len);
}

static bool is_of(uint32_t key, const coffer__buf *out) {
    for (size_t i = 0; i + 4 <= out->len; i += 64) {
        if (memcmp(out->data + i, &key, sizeof key) != 0) {
            return false;
        }
        size_t end = out->len - i < 64 ? out->len - i : 64;
        for (size_t j = 5; j < end; j++) {
            if (out->data[i + j] != out->data[i + 4]) {
                return false;
            }
        }
    }
    return true;
}

static coffer_slice key_of(const uint32_t *key) {
    return coffer_slice_of(key, sizeof *key);
}

static size_t fill_keys(uint32_t from, uint32_t to) {
    char value[VALUE_MAX];
    size_t stored = 0;
    for (uint32_t key = from; key < to; key++) {
        stored += fill(&here.near, key_of(&key), value_of(key, 100, value)) == COFFER_OK;
    }
    return stored;
}

/* How many of the keys are there; each that is, is right. */
static size_t count_keys(uint32_t from, uint32_t to) {
    coffer__buf out = COFFER__BUF_INIT;
    coffer__near_found found;
    size_t there = 0;
    for (uint32_t key = from; key < to; key++) {
        coffer__buf_clear(&out);
        if (coffer__near_look(&here.near, key_of(&key), NOW, &out, &found) == COFFER_OK) {
            assert_true(is_of(key, &out));
            there++;
        }
    }
    coffer__buf_free(&out);
    return there;
}

/* ---- what a hit costs ---- */

static void test_a_hit_writes_nothing_once_it_was_counted(void **state) {
    (void)state;
    assert_int_equal(fill_keys(0, 100), 100);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(count_keys(0, 100), 100);
    }
    assert_int_equal(mprotect(here.mapped + PAGE, here.bytes, PROT_READ), 0);
    assert_int_equal(count_keys(0, 100), 100);
    assert_int_equal(count_keys(1000, 1100), 0);
    assert_int_equal(mprotect(here.mapped + PAGE, here.bytes, PROT_READ | PROT_WRITE), 0);
}

static void test_a_hit_takes_no_memory_where_there_is_room(void **state) {
    (void)state;
    uint32_t key = 1;
    char value[VALUE_MAX];
    coffer__near_found found;
    coffer__buf out = COFFER__BUF_INIT;
    watched_alloc_begin(WATCHED_NEVER);
    assert_true(coffer__buf_reserve(&out, VALUE_MAX));
    size_t before = watched_alloc.request_count;
    assert_int_equal(fill(&here.near, key_of(&key), value_of(key, 100, value)), COFFER_OK);
    assert_int_equal(coffer__near_look(&here.near, key_of(&key), NOW, &out, &found), COFFER_OK);
    assert_true(coffer__near_confirms(&here.near, key_of(&key), found.version, NOW));
    assert_int_equal(watched_alloc.request_count, before);
    coffer__buf_free(&out);
    watched_alloc_end();
}

static bool always(const void *data) {
    (void)data;
    return true;
}

/* Who knows the secret can give all his keys one hash. They have seven places, whatever he does, and no look-up sees more than those. */
static void test_keys_of_one_hash_have_seven_places_and_no_more(void **state) {
    (void)state;
    enum { CRAFTED = 20000, FIRST = 1 << 20 };
    coffer__near_how how = {.expires_at_ms = FOREVER};
    uint64_t hash = UINT64_C(0x123456789ABCDEF0);
    coffer__sight sight;
    size_t there = 0;
    for (uint32_t key = FIRST; key < FIRST + CRAFTED; key++) {
        assert_int_equal(coffer__near_put_if(&here.near, hash, key_of(&key), COFFER_SLICE("v"), &how, NOW, always, NULL), COFFER_OK);
    }
    for (uint32_t key = FIRST; key < FIRST + CRAFTED; key++) {
        there += coffer__look(&here.near, hash, key_of(&key), NOW, NULL, &sight) == COFFER_OK;
    }
    assert_true(there > 0 && there <= COFFER__BUCKET_SLOTS);
}

/* ---- beside writers that stop and die ---- */

static size_t number_of(uint32_t key) {
    return coffer__shard_number(&here.near, coffer__near_hash(&here.near, key_of(&key)));
}

/* A child that does that, says so, and waits to be killed. */
static pid_t child_that(void (*does)(uint32_t key), uint32_t key) {
    int said[2];
    char byte;
    assert_int_equal(pipe(said), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(30);
        does(key);
        (void)!write(said[1], "y", 1);
        pause();
        _exit(1);
    }
    assert_int_equal(read(said[0], &byte, 1), 1);
    close(said[0]);
    close(said[1]);
    return child;
}

static void kill_child(pid_t child) {
    int status;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void enter(uint32_t key) {
    if (!coffer__arena_enter(&here.near, number_of(key), COFFER__SHARD_WAIT_MS)) {
        _exit(2);
    }
}

static coffer__near_stats stats_now(void) {
    coffer__near_stats stats;
    coffer__near_stats_read(&here.near, &stats);
    return stats;
}

static void test_while_a_writer_is_stopped_reads_go_on_and_fills_give_up(void **state) {
    (void)state;
    uint32_t key = 5;
    char value[VALUE_MAX];
    assert_int_equal(fill_keys(0, 200), 200);
    pid_t child = child_that(enter, key);
    assert_int_equal(kill(child, SIGSTOP), 0);
    assert_int_equal(count_keys(0, 200), 200);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fill(&here.near, key_of(&key), value_of(key, 7, value)), COFFER_NOT_STORED);
    }
    assert_int_equal(stats_now().lock_timeouts, 3);
    coffer__near_drop(&here.near, key_of(&key)); /* all of the shard's copies die instead, and no other shard's */
    size_t left = count_keys(0, 200);
    assert_true(left < 200 && left > 0);
    kill_child(child);
    assert_int_equal(fill(&here.near, key_of(&key), value_of(key, 7, value)), COFFER_OK);
    assert_int_equal(stats_now().wiped_shards, 0); /* it died in between two changes */
    assert_int_equal(count_keys(key, key + 1), 1);
}

static bool count_one(void *data, coffer_slice key) {
    *(size_t *)data += key.len == sizeof(uint32_t);
    return true;
}

/* The status of the first page that is none; how many keys were given by then. */
static coffer_status scan(uint64_t *cursor, size_t *count) {
    coffer_status status = COFFER_OK;
    do {
        status = coffer__near_scan(&here.near, cursor, 1000, NOW, count_one, count);
    } while (status == COFFER_OK && *cursor != 0);
    return status;
}

/* Who clears the store would leave those keys behind, and say that all are gone. */
static void test_a_scan_does_not_pass_over_what_another_process_holds(void **state) {
    (void)state;
    uint64_t cursor = 0;
    size_t count = 0;
    assert_int_equal(fill_keys(0, 200), 200);
    pid_t child = child_that(enter, 5);
    assert_int_equal(scan(&cursor, &count), COFFER_AGAIN);
    assert_true(count < 200);
    kill_child(child);
    assert_int_equal(scan(&cursor, &count), COFFER_OK);
    assert_int_equal(count, 200);
}

/* As a put does it, up to its middle. */
static void begin_a_change(uint32_t key) {
    uint64_t hash = coffer__near_hash(&here.near, key_of(&key));
    enter(key);
    coffer__shard *shard = &here.near.shards[number_of(key)];
    atomic_store(&shard->state->changing, true);
    coffer__bucket *bucket = coffer__shard_bucket(shard, hash);
    coffer__bucket_open(bucket);
    for (size_t i = 0; i < COFFER__BUCKET_SLOTS; i++) {
        coffer__slot_store(&bucket->slots[i], UINT64_C(0xFFFFFFFFFFFFFFFF));
    }
}

static void test_one_that_dies_amid_a_change_costs_its_shard_and_no_other(void **state) {
    (void)state;
    uint32_t key = 5;
    char value[VALUE_MAX];
    coffer__near_found found;
    coffer__buf out = COFFER__BUF_INIT;
    assert_int_equal(fill_keys(0, 400), 400);
    kill_child(child_that(begin_a_change, key));
    assert_int_equal(coffer__near_look(&here.near, key_of(&key), NOW, &out, &found), COFFER_AGAIN);
    assert_int_equal(out.len, 0);
    size_t elsewhere = 0;
    for (uint32_t other = 0; other < 400; other++) {
        elsewhere += number_of(other) != number_of(key);
    }
    coffer__near_drop(&here.near, key_of(&key)); /* the first that takes the lock */
    assert_int_equal(stats_now().wiped_shards, 1);
    assert_int_equal(count_keys(0, 400), elsewhere);
    assert_int_equal(fill(&here.near, key_of(&key), value_of(key, 100, value)), COFFER_OK);
    assert_int_equal(fill_keys(0, 400), 400);
    assert_int_equal(count_keys(0, 400), 400);
    coffer__buf_free(&out);
}

/* ---- damaged memory ---- */

static uint64_t random_state = 1;
static uint32_t random_below(uint32_t end) {
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (uint32_t)((random_state >> 33) % end);
}

/* Anywhere but in the locks' page, which holds pointers; mostly where records and slots are. */
static void flip_a_bit(void) {
    size_t locks = (size_t)((char *)here.near.locks - (here.mapped + PAGE));
    size_t offset = random_below((uint32_t)here.bytes);
    if (offset < locks || offset >= locks + PAGE) {
        here.mapped[PAGE + offset] = (char)(here.mapped[PAGE + offset] ^ 1 << random_below(8));
    }
}

static void revive(void) {
    coffer__coherence *coherence = &here.near.head->coherence;
    atomic_store(&coherence->channels[here.channel].live, NOW + COFFER__LIVE_MS);
}

/* Damage that was aimed: whole words of slots and of heads in the log. */
static void damage_a_shard(void) {
    coffer__shard *shard = &here.near.shards[random_below((uint32_t)here.near.shard_count)];
    coffer__bucket *bucket = &shard->buckets[random_below(shard->bucket_count)];
    uint64_t slot = atomic_load(&bucket->slots[random_below(COFFER__BUCKET_SLOTS)]);
    uint32_t words = shard->log.segment_words * shard->log.segment_count;
    atomic_fetch_xor(&bucket->slots[random_below(COFFER__BUCKET_SLOTS)], (uint64_t)random_below(UINT32_MAX) << 32);
    if (slot >> 32 != 0) {
        uint32_t at = coffer__slot_position(slot) + random_below(COFFER__RECORD_WORDS + 4);
        atomic_fetch_xor(&shard->log.words[at < words ? at : 0], UINT64_C(1) << random_below(64));
    }
    if (random_below(16) == 0) {
        shard->log.segments[random_below(shard->log.segment_count)].next ^= random_below(UINT32_MAX);
    }
}

static void test_bits_flipped_anywhere_give_no_wrong_value_and_nothing_outside_is_read(void **state) {
    (void)state;
    size_t hits = 0;
    for (int round = 0; round < 40; round++) {
        fill_keys(0, 3000);
        for (int i = 0; i < 2000; i++) {
            i % 2 == 0 ? flip_a_bit() : damage_a_shard();
        }
        revive();
        hits += count_keys(0, 3000);
    }
    assert_true(hits > 10000);
}

/* Of a store that has no server behind it, whose value is damaged; `open`: while a writer is at the bucket, so that it is read under the lock. */
static void damage_value(coffer_slice key, bool open) {
    uint64_t hash = coffer__near_hash(&here.near, key);
    coffer__shard *shard = &here.near.shards[coffer__shard_number(&here.near, hash)];
    coffer__spot spot = coffer__shard_find(shard, hash, key, 0);
    assert_non_null(spot.slot);
    *coffer__log_at(&shard->log, coffer__log_value(&shard->log, spot.place, &spot.record)) ^= 1;
    if (open) {
        coffer__bucket_open(coffer__shard_bucket(shard, hash));
    }
}

static void test_what_was_damaged_is_no_value_under_the_lock_either(void **state) {
    (void)state;
    coffer__buf out = COFFER__BUF_INIT;
    for (int open = 0; open < 2; open++) {
        coffer__near_put(&here.near, COFFER_SLICE("k"), COFFER_SLICE("12345678"), 0, FOREVER, NULL);
        damage_value(COFFER_SLICE("k"), open != 0);
        assert_int_equal(coffer__near_get(&here.near, COFFER_SLICE("k"), 0, &out, NULL), COFFER_MISS);
        assert_int_equal(out.len, 0);
    }
    coffer__buf_free(&out);
}

static void test_nothing_is_added_to_a_number_that_was_damaged(void **state) {
    (void)state;
    int64_t sum = 0;
    coffer__near_put(&here.near, COFFER_SLICE("k"), COFFER_SLICE("12345678"), 0, FOREVER, NULL);
    damage_value(COFFER_SLICE("k"), false);
    assert_int_equal(coffer__near_add(&here.near, COFFER_SLICE("k"), 5, 0, FOREVER, &sum), COFFER_OK);
    assert_int_equal(sum, 5);
}

/* ---- threads ---- */

enum { THREADS = 16, ROUNDS = 6000, KEYS = 2000 };

static bool one_round(coffer__near *near, uint32_t key, uint32_t choice, coffer__buf *out) {
    char value[VALUE_MAX];
    coffer__near_found found;
    coffer__buf_clear(out);
    if (choice % 16 == 0) {
        coffer__near_drop(near, key_of(&key));
        return true;
    }
    if (choice % 16 < 5) {
        return fill(near, key_of(&key), value_of(key, choice, value)) >= COFFER_OK;
    }
    coffer_status status = coffer__near_look(near, key_of(&key), NOW, out, &found);
    return status >= COFFER_OK && is_of(key, out);
}

static void *hammer(void *argument) {
    uint64_t random = (uint64_t)(uintptr_t)argument;
    coffer__buf out = COFFER__BUF_INIT;
    bool well = true;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1;
        well = one_round(&here.near, (uint32_t)(random >> 33) % KEYS, (uint32_t)(random >> 40), &out) && well;
    }
    coffer__buf_free(&out);
    return well ? argument : NULL;
}

static void test_sixteen_threads_see_no_wrong_value(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(uintptr_t)(i + 1)), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *well;
        assert_int_equal(pthread_join(threads[i], &well), 0);
        assert_non_null(well);
    }
    assert_int_equal(stats_now().wiped_shards, 0);
}

static atomic_bool is_enough;

static void *change_its_size(void *argument) {
    coffer__near *near = (coffer__near *)argument;
    for (uint32_t i = 0; !atomic_load(&is_enough); i++) {
        coffer__near_put(near, COFFER_SLICE("k"), i % 2 == 0 ? COFFER_SLICE("1") : COFFER_SLICE("a longer one"), 0, FOREVER, NULL);
    }
    return NULL;
}

/* What a store without a server holds is there at any time, also while it is replaced. */
static void test_a_value_that_is_replaced_is_never_missing(void **state) {
    (void)state;
    coffer__near *near;
    pthread_t thread;
    coffer__buf out = COFFER__BUF_INIT;
    size_t missing = 0;
    assert_int_equal(coffer__near_new(&near, MIB), COFFER_OK);
    coffer__near_put(near, COFFER_SLICE("k"), COFFER_SLICE("1"), 0, FOREVER, NULL);
    assert_int_equal(pthread_create(&thread, NULL, change_its_size, near), 0);
    for (int i = 0; i < 3000; i++) {
        coffer__buf_clear(&out);
        missing += coffer__near_get(near, COFFER_SLICE("k"), 0, &out, NULL) != COFFER_OK;
    }
    atomic_store(&is_enough, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(missing, 0);
    coffer__buf_free(&out);
    coffer__near_free(near);
}

/* The moment of a replacement in which the old value is out and the new one not in. */
typedef struct replacement {
    coffer__near *near;
    atomic_bool is_out, may_end;
} replacement;

static void *replace_slowly(void *argument) {
    replacement *this = (replacement *)argument;
    coffer__shard *shard = &this->near->shards[0];
    coffer__arena_enter(this->near, 0, COFFER__STORE_WAIT_MS);
    coffer__spot spot = coffer__shard_find(shard, coffer__near_hash(this->near, COFFER_SLICE("k")), COFFER_SLICE("k"), 0);
    uint64_t slot = coffer__slot_load(spot.slot);
    atomic_store(&shard->state->changing, true);
    coffer__slot_store(spot.slot, 0);
    atomic_store(&this->is_out, true);
    while (!atomic_load(&this->may_end)) {
        sched_yield();
    }
    usleep(20000); /* the other may be still on its way: then this test shows less, and is not wrong */
    coffer__slot_store(spot.slot, slot);
    atomic_store(&shard->state->changing, false);
    coffer__arena_leave(this->near, 0);
    return NULL;
}

static void test_what_is_out_for_a_moment_is_waited_for(void **state) {
    (void)state;
    pthread_t thread;
    replacement this = {.near = NULL};
    coffer__buf out = COFFER__BUF_INIT;
    assert_int_equal(coffer__near_new(&this.near, MIB), COFFER_OK);
    coffer__near_put(this.near, COFFER_SLICE("k"), COFFER_SLICE("1"), 0, FOREVER, NULL);
    assert_int_equal(pthread_create(&thread, NULL, replace_slowly, &this), 0);
    while (!atomic_load(&this.is_out)) {
        sched_yield();
    }
    atomic_store(&this.may_end, true);
    assert_int_equal(coffer__near_get(this.near, COFFER_SLICE("k"), 0, &out, NULL), COFFER_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    coffer__buf_free(&out);
    coffer__near_free(this.near);
}

#define HERE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        HERE(test_a_hit_writes_nothing_once_it_was_counted),
        HERE(test_a_hit_takes_no_memory_where_there_is_room),
        HERE(test_keys_of_one_hash_have_seven_places_and_no_more),
        HERE(test_while_a_writer_is_stopped_reads_go_on_and_fills_give_up),
        HERE(test_a_scan_does_not_pass_over_what_another_process_holds),
        HERE(test_one_that_dies_amid_a_change_costs_its_shard_and_no_other),
        HERE(test_bits_flipped_anywhere_give_no_wrong_value_and_nothing_outside_is_read),
        HERE(test_what_was_damaged_is_no_value_under_the_lock_either),
        HERE(test_nothing_is_added_to_a_number_that_was_damaged),
        HERE(test_sixteen_threads_see_no_wrong_value),
        HERE(test_a_value_that_is_replaced_is_never_missing),
        HERE(test_what_is_out_for_a_moment_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
