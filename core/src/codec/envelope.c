#include "codec/envelope.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "codec/aad.h"
#include "codec/compress.h"
#include "codec/envelope_body.h"
#include "codec/pad.h"
#include "codec/seal.h"

enum {
    VERSION = 1,
    SUITE_PLAIN = 0,
    SUITE_SEALED = 1,
    SUITE_PLACEHOLDER = 2,
    ID_END = 16,
    BOUND_BYTES = COFFER__AAD_BOUND_BYTES, /* the header up to the lease */
    CRC_BYTES = 4,
    BODY_OFFSET_PLAIN = COFFER__ENVELOPE_HEADER_BYTES,
    BODY_OFFSET_SEALED = COFFER__ENVELOPE_HEADER_BYTES + COFFER__NONCE_BYTES,
    SMALLEST_PLAIN = BODY_OFFSET_PLAIN + COFFER__BODY_FIXED_BYTES + CRC_BYTES,
    SMALLEST_SEALED = BODY_OFFSET_SEALED + COFFER__BODY_FIXED_BYTES + 1 + COFFER__SEAL_TAG_BYTES
};

/* ---- writing ---- */

/* Enough for what is written uncompressed, so that nothing moves while it is built. */
static size_t room_for(const coffer__codec *codec, const coffer__entry *entry) {
    size_t body = COFFER__BODY_FIXED_BYTES + entry->tags.len + entry->payload.len;
    return BODY_OFFSET_SEALED + coffer__padded_bytes(body, codec->pad) + COFFER__SEAL_TAG_BYTES;
}

static bool append_header(coffer__buf *out, uint8_t suite, uint32_t key_id, const coffer__entry *entry) {
    char header[COFFER__ENVELOPE_HEADER_BYTES] = {(char)COFFER__ENVELOPE_MAGIC, VERSION, (char)suite, 0};
    coffer__put_u32(header + 4, key_id);
    coffer__put_u64(header + 8, entry->entry_id);
    coffer__put_u64(header + 16, entry->lease_unix_ms);
    return coffer__buf_append(out, header, sizeof header);
}

static uint32_t sum_of(const char *envelope, coffer_slice body) {
    return coffer__crc32c(coffer__crc32c(0, coffer_slice_of(envelope, BOUND_BYTES)), body);
}

static coffer_status append_plain(const coffer__codec *codec, const coffer__entry *entry, coffer__buf *out) {
    size_t start = out->len;
    if (!append_header(out, SUITE_PLAIN, 0, entry)) {
        return COFFER_NO_MEMORY;
    }
    coffer_status status = coffer__body_append(codec, entry, out);
    if (status != COFFER_OK) {
        return status;
    }
    size_t body_at = start + BODY_OFFSET_PLAIN;
    char sum[CRC_BYTES];
    coffer__put_u32(sum, sum_of(out->data + start, coffer_slice_of(out->data + body_at, out->len - body_at)));
    return coffer__buf_append(out, sum, sizeof sum) ? COFFER_OK : COFFER_NO_MEMORY;
}

static coffer_status append_pad(coffer__buf *out, size_t body_at, int pad) {
    size_t body_bytes = out->len - body_at;
    size_t pad_bytes = coffer__padded_bytes(body_bytes, pad) - body_bytes;
    if (!coffer__buf_reserve(out, pad_bytes + COFFER__SEAL_TAG_BYTES)) {
        return COFFER_NO_MEMORY;
    }
    coffer__pad_write(out->data + out->len, pad_bytes);
    out->len += pad_bytes;
    return COFFER_OK;
}

/* Seals the body where it stands and appends the tag, for which there is room. */
static coffer_status seal_in_place(const coffer__codec *codec, const coffer__binding *binding, coffer__buf *out, size_t start) {
    char *envelope = out->data + start;
    char *body = envelope + BODY_OFFSET_SEALED;
    coffer__aad aad;
    coffer_status status = coffer__aad_init(&aad, envelope, binding);
    if (status != COFFER_OK) {
        return status;
    }
    const uint8_t *nonce = (const uint8_t *)envelope + COFFER__ENVELOPE_HEADER_BYTES;
    coffer_slice text = coffer_slice_of(body, out->len - start - BODY_OFFSET_SEALED);
    status = coffer__sealer_seal(codec->sealer, nonce, aad.bytes, text, (uint8_t *)body);
    coffer__aad_clear(&aad);
    if (status == COFFER_OK) {
        out->len += COFFER__SEAL_TAG_BYTES;
    }
    return status;
}

static coffer_status append_sealed(const coffer__codec *codec, const coffer__binding *binding, const coffer__entry *entry, const uint8_t nonce[24],
                                   coffer__buf *out) {
    uint32_t key_id = coffer__sealer_primary_id(codec->sealer);
    size_t start = out->len;
    if (key_id == 0) {
        return COFFER_UNKNOWN_KEY;
    }
    if (!append_header(out, SUITE_SEALED, key_id, entry) || !coffer__buf_append(out, nonce, COFFER__NONCE_BYTES)) {
        return COFFER_NO_MEMORY;
    }
    coffer_status status = coffer__body_append(codec, entry, out);
    if (status == COFFER_OK) {
        status = append_pad(out, start + BODY_OFFSET_SEALED, codec->pad);
    }
    return status == COFFER_OK ? seal_in_place(codec, binding, out, start) : status;
}

