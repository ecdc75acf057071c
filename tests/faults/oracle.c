/* The oracle: says when the server itself serves, whatever Coffer thinks of it. A bare socket, asked every millisecond; no code of Coffer's.
 *
 *     fault_oracle ADDRESS        "up 123456" and "down 123500" on its output, in microseconds of CLOCK_MONOTONIC; ends with its input
 */
#include "address.h"
#include "control.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PERIOD_US = 1000, PATIENCE_MS = 20 };

static bool can(int fd, short events) {
    struct pollfd one = {.fd = fd, .events = events};
    return poll(&one, 1, PATIENCE_MS) == 1 && (one.revents & events) != 0;
}

static bool ask(int fd) {
    static const char question[] = "PING\r\n", answer[] = "+PONG\r\n";
    char got[sizeof answer];
    return can(fd, POLLOUT) && send(fd, question, sizeof question - 1, MSG_NOSIGNAL) == (ssize_t)sizeof question - 1 && can(fd, POLLIN) &&
           recv(fd, got, sizeof got, 0) == (ssize_t)sizeof answer - 1 && memcmp(got, answer, sizeof answer - 1) == 0;
}

static bool input_has_ended(void) {
    struct pollfd one = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    return poll(&one, 1, 0) == 1 && read(STDIN_FILENO, &byte, 1) <= 0;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: fault_oracle ADDRESS\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int fd = -1;
    bool was_up = false;
    while (!input_has_ended()) {
        uint64_t at_us = now_us(); /* of the question: the server is not up before it was asked */
        fd = fd < 0 ? address_connect(argv[1]) : fd;
        bool is_up = fd >= 0 && ask(fd);
        if (!is_up && fd >= 0) {
            close(fd);
            fd = -1;
        }
        if (is_up != was_up) {
            printf("%s %llu\n", is_up ? "up" : "down", (unsigned long long)(is_up ? now_us() : at_us));
            was_up = is_up;
        }
        sleep_us(PERIOD_US);
    }
    return 0;
}
