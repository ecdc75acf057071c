/* Forks while the parent works: children use the parent's cache, and neither sees anything of the other (F05).
 *
 *     fault_forks URL FORKS THREADS        at its end a line of JSON; every fourth child is one of a raw clone where THREADS is 0
 *
 * A child of several threads that was cloned behind libc's back may find malloc locked: hence. */
#include "values.h"
#include <coffer/coffer.h>

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 16, CHILD_OPERATIONS = 100, AT_ONCE = 4, VALUE_BYTES = 300, CHILD_SECONDS = 30, SOCKETS_MAX = 256, THREADS_MAX = 32 };
enum { RIGHT = 0, FAILED = 1, WRONG = 2, SHARES = 3, ENDINGS = 4 };

static coffer_cache *cache;
static atomic_bool stops;
static _Atomic uint64_t parent_operations, parent_errors, parent_wrong;

/* One set and one get. Keys are the writer's own, so that what is read was written by it. */
static int exchange(uint32_t writer, uint64_t sequence) {
    char key[32], bytes[VALUE_BYTES];
    value_name name = {.key = writer * UINT64_C(1000) + sequence % KEYS, .writer = writer, .sequence = sequence, .len = VALUE_BYTES};
    coffer_value value;
    snprintf(key, sizeof key, "fork%llu", (unsigned long long)name.key);
    value_write(bytes, &name);
    coffer_status status = coffer_set(cache, coffer_slice_text(key), coffer_slice_of(bytes, sizeof bytes), NULL, NULL);
    if (status != COFFER_OK) {
        return FAILED;
    }
    status = coffer_get(cache, coffer_slice_text(key), NULL, &value, NULL);
    if (status != COFFER_OK) {
        return FAILED;
    }
    bool right = coffer_slice_equal(value.data, coffer_slice_of(bytes, sizeof bytes));
    coffer_value_clear(&value);
    return right ? RIGHT : WRONG;
}

/* ---- sockets, as the kernel names them -------------------------------------------------------------------------- */

static size_t sockets_of(pid_t process, unsigned long *found) {
    char path[64], link[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)process);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && count < SOCKETS_MAX && (entry = readdir(folder)) != NULL;) {
        char name[320];
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        ssize_t len = readlink(name, link, sizeof link - 1);
        link[len < 0 ? 0 : len] = '\0';
        if (atoi(entry->d_name) > 2 && sscanf(link, "socket:[%lu]", &found[count]) == 1) {
            count++;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

/* Whether the child holds a socket of its parent's: after its first operation none may be left. */
static bool shares_a_socket(pid_t parent) {
    unsigned long mine[SOCKETS_MAX], theirs[SOCKETS_MAX];
    size_t mine_count = sockets_of(getpid(), mine), their_count = sockets_of(parent, theirs);
    for (size_t i = 0; i < mine_count; i++) {
        for (size_t at = 0; at < their_count; at++) {
            if (mine[i] == theirs[at]) {
                return true;
            }
        }
    }
    return false;
}

/* ---- both sides ------------------------------------------------------------------------------------------------- */

static void be_child(uint32_t index, pid_t parent) {
    alarm(CHILD_SECONDS); /* a child that hangs is killed, and counted */
    for (uint64_t i = 0; i < CHILD_OPERATIONS / 2; i++) {
        int ending = exchange(1000 + index, i);
        if (ending != RIGHT) {
            _exit(ending);
        }
    }
    _exit(shares_a_socket(parent) ? SHARES : RIGHT);
}

/* Until the parent's threads have their connections: one that is being made at a fork may be left open in the child, which knows nothing of it. */
static void await_threads(uint32_t count) {
    const struct timespec pause = {.tv_nsec = 1000000};
    while (atomic_load(&parent_operations) < count * UINT64_C(200)) {
        nanosleep(&pause, NULL);
    }
}

static void *work(void *argument) {
    uint32_t writer = (uint32_t)(size_t)argument;
    for (uint64_t i = 0; !atomic_load(&stops); i++) {
        int ending = exchange(writer, i);
        atomic_fetch_add(&parent_operations, 2);
        atomic_fetch_add(&parent_errors, ending == FAILED);
        atomic_fetch_add(&parent_wrong, ending == WRONG);
    }
    return NULL;
}

static pid_t fork_one(uint32_t index, bool raw) {
    pid_t parent = getpid();
    pid_t child = raw ? (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, 0UL, 0UL, 0UL, 0UL) : fork();
    if (child == 0) {
        be_child(index, parent);
    }
    return child;
}

static uint64_t endings[ENDINGS], killed;

static void await_one(void) {
    int status;
    if (wait(&status) < 0) {
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) < ENDINGS) {
        endings[WEXITSTATUS(status)]++;
    } else {
        killed++;
    }
}

static void fork_all(uint32_t forks, bool alone) {
    uint32_t running = 0;
    for (uint32_t i = 0; i < forks; i++) {
        running += fork_one(i, alone && i % 4 == 3) > 0;
        if (alone) {
            int ending = exchange(1, i); /* while the child is at it */
            parent_operations += 2;
            parent_errors += ending == FAILED;
            parent_wrong += ending == WRONG;
        }
        if (running == AT_ONCE) {
            await_one();
            running--;
        }
    }
    while (running-- > 0) {
        await_one();
    }
}

static void say(const char *name, uint64_t number, const char *behind) {
    printf("\"%s\": %llu%s", name, (unsigned long long)number, behind);
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS_MAX];
    coffer_error error;
    if (argc != 4 || coffer_open_url(&cache, argv[1], &error) != COFFER_OK || exchange(1, 0) != RIGHT) {
        fprintf(stderr, "usage: fault_forks URL FORKS THREADS\n");
        return 2;
    }
    uint32_t forks = (uint32_t)atoi(argv[2]), count = (uint32_t)atoi(argv[3]) % THREADS_MAX;
    for (size_t i = 0; i < count; i++) {
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    }
    await_threads(count);
    fork_all(forks, count == 0);
    atomic_store(&stops, true);
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    coffer_metrics metrics = {.struct_size = sizeof metrics};
    coffer_stats(cache, &metrics);
    printf("{");
    say("forks", forks, ", ");
    say("right", endings[RIGHT], ", ");
    say("failed", endings[FAILED], ", ");
    say("wrong", endings[WRONG], ", ");
    say("shared", endings[SHARES], ", ");
    say("killed", killed, ", ");
    say("parent_operations", parent_operations, ", ");
    say("parent_errors", parent_errors, ", ");
    say("parent_wrong", parent_wrong, ", ");
    say("parent_links_made", metrics.connections_made, "}\n");
    coffer_close(cache);
    return 0;
}
