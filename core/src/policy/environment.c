#include "options_table.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

enum { VARIABLE_CAP = 64 };

/* Where the values come from. */
typedef struct source {
    coffer_lookup_fn lookup;
    void *user_data;
    bool has_url;
} source;

static const char *look_up_process(void *user_data, const char *name) {
    (void)user_data;
    return getenv(name);
}

/* The value of a variable; one that is empty counts as not set, as `NAME=` in a compose file means it. */
static const char *look_up(const source *from, const char *name) {
    const char *value = from->lookup(from->user_data, name);
    return value == NULL || *value == '\0' ? NULL : value;
}

/* COFFER_POOL_MAX for pool_max. */
static void own_variable(const coffer__option_row *row, char out[VARIABLE_CAP]) {
    (void)snprintf(out, VARIABLE_CAP, "COFFER_%s", row->name);
    for (char *at = out; *at != '\0'; at++) {
        *at = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
    }
}

/* What a URL says as well. Where the environment has a URL, the usual names of these (a REDIS_HOST left over, say) do not contradict it; COFFER_HOST and
 * its kin, which nobody sets by accident, do. */
static bool is_said_by_url(const coffer__option_row *row) {
    static const size_t indexes[] = {COFFER__AT_host,     COFFER__AT_port,     COFFER__AT_path,          COFFER__AT_cluster_nodes,
                                     COFFER__AT_username, COFFER__AT_password, COFFER__AT_password_file, COFFER__AT_db};
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++) {
        if (row == coffer__option_row_at(indexes[i])) {
            return true;
        }
    }
    return false;
}

/* The first variable of the row that is set: its name in `variable`, its value returned, or NULL. */
static const char *find_value(const source *from, const coffer__option_row *row, bool own_only, char variable[VARIABLE_CAP]) {
    own_variable(row, variable);
    const char *value = look_up(from, variable);
    for (const char *at = row->environment; value == NULL && !own_only && *at != '\0'; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        (void)snprintf(variable, VARIABLE_CAP, "%.*s", (int)len, at);
        value = look_up(from, variable);
        at += len;
    }
    return value;
}

static coffer_status apply_row(coffer_options *draft, const source *from, size_t index, coffer_error *error) {
    char variable[VARIABLE_CAP], what[COFFER__WHAT_CAP];
    const coffer__option_row *row = coffer__option_row_at(index);
    const char *value = find_value(from, row, from->has_url && is_said_by_url(row), variable);
    if (value == NULL) {
        return COFFER_OK;
    }
    (void)snprintf(what, sizeof what, "the environment variable '%s'", variable);
    coffer__origin origin = {what, false};
    coffer_slice text = coffer_slice_text(value);
    return index == COFFER__AT_url ? coffer__url_apply(draft, text, what, error) : coffer__option_assign(draft, row, text, &origin, error);
}

coffer_status coffer_options_from_environment(coffer_options *options, coffer_lookup_fn lookup, void *user_data, coffer_error *error) {
    _Static_assert(COFFER__AT_url == 0, "the URL is applied before the options that refine it");
    if (options == NULL) {
        return coffer__error_set(error, COFFER_ARG, "no options were given");
    }
    coffer_options *draft = coffer_options_copy(options);
    if (draft == NULL) {
        return coffer__options_no_memory(error);
    }
    char variable[VARIABLE_CAP];
    source from = {lookup == NULL ? look_up_process : lookup, user_data, false};
    from.has_url = find_value(&from, coffer__option_row_at(COFFER__AT_url), false, variable) != NULL;
    coffer_status status = COFFER_OK;
    for (size_t i = 0; status == COFFER_OK && i < COFFER__OPTION_ROWS; i++) {
        status = apply_row(draft, &from, i, error);
    }
    return coffer__options_finish(options, draft, status, error);
}
