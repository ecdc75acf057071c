/* A fake server that answers when the test lets it. */
#ifndef COFFER_TESTS_IO_GATE_H
#define COFFER_TESTS_IO_GATE_H

#include "helpers.h"
#include "support/fake_server.h"

#include <pthread.h>

/* Answers the handshake at once, and every other command with nil, in the order they come, when the gate is opened for it. */
typedef struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    unsigned asked, allowed;
} gate;

/* Waits until the gate is open for the next who asks; whose turn it was. */
static inline unsigned gate_pass(gate *own) {
    pthread_mutex_lock(&own->mutex);
    unsigned turn = own->asked++;
    pthread_cond_broadcast(&own->moved);
    while (own->allowed <= turn) {
        pthread_cond_wait(&own->moved, &own->mutex);
    }
    pthread_mutex_unlock(&own->mutex);
    return turn;
}

static inline bool gated(int fd, const char *command, void *data) {
    gate *own = (gate *)data;
    if (fake_greets(fd, command)) {
        return true;
    }
    gate_pass(own);
    return fake_says(fd, "$-1\r\n");
}

static inline void gate_init(gate *own) {
    pthread_mutex_init(&own->mutex, NULL);
    pthread_cond_init(&own->moved, NULL);
    own->asked = own->allowed = 0;
}

static inline void gate_open(gate *own, unsigned more) {
    pthread_mutex_lock(&own->mutex);
    own->allowed += more;
    pthread_cond_broadcast(&own->moved);
    pthread_mutex_unlock(&own->mutex);
}

static inline void gate_await(gate *own, unsigned asked) {
    pthread_mutex_lock(&own->mutex);
    while (own->asked < asked) {
        pthread_cond_wait(&own->moved, &own->mutex);
    }
    pthread_mutex_unlock(&own->mutex);
}

#endif
