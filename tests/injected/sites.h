/* Every function of the system that core/src/io and core/src/base call, as something that can fail: the linker gives the library's calls to functions
 * here (--wrap), which pass them on, or fail as the table says. CMakeLists.txt reads the names from the lines of the table.
 *
 *     site_begin(SITE_recv, 0, 7, 1)      the eighth recv fails with its first reason; the others succeed
 *     ... what is tested ...
 *     site_end()                          how many have failed; 0: there were no eight
 *
 * Calls of all threads are counted together. Those of shared libraries (OpenSSL, libc itself) are their own and not seen here.
 */
#ifndef COFFER_TESTS_INJECTED_SITES_H
#define COFFER_TESTS_INJECTED_SITES_H

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SITE_REASONS = 6, SITE_FOR_GOOD = 1 << 30 };

/* Reasons beside an errno: one byte only, where there is a length; nothing happens and 0 is the answer; or the errno comes after the call was carried out. */
enum { SITE_SHORT = -1, SITE_NOTHING = -2, SITE_AFTER = 1 << 16 };

/* clang-format off */
/* X(name, result, what a failure answers: -1 and errno, or the CODE itself; parameters, arguments, reasons). BYTES: `len` of them, which SITE_SHORT cuts.
 * MORE: it takes more arguments than are named. */
#define SITE_MAP(X, BYTES, MORE) \
    X(socket, int, ERRNO, (int family, int type, int protocol), (family, type, protocol), EMFILE, ENOBUFS, ENOMEM) \
    X(connect, int, ERRNO, (int fd, const struct sockaddr *at, socklen_t size), (fd, at, size), ENETUNREACH, ECONNREFUSED, ETIMEDOUT, EAGAIN, EINTR | SITE_AFTER) \
    BYTES(send, ssize_t, ERRNO, (int fd, const void *bytes, size_t len, int flags), (fd, bytes, len, flags), EPIPE, ECONNRESET, ENOBUFS, EINTR, EAGAIN, SITE_SHORT) \
    BYTES(recv, ssize_t, ERRNO, (int fd, void *into, size_t len, int flags), (fd, into, len, flags), ECONNRESET, ETIMEDOUT, ENOMEM, EINTR, EAGAIN, SITE_SHORT) \
    X(poll, int, ERRNO, (struct pollfd *all, nfds_t count, int wait_ms), (all, count, wait_ms), ENOMEM, EINTR, SITE_NOTHING) \
    X(ppoll, int, ERRNO, (struct pollfd *all, nfds_t count, const struct timespec *wait, const sigset_t *mask), (all, count, wait, mask), ENOMEM, EINTR, SITE_NOTHING) \
    X(setsockopt, int, ERRNO, (int fd, int level, int name, const void *value, socklen_t size), (fd, level, name, value, size), EINVAL, ENOMEM) \
    X(getsockopt, int, ERRNO, (int fd, int level, int name, void *value, socklen_t *size), (fd, level, name, value, size), ENOBUFS) \
    X(getsockname, int, ERRNO, (int fd, struct sockaddr *at, socklen_t *size), (fd, at, size), ENOBUFS) \
    X(shutdown, int, ERRNO, (int fd, int how), (fd, how), ENOTCONN) \
    X(close, int, ERRNO, (int fd), (fd), EINTR | SITE_AFTER, EIO | SITE_AFTER) \
    X(eventfd, int, ERRNO, (unsigned count, int flags), (count, flags), EMFILE, ENOMEM) \
    X(eventfd_read, int, ERRNO, (int fd, eventfd_t *count), (fd, count), EAGAIN, EINTR) \
    BYTES(read, ssize_t, ERRNO, (int fd, void *into, size_t len), (fd, into, len), EIO, EINTR, SITE_SHORT) \
    X(fstat, int, ERRNO, (int fd, struct stat *about), (fd, about), EIO) \
    X(stat, int, ERRNO, (const char *path, struct stat *about), (path, about), EACCES) \
    X(access, int, ERRNO, (const char *path, int mode), (path, mode), EACCES) \
    BYTES(getrandom, ssize_t, ERRNO, (void *into, size_t len, unsigned flags), (into, len, flags), ENOSYS, EINTR, SITE_SHORT) \
    X(mmap, void *, ERRNO, (void *at, size_t size, int may, int flags, int fd, off_t from), (at, size, may, flags, fd, from), ENOMEM) \
    X(madvise, int, ERRNO, (void *at, size_t size, int advice), (at, size, advice), EINVAL) \
    X(sysconf, long, ERRNO, (int name), (name), EINVAL) \
    X(getaddrinfo, int, CODE, (const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found), (host, port, hints, found), EAI_AGAIN, EAI_NONAME, EAI_MEMORY, EAI_SYSTEM) \
    X(pthread_create, int, CODE, (pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *argument), (thread, how, run, argument), EAGAIN) \
    X(pthread_key_create, int, CODE, (pthread_key_t *key, void (*end)(void *)), (key, end), EAGAIN) \
    X(pthread_setspecific, int, CODE, (pthread_key_t key, const void *value), (key, value), ENOMEM) \
    X(pthread_cond_timedwait, int, CODE, (pthread_cond_t *changed, pthread_mutex_t *mutex, const struct timespec *until), (changed, mutex, until), SITE_NOTHING) \
    X(pthread_atfork, int, CODE, (void (*before)(void), void (*parent)(void), void (*child)(void)), (before, parent, child), ENOMEM) \
    MORE(open, int, ERRNO, (const char *path, int flags, ...), (path, flags), EMFILE, ENOENT, EINTR) \
    MORE(fcntl, int, ERRNO, (int fd, int command, ...), (fd, command), EBADF, EINTR)