coffer_status coffer__envelope_write_with_nonce(const coffer__codec *codec, const coffer__binding *binding, const coffer__entry *entry,
                                                const uint8_t nonce[24], coffer__buf *out) {
    coffer_status status = coffer__body_check(codec, entry);
    if (status != COFFER_OK) {
        return status;
    }
    if (!coffer__buf_reserve(out, room_for(codec, entry))) {
        return COFFER_NO_MEMORY;
    }
    size_t start = out->len;
    status = codec->sealer == NULL ? append_plain(codec, entry, out) : append_sealed(codec, binding, entry, nonce, out);
    if (status != COFFER_OK) {
        coffer__wipe(out->data + start, out->len - start); /* no plaintext stays where a seal failed */
        out->len = start;
    }
    return status;
}

coffer_status coffer__envelope_write(const coffer__codec *codec, const coffer__binding *binding, const coffer__entry *entry, coffer__buf *out) {
    uint8_t nonce[COFFER__NONCE_BYTES] = {0};
    coffer_status status = codec->sealer == NULL ? COFFER_OK : coffer__random_bytes(nonce, sizeof nonce);
    return status == COFFER_OK ? coffer__envelope_write_with_nonce(codec, binding, entry, nonce, out) : status;
}

/* ---- reading ---- */

typedef struct reading {
    const coffer__codec *codec;
    const coffer__binding *binding;
    coffer_slice in;
    coffer__buf *scratch;
    uint8_t suite;
    uint32_t key_id;
    bool has_body;
    coffer__packed packed;
    size_t pad_bytes;
} reading;

static coffer_status read_header(reading *now) {
    const uint8_t *at = (const uint8_t *)now->in.data;
    if (now->in.len > 0 && at[0] != COFFER__ENVELOPE_MAGIC) {
        return COFFER_BAD_MAGIC;
    }
    if (now->in.len < COFFER__ENVELOPE_HEADER_BYTES) {
        return COFFER_BAD_LENGTH;
    }
    if (at[1] != VERSION) {
        return COFFER_BAD_VERSION;
    }
    now->suite = at[2];
    now->key_id = coffer__get_u32(at + 4);
    if (now->suite > SUITE_PLACEHOLDER) {
        return COFFER_BAD_SUITE;
    }
    if (at[3] != 0) {
        return COFFER_BAD_FLAGS;
    }
    return (now->suite == SUITE_SEALED) == (now->key_id == 0) ? COFFER_BAD_KEY_ID : COFFER_OK;
}

/* Each takes what follows the header as far as the body, which it lends: in `in` (plain) or at the start of `scratch` (sealed). */
typedef coffer_status open_function(reading *now, coffer_slice *body);

static coffer_status open_plain(reading *now, coffer_slice *body) {
    if (now->codec->sealer != NULL) {
        return COFFER_DOWNGRADE;
    }
    if (now->in.len < SMALLEST_PLAIN) {
        return COFFER_BAD_LENGTH;
    }
    *body = coffer_slice_of(now->in.data + BODY_OFFSET_PLAIN, now->in.len - BODY_OFFSET_PLAIN - CRC_BYTES);
    return sum_of(now->in.data, *body) == coffer__get_u32(body->data + body->len) ? COFFER_OK : COFFER_BAD_CRC;
}

static coffer_status unseal(reading *now, coffer_slice sealed) {
    coffer__aad aad;
    coffer_status status = coffer__aad_init(&aad, now->in.data, now->binding);
    if (status != COFFER_OK) {
        return status;
    }
    const uint8_t *nonce = (const uint8_t *)now->in.data + COFFER__ENVELOPE_HEADER_BYTES;
    status = coffer__sealer_open(now->codec->sealer, now->key_id, nonce, aad.bytes, sealed, (uint8_t *)now->scratch->data);
    coffer__aad_clear(&aad);
    return status;
}

static coffer_status open_sealed(reading *now, coffer_slice *body) {
    if (now->codec->sealer == NULL) {
        return COFFER_UNKNOWN_KEY;
    }
    if (now->in.len < SMALLEST_SEALED) {
        return COFFER_BAD_LENGTH;
    }
    coffer_slice sealed = coffer_slice_of(now->in.data + BODY_OFFSET_SEALED, now->in.len - BODY_OFFSET_SEALED);
    size_t text_bytes = sealed.len - COFFER__SEAL_TAG_BYTES;
    if (!coffer__buf_reserve(now->scratch, text_bytes)) {
        return COFFER_NO_MEMORY;
    }
    coffer_status status = unseal(now, sealed);
    if (status != COFFER_OK) {
        return status;
    }
    now->scratch->len = text_bytes;
    *body = coffer__buf_slice(now->scratch);
    status = coffer__pad_strip(body);
    now->pad_bytes = text_bytes - body->len;
    return status;
}

