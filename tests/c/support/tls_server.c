#include "tls_server.h"

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

enum { PEERS_MAX = 64, INPUT_CAP = 4096 };

struct tls_peer {
    tls_server *server;
    int fd;
    bool open;
    pthread_t thread;
    pthread_mutex_t mutex; /* of the next two: a test may speak beside the peer's own thread */
    SSL *ssl; /* reads from `received`, writes into `out` */
    BIO *out;
    BIO *received;
    char in[INPUT_CAP];
    size_t in_len;
};

struct tls_server {
    pthread_mutex_t mutex;
    tls_server_options options;
    SSL_CTX *context;
    int listener;
    uint16_t port;
    pthread_t thread;
    size_t count, accepted;
    tls_peer peers[PEERS_MAX];
};

/* At most `most` bytes of what TLS has made; all of it is gone then. */
static bool pump(tls_peer *peer, size_t most) {
    char *bytes = NULL;
    size_t len = (size_t)BIO_get_mem_data(peer->out, &bytes);
    bool sent = len == 0 || send(peer->fd, bytes, len < most ? len : most, MSG_NOSIGNAL) > 0;
    (void)BIO_reset(peer->out);
    return sent;
}

bool tls_says_part(tls_peer *peer, const char *text, size_t bytes) {
    pthread_mutex_lock(&peer->mutex);
    bool said = SSL_write(peer->ssl, text, (int)strlen(text)) > 0 && pump(peer, bytes);
    pthread_mutex_unlock(&peer->mutex);
    return said;
}

bool tls_says(tls_peer *peer, const char *text) {
    return tls_says_part(peer, text, SIZE_MAX);
}

bool tls_says_ticket(tls_peer *peer) {
    pthread_mutex_lock(&peer->mutex);
    bool said = SSL_new_session_ticket(peer->ssl) == 1 && SSL_do_handshake(peer->ssl) == 1 && pump(peer, SIZE_MAX);
    pthread_mutex_unlock(&peer->mutex);
    return said;
}

bool tls_says_goodbye(tls_peer *peer) {
    pthread_mutex_lock(&peer->mutex);
    (void)SSL_shutdown(peer->ssl);
    bool said = pump(peer, SIZE_MAX);
    pthread_mutex_unlock(&peer->mutex);
    return said;
}

bool tls_says_plainly(tls_peer *peer, const char *text) {
    return send(peer->fd, text, strlen(text), MSG_NOSIGNAL) > 0;
}

bool tls_greets(tls_peer *peer, const char *command) {
    static const struct { const char *name, *reply; } known[] = {{"HELLO", "*0\r\n"}, {"SELECT", "+OK\r\n"}, {"TIME", "-ERR no clock\r\n"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcasecmp(command, known[i].name) == 0) {
            return tls_says(peer, known[i].reply);
        }
    }
    return false;
}

/* The bytes of the first whole command there is, its name in `name`; 0: none yet. */
static size_t first_command(const tls_peer *peer, char name[32]) {
    const char *at = peer->in, *end = peer->in + peer->in_len;
    int words = peer->in_len > 0 ? atoi(at + 1) : 0;
    at = (const char *)memchr(at, '\n', peer->in_len);
    for (int i = 0; i < words; i++) {
        int len = at == NULL || at + 1 >= end ? 0 : atoi(at + 2);
        const char *word = at == NULL ? NULL : (const char *)memchr(at + 1, '\n', (size_t)(end - at - 1));
        if (word == NULL || end - word - 1 < len + 2) {
            return 0;
        }
        if (i == 0) {
            snprintf(name, 32, "%.*s", len, word + 1);
        }
        at = word + len + 2;
    }
    return words == 0 || at == NULL ? 0 : (size_t)(at + 1 - peer->in);
}

static bool answer_all(tls_peer *peer) {
    char name[32];
    size_t len;
    while ((len = first_command(peer, name)) > 0) {
        peer->in_len -= len;
        memmove(peer->in, peer->in + len, peer->in_len);
        if (!peer->server->options.answer(peer, name)) {
            return false;
        }
    }
    return true;
}

/* What SSL has made goes out, and more comes in. */
static bool exchange(tls_peer *peer) {
    char bytes[4096];
    pthread_mutex_lock(&peer->mutex);
    bool sent = pump(peer, SIZE_MAX);
    pthread_mutex_unlock(&peer->mutex);
    ssize_t got = sent ? recv(peer->fd, bytes, sizeof bytes, 0) : -1;
    return got > 0 && BIO_write(peer->received, bytes, (int)got) == got; /* which this thread alone reads and writes */
}

