/* Padding of a sealed body, which hides its length: 0x80 and then zeros (ISO/IEC 7816-4). */
#ifndef COFFER_CODEC_PAD_H
#define COFFER_CODEC_PAD_H

#include <coffer/status.h>

/* How long a body of body_bytes gets, the 0x80 at least included. `pad` is COFFER_PAD_NONE, _64 or _PADME (Nikitin et al., "Reducing Metadata Leakage
 * from Encrypted Files and Communication with PURBs", PoPETs 2019: at most 12 % more). */
size_t coffer__padded_bytes(size_t body_bytes, int pad);

/* Writes pad_bytes (1 or more) at `at`. */
void coffer__pad_write(char *at, size_t pad_bytes);

/* Takes the pad off the end. BAD_PAD: no 0x80 before the zeros. */
coffer_status coffer__pad_strip(coffer_slice *body);

#endif
