/* A line of a transcript, cut into words at blanks. A word in quotes may hold blanks and \r, \n, \x00 to \xff. */
#ifndef COFFER_TESTS_SUPPORT_TRANSCRIPT_WORDS_H
#define COFFER_TESTS_SUPPORT_TRANSCRIPT_WORDS_H

#include "base/buf.h"

enum { MOST_WORDS = 40 };

typedef struct word {
    char text[2048];
    size_t len;
    bool quoted;
} word;

/* False: the line has more than MOST_WORDS. */
bool words_split(word words[MOST_WORDS], size_t *count, const char *line);

/* The value of name=..., valid until the next call, or NULL. */
const word *words_option(const word *words, size_t count, const char *name);

/* What stands for a script: its SHA1 or its text; "?" for a name that is none. */
const char *words_script_part(const char *name, bool sha);

/* A reply in the making: text as it is, a bulk, or bytes given in hex. */
void words_append_text(coffer__buf *out, const char *text);
void words_append_bulk(coffer__buf *out, coffer_slice bytes);
void words_append_hex(coffer__buf *out, const char *hex);

#endif
