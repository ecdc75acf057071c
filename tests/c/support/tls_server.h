/* fake_server under TLS: it may also break TLS itself.
 *
 *     tls_server_options options = {.certificate = "right", .answer = answer};
 *     tls_server *server = tls_server_start(folder, &options);       the folder of tests/certificates.sh
 *     ... tls_server_port(server) ...
 *     tls_server_stop(server);
 */
#ifndef COFFER_TESTS_SUPPORT_TLS_SERVER_H
#define COFFER_TESTS_SUPPORT_TLS_SERVER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tls_server tls_server;
typedef struct tls_peer tls_peer;

/* `command` is its name. False: the connection is closed, as it is. */
typedef bool (*tls_answer)(tls_peer *peer, const char *command);

typedef struct tls_server_options {
    const char *certificate; /* "right" */
    tls_answer answer;
    int most_version; /* TLS1_1_VERSION; 0: any */
    size_t tickets; /* of TLS 1.3, behind the handshake */
    bool wants_certificate;
} tls_server_options;

tls_server *tls_server_start(const char *folder, const tls_server_options *options);
void tls_server_stop(tls_server *server);
SSL_CTX *tls_server_context(const char *folder, const tls_server_options *options); /* for one of your own; `answer` is not looked at */
uint16_t tls_server_port(const tls_server *server);
size_t tls_server_accepted(tls_server *server); /* handshakes that were finished */

bool tls_says(tls_peer *peer, const char *text);
bool tls_greets(tls_peer *peer, const char *command);
bool tls_says_part(tls_peer *peer, const char *text, size_t bytes); /* the first bytes of the record(s) that it makes */
bool tls_says_ticket(tls_peer *peer); /* of TLS 1.3, one more */
bool tls_says_goodbye(tls_peer *peer); /* close_notify; the socket stays open */
bool tls_says_plainly(tls_peer *peer, const char *text); /* on the socket, past TLS */

#endif
