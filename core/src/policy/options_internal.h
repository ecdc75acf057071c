/* The options as a struct, made from the table of options.h. Times in ms, sizes in bytes, checked when they were set. */
#ifndef COFFER_POLICY_OPTIONS_INTERNAL_H
#define COFFER_POLICY_OPTIONS_INTERNAL_H

#include <coffer/options.h>

#define COFFER__FIELD_TEXT(field) char *field; /* never NULL, may be "" */
#define COFFER__FIELD_SECRET(field) char *field;
#define COFFER__FIELD_TIME(field) uint64_t field;
#define COFFER__FIELD_TTL(field) uint64_t field;
#define COFFER__FIELD_SIZE(field) uint64_t field;
#define COFFER__FIELD_COUNT(field) uint64_t field;
#define COFFER__FIELD_PERCENT(field) uint32_t field;
#define COFFER__FIELD_BOOL(field) bool field;
#define COFFER__FIELD_CHOICE(field) int field;

enum { COFFER__ZONE_BYTES_MAX = 63 };

struct coffer_options {
#define COFFER__OPTION_FIELD(name, kind, field, default_text, environment, per_namespace, help) COFFER__FIELD_##kind(field)
    COFFER_OPTION_MAP(COFFER__OPTION_FIELD)
#undef COFFER__OPTION_FIELD
    /* from the URL's scheme */
    bool local; /* mem:// */
    bool tls; /* rediss:// */
};

/* Whether the sentinels are spoken to under TLS, and whether anybody is. */
static inline bool coffer__options_sentinel_tls(const coffer_options *options) {
    return options->sentinel_tls == COFFER_SENTINEL_TLS_ON || (options->sentinel_tls == COFFER_SENTINEL_TLS_SAME && options->tls);
}

static inline bool coffer__options_use_tls(const coffer_options *options) {
    return options->tls || (options->sentinel_nodes[0] != '\0' && coffer__options_sentinel_tls(options));
}

#endif
