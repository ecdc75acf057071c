/* A server in threads of the test, on loopback, that says what the test wants: each command that comes is given to `answer`.
 *
 *     static bool answer(int fd, const char *command, void *data) { return fake_greets(fd, command) || fake_says(fd, "$-1\r\n"); }
 *     fake_server *server = fake_server_start(answer, NULL);
 *     ... fake_server_port(server) ...
 *     fake_server_stop(server);
 */
#ifndef COFFER_TESTS_SUPPORT_FAKE_SERVER_H
#define COFFER_TESTS_SUPPORT_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fake_server fake_server;

/* `command` is its name. False: the connection is closed. Called by a thread for each connection. */
typedef bool (*fake_answer)(int fd, const char *command, void *data);

fake_server *fake_server_start(fake_answer answer, void *data);
void fake_server_stop(fake_server *server); /* closes everything and waits for its threads */
uint16_t fake_server_port(const fake_server *server);
size_t fake_server_accepted(fake_server *server); /* connections so far */
void fake_server_say_to_all(fake_server *server, const char *text); /* on every connection that is open, unasked */
void fake_server_hang_up(fake_server *server); /* on all of them */

bool fake_says(int fd, const char *text);
bool fake_greets(int fd, const char *command); /* true where it was a command of the handshake, which is answered */

#endif
