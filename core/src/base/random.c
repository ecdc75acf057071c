#include "random.h"

#include "alloc.h"
#include "lock.h"

#include <errno.h>
#include <sys/random.h>

enum { STORE_BYTES = 512 };

/* Bytes drawn are overwritten at once: what was given out cannot be read here later. */
static _Thread_local struct {
    uint64_t generation;
    size_t left; /* at the end of bytes */
    uint8_t bytes[STORE_BYTES];
} store;

static coffer_status from_system(void *out, size_t len) {
    uint8_t *at = (uint8_t *)out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return COFFER_NO_RANDOM;
        }
        at += got;
        len -= (size_t)got;
    }
    return COFFER_OK;
}

static coffer_status refill(void) {
    coffer_status status = from_system(store.bytes, STORE_BYTES);
    store.left = status == COFFER_OK ? (size_t)STORE_BYTES : 0;
    return status;
}

coffer_status coffer__random_bytes(void *out, size_t len) {
    if (len > STORE_BYTES / 4) {
        return from_system(out, len);
    }
    uint64_t generation = coffer__fork_generation();
    if (store.generation != generation) {
        store.generation = generation;
        store.left = 0;
    }
    if (store.left < len) {
        coffer_status status = refill();
        if (status != COFFER_OK) {
            return status;
        }
    }
    uint8_t *from = store.bytes + STORE_BYTES - store.left;
    memcpy(out, from, len);
    coffer__wipe(from, len);
    store.left -= len;
    return COFFER_OK;
}

/* splitmix64 (Steele, Lea, Flood 2014), for when the system has no bytes. */
static uint64_t mixed_counter(void) {
    static _Thread_local uint64_t state;
    if (state == 0) {
        state = (uint64_t)(uintptr_t)store.bytes;
    }
    state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint64_t coffer__random_u64(void) {
    uint64_t value;
    return coffer__random_bytes(&value, sizeof value) == COFFER_OK ? value : mixed_counter();
}

uint64_t coffer__random_back_off_ms(unsigned failures, uint64_t first_ms, uint64_t most_ms) {
    uint64_t bound_ms = first_ms;
    while (failures-- > 0 && bound_ms < most_ms) {
        bound_ms *= 2;
    }
    return 1 + coffer__random_u64() % (bound_ms < most_ms ? bound_ms : most_ms);
}
