#include "near/queue.h"

#include "support/cmocka_all.h"

enum { SEGMENTS = 8, SEGMENT_WORDS = 50 };

typedef struct world {
    coffer__log log;
    coffer__queues queues;
} world;

static void begin(world *w) {
    w->log = (coffer__log){.words = (_Atomic uint64_t *)calloc(SEGMENTS * SEGMENT_WORDS, 8),
                           .segments = (coffer__segment *)calloc(SEGMENTS, sizeof(coffer__segment)),
                           .segment_words = SEGMENT_WORDS,
                           .segment_count = SEGMENTS};
    assert_true(w->log.words != NULL && w->log.segments != NULL);
    coffer__queues_init(&w->log, &w->queues);
}

static void end(world *w) {
    free((void *)w->log.words);
    free(w->log.segments);
}

static coffer__queue *small(world *w) {
    return &w->queues.of[COFFER__QUEUE_SMALL];
}

static coffer__record record_of(uint64_t number) {
    return (coffer__record){.hash = number, .value_len = (uint32_t)(number * 37 % 700)};
}

static void append(world *w, uint64_t number) {
    coffer__record record = record_of(number);
    uint8_t value[700];
    memset(value, (int)number, sizeof value);
    coffer__place place = coffer__queue_append(&w->log, small(w), &record);
    coffer__log_write(&w->log, coffer__log_write(&w->log, place, &record, sizeof record), value, record.value_len);
}

/* The oldest is this one, whole. */
static void take(world *w, uint64_t number) {
    coffer__place place;
    coffer__record record;
    uint8_t value[700], wanted[700];
    assert_true(coffer__queue_oldest(&w->log, small(w), &place, &record));
    assert_int_equal(record.hash, number);
    assert_int_equal(record.value_len, record_of(number).value_len);
    memset(wanted, (int)number, sizeof wanted);
    coffer__log_copy(&w->log, coffer__log_value(&w->log, place, &record), value, record.value_len);
    assert_memory_equal(value, wanted, record.value_len);
    assert_true(coffer__queue_pass(&w->log, small(w), &record));
}

/* While segments come and go at every chance. */
static void test_what_goes_in_comes_out_in_order_while_the_ring_breathes(void **state) {
    (void)state;
    world w;
    uint64_t oldest = 0, random = 20;
    unsigned grown = 0, shrunk = 0;
    begin(&w);
    for (uint64_t next = 0; next < 20000; next++) {
        coffer__record record = record_of(next);
        while (!coffer__queue_has_room(&w.log, small(&w), &record)) {
            random = random * UINT64_C(6364136223846793005) + 1;
            bool is_empty = oldest == next;
            if (coffer__queue_can_grow(&w.log, &w.queues, COFFER__QUEUE_SMALL) && (is_empty || random >> 62 == 0)) {
                coffer__queue_grow(&w.log, &w.queues, COFFER__QUEUE_SMALL);
                grown++;
            } else {
                take(&w, oldest++);
            }
        }
        append(&w, next);
        if (random >> 61 == 1 && coffer__queue_can_shrink(&w.log, &w.queues, COFFER__QUEUE_SMALL)) {
            coffer__queue_shrink(&w.log, &w.queues, COFFER__QUEUE_SMALL);
            shrunk++;
        }
        random = random * UINT64_C(6364136223846793005) + 1;
        if (random >> 60 == 0) {
            while (oldest < next - next % 3) {
                take(&w, oldest++);
            }
        }
        assert_true(coffer__queues_are_sound(&w.log, &w.queues));
    }
    assert_true(grown > 100 && shrunk > 100);
    end(&w);
}

static void test_a_damaged_length_is_no_record(void **state) {
    (void)state;
    world w;
    coffer__place place;
    coffer__record record = record_of(3);
    begin(&w);
    coffer__queue_grow(&w.log, &w.queues, COFFER__QUEUE_SMALL);
    append(&w, 3);
    record.value_len = UINT32_MAX;
    coffer__log_write(&w.log, small(&w)->tail, &record, sizeof record);
    assert_false(coffer__queue_oldest(&w.log, small(&w), &place, &record));
    record = record_of(3);
    record.value_len += 8; /* more than was appended */
    assert_false(coffer__queue_pass(&w.log, small(&w), &record));
    small(&w)->tail.segment = SEGMENTS;
    assert_false(coffer__queues_are_sound(&w.log, &w.queues));
    end(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_goes_in_comes_out_in_order_while_the_ring_breathes),
        cmocka_unit_test(test_a_damaged_length_is_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
