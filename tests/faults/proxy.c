/* A proxy that breaks connections on purpose, in user space, because netem is not everywhere.
 *
 *     fault_proxy LISTEN BACKEND SEED        each a port of 127.0.0.1 (LISTEN 0: a free one) or the path of a unix socket
 *
 * It says "ready PORT" on its standard output, takes commands on its standard input, one a line, answers each with one line, and ends with its input.
 * Both may be a socket.
 *
 *     set up|down TOXIC [permille=N] [ms=N] [max_ms=N] [bytes=N]     "ok" or "no"; the toxics are in toxics.h
 *     clear up|down [TOXIC]                                          one or all of a direction
 *     ghost                                                          a reply that nobody asked for, to each connection: "ok N"
 *     reset                                                          each connection is reset: "ok N"
 *     backend ADDRESS                                                of the connections that come
 *     counts                                                         "connections=5 up_bytes=900 ... down_latency=17": what happened so far
 *
 * One process, one loop around ppoll. */
#define _GNU_SOURCE
#include "address.h"
#include "pipe.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, FILLERS = 8, UP = 0, DOWN = 1, POLLS_AT_FIRST = 2, LINE_BYTES = 256 };

typedef struct connection {
    int fds[2]; /* of the caller, of the server */
    fault_pipe pipes[2]; /* up, down */
} connection;

static struct {
    int listener;
    const char *listens_at;
    uint16_t port;
    char backend[108];
    bool hangs;
    int fillers[FILLERS];
    toxics toxics[2];
    connection *connections[CONNECTIONS_MAX];
    size_t count;
    uint64_t accepted_count, refused_count, bytes[2];
    struct pollfd polls[POLLS_AT_FIRST + 2 * CONNECTIONS_MAX];
    char line[LINE_BYTES];
    size_t line_len;
} proxy;

static const char *const directions[] = {"up", "down"};

/* ---- connections -------------------------------------------------------------------------------------------------- */

