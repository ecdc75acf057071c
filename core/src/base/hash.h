/* SipHash-1-3 (Aumasson, Bernstein 2012; one round a word, three at the end): a 64-bit hash that cannot be steered by who does not know the key,
 * so that chosen keys do not pile up in one bucket. Not a signature. The same on every machine. */
#ifndef COFFER_BASE_HASH_H
#define COFFER_BASE_HASH_H

#include <coffer/types.h>

typedef struct coffer__hash_key {
    uint64_t low, high;
} coffer__hash_key;

uint64_t coffer__hash(coffer__hash_key key, coffer_slice bytes);

#endif
