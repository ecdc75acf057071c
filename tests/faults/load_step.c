/* One operation of fault_load: begun, run in slices, perhaps dropped, judged. */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_CAP = 32, CANCEL_STEP_US = 100, SLICE_MS = 100, REFUSED_US = 1000 };

typedef enum kind { KIND_GET, KIND_SET, KIND_GET_MANY, KIND_INCREMENT } kind;

typedef struct step {
    kind kind;
    uint64_t keys[MANY];
    coffer_op *op;
    uint64_t timeout_ms, began_us, cancel_at_us; /* UINT64_MAX: never */
    bool whole; /* its end was awaited */
} step;

uint64_t worker_random(worker *self, uint64_t end) { /* xorshift64*: Vigna, 2014 */
    self->random = self->random == 0 ? 1 : self->random;
    self->random ^= self->random >> 12;
    self->random ^= self->random << 25;
    self->random ^= self->random >> 27;
    uint64_t drawn = (self->random * UINT64_C(0x2545f4914f6cdd1d)) >> 11;
    return end == 0 ? 0 : drawn % end;
}

static uint64_t only[ONLY_MAX];

bool keys_choose(settings *wanted) {
    const char *at = wanted->only;
    size_t count = 0;
    while (at != NULL && *at != '\0' && count < ONLY_MAX) {
        char *end;
        only[count++] = strtoull(at, &end, 10);
        if (end == at) {
            return false;
        }
        at = *end == ',' ? end + 1 : end;
    }
    wanted->keys = count > 0 ? count : wanted->keys;
    return at == NULL || *at == '\0';
}

static uint64_t draw_key(worker *self) {
    uint64_t drawn = worker_random(self, self->settings->keys);
    return self->settings->only == NULL ? drawn : only[drawn];
}

static bool chance(worker *self, uint64_t permille) {
    return permille > 0 && worker_random(self, 1000) < permille;
}

static step choose(worker *self) {
    const settings *wanted = self->settings;
    uint64_t drawn = worker_random(self, 1000);
    step made = {.timeout_ms = wanted->timeout_ms, .cancel_at_us = UINT64_MAX, .kind = KIND_GET};
    if (drawn < wanted->write_permille) {
        made.kind = KIND_SET;
    } else if (drawn < wanted->write_permille + wanted->many_permille) {
        made.kind = KIND_GET_MANY;
    } else if (drawn < wanted->write_permille + wanted->many_permille + wanted->count_permille) {
        made.kind = KIND_INCREMENT;
    }
    for (size_t i = 0; i < MANY; i++) {
        made.keys[i] = draw_key(self);
    }
    if (chance(self, wanted->short_permille)) {
        made.timeout_ms = 1 + worker_random(self, wanted->short_ms);
    }
    made.began_us = now_us();
    if (chance(self, wanted->cancel_permille)) {
        made.cancel_at_us = made.began_us + worker_random(self, wanted->cancel_us);
    }
    return made;
}

/* ---- begin -------------------------------------------------------------------------------------------------------- */

static coffer_slice key_text(char out[KEY_CAP], uint64_t key) {
    int len = snprintf(out, KEY_CAP, "key%" PRIu64, key);
    return coffer_slice_of(out, (size_t)len);
}

static coffer_status begin_set(worker *self, step *now) {
    char key[KEY_CAP];
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.timeout_ms = now->timeout_ms;
    uint64_t room = self->settings->value_bytes - VALUE_HEADER_BYTES;
    value_name name = {.key = now->keys[0], .writer = self->index, .sequence = ++self->sequence};
    name.len = (uint32_t)(VALUE_HEADER_BYTES + worker_random(self, room + 1));
    value_write(self->scratch, &name);
    return coffer_op_set(&now->op, coffer_cache_namespace(self->cache), key_text(key, now->keys[0]), coffer_slice_of(self->scratch, name.len),
                         &options);
}

static coffer_status begin_increment(worker *self, step *now) {
    char key[KEY_CAP];
    coffer_write_options options = COFFER_WRITE_OPTIONS_INIT;
    options.timeout_ms = now->timeout_ms;
    options.ttl_ms = COFFER_TTL_FOREVER;
    int len = snprintf(key, sizeof key, "count%u", self->index);
    return coffer_op_increment(&now->op, coffer_cache_namespace(self->cache), coffer_slice_of(key, (size_t)len), 1, &options);
}