static coffer_status open_placeholder(reading *now, coffer_slice *body) {
    *body = COFFER_SLICE("");
    return now->in.len == COFFER__ENVELOPE_HEADER_BYTES ? COFFER_PLACEHOLDER : COFFER_BAD_LENGTH;
}

/* A sealed body lies in scratch, which may move when it grows for the payload behind it: then the body is read again where it is now. */
static coffer_status unpack(reading *now, coffer_slice body, coffer__packed *packed, coffer__entry *entry) {
    coffer__buf *scratch = now->scratch;
    if (!coffer__buf_reserve(scratch, packed->raw_bytes)) {
        return COFFER_NO_MEMORY;
    }
    if (now->suite == SUITE_SEALED) {
        body.data = scratch->data;
        coffer_status again = coffer__body_parse(now->codec, body, entry, packed);
        if (again != COFFER_OK) {
            return again;
        }
    }
    char *raw = scratch->len == 0 ? scratch->data : scratch->data + scratch->len; /* NULL for a payload of nothing */
    coffer_status status = coffer__decompress(packed->payload, raw, packed->raw_bytes);
    scratch->len += packed->raw_bytes;
    entry->payload = coffer_slice_of(raw, packed->raw_bytes);
    return status;
}

static coffer_status read_body(reading *now, coffer_slice body, coffer__entry *entry) {
    now->has_body = body.len >= COFFER__BODY_FIXED_BYTES;
    coffer_status status = coffer__body_parse(now->codec, body, entry, &now->packed);
    if (status != COFFER_OK) {
        return status;
    }
    entry->payload = now->packed.payload;
    return now->packed.codec == COFFER__CODEC_ZSTD ? unpack(now, body, &now->packed, entry) : COFFER_OK;
}

static coffer_status read_all(reading *now, coffer__entry *entry) {
    static open_function *const open_suite[] = {open_plain, open_sealed, open_placeholder};
    coffer_slice body;
    coffer_status status = read_header(now);
    if (status == COFFER_OK) {
        status = open_suite[now->suite](now, &body);
    }
    return status == COFFER_OK ? read_body(now, body, entry) : status;
}

coffer_status coffer__envelope_read(const coffer__codec *codec, const coffer__binding *binding, coffer_slice in, coffer__buf *scratch,
                                    coffer__entry *entry) {
    reading now = {.codec = codec, .binding = binding, .in = in, .scratch = scratch};
    bool has_id = in.len >= ID_END;
    *entry = (coffer__entry){0};
    coffer__buf_clear(scratch);
    coffer_status status = read_all(&now, entry);
    if (status == COFFER_OK) {
        entry->lease_unix_ms = coffer__get_u64(in.data + ID_END);
    } else {
        *entry = (coffer__entry){0};
        coffer__buf_clear(scratch);
    }
    entry->entry_id = has_id ? coffer__get_u64(in.data + COFFER__ENVELOPE_ID_OFFSET) : 0;
    return status;
}

/* ---- looking ---- */

static void examine_header(coffer_slice in, coffer__examined *examined) {
    const uint8_t *at = (const uint8_t *)in.data;
    examined->has_header = in.len >= COFFER__ENVELOPE_HEADER_BYTES && at[0] == COFFER__ENVELOPE_MAGIC;
    if (examined->has_header) {
        examined->version = at[1];
        examined->suite = at[2];
        examined->flags = at[3];
        examined->key_id = coffer__get_u32(at + 4);
        examined->entry.entry_id = coffer__get_u64(at + COFFER__ENVELOPE_ID_OFFSET);
        examined->entry.lease_unix_ms = coffer__get_u64(at + ID_END);
    }
}

coffer_status coffer__envelope_examine(const coffer__codec *codec, const coffer__binding *binding, coffer_slice in, coffer__buf *scratch,
                                       coffer__examined *examined) {
    coffer__codec unsealed = *codec;
    reading now = {.codec = codec, .binding = binding, .in = in, .scratch = scratch};
    *examined = (coffer__examined){.has_header = false};
    coffer__buf_clear(scratch);
    coffer_status status = read_all(&now, &examined->entry);
    if (status == COFFER_DOWNGRADE) {
        unsealed.sealer = NULL;
        now.codec = &unsealed;
        (void)read_all(&now, &examined->entry);
    }
    examined->has_body = now.has_body;
    if (now.has_body) {
        examined->codec = now.packed.codec;
        examined->raw_bytes = now.packed.raw_bytes;
        examined->packed_bytes = now.packed.payload.len;
        examined->pad_bytes = now.pad_bytes;
    }
    if (status != COFFER_OK) {
        examined->entry.payload = COFFER_SLICE("");
    }
    examine_header(in, examined);
    return status;
}
