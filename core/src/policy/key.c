#include "key.h"

#include "base/error.h"

#include <coffer/options.h>
#include <stdio.h>

enum { NAME_BYTES_MAX = 64, KEY_BYTES_MAX = 250 };

/* What a byte may be part of, as bits. */
enum { IN_NAME = 1, IN_STRICT = 2, PLAIN = 4, ALNUM = IN_NAME | IN_STRICT | PLAIN };

/* clang-format off */
#define DIGITS(bits)  ['0'] = bits, ['1'] = bits, ['2'] = bits, ['3'] = bits, ['4'] = bits, ['5'] = bits, ['6'] = bits, ['7'] = bits, \
                      ['8'] = bits, ['9'] = bits
#define LETTERS(bits) ['A'] = bits, ['B'] = bits, ['C'] = bits, ['D'] = bits, ['E'] = bits, ['F'] = bits, ['G'] = bits, ['H'] = bits, \
                      ['I'] = bits, ['J'] = bits, ['K'] = bits, ['L'] = bits, ['M'] = bits, ['N'] = bits, ['O'] = bits, ['P'] = bits, \
                      ['Q'] = bits, ['R'] = bits, ['S'] = bits, ['T'] = bits, ['U'] = bits, ['V'] = bits, ['W'] = bits, ['X'] = bits, \
                      ['Y'] = bits, ['Z'] = bits, ['a'] = bits, ['b'] = bits, ['c'] = bits, ['d'] = bits, ['e'] = bits, ['f'] = bits, \
                      ['g'] = bits, ['h'] = bits, ['i'] = bits, ['j'] = bits, ['k'] = bits, ['l'] = bits, ['m'] = bits, ['n'] = bits, \
                      ['o'] = bits, ['p'] = bits, ['q'] = bits, ['r'] = bits, ['s'] = bits, ['t'] = bits, ['u'] = bits, ['v'] = bits, \
                      ['w'] = bits, ['x'] = bits, ['y'] = bits, ['z'] = bits
/* clang-format on */

static const uint8_t classes[256] = {
    DIGITS(ALNUM), LETTERS(ALNUM), ['_'] = ALNUM, ['-'] = ALNUM, ['.'] = IN_NAME | PLAIN, [':'] = IN_STRICT | PLAIN,
    ['@'] = PLAIN, ['/'] = PLAIN,  ['+'] = PLAIN, ['='] = PLAIN, [','] = PLAIN,
};

/* Where the first byte is that is not of the class; the length where there is none. */
static size_t first_other(coffer_slice text, uint8_t class_bit) {
    size_t at = 0;
    while (at < text.len && (classes[(uint8_t)text.data[at]] & class_bit) != 0) {
        at++;
    }
    return at;
}

bool coffer__name_ok(coffer_slice name) {
    return name.len >= 1 && name.len <= NAME_BYTES_MAX && first_other(name, IN_NAME) == name.len;
}

/* A key may hold what logs should not: the rule and the place are told, not the key. */
static coffer_status refuse(coffer_slice key, const char *rule, coffer_error *error) {
    return coffer__error_set(error, COFFER_KEY_INVALID, "a key of %zu bytes is refused: %s", key.len, rule);
}

static coffer_status refuse_at(coffer_slice key, size_t at, const char *rule, coffer_error *error) {
    return coffer__error_set(error, COFFER_KEY_INVALID, "a key of %zu bytes is refused at byte %zu (0x%02X): %s", key.len, at + 1,
                             (unsigned)(uint8_t)key.data[at], rule);
}

/* The forms of UTF-8 (RFC 3629): by the first byte, how many follow, and between which bounds the code point is. */
typedef struct utf8_form {
    uint8_t mask, lead;
    size_t followers;
    uint32_t least;
} utf8_form;

static const utf8_form forms[] = {{0x80, 0x00, 0, 0}, {0xE0, 0xC0, 1, 0x80}, {0xF0, 0xE0, 2, 0x800}, {0xF8, 0xF0, 3, 0x10000}};
static const uint32_t not_utf8 = UINT32_MAX;

/* The code point at `*at`, which moves behind it, or not_utf8. */
static uint32_t next_code_point(coffer_slice text, size_t *at) {
    uint8_t lead = (uint8_t)text.data[*at];
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const utf8_form *form = &forms[i];
        if ((lead & form->mask) != form->lead) {
            continue;
        }
        if (text.len - *at <= form->followers) {
            return not_utf8;
        }
        uint32_t code = lead & (uint8_t)~form->mask;
        for (size_t follower = 1; follower <= form->followers; follower++) {
            uint8_t byte = (uint8_t)text.data[*at + follower];
            if ((byte & 0xC0) != 0x80) {
                return not_utf8;
            }
            code = code << 6 | (byte & 0x3Fu);
        }
        *at += form->followers + 1;
        bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
        return code < form->least || code > 0x10FFFF || is_surrogate ? not_utf8 : code;
    }
    return not_utf8;
}

static coffer_status check_default(coffer_slice key, coffer_error *error) {
    if (key.len < 1 || key.len > KEY_BYTES_MAX) {
        return refuse(key, "a key has 1 to 250 bytes", error);
    }
    for (size_t at = 0; at < key.len;) {
        uint8_t byte = (uint8_t)key.data[at];
        if (byte >= 0x20 && byte < 0x7F) { /* most keys are nothing else */
            at++;
            continue;
        }
        size_t begin = at;
        uint32_t code = next_code_point(key, &at);
        if (code == not_utf8) {
            return refuse_at(key, begin, "a key is valid UTF-8 (key_rules 'bytes' takes any bytes)", error);
        }
        if (code < 0x20 || (code >= 0x7F && code <= 0x9F)) {
            return refuse_at(key, begin, "a key holds no control characters (key_rules 'bytes' takes any bytes)", error);
        }
    }
    return COFFER_OK;
}

