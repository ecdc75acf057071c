/* What went wrong: the first word of a server's error, what it means, and what cures it. */
#include "call.h"

enum { ONCE = 1, UNTIL_THE_DEADLINE = COFFER__TRIES_UNTIL_THE_DEADLINE };

#define NOTHING                                                                                                                                      \
    { COFFER__CURE_NONE, 0, false, false }
#define FOLLOW(doubt)                                                                                                                                \
    { COFFER__CURE_FOLLOW, 0, false, doubt }
#define HERE                                                                                                                                         \
    { COFFER__CURE_HERE, UNTIL_THE_DEADLINE, false, false }
#define ANEW(most, at_once, doubt)                                                                                                                   \
    { COFFER__CURE_ANEW, most, at_once, doubt }

/* Every failure that asks for something: the word of the server's error (NULL: the way there failed), what it means, what cures it where there is one
 * server and where there are many. A status that is not here is the answer. What may have been applied has MAYBE_APPLIED, and is not here; so a command
 * of any kind may be sent again for those that are. */
typedef struct word {
    const char *text;
    coffer_status status;
    coffer__remedy alone, routed;
} word;

/* clang-format off */
static const word words[] = {
    {"MOVED",       COFFER_MOVED,       NOTHING, FOLLOW(true)},
    {"ASK",         COFFER_ASK,         NOTHING, FOLLOW(false)},
    {"TRYAGAIN",    COFFER_TRYAGAIN,    NOTHING, HERE}, /* a wait, not a redirect */
    {"CLUSTERDOWN", COFFER_CLUSTERDOWN, NOTHING, ANEW(UNTIL_THE_DEADLINE, false, true)},
    {"READONLY",    COFFER_READONLY,    NOTHING, ANEW(UNTIL_THE_DEADLINE, false, true)}, /* it was our primary a moment ago */
    {"MASTERDOWN",  COFFER_MASTERDOWN,  NOTHING, ANEW(UNTIL_THE_DEADLINE, false, true)},
    {"LOADING",     COFFER_LOADING,     NOTHING, ANEW(UNTIL_THE_DEADLINE, false, true)}, /* for minutes, maybe: see BREAKER_OPEN */
    {"BUSY",        COFFER_BUSY,        NOTHING, NOTHING}, /* the same */
    {"NOAUTH",      COFFER_AUTH,        NOTHING, NOTHING},
    {"WRONGPASS",   COFFER_AUTH,        NOTHING, NOTHING},
    {"NOPERM",      COFFER_NOPERM,      NOTHING, NOTHING},
    {"CROSSSLOT",   COFFER_CROSSSLOT,   NOTHING, NOTHING},
    {"OOM",         COFFER_OOM,         NOTHING, NOTHING},
    {"WRONGTYPE",   COFFER_WRONGTYPE,   NOTHING, NOTHING},
    {"NOSCRIPT",    COFFER_NOSCRIPT,    NOTHING, NOTHING}, /* the call has sent its text by then */
    {"NOREPLICAS",  COFFER_NOREPLICAS,  NOTHING, NOTHING},
    {NULL,          COFFER_CLOSED,      ANEW(ONCE, true, false), ANEW(UNTIL_THE_DEADLINE, true, false)},
    {NULL,          COFFER_IO,          ANEW(ONCE, true, false), ANEW(UNTIL_THE_DEADLINE, true, false)},
    {NULL,          COFFER_NOT_SENT,    ANEW(ONCE, true, false), ANEW(UNTIL_THE_DEADLINE, true, false)},
    {NULL,          COFFER_BREAKER_OPEN, NOTHING, ANEW(UNTIL_THE_DEADLINE, false, true)}, /* who has no answer without it: outage.c */
    {NULL,          COFFER_CONNECT,     NOTHING, ANEW(UNTIL_THE_DEADLINE, false, true)},
    {NULL,          COFFER_DNS,         NOTHING, ANEW(UNTIL_THE_DEADLINE, false, true)},
};
/* clang-format on */
enum { WORDS = sizeof words / sizeof words[0] };

/* The same word with different texts: what INCRBY says of a value that cannot be counted. */
static const struct {
    const char *text;
    coffer_status status;
} phrases[] = {
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
    for (size_t i = 0; i < WORDS && words[i].text != NULL; i++) {
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

coffer__remedy coffer__remedy_for(coffer_status status, bool routed) {
    for (size_t i = 0; i < WORDS; i++) {
        if (words[i].status == status) {
            return routed ? words[i].routed : words[i].alone;
        }
    }
    return (coffer__remedy)NOTHING;
}
