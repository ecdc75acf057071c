#include "codec/seal.h"

#include "base/alloc.h"
#include "codec/gcm.h"
#include "codec/spares.h"

#include <openssl/evp.h>

enum { BLOCK_BYTES = 16, NONCE_HALF_BYTES = 12 };

/* What one message needs: a copy of the key's AES schedule, and a GCM context that takes the message's key. */
typedef struct lane {
    EVP_CIPHER_CTX *blocks;
    coffer__gcm *gcm;
} lane;

struct coffer__xaes {
    uint8_t k1[BLOCK_BYTES];
    EVP_CIPHER_CTX *schedule; /* AES-256-ECB with the key; only copied from, so that threads may share it */
    coffer__spares lanes;
};

static void lane_free(lane *used) {
    if (used != NULL) {
        EVP_CIPHER_CTX_free(used->blocks);
        coffer__gcm_free(used->gcm);
        coffer__release(used);
    }
}

static lane *lane_new(const coffer__xaes *xaes) {
    lane *made = (lane *)coffer__alloc_zero(sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    made->blocks = EVP_CIPHER_CTX_new();
    made->gcm = coffer__gcm_new();
    if (made->blocks == NULL || made->gcm == NULL || EVP_CIPHER_CTX_copy(made->blocks, xaes->schedule) != 1) {
        lane_free(made);
        return NULL;
    }
    return made;
}

static lane *lane_take(coffer__xaes *xaes) {
    lane *idle = (lane *)coffer__spares_take(&xaes->lanes);
    return idle != NULL ? idle : lane_new(xaes);
}

static void lane_give(coffer__xaes *xaes, lane *used) {
    if (!coffer__spares_give(&xaes->lanes, used)) {
        lane_free(used);
    }
}

/* CMAC's first subkey (NIST SP 800-38B, 6.1): L = AES(K, 0), shifted left by a bit, 0x87 into the last byte if a bit fell out.
 * No branch on a secret. */
static void shift_to_k1(const uint8_t l[BLOCK_BYTES], uint8_t k1[BLOCK_BYTES]) {
    uint8_t carry = 0;
    for (size_t i = BLOCK_BYTES; i-- > 0;) {
        uint8_t top = l[i] >> 7;
        k1[i] = (uint8_t)((uint8_t)(l[i] << 1) | carry);
        carry = top;
    }
    k1[BLOCK_BYTES - 1] ^= (uint8_t)(0x87u & (0u - carry));
}

static bool make_ready(coffer__xaes *xaes, const uint8_t key[32]) {
    static const uint8_t zeros[BLOCK_BYTES];
    uint8_t l[BLOCK_BYTES];
    int len;
    xaes->schedule = EVP_CIPHER_CTX_new();
    bool ready = xaes->schedule != NULL && EVP_EncryptInit_ex(xaes->schedule, EVP_aes_256_ecb(), NULL, key, NULL) == 1 &&
                 EVP_CIPHER_CTX_set_padding(xaes->schedule, 0) == 1 && EVP_EncryptUpdate(xaes->schedule, l, &len, zeros, BLOCK_BYTES) == 1;
    if (ready) {
        shift_to_k1(l, xaes->k1);
    }
    coffer__wipe(l, sizeof l);
    return ready;
}

coffer_status coffer__xaes_new(coffer__xaes **xaes, const uint8_t key[32]) {
    *xaes = NULL;
    coffer__xaes *made = (coffer__xaes *)coffer__alloc_zero(sizeof *made);
    if (made == NULL) {
        return COFFER_NO_MEMORY;
    }
    if (!make_ready(made, key)) {
        coffer__xaes_free(made);
        return COFFER_INTERNAL;
    }
    *xaes = made;
    return COFFER_OK;
}

void coffer__xaes_free(coffer__xaes *xaes) {
    if (xaes == NULL) {
        return;
    }
    for (lane *idle; (idle = (lane *)coffer__spares_take(&xaes->lanes)) != NULL;) {
        lane_free(idle);
    }
    EVP_CIPHER_CTX_free(xaes->schedule);
    coffer__wipe(xaes, sizeof *xaes);
    coffer__release(xaes);
}

/*     00 | 1 | 'X' | 00 | nonce[0..12)   xor K1   --AES-->   message key, first half
 *     00 | 2 | 'X' | 00 | nonce[0..12)   xor K1   --AES-->   second half                  */
static coffer_status derive(const coffer__xaes *xaes, lane *with, const uint8_t nonce[24], uint8_t message_key[32]) {
    uint8_t counters[2 * BLOCK_BYTES] = {0, 1, 'X', 0};
    memcpy(counters + BLOCK_BYTES, (uint8_t[]){0, 2, 'X', 0}, 4);
    for (size_t half = 0; half < sizeof counters; half += BLOCK_BYTES) {
        memcpy(counters + half + 4, nonce, NONCE_HALF_BYTES);
        for (size_t i = 0; i < BLOCK_BYTES; i++) {
            counters[half + i] ^= xaes->k1[i];
        }
    }
    int len;
    bool done = EVP_EncryptUpdate(with->blocks, message_key, &len, counters, sizeof counters) == 1;
    coffer__wipe(counters, sizeof counters);
    return done ? COFFER_OK : COFFER_INTERNAL;
}

coffer_status coffer__xaes_derive(coffer__xaes *xaes, const uint8_t nonce[24], uint8_t message_key[32]) {
    lane *with = lane_take(xaes);
    if (with == NULL) {
        return COFFER_NO_MEMORY;
    }
    coffer_status status = derive(xaes, with, nonce, message_key);
    lane_give(xaes, with);
    return status;
}

typedef coffer_status gcm_function(coffer__gcm *gcm, const uint8_t key[32], const uint8_t nonce[12], coffer_slice aad, coffer_slice in, uint8_t *out);

static coffer_status run(coffer__xaes *xaes, gcm_function *seal_or_open, const uint8_t nonce[24], coffer_slice aad, coffer_slice in, uint8_t *out) {
    lane *with = lane_take(xaes);
    if (with == NULL) {
        return COFFER_NO_MEMORY;
    }
    uint8_t message_key[32];
    coffer_status status = derive(xaes, with, nonce, message_key);
    if (status == COFFER_OK) {
        status = seal_or_open(with->gcm, message_key, nonce + NONCE_HALF_BYTES, aad, in, out);
    }
    coffer__wipe(message_key, sizeof message_key);
    lane_give(xaes, with);
    return status;
}

coffer_status coffer__xaes_seal(coffer__xaes *xaes, const uint8_t nonce[24], coffer_slice aad, coffer_slice text, uint8_t *out) {
    return run(xaes, coffer__gcm_seal, nonce, aad, text, out);
}

coffer_status coffer__xaes_open(coffer__xaes *xaes, const uint8_t nonce[24], coffer_slice aad, coffer_slice sealed, uint8_t *out) {
    return run(xaes, coffer__gcm_open, nonce, aad, sealed, out);
}
