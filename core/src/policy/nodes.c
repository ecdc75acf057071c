#include "nodes.h"

#include <string.h>

static size_t find(coffer_slice text, char byte) {
    const char *at = text.len == 0 ? NULL : (const char *)memchr(text.data, byte, text.len);
    return at == NULL ? text.len : (size_t)(at - text.data);
}

/* What is behind the first `len` bytes; nothing where there are fewer. */
static coffer_slice tail(coffer_slice text, size_t len) {
    return len >= text.len ? coffer_slice_of(NULL, 0) : coffer_slice_of(text.data + len, text.len - len);
}

static bool is_host(coffer_slice host, bool has_brackets) {
    for (size_t i = 0; i < host.len; i++) {
        if ((uint8_t)host.data[i] <= 0x20 || (uint8_t)host.data[i] >= 0x7F || strchr("/@?#[]\\\"'<>", host.data[i]) != NULL) {
            return false;
        }
    }
    return host.len > 0 && host.len <= 253 && (find(host, ':') < host.len) == has_brackets;
}

static bool read_port(coffer_slice text, uint16_t *port) {
    unsigned number = 0;
    for (size_t i = 0; i < text.len && i < 6; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        number = number * 10 + (unsigned)(text.data[i] - '0');
    }
    *port = (uint16_t)number;
    return text.len > 0 && text.len <= 5 && number >= 1 && number <= 65535;
}

coffer__nodes coffer__nodes_next(coffer_slice *rest, coffer__node_name *name) {
    if (rest->len == 0) {
        return COFFER__NODES_END;
    }
    size_t end = find(*rest, ',');
    coffer_slice one = coffer_slice_of(rest->data, end);
    bool ends_in_comma = end + 1 == rest->len;
    *rest = tail(*rest, end + 1);
    bool has_brackets = one.len > 0 && one.data[0] == '[';
    size_t host_end = find(one, has_brackets ? ']' : ':');
    name->host = has_brackets ? tail(coffer_slice_of(one.data, host_end), 1) : coffer_slice_of(one.data, host_end);
    coffer_slice behind = tail(one, has_brackets ? host_end + 1 : host_end);
    name->port = 0;
    bool good = !ends_in_comma && (!has_brackets || host_end < one.len) && is_host(name->host, has_brackets) &&
                (behind.len == 0 || (behind.data[0] == ':' && read_port(tail(behind, 1), &name->port)));
    return good ? COFFER__NODES_ONE : COFFER__NODES_BAD;
}

bool coffer__nodes_are_fit(coffer_slice text) {
    coffer__node_name name;
    size_t count = 0;
    coffer__nodes next;
    while ((next = coffer__nodes_next(&text, &name)) == COFFER__NODES_ONE) {
        count++;
    }
    return next == COFFER__NODES_END && count >= 1 && count <= 64;
}
