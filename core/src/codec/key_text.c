#include "codec/key_text.h"

#include "base/alloc.h"
#include "base/error.h"

#define HOW_TO_MAKE_ONE "a key is base64 of exactly 32 random bytes, as `openssl rand -base64 32` makes it"

enum {
    TEXT_LEN = 43, /* of 32 bytes, without the '=' */
    LONGEST_PERIOD = 16,
    NOT_A_DIGIT = 64
};

/* The alphabet's runs. */
static const struct {
    char first;
    char last;
    uint8_t value; /* of first */
} runs[] = {{'A', 'Z', 0}, {'a', 'z', 26}, {'0', '9', 52}, {'+', '+', 62}, {'/', '/', 63}};

static uint8_t digit_value(char digit) {
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        if (digit >= runs[i].first && digit <= runs[i].last) {
            return (uint8_t)(runs[i].value + (digit - runs[i].first));
        }
    }
    return NOT_A_DIGIT;
}

static bool is_space(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool any(coffer_slice text, bool (*is)(char)) {
    for (size_t i = 0; i < text.len; i++) {
        if (is(text.data[i])) {
            return true;
        }
    }
    return false;
}

static bool is_no_digit(char byte) {
    return digit_value(byte) == NOT_A_DIGIT;
}

/* 43 digits are 32 bytes and two bits, which are 0 in what an encoder makes. */
static bool decode(const char text[TEXT_LEN], uint8_t master[COFFER__MASTER_BYTES]) {
    uint32_t bits = 0;
    int held = 0;
    for (size_t i = 0, at = 0; i < TEXT_LEN; i++) {
        bits = (bits << 6 | digit_value(text[i])) & 0xFFFFu;
        held += 6;
        if (held >= 8) {
            held -= 8;
            master[at++] = (uint8_t)(bits >> held);
        }
    }
    bool rest_is_zero = (bits & 3u) == 0;
    coffer__wipe(&bits, sizeof bits);
    return rest_is_zero;
}

static bool repeats(const uint8_t master[COFFER__MASTER_BYTES], size_t period) {
    return memcmp(master, master + period, COFFER__MASTER_BYTES - period) == 0;
}

static const char *weakness(const uint8_t master[COFFER__MASTER_BYTES]) {
    static const uint8_t zeros[COFFER__MASTER_BYTES];
    if (memcmp(master, zeros, sizeof zeros) == 0) {
        return "all of its bytes are zero";
    }
    for (size_t period = 1; period <= LONGEST_PERIOD; period++) {
        if (repeats(master, period)) {
            return "its bytes repeat";
        }
    }
    return NULL;
}

static coffer_slice without_fill(coffer_slice text) {
    for (int i = 0; i < 2 && text.len > 0 && text.data[text.len - 1] == '='; i++) {
        text.len--;
    }
    return text;
}

static coffer_status refuse(coffer_error *error, const char *reason) {
    return coffer__error_set(error, COFFER_OPTION, "the key cannot be used: %s; " HOW_TO_MAKE_ONE, reason);
}

/* What is wrong with the text, before it is decoded; NULL: nothing. */
static coffer_status check_text(coffer_slice base64, coffer_error *error) {
    coffer_slice digits = without_fill(base64);
    if (any(base64, is_space)) {
        return refuse(error, "it has spaces or line ends in or around it");
    }
    if (digits.len == 0) {
        return refuse(error, "it is empty");
    }
    if (any(digits, is_no_digit)) {
        return refuse(error, "it is not base64 (a passphrase is not a key)");
    }
    if (digits.len != TEXT_LEN) {
        return coffer__error_set(error, COFFER_OPTION,
                                 "the key cannot be used: it holds %zu bytes, not 32 (a passphrase is not a key); " HOW_TO_MAKE_ONE,
                                 digits.len * 3 / 4);
    }
    return base64.len > TEXT_LEN + 1 ? refuse(error, "it ends with more than one '='") : COFFER_OK;
}

coffer_status coffer__key_parse(coffer_slice base64, uint8_t master[COFFER__MASTER_BYTES], coffer_error *error) {
    coffer_status status = check_text(base64, error);
    if (status != COFFER_OK) {
        coffer__wipe(master, COFFER__MASTER_BYTES);
        return status;
    }
    const char *wrong = decode(base64.data, master) ? weakness(master) : "its last character is not what an encoder makes";
    if (wrong != NULL) {
        coffer__wipe(master, COFFER__MASTER_BYTES);
        return refuse(error, wrong);
    }
    return COFFER_OK;
}
