/* From an endpoint to a socket that is connecting, without waiting: names are looked up by a thread, addresses are tried one after another.
 *
 *     dial_begin(&dial, endpoint, ring, data)   DONE: dial_next may be called; SEARCHING: when `ring` was called (by any thread) and dial_found says so
 *     fd = dial_next(&dial)                     that connects; -1: no address is left, dial.status and dial.why say what was wrong with the last
 *     dial_clear(&dial)                         waits for the thread
 *
 * A loop with a resolver of its own (libuv, c-ares) may do without the thread. */
#ifndef DIAL_H
#define DIAL_H

#include <coffer/driver.h>

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct dial {
    struct addrinfo *found, *next, path; /* all, the next one, the one of a unix socket */
    struct sockaddr_un path_address;
    char host[256], port[8];
    pthread_t thread;
    bool searching;
    atomic_bool ended;
    int error;
    void (*ring)(void *data);
    void *data;
    coffer_status status;
    const char *why;
} dial;

static bool dial_fail(dial *d, coffer_status status, const char *why) {
    d->status = status;
    d->why = why;
    return false;
}

static void *dial_search(void *data) {
    dial *d = (dial *)data;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    d->error = getaddrinfo(d->host, d->port, &hints, &d->found);
    atomic_store(&d->ended, true);
    d->ring(d->data);
    return NULL;
}

/* False: it cannot be reached. */
static bool dial_begin(dial *d, const coffer_endpoint *to, void (*ring)(void *data), void *data) {
    if (to->path.len >= sizeof d->path_address.sun_path) {
        return dial_fail(d, COFFER_CONNECT, "the path is too long");
    }
    d->ring = ring;
    d->data = data;
    if (to->path.len > 0) {
        d->path_address.sun_family = AF_UNIX;
        memcpy(d->path_address.sun_path, to->path.data, to->path.len);
        d->path = (struct addrinfo){.ai_family = AF_UNIX, .ai_addr = (struct sockaddr *)&d->path_address, .ai_addrlen = sizeof d->path_address};
        d->next = &d->path;
        return true;
    }
    snprintf(d->host, sizeof d->host, "%.*s", (int)to->host.len, to->host.data);
    snprintf(d->port, sizeof d->port, "%u", (unsigned)to->port);
    d->searching = pthread_create(&d->thread, NULL, dial_search, d) == 0;
    return d->searching || dial_fail(d, COFFER_DNS, "no thread to look up the name");
}

static void dial_join(dial *d) {
    if (d->searching) {
        pthread_join(d->thread, NULL);
        d->searching = false;
        d->next = d->found;
    }
}

/* Whether what was looked up has come, or nothing was to be. */
static bool dial_found(dial *d) {
    if (d->searching && !atomic_load(&d->ended)) {
        return false;
    }
    dial_join(d);
    if (d->error != 0) {
        dial_fail(d, COFFER_DNS, gai_strerror(d->error));
    }
    return true;
}

static int dial_next(dial *d) {
    while (d->next != NULL) {
        const struct addrinfo *to = d->next;
        d->next = to->ai_next;
        int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0 && (connect(fd, to->ai_addr, to->ai_addrlen) == 0 || errno == EINPROGRESS)) {
            return fd;
        }
        dial_fail(d, COFFER_CONNECT, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
    }
    return -1;
}

/* Whether the socket, which can be written now, is connected. */
static bool dial_reached(dial *d, int fd) {
    int error = 0;
    socklen_t bytes = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0) {
        error = errno;
    }
    return error == 0 || dial_fail(d, COFFER_CONNECT, strerror(error));
}

static void dial_clear(dial *d) {
    dial_join(d);
    if (d->found != NULL) {
        freeaddrinfo(d->found);
    }
}

#endif
