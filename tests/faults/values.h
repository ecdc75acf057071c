/* Self-verifying values: a reader knows without asking anybody that a value is whole and belongs to its key.
 *
 *     | hash 8 | key 8 | writer 4 | length 4 | sequence 8 | filler, drawn from the hash |
 *
 * The hash is keyed, and is of key, writer, length and sequence. Numbers are the machine's: nobody else reads them. */
#ifndef COFFER_TESTS_FAULTS_VALUES_H
#define COFFER_TESTS_FAULTS_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VALUE_HEADER_BYTES = 32 };

typedef struct value_name {
    uint64_t key, sequence;
    uint32_t writer, len;
} value_name;

void value_write(char *out, const value_name *name); /* name->len bytes, VALUE_HEADER_BYTES at least */
bool value_is_right(const char *bytes, size_t len, uint64_t key);

#endif
