#include "shard.h"

/* One bucket (64 bytes, 7 slots) for so many bytes of shard: an eighth of the memory is index, and records of 180 bytes fill it by a third, where one in
 * two hundred finds its bucket full (Poisson). Smaller ones are bounded by the index. */
enum { LINE_BYTES = 64, SHARD_BYTES_PER_BUCKET = 512, BUCKETS_PER_GHOST_LINE = 4, SEGMENTS = 64 };
enum { LOG_BYTES_PER_BUCKET = SHARD_BYTES_PER_BUCKET - LINE_BYTES - LINE_BYTES / BUCKETS_PER_GHOST_LINE };

/* What one insert may move before it evicts what was read, too: as many records and words, and more of both the larger it is itself. */
enum { MOVES = 16, WORDS_PER_MOVE = 64, MOVED_WORDS = 32 * 1024, MOVED_WORDS_PER_WORD = 4 };

/* Shares in percent. Small begins with a tenth of the log and stays within these; APART_SHARE is how many segments there are for each that apart may have. */
enum { SMALL_BEGINS = 10, SMALL_LEAST = 1, SMALL_MOST = 80, APART_SHARE = 16 };

/* Ghosts by their age, in percent of the entries that are there: which of them enter main, and which tell that their queue is too short. */
enum { GHOSTS_ENTER_MAIN = 80, GHOSTS_TELL = 20 };

/* So many reads since it was appended are worth a place in main, and another round there. */
enum { READS_FOR_MAIN = 1, READS_TO_STAY = 1 };

/* What a put is allowed, and what it has found. */
typedef struct job {
    uint64_t now_ms;
    uint64_t moves, moved_words; /* that are left */
    bool damaged;
} job;

/* ---- shape ---- */

