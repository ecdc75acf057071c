#include "breaker.h"

#include "base/alloc.h"
#include "base/lock.h"
#include "base/random.h"

#include <stdatomic.h>

enum {
    SLOTS = 10, /* of the window */
    ROWS = 8, /* of the count of calls, so that threads do not fight for one cache line */
    LINE_BYTES = 64,
    FIRST_STEP_MS = 10,
    LONGEST_STEP_MS = 200,
    LONGEST_SLOW_MS = 1800, /* with the longest step 2 s */
    SLOW_TIMES = 4,
    MOST_STEPS = 8
};

typedef struct row {
    _Alignas(LINE_BYTES) atomic_uint_fast64_t ended;
} row;

/* How much had been counted when a slot began. */
typedef struct mark {
    uint64_t calls, failed;
} mark;

struct coffer__breaker {
    row rows[ROWS];
    _Atomic int state;
    _Atomic uint32_t generation;
    _Atomic uint64_t slot_ends_ms; /* when the window has to move on */
    _Atomic uint64_t in_row;
    _Atomic uint64_t refused;
    _Atomic int last_failure; /* a status */
    coffer__lock *lock; /* of all that follows, and of changes of the state */
    coffer__breaker_rules rules;
    uint64_t slot; /* number of the current one: now / slot_ms */
    mark marks[SLOTS];
    uint64_t failed, opened;
    uint64_t last_failure_ms, closed_at_ms, open_until_ms, probe_until_ms;
    unsigned step;
    bool was_closed_again;
    void *memory;
};

coffer_status coffer__breaker_new(coffer__breaker **breaker, const coffer__breaker_rules *rules) {
    *breaker = NULL;
    char *memory = (char *)coffer__alloc_zero(sizeof **breaker + LINE_BYTES);
    coffer__lock *lock = memory == NULL ? NULL : coffer__lock_new();
    if (lock == NULL) {
        coffer__release(memory);
        return COFFER_NO_MEMORY;
    }
    size_t skipped = (LINE_BYTES - (uintptr_t)memory % LINE_BYTES) % LINE_BYTES;
    coffer__breaker *made = (coffer__breaker *)(void *)(memory + skipped);
    made->memory = memory;
    made->lock = lock;
    made->rules = *rules;
    *breaker = made;
    return COFFER_OK;
}

void coffer__breaker_free(coffer__breaker *breaker) {
    if (breaker != NULL) {
        coffer__lock_free(breaker->lock);
        coffer__release(breaker->memory);
    }
}

bool coffer__breaker_is_failure(coffer_status status) {
    switch (status) {
    case COFFER_CONNECT:
    case COFFER_DNS:
    case COFFER_TLS:
    case COFFER_CERTIFICATE:
    case COFFER_TIMEOUT:
    case COFFER_CLOSED:
    case COFFER_IO:
    case COFFER_NOT_SENT:
    case COFFER_MAYBE_APPLIED:
    case COFFER_LOADING:
    case COFFER_MASTERDOWN:
    case COFFER_CLUSTERDOWN:
        return true;
    default:
        return false;
    }
}

/* Whatever a server says (-40 to -59) is an answer. */
bool coffer__breaker_is_success(coffer_status status) {
    return (status >= 0 || (status <= COFFER_SERVER && status > -60)) && !coffer__breaker_is_failure(status);
}

/* ---- the window ------------------------------------------------------------------------------------------------- */

