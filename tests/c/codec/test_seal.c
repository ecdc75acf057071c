#include "codec/codec_support.h"

#include "codec/seal_check.h"

#include <openssl/evp.h>
#include <pthread.h>

static void test_c2sp_vectors(void **state) {
    (void)state;
    assert_status(coffer__seal_check(coffer__known_answers, COFFER__KNOWN_ANSWER_COUNT), COFFER_OK);
    uint8_t key[32];
    uint8_t message_key[32];
    uint8_t sealed[28];
    const uint8_t *nonce = (const uint8_t *)"ABCDEFGHIJKLMNOPQRSTUVWX";
    memset(key, 3, sizeof key);
    coffer__xaes *xaes;
    assert_status(coffer__xaes_new(&xaes, key), COFFER_OK);
    assert_status(coffer__xaes_derive(xaes, nonce, message_key), COFFER_OK);
    assert_hex(message_key, 32, "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8");
    assert_status(coffer__xaes_seal(xaes, nonce, COFFER_SLICE("c2sp.org/XAES-256-GCM"), COFFER_SLICE("XAES-256-GCM"), sealed), COFFER_OK);
    assert_hex(sealed, 28, "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
    coffer__xaes_free(xaes);
}

enum { ROUNDS = 10000, ROUND_BYTES_MAX = 32 + 24 + 1 + 255 + 1 + 255 };

static coffer_slice take_counted(const uint8_t **at) {
    coffer_slice taken = coffer_slice_of(*at + 1, **at);
    *at += 1 + taken.len;
    return taken;
}

/* One round of C2SP's accumulated test: seal what the stream gives, open it again, sum the ciphertext. */
static void round_of(const uint8_t **at, EVP_MD_CTX *sum) {
    const uint8_t *key = *at;
    const uint8_t *nonce = *at + 32;
    *at += 32 + 24;
    coffer_slice text = take_counted(at);
    coffer_slice aad = take_counted(at);
    uint8_t sealed[255 + 16];
    coffer__xaes *xaes;
    assert_status(coffer__xaes_new(&xaes, key), COFFER_OK);
    assert_status(coffer__xaes_seal(xaes, nonce, aad, text, sealed), COFFER_OK);
    assert_int_equal(EVP_DigestUpdate(sum, sealed, text.len + 16), 1);
    assert_status(coffer__xaes_open(xaes, nonce, aad, coffer_slice_of(sealed, text.len + 16), sealed), COFFER_OK);
    assert_true(coffer_slice_equal(coffer_slice_of(sealed, text.len), text));
    coffer__xaes_free(xaes);
}

static void test_c2sp_accumulated_10000_rounds(void **state) {
    (void)state;
    size_t stream_bytes = (size_t)ROUNDS * ROUND_BYTES_MAX;
    uint8_t *stream = (uint8_t *)malloc(stream_bytes);
    assert_non_null(stream);
    EVP_MD_CTX *shake = EVP_MD_CTX_new();
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestInit_ex(shake, EVP_shake128(), NULL), 1);
    assert_int_equal(EVP_DigestFinalXOF(shake, stream, stream_bytes), 1);
    assert_int_equal(EVP_DigestInit_ex(sum, EVP_shake128(), NULL), 1);
    const uint8_t *at = stream;
    for (int i = 0; i < ROUNDS; i++) {
        round_of(&at, sum);
    }
    uint8_t digest[32];
    assert_int_equal(EVP_DigestFinalXOF(sum, digest, sizeof digest), 1);
    assert_hex(digest, 32, "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939");
    EVP_MD_CTX_free(shake);
    EVP_MD_CTX_free(sum);
    free(stream);
}

