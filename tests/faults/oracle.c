/* The oracle: says when the server itself serves, whatever Coffer thinks of it. A bare socket, asked every millisecond; no code of Coffer's.
 *
 *     fault_oracle ADDRESS [QUESTION ANSWER]      "up 123456" and "down 123500" on its output, in microseconds of CLOCK_MONOTONIC; ends with its input
 *
 * It serves when its answer begins so: PING and +PONG, unless told. "SET probe:7 x" and +OK say when a replica has become a primary. */
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

enum { PERIOD_US = 1000, PATIENCE_MS = 20, LINE_CAP = 256 };

static bool can(int fd, short events) {
    struct pollfd one = {.fd = fd, .events = events};
    return poll(&one, 1, PATIENCE_MS) == 1 && (one.revents & events) != 0;
}

typedef struct probe {
    char question[LINE_CAP];
    const char *answer;
} probe;

/* One line there, one line back. */
static bool ask(int fd, const probe *wanted) {
    char got[LINE_CAP];
    size_t asked = strlen(wanted->question), awaited = strlen(wanted->answer);
    if (!can(fd, POLLOUT) || send(fd, wanted->question, asked, MSG_NOSIGNAL) != (ssize_t)asked || !can(fd, POLLIN)) {
        return false;
    }
    ssize_t len = recv(fd, got, sizeof got, 0);
    return len > 0 && got[len - 1] == '\n' && (size_t)len >= awaited && memcmp(got, wanted->answer, awaited) == 0;
}

static bool input_has_ended(void) {
    struct pollfd one = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    return poll(&one, 1, 0) == 1 && read(STDIN_FILENO, &byte, 1) <= 0;
}

int main(int argc, char **argv) {
    probe wanted = {.question = "PING\r\n", .answer = "+PONG\r\n"};
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: fault_oracle ADDRESS [QUESTION ANSWER]\n");
        return 2;
    }
    if (argc == 4) {
        snprintf(wanted.question, sizeof wanted.question, "%s\r\n", argv[2]);
        wanted.answer = argv[3];
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int fd = -1;
    bool was_up = false;
    while (!input_has_ended()) {
        uint64_t at_us = now_us(); /* of the question: the server is not up before it was asked */
        fd = fd < 0 ? address_connect(argv[1]) : fd;
        bool is_up = fd >= 0 && ask(fd, &wanted);
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