static coffer_status begin_read(worker *self, step *now) {
    char texts[MANY][KEY_CAP];
    coffer_slice keys[MANY];
    coffer_read_options options = COFFER_READ_OPTIONS_INIT;
    options.timeout_ms = now->timeout_ms;
    for (size_t i = 0; i < MANY; i++) {
        keys[i] = key_text(texts[i], now->keys[i]);
    }
    coffer_namespace *ns = coffer_cache_namespace(self->cache);
    return now->kind == KIND_GET ? coffer_op_get(&now->op, ns, keys[0], &options) : coffer_op_get_many(&now->op, ns, keys, MANY, &options);
}

static coffer_status begin(worker *self, step *now) {
    static coffer_status (*const begins[])(worker *, step *) = {
        [KIND_GET] = begin_read, [KIND_SET] = begin_set, [KIND_GET_MANY] = begin_read, [KIND_INCREMENT] = begin_increment};
    return begins[now->kind](self, now);
}

/* ---- judge -------------------------------------------------------------------------------------------------------- */

static void judge(worker *self, const coffer_value *value, uint64_t key) {
    self->tally.values++;
    if (!value_is_right(value->data.data, value->data.len, key)) {
        self->tally.wrong++;
        printf("wrong thread=%u key=%" PRIu64 " bytes=%zu\n", self->index, key, value->data.len);
    }
}

static void judge_values(worker *self, const step *now) {
    if (now->kind == KIND_GET && coffer_op_status(now->op) == COFFER_OK) {
        judge(self, coffer_op_value(now->op), now->keys[0]);
    }
    for (size_t i = 0; now->kind == KIND_GET_MANY && i < coffer_op_count(now->op); i++) {
        coffer_value value;
        if (coffer_op_item(now->op, i, &value) == COFFER_OK) {
            judge(self, &value, now->keys[i]);
        }
    }
}

static bool is_answer(coffer_status status) {
    return status >= 0;
}

/* Of a write, any other error says that nothing happened. */
static void count_increment(worker *self, const step *now, coffer_status status) {
    if (now->whole && is_answer(status)) {
        self->tally.counted_sure++;
    } else if (!now->whole || status == COFFER_MAYBE_APPLIED) {
        self->tally.counted_maybe++;
    }
}

static void end(worker *self, const step *now) {
    coffer_status status = now->whole ? coffer_op_status(now->op) : COFFER_AGAIN;
    uint64_t took_us = now_us() - now->began_us, most_us = now->timeout_ms * 1000;
    self->tally.operations++;
    if (now->kind == KIND_INCREMENT) {
        count_increment(self, now, status);
    }
    if (!now->whole) {
        self->tally.cancelled++;
        return;
    }
    if (took_us >= most_us || status == COFFER_TIMEOUT) {
        lateness_add(&self->tally.overshoot, took_us > most_us ? took_us - most_us : 0);
    }
    self->tally.timed_out += status == COFFER_TIMEOUT;
    if (is_answer(status)) {
        successes_note();
        judge_values(self, now);
    } else {
        self->tally.by_status[(-(int)status) % STATUSES]++;
        if (status == COFFER_BREAKER_OPEN) { /* answered at once: callers go on without the cache, and do not spin */
            sleep_us(REFUSED_US);
        }
    }
}

/* ---- run ---------------------------------------------------------------------------------------------------------- */

static void run_until_cancelled(worker *self, step *now) {
    coffer_want want = COFFER_WANT_REPLY;
    while (want == COFFER_WANT_REPLY && now_us() < now->cancel_at_us) {
        want = coffer_cache_run(self->cache, now->op, 0);
        uint64_t left_us = now->cancel_at_us - now_us();
        if (want == COFFER_WANT_REPLY && now_us() < now->cancel_at_us) {
            sleep_us(left_us < CANCEL_STEP_US ? left_us : CANCEL_STEP_US);
        }
    }
    now->whole = want == COFFER_WANT_DONE;
}

static void run_to_its_end(worker *self, step *now) {
    while (coffer_cache_run(self->cache, now->op, SLICE_MS) == COFFER_WANT_REPLY) {
    }
    now->whole = true;
}

void worker_step(worker *self) {
    step now = choose(self);
    coffer_status status = begin(self, &now);
    if (status != COFFER_OK) {
        self->tally.by_status[(-(int)status) % STATUSES]++;
        return;
    }
    atomic_store(&self->ends_at_us, now.began_us + now.timeout_ms * 1000);
    (now.cancel_at_us == UINT64_MAX ? run_to_its_end : run_until_cancelled)(self, &now);
    atomic_store(&self->ends_at_us, 0);
    end(self, &now);
    coffer_cache_drop(self->cache, now.op);
}
