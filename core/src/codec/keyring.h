/* The keys that seal. Look-up is by id, exactly; nothing is ever tried.
 *
 *     master (32 bytes, never used itself) --HKDF-SHA256--> one key per namespace --XAES--> one key per message
 */
#ifndef COFFER_CODEC_KEYRING_H
#define COFFER_CODEC_KEYRING_H

#include <coffer/status.h>

typedef enum coffer__key_state {
    COFFER__KEY_NEXT, /* opens only */
    COFFER__KEY_PRIMARY, /* seals and opens; at most one */
    COFFER__KEY_OLD, /* opens only */
    COFFER__KEY_REVOKED /* REVOKED_KEY */
} coffer__key_state;

typedef struct coffer__keyring coffer__keyring;

coffer_status coffer__keyring_new(coffer__keyring **keyring);
void coffer__keyring_free(coffer__keyring *keyring); /* wipes; takes NULL */

/* Adds a master key: base64 (standard alphabet, with or without its one '=', nothing else around it) of exactly 32 bytes. `id` 0: derived from it.
 * OPTION, in words that never hold key bytes: not base64, 31 or 33 bytes, a passphrase (with how to make a key: `openssl rand -base64 32`), all zero,
 * repeating (a period of 16 bytes or less), an id that is taken, a second PRIMARY. */
coffer_status coffer__keyring_add(coffer__keyring *keyring, coffer_slice base64, uint32_t id, coffer__key_state state, coffer_error *error);

/* The keys of one namespace (its name as on the wire), derived once. Lives apart from the keyring; any number of threads may seal and open with
 * it. */
typedef struct coffer__sealer coffer__sealer;
coffer_status coffer__sealer_new(coffer__sealer **sealer, const coffer__keyring *keyring, coffer_slice namespace_name, coffer_error *error);
void coffer__sealer_free(coffer__sealer *sealer); /* wipes; takes NULL */
uint32_t coffer__sealer_primary_id(const coffer__sealer *sealer); /* 0: none, it cannot seal */

#endif
