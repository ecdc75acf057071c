#include "flight.h"

#include "base/alloc.h"
#include "waiter.h"

enum { BUCKETS = 256 };

typedef struct member {
    const coffer_op *op;
    coffer_waiter *waiter;
    struct member *next;
} member;

struct coffer__flight {
    coffer__flight *next; /* in its bucket, while it is findable */
    const coffer_op *leader;
    member *members; /* the leader too */
    bool findable;
    bool overtaken;
    bool published;
    coffer__flight_result result;
    coffer__buf data;
    size_t key_len;
    char key[];
};

struct coffer__flights {
    coffer__lock *lock;
    _Atomic size_t open_count; /* findable ones: a write looks here first */
    _Atomic uint64_t ended_counts[BUCKETS];
    coffer__flight *buckets[BUCKETS];
};

coffer_status coffer__flights_new(coffer__flights **flights) {
    coffer__flights *made = (coffer__flights *)coffer__alloc_zero(sizeof *made);
    if (made == NULL || (made->lock = coffer__lock_new()) == NULL) {
        coffer__release(made);
        return COFFER_NO_MEMORY;
    }
    *flights = made;
    return COFFER_OK;
}

void coffer__flights_free(coffer__flights *flights) {
    if (flights != NULL) {
        coffer__lock_free(flights->lock);
        coffer__release(flights);
    }
}

/* The parent's threads, whose flights these were, do not exist here. What they hold is left to them: it is not ours to free. */
void coffer__flights_after_fork(coffer__flights *flights) {
    coffer__lock_reset(flights->lock);
    atomic_store(&flights->open_count, 0);
    memset(flights->buckets, 0, sizeof flights->buckets);
}

/* FNV-1a: the table is small, short-lived and not indexed by what an attacker keeps open. */
static size_t bucket_of(coffer_slice key) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < key.len; i++) {
        hash = (hash ^ (uint8_t)key.data[i]) * 16777619u;
    }
    return hash % BUCKETS;
}

uint64_t coffer__flights_ended(const coffer__flights *flights, coffer_slice wire_key) {
    return atomic_load_explicit(&flights->ended_counts[bucket_of(wire_key)], memory_order_acquire);
}

static coffer__flight *find(coffer__flights *flights, coffer_slice key) {
    coffer__flight *flight = flights->buckets[bucket_of(key)];
    while (flight != NULL && !coffer_slice_equal(key, coffer_slice_of(flight->key, flight->key_len))) {
        flight = flight->next;
    }
    return flight;
}

static void hide(coffer__flights *flights, coffer__flight *flight) {
    if (!flight->findable) {
        return;
    }
    size_t bucket = bucket_of(coffer_slice_of(flight->key, flight->key_len));
    coffer__flight **link = &flights->buckets[bucket];
    while (*link != NULL && *link != flight) {
        link = &(*link)->next;
    }
    flight->findable = false;
    if (*link == NULL) { /* a child of fork no longer finds it */
        return;
    }
    *link = flight->next;
    atomic_fetch_sub_explicit(&flights->open_count, 1, memory_order_release);
    atomic_fetch_add_explicit(&flights->ended_counts[bucket], 1, memory_order_release);
}

static coffer__flight *make(coffer__flights *flights, coffer_slice key, const coffer_op *leader) {
    coffer__flight *flight = (coffer__flight *)coffer__alloc_zero(sizeof *flight + key.len);
    if (flight == NULL) {
        return NULL;
    }
    memcpy(flight->key, key.data, key.len);
    flight->key_len = key.len;
    flight->leader = leader;
    flight->findable = true;
    coffer__flight **bucket = &flights->buckets[bucket_of(key)];
    flight->next = *bucket;
    *bucket = flight;
    atomic_fetch_add_explicit(&flights->open_count, 1, memory_order_release);
    return flight;
}

static bool is_own_loader(const coffer__flight *flight, const coffer_op *parent) {
    for (; parent != NULL; parent = coffer__op_parent(parent)) {
        if (flight->leader == parent) {
            return true;
        }
    }
    return false;
}

static coffer__flight_role enter(coffer__flights *flights, coffer_slice key, member *newcomer, const coffer_op *parent, coffer__flight **out) {
    coffer__flight *flight = find(flights, key);
    bool first = flight == NULL;
    if (!first && !flight->published && is_own_loader(flight, parent)) {
        return COFFER__FLIGHT_RECURSIVE;
    }
    if (first && (flight = make(flights, key, newcomer->op)) == NULL) {
        return COFFER__FLIGHT_NO_MEMORY;
    }
    newcomer->next = flight->members;
    flight->members = newcomer;
    *out = flight;
    if (first) {
        return COFFER__FLIGHT_LEAD;
    }
    return flight->published ? COFFER__FLIGHT_RESULT : COFFER__FLIGHT_WAIT;
}

