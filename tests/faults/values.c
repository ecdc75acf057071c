#include "values.h"

#include <string.h>

static const uint64_t secret = UINT64_C(0x5eed0fc0ffe12345);

static uint64_t mix(uint64_t z) { /* splitmix64's, as in toxics.c */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t hash_of(const value_name *name) {
    uint64_t hash = mix(secret ^ name->key);
    hash = mix(hash ^ name->sequence);
    return mix(hash ^ ((uint64_t)name->writer << 32 | name->len));
}

static void put_header(char *out, const value_name *name, uint64_t hash) {
    memcpy(out, &hash, 8);
    memcpy(out + 8, &name->key, 8);
    memcpy(out + 16, &name->writer, 4);
    memcpy(out + 20, &name->len, 4);
    memcpy(out + 24, &name->sequence, 8);
}

static uint64_t filler_at(uint64_t hash, size_t index) {
    return mix(hash + index);
}

void value_write(char *out, const value_name *name) {
    uint64_t hash = hash_of(name);
    put_header(out, name, hash);
    for (size_t at = VALUE_HEADER_BYTES; at < name->len; at += 8) {
        uint64_t filler = filler_at(hash, at);
        memcpy(out + at, &filler, name->len - at < 8 ? name->len - at : 8);
    }
}

bool value_is_right(const char *bytes, size_t len, uint64_t key) {
    char header[VALUE_HEADER_BYTES];
    value_name name = {.key = key, .len = (uint32_t)len};
    if (len < VALUE_HEADER_BYTES) {
        return false;
    }
    memcpy(&name.writer, bytes + 16, 4);
    memcpy(&name.sequence, bytes + 24, 8);
    uint64_t hash = hash_of(&name);
    put_header(header, &name, hash);
    if (memcmp(header, bytes, sizeof header) != 0) {
        return false;
    }
    for (size_t at = VALUE_HEADER_BYTES; at < len; at += 8) {
        uint64_t filler = filler_at(hash, at);
        if (memcmp(bytes + at, &filler, len - at < 8 ? len - at : 8) != 0) {
            return false;
        }
    }
    return true;
}
