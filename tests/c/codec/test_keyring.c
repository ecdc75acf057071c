#include "codec/codec_support.h"

static coffer__keyring *new_keyring(void) {
    coffer__keyring *keyring;
    assert_status(coffer__keyring_new(&keyring), COFFER_OK);
    return keyring;
}

typedef struct bad_key {
    const char *base64;
    const char *reason; /* in the error's text */
} bad_key;

/* No four characters in a row of a key are in the text that refuses it. */
static void assert_not_told(const char *text, const char *secret) {
    char part[5] = {0};
    for (size_t i = 0; i + 4 <= strlen(secret); i++) {
        memcpy(part, secret + i, 4);
        assert_null(strstr(text, part));
    }
}

static void test_bad_keys_are_refused_with_a_reason_and_no_key_bytes(void **state) {
    (void)state;
    static const bad_key keys[] = {
        {"", "empty"},
        {"=", "empty"},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "31 bytes"},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", "33 bytes"},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg", "31 bytes"},
        {" AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "spaces"},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "spaces"},
        {"AAECAwQFBgcICQoLDA0ODx REhMUFRYXGBkaGxwdHh8=", "spaces"},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==", "more than one '='"},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", "last character"},
        {"__79_Pv6-fj39vX08_Lx8O_u7ezr6uno5-bl5OPi4eA", "not base64"},
        {"correct-horse-battery-staple", "passphrase"},
        {"correcthorsebatterystaple", "passphrase"},
        {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "zero"},
        {"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "repeat"},
        {"AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8=", "repeat"},
        {"AQIDAQIDAQIDAQIDAQIDAQIDAQIDAQIDAQIDAQIDAQI=", "repeat"},
    };
    coffer__keyring *keyring = new_keyring();
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        coffer_error error = {0};
        assert_status(coffer__keyring_add(keyring, coffer_slice_text(keys[i].base64), 0, COFFER__KEY_PRIMARY, &error), COFFER_OPTION);
        assert_non_null(strstr(error.text, keys[i].reason));
        assert_non_null(strstr(error.text, "openssl rand -base64 32"));
        assert_not_told(error.text, keys[i].base64);
        assert_status(coffer__keyring_add(keyring, coffer_slice_text(keys[i].base64), 0, COFFER__KEY_PRIMARY, NULL), COFFER_OPTION);
    }
    assert_status(coffer__keyring_add(keyring, COFFER_SLICE("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"), 0, COFFER__KEY_PRIMARY, NULL), COFFER_OK);
    coffer__keyring_free(keyring);
    coffer__keyring_free(NULL);
}

static void test_ids_are_derived_or_given_and_never_twice(void **state) {
    (void)state;
    coffer__keyring *keyring = new_keyring();
    coffer__sealer *sealer;
    coffer_error error;
    assert_status(coffer__keyring_add(keyring, COFFER_SLICE(KEY_A), 0, COFFER__KEY_PRIMARY, &error), COFFER_OK);
    assert_status(coffer__keyring_add(keyring, COFFER_SLICE(KEY_A), 0, COFFER__KEY_OLD, &error), COFFER_OPTION);
    assert_non_null(strstr(error.text, "id"));
    assert_status(coffer__keyring_add(keyring, COFFER_SLICE(KEY_B), 9, COFFER__KEY_PRIMARY, &error), COFFER_OPTION);
    assert_non_null(strstr(error.text, "primary"));
    assert_status(coffer__keyring_add(keyring, COFFER_SLICE(KEY_B), 9, COFFER__KEY_OLD, &error), COFFER_OK);
    assert_status(coffer__sealer_new(&sealer, keyring, COFFER_SLICE("users"), NULL), COFFER_OK);
    assert_int_equal(coffer__sealer_primary_id(sealer), 0x239CB359);
    coffer__sealer_free(sealer);
    coffer__sealer_free(NULL);
    coffer__keyring_free(keyring);
}

