/* HKDF-SHA256 (RFC 5869), by libcrypto. */
#ifndef COFFER_CODEC_HKDF_H
#define COFFER_CODEC_HKDF_H

#include <coffer/status.h>

/* `salt` empty: none. ARG where out_bytes is 0 or over 255 * 32; INTERNAL where libcrypto fails. `out` is wiped on failure. */
coffer_status coffer__hkdf_sha256(coffer_slice secret, coffer_slice salt, coffer_slice info, uint8_t *out, size_t out_bytes);

#endif
