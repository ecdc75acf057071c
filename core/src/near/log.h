/* The memory that a shard's records are in: segments of one size, each of which belongs to a queue (queue.h) or to nobody, linked in the order of writing.
 *
 *     segment 5: | ... record | head  key  value ..... |  --next-->  segment 2: | ..... value | record ...
 *
 *     record     check | hash | expires | mark | version | key_len, value_len     48 bytes
 *                key, and zeros up to a multiple of 8; value, likewise
 *
 * A record's head lies in one segment; its key and value may go on in the next ones, so (nearly) nothing is lost at a segment's end, and a value may be
 * far larger than a segment. Everything is written and read a word (8 bytes) at a time (index.h says in which order), and no word is trusted: whatever they
 * hold, reading stays within the log, and the check over all the rest of the record (with the arena's secret) says whether it is one.
 *
 * To read: coffer__log_place, coffer__log_head, coffer__log_has_key, coffer__log_copy, coffer__record_check.
 */
#ifndef COFFER_NEAR_LOG_H
#define COFFER_NEAR_LOG_H

#include "base/check.h"

#include <stdatomic.h>

typedef struct coffer__segment {
    _Atomic uint32_t next;
    uint32_t queue; /* which one it belongs to: its lock's holder knows */
} coffer__segment;

/* Where it is in this process; the numbers are this process's own, not the arena's. */
typedef struct coffer__log {
    _Atomic uint64_t *words;
    coffer__segment *segments;
    uint32_t segment_words, segment_count;
} coffer__log;

/* A word in the log; offset == segment_words is the end of a segment, and what follows it the beginning of the next. */
typedef struct coffer__place {
    uint32_t segment, offset;
} coffer__place;

typedef struct coffer__record {
    uint64_t check;
    uint64_t hash;
    uint64_t expires_at_ms;
    uint64_t mark, version;
    uint32_t key_len, value_len;
} coffer__record;

enum { COFFER__RECORD_WORDS = sizeof(coffer__record) / 8 };
_Static_assert(sizeof(coffer__record) == 48, "words");

static inline uint64_t coffer__words_of(uint64_t bytes) {
    return (bytes + 7) / 8;
}

static inline uint64_t coffer__record_words(const coffer__record *record) {
    return COFFER__RECORD_WORDS + coffer__words_of(record->key_len) + coffer__words_of(record->value_len);
}

/* The check of a head, and that of what follows it: what a record's member holds is the one ^ the other, so that a new head needs no look at the value. */
static inline uint64_t coffer__record_head_check(uint64_t secret, const coffer__record *record) {
    return coffer__check(~secret, &record->hash, sizeof *record - sizeof record->check);
}

static inline uint64_t coffer__record_check(uint64_t secret, const coffer__record *record, coffer_slice key, coffer_slice value) {
    uint64_t rest = coffer__check(coffer__check(secret, key.data, key.len), value.data, value.len);
    return rest ^ coffer__record_head_check(secret, record);
}

static inline uint32_t coffer__log_position(const coffer__log *log, coffer__place place) {
    return place.segment * log->segment_words + place.offset;
}

/* False: no record can begin there. */
static inline bool coffer__log_place(const coffer__log *log, uint32_t position, coffer__place *place) {
    place->segment = position / log->segment_words;
    place->offset = position % log->segment_words;
    return place->segment < log->segment_count && log->segment_words - place->offset >= COFFER__RECORD_WORDS;
}

static inline _Atomic uint64_t *coffer__log_at(const coffer__log *log, coffer__place place) {
    return log->words + (size_t)place.segment * log->segment_words + place.offset;
}

/* The beginning of the segment behind this one. */
static inline coffer__place coffer__log_next(const coffer__log *log, uint32_t segment) {
    uint32_t next = atomic_load_explicit(&log->segments[segment].next, memory_order_acquire);
    coffer__place place = {next < log->segment_count ? next : 0, 0};
    return place;
}

/* Where so many bytes can be, from `place` on, without a look at another segment. */
static inline size_t coffer__log_run(const coffer__log *log, coffer__place *place, size_t bytes) {
    if (place->offset >= log->segment_words) {
        *place = coffer__log_next(log, place->segment);
    }
    size_t there = (size_t)(log->segment_words - place->offset) * 8;
    return bytes < there ? bytes : there;
}

static inline void coffer__words_load(const _Atomic uint64_t *from, void *to, size_t len) {
    char *at = (char *)to;
    size_t words = len / 8;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = atomic_load_explicit(&from[i], memory_order_acquire);
        memcpy(at + 8 * i, &word, 8);
    }
    if (len % 8 > 0) {
        uint64_t word = atomic_load_explicit(&from[words], memory_order_acquire);
        memcpy(at + 8 * words, &word, len % 8);
    }
}

