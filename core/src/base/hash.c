#include "hash.h"

typedef struct state {
    uint64_t a, b, c, d;
} state;

static inline uint64_t turn(uint64_t word, int bits) {
    return word << bits | word >> (64 - bits);
}

static inline state mix(state s) {
    s.a += s.b;
    s.b = turn(s.b, 13) ^ s.a;
    s.a = turn(s.a, 32);
    s.c += s.d;
    s.d = turn(s.d, 16) ^ s.c;
    s.a += s.d;
    s.d = turn(s.d, 21) ^ s.a;
    s.c += s.b;
    s.b = turn(s.b, 17) ^ s.c;
    s.c = turn(s.c, 32);
    return s;
}

static inline state absorb(state s, uint64_t word) {
    s.d ^= word;
    s = mix(s);
    s.a ^= word;
    return s;
}

static inline uint64_t little_endian(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* What is left behind the last whole word, with the length on top. A run of 8 or more is read as its last 8 bytes, shifted: no loop. */
static inline uint64_t last_word(const uint8_t *bytes, size_t len) {
    uint64_t word = (uint64_t)len << 56;
    size_t left = len & 7;
    if (left == 0) {
        return word;
    }
    if (len >= 8) {
        return word | little_endian(bytes + len - 8) >> (64 - 8 * left);
    }
    for (size_t i = 0; i < left; i++) {
        word |= (uint64_t)bytes[i] << (8 * i);
    }
    return word;
}

uint64_t coffer__hash(coffer__hash_key key, coffer_slice bytes) {
    const uint8_t *at = (const uint8_t *)bytes.data;
    state s = {key.low ^ UINT64_C(0x736f6d6570736575), key.high ^ UINT64_C(0x646f72616e646f6d), key.low ^ UINT64_C(0x6c7967656e657261),
               key.high ^ UINT64_C(0x7465646279746573)};
    size_t words = bytes.len / 8;
    for (size_t i = 0; i < words; i++) {
        s = absorb(s, little_endian(at + 8 * i));
    }
    s = absorb(s, last_word(at, bytes.len));
    s.c ^= 0xFF;
    s = mix(mix(mix(s)));
    return s.a ^ s.b ^ s.c ^ s.d;
}
