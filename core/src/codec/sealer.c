#include "codec/keyring_keys.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "codec/hkdf.h"
#include "codec/seal.h"
#include "codec/seal_check.h"

typedef struct sealing_key {
    uint32_t id;
    coffer__key_state state;
    coffer__xaes *xaes; /* NULL where revoked */
} sealing_key;

struct coffer__sealer {
    const sealing_key *primary; /* NULL: cannot seal */
    size_t count;
    sealing_key keys[];
};

static coffer_status derive(const coffer__key *key, coffer_slice info, sealing_key *made) {
    made->id = key->id;
    made->state = key->state;
    if (key->state == COFFER__KEY_REVOKED) {
        return COFFER_OK;
    }
    uint8_t bytes[32];
    coffer_status status = coffer__hkdf_sha256(coffer_slice_of(key->master, sizeof key->master), COFFER_SLICE(""), info, bytes, sizeof bytes);
    if (status == COFFER_OK) {
        status = coffer__xaes_new(&made->xaes, bytes);
    }
    coffer__wipe(bytes, sizeof bytes);
    return status;
}

static coffer_status derive_all(coffer__sealer *sealer, const coffer__keyring *keyring, coffer_slice info) {
    for (size_t i = 0; i < keyring->count; i++) {
        coffer_status status = derive(&keyring->keys[i], info, &sealer->keys[i]);
        if (status != COFFER_OK) {
            return status;
        }
        if (sealer->keys[i].state == COFFER__KEY_PRIMARY) {
            sealer->primary = &sealer->keys[i];
        }
    }
    return COFFER_OK;
}

static coffer_status new_sealer(coffer__sealer **sealer, const coffer__keyring *keyring, coffer_slice info) {
    coffer__sealer *made = (coffer__sealer *)coffer__alloc_zero(sizeof *made + keyring->count * sizeof made->keys[0]);
    if (made == NULL) {
        return COFFER_NO_MEMORY;
    }
    made->count = keyring->count;
    coffer_status status = derive_all(made, keyring, info);
    if (status != COFFER_OK) {
        coffer__sealer_free(made);
        return status;
    }
    *sealer = made;
    return COFFER_OK;
}

coffer_status coffer__sealer_new(coffer__sealer **sealer, const coffer__keyring *keyring, coffer_slice namespace_name, coffer_error *error) {
    *sealer = NULL;
    coffer__buf info = COFFER__BUF_INIT;
    bool made = coffer__buf_append_slice(&info, COFFER_SLICE("coffer v1 seal")) && coffer__buf_append_slice(&info, namespace_name);
    coffer_status status = made ? new_sealer(sealer, keyring, coffer__buf_slice(&info)) : COFFER_NO_MEMORY;
    coffer__buf_free(&info);
    return status == COFFER_OK ? status : coffer__error_set(error, status, "the namespace's keys cannot be derived: %s", coffer_status_text(status));
}

void coffer__sealer_free(coffer__sealer *sealer) {
    if (sealer == NULL) {
        return;
    }
    for (size_t i = 0; i < sealer->count; i++) {
        coffer__xaes_free(sealer->keys[i].xaes);
    }
    coffer__release(sealer);
}

uint32_t coffer__sealer_primary_id(const coffer__sealer *sealer) {
    return sealer->primary == NULL ? 0 : sealer->primary->id;
}

static coffer_status find(const coffer__sealer *sealer, uint32_t key_id, coffer__xaes **xaes) {
    for (size_t i = 0; i < sealer->count; i++) {
        if (sealer->keys[i].id == key_id) {
            *xaes = sealer->keys[i].xaes;
            return *xaes == NULL ? COFFER_REVOKED_KEY : COFFER_OK;
        }
    }
    return COFFER_UNKNOWN_KEY;
}

coffer_status coffer__sealer_seal(coffer__sealer *sealer, const uint8_t nonce[24], coffer_slice aad, coffer_slice text, uint8_t *out) {
    if (sealer->primary == NULL) {
        return COFFER_UNKNOWN_KEY;
    }
    coffer_status status = coffer__seal_fit();
    return status == COFFER_OK ? coffer__xaes_seal(sealer->primary->xaes, nonce, aad, text, out) : status;
}

coffer_status coffer__sealer_open(coffer__sealer *sealer, uint32_t key_id, const uint8_t nonce[24], coffer_slice aad, coffer_slice sealed,
                                  uint8_t *out) {
    coffer__xaes *xaes;
    coffer_status status = find(sealer, key_id, &xaes);
    if (status == COFFER_OK) {
        status = coffer__seal_fit();
    }
    return status == COFFER_OK ? coffer__xaes_open(xaes, nonce, aad, sealed, out) : status;
}