static inline void coffer__words_store(_Atomic uint64_t *to, const void *from, size_t len) {
    const char *at = (const char *)from;
    for (; len >= 8; len -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        atomic_store_explicit(to++, word, memory_order_release);
    }
    if (len > 0) {
        uint64_t word = 0;
        memcpy(&word, at, len);
        atomic_store_explicit(to, word, memory_order_release);
    }
}

/* `place` as coffer__log_place gave it. False: no record is as large as that. */
static inline bool coffer__log_head(const coffer__log *log, coffer__place place, coffer__record *record) {
    coffer__words_load(coffer__log_at(log, place), record, sizeof *record);
    return coffer__record_words(record) <= (uint64_t)log->segment_count * log->segment_words;
}

/* Up to 7 bytes, as a word with zeros behind them: as words_store leaves them. Two halves that overlap are faster than a copy byte by byte. */
static inline uint64_t coffer__word_part(const char *at, size_t len) {
    uint64_t word = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint32_t first, last;
    if (len >= sizeof first) {
        memcpy(&first, at, sizeof first);
        memcpy(&last, at + len - sizeof last, sizeof last);
        return first | (uint64_t)last << (8 * (len - sizeof last));
    }
#endif
    for (size_t i = 0; i < len; i++) {
        ((char *)&word)[i] = at[i];
    }
    return word;
}

static inline bool coffer__words_equal(const _Atomic uint64_t *words, const char *wanted, size_t len) {
    uint64_t word;
    for (; len >= 8; len -= 8, wanted += 8) {
        memcpy(&word, wanted, 8);
        if (atomic_load_explicit(words++, memory_order_acquire) != word) {
            return false;
        }
    }
    return len == 0 || atomic_load_explicit(words, memory_order_acquire) == coffer__word_part(wanted, len);
}

/* So many bytes further on, or the whole words that hold them. */
static inline coffer__place coffer__log_forward(const coffer__log *log, coffer__place place, uint64_t bytes) {
    while (bytes > 0) {
        size_t run = coffer__log_run(log, &place, (size_t)bytes);
        place.offset += (uint32_t)coffer__words_of(run);
        bytes -= run;
    }
    return place;
}

/* Where the key begins of a record at `place`, and where the value does. */
static inline coffer__place coffer__log_key(coffer__place place) {
    place.offset += COFFER__RECORD_WORDS;
    return place;
}

static inline coffer__place coffer__log_value(const coffer__log *log, coffer__place place, const coffer__record *record) {
    return coffer__log_forward(log, coffer__log_key(place), record->key_len);
}

/* Whether the record there, with that head, is of this key. */
static inline bool coffer__log_has_key(const coffer__log *log, coffer__place place, const coffer__record *record, uint64_t hash, coffer_slice key) {
    bool same = record->hash == hash && record->key_len == key.len;
    place = coffer__log_key(place);
    for (size_t compared = 0; same && compared < key.len;) {
        size_t run = coffer__log_run(log, &place, key.len - compared);
        same = coffer__words_equal(coffer__log_at(log, place), key.data + compared, run);
        place.offset += (uint32_t)coffer__words_of(run);
        compared += run;
    }
    return same;
}

/* Copies so many bytes from `place` on, over as many segments as that takes. */
static inline void coffer__log_copy(const coffer__log *log, coffer__place place, void *to, size_t len) {
    char *at = (char *)to;
    while (len > 0) {
        size_t run = coffer__log_run(log, &place, len);
        coffer__words_load(coffer__log_at(log, place), at, run);
        place.offset += (uint32_t)coffer__words_of(run);
        at += run;
        len -= run;
    }
}

/* For who holds the lock: copies words to a place that may overlap with where they are, but does not lie behind it. */
static inline void coffer__log_move(const coffer__log *log, coffer__place to, coffer__place from, uint64_t words) {
    while (words > 0) {
        size_t run = coffer__log_run(log, &to, coffer__log_run(log, &from, (size_t)words * 8)) / 8;
        _Atomic uint64_t *target = coffer__log_at(log, to);
        const _Atomic uint64_t *source = coffer__log_at(log, from);
        for (size_t i = 0; i < run; i++) {
            atomic_store_explicit(&target[i], atomic_load_explicit(&source[i], memory_order_relaxed), memory_order_release);
        }
        to.offset += (uint32_t)run;
        from.offset += (uint32_t)run;
        words -= run;
    }
}

/* For who holds the lock: writes so many bytes, and zeros up to a whole word. Returns the place behind. */
static inline coffer__place coffer__log_write(const coffer__log *log, coffer__place place, const void *from, size_t len) {
    const char *at = (const char *)from;
    while (len > 0) {
        size_t run = coffer__log_run(log, &place, len);
        coffer__words_store(coffer__log_at(log, place), at, run);
        place.offset += (uint32_t)coffer__words_of(run);
        at += run;
        len -= run;
    }
    return place;
}

#endif