static uint64_t load(const _Atomic uint64_t *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

static void count_call(coffer__breaker *breaker) {
    static atomic_uint_fast64_t next;
    static _Thread_local size_t taken; /* row + 1 */
    if (taken == 0) {
        taken = 1 + (size_t)(atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % ROWS);
    }
    atomic_fetch_add_explicit(&breaker->rows[taken - 1].ended, 1, memory_order_relaxed);
}

static uint64_t calls_so_far(const coffer__breaker *breaker) {
    uint64_t sum = 0;
    for (size_t i = 0; i < ROWS; i++) {
        sum += atomic_load_explicit(&breaker->rows[i].ended, memory_order_relaxed);
    }
    return sum;
}

static uint64_t slot_ms(const coffer__breaker *breaker) {
    return breaker->rules.window_ms / SLOTS + 1;
}

/* Locked. Each slot that has begun since remembers what had been counted by then. */
static void move_window(coffer__breaker *breaker, uint64_t now_ms) {
    uint64_t slot = now_ms / slot_ms(breaker);
    if (slot <= breaker->slot) {
        return;
    }
    uint64_t passed = slot - breaker->slot < SLOTS ? slot - breaker->slot : SLOTS;
    mark now = {calls_so_far(breaker), breaker->failed};
    for (uint64_t i = 0; i < passed; i++) {
        breaker->marks[(slot - i) % SLOTS] = now;
    }
    breaker->slot = slot;
    atomic_store_explicit(&breaker->slot_ends_ms, (slot + 1) * slot_ms(breaker), memory_order_relaxed);
}

/* Locked. The slot after the current one in the ring is the oldest of the window. */
static mark in_window(const coffer__breaker *breaker) {
    mark oldest = breaker->marks[(breaker->slot + 1) % SLOTS];
    return (mark){calls_so_far(breaker) - oldest.calls, breaker->failed - oldest.failed};
}

static void forget_window(coffer__breaker *breaker) {
    mark now = {calls_so_far(breaker), breaker->failed};
    for (size_t i = 0; i < SLOTS; i++) {
        breaker->marks[i] = now;
    }
    atomic_store_explicit(&breaker->in_row, 0, memory_order_relaxed);
}

/* ---- the states; all locked --------------------------------------------------------------------------------------- */

static void become(coffer__breaker *breaker, coffer__breaker_state state) {
    atomic_fetch_add_explicit(&breaker->generation, 1, memory_order_relaxed);
    atomic_store_explicit(&breaker->state, (int)state, memory_order_release);
}

static void stay_open(coffer__breaker *breaker, uint64_t took_ms, uint64_t now_ms) {
    uint64_t slow_ms = took_ms > LONGEST_SLOW_MS / SLOW_TIMES ? LONGEST_SLOW_MS : took_ms * SLOW_TIMES;
    uint64_t step_ms = (uint64_t)FIRST_STEP_MS << (breaker->step < MOST_STEPS ? breaker->step : MOST_STEPS);
    step_ms = step_ms < LONGEST_STEP_MS ? step_ms : LONGEST_STEP_MS;
    breaker->open_until_ms = now_ms + slow_ms + coffer__random_u64() % (step_ms + 1);
    become(breaker, COFFER__BREAKER_OPEN);
}

static void open_breaker(coffer__breaker *breaker, uint64_t took_ms, uint64_t now_ms) {
    bool flaps = breaker->was_closed_again && now_ms < breaker->closed_at_ms + breaker->rules.window_ms;
    breaker->step = flaps ? breaker->step + 1 : 0;
    breaker->opened++;
    stay_open(breaker, took_ms, now_ms);
}

static void close_breaker(coffer__breaker *breaker, uint64_t now_ms) {
    breaker->closed_at_ms = now_ms;
    breaker->was_closed_again = true;
    move_window(breaker, now_ms);
    forget_window(breaker);
    become(breaker, COFFER__BREAKER_CLOSED);
}

static bool has_failed_too_often(const coffer__breaker *breaker) {
    mark seen = in_window(breaker);
    bool rate = seen.calls >= breaker->rules.minimum_calls_count && seen.failed * 100 >= seen.calls * breaker->rules.failure_rate_percent;
    return rate || load(&breaker->in_row) >= breaker->rules.consecutive_count;
}

static void call_failed(coffer__breaker *breaker, coffer_status status, uint64_t took_ms, uint64_t now_ms) {
    move_window(breaker, now_ms);
    bool is_row_old = now_ms > breaker->last_failure_ms + breaker->rules.window_ms;
    atomic_store_explicit(&breaker->in_row, is_row_old ? 1 : load(&breaker->in_row) + 1, memory_order_relaxed);
    count_call(breaker);
    breaker->failed++;
    breaker->last_failure_ms = now_ms;
    atomic_store_explicit(&breaker->last_failure, (int)status, memory_order_relaxed);
    if (breaker->rules.is_on && has_failed_too_often(breaker)) {
        open_breaker(breaker, took_ms, now_ms);
    }
}

static void probe_failed(coffer__breaker *breaker, coffer_status status, uint64_t took_ms, uint64_t now_ms) {
    breaker->step++;
    breaker->last_failure_ms = now_ms;
    atomic_store_explicit(&breaker->last_failure, (int)status, memory_order_relaxed);
    stay_open(breaker, took_ms, now_ms);
}

/* ---- calls -------------------------------------------------------------------------------------------------------- */

static coffer__breaker_state state_of(const coffer__breaker *breaker) {
    return (coffer__breaker_state)atomic_load_explicit(&breaker->state, memory_order_acquire);
}

static bool may_probe(const coffer__breaker *breaker, uint64_t now_ms) {
    bool open = state_of(breaker) == COFFER__BREAKER_OPEN;
    return now_ms >= (open ? breaker->open_until_ms : breaker->probe_until_ms);
}

static bool admit_when_not_closed(coffer__breaker *breaker, uint64_t now_ms, uint64_t until_ms, coffer__pass *pass) {
    coffer__lock_take(breaker->lock);
    bool admitted = state_of(breaker) == COFFER__BREAKER_CLOSED;
    if (!admitted && may_probe(breaker, now_ms)) {
        become(breaker, COFFER__BREAKER_HALF_OPEN);
        uint64_t latest_ms = now_ms + breaker->rules.probe_ms;
        breaker->probe_until_ms = until_ms < latest_ms ? until_ms : latest_ms;
        admitted = pass->is_probe = true;
    }
    pass->generation = atomic_load_explicit(&breaker->generation, memory_order_relaxed);
    coffer__lock_drop(breaker->lock);
    return admitted;
}

bool coffer__breaker_admit(coffer__breaker *breaker, uint64_t now_ms, uint64_t until_ms, coffer__pass *pass) {
    *pass = (coffer__pass){.breaker = breaker, .began_ms = now_ms, .generation = atomic_load_explicit(&breaker->generation, memory_order_relaxed)};
    if (state_of(breaker) == COFFER__BREAKER_CLOSED || admit_when_not_closed(breaker, now_ms, until_ms, pass)) {
        return true;
    }
    atomic_fetch_add_explicit(&breaker->refused, 1, memory_order_relaxed);
    pass->breaker = NULL;
    return false;
}

bool coffer__breaker_would_admit(coffer__breaker *breaker, uint64_t now_ms) {
    if (state_of(breaker) == COFFER__BREAKER_CLOSED) {
        return true;
    }
    coffer__lock_take(breaker->lock);
    bool admits = state_of(breaker) == COFFER__BREAKER_CLOSED || may_probe(breaker, now_ms);
    coffer__lock_drop(breaker->lock);
    return admits;
}

coffer_status coffer__breaker_reason(const coffer__breaker *breaker) {
    return (coffer_status)atomic_load_explicit(&breaker->last_failure, memory_order_relaxed);
}

static bool is_current(const coffer__breaker *breaker, const coffer__pass *pass) {
    return atomic_load_explicit(&breaker->generation, memory_order_relaxed) == pass->generation;
}

/* Locked, and the pass is current. True where the breaker closes. */
static bool probe_ended(coffer__breaker *breaker, coffer_status status, uint64_t took_ms, uint64_t now_ms) {
    if (coffer__breaker_is_success(status)) {
        close_breaker(breaker, now_ms);
        return true;
    }
    if (coffer__breaker_is_failure(status)) {
        probe_failed(breaker, status, took_ms, now_ms);
    } else {
        breaker->open_until_ms = now_ms; /* the next caller tries */
        become(breaker, COFFER__BREAKER_OPEN);
    }
    return false;
}

static bool record_locked(coffer__breaker *breaker, const coffer__pass *pass, coffer_status status, uint64_t now_ms) {
    uint64_t took_ms = now_ms > pass->began_ms ? now_ms - pass->began_ms : 0;
    bool closes = false;
    coffer__lock_take(breaker->lock);
    bool counts = is_current(breaker, pass); /* else it is of a state that is over */
    bool is_late_answer = state_of(breaker) == COFFER__BREAKER_HALF_OPEN && coffer__breaker_is_success(status);
    if (pass->is_probe && (counts || is_late_answer)) {
        closes = probe_ended(breaker, status, took_ms, now_ms);
    } else if (!pass->is_probe && counts && state_of(breaker) == COFFER__BREAKER_CLOSED && coffer__breaker_is_failure(status)) {
        call_failed(breaker, status, took_ms, now_ms); /* not one that was let in while it opened */
    }
    coffer__lock_drop(breaker->lock);
    return closes;
}

static void call_succeeded(coffer__breaker *breaker, uint64_t now_ms) {
    if (load(&breaker->in_row) != 0) {
        atomic_store_explicit(&breaker->in_row, 0, memory_order_relaxed);
    }
    if (now_ms >= load(&breaker->slot_ends_ms)) {
        coffer__lock_take(breaker->lock);
        move_window(breaker, now_ms);
        coffer__lock_drop(breaker->lock);
    }
    count_call(breaker);
}

bool coffer__breaker_record(coffer__pass *pass, coffer_status status, uint64_t now_ms) {
    coffer__breaker *breaker = pass->breaker;
    if (breaker == NULL) {
        return false;
    }
    pass->breaker = NULL;
    if (pass->is_probe || coffer__breaker_is_failure(status)) {
        return record_locked(breaker, pass, status, now_ms);
    }
    if (coffer__breaker_is_success(status) && is_current(breaker, pass)) {
        call_succeeded(breaker, now_ms);
    }
    return false;
}

void coffer__breaker_give_back(coffer__pass *pass, uint64_t now_ms) {
    coffer__breaker_record(pass, COFFER_INTERRUPTED, now_ms);
}

/* ---- the rest ----------------------------------------------------------------------------------------------------- */

void coffer__breaker_after_fork(coffer__breaker *breaker) {
    coffer__lock_reset(breaker->lock);
    bool half_open = state_of(breaker) == COFFER__BREAKER_HALF_OPEN;
    breaker->open_until_ms = half_open ? 0 : breaker->open_until_ms;
    become(breaker, half_open ? COFFER__BREAKER_OPEN : state_of(breaker));
}

void coffer__breaker_read(coffer__breaker *breaker, uint64_t now_ms, coffer__breaker_figures *figures) {
    coffer__lock_take(breaker->lock);
    move_window(breaker, now_ms);
    mark seen = in_window(breaker);
    *figures = (coffer__breaker_figures){
        .state = state_of(breaker),
        .opened_count = breaker->opened,
        .refused_count = load(&breaker->refused),
        .calls_count = seen.calls,
        .failed_count = seen.failed,
        .in_row_count = load(&breaker->in_row),
        .last_failure = coffer__breaker_reason(breaker),
    };
    if (figures->state == COFFER__BREAKER_OPEN && breaker->open_until_ms > now_ms) {
        figures->retry_in_ms = breaker->open_until_ms - now_ms;
    }
    coffer__lock_drop(breaker->lock);
}
