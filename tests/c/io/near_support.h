/* What the suites of near copies over the blocking driver share: a cache with copies on the suite's server, copies used by hand, and commands to the
 * server from somebody else. */
#ifndef COFFER_TESTS_IO_NEAR_SUPPORT_H
#define COFFER_TESTS_IO_NEAR_SUPPORT_H

#include "helpers.h"

#include "engine/channel.h"
#include "engine/client.h"
#include "io/clock.h"
#include "io/family.h"
#include "near/copies.h"

#include "with_server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Another client of the server, over its unix socket. */
static inline int connect_other(void) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, server.path, strlen(server.path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* One command, inline; the beginning of its answer. */
static inline void ask_by(int fd, const char *command, char *answer, size_t cap) {
    assert_int_equal(dprintf(fd, "%s\r\n", command) > 0, 1);
    ssize_t got = read(fd, answer, cap - 1);
    assert_true(got > 0);
    answer[got] = '\0';
    if (answer[0] == '-') {
        fail_msg("%s: %s", command, answer);
    }
}

static inline void tell(const char *command) {
    char answer[200];
    int fd = connect_other();
    ask_by(fd, command, answer, sizeof answer);
    close(fd);
}

/* With copies; what it does is begun by its first call. */
static inline coffer_cache *open_near(const char *more) {
    char url[200];
    snprintf(url, sizeof url, "&near=process&near_bytes=1MiB%s", more);
    return open_at(server.port, url);
}

static inline coffer__near *copies_of(const coffer_cache *cache) {
    return cache->family->client->copies;
}

static inline coffer__coherence *coherence_of(const coffer_cache *cache) {
    return coffer__near_coherence(copies_of(cache));
}

static inline bool is_live(const coffer_cache *cache) {
    return coffer__channels_any_live(coherence_of(cache), coffer__clock_ms());
}

static inline void await_live(const coffer_cache *cache, bool live) {
    for (uint64_t end_ms = real_ms() + 10000; is_live(cache) != live; pause_ms(1)) {
        assert_true(real_ms() < end_ms);
    }
}

static inline int channel_of(const coffer_cache *cache) {
    coffer_client *client = cache->family->client;
    return coffer__client_channel_of(client, coffer__topology_endpoint(client->topology, coffer_slice_of(NULL, 0), NULL));
}

static inline coffer_status keep(const coffer_cache *cache, const char *key, const char *value) {
    coffer__near_token token;
    uint64_t now_ms = coffer__clock_ms();
    coffer__near_expect(copies_of(cache), coffer_slice_text(key), now_ms, &token);
    coffer__near_copy copy = {.value = coffer_slice_text(value), .channel = (unsigned)channel_of(cache), .expires_at_ms = UINT64_MAX};
    return coffer__near_fill(copies_of(cache), &token, coffer_slice_text(key), &copy, now_ms);
}

static inline bool has(const coffer_cache *cache, const char *key) {
    coffer__buf out = COFFER__BUF_INIT;
    coffer__near_found found;
    coffer_status status = coffer__near_look(copies_of(cache), coffer_slice_text(key), coffer__clock_ms(), &out, &found);
    coffer__buf_free(&out);
    return status == COFFER_OK;
}

static inline void await_gone(const coffer_cache *cache, const char *key) {
    for (uint64_t end_ms = real_ms() + 10000; has(cache, key); pause_ms(1)) {
        assert_true(real_ms() < end_ms);
    }
}

/* Invalidations come in order: when that of the last SET has come, all have. */
static inline void await_all_heard(const coffer_cache *cache) {
    while (keep(cache, "test:_:mark", "1") != COFFER_OK) {
        await_live(cache, true);
    }
    tell("SET test:_:mark 2");
    await_gone(cache, "test:_:mark");
}

#endif