static bool shake(tls_peer *peer) {
    int done;
    while ((done = SSL_accept(peer->ssl)) <= 0) {
        if (SSL_get_error(peer->ssl, done) != SSL_ERROR_WANT_READ || !exchange(peer)) {
            (void)pump(peer, SIZE_MAX); /* an alert */
            return false;
        }
    }
    return pump(peer, SIZE_MAX);
}

static bool read_some(tls_peer *peer) {
    int got;
    for (;;) {
        pthread_mutex_lock(&peer->mutex);
        got = SSL_read(peer->ssl, peer->in + peer->in_len, (int)(INPUT_CAP - 1 - peer->in_len));
        int error = SSL_get_error(peer->ssl, got);
        pthread_mutex_unlock(&peer->mutex);
        if (got > 0) {
            break;
        }
        if (error != SSL_ERROR_WANT_READ || !exchange(peer)) {
            return false;
        }
    }
    peer->in_len += (size_t)got;
    return true;
}

static void *serve(void *argument) {
    tls_peer *peer = (tls_peer *)argument;
    pthread_mutex_init(&peer->mutex, NULL);
    peer->ssl = SSL_new(peer->server->context);
    peer->received = BIO_new(BIO_s_mem());
    peer->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(peer->received, -1);
    SSL_set_bio(peer->ssl, peer->received, peer->out);
    bool goes_on = shake(peer);
    pthread_mutex_lock(&peer->server->mutex);
    peer->server->accepted += goes_on;
    pthread_mutex_unlock(&peer->server->mutex);
    while (goes_on) {
        goes_on = read_some(peer) && answer_all(peer);
    }
    SSL_free(peer->ssl);
    pthread_mutex_destroy(&peer->mutex);
    pthread_mutex_lock(&peer->server->mutex);
    peer->open = false;
    close(peer->fd);
    pthread_mutex_unlock(&peer->server->mutex);
    return NULL;
}

static void *accept_all(void *argument) {
    tls_server *server = (tls_server *)argument;
    int fd, at_once = 1; /* Nagle would hold back what is said unasked */
    while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
        pthread_mutex_lock(&server->mutex);
        if (server->count == PEERS_MAX) {
            close(fd);
        } else {
            tls_peer *peer = &server->peers[server->count++];
            peer->server = server;
            peer->fd = fd;
            peer->open = true;
            pthread_create(&peer->thread, NULL, serve, peer);
        }
        pthread_mutex_unlock(&server->mutex);
    }
    return NULL;
}

SSL_CTX *tls_server_context(const char *folder, const tls_server_options *options) {
    char path[300];
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    snprintf(path, sizeof path, "%s/%s.pem", folder, options->certificate);
    bool is_right = SSL_CTX_use_certificate_file(context, path, SSL_FILETYPE_PEM) == 1;
    snprintf(path, sizeof path, "%s/server.key", folder);
    is_right = is_right && SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) == 1;
    snprintf(path, sizeof path, "%s/ca.pem", folder);
    if (!is_right || SSL_CTX_load_verify_locations(context, path, NULL) != 1 || SSL_CTX_set_num_tickets(context, options->tickets) != 1) {
        abort();
    }
    SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN); /* the authority is not sent along */
    if (options->most_version != 0) {
        SSL_CTX_set_security_level(context, 0);
        SSL_CTX_set_min_proto_version(context, 0);
        SSL_CTX_set_max_proto_version(context, options->most_version);
    }
    if (options->wants_certificate) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return context;
}

tls_server *tls_server_start(const char *folder, const tls_server_options *options) {
    tls_server *server = (tls_server *)calloc(1, sizeof *server);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    signal(SIGPIPE, SIG_DFL);
    pthread_mutex_init(&server->mutex, NULL);
    server->options = *options;
    server->context = tls_server_context(folder, options);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listener, (struct sockaddr *)&at, len) != 0 || listen(server->listener, 64) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&at, &len) != 0) {
        abort();
    }
    server->port = ntohs(at.sin_port);
    pthread_create(&server->thread, NULL, accept_all, server);
    return server;
}

void tls_server_stop(tls_server *server) {
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    for (size_t i = 0; i < server->count; i++) {
        pthread_mutex_lock(&server->mutex);
        if (server->peers[i].open) {
            shutdown(server->peers[i].fd, SHUT_RDWR);
        }
        pthread_mutex_unlock(&server->mutex);
        pthread_join(server->peers[i].thread, NULL);
    }
    SSL_CTX_free(server->context);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

uint16_t tls_server_port(const tls_server *server) {
    return server->port;
}

size_t tls_server_accepted(tls_server *server) {
    pthread_mutex_lock(&server->mutex);
    size_t accepted = server->accepted;
    pthread_mutex_unlock(&server->mutex);
    return accepted;
}
