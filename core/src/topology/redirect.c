#include "redirect.h"

#include "endpoints.h"
#include "slots.h"

#include <string.h>

bool coffer__host_is_fit(coffer_slice host) {
    for (size_t i = 0; i < host.len; i++) {
        if ((uint8_t)host.data[i] <= 0x20 || (uint8_t)host.data[i] >= 0x7F) {
            return false;
        }
    }
    return host.len > 0 && host.len <= COFFER__HOST_BYTES_MAX && !coffer_slice_equal(host, COFFER_SLICE("?"));
}

/* The text up to the next blank, which is taken off with it. */
static coffer_slice next_word(coffer_slice *rest) {
    if (rest->len == 0) {
        return *rest;
    }
    const char *blank = (const char *)memchr(rest->data, ' ', rest->len);
    size_t len = blank == NULL ? rest->len : (size_t)(blank - rest->data);
    coffer_slice word = coffer_slice_of(rest->data, len);
    size_t skip = blank == NULL ? len : len + 1;
    *rest = coffer_slice_of(rest->data + skip, rest->len - skip);
    return word;
}

/* 1 to 5 digits, and at most `most`. */
static bool read_number(coffer_slice text, unsigned most, uint16_t *number) {
    unsigned value = 0;
    for (size_t i = 0; i < text.len && i < 6; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(text.data[i] - '0');
    }
    *number = (uint16_t)value;
    return text.len > 0 && text.len <= 5 && value <= most;
}

bool coffer__redirect_read(coffer_slice text, coffer__redirect *redirect) {
    coffer_slice rest = text;
    (void)next_word(&rest);
    coffer_slice slot = next_word(&rest);
    size_t colon = rest.len;
    while (colon > 0 && rest.data[colon - 1] != ':') { /* the last: an IPv6 address has others */
        colon--;
    }
    if (colon == 0 || !read_number(slot, COFFER__SLOTS - 1, &redirect->slot)) {
        return false;
    }
    redirect->host = coffer_slice_of(rest.data, colon - 1);
    coffer_slice port = coffer_slice_of(rest.data + colon, rest.len - colon);
    return (redirect->host.len == 0 || coffer__host_is_fit(redirect->host)) && read_number(port, 65535, &redirect->port) && redirect->port != 0;
}

bool coffer__redirect_is_to(const coffer__redirect *redirect, const coffer_endpoint *asked) {
    return redirect->port == asked->port && (redirect->host.len == 0 || coffer_slice_equal(redirect->host, asked->host));
}
