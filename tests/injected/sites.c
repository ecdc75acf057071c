#include "sites.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { NARROW_BYTES = 1000 };

static atomic_bool is_on, is_narrow;
static atomic_int planned, reason_planned;
static atomic_long left, failures, sends;
static atomic_long hits[SITE_COUNT];

static const struct {
    const char *name;
    int reasons[SITE_REASONS + 1]; /* 0 behind the last */
} rows[] = {
#define SITE_ROW(name, result, how, parameters, arguments, ...) {#name, {__VA_ARGS__, 0}},
    SITE_MAP(SITE_ROW, SITE_ROW, SITE_ROW)
#undef SITE_ROW
};

const char *site_name(site which) {
    return rows[which].name;
}

size_t site_reason_count(site which) {
    size_t count = 0;
    while (rows[which].reasons[count] != 0) {
        count++;
    }
    return count;
}

const char *site_reason_text(site which, size_t reason) {
    int why = rows[which].reasons[reason];
    return why == SITE_SHORT ? "one byte" : why == SITE_NOTHING ? "nothing" : why < 0 ? gai_strerror(why) : strerror(why & ~SITE_AFTER);
}

long site_hits(site which) {
    return hits[which];
}

void site_begin(site which, size_t reason, long skip_count, long fail_count) {
    planned = (int)which;
    reason_planned = rows[which].reasons[reason];
    left = skip_count;
    failures = fail_count;
    is_on = true;
}

static atomic_long struck;

long site_end(void) {
    is_on = false;
    return atomic_exchange(&struck, 0);
}

void site_narrow(bool is_so) {
    is_narrow = is_so;
}

static size_t cut(site which, int why, size_t len) {
    size_t most = why == SITE_SHORT ? 1 : which == SITE_send && is_narrow ? NARROW_BYTES : len;
    return len < most ? len : most;
}

static _Atomic(site_moment) moment;
static atomic_int moment_of;

void site_at(site which, site_moment what) {
    moment_of = (int)which;
    moment = what;
}

/* 0: it succeeds. */
static int strikes(site which) {
    site_moment what = moment_of == (int)which ? atomic_exchange(&moment, NULL) : NULL;
    if (what != NULL) {
        what();
    }
    if (which == SITE_send && is_narrow && atomic_fetch_add(&sends, 1) % 2 == 1) {
        return EAGAIN;
    }
    if (!is_on || planned != (int)which || atomic_fetch_sub(&left, 1) > 0 || atomic_fetch_sub(&failures, 1) <= 0) {
        return 0;
    }
    struck++;
    hits[which]++;
    return reason_planned;
}

#define ANSWER_ERRNO(result, code) (errno = (code) & ~SITE_AFTER, (result)-1)
#define ANSWER_CODE(result, code) ((result)(code))

#define AFTER(why) ((why) > 0 && ((why)&SITE_AFTER) != 0)

#define WRAP_WITH(before, name, result, how, parameters, arguments)                                                                                  \
    result __real_##name parameters;                                                                                                                 \
    result __wrap_##name parameters;                                                                                                                 \
    result __wrap_##name parameters {                                                                                                                \
        int why = strikes(SITE_##name);                                                                                                              \
        before;                                                                                                                                      \
        if (AFTER(why)) {                                                                                                                            \
            (void)__real_##name arguments;                                                                                                           \
        }                                                                                                                                            \
        if (why == SITE_NOTHING) {                                                                                                                   \
            return (result)0;                                                                                                                        \
        }                                                                                                                                            \
        return why == 0 || why == SITE_SHORT ? __real_##name arguments : ANSWER_##how(result, why);                                                  \
    }
#define WRAP(name, result, how, parameters, arguments, ...) WRAP_WITH((void)0, name, result, how, parameters, arguments)
#define WRAP_BYTES(name, result, how, parameters, arguments, ...)                                                                                    \
    WRAP_WITH(len = cut(SITE_##name, why, len), name, result, how, parameters, arguments)
#define DECLARED(name, result, how, parameters, arguments, ...)                                                                                      \
    result __real_##name parameters;                                                                                                                 \
    result __wrap_##name parameters;
SITE_MAP(WRAP, WRAP_BYTES, DECLARED)

/* The argument that is not named, or whatever is in its place. */
int __wrap_fcntl(int fd, int command, ...) {
    int why = strikes(SITE_fcntl);
    va_list more;
    va_start(more, command);
    long argument = va_arg(more, long);
    va_end(more);
    return why == 0 ? __real_fcntl(fd, command, argument) : ANSWER_ERRNO(int, why);
}

int __wrap_open(const char *path, int flags, ...) {
    int why = strikes(SITE_open);
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return why == 0 ? __real_open(path, flags, mode) : ANSWER_ERRNO(int, why);
}
