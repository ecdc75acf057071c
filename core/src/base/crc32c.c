#include "crc32c.h"

static uint32_t table[256];

/* Made when the library is loaded, so that no reader needs a lock. */
__attribute__((constructor)) static void make_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1u)));
        }
        table[byte] = crc;
    }
}

uint32_t coffer__crc32c_table(uint32_t crc, coffer_slice bytes) {
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++) {
        crc = (crc >> 8) ^ table[(crc ^ (uint8_t)bytes.data[i]) & 0xFFu];
    }
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, coffer_slice bytes) {
    const char *at = bytes.data;
    size_t left = bytes.len;
    uint64_t sum = ~crc;
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        sum = _mm_crc32_u64(sum, word);
    }
    uint32_t tail = (uint32_t)sum;
    for (; left > 0; left--, at++) {
        tail = _mm_crc32_u8(tail, (uint8_t)*at);
    }
    return ~tail;
}

uint32_t coffer__crc32c(uint32_t crc, coffer_slice bytes) {
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(crc, bytes) : coffer__crc32c_table(crc, bytes);
}
#else
uint32_t coffer__crc32c(uint32_t crc, coffer_slice bytes) {
    return coffer__crc32c_table(crc, bytes);
}
#endif
