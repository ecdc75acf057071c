/* A server for the target conn_feed_survives: it takes commands off a conn's output, and answers the oldest that is still open in one of some ways. */
#ifndef COFFER_TESTS_FUZZ_SCRIPTED_H
#define COFFER_TESTS_FUZZ_SCRIPTED_H

#include "fuzz.h"

enum { MOST_WORDS = 1024, MOST_KEYS = 16, MOST_ASKED = 64, WORD_CAP = 48 };

/* A command that the server has got whole. */
typedef struct asked {
    char verb[WORD_CAP];
    char keys[MOST_KEYS][WORD_CAP]; /* the first of them */
    size_t key_count;
} asked;

typedef enum menu {
    ANSWER_RIGHT,
    ANSWER_NIL,
    ANSWER_NIL_ARRAY,
    ANSWER_STORED, /* the last value that a SET brought */
    ANSWER_OTHER /* and what follows: of `others` */
} menu;

static const char *const others[] = {
    "-ERR no\r\n",
    "-NOSCRIPT No matching script\r\n",
    "-MOVED 1 h:1\r\n",
    "-LOADING later\r\n",
    ":7\r\n",
    "*0\r\n",
    "*2\r\n$-1\r\n$-1\r\n",
    "+OK\r\n",
    "-ERR unknown command\r\n",
    "-NOPERM no\r\n",
    "$0\r\n\r\n",
    "-\r\n",
    "+\r\n",
    "*1\r\n*1\r\n:1\r\n",
    "-NOAUTH who\r\n",
    "$3\r\n-12\r\n",
    "-READONLY x\r\n",
    "$1\r\n\xC5\r\n",
    "-ERR value is not an integer\r\n",
};
enum { MENU_SIZE = ANSWER_OTHER + sizeof others / sizeof others[0] };

typedef struct scripted {
    notes received, answers, stored;
    asked asked[MOST_ASKED];
    size_t first, count; /* of `asked`, a ring */
} scripted;

static inline void scripted_clear(scripted *s) {
    notes_free(&s->received);
    notes_free(&s->answers);
    notes_free(&s->stored);
    s->first = s->count = 0;
}

static inline void note_bulk(notes *to, const char *bytes, size_t len) {
    char header[32];
    snprintf(header, sizeof header, "$%zu\r\n", len);
    note_text(to, header);
    note(to, bytes, len);
    note_text(to, "\r\n");
}

static inline void value_of(const char *key, char out[WORD_CAP * 2]) {
    snprintf(out, WORD_CAP * 2, "value of %s, %.*s", key, (int)(strlen(key) % 7), ".......");
}

/* `*2\r\n$3\r\nGET\r\n...`, as long as it is whole. 0: it is not. */
static inline size_t parse_words(const notes *received, coffer_slice words[MOST_WORDS], size_t *word_count) {
    const char *at = received->data, *end = received->data + received->len;
    size_t values[MOST_WORDS + 1];
    *word_count = 0;
    for (size_t i = 0; i == 0 || i <= values[0]; i++) {
        const char *lf = at == NULL ? NULL : (const char *)memchr(at, '\n', (size_t)(end - at));
        if (lf == NULL) {
            return 0;
        }
        MUST(*at == (i == 0 ? '*' : '$'));
        values[i] = strtoul(at + 1, NULL, 10);
        at = lf + 1;
        if (i == 0) {
            MUST(values[0] > 0 && values[0] <= MOST_WORDS);
            continue;
        }
        if ((size_t)(end - at) < values[i] + 2) {
            return 0;
        }
        words[(*word_count)++] = coffer_slice_of(at, values[i]);
        at += values[i] + 2;
    }
    return (size_t)(at - received->data);
}

static inline void keep_word(char out[WORD_CAP], coffer_slice word) {
    size_t len = word.len < WORD_CAP ? word.len : WORD_CAP - 1;
    memcpy(out, word.data, len);
    out[len] = '\0';
}

/* Which words are keys: behind the script and its count, or all, or the first. */
static inline void take_command(scripted *s, const coffer_slice *words, size_t count) {
    asked *one = &s->asked[(s->first + s->count++) % MOST_ASKED];
    keep_word(one->verb, words[0]);
    bool script = strncmp(one->verb, "EVAL", 4) == 0;
    bool many = strcmp(one->verb, "MGET") == 0 || strcmp(one->verb, "UNLINK") == 0;
    size_t first = script ? 3 : 1, behind = many ? count : first + 1;
    one->key_count = 0;
    for (size_t i = first; i < behind && i < count && one->key_count < MOST_KEYS; i++) {
        keep_word(one->keys[one->key_count++], words[i]);
    }
    if (strcmp(one->verb, "SET") == 0 && count > 2) {
        s->stored.len = 0;
        note(&s->stored, words[2].data, words[2].len);
    }
}

static inline void scripted_receive(scripted *s, coffer_slice bytes) {
    coffer_slice words[MOST_WORDS];
    size_t count, taken;
    note(&s->received, bytes.data, bytes.len);
    while (s->count < MOST_ASKED && (taken = parse_words(&s->received, words, &count)) > 0) {
        take_command(s, words, count);
        notes_drop(&s->received, taken);
    }
}

static inline void answer_rightly(scripted *s, const asked *one) {
    static const struct {
        const char *verb, *answer;
    } rows[] = {{"TIME", "*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"},
                {"PING", "+PONG\r\n"},
                {"UNLINK", ":1\r\n"},
                {"PTTL", ":1000\r\n"},
                {"PEXPIRE", ":1\r\n"},
                {"PERSIST", ":1\r\n"},
                {"EVALSHA", ":1\r\n"},
                {"EVAL", "$1\r\n5\r\n"}};
    char text[WORD_CAP * 2];
    bool many = strcmp(one->verb, "MGET") == 0;
    if (many) {
        snprintf(text, sizeof text, "*%zu\r\n", one->key_count);
        note_text(&s->answers, text);
    }
    for (size_t i = 0; i < one->key_count && (many || strcmp(one->verb, "GET") == 0); i++) {
        value_of(one->keys[i], text);
        note_bulk(&s->answers, text, strlen(text));
        if (!many) {
            return;
        }
    }
    if (many) {
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].verb, one->verb) == 0) {
            note_text(&s->answers, rows[i].answer);
            return;
        }
    }
    note_text(&s->answers, "+OK\r\n");
}

/* Answers the oldest command. NULL: there is none. What was asked stays as it is until the next command comes. */
static inline const asked *scripted_answer(scripted *s, unsigned how) {
    scripted_receive(s, coffer_slice_of(NULL, 0)); /* for which there was no room */
    if (s->count == 0) {
        return NULL;
    }
    const asked *one = &s->asked[s->first];
    s->first = (s->first + 1) % MOST_ASKED;
    s->count--;
    if (how == ANSWER_RIGHT) {
        answer_rightly(s, one);
    } else if (how == ANSWER_STORED) {
        note_bulk(&s->answers, s->stored.data, s->stored.len);
    } else {
        note_text(&s->answers, how == ANSWER_NIL ? "$-1\r\n" : how == ANSWER_NIL_ARRAY ? "*-1\r\n" : others[how - ANSWER_OTHER]);
    }
    return one;
}

#endif