static void end_connection(size_t index, bool resets) {
    connection *gone = proxy.connections[index];
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    for (size_t i = 0; i < 2; i++) {
        if (resets) {
            setsockopt(gone->fds[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        }
        close(gone->fds[i]);
        proxy.bytes[i] += gone->pipes[i].passed_bytes;
        pipe_clear(&gone->pipes[i]);
    }
    free(gone);
    proxy.connections[index] = proxy.connections[--proxy.count];
}

static void refuse(int fd) {
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    proxy.refused_count++;
}

static void begin_connection(int caller) {
    int one = 1;
    setsockopt(caller, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int server = proxy.count < CONNECTIONS_MAX ? address_connect(proxy.backend) : -1;
    connection *made = server < 0 ? NULL : (connection *)calloc(1, sizeof *made);
    if (made == NULL) {
        refuse(caller);
        return;
    }
    made->fds[0] = caller;
    made->fds[1] = server;
    made->pipes[UP] = (fault_pipe){.from = caller, .to = server, .toxics = &proxy.toxics[UP]};
    made->pipes[DOWN] = (fault_pipe){.from = server, .to = caller, .toxics = &proxy.toxics[DOWN]};
    proxy.connections[proxy.count++] = made;
    proxy.accepted_count++;
}

static void accept_all(void) {
    int fd;
    while ((fd = accept4(proxy.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        begin_connection(fd);
    }
}

/* While nobody is accepted the queue is kept short, and full of our own. */
static void hang_or_not(void) {
    bool wanted = proxy.toxics[UP].at[TOXIC_ACCEPT_HANG].on;
    char own[8];
    if (wanted == proxy.hangs) {
        return;
    }
    proxy.hangs = wanted;
    listen(proxy.listener, wanted ? 0 : 512);
    snprintf(own, sizeof own, "%u", (unsigned)proxy.port);
    for (size_t i = 0; i < FILLERS; i++) {
        if (wanted) {
            proxy.fillers[i] = address_connect(proxy.port == 0 ? proxy.listens_at : own);
        } else if (proxy.fillers[i] >= 0) {
            close(proxy.fillers[i]);
        }
    }
    proxy.toxics[UP].injected[TOXIC_ACCEPT_HANG] += wanted;
}

/* ---- commands ----------------------------------------------------------------------------------------------------- */

static size_t ghost_all(void) {
    for (size_t i = 0; i < proxy.count; i++) {
        pipe_ghost(&proxy.connections[i]->pipes[DOWN], clock_us());
    }
    proxy.toxics[DOWN].injected[TOXIC_GHOST] += proxy.count;
    return proxy.count;
}

static size_t reset_all(void) {
    size_t count = proxy.count;
    while (proxy.count > 0) {
        end_connection(0, true);
    }
    proxy.toxics[DOWN].injected[TOXIC_RESET] += count;
    return count;
}

static void say_counts(void) {
    printf("connections=%llu refused=%llu open=%zu", (unsigned long long)proxy.accepted_count, (unsigned long long)proxy.refused_count, proxy.count);
    for (size_t i = 0; i < 2; i++) {
        uint64_t bytes = proxy.bytes[i];
        for (size_t at = 0; at < proxy.count; at++) {
            bytes += proxy.connections[at]->pipes[i].passed_bytes;
        }
        printf(" %s_bytes=%llu", directions[i], (unsigned long long)bytes);
        for (toxic_kind kind = 0; kind < TOXIC_COUNT; kind++) {
            if (proxy.toxics[i].injected[kind] > 0) {
                printf(" %s_%s=%llu", directions[i], toxic_name(kind), (unsigned long long)proxy.toxics[i].injected[kind]);
            }
        }
    }
    printf("\n");
}

static int direction_of(const char *word) {
    return strcmp(word, directions[UP]) == 0 ? UP : strcmp(word, directions[DOWN]) == 0 ? DOWN : -1;
}

static bool set_or_clear(const char *verb, const char *direction, const char *rest) {
    char name[32];
    int which = direction_of(direction);
    if (which < 0) {
        return false;
    }
    if (strcmp(verb, "set") == 0) {
        return toxics_set(&proxy.toxics[which], rest);
    }
    return strcmp(verb, "clear") == 0 && toxics_clear(&proxy.toxics[which], sscanf(rest, " %31s", name) == 1 ? name : NULL);
}

static void obey(const char *line) {
    char verb[16] = "", word[108] = "";
    int taken = 0;
    sscanf(line, " %15s %107s%n", verb, word, &taken);
    if (strcmp(verb, "counts") == 0) {
        say_counts();
    } else if (strcmp(verb, "ghost") == 0) {
        printf("ok %zu\n", ghost_all());
    } else if (strcmp(verb, "reset") == 0) {
        printf("ok %zu\n", reset_all());
    } else if (strcmp(verb, "backend") == 0 && word[0] != '\0') {
        snprintf(proxy.backend, sizeof proxy.backend, "%s", word);
        printf("ok\n");
    } else {
        printf("%s\n", set_or_clear(verb, word, line + taken) ? "ok" : "no");
        hang_or_not();
    }
    fflush(stdout);
}

static void read_commands(void) {
    ssize_t got = read(STDIN_FILENO, proxy.line + proxy.line_len, sizeof proxy.line - 1 - proxy.line_len);
    if (got <= 0) {
        exit(0);
    }
    proxy.line_len += (size_t)got;
    proxy.line[proxy.line_len] = '\0';
    char *end;
    while ((end = strchr(proxy.line, '\n')) != NULL) {
        *end = '\0';
        obey(proxy.line);
        proxy.line_len -= (size_t)(end + 1 - proxy.line);
        memmove(proxy.line, end + 1, proxy.line_len + 1);
    }
    if (proxy.line_len == sizeof proxy.line - 1) { /* no command is so long */
        proxy.line_len = 0;
    }
}

/* ---- the loop ----------------------------------------------------------------------------------------------------- */

static short events_of(const connection *one, size_t side) {
    const fault_pipe *in = &one->pipes[side], *out = &one->pipes[1 - side];
    return (short)((pipe_wants_input(in) ? POLLIN : 0) | (out->blocked ? POLLOUT : 0));
}

static uint64_t prepare(void) {
    uint64_t next_us = NEVER_US;
    proxy.polls[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    proxy.polls[1] = (struct pollfd){.fd = proxy.hangs ? -1 : proxy.listener, .events = POLLIN};
    for (size_t i = 0; i < proxy.count; i++) {
        connection *one = proxy.connections[i];
        for (size_t side = 0; side < 2; side++) {
            short events = events_of(one, side);
            uint64_t at_us = pipe_next_us(&one->pipes[side]);
            proxy.polls[POLLS_AT_FIRST + 2 * i + side] = (struct pollfd){.fd = events == 0 ? -1 : one->fds[side], .events = events};
            next_us = at_us < next_us ? at_us : next_us;
        }
    }
    return next_us;
}

static void wait_until(uint64_t next_us) {
    uint64_t now_us = clock_us(), left_us = next_us > now_us ? next_us - now_us : 0;
    struct timespec left = {.tv_sec = (time_t)(left_us / 1000000), .tv_nsec = (long)(left_us % 1000000) * 1000};
    ppoll(proxy.polls, POLLS_AT_FIRST + 2 * proxy.count, next_us == NEVER_US ? NULL : &left, NULL);
}

/* False: it is over, and has to be reset or not. */
static bool serve(connection *one, const struct pollfd *polls, uint64_t now_us, bool *resets) {
    *resets = true;
    for (size_t side = 0; side < 2; side++) {
        fault_pipe *pipe = &one->pipes[side];
        if ((polls[1 - side].revents & POLLOUT) != 0) {
            pipe->blocked = false;
        }
        bool came = (polls[side].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && pipe_wants_input(pipe);
        if ((came && !pipe_take(pipe, now_us)) || !pipe_deliver(pipe, now_us)) {
            return false;
        }
        if (pipe->end == PIPE_ENDED && pipe->closes) {
            *resets = pipe->resets;
            return false;
        }
    }
    *resets = false;
    return one->pipes[UP].end != PIPE_ENDED || one->pipes[DOWN].end != PIPE_ENDED;
}

static void loop(void) {
    wait_until(prepare());
    uint64_t now_us = clock_us();
    for (size_t i = proxy.count; i-- > 0;) { /* from the last: one that ends is replaced by one that was served */
        bool resets;
        if (!serve(proxy.connections[i], &proxy.polls[POLLS_AT_FIRST + 2 * i], now_us, &resets)) {
            end_connection(i, resets);
        }
    }
    bool commands = proxy.polls[0].revents != 0, callers = proxy.polls[1].revents != 0;
    if (callers) {
        accept_all();
    }
    if (commands) {
        read_commands();
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: fault_proxy LISTEN BACKEND SEED\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    random_seed(strtoull(argv[3], NULL, 10));
    snprintf(proxy.backend, sizeof proxy.backend, "%s", argv[2]);
    proxy.listens_at = argv[1];
    proxy.listener = address_listen(argv[1], &proxy.port);
    if (proxy.listener < 0) {
        perror(argv[1]);
        return 1;
    }
    printf("ready %u\n", (unsigned)proxy.port);
    fflush(stdout);
    for (;;) {
        loop();
    }
}
