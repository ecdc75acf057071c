#include "resolve.h"

#include "base/alloc.h"
#include "clock.h"
#include "forked.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { HOST_CAP = 256, THREAD_STACK_BYTES = 256 << 10 };

/* Shared by who asked and by the thread; whoever lets go last frees it. All of it is under `mutex`, but host and port. */
struct coffer__resolution {
    unsigned refs;
    bool started;
    bool done;
    int error; /* of getaddrinfo; 0: there are addresses */
    coffer__addresses addresses;
    char host[HOST_CAP];
    char port[8];
};

static _Atomic uint64_t generation;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed; /* a look-up has ended */
static unsigned running_count;
static coffer__resolver_fn _Atomic resolver = getaddrinfo;

void coffer__resolve_replace(coffer__resolver_fn function) {
    atomic_store(&resolver, function == NULL ? getaddrinfo : function);
}

/* At the first use in the process, and in each child: the parent's threads are not there. */
static void begin_anew(void) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&mutex, NULL);
    pthread_cond_init(&changed, &attributes);
    pthread_condattr_destroy(&attributes);
    running_count = 0;
}

static void lock(void) {
    if (coffer__forked(&generation)) {
        begin_anew();
        coffer__forked_done(&generation);
    }
    pthread_mutex_lock(&mutex);
}

static void add_address(coffer__addresses *addresses, const void *address, size_t len) {
    if (addresses->count < COFFER__ADDRESSES_MAX && len <= sizeof(struct sockaddr_storage)) {
        coffer__address *at = &addresses->at[addresses->count++];
        memset(&at->storage, 0, sizeof at->storage);
        memcpy(&at->storage, address, len);
        at->len = (socklen_t)len;
    }
}

bool coffer__resolve_numeric(coffer_slice host, uint16_t port, coffer__addresses *addresses) {
    char text[INET6_ADDRSTRLEN + 1];
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (host.len >= sizeof text) {
        return false;
    }
    memcpy(text, host.data, host.len);
    text[host.len] = '\0';
    addresses->count = 0;
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        add_address(addresses, &four, sizeof four);
    } else if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1) {
        add_address(addresses, &six, sizeof six);
    }
    return addresses->count > 0;
}

coffer_status coffer__resolve_begin(coffer__resolution **resolution, coffer_slice host, uint16_t port) {
    if (host.len >= HOST_CAP || memchr(host.data, '\0', host.len) != NULL) {
        return COFFER_ARG;
    }
    coffer__resolution *made = (coffer__resolution *)coffer__alloc_zero(sizeof *made);
    if (made == NULL) {
        return COFFER_NO_MEMORY;
    }
    made->refs = 1;
    memcpy(made->host, host.data, host.len);
    snprintf(made->port, sizeof made->port, "%u", (unsigned)port);
    *resolution = made;
    return COFFER_OK;
}

void coffer__resolve_release(coffer__resolution *resolution) {
    if (resolution == NULL) {
        return;
    }
    lock();
    bool last = --resolution->refs == 0;
    pthread_mutex_unlock(&mutex);
    if (last) {
        coffer__release(resolution);
    }
}

static void look_up(coffer__resolution *resolution, int *error, coffer__addresses *addresses) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    *error = atomic_load(&resolver)(resolution->host, resolution->port, &hints, &found);
    addresses->count = 0;
    for (struct addrinfo *one = *error == 0 ? found : NULL; one != NULL; one = one->ai_next) {
        add_address(addresses, one->ai_addr, one->ai_addrlen);
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    if (*error == 0 && addresses->count == 0) {
        *error = EAI_NONAME;
    }
}

static void *thread_main(void *argument) {
    coffer__resolution *resolution = (coffer__resolution *)argument;
    int error;
    coffer__addresses addresses;
    look_up(resolution, &error, &addresses);
    lock();
    resolution->error = error;
    resolution->addresses = addresses;
    resolution->done = true;
    bool last = --resolution->refs == 0;
    running_count--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    if (last) {
        coffer__release(resolution);
    }
    return NULL;
}

/* The program's signals are not for this thread. */
static int start_thread(coffer__resolution *resolution) {
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, &attributes, thread_main, resolution);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed;
}

static void try_to_start(coffer__resolution *resolution) {
    if (resolution->started || running_count >= COFFER__RESOLVERS_MAX) {
        return;
    }
    resolution->started = true;
    resolution->refs++;
    running_count++;
    if (start_thread(resolution) != 0) {
        resolution->refs--;
        running_count--;
        resolution->done = true;
        resolution->error = EAI_MEMORY;
    }
}

coffer_status coffer__resolve_wait(coffer__resolution *resolution, uint64_t until_us, coffer__addresses *addresses) {
    lock();
    int waited = 0;
    for (;;) {
        try_to_start(resolution);
        if (resolution->done || waited == ETIMEDOUT) {
            break;
        }
        const struct timespec until = coffer__clock_deadline(until_us);
        waited = pthread_cond_timedwait(&changed, &mutex, &until);
    }
    coffer_status status = !resolution->done ? COFFER_AGAIN : resolution->error != 0 ? COFFER_DNS : COFFER_OK;
    if (status == COFFER_OK) {
        *addresses = resolution->addresses;
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

const char *coffer__resolve_message(const coffer__resolution *resolution) {
    return gai_strerror(resolution->error);
}
