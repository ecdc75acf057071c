#include "codec/compress.h"

#include "codec/spares.h"

#include <zstd.h>
#include <zstd_errors.h>

enum {
    HIGHEST_LEVEL = 19, /* the highest whose window stays within the cap */
    LARGEST_WINDOW_LOG = 23,
    LARGEST_KEPT_CONTEXT = 4 * 1024 * 1024 /* bytes; what a high level or a huge value made larger is given back */
};

static coffer__spares compressors;
static coffer__spares decompressors;

static ZSTD_CCtx *compressor_take(int level) {
    ZSTD_CCtx *context = (ZSTD_CCtx *)coffer__spares_take(&compressors);
    context = context == NULL ? ZSTD_createCCtx() : context;
    if (context != NULL) {
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level < HIGHEST_LEVEL ? level : (int)HIGHEST_LEVEL);
    }
    return context;
}

static void compressor_give(ZSTD_CCtx *context) {
    if (ZSTD_sizeof_CCtx(context) > LARGEST_KEPT_CONTEXT || !coffer__spares_give(&compressors, context)) {
        ZSTD_freeCCtx(context);
    }
}

coffer_status coffer__compress(coffer_slice raw, int level, coffer__buf *out) {
    size_t room = raw.len - raw.len / 10 - (raw.len % 10 != 0); /* at most nine tenths */
    if (room == 0) {
        return COFFER_NOT_STORED;
    }
    if (!coffer__buf_reserve(out, room)) {
        return COFFER_NO_MEMORY;
    }
    ZSTD_CCtx *context = compressor_take(level);
    if (context == NULL) {
        return COFFER_NO_MEMORY;
    }
    size_t len = ZSTD_compress2(context, out->data + out->len, room, raw.data, raw.len);
    compressor_give(context);
    if (ZSTD_isError(len)) {
        return ZSTD_getErrorCode(len) == ZSTD_error_memory_allocation ? COFFER_NO_MEMORY : COFFER_NOT_STORED;
    }
    out->len += len;
    return COFFER_OK;
}

/* A frame's header (RFC 8878, 3.1.1.1):
 *
 *     28 B5 2F FD | descriptor | window, unless one segment | dictionary id, 0 to 4 bytes | content size, 0 to 8 bytes
 *
 * descriptor: bits 0-1 width of the dictionary id, 2 checksum, 3 reserved, 4 unused, 5 one segment, 6-7 width of the content size.
 */
typedef struct frame {
    bool has_content_bytes;
    uint64_t content_bytes;
    uint64_t window_bytes;
    uint64_t dictionary_id;
} frame;

enum { MAGIC_BYTES = 4, ONE_SEGMENT = 0x20, RESERVED = 0x08 };

static uint64_t take_little_endian(coffer_slice *from, size_t width) {
    uint64_t value = 0;
    for (size_t i = width; i-- > 0;) {
        value = value << 8 | (uint8_t)from->data[i];
    }
    from->data += width;
    from->len -= width;
    return value;
}

/* Mantissa in the low three bits, exponent above: RFC 8878, 3.1.1.1.2. */
static uint64_t window_of(uint64_t byte) {
    uint64_t base = UINT64_C(1) << (10 + (byte >> 3));
    return base + base / 8 * (byte & 7);
}

static bool frame_read(coffer_slice in, frame *out) {
    static const uint8_t magic[MAGIC_BYTES] = {0x28, 0xB5, 0x2F, 0xFD};
    static const uint8_t id_widths[] = {0, 1, 2, 4};
    static const uint8_t size_widths[] = {0, 2, 4, 8};
    if (in.len <= MAGIC_BYTES || memcmp(in.data, magic, MAGIC_BYTES) != 0) {
        return false;
    }
    uint8_t descriptor = (uint8_t)in.data[MAGIC_BYTES];
    bool one_segment = (descriptor & ONE_SEGMENT) != 0;
    size_t window_width = one_segment ? 0 : 1;
    size_t id_width = id_widths[descriptor & 3];
    size_t size_width = descriptor >> 6 == 0 && one_segment ? 1 : size_widths[descriptor >> 6];
    in = coffer_slice_of(in.data + MAGIC_BYTES + 1, in.len - MAGIC_BYTES - 1);
    if ((descriptor & RESERVED) != 0 || in.len < window_width + id_width + size_width) {
        return false;
    }
    out->window_bytes = one_segment ? 0 : window_of(take_little_endian(&in, 1));
    out->dictionary_id = take_little_endian(&in, id_width);
    out->has_content_bytes = size_width > 0;
    out->content_bytes = take_little_endian(&in, size_width) + (size_width == 2 ? 256 : 0);
    out->window_bytes = one_segment ? out->content_bytes : out->window_bytes;
    return true;
}

/* Everything that can be known of the frame before memory is touched. */
static coffer_status check_frame(coffer_slice compressed, size_t raw_bytes) {
    frame head = {0};
    if (!frame_read(compressed, &head)) {
        return COFFER_DECOMP;
    }
    if (head.dictionary_id != 0) {
        return COFFER_BAD_DICTIONARY;
    }
    bool fits = head.has_content_bytes && head.content_bytes == raw_bytes && head.window_bytes <= UINT64_C(1) << LARGEST_WINDOW_LOG;
    bool alone = fits && ZSTD_findFrameCompressedSize(compressed.data, compressed.len) == compressed.len;
    return alone ? COFFER_OK : COFFER_DECOMP;
}

coffer_status coffer__decompress(coffer_slice compressed, char *out, size_t raw_bytes) {
    coffer_status status = check_frame(compressed, raw_bytes);
    if (status != COFFER_OK) {
        return status;
    }
    ZSTD_DCtx *context = (ZSTD_DCtx *)coffer__spares_take(&decompressors);
    context = context == NULL ? ZSTD_createDCtx() : context;
    if (context == NULL) {
        return COFFER_NO_MEMORY;
    }
    size_t len = ZSTD_decompressDCtx(context, out, raw_bytes, compressed.data, compressed.len);
    if (!coffer__spares_give(&decompressors, context)) {
        ZSTD_freeDCtx(context);
    }
    return len == raw_bytes ? COFFER_OK : COFFER_DECOMP;
}
