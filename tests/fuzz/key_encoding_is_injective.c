/* From a key as it is on the server all that it was made of can be read back: prefix, namespace, version, whether it is a counter, and the caller's key.
 * So no two of those are ever the same key. And what a stricter rule accepts, the wider ones do. */
#include "fuzz.h"

#include "policy/key.h"
#include <coffer/options.h>

typedef struct parts {
    coffer_slice prefix, name, key;
    uint64_t version;
    bool counter;
} parts;

static coffer_slice take_until(coffer_slice *from, char end) {
    const char *found = (const char *)memchr(from->data, end, from->len);
    MUST(found != NULL);
    coffer_slice taken = coffer_slice_of(from->data, (size_t)(found - from->data));
    *from = coffer_slice_of(found + 1, from->len - taken.len - 1);
    return taken;
}

static int hex_value(char digit) {
    static const char digits[] = "0123456789ABCDEF";
    const char *found = digit == '\0' ? NULL : strchr(digits, digit);
    MUST(found != NULL);
    return (int)(found - digits);
}

static void must_spell(coffer_slice wire, coffer_slice key) {
    size_t at = 0;
    for (size_t i = 0; i < key.len; i++) {
        MUST(at < wire.len && strchr("{} \r\n#", wire.data[at]) == NULL);
        if (wire.data[at] != '%') {
            MUST(wire.data[at++] == key.data[i]);
            continue;
        }
        MUST(at + 2 < wire.len);
        MUST((hex_value(wire.data[at + 1]) << 4 | hex_value(wire.data[at + 2])) == (uint8_t)key.data[i]);
        at += 3;
    }
    MUST(at == wire.len);
}

/* Written here once more, and knowing only what docs/architecture.md says of the form. */
static void must_read_back(coffer_slice wire, const parts *made_of) {
    MUST(coffer_slice_equal(take_until(&wire, ':'), made_of->prefix));
    coffer_slice shape = take_until(&wire, ':');
    const char *at_sign = (const char *)memchr(shape.data, '@', shape.len);
    MUST((at_sign != NULL) == (made_of->version != 0));
    if (at_sign != NULL) {
        char number[24] = "";
        size_t name_len = (size_t)(at_sign - shape.data);
        MUST(shape.len - name_len - 1 < sizeof number);
        memcpy(number, at_sign + 1, shape.len - name_len - 1);
        MUST(strtoull(number, NULL, 10) == made_of->version);
        shape.len = name_len;
    }
    MUST(coffer_slice_equal(shape, made_of->name));
    bool counter = wire.len > 0 && wire.data[0] == '#';
    MUST(counter == made_of->counter);
    must_spell(coffer_slice_of(wire.data + counter, wire.len - counter), made_of->key);
}

static void must_widen(coffer_slice key) {
    static const int rules[] = {COFFER_KEYS_STRICT, COFFER_KEYS_DEFAULT, COFFER_KEYS_BYTES};
    bool accepted = false;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        coffer_error error = {0};
        coffer_status status = coffer__key_check(rules[i], key, &error);
        MUST(status == COFFER_OK || status == COFFER_KEY_INVALID);
        MUST(status == COFFER_OK || (!accepted && error.text[0] != '\0'));
        accepted = accepted || status == COFFER_OK;
    }
    MUST(accepted == (key.len > 0 && key.len <= 64 * 1024));
}

/* Checked and written at once is what it is one after the other. */
static void must_write(coffer_slice key, bool counter) {
    for (int rules = COFFER_KEYS_DEFAULT; rules <= COFFER_KEYS_BYTES; rules++) {
        coffer__buf once = COFFER__BUF_INIT, twice = COFFER__BUF_INIT;
        coffer_status status = coffer__key_check(rules, key, NULL);
        MUST(status != COFFER_OK || coffer__key_append(&twice, key, counter));
        MUST(coffer__key_write(&once, rules, key, counter, NULL) == status);
        MUST(coffer_slice_equal(coffer__buf_slice(&once), coffer__buf_slice(&twice)));
        coffer__buf_free(&once);
        coffer__buf_free(&twice);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    choices from = {data, size};
    uint8_t choice = next_byte(&from);
    parts made_of = {.counter = (choice & 1) != 0, .version = (choice & 2) != 0 ? next_pair(&from) * 65537ull * 65537ull * 65537ull : 0};
    made_of.prefix = next_slice(&from, choice >> 2 & 7);
    made_of.name = next_slice(&from, choice >> 5);
    made_of.prefix = coffer__name_ok(made_of.prefix) ? made_of.prefix : COFFER_SLICE("_");
    made_of.name = coffer__name_ok(made_of.name) ? made_of.name : COFFER_SLICE("a.b");
    char *key = alone(coffer_slice_of(from.at, from.left));
    made_of.key = coffer_slice_of(key, from.left);
    coffer__buf wire = COFFER__BUF_INIT;
    must_widen(made_of.key);
    must_write(made_of.key, made_of.counter);
    MUST(coffer__key_base(&wire, made_of.prefix, made_of.name, made_of.version));
    MUST(coffer__key_append(&wire, made_of.key, made_of.counter));
    must_read_back(coffer__buf_slice(&wire), &made_of);
    coffer__buf_free(&wire);
    free(key);
    return 0;
}
