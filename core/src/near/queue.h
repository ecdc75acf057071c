/* Queues of records, first in first out, in the segments of a shard's log (log.h). Each is a ring of segments in which the newest record follows right
 * upon the oldest, so all of its memory is in use whatever its size is; and it can grow and shrink by a segment where the head is.
 *
 *     --> | newest, newest ... head: room | --> | room | --> | room ... tail: oldest, older | --> | older ...... newer | --> (to the first)
 *
 *     grow      a free segment comes in behind the head's, once nothing lives behind the head in that one any more
 *     shrink    the segment behind the head's goes out, once nothing lives in it
 *
 * A head that does not fit into what is left of a segment begins the next one: what it leaves is passed over later. Nothing here knows the index:
 * who takes a record out of a queue takes its slot out first. False from what answers so: the memory was damaged. Under the shard's lock. */
#ifndef COFFER_NEAR_QUEUE_H
#define COFFER_NEAR_QUEUE_H

#include "log.h"

typedef enum coffer__queue_name {
    COFFER__QUEUE_SMALL, /* what is new */
    COFFER__QUEUE_MAIN, /* what came again */
    COFFER__QUEUE_APART, /* what may push out its like only */
    COFFER__QUEUES
} coffer__queue_name;

typedef struct coffer__queue {
    coffer__place head, tail;
    uint64_t room; /* words between them that are free */
    uint32_t segments;
} coffer__queue;

typedef struct coffer__queues {
    coffer__queue of[COFFER__QUEUES];
    uint32_t free, free_count; /* segments, a list by `next` */
    uint32_t small_target; /* how many segments small should have */
} coffer__queues;

void coffer__queues_init(const coffer__log *log, coffer__queues *queues); /* all segments are free */
bool coffer__queues_are_sound(const coffer__log *log, const coffer__queues *queues); /* in themselves */

static inline uint64_t coffer__queue_words(const coffer__log *log, const coffer__queue *queue) {
    return (uint64_t)queue->segments * log->segment_words;
}

static inline bool coffer__queue_is_empty(const coffer__log *log, const coffer__queue *queue) {
    return queue->room == coffer__queue_words(log, queue);
}

/* What appending takes of the room beyond the record's words: those it leaves at the end of a segment. */
uint64_t coffer__queue_left_out(const coffer__log *log, const coffer__queue *queue);
static inline bool coffer__queue_has_room(const coffer__log *log, const coffer__queue *queue, const coffer__record *record) {
    return queue->segments > 0 && queue->room >= coffer__queue_left_out(log, queue) + coffer__record_words(record);
}

/* Where a record goes for which there is room: the place is taken, nothing is written there yet. */
coffer__place coffer__queue_append(const coffer__log *log, coffer__queue *queue, const coffer__record *record);

/* The oldest record of a queue that is not empty. */
bool coffer__queue_oldest(const coffer__log *log, coffer__queue *queue, coffer__place *place, coffer__record *record);
bool coffer__queue_pass(const coffer__log *log, coffer__queue *queue, const coffer__record *record); /* it goes */

bool coffer__queue_can_grow(const coffer__log *log, const coffer__queues *queues, coffer__queue_name name);
void coffer__queue_grow(const coffer__log *log, coffer__queues *queues, coffer__queue_name name);
bool coffer__queue_can_shrink(const coffer__log *log, const coffer__queues *queues, coffer__queue_name name);
void coffer__queue_shrink(const coffer__log *log, coffer__queues *queues, coffer__queue_name name);

#endif
