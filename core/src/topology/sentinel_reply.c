#include "sentinel_reply.h"

#include "redirect.h"

#include <string.h>

static bool read_number(coffer_slice text, uint64_t most, uint64_t *number) {
    *number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || *number > most / 10) {
            return false;
        }
        *number = *number * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.len > 0 && text.len < 20 && *number <= most;
}

static bool begins_with(coffer_slice text, const char *start) {
    size_t len = strlen(start);
    return text.len >= len && memcmp(text.data, start, len) == 0;
}

static bool is_loopback(coffer_slice host) {
    return begins_with(host, "127.") || coffer_slice_equal(host, COFFER_SLICE("::1")) || coffer_slice_equal(host, COFFER_SLICE("localhost"));
}

/* The value of a field, empty where it is not there. */
static coffer_slice field(const coffer__reply *reply, const char *name) {
    for (size_t i = 1; i + 1 < reply->node_count; i = coffer__reply_after(reply, i + 1)) {
        if (coffer_slice_equal(coffer__reply_text(reply, i), coffer_slice_text(name))) {
            return coffer__reply_text(reply, i + 1);
        }
    }
    return coffer_slice_of(NULL, 0);
}

bool coffer__sentinel_read(const coffer__reply *reply, coffer_slice master, coffer_slice asked, coffer__sentinel_answer *answer) {
    uint64_t port = 0;
    if (reply->node_count == 0 || reply->nodes[0].type != COFFER__REPLY_ARRAY || !coffer_slice_equal(field(reply, "name"), master)) {
        return false;
    }
    coffer_slice epoch = field(reply, "config-epoch");
    answer->epoch = 0;
    answer->host = field(reply, "ip");
    bool fit = coffer__host_is_fit(answer->host) && read_number(field(reply, "port"), 65535, &port) && port > 0 &&
               (epoch.len == 0 || read_number(epoch, INT64_MAX, &answer->epoch));
    answer->port = (uint16_t)port;
    return fit && (is_loopback(asked) || !is_loopback(answer->host));
}
