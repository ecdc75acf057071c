#define _GNU_SOURCE /* ppoll */

#include "socket.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/time.h>
#include <unistd.h>

enum { RECEIVE_TIMEOUT_MS = 50, RECEIVE_MARGIN_MS = 10 };

int coffer__socket_connect(_Atomic int *fd, const coffer__address *address) {
    int made = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    atomic_store(fd, made);
    if (made < 0) {
        return errno;
    }
    int failed = connect(made, (const struct sockaddr *)&address->storage, address->len) == 0 ? 0 : errno;
    if (failed == EINTR) { /* it goes on all the same */
        failed = EINPROGRESS;
    }
    if (failed != 0 && failed != EINPROGRESS) {
        coffer__socket_close(atomic_exchange(fd, -1));
    }
    return failed;
}

int coffer__socket_error(int fd) {
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

static bool set(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static bool settle_tcp(int fd, uint64_t keepalive_ms) {
    uint64_t seconds = keepalive_ms / 1000;
    int idle_s = seconds < 1 ? 1 : seconds > 32767 ? 32767 : (int)seconds; /* the kernel's largest */
    return set(fd, IPPROTO_TCP, TCP_NODELAY, 1) && set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) && set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
}

int coffer__socket_settle(int fd, uint64_t keepalive_ms) {
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    const struct timeval time_out = {.tv_sec = 0, .tv_usec = RECEIVE_TIMEOUT_MS * 1000};
    bool settled = getsockname(fd, (struct sockaddr *)&own, &len) == 0 && (own.ss_family == AF_UNIX || settle_tcp(fd, keepalive_ms)) &&
                   setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time_out, sizeof time_out) == 0;
    int flags = settled ? fcntl(fd, F_GETFL) : -1;
    return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 ? 0 : errno;
}

short coffer__socket_wait(int fd, short events, uint64_t until_us) {
    struct pollfd wait = {.fd = fd, .events = events};
    for (;;) {
        const struct timespec left = coffer__clock_left(until_us);
        int count = ppoll(&wait, 1, &left, NULL);
        if (count > 0) {
            return wait.revents;
        }
        if ((left.tv_sec == 0 && left.tv_nsec == 0) || (count < 0 && errno != EINTR) || coffer__clock_is_moved()) {
            return count < 0 && errno != EINTR ? POLLERR : 0;
        }
    }
}

bool coffer__socket_is_quiet(int fd) {
    struct pollfd look = {.fd = fd, .events = POLLIN};
    int count;
    do {
        count = poll(&look, 1, 0);
    } while (count < 0 && errno == EINTR);
    return count == 0;
}

ssize_t coffer__socket_send(int fd, coffer_slice bytes) {
    ssize_t sent;
    do {
        sent = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 ? sent : errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

ssize_t coffer__socket_receive_now(int fd, char *into, size_t cap) {
    ssize_t got;
    do {
        got = recv(fd, into, cap, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    return got >= 0 ? got : errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

ssize_t coffer__socket_receive(int fd, char *into, size_t cap, uint64_t now_us, uint64_t until_us) {
    if (until_us > now_us && until_us - now_us >= (RECEIVE_TIMEOUT_MS + RECEIVE_MARGIN_MS) * COFFER__US_PER_MS && !coffer__clock_is_moved()) {
        ssize_t got = recv(fd, into, cap, 0);
        if (got >= 0 || (errno != EAGAIN && errno != EINTR)) {
            return got >= 0 ? got : -errno;
        }
    }
    for (;;) {
        if (coffer__socket_wait(fd, POLLIN, until_us) == 0) {
            return -EAGAIN;
        }
        ssize_t got = coffer__socket_receive_now(fd, into, cap);
        if (got != -EAGAIN || coffer__clock_us() >= until_us) { /* a poll that fails does not wait */
            return got;
        }
    }
}

void coffer__socket_close(int fd) {
    if (fd >= 0) {
        close(fd); /* EINTR: Linux has closed it all the same */
    }
}
