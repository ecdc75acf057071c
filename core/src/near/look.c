#include "look.h"

enum { TRIES = 8 };

/* One try: what was seen counts if the sequence is still the first one. */
typedef struct try {
    const coffer__shard *shard;
    coffer__bucket *bucket;
    uint64_t first;
    uint64_t hash;
    coffer_slice key;
}
try;

static bool is_undisturbed(const try *this) {
    return coffer__bucket_sequence(this->bucket) == this->first;
}

static bool find(const try *this, coffer__sight *sight, coffer__place *place) {
    const coffer__log *log = &this->shard->log;
    for (size_t i = 0; i < COFFER__BUCKET_SLOTS; i++) {
        uint64_t slot = coffer__slot_load(&this->bucket->slots[i]);
        if (coffer__slot_may_hold(slot, this->hash) && coffer__log_place(log, coffer__slot_position(slot), place) &&
            coffer__log_head(log, *place, &sight->record) && coffer__log_has_key(log, *place, &sight->record, this->hash, this->key)) {
            sight->slot = &this->bucket->slots[i];
            sight->slot_seen = slot;
            return true;
        }
    }
    return false;
}

static coffer_status absent(const try *this, coffer__sight *sight) {
    sight->may_come_back = atomic_load_explicit(&this->shard->state->changing, memory_order_acquire);
    return is_undisturbed(this) ? COFFER_MISS : COFFER_AGAIN;
}

/* Damaged memory is a miss: what is stored next takes its place. */
static coffer_status copy_value(const try *this, const coffer__sight *sight, coffer__place place, coffer__buf *out) {
    const coffer__log *log = &this->shard->log;
    const coffer__record *record = &sight->record;
    size_t room = (size_t)coffer__words_of(record->value_len) * 8; /* whole words are copied faster than their parts */
    if (room > out->cap - out->len) {
        if (!is_undisturbed(this)) {
            return COFFER_AGAIN; /* so much may be asked for only by what is whole */
        }
        if (!coffer__buf_grow(out, room)) {
            return COFFER_NO_MEMORY;
        }
    }
    char *to = out->data == NULL ? NULL : out->data + out->len;
    coffer__log_copy(log, coffer__log_value(log, place, record), to, room);
    if (!is_undisturbed(this)) {
        return COFFER_AGAIN;
    }
    if (coffer__record_check(this->shard->secret, record, this->key, coffer_slice_of(to, record->value_len)) != record->check) {
        return COFFER_MISS;
    }
    out->len += record->value_len;
    return COFFER_OK;
}

static coffer_status look_once(const try *this, uint64_t now_ms, coffer__buf *out, coffer__sight *sight) {
    coffer__place place;
    if ((this->first & 1) != 0) {
        return COFFER_AGAIN;
    }
    if (!find(this, sight, &place)) {
        return absent(this, sight);
    }
    bool is_over = sight->record.expires_at_ms <= now_ms;
    if (!is_over && out != NULL) {
        return copy_value(this, sight, place, out);
    }
    return !is_undisturbed(this) ? COFFER_AGAIN : is_over ? COFFER_STALE : COFFER_OK;
}

coffer_status coffer__look(const coffer__near *near, uint64_t hash, coffer_slice key, uint64_t now_ms, coffer__buf *out, coffer__sight *sight) {
    try this = {.shard = &near->shards[coffer__shard_number(near, hash)], .hash = hash, .key = key};
    coffer_status status = COFFER_AGAIN;
    this.bucket = coffer__shard_bucket(this.shard, hash);
    for (int i = 0; i < TRIES && status == COFFER_AGAIN; i++) {
        this.first = coffer__bucket_sequence(this.bucket);
        status = look_once(&this, now_ms, out, sight);
    }
    return status;
}