static void test_a_refused_text_leaves_nothing_behind(void **state) {
    (void)state;
    static const uint8_t key[32] = {1};
    static const uint8_t nonce[24] = {2};
    coffer__xaes *xaes;
    uint8_t sealed[64 + 16];
    uint8_t opened[64];
    char text[64];
    memset(text, 'x', sizeof text);
    assert_status(coffer__xaes_new(&xaes, key), COFFER_OK);
    assert_status(coffer__xaes_seal(xaes, nonce, COFFER_SLICE("a"), coffer_slice_of(text, sizeof text), sealed), COFFER_OK);
    assert_status(coffer__xaes_open(xaes, nonce, COFFER_SLICE("b"), coffer_slice_of(sealed, sizeof sealed), opened), COFFER_AUTH_FAILED);
    for (size_t i = 0; i < sizeof opened; i++) {
        assert_int_equal(opened[i], 0);
    }
    assert_status(coffer__xaes_open(xaes, nonce, COFFER_SLICE("a"), coffer_slice_of(sealed, 15), opened), COFFER_AUTH_FAILED);
    assert_status(coffer__xaes_open(xaes, nonce, COFFER_SLICE("a"), coffer_slice_of(sealed, sizeof sealed), opened), COFFER_OK);
    assert_memory_equal(opened, text, sizeof text);
    coffer__xaes_free(xaes);
    coffer__xaes_free(NULL);
}

static void test_an_unfit_library_neither_seals_nor_opens(void **state) {
    (void)state;
    coffer__known_answer wrong[COFFER__KNOWN_ANSWER_COUNT];
    coffer__codec codec = sealed_codec();
    coffer__binding binding = users_42();
    coffer__entry entry = entry_with(COFFER_SLICE("secret"));
    coffer__buf good = COFFER__BUF_INIT;
    coffer__buf out = COFFER__BUF_INIT;
    write_entry(&codec, &entry, &good);
    for (size_t i = 0; i < 2 * COFFER__KNOWN_ANSWER_COUNT; i++) {
        memcpy(wrong, coffer__known_answers, sizeof wrong);
        (i % 2 == 0 ? wrong[i / 2].message_key : wrong[i / 2].sealed)[27] ^= 1;
        coffer__seal_expect(wrong);
        assert_status(coffer__envelope_write(&codec, &binding, &entry, &out), COFFER_SEAL_UNFIT);
        assert_int_equal(out.len, 0);
        assert_status(read_users_42(&codec, &good), COFFER_SEAL_UNFIT);
    }
    coffer__seal_expect(NULL);
    assert_status(read_users_42(&codec, &good), COFFER_OK);
    coffer__buf_free(&good);
    coffer__buf_free(&out);
    coffer__sealer_free(codec.sealer);
}

enum { THREADS = 20, MESSAGES_EACH = 200 }; /* more than contexts are kept */

static void *seal_and_open(void *shared) {
    coffer__sealer *sealer = (coffer__sealer *)shared;
    uint8_t text[100];
    uint8_t sealed[sizeof text + 16];
    uint8_t opened[sizeof text];
    uint8_t nonce[24] = {0};
    uintptr_t wrong = 0;
    for (uint8_t i = 0; i < MESSAGES_EACH; i++) {
        memset(text, i, sizeof text);
        nonce[i % 24]++;
        wrong |= coffer__sealer_seal(sealer, nonce, COFFER_SLICE("a"), coffer_slice_of(text, sizeof text), sealed) != COFFER_OK;
        wrong |= coffer__sealer_open(sealer, 7, nonce, COFFER_SLICE("a"), coffer_slice_of(sealed, sizeof sealed), opened) != COFFER_OK;
        wrong |= memcmp(text, opened, sizeof text) != 0;
    }
    return (void *)wrong;
}

static void test_threads_share_a_sealer(void **state) {
    (void)state;
    coffer__sealer *sealer = sealer_of(KEY_A, 7, COFFER__KEY_PRIMARY, "users");
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, seal_and_open, sealer), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    coffer__sealer_free(sealer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c2sp_vectors),
        cmocka_unit_test(test_c2sp_accumulated_10000_rounds),
        cmocka_unit_test(test_a_refused_text_leaves_nothing_behind),
        cmocka_unit_test(test_an_unfit_library_neither_seals_nor_opens),
        cmocka_unit_test(test_threads_share_a_sealer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
