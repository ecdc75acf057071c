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

typedef struct tls_words {
    char port[8], certificate[300], key[300], authority[300];
} tls_words;

static void become_server(const redis_server *server, const char *cluster, const char *folder, const char *clients) {
    char port[8], bus_port[8];
    tls_words tls = {.port = "0"};
    snprintf(port, sizeof port, "%u", (unsigned)server->port);
    snprintf(bus_port, sizeof bus_port, "%u", (unsigned)free_port());
    if (folder != NULL) {
        snprintf(tls.port, sizeof tls.port, "%u", (unsigned)server->tls_port);
        snprintf(tls.certificate, sizeof tls.certificate, "%s/right.pem", folder);
        snprintf(tls.key, sizeof tls.key, "%s/server.key", folder);
        snprintf(tls.authority, sizeof tls.authority, "%s/ca.pem", folder);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no server behind */
    int nowhere = open("/dev/null", O_RDWR);
    dup2(nowhere, 0);
    dup2(nowhere, 1);
    dup2(nowhere, 2);
    execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--unixsocket", server->path, "--dir", server->folder, "--save", "",
           "--appendonly", "no", "--cluster-enabled", cluster, "--cluster-port", bus_port, folder == NULL ? (char *)NULL : "--tls-port", tls.port,
           "--tls-cert-file", tls.certificate, "--tls-key-file", tls.key, "--tls-ca-cert-file", tls.authority, "--tls-auth-clients", clients,
           (char *)NULL);
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

static bool start(redis_server *server, const char *cluster, const char *folder, const char *clients) {
    snprintf(server->folder, sizeof server->folder, "/tmp/coffer-redis-XXXXXX");
    server->pid = 0;
    if (mkdtemp(server->folder) == NULL) {
        return false;
    }
    snprintf(server->path, sizeof server->path, "%s/socket", server->folder);
    server->port = free_port();
    server->tls_port = folder == NULL ? 0 : free_port();
    server->pid = fork();
    if (server->pid == 0) {
        become_server(server, cluster, folder, clients);
    }
    if (wait_until_it_answers(server)) {
        return true;
    }
    fprintf(stderr, "SKIPPED: no redis-server could be started here\n");
    redis_server_stop(server);
    return false;
}

bool redis_server_start(redis_server *server) {
    return start(server, "no", NULL, NULL);
}

bool redis_server_start_node(redis_server *server) {
    return start(server, "yes", NULL, NULL);
}

bool redis_server_start_tls(redis_server *server, const char *folder, const char *clients) {
    return start(server, "no", folder, clients);
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
