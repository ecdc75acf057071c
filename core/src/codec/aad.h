/* What a sealed entry is bound to, in one unmistakable run of bytes: PAE of "coffer/1", header bytes 0 to 15, purpose, prefix, name, version, key.
 * PAE(parts) = u64 count, then for each part u64 length and its bytes. */
#ifndef COFFER_CODEC_AAD_H
#define COFFER_CODEC_AAD_H

#include "codec/envelope.h"

enum { COFFER__AAD_BOUND_BYTES = 16, COFFER__AAD_STACK_BYTES = 768 };

/* Where it is built: on the stack where it fits. */
typedef struct coffer__aad {
    coffer_slice bytes;
    char *larger; /* NULL: in `small` */
    char small[COFFER__AAD_STACK_BYTES];
} coffer__aad;

/* NO_MEMORY, and nothing to clear then. */
coffer_status coffer__aad_init(coffer__aad *aad, const char header[COFFER__AAD_BOUND_BYTES], const coffer__binding *binding);
void coffer__aad_clear(coffer__aad *aad);

#endif
