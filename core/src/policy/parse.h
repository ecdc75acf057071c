/* Text to numbers and back, exact and independent of the locale: no float is involved. Each reader is total: false for whatever is not of its form. */
#ifndef COFFER_POLICY_PARSE_H
#define COFFER_POLICY_PARSE_H

#include <coffer/types.h>

bool coffer__read_count(coffer_slice text, uint64_t *number); /* digits that fit in 64 bits */

/* Digits and a unit: B, bytes, K, KB, KiB, M, MB, MiB, G, GB, GiB in any case. Every K is 1024. */
bool coffer__read_size(coffer_slice text, uint64_t *bytes);

bool coffer__read_bool(coffer_slice text, uint64_t *number); /* true false yes no on off 1 0, in any case */

/* "1h30m", "1.5h", "90" (seconds): units w d h m s ms, each once, the longest first. Rounded to a millisecond, but what is above 0 is never rounded to 0.
 * At most COFFER__TTL_MAX_MS. */
bool coffer__read_time(coffer_slice text, uint64_t *time_ms);

/* In the largest unit that divides the number; `out` holds 32 bytes. The length. */
size_t coffer__write_count(uint64_t number, char out[32]);
size_t coffer__write_size(uint64_t bytes, char out[32]);
size_t coffer__write_time(uint64_t time_ms, char out[32]);

bool coffer__same_word(coffer_slice text, const char *word); /* ASCII, in any case */

#endif
