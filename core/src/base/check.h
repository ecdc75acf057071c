/* A check over bytes that tells torn and flipped ones from whole ones: 64 bits, keyed, so that nobody who chooses the bytes can aim at a collision.
 * Checks are chained by giving the one as the seed of the next. Not a signature; the same on one machine only (it takes words as they lie).
 *
 * Each pair of words is multiplied to 128 bits and folded into 64, in two lanes that do not wait for each other, as wyhash (Wang Yi, 2019) does it. */
#ifndef COFFER_BASE_CHECK_H
#define COFFER_BASE_CHECK_H

#include <coffer/types.h>

#include <string.h>

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 coffer__wide;

static inline uint64_t coffer__check_fold(uint64_t a, uint64_t b) {
    coffer__wide product = (coffer__wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
#else
static inline uint64_t coffer__check_fold(uint64_t a, uint64_t b) {
    uint64_t a_low = (uint32_t)a, a_high = a >> 32, b_low = (uint32_t)b, b_high = b >> 32;
    uint64_t low = a_low * b_low, cross = a_high * b_low + (low >> 32), other = a_low * b_high + (uint32_t)cross;
    return (a * b) ^ (a_high * b_high + (cross >> 32) + (other >> 32));
}
#endif

static inline uint64_t coffer__check_word(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Up to 16 bytes, as two words with zeros behind them. */
static inline void coffer__check_rest(const char *at, size_t len, uint64_t rest[2]) {
    rest[0] = rest[1] = 0;
    if (len > 0) {
        memcpy(rest, at, len);
    }
}

static inline uint64_t coffer__check(uint64_t seed, const void *bytes, size_t len) {
    const char *at = (const char *)bytes;
    uint64_t left = seed ^ UINT64_C(0x9E3779B97F4A7C15), right = seed ^ UINT64_C(0xD1B54A32D192ED03);
    uint64_t a = coffer__check_fold(left, right ^ (uint64_t)len), b = ~a, rest[2];
    size_t there = len;
    for (; there > 32; at += 32, there -= 32) {
        a = coffer__check_fold(coffer__check_word(at) ^ left, coffer__check_word(at + 8) ^ a);
        b = coffer__check_fold(coffer__check_word(at + 16) ^ right, coffer__check_word(at + 24) ^ b);
    }
    if (there > 16) {
        a = coffer__check_fold(coffer__check_word(at) ^ left, coffer__check_word(at + 8) ^ a);
        at += 16;
        there -= 16;
    }
    coffer__check_rest(at, there, rest);
    b = coffer__check_fold(rest[0] ^ right, rest[1] ^ b);
    return coffer__check_fold(a ^ left, b ^ right);
}

#endif