coffer__flight_role coffer__flight_join(coffer_client *client, coffer_slice wire_key, const coffer_op *op, const coffer_op *parent,
                                        coffer_waiter *waiter, coffer__flight **flight) {
    member *newcomer = (member *)coffer__alloc(sizeof *newcomer);
    if (newcomer == NULL) {
        return COFFER__FLIGHT_NO_MEMORY;
    }
    newcomer->op = op;
    newcomer->waiter = coffer__waiter_ref(waiter);
    coffer__lock_take(client->flights->lock);
    coffer__flight_role role = enter(client->flights, wire_key, newcomer, parent, flight);
    coffer__lock_drop(client->flights->lock);
    if (role == COFFER__FLIGHT_RECURSIVE || role == COFFER__FLIGHT_NO_MEMORY) {
        coffer_waiter_free(newcomer->waiter);
        coffer__release(newcomer);
    }
    return role;
}

coffer__flight_role coffer__flight_poll(coffer_client *client, coffer__flight *flight, const coffer_op *op) {
    coffer__lock_take(client->flights->lock);
    coffer__flight_role role = COFFER__FLIGHT_WAIT;
    if (flight->published) {
        role = COFFER__FLIGHT_RESULT;
    } else if (flight->leader == NULL || flight->leader == op) {
        flight->leader = op;
        role = COFFER__FLIGHT_LEAD;
    }
    coffer__lock_drop(client->flights->lock);
    return role;
}

/* The hook may only set a flag or an eventfd, so it may run under our lock, where every waiter is sure to be there. */
static void wake_others(coffer_client *client, const coffer__flight *flight, const coffer_op *but) {
    for (const member *one = flight->members; client->wake != NULL && one != NULL; one = one->next) {
        if (one->op != but && one->waiter != NULL) {
            client->wake(coffer_waiter_data(one->waiter));
        }
    }
}

bool coffer__flight_publish(coffer_client *client, coffer__flight *flight, coffer_status status, const coffer_value *value) {
    coffer__lock_take(client->flights->lock);
    bool copied = value == NULL || coffer__buf_append_slice(&flight->data, value->data);
    if (copied) {
        flight->published = true;
        flight->result.status = status;
        if (value != NULL) {
            flight->result.value = *value;
            flight->result.value.data = coffer__buf_slice(&flight->data);
        }
    } else {
        flight->leader = NULL;
    }
    wake_others(client, flight, NULL);
    coffer__lock_drop(client->flights->lock);
    return copied;
}

const coffer__flight_result *coffer__flight_result_of(const coffer__flight *flight) {
    return &flight->result;
}

bool coffer__flight_is_overtaken(coffer_client *client, const coffer__flight *flight) {
    coffer__lock_take(client->flights->lock);
    bool overtaken = flight->overtaken;
    coffer__lock_drop(client->flights->lock);
    return overtaken;
}

static member *take_member(coffer__flight *flight, const coffer_op *op) {
    member **link = &flight->members;
    while (*link != NULL && (*link)->op != op) {
        link = &(*link)->next;
    }
    member *found = *link;
    if (found != NULL) {
        *link = found->next;
    }
    return found;
}

void coffer__flight_leave(coffer_client *client, coffer__flight *flight, const coffer_op *op) {
    coffer__flights *flights = client->flights;
    coffer__lock_take(flights->lock);
    member *gone = take_member(flight, op);
    if (flight->leader == op) {
        flight->leader = NULL;
        if (flight->published) {
            hide(flights, flight);
        } else {
            wake_others(client, flight, op);
        }
    }
    bool last = flight->members == NULL;
    if (last) {
        hide(flights, flight);
    }
    coffer__lock_drop(flights->lock);
    if (gone != NULL) {
        coffer_waiter_free(gone->waiter);
        coffer__release(gone);
    }
    if (last) {
        coffer__buf_free(&flight->data);
        coffer__release(flight);
    }
}

void coffer__flight_overtake(coffer_client *client, coffer_slice wire_key) {
    coffer__flights *flights = client->flights;
    if (atomic_load_explicit(&flights->open_count, memory_order_acquire) == 0) {
        return;
    }
    coffer__lock_take(flights->lock);
    coffer__flight *flight = find(flights, wire_key);
    if (flight != NULL) {
        flight->overtaken = true;
        hide(flights, flight);
    }
    coffer__lock_drop(flights->lock);
}

static void overtake_bucket(coffer__flights *flights, size_t bucket, coffer_slice key_base) {
    for (coffer__flight *flight = flights->buckets[bucket], *next; flight != NULL; flight = next) {
        next = flight->next;
        if (flight->key_len >= key_base.len && memcmp(flight->key, key_base.data, key_base.len) == 0) {
            flight->overtaken = true;
            hide(flights, flight);
        }
    }
}

void coffer__flights_overtake(coffer_client *client, coffer_slice key_base) {
    coffer__flights *flights = client->flights;
    if (atomic_load_explicit(&flights->open_count, memory_order_acquire) == 0) {
        return;
    }
    coffer__lock_take(flights->lock);
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        overtake_bucket(flights, bucket, key_base);
    }
    coffer__lock_drop(flights->lock);
}