static coffer_status check_strict(coffer_slice key, coffer_error *error) {
    if (key.len < 1 || key.len > KEY_BYTES_MAX) {
        return refuse(key, "a key has 1 to 250 bytes", error);
    }
    size_t other = first_other(key, IN_STRICT);
    if (other < key.len) {
        return refuse_at(key, other, "with key_rules 'strict' a key is made of A-Z a-z 0-9 ':' '_' '-'", error);
    }
    if (key.data[0] == ':' || key.data[key.len - 1] == ':') {
        return refuse(key, "with key_rules 'strict' a key neither begins nor ends with ':'", error);
    }
    return COFFER_OK;
}

static coffer_status check_bytes(coffer_slice key, coffer_error *error) {
    if (key.len < 1 || key.len > COFFER__KEY_BYTES_MAX) {
        return refuse(key, "with key_rules 'bytes' a key has 1 to 65536 bytes", error);
    }
    return COFFER_OK;
}

coffer_status coffer__key_check(int key_rules, coffer_slice key, coffer_error *error) {
    static coffer_status (*const checks[])(coffer_slice, coffer_error *) = {
        [COFFER_KEYS_DEFAULT] = check_default,
        [COFFER_KEYS_STRICT] = check_strict,
        [COFFER_KEYS_BYTES] = check_bytes,
    };
    if (key_rules < 0 || (size_t)key_rules >= sizeof checks / sizeof checks[0]) {
        return coffer__error_set(error, COFFER_INTERNAL, "%d is no set of key rules", key_rules);
    }
    return checks[key_rules](key, error);
}

bool coffer__key_base(coffer__buf *out, coffer_slice prefix, coffer_slice name, uint64_t version) {
    char shape[24] = "";
    if (version > 0) {
        (void)snprintf(shape, sizeof shape, "@%llu", (unsigned long long)version);
    }
    coffer_slice shape_slice = coffer_slice_text(shape);
    if (!coffer__buf_reserve(out, prefix.len + name.len + shape_slice.len + 2)) {
        return false;
    }
    return coffer__buf_append_slice(out, prefix) && coffer__buf_append(out, ":", 1) && coffer__buf_append_slice(out, name) &&
           coffer__buf_append_slice(out, shape_slice) && coffer__buf_append(out, ":", 1);
}

bool coffer__key_pattern(coffer__buf *out, coffer_slice base) {
    static const char meaningful[] = {'*', '?', '[', ']', '\\'};
    bool room = coffer__buf_reserve(out, 2 * base.len + 1);
    for (size_t i = 0; room && i < base.len; i++) {
        bool escaped = memchr(meaningful, base.data[i], sizeof meaningful) != NULL;
        room = (!escaped || coffer__buf_append(out, "\\", 1)) && coffer__buf_append(out, &base.data[i], 1);
    }
    return room && coffer__buf_append(out, "*", 1);
}

/* The same bytes into `to`, up to the first that is not PLAIN; how many they were. */
static size_t copy_plain(char *to, coffer_slice key) {
    size_t at = 0;
    for (; at < key.len && (classes[(uint8_t)key.data[at]] & PLAIN) != 0; at++) {
        to[at] = key.data[at];
    }
    return at;
}

static size_t count_escaped(coffer_slice key) {
    size_t escaped = 0;
    for (size_t i = 0; i < key.len; i++) {
        escaped += (classes[(uint8_t)key.data[i]] & PLAIN) == 0;
    }
    return escaped;
}

/* There is room already. */
static void append_escaped(coffer__buf *out, coffer_slice key) {
    static const char hex[] = "0123456789ABCDEF";
    char *to = out->data + out->len;
    for (size_t i = 0; i < key.len; i++) {
        uint8_t byte = (uint8_t)key.data[i];
        if ((classes[byte] & PLAIN) != 0) {
            *to++ = (char)byte;
        } else {
            *to++ = '%';
            *to++ = hex[byte >> 4];
            *to++ = hex[byte & 15];
        }
    }
    out->len = (size_t)(to - out->data);
}

bool coffer__key_append(coffer__buf *out, coffer_slice key, bool counter) {
    size_t escaped = count_escaped(key);
    if (!coffer__buf_reserve(out, key.len + 2 * escaped + (counter ? 1 : 0))) {
        return false;
    }
    if (counter) {
        out->data[out->len++] = '#';
    }
    append_escaped(out, key);
    return true;
}

/* A key of PLAIN bytes alone, as most are, needs no more than that by all rules but the strict ones: one look at each byte. */
coffer_status coffer__key_write(coffer__buf *out, int key_rules, coffer_slice key, bool counter, coffer_error *error) {
    if (!counter && key_rules != COFFER_KEYS_STRICT && key.len - 1 < KEY_BYTES_MAX) {
        if (!coffer__buf_reserve(out, key.len)) {
            return COFFER_NO_MEMORY;
        }
        if (copy_plain(out->data + out->len, key) == key.len) {
            out->len += key.len;
            return COFFER_OK;
        }
    }
    coffer_status status = coffer__key_check(key_rules, key, error);
    return status == COFFER_OK && !coffer__key_append(out, key, counter) ? COFFER_NO_MEMORY : status;
}
