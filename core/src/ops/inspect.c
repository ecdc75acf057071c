#include <coffer/inspect.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "engine/client.h"

static void show(const coffer__examined *from, coffer_inspection *to) {
    const coffer__entry *entry = &from->entry;
    to->has_header = from->has_header;
    to->has_body = from->has_body;
    to->version = from->version;
    to->suite = from->suite;
    to->flags = from->flags;
    to->key_id = from->key_id;
    to->entry_id = entry->entry_id;
    to->lease_unix_ms = entry->lease_unix_ms;
    to->kind = entry->kind;
    to->codec = from->codec;
    to->format = entry->format;
    to->tag_count = entry->tag_count;
    to->payload_bytes = from->raw_bytes;
    to->stored_bytes = from->packed_bytes;
    to->pad_bytes = from->pad_bytes;
    to->created_unix_ms = entry->created_unix_ms;
    to->fresh_unix_ms = entry->fresh_unix_ms;
    to->expires_unix_ms = entry->expires_unix_ms;
    to->load_cost_ms = entry->load_cost_ms;
}

/* These tell of this process; all others of what was looked into. */
static bool is_of_bytes(coffer_status verdict) {
    return verdict != COFFER_NO_MEMORY && verdict != COFFER_INTERNAL && verdict != COFFER_SEAL_UNFIT;
}

/* A payload of the caller's own: what it was read from goes. */
static coffer_status keep_payload(coffer_slice payload, coffer_inspection *to) {
    if (payload.len == 0) {
        return COFFER_OK;
    }
    to->owner = coffer__alloc(payload.len);
    if (to->owner == NULL) {
        return COFFER_NO_MEMORY;
    }
    memcpy(to->owner, payload.data, payload.len);
    to->payload = coffer_slice_of(to->owner, payload.len);
    return COFFER_OK;
}

coffer_status coffer_envelope_inspect(coffer_namespace *ns, coffer_slice key, coffer_slice envelope, coffer_inspection *inspection) {
    coffer__binding binding = coffer__namespace_binding(ns, key);
    coffer__buf scratch = COFFER__BUF_INIT;
    coffer__examined examined;
    if (inspection->struct_size < sizeof *inspection) {
        return COFFER_ARG;
    }
    *inspection = (coffer_inspection){.struct_size = sizeof *inspection};
    coffer_status verdict = coffer__envelope_examine(&ns->codec, &binding, envelope, &scratch, &examined);
    coffer_status status = is_of_bytes(verdict) ? COFFER_OK : verdict;
    if (status == COFFER_OK) {
        inspection->verdict = verdict;
        show(&examined, inspection);
        status = keep_payload(examined.entry.payload, inspection);
    }
    coffer__buf_wipe(&scratch);
    return status;
}

void coffer_inspection_clear(coffer_inspection *inspection) {
    if (inspection == NULL) {
        return;
    }
    if (inspection->owner != NULL) {
        coffer__wipe(inspection->owner, inspection->payload.len);
        coffer__release(inspection->owner);
    }
    *inspection = (coffer_inspection){.struct_size = sizeof *inspection};
}
