/* Wycheproof's vectors for what XAES and the key derivation stand on. Skipped where they are absent (../shared or COFFER_SHARED). */
#include "codec/codec_support.h"

#include "codec/gcm.h"
#include "codec/hkdf.h"

enum { LINE_BYTES_MAX = 64 * 1024, FIELDS_MAX = 8, OUT_BYTES_MAX = 8192 };

typedef struct vector {
    char line[LINE_BYTES_MAX];
    const char *text[FIELDS_MAX];
    coffer__buf bytes[FIELDS_MAX];
} vector;

static void split(vector *from) {
    size_t count = 0;
    for (char *at = strtok(from->line, " \n"); at != NULL && count < FIELDS_MAX; at = strtok(NULL, " \n")) {
        from->text[count] = at;
        coffer__buf_clear(&from->bytes[count]);
        append_hex(&from->bytes[count++], at);
    }
}

static coffer_slice part(const vector *of, size_t field) {
    return coffer__buf_slice(&of->bytes[field]);
}

static const uint8_t *octets(const vector *of, size_t field) {
    return (const uint8_t *)of->bytes[field].data;
}

/* id key iv aad msg ct tag result */
static void check_gcm(vector *now) {
    enum { KEY = 1, IV, AAD, MSG, CT, TAG, RESULT };
    bool valid = strcmp(now->text[RESULT], "valid") == 0;
    uint8_t out[OUT_BYTES_MAX];
    coffer__gcm *gcm = coffer__gcm_new();
    coffer__buf sealed = COFFER__BUF_INIT;
    assert_true(coffer__buf_append_slice(&sealed, part(now, CT)) && coffer__buf_append_slice(&sealed, part(now, TAG)));
    assert_true(sealed.len <= sizeof out);
    coffer_status status = coffer__gcm_open(gcm, octets(now, KEY), octets(now, IV), part(now, AAD), coffer__buf_slice(&sealed), out);
    assert_status(status, valid ? COFFER_OK : COFFER_AUTH_FAILED);
    if (valid) {
        assert_true(coffer_slice_equal(coffer_slice_of(out, part(now, MSG).len), part(now, MSG)));
    }
    status = coffer__gcm_seal(gcm, octets(now, KEY), octets(now, IV), part(now, AAD), part(now, MSG), out);
    assert_status(status, COFFER_OK);
    assert_int_equal(coffer_slice_equal(coffer_slice_of(out, part(now, MSG).len + 16), coffer__buf_slice(&sealed)), valid);
    coffer__buf_free(&sealed);
    coffer__gcm_free(gcm);
}

/* id ikm salt info size okm result */
static void check_hkdf(vector *now) {
    enum { IKM = 1, SALT, INFO, SIZE, OKM, RESULT };
    bool valid = strcmp(now->text[RESULT], "valid") == 0;
    size_t size = strtoul(now->text[SIZE], NULL, 10);
    uint8_t *out = (uint8_t *)calloc(1, size + 1);
    assert_status(coffer__hkdf_sha256(part(now, IKM), part(now, SALT), part(now, INFO), out, size), valid ? COFFER_OK : COFFER_ARG);
    if (valid) {
        assert_true(coffer_slice_equal(coffer_slice_of(out, size), part(now, OKM)));
    }
    free(out);
}

static void run(const char *command, void (*check)(vector *), size_t least) {
    vector *now = (vector *)calloc(1, sizeof *now);
    assert_non_null(now);
    size_t count = 0;
    FILE *lines = popen(command, "r");
    assert_non_null(lines);
    while (fgets(now->line, sizeof now->line, lines) != NULL) {
        split(now);
        check(now);
        count++;
    }
    int result = pclose(lines);
    for (size_t i = 0; i < FIELDS_MAX; i++) {
        coffer__buf_free(&now->bytes[i]);
    }
    free(now);
    if (count == 0) {
        print_message("skipped: no vectors in ../shared (or COFFER_SHARED), or no python3 or zstd to read them\n");
        skip();
    }
    assert_int_equal(result, 0);
    assert_true(count >= least);
}

static void test_aes_256_gcm(void **state) {
    (void)state;
    run("python3 tests/c/codec/wycheproof_lines.py aes_gcm", check_gcm, 66);
}

static void test_hkdf_sha256(void **state) {
    (void)state;
    run("python3 tests/c/codec/wycheproof_lines.py hkdf", check_hkdf, 86);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aes_256_gcm),
        cmocka_unit_test(test_hkdf_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
