#include "fake_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256 };

typedef struct connection {
    fake_server *server;
    int fd;
    bool open;
    pthread_t thread;
} connection;

struct fake_server {
    pthread_mutex_t mutex;
    fake_answer answer;
    void *data;
    int listener;
    uint16_t port;
    pthread_t thread;
    size_t accepted;
    connection connections[CONNECTIONS_MAX];
};

bool fake_says(int fd, const char *text) {
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

bool fake_greets(int fd, const char *command) {
    static const struct { const char *name, *reply; } known[] = {{"HELLO", "*0\r\n"}, {"SELECT", "+OK\r\n"}, {"TIME", "-ERR no clock\r\n"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcasecmp(command, known[i].name) == 0) {
            return fake_says(fd, known[i].reply);
        }
    }
    return false;
}

/* Reads one command, keeps its name. */
static bool read_command(FILE *in, char *name, size_t cap) {
    char line[64], *words = NULL;
    size_t len;
    if (fgets(line, sizeof line, in) == NULL || line[0] != '*') {
        return false;
    }
    int count = atoi(line + 1);
    for (int i = 0; i < count; i++) {
        if (fgets(line, sizeof line, in) == NULL || line[0] != '$') {
            return false;
        }
        len = (size_t)atoi(line + 1);
        words = (char *)malloc(len + 3);
        bool whole = words != NULL && fread(words, 1, len + 2, in) == len + 2;
        if (whole && i == 0) {
            snprintf(name, cap, "%.*s", (int)len, words);
        }
        free(words);
        if (!whole) {
            return false;
        }
    }
    return count > 0;
}

static void *serve(void *argument) {
    connection *own = (connection *)argument;
    FILE *in = fdopen(dup(own->fd), "r");
    char name[32];
    while (read_command(in, name, sizeof name) && own->server->answer(own->fd, name, own->server->data)) {
    }
    fclose(in);
    pthread_mutex_lock(&own->server->mutex);
    own->open = false;
    close(own->fd);
    pthread_mutex_unlock(&own->server->mutex);
    return NULL;
}

static void *accept_all(void *argument) {
    fake_server *server = (fake_server *)argument;
    int fd, at_once = 1; /* Nagle would hold back what is said unasked */
    while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
        pthread_mutex_lock(&server->mutex);
        if (server->accepted == CONNECTIONS_MAX) {
            close(fd);
        } else {
            connection *one = &server->connections[server->accepted++];
            one->server = server;
            one->fd = fd;
            one->open = true;
            pthread_create(&one->thread, NULL, serve, one);
        }
        pthread_mutex_unlock(&server->mutex);
    }
    return NULL;
}

fake_server *fake_server_start(fake_answer answer, void *data) {
    fake_server *server = (fake_server *)calloc(1, sizeof *server);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    pthread_mutex_init(&server->mutex, NULL);
    server->answer = answer;
    server->data = data;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listener, (struct sockaddr *)&at, len) != 0 || listen(server->listener, 64) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&at, &len) != 0) {
        abort();
    }
    server->port = ntohs(at.sin_port);
    /* Signals of the process are for the caller that is tested: a thread inherits its creator's mask. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_create(&server->thread, NULL, accept_all, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return server;
}

static void each_open(fake_server *server, void (*act)(int fd, const char *text), const char *text) {
    pthread_mutex_lock(&server->mutex);
    for (size_t i = 0; i < server->accepted; i++) {
        if (server->connections[i].open) {
            act(server->connections[i].fd, text);
        }
    }
    pthread_mutex_unlock(&server->mutex);
}

static void say(int fd, const char *text) {
    fake_says(fd, text);
}

static void hang_up(int fd, const char *text) {
    (void)text;
    shutdown(fd, SHUT_RDWR);
}

void fake_server_say_to_all(fake_server *server, const char *text) {
    each_open(server, say, text);
}

void fake_server_hang_up(fake_server *server) {
    each_open(server, hang_up, NULL);
}

void fake_server_stop(fake_server *server) {
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    fake_server_hang_up(server);
    for (size_t i = 0; i < server->accepted; i++) {
        pthread_join(server->connections[i].thread, NULL);
    }
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

uint16_t fake_server_port(const fake_server *server) {
    return server->port;
}

size_t fake_server_accepted(fake_server *server) {
    pthread_mutex_lock(&server->mutex);
    size_t accepted = server->accepted;
    pthread_mutex_unlock(&server->mutex);
    return accepted;
}
