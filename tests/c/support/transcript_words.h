/* A line of a transcript, cut into words at blanks. A word in quotes may hold blanks and \r, \n, \x00 to \xff. */
#ifndef COFFER_TESTS_SUPPORT_TRANSCRIPT_WORDS_H
#define COFFER_TESTS_SUPPORT_TRANSCRIPT_WORDS_H

#include <stdbool.h>
#include <stddef.h>

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

#endif
