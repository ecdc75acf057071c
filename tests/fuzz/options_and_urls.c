/* Options from text: whatever it is, it is taken or refused in words; refused, it changes nothing and shows no secret; taken, it can be read back as text
 * that gives the same again.
 *
 * The input is lines. u<url>  s<name>=<value>  t<ttl>  p<rest of a URL whose password is SECRET>  k<rest of a seal key that begins with SECRET>
 *                     e<name>=<value>  a variable of the environment
 */
#include "fuzz.h"

#include "policy/options_internal.h"

#define SECRET "caNary0Secret"

/* The next byte of a text, percent-decoded. */
static char decoded(const uint8_t *data, size_t size, size_t *at) {
    char hex[3] = {0};
    if (data[*at] != '%' || size - *at < 3) {
        return (char)data[*at];
    }
    memcpy(hex, data + *at + 1, 2);
    *at += 2;
    return (char)strtol(hex, NULL, 16);
}

/* The fuzzer learns the secret from the comparisons below and writes it where no secret belongs: such an input, as it is or decoded, would show nothing. */
static bool holds_secret(const uint8_t *data, size_t size) {
    notes text = {0};
    for (size_t i = 0; i < size; i++) {
        note(&text, data[i] == '\0' ? (const uint8_t *)" " : &data[i], 1);
    }
    for (size_t i = 0; i < size; i++) {
        char byte = decoded(data, size, &i);
        note(&text, byte == '\0' ? " " : &byte, 1);
    }
    bool held = text.data != NULL && strstr(text.data, SECRET) != NULL;
    notes_free(&text);
    return held;
}

/* Every option as text, with the secrets: to see that nothing has changed. */
static void write_all(notes *to, const coffer_options *options) {
    coffer_option_info info;
    for (size_t i = 0; coffer_options_describe(i, &info); i++) {
        char text[8192];
        size_t len = coffer_options_get(options, info.name, text, sizeof text);
        MUST(len < sizeof text && strlen(text) == len);
        MUST(strstr(text, SECRET) == NULL || strcmp(info.name, "password") != 0);
        note_text(to, info.name);
        note_text(to, "=");
        note_text(to, text);
        note_text(to, "\n");
    }
    note_text(to, options->password);
    note_text(to, "\n");
    note_text(to, options->seal_key);
    note_text(to, options->local ? " local" : " remote");
    note_text(to, options->tls ? " tls" : " plain");
}

typedef struct settings {
    coffer_options *options;
    notes before;
} settings;

static void settle(settings *all, coffer_status status, const coffer_error *error, bool secret) {
    notes now = {0};
    write_all(&now, all->options);
    if (status != COFFER_OK) {
        MUST(status == COFFER_OPTION || status == COFFER_UNSUPPORTED);
        MUST(error->text[0] != '\0' && memchr(error->text, '\0', sizeof error->text) != NULL);
        MUST(!secret || strstr(error->text, SECRET) == NULL);
        MUST(strcmp(now.data, all->before.data) == 0);
    }
    notes_free(&all->before);
    all->before = now;
}

static void set_pair(settings *all, char *pair, coffer_error *error) {
    char *equals = strchr(pair, '=');
    if (equals != NULL) {
        *equals = '\0';
        settle(all, coffer_options_set(all->options, pair, coffer_slice_text(equals + 1), error), error, strcmp(pair, "password") == 0);
    }
}

static const char *lookup(void *user_data, const char *name) {
    const char *pair = (const char *)user_data;
    size_t len = strlen(name);
    return strncmp(pair, name, len) == 0 && pair[len] == '=' ? pair + len + 1 : NULL;
}

static void parse_ttl(coffer_slice text) {
    coffer_error error = {0};
    uint64_t ttl_ms = 0;
    coffer_status status = coffer_ttl_parse(text, &ttl_ms, &error);
    MUST(status == COFFER_OK ? ttl_ms > 0 : status == COFFER_ARG && error.text[0] != '\0');
    double seconds = 0;
    memcpy(&seconds, text.data, text.len < sizeof seconds ? text.len : sizeof seconds);
    status = coffer_ttl_from_seconds(seconds, &ttl_ms, &error);
    MUST(status == COFFER_OK ? ttl_ms > 0 : status == COFFER_ARG);
}

static void follow(settings *all, char kind, coffer_slice rest) {
    coffer_error error = {0};
    notes text = {0};
    note_text(&text, kind == 'p' ? "redis://user:" SECRET "@" : kind == 'k' ? SECRET : "");
    note(&text, rest.data, rest.len);
    coffer_slice whole = coffer_slice_of(text.data, text.len);
    switch (kind) {
    case 'u':
    case 'p':
        settle(all, coffer_options_set_url(all->options, whole, &error), &error, kind == 'p');
        break;
    case 'k':
        settle(all, coffer_options_set(all->options, "seal_key", whole, &error), &error, true);
        break;
    case 's':
        set_pair(all, text.data, &error);
        break;
    case 'e':
        settle(all, coffer_options_from_environment(all->options, lookup, text.data, &error), &error, false);
        break;
    default:
        parse_ttl(whole);
    }
    notes_free(&text);
}

/* Each option's text, given to fresh options, is taken and reads the same. */
static void must_read_back(const coffer_options *options) {
    coffer_option_info info;
    coffer_options *fresh = coffer_options_new();
    MUST(fresh != NULL);
    for (size_t i = 0; coffer_options_describe(i, &info); i++) {
        char text[8192], again[8192];
        coffer_error error;
        if (!info.secret) {
            coffer_options_get(options, info.name, text, sizeof text);
            MUST(coffer_options_set(fresh, info.name, coffer_slice_text(text), &error) == COFFER_OK);
            coffer_options_get(fresh, info.name, again, sizeof again);
            MUST(strcmp(text, again) == 0);
        }
    }
    coffer_options_free(fresh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (holds_secret(data, size)) {
        return 0;
    }
    choices from = {data, size};
    settings all = {.options = coffer_options_new()};
    MUST(all.options != NULL);
    write_all(&all.before, all.options);
    for (unsigned line = 0; from.left > 0 && line < 16; line++) {
        char kind = (char)next_byte(&from);
        const uint8_t *end = (const uint8_t *)memchr(from.at, '\n', from.left);
        follow(&all, kind, next_slice(&from, end == NULL ? from.left : (size_t)(end - from.at)));
        (void)next_byte(&from);
    }
    must_read_back(all.options);
    notes_free(&all.before);
    coffer_options_free(all.options);
    return 0;
}
