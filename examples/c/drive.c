/* The smallest driver: one op at a time, on one socket, with poll(). docs/drivers.md begins with it.
 *
 *     drive [URL]        redis://127.0.0.1 unless another server is named (or mem://): one server, without TLS
 *     cc drive.c $(pkg-config --cflags --libs coffer)
 *
 * Programs that may block use cache.h, which is this with a pool, threads, TLS, Sentinel and Cluster.
 */
#include <coffer/coffer.h>

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

typedef struct wire {
    coffer_client *client;
    const coffer_endpoint *endpoint;
    coffer_conn *conn; /* NULL: not connected */
    int fd; /* -1 then */
    const char *why; /* there is no conn */
} wire;

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t left_ms(uint64_t until_ms) {
    uint64_t now = now_ms();
    return until_ms > now ? until_ms - now : 0;
}

/* ---- the socket ---- */

static void cut(wire *w) {
    coffer_conn_free(w->conn);
    if (w->fd >= 0) {
        close(w->fd);
    }
    w->conn = NULL;
    w->fd = -1;
}

/* Connecting takes no longer than the op may: a socket's time for sending counts for it. */
static int dial(const struct sockaddr *address, socklen_t bytes, uint64_t limit_ms) {
    struct timeval limit = {.tv_sec = (time_t)(limit_ms / 1000), .tv_usec = (suseconds_t)(limit_ms % 1000 * 1000 + 1)};
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 || connect(fd, address, bytes) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int dial_path(coffer_slice path, uint64_t until_ms) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path.len >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path.data, path.len);
    return dial((const struct sockaddr *)&address, sizeof address, left_ms(until_ms));
}

static int dial_host(const coffer_endpoint *to, uint64_t until_ms) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char host[256], port[8];
    int fd = -1;
    snprintf(host, sizeof host, "%.*s", (int)to->host.len, to->host.data);
    snprintf(port, sizeof port, "%u", (unsigned)to->port);
    if (getaddrinfo(host, port, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    for (const struct addrinfo *one = found; fd < 0 && one != NULL; one = one->ai_next) {
        fd = dial(one->ai_addr, one->ai_addrlen, left_ms(until_ms));
    }
    freeaddrinfo(found);
    return fd;
}

/* A conn to where a call goes: the one at hand, or a new one. */
static coffer_status reach(wire *w, const coffer_endpoint *to, uint64_t until_ms) {
    if (w->conn != NULL && w->endpoint == to) {
        return COFFER_OK;
    }
    cut(w);
    if (to->tls) {
        w->why = "this driver has no TLS, which would stand between socket and conn";
        return COFFER_TLS;
    }
    w->endpoint = to;
    w->fd = to->path.len > 0 ? dial_path(to->path, until_ms) : dial_host(to, until_ms);
    w->why = w->fd < 0 ? strerror(errno) : NULL;
    return w->fd < 0 ? COFFER_CONNECT : coffer_conn_new(&w->conn, w->client, to, now_ms());
}

/* Writes what is to be written, reads what has come: one round, that ends at `until_ms`. */
static void exchange(wire *w, uint64_t until_ms) {
    char in[16384];
    uint64_t wait_ms = left_ms(until_ms);
    coffer_slice out = w->conn == NULL ? COFFER_SLICE("") : coffer_conn_output(w->conn);
    struct pollfd watched = {.fd = w->fd, .events = (short)(out.len > 0 ? POLLIN | POLLOUT : POLLIN)};
    if (poll(&watched, 1, wait_ms < INT_MAX ? (int)wait_ms : INT_MAX) <= 0) {
        return;
    }
    ssize_t sent = (watched.revents & POLLOUT) != 0 ? send(w->fd, out.data, out.len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    coffer_conn_sent(w->conn, sent > 0 ? (size_t)sent : 0);
    ssize_t came = recv(w->fd, in, sizeof in, MSG_DONTWAIT);
    if (came > 0) {
        coffer_conn_feed(w->conn, coffer_slice_of(in, (size_t)came), now_ms());
    } else if (came == 0 || (errno != EAGAIN && errno != EINTR)) {
        coffer_conn_fail(w->conn, COFFER_CLOSED, came == 0 ? NULL : strerror(errno));
    }
    if (coffer_conn_status(w->conn) != COFFER_OK) {
        cut(w);
    }
}

/* ---- the loop ---- */

static void drive(wire *w, coffer_op *op) {
    coffer_action action;
    coffer_status status;
    for (;;) {
        switch (coffer_op_next(op, now_ms(), &action)) {
        case COFFER_WANT_CALL:
            status = reach(w, action.endpoint, coffer_op_deadline_ms(op));
            status = status == COFFER_OK ? coffer_call_send(action.call, w->conn) : status;
            if (status != COFFER_OK) {
                coffer_call_fail(action.call, status, w->why);
            }
            break;
        case COFFER_WANT_LOAD:
            coffer_op_supply(op, COFFER_SLICE("what a loader has found"), NULL, 0);
            break;
        case COFFER_WANT_DONE:
            return;
        default: /* REPLY, SLEEP: until then; WAIT needs another op, which is not here */
            exchange(w, action.wake_at_ms);
            break;
        }
    }
}

/* ---- the program ---- */

static bool show(wire *w, coffer_namespace *ns) {
    coffer_op *op = NULL;
    if (coffer_op_get_or_load(&op, ns, COFFER_SLICE("user:42"), NULL) != COFFER_OK) {
        return false;
    }
    drive(w, op);
    bool good = coffer_op_status(op) >= 0;
    const coffer_value *value = coffer_op_value(op);
    if (good) {
        printf("user:42: %.*s (%s)\n", (int)value->data.len, value->data.data, coffer_source_name(value->source));
    } else {
        fprintf(stderr, "user:42: %s\n", coffer_op_message(op));
    }
    coffer_op_free(op);
    return good;
}

int main(int argc, char **argv) {
    wire w = {.fd = -1};
    coffer_namespace *ns = NULL;
    coffer_error error = {.text = "no memory"};
    coffer_options *options = coffer_options_new();
    bool good = options != NULL &&
                coffer_options_set_url(options, coffer_slice_text(argc > 1 ? argv[1] : "redis://127.0.0.1"), &error) == COFFER_OK &&
                coffer_client_new(&w.client, options, (coffer_clock){now_ms(), (uint64_t)time(NULL) * 1000}, &error) == COFFER_OK &&
                coffer_namespace_new(&ns, w.client, NULL, &error) == COFFER_OK;
    coffer_options_free(options);
    if (!good) {
        fprintf(stderr, "drive: %s\n", error.text);
    }
    good = good && show(&w, ns) && show(&w, ns);
    cut(&w);
    coffer_namespace_free(ns);
    coffer_client_free(w.client);
    return good ? 0 : 1;
}
