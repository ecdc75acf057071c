#include "options_table.h"

#include "base/error.h"

#include <stdio.h>

enum { NAME_BYTES_MAX = 32 };

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* How many bytes must be put in, taken out or changed (Levenshtein), with one row of the table: both are short. */
static size_t distance(coffer_slice a, coffer_slice b) {
    size_t line[NAME_BYTES_MAX + 1];
    for (size_t j = 0; j <= b.len; j++) {
        line[j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t corner = line[0];
        line[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t changed = corner + (a.data[i - 1] == b.data[j - 1] ? 0 : 1);
            corner = line[j];
            line[j] = least(changed, least(line[j], line[j - 1]) + 1);
        }
    }
    return line[b.len];
}

/* The name that was probably meant, or NULL: no more than a third of it may be wrong. */
static const char *nearest(coffer_slice name) {
    const char *best = NULL;
    size_t best_distance = name.len / 3 + 2;
    for (size_t i = 0; name.len <= NAME_BYTES_MAX && i < COFFER__OPTION_ROWS; i++) {
        const char *candidate = coffer__option_row_at(i)->name;
        size_t wrong = distance(name, coffer_slice_text(candidate));
        if (wrong < best_distance) {
            best_distance = wrong;
            best = candidate;
        }
    }
    return best;
}

coffer_status coffer__option_unknown(coffer_slice name, const char *where, coffer_error *error) {
    char shown[COFFER__SHOWN_CAP];
    (void)coffer__show(name, shown);
    const char *meant = nearest(name);
    if (meant != NULL) {
        return coffer__error_set(error, COFFER_OPTION, "there is no option '%s'%s: did you mean '%s'?", shown, where, meant);
    }
    return coffer__error_set(error, COFFER_OPTION, "there is no option '%s'%s: docs/options.md lists them all", shown, where);
}
