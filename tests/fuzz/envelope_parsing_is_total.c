/* Whatever the server holds: reading it ends with a status, gives nothing but the id of what it refuses, keeps within its memory, and what it accepts can
 * be written again and read as the same. A sealed entry that was changed anywhere but in its lease never opens.
 *
 *     choice  0  the input as it is              2  the input as a body behind a right header, with a right CRC or tag: past those checks
 *             1  a valid entry made of the input, and then changed at up to four places
 *     bit 2: sealed
 */
#include "fuzz.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "codec/aad.h"
#include "codec/envelope.h"
#include "codec/seal.h"
#include <coffer/options.h>

enum { MAX_VALUE = 64 << 10, LEASE_AT = 16, LEASE_END = 24, KEY_ID = 7 };

static const coffer__binding binding = {{"value", 5}, {"app", 3}, {"users", 5}, {"3", 1}, {"42", 2}};

static coffer__sealer *the_sealer(void) {
    static coffer__sealer *sealer;
    if (sealer == NULL) {
        const coffer_slice key = COFFER_SLICE("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        coffer__keyring *keyring;
        MUST(coffer__keyring_new(&keyring) == COFFER_OK);
        MUST(coffer__keyring_add(keyring, key, KEY_ID, COFFER__KEY_PRIMARY, NULL) == COFFER_OK);
        MUST(coffer__sealer_new(&sealer, keyring, binding.name, NULL) == COFFER_OK);
        coffer__keyring_free(keyring);
    }
    return sealer;
}

static bool is_within(coffer_slice part, const char *whole, size_t whole_len) {
    return whole != NULL && part.data >= whole && part.data + part.len <= whole + whole_len;
}

static void must_be_within(coffer_slice part, coffer_slice in, const coffer__buf *scratch) {
    MUST(part.len == 0 || is_within(part, in.data, in.len) || is_within(part, scratch->data, scratch->len));
    touch(part);
}

static void must_read_as(const coffer__codec *codec, coffer_slice in, const coffer__entry *wanted) {
    coffer__buf scratch = COFFER__BUF_INIT;
    coffer__entry entry;
    MUST(coffer__envelope_read(codec, &binding, in, &scratch, &entry) == COFFER_OK);
    MUST(entry.kind == wanted->kind && entry.format == wanted->format && entry.tag_count == wanted->tag_count);
    MUST(entry.entry_id == wanted->entry_id && entry.lease_unix_ms == wanted->lease_unix_ms && entry.load_cost_ms == wanted->load_cost_ms);
    MUST(entry.created_unix_ms == wanted->created_unix_ms && entry.fresh_unix_ms == wanted->fresh_unix_ms);
    MUST(entry.expires_unix_ms == wanted->expires_unix_ms);
    MUST(coffer_slice_equal(entry.tags, wanted->tags) && coffer_slice_equal(entry.payload, wanted->payload));
    coffer__buf_free(&scratch);
}

static void must_survive_rewriting(const coffer__codec *codec, const coffer__entry *entry) {
    coffer__buf again = COFFER__BUF_INIT;
    MUST(coffer__envelope_write(codec, &binding, entry, &again) == COFFER_OK);
    must_read_as(codec, coffer__buf_slice(&again), entry);
    coffer__buf_free(&again);
}

/* People who look see what a reader sees. */
static void must_be_examined_alike(const coffer__codec *codec, coffer_slice in, coffer_status wanted, const coffer__entry *read) {
    coffer__buf scratch = COFFER__BUF_INIT;
    coffer__examined seen;
    memset(&seen, 0x5A, sizeof seen);
    MUST(coffer__envelope_examine(codec, &binding, in, &scratch, &seen) == wanted);
    MUST(wanted != COFFER_OK || (seen.has_header && seen.has_body && seen.raw_bytes == seen.entry.payload.len));
    MUST(coffer_slice_equal(seen.entry.payload, read->payload));
    MUST(!seen.has_header || (seen.entry.entry_id == read->entry_id && in.len >= COFFER__ENVELOPE_HEADER_BYTES));
    MUST(seen.has_body || (seen.entry.expires_unix_ms == 0 && seen.packed_bytes == 0));
    coffer__buf_free(&scratch);
}

static coffer_status read_it(const coffer__codec *codec, coffer_slice bytes) {
    char *copy = alone(bytes);
    coffer_slice in = coffer_slice_of(copy, bytes.len);
    coffer__buf scratch = COFFER__BUF_INIT;
    coffer__entry entry;
    memset(&entry, 0x5A, sizeof entry);
    coffer_status status = coffer__envelope_read(codec, &binding, in, &scratch, &entry);
    MUST(scratch.cap <= 2 * (in.len + MAX_VALUE) + 1024);
    if (status == COFFER_OK) {
        MUST(entry.payload.len <= MAX_VALUE && entry.kind <= COFFER__KIND_ABSENT && (entry.format <= 3 || entry.format >= 128));
        must_be_within(entry.payload, in, &scratch);
        must_be_within(entry.tags, in, &scratch);
        must_survive_rewriting(codec, &entry);
    } else {
        MUST(entry.entry_id == (in.len < 16 ? 0 : coffer__get_u64(in.data + 8)));
        MUST(entry.payload.len == 0 && entry.tags.len == 0 && entry.expires_unix_ms == 0 && scratch.len == 0);
        MUST(coffer_status_text(status)[0] != '\0');
    }
    must_be_examined_alike(codec, in, status, &entry);
    coffer__buf_free(&scratch);
    free(copy);
    return status;
}

static void read_forged(const coffer__codec *codec, coffer_slice body) {
    uint8_t suite = codec->sealer != NULL;
    char header[COFFER__ENVELOPE_HEADER_BYTES + COFFER__NONCE_BYTES] = {(char)COFFER__ENVELOPE_MAGIC, 1, (char)suite, 0, 0, 0, 0, suite ? KEY_ID : 0};
    notes forged = {0};
    note(&forged, header, suite ? sizeof header : COFFER__ENVELOPE_HEADER_BYTES);
    if (suite == 0) {
        char sum[4];
        coffer__put_u32(sum, coffer__crc32c(coffer__crc32c(0, coffer_slice_of(header, COFFER__AAD_BOUND_BYTES)), body));
        note(&forged, body.data, body.len);
        note(&forged, sum, sizeof sum);
    } else {
        coffer__aad aad;
        char *sealed = (char *)malloc(body.len + COFFER__SEAL_TAG_BYTES);
        MUST(sealed != NULL && coffer__aad_init(&aad, header, &binding) == COFFER_OK);
        const uint8_t *nonce = (const uint8_t *)header + COFFER__ENVELOPE_HEADER_BYTES;
        MUST(coffer__sealer_seal(codec->sealer, nonce, aad.bytes, body, (uint8_t *)sealed) == COFFER_OK);
        coffer__aad_clear(&aad);
        note(&forged, sealed, body.len + COFFER__SEAL_TAG_BYTES);
        free(sealed);
    }
    (void)read_it(codec, coffer_slice_of(forged.data, forged.len));
    notes_free(&forged);
}

/* Whether it was changed where a seal has to notice. */
static bool change(choices *from, char *bytes, size_t len, unsigned places) {
    bool bound = false;
    notes before = {0};
    note(&before, bytes, len);
    for (unsigned i = 0; i < places; i++) {
        size_t at = next_pair(from) % len;
        bytes[at] = (char)(bytes[at] ^ next_byte(from));
    }
    for (size_t i = 0; i < len; i++) {
        bound = bound || (bytes[i] != before.data[i] && (i < LEASE_AT || i >= LEASE_END));
    }
    notes_free(&before);
    return bound;
}

static void read_changed(coffer__codec *codec, choices *from) {
    uint8_t how = next_byte(from);
    unsigned places = how & 3;
    codec->compress = how >> 2 & 3;
    codec->pad = (how >> 4 & 3) % 3;
    choices changes = {from->at, from->left};
    coffer_slice head = next_slice(from, (size_t)3 * (places + 1));
    coffer__entry entry = {.entry_id = head.len, .created_unix_ms = 1000, .fresh_unix_ms = 2000, .expires_unix_ms = 3000, .format = how >> 6};
    entry.payload = coffer_slice_of(from->at, from->left);
    coffer__buf out = COFFER__BUF_INIT;
    MUST(coffer__envelope_write(codec, &binding, &entry, &out) == COFFER_OK);
    must_read_as(codec, coffer__buf_slice(&out), &entry);
    size_t cut = places == 3 ? out.len - next_byte(&changes) % out.len : out.len;
    bool changed = change(&changes, out.data, out.len, places) || cut < out.len;
    coffer_status status = read_it(codec, coffer_slice_of(out.data, cut));
    MUST(codec->sealer == NULL || !changed || status < 0);
    MUST(changed || status == COFFER_OK);
    coffer__buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    choices from = {data, size};
    uint8_t choice = next_byte(&from);
    coffer__codec codec = {.max_value_bytes = MAX_VALUE, .compress_threshold_bytes = 64, .compress = COFFER_COMPRESS_NEVER, .compress_level = 1};
    codec.sealer = (choice & 4) != 0 ? the_sealer() : NULL;
    switch (choice & 3) {
    case 1:
        read_changed(&codec, &from);
        break;
    case 2:
        read_forged(&codec, coffer_slice_of(from.at, from.left));
        break;
    default:
        (void)read_it(&codec, coffer_slice_of(from.at, from.left));
    }
    return 0;
}
