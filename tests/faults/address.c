#define _GNU_SOURCE
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct place {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } at;
    socklen_t len;
} place;

static place place_of(const char *address) {
    place made = {.len = 0};
    if (strchr(address, '/') == NULL) {
        made.at.in =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(address)), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
        made.len = sizeof made.at.in;
    } else {
        made.at.un.sun_family = AF_UNIX;
        snprintf(made.at.un.sun_path, sizeof made.at.un.sun_path, "%s", address);
        made.len = sizeof made.at.un;
    }
    return made;
}

static int open_socket(const place *where) {
    int fd = socket(where->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
    if (fd >= 0 && where->at.any.sa_family == AF_INET) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    return fd;
}

int address_listen(const char *address, uint16_t *port) {
    place where = place_of(address);
    int fd = open_socket(&where);
    if (fd < 0 || bind(fd, &where.at.any, where.len) != 0 || listen(fd, 512) != 0 || getsockname(fd, &where.at.any, &where.len) != 0) {
        return -1;
    }
    *port = where.at.any.sa_family == AF_INET ? ntohs(where.at.in.sin_port) : 0;
    return fd;
}

int address_connect(const char *address) {
    place where = place_of(address);
    int fd = open_socket(&where);
    if (fd >= 0 && connect(fd, &where.at.any, where.len) != 0 && errno != EINPROGRESS) {
        int failed = errno;
        close(fd);
        errno = failed;
        return -1;
    }
    return fd;
}
