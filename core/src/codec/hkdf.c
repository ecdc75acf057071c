#include "codec/hkdf.h"

#include "base/alloc.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

enum { LARGEST_OUT_BYTES = 255 * 32 };

/* OSSL_PARAM takes pointers that are not const, but only reads here. */
static OSSL_PARAM bytes_param(const char *name, coffer_slice bytes) {
    union {
        const char *given;
        void *wanted;
    } data = {bytes.len == 0 ? "" : bytes.data};
    return OSSL_PARAM_construct_octet_string(name, data.wanted, bytes.len);
}

static bool derive(EVP_KDF_CTX *context, coffer_slice secret, coffer_slice salt, coffer_slice info, uint8_t *out, size_t out_bytes) {
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        bytes_param(OSSL_KDF_PARAM_KEY, secret),
        bytes_param(OSSL_KDF_PARAM_INFO, info),
        salt.len == 0 ? OSSL_PARAM_construct_end() : bytes_param(OSSL_KDF_PARAM_SALT, salt),
        OSSL_PARAM_construct_end(),
    };
    return EVP_KDF_derive(context, out, out_bytes, params) == 1;
}

coffer_status coffer__hkdf_sha256(coffer_slice secret, coffer_slice salt, coffer_slice info, uint8_t *out, size_t out_bytes) {
    if (out_bytes == 0 || out_bytes > LARGEST_OUT_BYTES) {
        return COFFER_ARG;
    }
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    EVP_KDF_free(kdf);
    bool done = context != NULL && derive(context, secret, salt, info, out, out_bytes);
    EVP_KDF_CTX_free(context);
    if (!done) {
        coffer__wipe(out, out_bytes);
    }
    return done ? COFFER_OK : COFFER_INTERNAL;
}
