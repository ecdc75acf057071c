/* Looking into stored bytes without reading them as a cache: for tools that show what is on a server or in a file.
 *
 *     coffer_inspection seen = {.struct_size = sizeof seen};
 *     if (coffer_envelope_inspect(coffer_cache_namespace(cache), key, bytes, &seen) == COFFER_OK) {
 *         printf("%s, %u\n", coffer_status_name(seen.verdict), seen.suite);
 *         coffer_inspection_clear(&seen);
 *     }
 *
 * docs/envelope.md says what each field means. Nothing of an envelope that does not verify is shown but its header, which nobody vouches for then.
 */
#ifndef COFFER_INSPECT_H
#define COFFER_INSPECT_H

#include <coffer/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fields that were not reached are 0. Times are by the server's clock; UINT64_MAX: never. */
typedef struct coffer_inspection {
    size_t struct_size;
    /* What a reader in this namespace makes of the bytes, whatever the time: OK, PLACEHOLDER, or the reason why it refuses them. */
    coffer_status verdict;
    bool has_header; /* bytes 0 to 23 are of an envelope; the fields up to lease_unix_ms are set */
    bool has_body; /* the checksum or the seal is right; all fields are set */
    uint8_t version;
    uint8_t suite; /* 0 checksum, 1 sealed, 2 placeholder */
    uint8_t flags;
    uint32_t key_id; /* of the key that sealed it; 0: none */
    uint64_t entry_id;
    uint64_t lease_unix_ms; /* 0: nobody loads the key */
    uint8_t kind; /* 0 value, 1 known to be absent */
    uint8_t codec; /* 0 stored as it is, 1 zstd, 2 zstd with a dictionary */
    uint8_t format; /* COFFER_FORMAT_... */
    uint8_t tag_count;
    uint64_t payload_bytes; /* before compression */
    uint64_t stored_bytes; /* of the payload, after it */
    uint64_t pad_bytes; /* of a sealed one, the one that is always there included */
    uint64_t created_unix_ms;
    uint64_t fresh_unix_ms;
    uint64_t expires_unix_ms;
    uint32_t load_cost_ms; /* what the loader took; 0 unknown */
    coffer_slice payload; /* where the verdict is OK; lent until coffer_inspection_clear */
    void *owner; /* coffer_inspection_clear frees it */
} coffer_inspection;

/* Looks into what is stored for this key of the caller. `ns` has the keys that open it, the names it is bound to and max_value; its server is not
 * asked. A sealed envelope opens only with the prefix, namespace, version and key that it was stored under. OK whatever the bytes are; ARG where
 * struct_size is not set, NO_MEMORY, SEAL_UNFIT, INTERNAL (of the cryptographic library): nothing to clear then. */
COFFER_API coffer_status coffer_envelope_inspect(coffer_namespace *ns, coffer_slice key, coffer_slice envelope, coffer_inspection *inspection);
COFFER_API void coffer_inspection_clear(coffer_inspection *inspection); /* wipes and frees; harmless on a cleared one */

#ifdef __cplusplus
}
#endif
#endif
