#include "log.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINE_CAP = 512 };

static coffer_log_fn hook;
static void *hook_data;

static const struct row {
    const char *name;
    coffer_log_level level;
    const char *text;
} rows[COFFER_LOG_EVENT_COUNT] = {
#define ROW(name, level, text) {#name, COFFER_LOG_##level, text},
    COFFER_LOG_EVENT_MAP(ROW)
#undef ROW
};

void coffer_set_log(coffer_log_fn log, void *user_data) {
    hook = log;
    hook_data = user_data;
}

const char *coffer_log_level_name(coffer_log_level level) {
    static const char *const names[] = {"unknown", "error", "warning", "info"};
    size_t index = (size_t)level;
    return names[index < sizeof names / sizeof names[0] ? index : 0];
}

const char *coffer_log_event_name(coffer_log_event event) {
    return (size_t)event < COFFER_LOG_EVENT_COUNT ? rows[event].name : "UNKNOWN";
}

static void blank_unprintable(char *line) {
    for (; *line != '\0'; line++) {
        uint8_t byte = (uint8_t)*line;
        *line = (char)(byte < 0x20 || byte >= 0x7F ? ' ' : byte);
    }
}

/* "a connection could not be made: the server cannot be reached: localhost:1: Connection refused" */
void coffer__log(coffer_log_event event, coffer_status status, const char *format, ...) {
    if (hook == NULL) {
        return;
    }
    char details[LINE_CAP] = "", line[2 * LINE_CAP];
    if (format != NULL) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(details, sizeof details, format, arguments);
        va_end(arguments);
    }
    snprintf(line, sizeof line, "%s%s%s%s%s", rows[event].text, status == COFFER_OK ? "" : ": ",
             status == COFFER_OK ? "" : coffer_status_text(status), details[0] == '\0' ? "" : ": ", details);
    blank_unprintable(line);
    const coffer_log_record record = {.level = rows[event].level, .event = event, .status = status, .text = line};
    hook(hook_data, &record);
}
