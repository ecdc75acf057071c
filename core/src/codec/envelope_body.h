/* What is inside an envelope, before sealing and after opening.
 *
 *     0      1       2        3           4            8         16      24        32          36
 *     | kind | codec | format | tag count | raw length | created | fresh | expires | load cost | tags | payload |
 */
#ifndef COFFER_CODEC_ENVELOPE_BODY_H
#define COFFER_CODEC_ENVELOPE_BODY_H

#include "codec/envelope.h"

enum { COFFER__BODY_FIXED_BYTES = 36, COFFER__CODEC_STORED = 0, COFFER__CODEC_ZSTD = 1, COFFER__CODEC_DICTIONARY = 2 };

/* Whether the entry may be written: TOO_LARGE, BAD_FORMAT, BAD_TAGS, BAD_KIND. */
coffer_status coffer__body_check(const coffer__codec *codec, const coffer__entry *entry);

/* Appends it, compressed where the codec says so and it saves enough. `out` has room for the fixed part, the tags and the payload as it is.
 * NO_MEMORY. */
coffer_status coffer__body_append(const coffer__codec *codec, const coffer__entry *entry, coffer__buf *out);

/* A payload as it is stored. */
typedef struct coffer__packed {
    coffer_slice payload;
    size_t raw_bytes;
    uint8_t codec;
} coffer__packed;

/* Reads all but the payload into `entry` (its slices point into `body`) and says how that is packed. BAD_LENGTH, BAD_KIND, BAD_CODEC,
 * BAD_FORMAT, BAD_TAGS, BAD_DICTIONARY; TOO_LARGE over max_value_bytes; DECOMP where an unsealed one claims to grow more than a writer makes it. */
coffer_status coffer__body_parse(const coffer__codec *codec, coffer_slice body, coffer__entry *entry, coffer__packed *packed);

#endif
