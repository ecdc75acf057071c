/* zstd, one frame, content size inside, window at most 2^23. A few contexts are kept for all threads (spares.h). */
#ifndef COFFER_CODEC_COMPRESS_H
#define COFFER_CODEC_COMPRESS_H

#include "base/buf.h"
#include <coffer/status.h>

/* Appends the compressed form. NOT_STORED (and `out` as it was) where it would not save at least 10 %; NO_MEMORY. Levels above 19 are 19. */
coffer_status coffer__compress(coffer_slice raw, int level, coffer__buf *out);

/* Writes exactly raw_bytes to `out`. DECOMP: cut, forged or missing size, two frames, a skippable frame, too large a window. BAD_DICTIONARY:
 * needs one. */
coffer_status coffer__decompress(coffer_slice compressed, char *out, size_t raw_bytes);

#endif
