/* AES-256-GCM with 96-bit nonces and 128-bit tags: what is under XAES (seal.h), which gives each message a key of its own. Not for use with one key
 * and random nonces. One context serves one call at a time. Errors of libcrypto are INTERNAL. */
#ifndef COFFER_CODEC_GCM_H
#define COFFER_CODEC_GCM_H

#include <coffer/status.h>

enum { COFFER__GCM_TAG_BYTES = 16 };

typedef struct evp_cipher_ctx_st coffer__gcm;

coffer__gcm *coffer__gcm_new(void); /* NULL: no memory, or libcrypto has no AES-256-GCM */
void coffer__gcm_free(coffer__gcm *gcm); /* wipes; takes NULL */

/* `out` has room for text.len + 16 bytes (tag last); `out` may be text.data. */
coffer_status coffer__gcm_seal(coffer__gcm *gcm, const uint8_t key[32], const uint8_t nonce[12], coffer_slice aad, coffer_slice text, uint8_t *out);
/* `sealed` ends with the tag; `out` has room for the rest and may be sealed.data. AUTH_FAILED, and `out` is wiped. */
coffer_status coffer__gcm_open(coffer__gcm *gcm, const uint8_t key[32], const uint8_t nonce[12], coffer_slice aad, coffer_slice sealed, uint8_t *out);

#endif
