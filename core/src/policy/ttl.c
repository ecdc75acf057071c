#include "ttl.h"

#include "parse.h"

#include "base/error.h"

#include <stdio.h>

#define ALLOWED "longer than 0 and at most 100 years, such as '30m', '1h', a class such as 'short', or 'forever'"

typedef struct ttl_class {
    const char *word;
    uint64_t ttl_ms;
} ttl_class;

static const ttl_class classes[] = {
#define CLASS(word, ttl_ms) {word, ttl_ms},
    COFFER_TTL_CLASS_MAP(CLASS)
#undef CLASS
};

static bool is_allowed(uint64_t ttl_ms) {
    return ttl_ms == COFFER_TTL_FOREVER || (ttl_ms > 0 && ttl_ms <= COFFER__TTL_MAX_MS);
}

bool coffer__read_ttl(coffer_slice text, uint64_t *ttl_ms) {
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (coffer_slice_equal(text, coffer_slice_text(classes[i].word))) {
            *ttl_ms = classes[i].ttl_ms;
            return true;
        }
    }
    return coffer__read_time(text, ttl_ms) && is_allowed(*ttl_ms);
}

coffer_status coffer__time_parse(coffer_slice text, uint64_t *time_ms, coffer_error *error) {
    char shown[COFFER__SHOWN_CAP];
    uint64_t read_ms = 0;
    if (!coffer__read_time(text, &read_ms)) {
        return coffer__error_set(
            error, COFFER_ARG,
            "the time cannot be '%s': it must be a number of seconds or have units, such as '250ms', '30s', '1h30m', and be at most 100 years",
            coffer__show(text, shown));
    }
    *time_ms = read_ms;
    return COFFER_OK;
}

coffer_status coffer_ttl_parse(coffer_slice text, uint64_t *ttl_ms, coffer_error *error) {
    char shown[COFFER__SHOWN_CAP];
    uint64_t read_ms = 0;
    if (!coffer__read_ttl(text, &read_ms)) {
        return coffer__error_set(error, COFFER_ARG, "the TTL cannot be '%s': it must be " ALLOWED, coffer__show(text, shown));
    }
    *ttl_ms = read_ms;
    return COFFER_OK;
}

coffer_status coffer_ttl_from_seconds(double seconds, uint64_t *ttl_ms, coffer_error *error) {
    if (!(seconds > 0) || !(seconds <= (double)(COFFER__TTL_MAX_MS / 1000))) { /* written so that NaN is refused */
        return coffer__error_set(error, COFFER_ARG, "the TTL cannot be %g seconds: it must be " ALLOWED, seconds);
    }
    uint64_t rounded_ms = (uint64_t)(seconds * 1000 + 0.5);
    *ttl_ms = rounded_ms == 0 ? 1 : rounded_ms;
    return COFFER_OK;
}

coffer_status coffer__ttl_check(uint64_t ttl_ms, coffer_error *error) {
    if (!is_allowed(ttl_ms)) {
        return coffer__error_set(error, COFFER_ARG, "the TTL cannot be %llu ms: it must be " ALLOWED, (unsigned long long)ttl_ms);
    }
    return COFFER_OK;
}

/* a + b, but never what means for ever. */
static uint64_t add_times(uint64_t a_ms, uint64_t b_ms) {
    uint64_t last = COFFER_TTL_FOREVER - 1;
    return b_ms > last - a_ms ? last : a_ms + b_ms;
}

uint64_t coffer__ttl_jitter(uint64_t ttl_ms, uint32_t percent, uint64_t random) {
    if (ttl_ms == COFFER_TTL_FOREVER) {
        return ttl_ms;
    }
    uint64_t share = percent > 100 ? 100 : percent;
    uint64_t most_ms = ttl_ms / 100 * share + ttl_ms % 100 * share / 100;
    return add_times(ttl_ms, random % (most_ms + 1));
}

uint64_t coffer__ttl_end(uint64_t start_ms, uint64_t ttl_ms) {
    if (start_ms == COFFER_TTL_FOREVER || ttl_ms == COFFER_TTL_FOREVER) {
        return COFFER_TTL_FOREVER;
    }
    return add_times(start_ms, ttl_ms);
}
