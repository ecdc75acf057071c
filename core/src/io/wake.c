#include "wake.h"

#include "clock.h"
#include "socket.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

void coffer__wake_init(coffer__wake *wake) {
    atomic_init(&wake->state, COFFER__WAKE_CLEAR);
    wake->fd = -1;
}

void coffer__wake_end(coffer__wake *wake) {
    coffer__socket_close(wake->fd);
}

void coffer__wake_after_fork(coffer__wake *wake) {
    coffer__wake_end(wake);
    coffer__wake_init(wake);
}

void coffer__wake_up(coffer__wake *wake) {
    switch (atomic_exchange_explicit(&wake->state, COFFER__WAKE_UP, memory_order_acq_rel)) {
    case COFFER__WAKE_SLEEPING:
        syscall(SYS_futex, &wake->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        break;
    case COFFER__WAKE_POLLING:
        eventfd_write(wake->fd, 1);
        break;
    default:
        break;
    }
}

/* CLEAR becomes `waits`; false where it is up. */
static bool begin(coffer__wake *wake, uint32_t waits) {
    uint32_t clear = COFFER__WAKE_CLEAR;
    return atomic_compare_exchange_strong_explicit(&wake->state, &clear, waits, memory_order_acq_rel, memory_order_acquire);
}

/* And back; it stays up where it is. */
static void end(coffer__wake *wake, uint32_t waits) {
    atomic_compare_exchange_strong_explicit(&wake->state, &waits, COFFER__WAKE_CLEAR, memory_order_acq_rel, memory_order_acquire);
}

void coffer__wake_sleep(coffer__wake *wake, uint64_t until_us) {
    const struct timespec until = coffer__clock_deadline(until_us);
    if (!begin(wake, COFFER__WAKE_SLEEPING)) {
        return;
    }
    bool over = false;
    while (!coffer__wake_is_up(wake) && !over) {
        long failed = syscall(SYS_futex, &wake->state, FUTEX_WAIT_BITSET_PRIVATE, COFFER__WAKE_SLEEPING, &until, NULL, FUTEX_BITSET_MATCH_ANY);
        over = failed != 0 && errno != EINTR && errno != EAGAIN;
    }
    end(wake, COFFER__WAKE_SLEEPING);
}

bool coffer__wake_has_fd(coffer__wake *wake) {
    if (wake->fd < 0) {
        wake->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return wake->fd >= 0;
}

bool coffer__wake_begin_poll(coffer__wake *wake) {
    return begin(wake, COFFER__WAKE_POLLING);
}

void coffer__wake_end_poll(coffer__wake *wake) {
    eventfd_t drained;
    end(wake, COFFER__WAKE_POLLING);
    eventfd_read(wake->fd, &drained);
}
