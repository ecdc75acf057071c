#include "codec/gcm.h"

#include "base/alloc.h"

#include <openssl/evp.h>

/* EVP counts in int: what is larger goes in pieces of this. */
enum { PIECE_BYTES = 1 << 30 };

coffer__gcm *coffer__gcm_new(void) {
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context != NULL && EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, NULL, NULL) != 1) {
        EVP_CIPHER_CTX_free(context);
        return NULL;
    }
    return context;
}

void coffer__gcm_free(coffer__gcm *gcm) {
    EVP_CIPHER_CTX_free(gcm);
}

typedef int update_function(EVP_CIPHER_CTX *context, unsigned char *out, int *out_len, const unsigned char *in, int in_len);

/* `out` NULL: additional data. */
static bool feed(EVP_CIPHER_CTX *context, update_function *update, coffer_slice in, uint8_t *out) {
    const uint8_t *from = (const uint8_t *)in.data;
    for (size_t left = in.len; left > 0;) {
        int piece = left < PIECE_BYTES ? (int)left : (int)PIECE_BYTES;
        int written;
        if (update(context, out, &written, from, piece) != 1) {
            return false;
        }
        from += piece;
        out = out == NULL ? NULL : out + piece;
        left -= (size_t)piece;
    }
    return true;
}

coffer_status coffer__gcm_seal(coffer__gcm *gcm, const uint8_t key[32], const uint8_t nonce[12], coffer_slice aad, coffer_slice text, uint8_t *out) {
    int none;
    uint8_t *tag = out + text.len;
    bool done = EVP_EncryptInit_ex(gcm, NULL, NULL, key, nonce) == 1 && feed(gcm, EVP_EncryptUpdate, aad, NULL) &&
                feed(gcm, EVP_EncryptUpdate, text, out) && EVP_EncryptFinal_ex(gcm, tag, &none) == 1 &&
                EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_GET_TAG, COFFER__GCM_TAG_BYTES, tag) == 1;
    if (!done) {
        coffer__wipe(out, text.len + COFFER__GCM_TAG_BYTES);
    }
    return done ? COFFER_OK : COFFER_INTERNAL;
}

coffer_status coffer__gcm_open(coffer__gcm *gcm, const uint8_t key[32], const uint8_t nonce[12], coffer_slice aad, coffer_slice sealed,
                               uint8_t *out) {
    if (sealed.len < COFFER__GCM_TAG_BYTES) {
        return COFFER_AUTH_FAILED;
    }
    coffer_slice text = coffer_slice_of(sealed.data, sealed.len - COFFER__GCM_TAG_BYTES);
    uint8_t tag[COFFER__GCM_TAG_BYTES];
    memcpy(tag, sealed.data + text.len, sizeof tag);
    uint8_t rest[COFFER__GCM_TAG_BYTES];
    int none;
    bool ready = EVP_DecryptInit_ex(gcm, NULL, NULL, key, nonce) == 1 && feed(gcm, EVP_DecryptUpdate, aad, NULL) &&
                 feed(gcm, EVP_DecryptUpdate, text, out) && EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_SET_TAG, COFFER__GCM_TAG_BYTES, tag) == 1;
    if (ready && EVP_DecryptFinal_ex(gcm, rest, &none) == 1) {
        return COFFER_OK;
    }
    coffer__wipe(out, text.len);
    return ready ? COFFER_AUTH_FAILED : COFFER_INTERNAL;
}
