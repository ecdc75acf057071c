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

/* The value of a field of the row at this node, empty where it is not there. */
static coffer_slice field(const coffer__reply *reply, size_t row, const char *name) {
    size_t end = coffer__reply_after(reply, row);
    for (size_t i = row + 1; i + 1 < end; i = coffer__reply_after(reply, i + 1)) {
        if (coffer_slice_equal(coffer__reply_text(reply, i), coffer_slice_text(name))) {
            return coffer__reply_text(reply, i + 1);
        }
    }
    return coffer_slice_of(NULL, 0);
}

/* Host and port of a row. */
static bool read_address(const coffer__reply *reply, size_t row, coffer_slice asked, coffer__sentinel_answer *answer) {
    answer->host = field(reply, row, "ip");
    return is_address(answer->host, field(reply, row, "port"), asked, &answer->port);
}

bool coffer__sentinel_read(const coffer__reply *reply, coffer_slice master, coffer_slice asked, coffer__sentinel_answer *answer) {
    if (reply->node_count == 0 || reply->nodes[0].type != COFFER__REPLY_ARRAY || !coffer_slice_equal(field(reply, 0, "name"), master)) {
        return false;
    }
    coffer_slice epoch = field(reply, 0, "config-epoch");
    answer->epoch = 0;
    return read_address(reply, 0, asked, answer) && (epoch.len == 0 || read_number(epoch, INT64_MAX, &answer->epoch));
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

/* ---- replicas --------------------------------------------------------------------------------------------------- */

static bool has_word(coffer_slice words, const char *word) {
    size_t len = strlen(word);
    for (size_t from = 0, to; from < words.len; from = to + 1) {
        for (to = from; to < words.len && words.data[to] != ','; to++) {
        }
        if (to - from == len && memcmp(words.data + from, word, len) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_well(const coffer__reply *reply, size_t row) {
    static const char *const ill[] = {"s_down", "o_down", "disconnected"};
    coffer_slice flags = field(reply, row, "flags"), link = field(reply, row, "master-link-status");
    bool well = (link.len == 0 || coffer_slice_equal(link, COFFER_SLICE("ok"))) &&
                !coffer_slice_equal(field(reply, row, "replica-announced"), COFFER_SLICE("0"));
    for (size_t i = 0; well && i < sizeof ill / sizeof ill[0]; i++) {
        well = !has_word(flags, ill[i]);
    }
    return well;
}

bool coffer__sentinel_next_replica(const coffer__reply *reply, size_t *node, coffer_slice asked, coffer__sentinel_answer *replica) {
    bool is_list = reply->node_count > 0 && reply->nodes[0].type == COFFER__REPLY_ARRAY;
    while (is_list && *node < reply->node_count) {
        size_t row = *node;
        *node = coffer__reply_after(reply, row);
        if (reply->nodes[row].type == COFFER__REPLY_ARRAY && is_well(reply, row) && read_address(reply, row, asked, replica)) {
            return true;
        }
    }
    return false;
}
