#include "codec/keyring_keys.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/error.h"
#include "codec/hkdf.h"

coffer_status coffer__keyring_new(coffer__keyring **keyring) {
    *keyring = (coffer__keyring *)coffer__alloc_zero(sizeof **keyring);
    return *keyring == NULL ? COFFER_NO_MEMORY : COFFER_OK;
}

static void keys_free(coffer__keyring *keyring) {
    coffer__wipe(keyring->keys, keyring->count * sizeof *keyring->keys);
    coffer__release(keyring->keys);
}

void coffer__keyring_free(coffer__keyring *keyring) {
    if (keyring != NULL) {
        keys_free(keyring);
        coffer__release(keyring);
    }
}

static coffer_status derive_id(coffer__key *key) {
    uint8_t bytes[4];
    coffer_status status =
        coffer__hkdf_sha256(coffer_slice_of(key->master, sizeof key->master), COFFER_SLICE(""), COFFER_SLICE("coffer v1 kid"), bytes, sizeof bytes);
    if (status == COFFER_OK) {
        key->id = coffer__get_u32(bytes);
        key->id = key->id == 0 ? 1 : key->id;
    }
    return status;
}

static coffer_status check_free(const coffer__keyring *keyring, const coffer__key *wanted, coffer_error *error) {
    for (size_t i = 0; i < keyring->count; i++) {
        const coffer__key *held = &keyring->keys[i];
        if (held->id == wanted->id) {
            return coffer__error_set(error, COFFER_OPTION, "two keys have the id %u: give each another one", (unsigned)wanted->id);
        }
        if (held->state == COFFER__KEY_PRIMARY && wanted->state == COFFER__KEY_PRIMARY) {
            return coffer__error_set(error, COFFER_OPTION, "two keys are primary (ids %u and %u): one key seals, the others open", (unsigned)held->id,
                                     (unsigned)wanted->id);
        }
    }
    return COFFER_OK;
}

static coffer_status append(coffer__keyring *keyring, const coffer__key *key) {
    coffer__key *keys = (coffer__key *)coffer__alloc((keyring->count + 1) * sizeof *keys);
    if (keys == NULL) {
        return COFFER_NO_MEMORY;
    }
    if (keyring->count > 0) {
        memcpy(keys, keyring->keys, keyring->count * sizeof *keys);
    }
    keys[keyring->count] = *key;
    keys_free(keyring);
    keyring->keys = keys;
    keyring->count++;
    return COFFER_OK;
}

static coffer_status add(coffer__keyring *keyring, coffer__key *key, coffer_error *error) {
    coffer_status status = key->id == 0 ? derive_id(key) : COFFER_OK;
    if (status != COFFER_OK) {
        return coffer__error_set(error, status, "the key's id cannot be derived: %s", coffer_status_text(status));
    }
    status = check_free(keyring, key, error);
    if (status != COFFER_OK) {
        return status;
    }
    status = append(keyring, key);
    return status == COFFER_OK ? status : coffer__error_set(error, status, "the key cannot be kept: %s", coffer_status_text(status));
}

coffer_status coffer__keyring_add(coffer__keyring *keyring, coffer_slice base64, uint32_t id, coffer__key_state state, coffer_error *error) {
    coffer__key key = {.id = id, .state = state};
    coffer_status status = coffer__key_parse(base64, key.master, error);
    if (status == COFFER_OK) {
        status = add(keyring, &key, error);
    }
    coffer__wipe(&key, sizeof key);
    return status;
}
