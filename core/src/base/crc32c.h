/* CRC-32C (Castagnoli, RFC 3720 B.4): polynomial 0x1EDC6F41 reflected, start and end inverted. "123456789" gives E3069283.
 * With the CPU's instruction where it has one (checked once), else by table. */
#ifndef COFFER_BASE_CRC32C_H
#define COFFER_BASE_CRC32C_H

#include <coffer/types.h>

/* Goes on from `crc` (0 at the start), so that parts can be summed one after the other. */
uint32_t coffer__crc32c(uint32_t crc, coffer_slice bytes);

/* The table alone, for the tests to compare with. */
uint32_t coffer__crc32c_table(uint32_t crc, coffer_slice bytes);

#endif
