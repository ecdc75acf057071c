/* A redis-server of the test's own: on loopback, on a free port and a unix socket, in a temporary folder, stopped by its pid.
 *
 *     redis_server server;
 *     if (!redis_server_start(&server)) skip();     there is no redis-server here: said on stderr
 *     ... server.port, server.path ...
 *     redis_server_stop(&server);
 */
#ifndef COFFER_TESTS_SUPPORT_REDIS_SERVER_H
#define COFFER_TESTS_SUPPORT_REDIS_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct redis_server {
    pid_t pid;
    uint16_t port;
    char folder[64];
    char path[96];
    uint16_t tls_port; /* 0: none */
} redis_server;

bool redis_server_start(redis_server *server);
bool redis_server_start_node(redis_server *server); /* of a cluster, alone and without slots */

/* With TLS beside the rest: `right` of the folder of tests/certificates.sh. `clients`: whether it wants their certificates, "no", "optional" or "yes". */
bool redis_server_start_tls(redis_server *server, const char *folder, const char *clients);

void redis_server_stop(redis_server *server);

#endif
