/* The rows of options.h as data: where each option lives in the struct, what it may be, and how text becomes it.
 *
 *     row = coffer__option_find(name);
 *     status = coffer__option_assign(draft, row, value, &origin, &error);
 *
 * A change is always made on a draft, a copy of the options, which is dropped where anything is refused: so each change is whole or not at all.
 */
#ifndef COFFER_POLICY_OPTIONS_TABLE_H
#define COFFER_POLICY_OPTIONS_TABLE_H

#include "options_internal.h"

#include "base/buf.h"

typedef enum coffer__option_kind {
    COFFER__KIND_TEXT,
    COFFER__KIND_SECRET,
    COFFER__KIND_TIME,
    COFFER__KIND_TTL,
    COFFER__KIND_SIZE,
    COFFER__KIND_COUNT,
    COFFER__KIND_PERCENT,
    COFFER__KIND_BOOL,
    COFFER__KIND_CHOICE
} coffer__option_kind;

/* COFFER__AT_ttl and so on: the index of each row. */
enum {
#define COFFER__OPTION_AT(name, kind, field, default_text, environment, per_namespace, help) COFFER__AT_##name,
    COFFER_OPTION_MAP(COFFER__OPTION_AT)
#undef COFFER__OPTION_AT
        COFFER__OPTION_ROWS
};

typedef struct coffer__option_row {
    const char *name;
    coffer__option_kind kind;
    size_t offset; /* of the field in coffer_options */
    const char *default_text;
    const char *environment;
    const char *help;
    bool per_namespace;
} coffer__option_row;

/* Who gave a value, for the words of an error: "the option 'ttl'", "the environment variable 'REDIS_PORT'". */
typedef struct coffer__origin {
    const char *what;
    bool hidden; /* the value stood where a password may have slipped in: it is not shown */
} coffer__origin;

enum { COFFER__WHAT_CAP = 160, COFFER__NUMBER_CAP = 32 };

const coffer__option_row *coffer__option_row_at(size_t index); /* NULL behind the last */
const coffer__option_row *coffer__option_find(coffer_slice name);
const char *coffer__option_kind_name(coffer__option_kind kind);
bool coffer__option_is_text(const coffer__option_row *row); /* TEXT or SECRET */
bool coffer__option_is_secret(const coffer__option_row *row);

/* The text field of a TEXT or SECRET row. */
char **coffer__option_text(coffer_options *options, const coffer__option_row *row);

/* OPTION, in words, or NO_MEMORY: the draft is to be dropped then. Not for `url`, which has coffer__url_apply. */
coffer_status coffer__option_assign(coffer_options *draft, const coffer__option_row *row, coffer_slice value, const coffer__origin *origin,
                                    coffer_error *error);

/* A number option as text that assign takes; returns its length. */
size_t coffer__option_write(const coffer_options *options, const coffer__option_row *row, char out[COFFER__NUMBER_CAP]);

/* OPTION: "there is no option 'tll': did you mean 'ttl'?" `where` is "" or " of the URL". */
coffer_status coffer__option_unknown(coffer_slice name, const char *where, coffer_error *error);

/* Ends a change: on OK the draft becomes the options, else it is dropped. Passes `status` on. */
coffer_status coffer__options_finish(coffer_options *options, coffer_options *draft, coffer_status status, coffer_error *error);

coffer_status coffer__options_no_memory(coffer_error *error);

/* Sets what the URL says in the draft, after everything about the server went back to its default. No error shows a part of the URL that may be a
 * password. `what` is "the URL", "the option 'url'" or "the environment variable 'REDIS_URL'". */
coffer_status coffer__url_apply(coffer_options *draft, coffer_slice url, const char *what, coffer_error *error);

/* The URL that the options stand for, without parameters, the password as ***. NULL where memory is short, else the caller's to release. */
char *coffer__url_render(const coffer_options *options);

#endif
