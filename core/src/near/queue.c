#include "queue.h"

static void link_segment(const coffer__log *log, uint32_t segment, uint32_t next) {
    atomic_store_explicit(&log->segments[segment].next, next, memory_order_release);
}

static uint32_t left_in_segment(const coffer__log *log, coffer__place place) {
    return log->segment_words - place.offset;
}

void coffer__queues_init(const coffer__log *log, coffer__queues *queues) {
    memset(queues, 0, sizeof *queues);
    for (uint32_t i = 0; i < log->segment_count; i++) {
        link_segment(log, i, i + 1);
        log->segments[i].queue = COFFER__QUEUES;
    }
    queues->free_count = log->segment_count;
}

static bool is_a_place(const coffer__log *log, coffer__place place) {
    return place.segment < log->segment_count && place.offset <= log->segment_words;
}

bool coffer__queues_are_sound(const coffer__log *log, const coffer__queues *queues) {
    uint64_t segments = queues->free_count;
    bool sound = queues->free_count == 0 || queues->free < log->segment_count;
    for (int i = 0; i < COFFER__QUEUES; i++) {
        const coffer__queue *queue = &queues->of[i];
        segments += queue->segments;
        sound = sound && is_a_place(log, queue->head) && is_a_place(log, queue->tail) && queue->room <= coffer__queue_words(log, queue);
    }
    return sound && segments == log->segment_count;
}

uint64_t coffer__queue_left_out(const coffer__log *log, const coffer__queue *queue) {
    uint32_t left = left_in_segment(log, queue->head);
    return left < COFFER__RECORD_WORDS ? left : 0;
}

coffer__place coffer__queue_append(const coffer__log *log, coffer__queue *queue, const coffer__record *record) {
    uint64_t words = coffer__record_words(record);
    bool is_first = coffer__queue_is_empty(log, queue);
    if (left_in_segment(log, queue->head) < COFFER__RECORD_WORDS) {
        queue->room -= left_in_segment(log, queue->head);
        queue->head = coffer__log_next(log, queue->head.segment);
    }
    coffer__place place = queue->head;
    queue->tail = is_first ? place : queue->tail;
    queue->room = is_first ? coffer__queue_words(log, queue) : queue->room; /* before the first there is nothing to pass over */
    queue->head = coffer__log_forward(log, place, words * 8);
    queue->room -= words;
    return place;
}

bool coffer__queue_oldest(const coffer__log *log, coffer__queue *queue, coffer__place *place, coffer__record *record) {
    uint32_t left = left_in_segment(log, queue->tail);
    if (left < COFFER__RECORD_WORDS) {
        queue->room += left;
        queue->tail = coffer__log_next(log, queue->tail.segment);
    }
    *place = queue->tail;
    return queue->room < coffer__queue_words(log, queue) && coffer__log_head(log, *place, record);
}

bool coffer__queue_pass(const coffer__log *log, coffer__queue *queue, const coffer__record *record) {
    uint64_t words = coffer__record_words(record), most = coffer__queue_words(log, queue);
    if (words > most - queue->room) {
        return false;
    }
    queue->room += words;
    queue->tail = coffer__log_forward(log, queue->tail, words * 8);
    if (queue->room < most && queue->tail.offset == log->segment_words) {
        queue->tail = coffer__log_next(log, queue->tail.segment);
    }
    return true;
}

bool coffer__queue_can_grow(const coffer__log *log, const coffer__queues *queues, coffer__queue_name name) {
    const coffer__queue *queue = &queues->of[name];
    return queues->free_count > 0 && (queue->segments == 0 || queue->room >= left_in_segment(log, queue->head));
}

void coffer__queue_grow(const coffer__log *log, coffer__queues *queues, coffer__queue_name name) {
    coffer__queue *queue = &queues->of[name];
    uint32_t segment = queues->free;
    queues->free = coffer__log_next(log, segment).segment;
    queues->free_count--;
    log->segments[segment].queue = name;
    if (queue->segments == 0) {
        link_segment(log, segment, segment);
        queue->head = queue->tail = (coffer__place){segment, 0};
    } else {
        link_segment(log, segment, coffer__log_next(log, queue->head.segment).segment);
        link_segment(log, queue->head.segment, segment);
    }
    queue->segments++;
    queue->room += log->segment_words;
}

bool coffer__queue_can_shrink(const coffer__log *log, const coffer__queues *queues, coffer__queue_name name) {
    const coffer__queue *queue = &queues->of[name];
    return queue->segments > 1 ? queue->room >= left_in_segment(log, queue->head) + (uint64_t)log->segment_words
                               : queue->segments == 1 && coffer__queue_is_empty(log, queue);
}

void coffer__queue_shrink(const coffer__log *log, coffer__queues *queues, coffer__queue_name name) {
    coffer__queue *queue = &queues->of[name];
    uint32_t head = queue->head.segment, segment = coffer__log_next(log, head).segment;
    link_segment(log, head, coffer__log_next(log, segment).segment);
    link_segment(log, segment, queues->free);
    log->segments[segment].queue = COFFER__QUEUES;
    queues->free = segment;
    queues->free_count++;
    queue->segments--;
    queue->room -= log->segment_words;
}
