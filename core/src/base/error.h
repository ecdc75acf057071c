/* Sentences for a person. */
#ifndef COFFER_BASE_ERROR_H
#define COFFER_BASE_ERROR_H

#include <coffer/status.h>

/* Fills `error` (may be NULL) and returns `status`. Texts too long are cut at a character. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
coffer_status
coffer__error_set(coffer_error *error, coffer_status status, const char *format, ...);

/* `bytes` made printable and short: at most 64 bytes, control bytes and quotes escaped as \xNN, "..." behind a cut. `out` holds COFFER__SHOWN_CAP. */
enum { COFFER__SHOWN_CAP = 64 * 4 + 4 };
const char *coffer__show(coffer_slice bytes, char out[COFFER__SHOWN_CAP]);

#endif
