/* What a keyring holds, for the two files that see it: keyring.c and sealer.c. */
#ifndef COFFER_CODEC_KEYRING_KEYS_H
#define COFFER_CODEC_KEYRING_KEYS_H

#include "codec/key_text.h"
#include "codec/keyring.h"

typedef struct coffer__key {
    uint32_t id; /* never 0 */
    coffer__key_state state;
    uint8_t master[COFFER__MASTER_BYTES];
} coffer__key;

struct coffer__keyring {
    coffer__key *keys; /* grows by copying, so that old copies are wiped */
    size_t count;
};

#endif
