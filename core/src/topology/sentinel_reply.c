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

/* One that can be connected to, and from here: our own host's name for itself is no use in the mouth of another host. */
static bool is_address(coffer_slice host, coffer_slice port_text, coffer_slice asked, uint16_t *port) {
    uint64_t number = 0;
    bool fit = coffer__host_is_fit(host) && read_number(port_text, 65535, &number) && number > 0;
    *port = (uint16_t)number;
    return fit && (is_loopback(asked) || !is_loopback(host));
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
    if (reply->node_count == 0 || reply->nodes[0].type != COFFER__REPLY_ARRAY || !coffer_slice_equal(field(reply, "name"), master)) {
        return false;
    }
    coffer_slice epoch = field(reply, "config-epoch");
    answer->epoch = 0;
    answer->host = field(reply, "ip");
    return is_address(answer->host, field(reply, "port"), asked, &answer->port) && (epoch.len == 0 || read_number(epoch, INT64_MAX, &answer->epoch));
}

/* ---- announcements -------------------------------------------------------------------------------------------- */

bool coffer__sentinel_is_announcement(const coffer__reply *message) {
    return message->node_count == 4 && message->nodes[0].type == COFFER__REPLY_ARRAY &&
           coffer_slice_equal(coffer__reply_text(message, 1), COFFER_SLICE("message"));
}

static coffer_slice next_word(coffer_slice *text) {
    const char *blank = text->len == 0 ? NULL : (const char *)memchr(text->data, ' ', text->len);
    coffer_slice found = coffer_slice_of(text->data, blank == NULL ? text->len : (size_t)(blank - text->data));
    size_t taken = blank == NULL ? text->len : found.len + 1;
    *text = coffer_slice_of(text->len == 0 ? NULL : text->data + taken, text->len - taken);
    return found;
}

bool coffer__sentinel_read_switch(const coffer__reply *message, coffer_slice master, coffer_slice asked, coffer__sentinel_switch *news) {
    enum { NAME, OLD_HOST, OLD_PORT, NEW_HOST, NEW_PORT, WORDS };
    coffer_slice words[WORDS];
    if (!coffer__sentinel_is_announcement(message) || !coffer_slice_equal(coffer__reply_text(message, 2), COFFER_SLICE("+switch-master"))) {
        return false;
    }
    coffer_slice text = coffer__reply_text(message, 3);
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = next_word(&text);
    }
    news->old_host = words[OLD_HOST];
    news->new_host = words[NEW_HOST];
    return text.len == 0 && coffer_slice_equal(words[NAME], master) && is_address(words[OLD_HOST], words[OLD_PORT], asked, &news->old_port) &&
           is_address(words[NEW_HOST], words[NEW_PORT], asked, &news->new_port);
}
