/* The first word of a server's error, and what it means. */
#include "call.h"

typedef struct word {
    const char *text;
    coffer_status status;
} word;

static const word words[] = {
    {"NOAUTH", COFFER_AUTH},     {"WRONGPASS", COFFER_AUTH},      {"NOPERM", COFFER_NOPERM},           {"READONLY", COFFER_READONLY},
    {"LOADING", COFFER_LOADING}, {"BUSY", COFFER_BUSY},           {"MASTERDOWN", COFFER_MASTERDOWN},   {"MOVED", COFFER_MOVED},
    {"ASK", COFFER_ASK},         {"TRYAGAIN", COFFER_TRYAGAIN},   {"CLUSTERDOWN", COFFER_CLUSTERDOWN}, {"CROSSSLOT", COFFER_CROSSSLOT},
    {"OOM", COFFER_OOM},         {"WRONGTYPE", COFFER_WRONGTYPE}, {"NOSCRIPT", COFFER_NOSCRIPT},       {"NOREPLICAS", COFFER_NOREPLICAS},
};

/* The same word with different texts: what INCRBY says of a value that cannot be counted. */
static const word phrases[] = {
    {"not an integer", COFFER_NOT_INTEGER},     {"would overflow", COFFER_NOT_INTEGER},           {"invalid password", COFFER_AUTH},
    {"invalid username-password", COFFER_AUTH}, {"without any password configured", COFFER_AUTH},
};

/* Where `part` begins in `text`; text.len where it does not. */
static size_t index_of(coffer_slice text, coffer_slice part) {
    for (size_t i = 0; i + part.len <= text.len; i++) {
        if (memcmp(text.data + i, part.data, part.len) == 0) {
            return i;
        }
    }
    return text.len;
}

static bool holds(coffer_slice text, coffer_slice part) {
    return index_of(text, part) < text.len;
}

coffer_slice coffer__words_kept(coffer_slice error_text, const coffer_slice *arguments, size_t count) {
    enum { TELLING_BYTES = 4, COMPARED_BYTES = 16 }; /* a server may repeat the beginning only */
    coffer_slice kept = coffer_slice_of(error_text.data, error_text.len < COFFER__WORDS_KEPT ? error_text.len : COFFER__WORDS_KEPT);
    kept.len = index_of(kept, COFFER_SLICE(", with args beginning with"));
    for (size_t i = 0; i < count; i++) {
        size_t len = arguments[i].len < COMPARED_BYTES ? arguments[i].len : COMPARED_BYTES;
        kept.len = len < TELLING_BYTES ? kept.len : index_of(kept, coffer_slice_of(arguments[i].data, len));
    }
    return kept;
}

bool coffer__words_tell(coffer_slice error_text, coffer_slice secret) {
    return secret.len > 0 && holds(error_text, secret);
}

coffer_status coffer__word_status(coffer_slice error_text) {
    const char *blank = error_text.len == 0 ? NULL : (const char *)memchr(error_text.data, ' ', error_text.len);
    coffer_slice first = coffer_slice_of(error_text.data, blank == NULL ? error_text.len : (size_t)(blank - error_text.data));
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (coffer_slice_equal(first, coffer_slice_text(words[i].text))) {
            return words[i].status;
        }
    }
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (holds(error_text, coffer_slice_text(phrases[i].text))) {
            return phrases[i].status;
        }
    }
    return COFFER_SERVER;
}
