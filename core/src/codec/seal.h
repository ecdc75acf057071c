/* XAES-256-GCM (C2SP): a 256-bit key, a random 192-bit nonce. See docs/envelope.md for the derivation and why not KBKDF. */
#ifndef COFFER_CODEC_SEAL_H
#define COFFER_CODEC_SEAL_H

#include "codec/keyring.h"

enum { COFFER__NONCE_BYTES = 24, COFFER__SEAL_TAG_BYTES = 16 };

/* A key made ready: K1 and the AES key schedule are kept, and a few contexts for messages (spares.h), all wiped by xaes_free. The key of a message is
 * wiped from the stack at once; its schedule stays in such a context until the next message or xaes_free. Any number of threads may use one. */
typedef struct coffer__xaes coffer__xaes;
coffer_status coffer__xaes_new(coffer__xaes **xaes, const uint8_t key[32]);
void coffer__xaes_free(coffer__xaes *xaes);

/* `out` has room for text.len + 16 bytes (tag last); `out` may be text.data. */
coffer_status coffer__xaes_seal(coffer__xaes *xaes, const uint8_t nonce[24], coffer_slice aad, coffer_slice text, uint8_t *out);
/* `sealed` ends with the tag; `out` has room for sealed.len - 16. AUTH_FAILED, and nothing of the text remains in `out`. */
coffer_status coffer__xaes_open(coffer__xaes *xaes, const uint8_t nonce[24], coffer_slice aad, coffer_slice sealed, uint8_t *out);
/* For the vectors: the message key that a nonce gives. */
coffer_status coffer__xaes_derive(coffer__xaes *xaes, const uint8_t nonce[24], uint8_t message_key[32]);

/* The same with a sealer's keys, by id. SEAL_UNFIT where the known-answer test (run once, at the first use) fails; UNKNOWN_KEY, REVOKED_KEY,
 * AUTH_FAILED. */
coffer_status coffer__sealer_seal(coffer__sealer *sealer, const uint8_t nonce[24], coffer_slice aad, coffer_slice text, uint8_t *out);
coffer_status coffer__sealer_open(coffer__sealer *sealer, uint32_t key_id, const uint8_t nonce[24], coffer_slice aad, coffer_slice sealed,
                                  uint8_t *out);

#endif
