#include "number.h"

enum { DIGITS_MAX = 19 };

static bool digits_to_magnitude(coffer_slice digits, uint64_t *magnitude) {
    if (digits.len == 0 || digits.len > DIGITS_MAX || digits.data[0] == '0') {
        return false;
    }
    uint64_t sum = 0; /* 19 digits cannot leave 64 bits */
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') {
            return false;
        }
        sum = sum * 10 + (uint64_t)(digits.data[i] - '0');
    }
    *magnitude = sum;
    return true;
}

bool coffer__number_parse(coffer_slice text, int64_t *number) {
    if (text.len == 1 && text.data[0] == '0') {
        *number = 0;
        return true;
    }
    size_t minus = text.len > 0 && text.data[0] == '-' ? 1 : 0;
    uint64_t magnitude;
    if (!digits_to_magnitude(coffer_slice_of(text.len > 0 ? text.data + minus : "", text.len - minus), &magnitude)) {
        return false;
    }
    if (magnitude > (uint64_t)INT64_MAX + minus) {
        return false;
    }
    *number = minus == 0 ? (int64_t)magnitude : -1 - (int64_t)(magnitude - 1);
    return true;
}

coffer_slice coffer__number_write(int64_t number, char digits[COFFER__NUMBER_CAP]) {
    uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char *end = digits + COFFER__NUMBER_CAP;
    char *at = end;
    do {
        *--at = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude > 0);
    if (number < 0) {
        *--at = '-';
    }
    return coffer_slice_of(at, (size_t)(end - at));
}
