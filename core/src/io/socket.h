/* Stream sockets, one system call each: what the rest of io/ needs of them.
 *
 * A socket connects without blocking. Once it is open it is put into blocking mode with a receive time-out of 50 ms, because a request and its reply
 * then cost two system calls instead of three: recv waits by itself. Only where less than that is left (or 50 ms have passed) does a wait go through
 * poll, which keeps to the millisecond. Everything else on the socket says MSG_DONTWAIT.
 *     Measured on loopback, redis 7.0.15, a GET at a time, p50 of 20,000, best of seven rounds: blocking send and recv alone 13.7 us; with the check of
 *     the idle link before (coffer__socket_is_quiet) 14.6 us; with that check and a poll before each recv 15.0 us.
 *
 * Errors are errno values. EINTR is never seen outside, and never moves a deadline. SIGPIPE is never raised. */
#ifndef COFFER_IO_SOCKET_H
#define COFFER_IO_SOCKET_H

#include <coffer/types.h>

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/types.h>

typedef struct coffer__address {
    struct sockaddr_storage storage;
    socklen_t len;
} coffer__address;

/* A socket (close on exec) that connects to the address. 0: connected; EINPROGRESS: wait for POLLOUT, then ask coffer__socket_error;
 * else why not, and *fd is -1. EAGAIN: a unix socket whose queue is full, try again. A child that another thread forks meanwhile finds the socket in *fd,
 * but for the few instructions between its making and that. */
int coffer__socket_connect(_Atomic int *fd, const coffer__address *address);

/* What became of a connect in progress; 0: it is open. */
int coffer__socket_error(int fd);

/* For an open socket: blocking with the receive time-out, no Nagle, keepalive after keepalive_ms (TCP). 0 or why not. */
int coffer__socket_settle(int fd, uint64_t keepalive_ms);

/* Waits for the events (POLLIN, POLLOUT). Those that came, errors and hang-ups among them; 0 when the time has passed. fd -1: just waits. */
short coffer__socket_wait(int fd, short events, uint64_t until_us);

/* Nothing to read, not closed: may be used again (F02). A FIN shows as POLLIN, a reset as POLLERR, so POLLIN alone asks for all. */
bool coffer__socket_is_quiet(int fd);

/* How much was taken, or -errno; -EAGAIN where the kernel takes nothing now. */
ssize_t coffer__socket_send(int fd, coffer_slice bytes);

/* How much came, 0 at the end of the stream, or -errno; -EAGAIN when the time has passed. now_us: about what the clock says. */
ssize_t coffer__socket_receive(int fd, char *into, size_t cap, uint64_t now_us, uint64_t until_us);

/* What is there already; -EAGAIN where nothing is. */
ssize_t coffer__socket_receive_now(int fd, char *into, size_t cap);

void coffer__socket_close(int fd); /* takes -1 */

#endif