/* What is called beside those and not failed, and why. */
#define SITE_SPARED_MAP(X) \
    X("they compute, and ask nobody", "memchr memcmp memcpy memmove memset strlen strstr strerror snprintf vsnprintf inet_pton gai_strerror getenv explicit_bzero") \
    X("of memory: watched_alloc and starve fail them", "malloc realloc free") \
    X("they fail on a wrong argument alone", "clock_gettime sigfillset pthread_sigmask pthread_once pthread_key_delete munmap freeaddrinfo " \
        "pthread_mutex_lock pthread_mutex_unlock pthread_mutex_destroy pthread_cond_init pthread_cond_signal pthread_cond_broadcast pthread_cond_destroy " \
        "pthread_condattr_init pthread_condattr_setclock pthread_condattr_destroy " \
        "pthread_attr_init pthread_attr_setdetachstate pthread_attr_setstacksize pthread_attr_destroy pthread_join") \
    X("where it fails the thread that would have to be ended is not begun", "atexit") \
    X("glibc's never fails", "pthread_mutex_init") \
    X("of memory that processes share: tests/c/base/test_robust.c shows what comes of their answers", "pthread_mutex_trylock pthread_mutex_clocklock " \
        "pthread_mutex_timedlock pthread_mutex_consistent pthread_mutexattr_init pthread_mutexattr_setpshared pthread_mutexattr_setrobust " \
        "pthread_mutexattr_destroy") \
    X("a pause, which may end early", "nanosleep sched_yield") \
    X("where the counter is full it is readable, which is what was wanted", "eventfd_write") \
    X("a futex: its wait may end for nothing, its wake fails on a wrong argument alone", "syscall") \
    X("the compiler's own", "__errno_location __tls_get_addr __cpu_model __stack_chk_fail __assert_fail _GLOBAL_OFFSET_TABLE_")
/* clang-format on */

typedef enum site {
#define SITE_ENUM(name, ...) SITE_##name,
    SITE_MAP(SITE_ENUM, SITE_ENUM, SITE_ENUM)
#undef SITE_ENUM
        SITE_COUNT
} site;

const char *site_name(site which);
size_t site_reason_count(site which);
const char *site_reason_text(site which, size_t reason);
long site_hits(site which); /* how often it has failed, all in all */

/* From now on `skip_count` calls succeed, and then `fail_count` fail. */
void site_begin(site which, size_t reason, long skip_count, long fail_count);
long site_end(void);

/* What is to happen just before the next such call, in the thread that calls. */
typedef void (*site_moment)(void);
void site_at(site which, site_moment what);

/* A kernel that takes little at once: a send takes 1,000 bytes, and none each second time. */
void site_narrow(bool is_so);

#endif
