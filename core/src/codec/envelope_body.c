#include "codec/envelope_body.h"

#include "base/bytes.h"
#include "codec/compress.h"

#include <coffer/options.h>

enum {
    TAG_VERSION_BYTES = 8,
    FORMAT_FIRST_RESERVED = 4,
    FORMAT_LAST_RESERVED = 127,
    UNSEALED_GROWTH = 1000, /* zstd reaches 32,700 : 1; nothing that is worth keeping does */
    UNSEALED_GROWTH_FREE_BYTES = 64 * 1024
};

/* How long `count` tags at the front of `from` are: each 1 length (1 to 255), the name, 8 version. False: they do not fit. */
static bool tags_measure(coffer_slice from, size_t count, size_t *len) {
    size_t at = 0;
    for (; count > 0; count--) {
        size_t name_len = at < from.len ? (uint8_t)from.data[at] : 0;
        if (name_len == 0 || from.len - at < 1 + name_len + TAG_VERSION_BYTES) {
            return false;
        }
        at += 1 + name_len + TAG_VERSION_BYTES;
    }
    *len = at;
    return true;
}

static bool is_reserved_format(uint8_t format) {
    return format >= FORMAT_FIRST_RESERVED && format <= FORMAT_LAST_RESERVED;
}

static bool grows_too_much(size_t raw_bytes, size_t payload_bytes) {
    return (uint64_t)raw_bytes > (uint64_t)payload_bytes * UNSEALED_GROWTH + UNSEALED_GROWTH_FREE_BYTES;
}

coffer_status coffer__body_check(const coffer__codec *codec, const coffer__entry *entry) {
    size_t tags_len;
    if (entry->kind > COFFER__KIND_ABSENT) {
        return COFFER_BAD_KIND;
    }
    if (is_reserved_format(entry->format)) {
        return COFFER_BAD_FORMAT;
    }
    if (!tags_measure(entry->tags, entry->tag_count, &tags_len) || tags_len != entry->tags.len) {
        return COFFER_BAD_TAGS;
    }
    return entry->payload.len > codec->max_value_bytes || entry->payload.len > UINT32_MAX ? COFFER_TOO_LARGE : COFFER_OK;
}

static bool wants_compression(const coffer__codec *codec, size_t payload_bytes) {
    if (codec->sealer != NULL && codec->compress != COFFER_COMPRESS_TRUSTED) {
        return false;
    }
    bool from_threshold = codec->compress == COFFER_COMPRESS_AUTO || codec->compress == COFFER_COMPRESS_TRUSTED;
    return codec->compress == COFFER_COMPRESS_ALWAYS || (from_threshold && payload_bytes >= codec->compress_threshold_bytes);
}

/* NOT_STORED: it has to go as it is. */
static coffer_status append_compressed(const coffer__codec *codec, coffer_slice payload, coffer__buf *out) {
    size_t before = out->len;
    if (!wants_compression(codec, payload.len)) {
        return COFFER_NOT_STORED;
    }
    coffer_status status = coffer__compress(payload, codec->compress_level, out);
    if (status == COFFER_OK && codec->sealer == NULL && grows_too_much(payload.len, out->len - before)) {
        out->len = before;
        return COFFER_NOT_STORED;
    }
    return status;
}

coffer_status coffer__body_append(const coffer__codec *codec, const coffer__entry *entry, coffer__buf *out) {
    char fixed[COFFER__BODY_FIXED_BYTES] = {(char)entry->kind, COFFER__CODEC_ZSTD, (char)entry->format, (char)entry->tag_count};
    coffer__put_u32(fixed + 4, (uint32_t)entry->payload.len);
    coffer__put_u64(fixed + 8, entry->created_unix_ms);
    coffer__put_u64(fixed + 16, entry->fresh_unix_ms);
    coffer__put_u64(fixed + 24, entry->expires_unix_ms);
    coffer__put_u32(fixed + 32, entry->load_cost_ms);
    size_t start = out->len;
    if (!coffer__buf_append(out, fixed, sizeof fixed) || !coffer__buf_append_slice(out, entry->tags)) {
        return COFFER_NO_MEMORY;
    }
    coffer_status status = append_compressed(codec, entry->payload, out);
    if (status != COFFER_NOT_STORED) {
        return status;
    }
    out->data[start + 1] = COFFER__CODEC_STORED;
    return coffer__buf_append_slice(out, entry->payload) ? COFFER_OK : COFFER_NO_MEMORY;
}

static void read_fixed(const char *at, coffer__entry *entry, coffer__packed *packed) {
    entry->kind = (uint8_t)at[0];
    packed->codec = (uint8_t)at[1];
    entry->format = (uint8_t)at[2];
    entry->tag_count = (uint8_t)at[3];
    packed->raw_bytes = coffer__get_u32(at + 4);
    entry->created_unix_ms = coffer__get_u64(at + 8);
    entry->fresh_unix_ms = coffer__get_u64(at + 16);
    entry->expires_unix_ms = coffer__get_u64(at + 24);
    entry->load_cost_ms = coffer__get_u32(at + 32);
}

static coffer_status check_fixed(const coffer__entry *entry, const coffer__packed *packed) {
    if (entry->kind > COFFER__KIND_ABSENT) {
        return COFFER_BAD_KIND;
    }
    if (packed->codec > COFFER__CODEC_DICTIONARY) {
        return COFFER_BAD_CODEC;
    }
    return is_reserved_format(entry->format) ? COFFER_BAD_FORMAT : COFFER_OK;
}

static coffer_status check_packed(const coffer__codec *codec, const coffer__packed *packed) {
    if (packed->raw_bytes > codec->max_value_bytes) {
        return COFFER_TOO_LARGE;
    }
    if (packed->codec == COFFER__CODEC_STORED) {
        return packed->raw_bytes == packed->payload.len ? COFFER_OK : COFFER_BAD_LENGTH;
    }
    if (codec->sealer == NULL && grows_too_much(packed->raw_bytes, packed->payload.len)) {
        return COFFER_DECOMP;
    }
    return packed->codec == COFFER__CODEC_DICTIONARY ? COFFER_BAD_DICTIONARY : COFFER_OK;
}

coffer_status coffer__body_parse(const coffer__codec *codec, coffer_slice body, coffer__entry *entry, coffer__packed *packed) {
    if (body.len < COFFER__BODY_FIXED_BYTES) {
        return COFFER_BAD_LENGTH;
    }
    read_fixed(body.data, entry, packed);
    coffer_status status = check_fixed(entry, packed);
    if (status != COFFER_OK) {
        return status;
    }
    coffer_slice rest = coffer_slice_of(body.data + COFFER__BODY_FIXED_BYTES, body.len - COFFER__BODY_FIXED_BYTES);
    size_t tags_len;
    if (!tags_measure(rest, entry->tag_count, &tags_len)) {
        return COFFER_BAD_TAGS;
    }
    entry->tags = coffer_slice_of(rest.data, tags_len);
    packed->payload = coffer_slice_of(rest.data + tags_len, rest.len - tags_len);
    return check_packed(codec, packed);
}
