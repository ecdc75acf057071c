#include "codec/aad.h"

#include "base/alloc.h"
#include "base/bytes.h"

enum { LENGTH_BYTES = 8, PART_COUNT = 7 };

static char *put(char *at, coffer_slice part) {
    coffer__put_u64(at, part.len);
    at += LENGTH_BYTES;
    if (part.len > 0) {
        memcpy(at, part.data, part.len);
    }
    return at + part.len;
}

coffer_status coffer__aad_init(coffer__aad *aad, const char header[COFFER__AAD_BOUND_BYTES], const coffer__binding *binding) {
    const coffer_slice parts[PART_COUNT] = {
        COFFER_SLICE("coffer/1"),
        coffer_slice_of(header, COFFER__AAD_BOUND_BYTES),
        binding->purpose,
        binding->prefix,
        binding->name,
        binding->version,
        binding->key,
    };
    size_t len = LENGTH_BYTES;
    for (size_t i = 0; i < PART_COUNT; i++) {
        len += LENGTH_BYTES + parts[i].len;
    }
    aad->larger = len <= sizeof aad->small ? NULL : (char *)coffer__alloc(len);
    if (aad->larger == NULL && len > sizeof aad->small) {
        return COFFER_NO_MEMORY;
    }
    char *start = aad->larger == NULL ? aad->small : aad->larger;
    coffer__put_u64(start, PART_COUNT);
    char *at = start + LENGTH_BYTES;
    for (size_t i = 0; i < PART_COUNT; i++) {
        at = put(at, parts[i]);
    }
    aad->bytes = coffer_slice_of(start, len);
    return COFFER_OK;
}

void coffer__aad_clear(coffer__aad *aad) {
    coffer__release(aad->larger);
}