/* A value sealed by KEY_A, id 7, read with KEY_A in a given state beside a primary KEY_B. */
static coffer_status read_with_state(coffer__key_state key_state, const coffer__buf *in) {
    coffer__keyring *keyring = new_keyring();
    coffer__codec codec = plain_codec();
    if (key_state != COFFER__KEY_PRIMARY) {
        assert_status(coffer__keyring_add(keyring, COFFER_SLICE(KEY_B), 9, COFFER__KEY_PRIMARY, NULL), COFFER_OK);
    }
    assert_status(coffer__keyring_add(keyring, COFFER_SLICE(KEY_A), 7, key_state, NULL), COFFER_OK);
    assert_status(coffer__sealer_new(&codec.sealer, keyring, COFFER_SLICE("users"), NULL), COFFER_OK);
    coffer__keyring_free(keyring);
    coffer_status status = read_users_42(&codec, in);
    coffer__sealer_free(codec.sealer);
    return status;
}

static void test_states_of_a_key(void **state) {
    (void)state;
    coffer__codec codec = sealed_codec();
    coffer__entry entry = entry_with(COFFER_SLICE("secret"));
    coffer__buf out = COFFER__BUF_INIT;
    write_entry(&codec, &entry, &out);
    assert_status(read_with_state(COFFER__KEY_NEXT, &out), COFFER_OK);
    assert_status(read_with_state(COFFER__KEY_PRIMARY, &out), COFFER_OK);
    assert_status(read_with_state(COFFER__KEY_OLD, &out), COFFER_OK);
    assert_status(read_with_state(COFFER__KEY_REVOKED, &out), COFFER_REVOKED_KEY);
    coffer__sealer_free(codec.sealer);
    coffer__buf_free(&out);
}

static void test_without_a_primary_nothing_is_written(void **state) {
    (void)state;
    static const coffer__key_state states[] = {COFFER__KEY_NEXT, COFFER__KEY_OLD, COFFER__KEY_REVOKED};
    coffer__binding binding = users_42();
    coffer__entry entry = entry_with(COFFER_SLICE("secret"));
    coffer__buf out = COFFER__BUF_INIT;
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        coffer__codec codec = plain_codec();
        codec.sealer = sealer_of(KEY_A, 7, states[i], "users");
        assert_int_equal(coffer__sealer_primary_id(codec.sealer), 0);
        assert_status(coffer__envelope_write(&codec, &binding, &entry, &out), COFFER_UNKNOWN_KEY);
        assert_int_equal(out.len, 0);
        coffer__sealer_free(codec.sealer);
    }
    coffer__buf_free(&out);
}

static void test_another_key_or_namespace_does_not_open(void **state) {
    (void)state;
    coffer__codec codec = sealed_codec();
    coffer__entry entry = entry_with(COFFER_SLICE("secret"));
    coffer__buf out = COFFER__BUF_INIT;
    write_entry(&codec, &entry, &out);
    coffer__codec other = plain_codec();
    assert_status(read_users_42(&other, &out), COFFER_UNKNOWN_KEY);
    other.sealer = sealer_of(KEY_A, 8, COFFER__KEY_PRIMARY, "users");
    assert_status(read_users_42(&other, &out), COFFER_UNKNOWN_KEY);
    coffer__sealer_free(other.sealer);
    other.sealer = sealer_of(KEY_B, 7, COFFER__KEY_PRIMARY, "users");
    assert_status(read_users_42(&other, &out), COFFER_AUTH_FAILED);
    coffer__sealer_free(other.sealer);
    other.sealer = sealer_of(KEY_A, 7, COFFER__KEY_PRIMARY, "orders"); /* the same AAD, another derived key */
    assert_status(read_users_42(&other, &out), COFFER_AUTH_FAILED);
    coffer__sealer_free(other.sealer);
    coffer__sealer_free(codec.sealer);
    coffer__buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_keys_are_refused_with_a_reason_and_no_key_bytes),
        cmocka_unit_test(test_ids_are_derived_or_given_and_never_twice),
        cmocka_unit_test(test_states_of_a_key),
        cmocka_unit_test(test_without_a_primary_nothing_is_written),
        cmocka_unit_test(test_another_key_or_namespace_does_not_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
