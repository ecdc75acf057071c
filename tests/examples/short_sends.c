/* Preloaded: the kernel takes seven bytes of a send at most, and none of every third. */
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

ssize_t send(int fd, const void *data, size_t bytes, int flags) {
    static ssize_t (*real)(int, const void *, size_t, int);
    static unsigned turn;
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "send");
    }
    if (++turn % 3 == 0) {
        errno = EAGAIN;
        return -1;
    }
    return real(fd, data, bytes < 7 ? bytes : 7, flags);
}
