#include "parse.h"

#include "ttl.h"

#include <stdio.h>
#include <strings.h>

typedef struct unit {
    const char *word;
    uint64_t worth;
} unit;

/* The longest first: compound times go down this list, and writers take the first that divides. */
static const unit time_units[] = {{"w", 604800000}, {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

/* The first of each worth is the one that is written. */
static const unit size_units[] = {
    {"GiB", 1u << 30}, {"G", 1u << 30}, {"GB", 1u << 30}, {"MiB", 1u << 20}, {"M", 1u << 20}, {"MB", 1u << 20},
    {"KiB", 1u << 10}, {"K", 1u << 10}, {"KB", 1u << 10}, {"", 1},           {"B", 1},        {"bytes", 1},
};

enum { DECIMALS = 9 };
static const uint64_t decimal_one = 1000000000; /* 10 ^ DECIMALS */

/* A text that is read from front to back. */
typedef struct cursor {
    coffer_slice text;
    size_t at;
} cursor;

/* whole.fraction, the fraction in 10^-9; `some` where any digit was not 0, however far behind the point. */
typedef struct decimal {
    uint64_t whole;
    uint64_t fraction;
    bool some;
} decimal;

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

static bool at_digit(const cursor *from) {
    return from->at < from->text.len && is_digit(from->text.data[from->at]);
}

static coffer_slice rest(const cursor *from) {
    return coffer_slice_of(from->text.len == 0 ? NULL : from->text.data + from->at, from->text.len - from->at);
}

bool coffer__same_word(coffer_slice text, const char *word) {
    return text.len == strlen(word) && (text.len == 0 || strncasecmp(text.data, word, text.len) == 0);
}

static bool read_whole(cursor *from, uint64_t *number) {
    if (!at_digit(from)) {
        return false;
    }
    uint64_t sum = 0;
    for (; at_digit(from); from->at++) {
        uint64_t digit = (uint64_t)(from->text.data[from->at] - '0');
        if (sum > (UINT64_MAX - digit) / 10) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}

static bool read_fraction(cursor *from, decimal *number) {
    if (!at_digit(from)) {
        return false;
    }
    uint64_t worth = decimal_one;
    for (; at_digit(from); from->at++) {
        uint64_t digit = (uint64_t)(from->text.data[from->at] - '0');
        worth /= 10;
        number->fraction += digit * worth;
        number->some = number->some || digit != 0;
    }
    return true;
}

static bool read_decimal(cursor *from, decimal *number) {
    *number = (decimal){0, 0, false};
    if (!read_whole(from, &number->whole)) {
        return false;
    }
    number->some = number->whole != 0;
    if (from->at < from->text.len && from->text.data[from->at] == '.') {
        from->at++;
        return read_fraction(from, number);
    }
    return true;
}

/* The unit that stands here; none at the end of the text. */
static const unit *read_time_unit(cursor *from) {
    size_t start = from->at;
    while (from->at < from->text.len && from->text.data[from->at] >= 'a' && from->text.data[from->at] <= 'z') {
        from->at++;
    }
    coffer_slice word = coffer_slice_of(from->text.data + start, from->at - start);
    for (size_t i = 0; i < sizeof time_units / sizeof time_units[0]; i++) {
        if (coffer_slice_equal(word, coffer_slice_text(time_units[i].word))) {
            return &time_units[i];
        }
    }
    return NULL;
}

static bool add_time(uint64_t *sum_ms, const decimal *number, uint64_t worth) {
    if (number->whole > COFFER__TTL_MAX_MS / worth) {
        return false;
    }
    uint64_t part = number->whole * worth + (number->fraction * worth + decimal_one / 2) / decimal_one;
    *sum_ms += part; /* both are far below 2^63 */
    return *sum_ms <= COFFER__TTL_MAX_MS;
}

bool coffer__read_time(coffer_slice text, uint64_t *time_ms) {
    cursor from = {text, 0};
    uint64_t sum_ms = 0, last = UINT64_MAX;
    bool some = false;
    do {
        decimal number;
        if (!read_decimal(&from, &number)) {
            return false;
        }
        bool bare = last == UINT64_MAX && from.at == text.len;
        const unit *found = bare ? NULL : read_time_unit(&from);
        uint64_t worth = bare ? 1000 : found == NULL ? UINT64_MAX : found->worth;
        if (worth >= last || !add_time(&sum_ms, &number, worth)) {
            return false;
        }
        some = some || number.some;
        last = worth;
    } while (from.at < text.len);
    *time_ms = sum_ms == 0 && some ? 1 : sum_ms;
    return true;
}

bool coffer__read_count(coffer_slice text, uint64_t *number) {
    cursor from = {text, 0};
    return read_whole(&from, number) && from.at == text.len;
}

bool coffer__read_size(coffer_slice text, uint64_t *bytes) {
    cursor from = {text, 0};
    uint64_t number = 0;
    if (!read_whole(&from, &number)) {
        return false;
    }
    for (size_t i = 0; i < sizeof size_units / sizeof size_units[0]; i++) {
        if (coffer__same_word(rest(&from), size_units[i].word)) {
            *bytes = number * size_units[i].worth;
            return number <= UINT64_MAX / size_units[i].worth;
        }
    }
    return false;
}

bool coffer__read_bool(coffer_slice text, uint64_t *number) {
    static const unit words[] = {{"true", 1}, {"yes", 1}, {"on", 1}, {"1", 1}, {"false", 0}, {"no", 0}, {"off", 0}, {"0", 0}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (coffer__same_word(text, words[i].word)) {
            *number = words[i].worth;
            return true;
        }
    }
    return false;
}

static size_t write_number(uint64_t number, const char *word, char out[32]) {
    return (size_t)snprintf(out, 32, "%llu%s", (unsigned long long)number, word);
}

size_t coffer__write_count(uint64_t number, char out[32]) {
    return write_number(number, "", out);
}

static size_t write_in_units(uint64_t number, const unit *units, char out[32]) {
    if (number == 0) {
        return write_number(0, "", out);
    }
    while (number % units->worth != 0) {
        units++;
    }
    return write_number(number / units->worth, units->word, out);
}

size_t coffer__write_size(uint64_t bytes, char out[32]) {
    return write_in_units(bytes, size_units, out);
}

size_t coffer__write_time(uint64_t time_ms, char out[32]) {
    return write_in_units(time_ms, time_units, out);
}
