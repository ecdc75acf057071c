/* What each thread keeps: a run for its next op, a room for its next near value, and a buffer to read into. Freed when the thread ends. */
#include "run_internal.h"

#include "base/alloc.h"
#include "base/lock.h"
#include "engine/room.h"
#include "engine/waiter.h"

enum { SAMPLED_OF = 64 };

typedef struct kept {
    coffer__run *run;
    coffer_room *room;
    char *buffer;
    unsigned tick;
    bool registered;
} kept;

static _Thread_local kept mine;
static pthread_key_t key;
static bool key_made;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

/* The last reference of its waiter is gone: nobody can wake it any more. */
static void release_run(void *data) {
    coffer__run *run = (coffer__run *)data;
    for (coffer__hold *hold = run->hold.next; hold != NULL;) {
        coffer__hold *next = hold->next;
        coffer__release(hold);
        hold = next;
    }
    coffer__wake_end(&run->wake);
    coffer__release(run->polls);
    coffer__release(run->postponed);
    coffer__release(run);
}

static void free_run(coffer__run *run) {
    if (run != NULL) {
        coffer_waiter_free(run->waiter);
    }
}

/* The end of a thread. Its thread-local memory is still there while destructors of keys run; another one may use it again after this. */
static void thread_ends(void *argument) {
    kept *own = (kept *)argument;
    free_run(own->run);
    coffer_room_free(own->room);
    coffer__release(own->buffer);
    own->run = NULL;
    own->room = NULL;
    own->buffer = NULL;
    own->registered = false;
}

static void make_key(void) {
    key_made = pthread_key_create(&key, thread_ends) == 0;
}

/* The end of the program, whose main thread runs no destructors of keys; or the library is unloaded (Lua does that), and no thread may call into it
 * when it ends. */
__attribute__((destructor)) static void library_ends(void) {
    thread_ends(&mine);
    if (key_made) {
        pthread_key_delete(key);
        key_made = false;
    }
}

static void register_thread(void) {
    if (!mine.registered) {
        pthread_once(&key_once, make_key);
        mine.registered = key_made && pthread_setspecific(key, &mine) == 0;
    }
}

static coffer__run *new_run(void) {
    coffer__run *run = (coffer__run *)coffer__alloc_zero(sizeof *run);
    if (run == NULL) {
        return NULL;
    }
    if (coffer__waiter_new_owning(&run->waiter, run, release_run) != COFFER_OK) {
        coffer__release(run);
        return NULL;
    }
    coffer__wake_init(&run->wake);
    run->hold.run = run->hold.ticket.run = run;
    run->generation = coffer__fork_generation();
    return run;
}

coffer__run *coffer__thread_take_run(void) {
    coffer__run *run = mine.run;
    mine.run = NULL;
    return run != NULL ? run : new_run();
}

void coffer__thread_give_run(coffer__run *run) {
    register_thread();
    if (mine.run != NULL || !mine.registered) {
        free_run(run);
        return;
    }
    run->went_out = run->is_chore = false;
    run->call = NULL;
    run->pools = NULL;
    for (coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        hold->endpoint = NULL;
        hold->pool = NULL;
    }
    run->failed = COFFER_OK;
    run->started_us = 0;
    mine.run = run;
}

char *coffer__thread_buffer(void) {
    if (mine.buffer == NULL) {
        register_thread();
        mine.buffer = (char *)coffer__alloc(COFFER__READ_BYTES);
    }
    return mine.buffer;
}

coffer_room *coffer__thread_take_room(void) {
    coffer_room *room = mine.room;
    mine.room = NULL;
    if (room == NULL) {
        (void)coffer_room_new(&room);
    }
    return room;
}

void coffer__thread_give_room(coffer_room *room) {
    register_thread();
    if (mine.room == NULL && mine.registered && coffer__room_is_small(room)) {
        mine.room = room;
    } else {
        coffer_room_free(room);
    }
}

bool coffer__thread_samples(void) {
    return mine.tick++ % SAMPLED_OF == 0;
}
