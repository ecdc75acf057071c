#include "error.h"

#include <stdarg.h>
#include <stdio.h>

/* A cut may not leave half a UTF-8 character behind. */
static void cut_at_character(char *text, size_t len) {
    while (len > 0 && ((uint8_t)text[len - 1] & 0xC0u) == 0x80u) {
        len--;
    }
    if (len > 0 && ((uint8_t)text[len - 1] & 0x80u) != 0) {
        len--;
    }
    text[len] = '\0';
}

coffer_status coffer__error_set(coffer_error *error, coffer_status status, const char *format, ...) {
    if (error == NULL) {
        return status;
    }
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    if (len >= (int)sizeof error->text) {
        cut_at_character(error->text, sizeof error->text - 1);
    }
    return status;
}

const char *coffer__show(coffer_slice bytes, char out[COFFER__SHOWN_CAP]) {
    static const char hex[] = "0123456789abcdef";
    size_t shown = bytes.len < 64 ? bytes.len : 64;
    char *to = out;
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = (uint8_t)bytes.data[i];
        if (byte < 0x20 || byte >= 0x7F || byte == '\'' || byte == '"' || byte == '\\') {
            *to++ = '\\';
            *to++ = 'x';
            *to++ = hex[byte >> 4];
            *to++ = hex[byte & 15];
        } else {
            *to++ = (char)byte;
        }
    }
    memcpy(to, bytes.len > shown ? "..." : "", bytes.len > shown ? 4 : 1);
    return out;
}