static size_t lines(size_t bytes) {
    return (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

static size_t bytes_before_log(const coffer__shard_plan *plan) {
    return lines(sizeof(coffer__shard_state)) + lines(plan->segment_count * sizeof(coffer__segment)) +
           ((size_t)plan->ghost_lines + plan->bucket_count) * LINE_BYTES;
}

size_t coffer__shard_bytes(const coffer__shard_plan *plan) {
    return bytes_before_log(plan) + lines((size_t)plan->segment_count * plan->segment_words * 8);
}

static coffer__shard_plan plan_with(size_t buckets) {
    coffer__shard_plan plan = {.bucket_count = buckets < UINT32_MAX ? (uint32_t)buckets : UINT32_MAX};
    plan.bucket_count += plan.bucket_count == 0;
    plan.ghost_lines = (plan.bucket_count + BUCKETS_PER_GHOST_LINE - 1) / BUCKETS_PER_GHOST_LINE;
    return plan;
}

coffer__shard_plan coffer__shard_plan_of(size_t bytes) {
    coffer__shard_plan plan = plan_with(bytes / SHARD_BYTES_PER_BUCKET);
    plan.segment_count = SEGMENTS;
    size_t words = (bytes - bytes_before_log(&plan)) / LINE_BYTES * 8;
    plan.segment_words = (uint32_t)((words < UINT32_MAX ? words : UINT32_MAX) / SEGMENTS);
    return plan;
}

coffer__shard_plan coffer__shard_plan_for(uint32_t segment_words, uint32_t segment_count) {
    coffer__shard_plan plan = plan_with((size_t)segment_words * segment_count * 8 / LOG_BYTES_PER_BUCKET);
    plan.segment_words = segment_words;
    plan.segment_count = segment_count;
    return plan;
}

void coffer__shard_attach(coffer__shard *shard, void *memory, const coffer__shard_plan *plan, uint64_t secret) {
    char *at = (char *)memory;
    shard->state = (coffer__shard_state *)memory;
    at += lines(sizeof(coffer__shard_state));
    shard->log.segments = (coffer__segment *)(void *)at;
    at += lines(plan->segment_count * sizeof(coffer__segment));
    shard->ghosts.lines = (coffer__ghost_line *)(void *)at;
    shard->ghosts.line_count = plan->ghost_lines;
    at += (size_t)plan->ghost_lines * LINE_BYTES;
    shard->buckets = (coffer__bucket *)(void *)at;
    at += (size_t)plan->bucket_count * LINE_BYTES;
    shard->log.words = (_Atomic uint64_t *)(void *)at;
    shard->log.segment_words = plan->segment_words;
    shard->log.segment_count = plan->segment_count;
    shard->bucket_count = plan->bucket_count;
    shard->secret = secret;
}

static void begin_change(coffer__shard *shard) {
    atomic_exchange_explicit(&shard->state->changing, true, memory_order_acq_rel);
}

static void end_change(coffer__shard *shard) {
    atomic_store_explicit(&shard->state->changing, false, memory_order_release);
}

static uint64_t log_words(const coffer__shard *shard) {
    return (uint64_t)shard->log.segment_count * shard->log.segment_words;
}

/* Small's share follows from it in whole segments. */
static void set_small_words(coffer__shard *shard, uint64_t words) {
    uint64_t segments = (words + shard->log.segment_words / 2) / shard->log.segment_words;
    shard->state->small_words = words;
    shard->state->queues.small_target = segments > 1 ? (uint32_t)segments : 1;
}

/* Readers see each bucket change. */
static void clear(coffer__shard *shard) {
    for (uint32_t i = 0; i < shard->bucket_count; i++) {
        coffer__bucket *bucket = &shard->buckets[i];
        coffer__bucket_open(bucket);
        for (size_t slot = 0; slot < COFFER__BUCKET_SLOTS; slot++) {
            coffer__slot_store(&bucket->slots[slot], 0);
        }
        coffer__bucket_close(bucket);
    }
    coffer__queues_init(&shard->log, &shard->state->queues);
    memset(shard->ghosts.lines, 0, shard->ghosts.line_count * sizeof *shard->ghosts.lines);
    shard->state->ghost_clock = (coffer__ghost_clock){{0, 0}};
    set_small_words(shard, log_words(shard) * SMALL_BEGINS / 100);
    shard->state->used_bytes = shard->state->entries = 0;
}

void coffer__shard_init(coffer__shard *shard) {
    memset(shard->state, 0, sizeof *shard->state);
    clear(shard);
}

void coffer__shard_recover(coffer__shard *shard) {
    if (atomic_load_explicit(&shard->state->changing, memory_order_acquire)) {
        clear(shard);
        shard->state->wiped++;
        end_change(shard);
    }
}

/* ---- index ---- */

static void set_slot(coffer__bucket *bucket, _Atomic uint64_t *slot, uint64_t value) {
    coffer__bucket_open(bucket);
    coffer__slot_store(slot, value);
    coffer__bucket_close(bucket);
}

/* The head that a slot leads to; false: that is none. */
static bool head_of(const coffer__shard *shard, uint64_t slot, coffer__place *place, coffer__record *record) {
    return coffer__log_place(&shard->log, coffer__slot_position(slot), place) && coffer__log_head(&shard->log, *place, record);
}

/* Empties a slot; its record stays in the log, dead. */
static void forget(coffer__shard *shard, _Atomic uint64_t *slot, const coffer__record *record) {
    set_slot(coffer__shard_bucket(shard, record->hash), slot, 0);
    shard->state->used_bytes -= coffer__record_words(record) * 8;
    shard->state->entries--;
}

/* Gives up an entry to make room, or because its time has passed. */
static void drop(coffer__shard *shard, _Atomic uint64_t *slot, const coffer__record *record, uint64_t now_ms, unsigned reason) {
    *(record->expires_at_ms <= now_ms ? &shard->state->expirations : &shard->state->evicted[reason]) += 1;
    forget(shard, slot, record);
}

void coffer__shard_remove(coffer__shard *shard, const coffer__spot *spot) {
    begin_change(shard);
    forget(shard, spot->slot, &spot->record);
    end_change(shard);
}

static coffer__spot spot_of_key(coffer__shard *shard, uint64_t hash, coffer_slice key) {
    coffer__bucket *bucket = coffer__shard_bucket(shard, hash);
    coffer__spot spot;
    for (size_t i = 0; i < COFFER__BUCKET_SLOTS; i++) {
        uint64_t slot = coffer__slot_load(&bucket->slots[i]);
        if (coffer__slot_may_hold(slot, hash) && head_of(shard, slot, &spot.place, &spot.record) &&
            coffer__log_has_key(&shard->log, spot.place, &spot.record, hash, key)) {
            spot.slot = &bucket->slots[i];
            return spot;
        }
    }
    return (coffer__spot){.slot = NULL};
}

coffer__spot coffer__shard_find(coffer__shard *shard, uint64_t hash, coffer_slice key, uint64_t now_ms) {
    coffer__spot spot = spot_of_key(shard, hash, key);
    if (spot.slot != NULL && spot.record.expires_at_ms <= now_ms) {
        begin_change(shard);
        drop(shard, spot.slot, &spot.record, now_ms, COFFER__EVICTED_BUCKET);
        end_change(shard);
        spot.slot = NULL;
    }
    return spot;
}

void coffer__shard_value(const coffer__shard *shard, const coffer__spot *spot, size_t offset, size_t len, char *to) {
    const coffer__log *log = &shard->log;
    size_t before = offset % 8, first = 8 - before < len ? 8 - before : len;
    coffer__place from = coffer__log_forward(log, coffer__log_value(log, spot->place, &spot->record), offset - before);
    if (before > 0 && len > 0) {
        char word[8];
        coffer__log_copy(log, from, word, sizeof word);
        memcpy(to, word + before, first);
        to += first;
        len -= first;
        from = coffer__log_forward(log, from, sizeof word);
    }
    coffer__log_copy(log, from, to, len);
}

bool coffer__shard_keys(coffer__shard *shard, uint32_t first, uint32_t count, uint64_t now_ms, bool (*take)(void *data, coffer_slice key),
                        void *data) {
    coffer__buf key = COFFER__BUF_INIT;
    bool all = true;
    for (size_t i = 0; all && i < (size_t)count * COFFER__BUCKET_SLOTS; i++) {
        uint64_t slot = coffer__slot_load(&shard->buckets[first + i / COFFER__BUCKET_SLOTS].slots[i % COFFER__BUCKET_SLOTS]);
        coffer__place place;
        coffer__record record;
        if (slot >> 32 != 0 && head_of(shard, slot, &place, &record) && record.expires_at_ms > now_ms) {
            coffer__buf_clear(&key);
            all = coffer__buf_reserve(&key, record.key_len);
            if (all) {
                coffer__log_copy(&shard->log, coffer__log_key(place), key.data, record.key_len);
                all = take(data, coffer_slice_of(key.data, record.key_len));
            }
        }
    }
    coffer__buf_free(&key);
    return all;
}

/* The slot that leads to a record in the log, NULL where that is dead. */
static _Atomic uint64_t *slot_of(coffer__shard *shard, coffer__place place, const coffer__record *record) {
    coffer__bucket *bucket = coffer__shard_bucket(shard, record->hash);
    uint64_t wanted = coffer__slot_make(record->hash, coffer__log_position(&shard->log, place), 0);
    for (size_t i = 0; i < COFFER__BUCKET_SLOTS; i++) {
        if ((coffer__slot_load(&bucket->slots[i]) & ~COFFER__SLOT_READS) == wanted) {
            return &bucket->slots[i];
        }
    }
    return NULL;
}

/* Lowest goes first: expired, then what was read least, then the oldest. */
static bool is_lower(const coffer__spot *a, const coffer__spot *b, uint64_t now_ms) {
    if ((a->record.expires_at_ms <= now_ms) != (b->record.expires_at_ms <= now_ms)) {
        return a->record.expires_at_ms <= now_ms;
    }
    uint64_t a_reads = coffer__slot_load(a->slot) & COFFER__SLOT_READS, b_reads = coffer__slot_load(b->slot) & COFFER__SLOT_READS;
    return a_reads != b_reads ? a_reads < b_reads : a->record.version < b->record.version;
}

/* An empty slot of the bucket, made empty if need be. */
static _Atomic uint64_t *free_slot(coffer__shard *shard, coffer__bucket *bucket, uint64_t now_ms) {
    coffer__spot lowest = {.slot = NULL};
    for (size_t i = 0; i < COFFER__BUCKET_SLOTS; i++) {
        coffer__spot spot = {.slot = &bucket->slots[i]};
        uint64_t slot = coffer__slot_load(spot.slot);
        if (slot >> 32 == 0 || !head_of(shard, slot, &spot.place, &spot.record) || coffer__shard_bucket(shard, spot.record.hash) != bucket) {
            return spot.slot;
        }
        if (lowest.slot == NULL || is_lower(&spot, &lowest, now_ms)) {
            lowest = spot;
        }
    }
    drop(shard, lowest.slot, &lowest.record, now_ms, COFFER__EVICTED_BUCKET);
    return lowest.slot;
}

/* ---- queues ---- */

static coffer__queue *queue_of(coffer__shard *shard, coffer__queue_name name) {
    return &shard->state->queues.of[name];
}

static uint32_t apart_target(const coffer__shard *shard) {
    uint32_t target = shard->log.segment_count / APART_SHARE;
    return target > 0 ? target : 1;
}

/* The last free segment is kept for small or main, whichever has less than its share. */
static bool is_in_turn(coffer__shard *shard, coffer__queue_name name) {
    const coffer__queues *queues = &shard->state->queues;
    bool small_is_short = queues->of[COFFER__QUEUE_SMALL].segments < queues->small_target;
    return queues->free_count > 0 && (name == COFFER__QUEUE_APART ? queues->of[name].segments < apart_target(shard)
                                                                  : queues->free_count > 1 || small_is_short == (name == COFFER__QUEUE_SMALL));
}

static bool may_grow(coffer__shard *shard, coffer__queue_name name) {
    return is_in_turn(shard, name) && coffer__queue_can_grow(&shard->log, &shard->state->queues, name);
}

static bool goes_on(coffer__shard *shard, coffer__queue_name name, const coffer__record *record) {
    return coffer__record_words(record) > shard->log.segment_words - queue_of(shard, name)->head.offset;
}

/* A queue can grow only where it goes on to another segment: it does so there, though it may have room enough without. */
static bool is_ready_for(coffer__shard *shard, coffer__queue_name name, const coffer__record *record) {
    const coffer__queue *queue = queue_of(shard, name);
    bool should_grow = goes_on(shard, name, record) && queue->room < shard->log.segment_words && is_in_turn(shard, name);
    return coffer__queue_has_room(&shard->log, queue, record) && !should_grow;
}

static bool deserves_a_move(uint64_t slot, uint64_t reads, const coffer__record *record, const job *work) {
    return (slot & COFFER__SLOT_READS) >= reads && work->moves > 0 && work->moved_words > 0 && record->expires_at_ms > work->now_ms;
}

/* The slot follows the record to a queue that has room for it. Where it is the same queue the two places may overlap, the new one never behind the
 * old one. */
static void move(coffer__shard *shard, coffer__queue *to, _Atomic uint64_t *slot, coffer__place from, const coffer__record *record, uint64_t reads,
                 job *work) {
    coffer__bucket *bucket = coffer__shard_bucket(shard, record->hash);
    uint64_t words = coffer__record_words(record);
    coffer__bucket_open(bucket);
    coffer__place place = coffer__queue_append(&shard->log, to, record);
    coffer__log_move(&shard->log, place, from, words);
    coffer__slot_store(slot, coffer__slot_make(record->hash, coffer__log_position(&shard->log, place), reads));
    coffer__bucket_close(bucket);
    work->moves--;
    work->moved_words -= words < work->moved_words ? words : work->moved_words;
}

static void give_up(coffer__shard *shard, _Atomic uint64_t *slot, const coffer__record *record, coffer__queue_name from, const job *work) {
    if (from != COFFER__QUEUE_APART && record->expires_at_ms > work->now_ms) {
        coffer__ghosts_add(&shard->ghosts, &shard->state->ghost_clock, record->hash, from == COFFER__QUEUE_MAIN);
    }
    drop(shard, slot, record, work->now_ms, from);
}

/* Whether the oldest record of main can be appended again: not where it consists of what that would leave out at the end of a segment, nor where it lies
 * across the place at which main is to grow. */
static bool can_stay(coffer__shard *shard, const coffer__record *record) {
    const coffer__queue *queue = queue_of(shard, COFFER__QUEUE_MAIN);
    return coffer__queue_left_out(&shard->log, queue) <= queue->room &&
           (!goes_on(shard, COFFER__QUEUE_MAIN, record) || !is_in_turn(shard, COFFER__QUEUE_MAIN) || may_grow(shard, COFFER__QUEUE_MAIN));
}

/* Takes out the oldest record of main or apart: main appends it again where it was read. */
static bool evict(coffer__shard *shard, coffer__queue_name name, job *work) {
    coffer__queue *queue = queue_of(shard, name);
    coffer__place place;
    coffer__record record;
    if (!coffer__queue_oldest(&shard->log, queue, &place, &record)) {
        return false;
    }
    _Atomic uint64_t *slot = slot_of(shard, place, &record);
    if (slot == NULL) {
        return coffer__queue_pass(&shard->log, queue, &record);
    }
    uint64_t seen = coffer__slot_load(slot), reads = seen & COFFER__SLOT_READS;
    if (name != COFFER__QUEUE_MAIN || !deserves_a_move(seen, READS_TO_STAY, &record, work) || !can_stay(shard, &record)) {
        give_up(shard, slot, &record, name, work);
        return coffer__queue_pass(&shard->log, queue, &record);
    }
    if (goes_on(shard, name, &record) && may_grow(shard, name)) {
        coffer__queue_grow(&shard->log, &shard->state->queues, name);
    }
    bool passed = coffer__queue_pass(&shard->log, queue, &record);
    if (passed) {
        move(shard, queue, slot, place, &record, reads - 1, work);
    }
    return passed;
}

/* Room in main for what small gives it, by main's own means. */
static bool main_takes(coffer__shard *shard, const coffer__record *record, job *work) {
    coffer__queue *queue = queue_of(shard, COFFER__QUEUE_MAIN);
    while (!is_ready_for(shard, COFFER__QUEUE_MAIN, record)) {
        if (may_grow(shard, COFFER__QUEUE_MAIN)) {
            coffer__queue_grow(&shard->log, &shard->state->queues, COFFER__QUEUE_MAIN);
        } else if (coffer__queue_is_empty(&shard->log, queue)) {
            return false;
        } else if (!evict(shard, COFFER__QUEUE_MAIN, work)) {
            work->damaged = true;
            return false;
        }
    }
    return true;
}

/* Takes out the oldest record of small: to main where it was read. */
static bool evict_small(coffer__shard *shard, job *work) {
    coffer__queue *queue = queue_of(shard, COFFER__QUEUE_SMALL);
    coffer__place place;
    coffer__record record;
    if (!coffer__queue_oldest(&shard->log, queue, &place, &record)) {
        return false;
    }
    _Atomic uint64_t *slot = slot_of(shard, place, &record);
    if (slot != NULL) {
        if (deserves_a_move(coffer__slot_load(slot), READS_FOR_MAIN, &record, work) && main_takes(shard, &record, work)) {
            move(shard, queue_of(shard, COFFER__QUEUE_MAIN), slot, place, &record, 0, work);
        } else {
            give_up(shard, slot, &record, COFFER__QUEUE_SMALL, work);
        }
    }
    return coffer__queue_pass(&shard->log, queue, &record);
}

static void evict_from(coffer__shard *shard, coffer__queue_name name, job *work) {
    bool sound = name == COFFER__QUEUE_SMALL ? evict_small(shard, work) : evict(shard, name, work);
    work->damaged = work->damaged || !sound;
}

/* A step towards a segment less. */
static void give(coffer__shard *shard, coffer__queue_name name, job *work) {
    coffer__queues *queues = &shard->state->queues;
    if (coffer__queue_can_shrink(&shard->log, queues, name)) {
        coffer__queue_shrink(&shard->log, queues, name);
    } else if (!coffer__queue_is_empty(&shard->log, &queues->of[name])) {
        evict_from(shard, name, work);
    }
}

/* A free segment at once, from who has most. */
static void make_a_segment_free(coffer__shard *shard, coffer__queue_name but, job *work) {
    coffer__queues *queues = &shard->state->queues;
    work->moves = 0;
    while (queues->free_count == 0 && !work->damaged) {
        coffer__queue_name from = but == COFFER__QUEUE_MAIN ? COFFER__QUEUE_SMALL : COFFER__QUEUE_MAIN;
        for (int i = 0; i < COFFER__QUEUES; i++) {
            from = i != (int)but && queues->of[i].segments > queues->of[from].segments ? (coffer__queue_name)i : from;
        }
        work->damaged = queues->of[from].segments == 0;
        give(shard, from, work);
    }
}

/* Room for a new record. One that is larger than all of its queue gets segments of the others. */
static void make_room(coffer__shard *shard, coffer__queue_name name, const coffer__record *record, job *work) {
    coffer__queues *queues = &shard->state->queues;
    while (!work->damaged && !is_ready_for(shard, name, record)) {
        bool is_empty = coffer__queue_is_empty(&shard->log, &queues->of[name]);
        if (is_empty && queues->free_count == 0) {
            make_a_segment_free(shard, name, work);
        } else if (is_empty || may_grow(shard, name)) {
            coffer__queue_grow(&shard->log, queues, name);
        } else {
            evict_from(shard, name, work);
        }
    }
}

/* Small and main come to their shares in small steps. */
static void balance(coffer__shard *shard, job *work) {
    enum { STEPS = 4 };
    const coffer__queues *queues = &shard->state->queues;
    for (int i = 0; i < STEPS && queues->free_count == 0 && !work->damaged; i++) {
        uint32_t small = queues->of[COFFER__QUEUE_SMALL].segments;
        if (small != queues->small_target) {
            give(shard, small > queues->small_target ? COFFER__QUEUE_SMALL : COFFER__QUEUE_MAIN, work);
        }
    }
}

/* ---- putting ---- */

static uint64_t words_for(const coffer__item *item) {
    return COFFER__RECORD_WORDS + coffer__words_of(item->key.len) + coffer__words_of(item->value.len);
}

static void seal(const coffer__shard *shard, coffer__record *record, coffer_slice key, coffer_slice value) {
    record->check = coffer__record_check(shard->secret, record, key, value);
}

static coffer__record head_for(coffer__shard *shard, const coffer__item *item) {
    coffer__record record = {.hash = item->hash,
                             .expires_at_ms = item->expires_at_ms,
                             .mark = item->mark,
                             .version = ++shard->state->versions,
                             .key_len = (uint32_t)item->key.len,
                             .value_len = (uint32_t)item->value.len};
    seal(shard, &record, item->key, item->value);
    return record;
}

static void write_record(coffer__shard *shard, coffer__place place, const coffer__record *record, const coffer__item *item) {
    coffer__place behind = coffer__log_write(&shard->log, place, record, sizeof *record);
    behind = coffer__log_write(&shard->log, behind, item->key.data, item->key.len);
    coffer__log_write(&shard->log, behind, item->value.data, item->value.len);
}

static void append(coffer__shard *shard, coffer__queue_name name, const coffer__item *item, uint64_t reads, job *work) {
    coffer__record record = head_for(shard, item);
    make_room(shard, name, &record, work);
    if (work->damaged) {
        return;
    }
    coffer__bucket *bucket = coffer__shard_bucket(shard, item->hash);
    _Atomic uint64_t *slot = free_slot(shard, bucket, work->now_ms);
    coffer__place place = coffer__queue_append(&shard->log, queue_of(shard, name), &record);
    write_record(shard, place, &record, item);
    set_slot(bucket, slot, coffer__slot_make(item->hash, coffer__log_position(&shard->log, place), reads));
    shard->state->used_bytes += coffer__record_words(&record) * 8;
    shard->state->entries++;
    balance(shard, work);
}

static void overwrite(coffer__shard *shard, const coffer__spot *old, const coffer__item *item) {
    coffer__bucket *bucket = coffer__shard_bucket(shard, item->hash);
    coffer__record record = head_for(shard, item);
    coffer__bucket_open(bucket);
    write_record(shard, old->place, &record, item);
    coffer__bucket_close(bucket);
    coffer__slot_count_read(old->slot, coffer__slot_load(old->slot));
}

static bool is_younger(const coffer__shard *shard, const coffer__ghost *ghost, uint64_t percent) {
    return ghost->was_there && ghost->age * 100 <= shard->state->entries * percent;
}

/* A young ghost would have been a hit, had its queue been that much longer: small's share goes up by one of its own and down by one of main, so that both
 * come to gain the same by another segment. */
static void learn(coffer__shard *shard, const coffer__ghost *ghost, uint64_t words) {
    uint64_t small = shard->state->small_words, least = log_words(shard) * SMALL_LEAST / 100, most = log_words(shard) * SMALL_MOST / 100;
    if (is_younger(shard, ghost, GHOSTS_TELL)) {
        small = !ghost->from_main ? small + words : words < small ? small - words : 0;
        set_small_words(shard, small < least ? least : small > most ? most : small);
    }
}

static coffer__queue_name queue_for(coffer__shard *shard, const coffer__item *item) {
    uint64_t words = words_for(item);
    if (item->apart) {
        return COFFER__QUEUE_APART;
    }
    coffer__ghost ghost = coffer__ghosts_take(&shard->ghosts, &shard->state->ghost_clock, item->hash);
    learn(shard, &ghost, words);
    bool is_large = words > log_words(shard) * SMALL_BEGINS / 100 && words > (uint64_t)shard->state->queues.small_target * shard->log.segment_words;
    return is_large || is_younger(shard, &ghost, GHOSTS_ENTER_MAIN) ? COFFER__QUEUE_MAIN : COFFER__QUEUE_SMALL;
}

/* An entry of the same size (a counter, a flag) is overwritten where it is and counts as read; any other is appended anew, to the same queue. */
static void replace(coffer__shard *shard, const coffer__spot *old, const coffer__item *item, job *work) {
    coffer__queue_name name = queue_for(shard, item);
    uint64_t reads = 0;
    if (old->slot != NULL) {
        uint32_t was_in = shard->log.segments[old->place.segment].queue;
        if ((was_in == COFFER__QUEUE_APART) == item->apart) {
            if (coffer__words_of(old->record.value_len) == coffer__words_of(item->value.len)) {
                overwrite(shard, old, item);
                return;
            }
            name = was_in == COFFER__QUEUE_MAIN ? COFFER__QUEUE_MAIN : name;
            reads = READS_FOR_MAIN;
        }
        forget(shard, old->slot, &old->record);
    }
    append(shard, name, item, reads, work);
}

/* In three quarters of the log. */
static bool fits(const coffer__shard *shard, const coffer__item *item) {
    uint64_t words = log_words(shard) / 4 * 3, most = words * 8 < UINT32_MAX ? words * 8 : UINT32_MAX;
    return item->key.len <= most && item->value.len <= most && words_for(item) <= words;
}

/* In a shard that was damaged there is nothing left to lose: it begins anew. */
static void store(coffer__shard *shard, const coffer__spot *old, const coffer__item *item, uint64_t now_ms) {
    const coffer__spot none = {.slot = NULL};
    uint64_t words = words_for(item);
    job work = {.now_ms = now_ms,
                .moves = MOVES + words / WORDS_PER_MOVE,
                .moved_words = MOVED_WORDS + words * MOVED_WORDS_PER_WORD,
                .damaged = !coffer__queues_are_sound(&shard->log, &shard->state->queues)};
    if (!work.damaged) {
        replace(shard, old, item, &work);
    }
    if (work.damaged) {
        clear(shard);
        shard->state->wiped++;
        work.damaged = false;
        replace(shard, &none, item, &work);
    }
}

coffer_status coffer__shard_put(coffer__shard *shard, const coffer__spot *old, const coffer__item *item, uint64_t now_ms) {
    bool is_ok = fits(shard, item);
    begin_change(shard);
    if (is_ok) {
        store(shard, old, item, now_ms);
    } else if (old->slot != NULL) {
        forget(shard, old->slot, &old->record);
    }
    end_change(shard);
    return is_ok ? COFFER_OK : COFFER_TOO_LARGE;
}

void coffer__shard_expire(coffer__shard *shard, const coffer__spot *spot, uint64_t expires_at_ms) {
    coffer__bucket *bucket = coffer__shard_bucket(shard, spot->record.hash);
    coffer__record record = spot->record;
    record.expires_at_ms = expires_at_ms;
    record.check ^= coffer__record_head_check(shard->secret, &spot->record) ^ coffer__record_head_check(shard->secret, &record);
    begin_change(shard);
    coffer__bucket_open(bucket);
    coffer__log_write(&shard->log, spot->place, &record, sizeof record);
    coffer__bucket_close(bucket);
    end_change(shard);
}
