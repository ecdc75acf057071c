/* A master key as it is written in a configuration: base64 of 32 random bytes. */
#ifndef COFFER_CODEC_KEY_TEXT_H
#define COFFER_CODEC_KEY_TEXT_H

#include <coffer/status.h>

enum { COFFER__MASTER_BYTES = 32 };

/* OPTION as keyring_add says, in words that never hold a byte of `base64`; `master` is wiped then. */
coffer_status coffer__key_parse(coffer_slice base64, uint8_t master[COFFER__MASTER_BYTES], coffer_error *error);

#endif
