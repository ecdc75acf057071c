/* What the codec's tests share: bytes from hex, a keyring of one key, envelopes with any body and a right CRC or seal around it. */
#ifndef COFFER_TESTS_CODEC_SUPPORT_H
#define COFFER_TESTS_CODEC_SUPPORT_H

#include "support/cmocka_all.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "codec/aad.h"
#include "codec/envelope.h"
#include "codec/seal.h"

#include <coffer/options.h>

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" /* bytes 0 to 31 */
#define KEY_B "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=" /* bytes 255 to 224 */

#define assert_status(got, wanted) assert_string_equal(coffer_status_name(got), coffer_status_name(wanted))

static inline int hex_digit(char digit) {
    const char *digits = "0123456789abcdef";
    const char *found = digit == '\0' ? NULL : strchr(digits, digit);
    return found == NULL ? -1 : (int)(found - digits);
}

/* Appends the bytes of `hex`, spaces between them left out; it ends at its first other character. */
static inline void append_hex(coffer__buf *out, const char *hex) {
    for (; *hex == ' ' || (hex_digit(hex[0]) >= 0 && hex_digit(hex[1]) >= 0); hex += *hex == ' ' ? 1 : 2) {
        if (*hex == ' ') {
            continue;
        }
        char byte = (char)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
        assert_true(coffer__buf_append(out, &byte, 1));
    }
}

static inline void assert_hex(const void *bytes, size_t len, const char *hex) {
    coffer__buf wanted = COFFER__BUF_INIT;
    append_hex(&wanted, hex);
    assert_int_equal(len, wanted.len);
    assert_memory_equal(bytes, wanted.data, len);
    coffer__buf_free(&wanted);
}

static inline coffer__sealer *sealer_of(const char *base64, uint32_t id, coffer__key_state state, const char *name) {
    coffer__keyring *keyring;
    coffer__sealer *sealer;
    assert_status(coffer__keyring_new(&keyring), COFFER_OK);
    assert_status(coffer__keyring_add(keyring, coffer_slice_text(base64), id, state, NULL), COFFER_OK);
    assert_status(coffer__sealer_new(&sealer, keyring, coffer_slice_text(name), NULL), COFFER_OK);
    coffer__keyring_free(keyring);
    return sealer;
}

static inline coffer__codec plain_codec(void) {
    coffer__codec codec = {.max_value_bytes = 1 << 20, .compress_threshold_bytes = 1024, .compress = COFFER_COMPRESS_NEVER, .compress_level = 1};
    return codec;
}

static inline coffer__codec sealed_codec(void) {
    coffer__codec codec = plain_codec();
    codec.sealer = sealer_of(KEY_A, 7, COFFER__KEY_PRIMARY, "users");
    return codec;
}

static inline coffer__binding users_42(void) {
    coffer__binding binding = {COFFER_SLICE("value"), COFFER_SLICE("app"), COFFER_SLICE("users"), COFFER_SLICE("3"), COFFER_SLICE("42")};
    return binding;
}

static inline coffer__entry entry_with(coffer_slice payload) {
    coffer__entry entry = {
        .entry_id = 0x1122334455667788, .created_unix_ms = 1000, .fresh_unix_ms = 2000, .expires_unix_ms = 3000, .payload = payload};
    return entry;
}

static inline void write_entry(const coffer__codec *codec, const coffer__entry *entry, coffer__buf *out) {
    coffer__binding binding = users_42();
    coffer__buf_clear(out);
    assert_status(coffer__envelope_write(codec, &binding, entry, out), COFFER_OK);
}

/* Reads from an exact copy on the heap, so that a sanitizer sees a byte too far; a refused entry must give nothing but its id. */
static inline coffer_status read_bytes(const coffer__codec *codec, const coffer__binding *binding, coffer_slice in) {
    char *copy = (char *)malloc(in.len == 0 ? 1 : in.len);
    assert_non_null(copy);
    if (in.len > 0) {
        memcpy(copy, in.data, in.len);
    }
    coffer__buf scratch = COFFER__BUF_INIT;
    coffer__entry entry;
    coffer_status status = coffer__envelope_read(codec, binding, coffer_slice_of(copy, in.len), &scratch, &entry);
    if (status != COFFER_OK) {
        coffer__entry nothing;
        memset(&nothing, 0, sizeof nothing);
        nothing.entry_id = in.len < 16 ? 0 : coffer__get_u64(in.data + 8);
        assert_memory_equal(&entry, &nothing, sizeof entry);
        assert_int_equal(scratch.len, 0);
    }
    coffer__buf_free(&scratch);
    free(copy);
    return status;
}

static inline coffer_status read_users_42(const coffer__codec *codec, const coffer__buf *in) {
    coffer__binding binding = users_42();
    return read_bytes(codec, &binding, coffer__buf_slice(in));
}

/* Header, body and a right CRC. */
static inline void forge_plain(coffer_slice body, coffer__buf *out) {
    char header[24] = {(char)0xC5, 1, 0, 0};
    uint32_t crc = coffer__crc32c(coffer__crc32c(0, coffer_slice_of(header, 16)), body);
    char sum[4];
    coffer__put_u32(sum, crc);
    coffer__buf_clear(out);
    assert_true(coffer__buf_append(out, header, sizeof header));
    assert_true(coffer__buf_append_slice(out, body));
    assert_true(coffer__buf_append(out, sum, sizeof sum));
}

/* Header, nonce, body (its pad included) and a right tag. */
static inline void forge_sealed(const coffer__codec *codec, coffer_slice body, coffer__buf *out) {
    char header[48] = {(char)0xC5, 1, 1, 0, 0, 0, 0, 7};
    coffer__binding binding = users_42();
    coffer__aad aad;
    coffer__buf_clear(out);
    assert_true(coffer__buf_append(out, header, sizeof header));
    assert_true(coffer__buf_reserve(out, body.len + 16));
    assert_status(coffer__aad_init(&aad, header, &binding), COFFER_OK);
    assert_status(coffer__sealer_seal(codec->sealer, (uint8_t *)header + 24, aad.bytes, body, (uint8_t *)out->data + out->len), COFFER_OK);
    coffer__aad_clear(&aad);
    out->len += body.len + 16;
}

#endif
