#include "options_table.h"

#include "base/alloc.h"
#include "base/error.h"

#include <stdio.h>

coffer_options *coffer_options_new(void) {
    coffer_options *options = (coffer_options *)coffer__alloc_zero(sizeof *options);
    if (options == NULL) {
        return NULL;
    }
    options->local = true;
    static const coffer__origin origin = {"a default", false};
    for (size_t i = 0; i < COFFER__OPTION_ROWS; i++) {
        const coffer__option_row *row = coffer__option_row_at(i);
        if (coffer__option_assign(options, row, coffer_slice_text(row->default_text), &origin, NULL) != COFFER_OK) {
            coffer_options_free(options);
            return NULL;
        }
    }
    return options;
}

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = (char *)coffer__alloc(size);
    return copy == NULL ? NULL : (char *)memcpy(copy, text, size);
}

coffer_options *coffer_options_copy(const coffer_options *options) {
    if (options == NULL) {
        return NULL;
    }
    coffer_options *copy = (coffer_options *)coffer__alloc(sizeof *copy);
    if (copy == NULL) {
        return NULL;
    }
    *copy = *options;
    bool is_whole = true;
    for (size_t i = 0; i < COFFER__OPTION_ROWS; i++) {
        const coffer__option_row *row = coffer__option_row_at(i);
        if (coffer__option_is_text(row)) {
            char **field = coffer__option_text(copy, row);
            *field = is_whole ? copy_text(*field) : NULL;
            is_whole = *field != NULL;
        }
    }
    if (!is_whole) {
        coffer_options_free(copy);
        return NULL;
    }
    return copy;
}

void coffer_options_free(coffer_options *options) {
    if (options == NULL) {
        return;
    }
    for (size_t i = 0; i < COFFER__OPTION_ROWS; i++) {
        const coffer__option_row *row = coffer__option_row_at(i);
        char *text = coffer__option_is_text(row) ? *coffer__option_text(options, row) : NULL;
        coffer__wipe(text, text == NULL ? 0 : strlen(text));
        coffer__release(text);
    }
    coffer__release(options);
}

coffer_status coffer__options_finish(coffer_options *options, coffer_options *draft, coffer_status status, coffer_error *error) {
    char *url = status == COFFER_OK ? coffer__url_render(draft) : NULL;
    if (status == COFFER_OK && url == NULL) {
        status = coffer__options_no_memory(error);
    }
    if (status == COFFER_OK) {
        coffer__release(draft->url);
        draft->url = url;
        coffer_options before = *options;
        *options = *draft;
        *draft = before;
    }
    coffer_options_free(draft);
    return status;
}

static coffer_status no_options(coffer_error *error) {
    return coffer__error_set(error, COFFER_ARG, "no options were given");
}

coffer_status coffer_options_set_url(coffer_options *options, coffer_slice url, coffer_error *error) {
    if (options == NULL) {
        return no_options(error);
    }
    coffer_options *draft = coffer_options_copy(options);
    if (draft == NULL) {
        return coffer__options_no_memory(error);
    }
    return coffer__options_finish(options, draft, coffer__url_apply(draft, url, "the URL", error), error);
}

coffer_status coffer_options_set(coffer_options *options, const char *name, coffer_slice value, coffer_error *error) {
    if (options == NULL) {
        return no_options(error);
    }
    const coffer__option_row *row = coffer__option_find(coffer_slice_text(name));
    if (row == NULL) {
        return coffer__option_unknown(coffer_slice_text(name), "", error);
    }
    coffer_options *draft = coffer_options_copy(options);
    if (draft == NULL) {
        return coffer__options_no_memory(error);
    }
    char what[COFFER__WHAT_CAP];
    (void)snprintf(what, sizeof what, "the option '%s'", row->name);
    coffer__origin origin = {what, false};
    bool is_url = row == coffer__option_row_at(COFFER__AT_url);
    coffer_status status = is_url ? coffer__url_apply(draft, value, what, error) : coffer__option_assign(draft, row, value, &origin, error);
    return coffer__options_finish(options, draft, status, error);
}

/* At most `cap` bytes with the terminator; the whole length. */
static size_t give_text(const char *text, char *out, size_t cap) {
    size_t len = strlen(text);
    if (cap > 0) {
        size_t given = len < cap ? len : cap - 1;
        memcpy(out, text, given);
        out[given] = '\0';
    }
    return len;
}

size_t coffer_options_get(const coffer_options *options, const char *name, char *out, size_t cap) {
    const coffer__option_row *row = coffer__option_find(coffer_slice_text(name));
    if (options == NULL || row == NULL) {
        return give_text("", out, cap);
    }
    if (!coffer__option_is_text(row)) {
        char number[COFFER__NUMBER_CAP];
        (void)coffer__option_write(options, row, number);
        return give_text(number, out, cap);
    }
    char *const *field = (char *const *)(const void *)((const char *)options + row->offset);
    bool is_hidden = coffer__option_is_secret(row) && **field != '\0';
    return give_text(is_hidden ? "***" : *field, out, cap);
}

bool coffer_options_describe(size_t index, coffer_option_info *info) {
    const coffer__option_row *row = coffer__option_row_at(index);
    if (row == NULL) {
        return false;
    }
    *info = (coffer_option_info){
        .name = row->name,
        .kind = coffer__option_kind_name(row->kind),
        .default_text = row->default_text,
        .environment = row->environment,
        .help = row->help,
        .per_namespace = row->per_namespace,
        .secret = coffer__option_is_secret(row),
    };
    return true;
}
