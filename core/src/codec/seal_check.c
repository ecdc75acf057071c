#include "codec/seal_check.h"

#include "codec/seal.h"

#include <stdatomic.h>

static const char nonce_text[] = "ABCDEFGHIJKLMNOPQRSTUVWX";
static const char plain_text[] = "XAES-256-GCM";
enum { PLAIN_BYTES = sizeof plain_text - 1, SEALED_BYTES = PLAIN_BYTES + COFFER__SEAL_TAG_BYTES };

/* github.com/C2SP/C2SP, XAES-256-GCM.md, test vectors. */
const coffer__known_answer coffer__known_answers[COFFER__KNOWN_ANSWER_COUNT] = {
    {0x01,
     "",
     {0xc8, 0x61, 0x2c, 0x9e, 0xd5, 0x3f, 0xe4, 0x3e, 0x8e, 0x00, 0x5b, 0x82, 0x8a, 0x16, 0x31, 0xa0,
      0xbb, 0xcb, 0x6a, 0xb2, 0xf4, 0x65, 0x14, 0xec, 0x4f, 0x43, 0x9f, 0xcf, 0xd0, 0xfa, 0x96, 0x9b},
     {0xce, 0x54, 0x6e, 0xf6, 0x3c, 0x9c, 0xc6, 0x07, 0x65, 0x92, 0x36, 0x09, 0xb3, 0x3a,
      0x9a, 0x19, 0x74, 0xe9, 0x6e, 0x52, 0xda, 0xf2, 0xfc, 0xf7, 0x07, 0x5e, 0x22, 0x71}},
    {0x03,
     "c2sp.org/XAES-256-GCM",
     {0xe9, 0xc6, 0x21, 0xd4, 0xcd, 0xd9, 0xb1, 0x1b, 0x00, 0xa6, 0x42, 0x7a, 0xd7, 0xe5, 0x59, 0xae,
      0xed, 0xd6, 0x6b, 0x38, 0x57, 0x64, 0x66, 0x77, 0x74, 0x8f, 0x8c, 0xa7, 0x96, 0xcb, 0x3f, 0xd8},
     {0x98, 0x6e, 0xc1, 0x83, 0x25, 0x93, 0xdf, 0x54, 0x43, 0xa1, 0x79, 0x43, 0x7f, 0xd0,
      0x83, 0xbf, 0x3f, 0xdb, 0x41, 0xab, 0xd7, 0x40, 0xa2, 0x1f, 0x71, 0xeb, 0x76, 0x9d}},
};

static coffer_status verdict(coffer_status status, bool as_known) {
    if (status == COFFER_NO_MEMORY) {
        return status;
    }
    return status == COFFER_OK && as_known ? COFFER_OK : COFFER_SEAL_UNFIT;
}

static coffer_status try_with(coffer__xaes *xaes, const coffer__known_answer *answer) {
    const uint8_t *nonce = (const uint8_t *)nonce_text;
    coffer_slice aad = coffer_slice_text(answer->aad);
    uint8_t message_key[32];
    coffer_status status = coffer__xaes_derive(xaes, nonce, message_key);
    status = verdict(status, status == COFFER_OK && memcmp(message_key, answer->message_key, sizeof message_key) == 0);
    if (status != COFFER_OK) {
        return status;
    }
    uint8_t sealed[SEALED_BYTES];
    status = coffer__xaes_seal(xaes, nonce, aad, coffer_slice_of(plain_text, PLAIN_BYTES), sealed);
    status = verdict(status, status == COFFER_OK && memcmp(sealed, answer->sealed, sizeof sealed) == 0);
    if (status != COFFER_OK) {
        return status;
    }
    uint8_t opened[PLAIN_BYTES];
    status = coffer__xaes_open(xaes, nonce, aad, coffer_slice_of(sealed, sizeof sealed), opened);
    return verdict(status, status == COFFER_OK && memcmp(opened, plain_text, sizeof opened) == 0);
}

static coffer_status check_one(const coffer__known_answer *answer) {
    uint8_t key[32];
    memset(key, answer->key_byte, sizeof key);
    coffer__xaes *xaes;
    coffer_status status = coffer__xaes_new(&xaes, key);
    status = verdict(status, true);
    if (status == COFFER_OK) {
        status = try_with(xaes, answer);
    }
    coffer__xaes_free(xaes);
    return status;
}

coffer_status coffer__seal_check(const coffer__known_answer *answers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        coffer_status status = check_one(&answers[i]);
        if (status != COFFER_OK) {
            return status;
        }
    }
    return COFFER_OK;
}

enum { NOT_KNOWN = 1 };
static atomic_int known = NOT_KNOWN; /* else the status */
static const coffer__known_answer *expected = coffer__known_answers;

coffer_status coffer__seal_fit(void) {
    int verdict_known = atomic_load_explicit(&known, memory_order_acquire);
    if (verdict_known != NOT_KNOWN) {
        return (coffer_status)verdict_known;
    }
    coffer_status status = coffer__seal_check(expected, COFFER__KNOWN_ANSWER_COUNT);
    if (status != COFFER_NO_MEMORY) {
        atomic_store_explicit(&known, (int)status, memory_order_release);
    }
    return status;
}

void coffer__seal_expect(const coffer__known_answer *answers) {
    expected = answers == NULL ? coffer__known_answers : answers;
    atomic_store(&known, NOT_KNOWN);
}
