/* Whom a new connection logs in as: what the client's options say, a file read at each connect, or what a function of the program says at each connect.
 *
 *     coffer__login login = COFFER__LOGIN_INIT;
 *     status = coffer__credentials_get(credentials, client, &login, detail);      AGAIN: somebody has to be asked first; come back
 *     ... coffer_conn_new_as(..., user, password, ...) ...
 *     coffer__login_wipe(&login);
 *
 * A program in C gives a function, which is called here, by the thread that connects, with nothing locked. A binding says that it wants to be asked: then
 * connecting ends its slice (AGAIN), the binding sees that credentials are wanted, calls its own function in its own language, gives them, and runs the op
 * again. What was given serves one connection, and is forgotten after a second: the next connection asks anew. */
#ifndef COFFER_IO_CREDENTIALS_H
#define COFFER_IO_CREDENTIALS_H

#include "base/buf.h"
#include <coffer/cache.h>

#include <pthread.h>
#include <stdatomic.h>

enum { COFFER__PASSWORD_BYTES = 64 << 10, COFFER__GIVEN_MS = 1000, COFFER__WHY_CAP = 256 };

typedef struct coffer__login {
    coffer__buf username, password;
} coffer__login;

#define COFFER__LOGIN_INIT                                                                                                                           \
    { COFFER__BUF_INIT, COFFER__BUF_INIT }

typedef struct coffer__credentials {
    coffer_credentials_fn function; /* NULL: none */
    void *user_data;
    atomic_bool asks; /* a binding has a function */
    atomic_bool wanted; /* it should call it */
    pthread_mutex_t mutex; /* of what follows */
    coffer__login given;
    uint64_t given_at_us; /* 0: nothing is given */
    bool refused; /* given: that there is nothing to give */
} coffer__credentials;

void coffer__credentials_init(coffer__credentials *credentials);
void coffer__credentials_clear(coffer__credentials *credentials);
void coffer__credentials_after_fork(coffer__credentials *credentials); /* what was given is forgotten */

/* OK; AGAIN; CREDENTIALS with `why`, which names the file; NO_MEMORY. `login` is empty at first, and wiped on failure. */
coffer_status coffer__credentials_get(coffer__credentials *credentials, coffer_client *client, coffer__login *login, char why[COFFER__WHY_CAP]);

coffer_status coffer__credentials_give(coffer__credentials *credentials, coffer_slice username, coffer_slice password);

void coffer__credentials_refuse(coffer__credentials *credentials); /* its function failed: so does one connection */

void coffer__login_wipe(coffer__login *login);

#endif
