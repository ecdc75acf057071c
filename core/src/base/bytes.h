/* Big-endian integers at any address. */
#ifndef COFFER_BASE_BYTES_H
#define COFFER_BASE_BYTES_H

#include <stdint.h>

static inline void coffer__put_u32(void *at, uint32_t value) {
    uint8_t *byte = (uint8_t *)at;
    for (int i = 3; i >= 0; i--, value >>= 8) {
        byte[i] = (uint8_t)value;
    }
}

static inline void coffer__put_u64(void *at, uint64_t value) {
    uint8_t *byte = (uint8_t *)at;
    for (int i = 7; i >= 0; i--, value >>= 8) {
        byte[i] = (uint8_t)value;
    }
}

static inline uint32_t coffer__get_u32(const void *at) {
    const uint8_t *byte = (const uint8_t *)at;
    return (uint32_t)byte[0] << 24 | (uint32_t)byte[1] << 16 | (uint32_t)byte[2] << 8 | byte[3];
}

static inline uint64_t coffer__get_u64(const void *at) {
    return (uint64_t)coffer__get_u32(at) << 32 | coffer__get_u32((const uint8_t *)at + 4);
}

#endif
