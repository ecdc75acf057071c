#include "transcript_words.h"

#include "cmocka_all.h"
#include "scripts_embedded.h"

#include <stdlib.h>
#include <string.h>

static char escaped(const char **at) {
    switch (*++*at) {
    case 'r':
        return '\r';
    case 'n':
        return '\n';
    case 'x': {
        char hex[3] = {(*at)[1], (*at)[2], 0};
        *at += 2;
        return (char)strtol(hex, NULL, 16);
    }
    default:
        return **at;
    }
}

static const char *take_word(word *w, const char *at) {
    bool inside = false;
    w->len = 0;
    w->quoted = *at == '"';
    for (; *at != '\0' && (inside || *at != ' '); at++) {
        if (*at == '"') {
            inside = !inside;
        } else if (w->len < sizeof w->text - 1) {
            w->text[w->len++] = inside && *at == '\\' ? escaped(&at) : *at;
        }
    }
    w->text[w->len] = '\0';
    return at;
}

bool words_split(word words[MOST_WORDS], size_t *count, const char *line) {
    const char *at = line + strspn(line, " ");
    for (*count = 0; *at != '\0'; at += strspn(at, " ")) {
        if (*count == MOST_WORDS) {
            return false;
        }
        at = take_word(&words[(*count)++], at);
    }
    return true;
}

const word *words_option(const word *words, size_t count, const char *name) {
    static word found;
    size_t len = strlen(name);
    for (size_t i = 1; i < count; i++) {
        const word *w = &words[i];
        if (w->len > len && memcmp(w->text, name, len) == 0 && w->text[len] == '=') {
            found.len = w->len - len - 1;
            memcpy(found.text, w->text + len + 1, found.len);
            found.text[found.len] = '\0';
            return &found;
        }
    }
    return NULL;
}

const char *words_script_part(const char *name, bool sha) {
#define PART(script, script_sha, script_text)                                                                                                        \
    if (strcmp(name, #script) == 0) {                                                                                                                \
        return sha ? (script_sha) : (script_text);                                                                                                   \
    }
    COFFER__SCRIPT_MAP(PART)
#undef PART
    return "?";
}

void words_append_text(coffer__buf *out, const char *text) {
    assert_true(coffer__buf_append(out, text, strlen(text)));
}

void words_append_bulk(coffer__buf *out, coffer_slice bytes) {
    char header[32];
    snprintf(header, sizeof header, "$%zu\r\n", bytes.len);
    words_append_text(out, header);
    assert_true(coffer__buf_append_slice(out, bytes));
    words_append_text(out, "\r\n");
}

void words_append_hex(coffer__buf *out, const char *hex) {
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        char byte[3] = {hex[0], hex[1], 0};
        char value = (char)strtol(byte, NULL, 16);
        assert_true(coffer__buf_append(out, &value, 1));
    }
}
