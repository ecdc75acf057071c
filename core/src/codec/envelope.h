/* The stored form of a value, version 1. docs/envelope.md is its specification.
 *
 *     0      1        2      3      4       8         16     24
 *     | C5 | version | suite | flags | key id | entry id | lease | nonce (suite 1) | body | tag or CRC |
 *
 * Parsing is total: whatever is wrong has a status of its own (status.h, BAD_MAGIC to PLACEHOLDER), no byte of a refused entry is given out.
 */
#ifndef COFFER_CODEC_ENVELOPE_H
#define COFFER_CODEC_ENVELOPE_H

#include "base/buf.h"
#include "codec/keyring.h"

enum {
    COFFER__ENVELOPE_MAGIC = 0xC5,
    COFFER__ENVELOPE_ID_OFFSET = 8, /* where the entry id is, for comparing scripts */
    COFFER__ENVELOPE_HEADER_BYTES = 24,
    COFFER__KIND_VALUE = 0,
    COFFER__KIND_ABSENT = 1
};

/* What an envelope says. */
typedef struct coffer__entry {
    uint64_t entry_id;
    uint64_t lease_unix_ms;
    uint64_t created_unix_ms;
    uint64_t fresh_unix_ms;
    uint64_t expires_unix_ms;
    uint32_t load_cost_ms;
    uint8_t kind;
    uint8_t format;
    uint8_t tag_count;
    coffer_slice tags; /* as stored: length, name, version, again and again */
    coffer_slice payload; /* uncompressed */
} coffer__entry;

/* What a sealed entry is bound to (its AAD): it opens nowhere else. */
typedef struct coffer__binding {
    coffer_slice purpose; /* "value" */
    coffer_slice prefix;
    coffer_slice name; /* of the namespace, as on the wire */
    coffer_slice version; /* its shape version as decimal ASCII, or empty */
    coffer_slice key; /* as the caller gave it */
} coffer__binding;

/* How a namespace writes and what it accepts. */
typedef struct coffer__codec {
    coffer__sealer *sealer; /* NULL: unsealed; else suite 0 is refused (DOWNGRADE) */
    size_t max_value_bytes;
    size_t compress_threshold_bytes;
    int compress; /* COFFER_COMPRESS_... */
    int compress_level;
    int pad; /* COFFER_PAD_...; sealed only */
} coffer__codec;

/* Appends the envelope to `out` (unchanged on failure). The entry id is the caller's to draw. TOO_LARGE, BAD_FORMAT (4 to 127), BAD_TAGS, BAD_KIND,
 * NO_RANDOM, NO_MEMORY, SEAL_UNFIT; UNKNOWN_KEY where no key is primary. `compress: always` means any size, but not sealed ones: those need
 * `trusted`. */
coffer_status coffer__envelope_write(const coffer__codec *codec, const coffer__binding *binding, const coffer__entry *entry, coffer__buf *out);

/* For golden values: the same with a nonce given. */
coffer_status coffer__envelope_write_with_nonce(const coffer__codec *codec, const coffer__binding *binding, const coffer__entry *entry,
                                                const uint8_t nonce[24], coffer__buf *out);

/* Opens one. `entry`'s slices point into `in` or into `scratch` (which is used again, and must stay as long as they are used). On failure `entry` is
 * zeroed but for entry_id, bytes 8 to 15 wherever they are there, of an envelope or not: who replaces a dead entry has to name it to the script that
 * compares them. TOO_LARGE where the raw length is over max_value_bytes. */
coffer_status coffer__envelope_read(const coffer__codec *codec, const coffer__binding *binding, coffer_slice in, coffer__buf *scratch,
                                    coffer__entry *entry);

/* An entry with all that else is known of it, as far as it could be read. */
typedef struct coffer__examined {
    coffer__entry entry; /* its payload where the verdict is OK */
    bool has_header;
    bool has_body; /* its checksum or seal is right */
    uint8_t version;
    uint8_t suite;
    uint8_t flags;
    uint32_t key_id;
    uint8_t codec;
    size_t packed_bytes;
    size_t raw_bytes;
    size_t pad_bytes;
} coffer__examined;

/* For people who look: coffer__envelope_read, whose status it answers, and the fields of what that refuses. One that only is not sealed where it
 * should be (DOWNGRADE) is looked into too. The entry's slices are as there. */
coffer_status coffer__envelope_examine(const coffer__codec *codec, const coffer__binding *binding, coffer_slice in, coffer__buf *scratch,
                                       coffer__examined *examined);

#endif
