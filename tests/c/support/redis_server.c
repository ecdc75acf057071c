#include "redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint16_t free_port(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = bind(fd, (struct sockaddr *)&at, len) == 0 && getsockname(fd, (struct sockaddr *)&at, &len) == 0;
    close(fd);
    return bound ? ntohs(at.sin_port) : 0;
}

static void become_server(const redis_server *server, const char *cluster) {
    char port[8], bus_port[8];
    snprintf(port, sizeof port, "%u", (unsigned)server->port);
    snprintf(bus_port, sizeof bus_port, "%u", (unsigned)free_port());
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no server behind */
    int nowhere = open("/dev/null", O_RDWR);
    dup2(nowhere, 0);
    dup2(nowhere, 1);
    dup2(nowhere, 2);
    execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--unixsocket", server->path, "--dir", server->folder, "--save", "",
           "--appendonly", "no", "--cluster-enabled", cluster, "--cluster-port", bus_port, (char *)NULL);
    _exit(127);
}

static bool answers(const redis_server *server) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, server->path, strlen(server->path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool open = connect(fd, (struct sockaddr *)&at, sizeof at) == 0;
    close(fd);
    return open;
}

static bool wait_until_it_answers(redis_server *server) {
    for (int i = 0; i < 1000; i++) {
        int ended;
        if (waitpid(server->pid, &ended, WNOHANG) == server->pid) {
            server->pid = 0;
            return false;
        }
        if (answers(server)) {
            return true;
        }
        const struct timespec pause = {.tv_nsec = 10000000};
        nanosleep(&pause, NULL);
    }
    return false;
}

static bool start(redis_server *server, const char *cluster) {
    snprintf(server->folder, sizeof server->folder, "/tmp/coffer-redis-XXXXXX");
    server->pid = 0;
    if (mkdtemp(server->folder) == NULL) {
        return false;
    }
    snprintf(server->path, sizeof server->path, "%s/socket", server->folder);
    server->port = free_port();
    server->pid = fork();
    if (server->pid == 0) {
        become_server(server, cluster);
    }
    if (wait_until_it_answers(server)) {
        return true;
    }
    fprintf(stderr, "SKIPPED: no redis-server could be started here\n");
    redis_server_stop(server);
    return false;
}

bool redis_server_start(redis_server *server) {
    return start(server, "no");
}

bool redis_server_start_node(redis_server *server) {
    return start(server, "yes");
}

void redis_server_stop(redis_server *server) {
    if (server->pid > 0) {
        kill(server->pid, SIGCONT);
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
    char nodes[96];
    snprintf(nodes, sizeof nodes, "%s/nodes.conf", server->folder);
    unlink(nodes);
    unlink(server->path);
    rmdir(server->folder);
}
