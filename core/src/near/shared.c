#define _GNU_SOURCE /* F_GET_SEALS */
#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MADE_WITHIN_MS = 2000, GIVEN_WITHIN_MS = 50, TRIES_MAX = 8, LOOKUP_BYTES = 16 * 1024 };

#define NOBODY ((uint32_t)-1) /* nobody was named; as chown takes it */

/* The object that is being opened. */
typedef struct opening {
    const coffer__shared_want *want;
    coffer_error *error;
    int descriptor;
    uint32_t owner, group; /* as named, or NOBODY */
    struct stat stat;
} opening;

static coffer_status refuse(const opening *this, const char *why) {
    const char *name = this->want->descriptor >= 0 ? "behind the descriptor" : this->want->name;
    return coffer__error_set(this->error, COFFER_OPTION, "the shared memory %s is not used: %s", name, why);
}

static coffer_status refuse_errno(const opening *this, const char *what) {
    int code = errno;
    char why[256];
    const char *parts[] = {what, ": ", strerror(code)};
    size_t len = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t more = strlen(parts[i]), room = sizeof why - 1 - len;
        memcpy(why + len, parts[i], more < room ? more : room);
        len += more < room ? more : room;
    }
    why[len] = '\0';
    return refuse(this, why);
}

static void wait_a_millisecond(void) {
    struct timespec ms = {.tv_sec = 0, .tv_nsec = 1000000};
    nanosleep(&ms, NULL);
}

/* ---- who is meant ---- */

static bool copy_text(coffer_slice from, char *to, size_t cap) {
    if (from.len >= cap || (from.len > 0 && memchr(from.data, '\0', from.len) != NULL)) {
        return false;
    }
    memcpy(to, from.data == NULL ? "" : from.data, from.len);
    to[from.len] = '\0';
    return true;
}

static bool number_of(const char *text, uint32_t *number) {
    char *end;
    unsigned long long parsed = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : NOBODY;
    *number = (uint32_t)parsed;
    return parsed < NOBODY && *end == '\0';
}

static bool find_user(const char *name, uint32_t *number) {
    char room[LOOKUP_BYTES];
    struct passwd row, *found = NULL;
    bool is_known = getpwnam_r(name, &row, room, sizeof room, &found) == 0 && found != NULL;
    *number = is_known ? (uint32_t)row.pw_uid : NOBODY;
    return is_known;
}

static bool find_group(const char *name, uint32_t *number) {
    char room[LOOKUP_BYTES];
    struct group row, *found = NULL;
    bool is_known = getgrnam_r(name, &row, room, sizeof room, &found) == 0 && found != NULL;
    *number = is_known ? (uint32_t)row.gr_gid : NOBODY;
    return is_known;
}

/* A name or a number; empty: nobody. */
static bool resolve(coffer_slice text, bool (*find)(const char *name, uint32_t *number), uint32_t *number) {
    char name[256];
    *number = NOBODY;
    return text.len == 0 || (copy_text(text, name, sizeof name) && (number_of(name, number) || find(name, number)));
}

bool coffer__shared_user(coffer_slice owner, uint32_t *number) {
    return resolve(owner, find_user, number);
}

bool coffer__shared_group(coffer_slice group, uint32_t *number) {
    return resolve(group, find_group, number);
}

/* ---- checks ---- */

static bool is_open_to_group(const opening *this) {
    return this->group != NOBODY && this->stat.st_gid == this->group && (this->stat.st_mode & S_IRWXG) == (S_IRGRP | S_IWGRP);
}

/* Root's are trusted where they are given to a group that was named, or inherited. */
static bool is_of_ours(const opening *this) {
    return this->stat.st_uid == geteuid() || (this->owner != NOBODY && this->stat.st_uid == this->owner) || is_open_to_group(this) ||
           (this->want->descriptor >= 0 && this->stat.st_uid == 0);
}

static const char *fault_of_mode(const opening *this) {
    if ((this->stat.st_mode & S_IRWXO) != 0) {
        return "everybody may open it";
    }
    return (this->stat.st_mode & S_IRWXG) != 0 && !is_open_to_group(this) ? "a group may open it that was not named" : NULL;
}

/* Without a name it can be reached by the descriptor alone, and its mode says nothing; then it has to be sealed against truncation, or become so when it is
 * made. */
static const char *fault_of_anonymous(const opening *this) {
#ifdef F_GET_SEALS
    int seals = fcntl(this->descriptor, F_GET_SEALS);
    const int wanted = F_SEAL_SHRINK | F_SEAL_GROW;
    if (seals >= 0 && ((seals & wanted) == wanted || (seals & F_SEAL_SEAL) == 0)) {
        return NULL;
    }
#else
    (void)this;
#endif
    return "it has no name, and is not sealed against being truncated";
}

static bool is_anonymous(const opening *this) {
    return this->want->descriptor >= 0 && this->stat.st_nlink == 0;
}

static const char *fault_of(const opening *this) {
    if (!S_ISREG(this->stat.st_mode)) {
        return "it is no memory object";
    }
    if (!is_of_ours(this)) {
        return "it belongs to another user";
    }
    if (is_anonymous(this)) {
        return fault_of_anonymous(this);
    }
    return this->stat.st_nlink > 1 ? "it has a second name" : fault_of_mode(this);
}

static coffer_status check(opening *this) {
    if (fstat(this->descriptor, &this->stat) != 0) {
        return refuse_errno(this, "it cannot be looked at");
    }
    const char *fault = fault_of(this);
    return fault == NULL ? COFFER_OK : refuse(this, fault);
}

/* ---- making ---- */

static coffer_status read_first_word(opening *this, uint64_t *word) {
    *word = 0;
    ssize_t got = pread(this->descriptor, word, sizeof *word, 0);
    return got < 0 ? refuse_errno(this, "it cannot be read") : COFFER_OK;
}

/* So that nobody who was not named gets it, and root's is usable by those who were. */
static coffer_status give(const opening *this) {
    bool owner_differs = this->owner != NOBODY && this->owner != this->stat.st_uid;
    bool group_differs = this->group != NOBODY && this->group != this->stat.st_gid;
    mode_t mode = this->group == NOBODY ? S_IRUSR | S_IWUSR : S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP;
    if ((owner_differs || group_differs) &&
        fchown(this->descriptor, owner_differs ? this->owner : NOBODY, group_differs ? this->group : NOBODY) != 0) {
        return refuse_errno(this, "it cannot be given to the owner or group that was named");
    }
    return fchmod(this->descriptor, mode) == 0 ? COFFER_OK : refuse_errno(this, "its mode cannot be set");
}

/* All its pages are taken here: a full /dev/shm is told now, not by SIGBUS later. */
static coffer_status take_pages(const opening *this) {
    off_t bytes = (off_t)this->want->bytes;
    if (this->stat.st_size != bytes && (ftruncate(this->descriptor, 0) != 0 || ftruncate(this->descriptor, bytes) != 0)) {
        return refuse_errno(this, "it cannot be made as large as was asked for");
    }
    int code = posix_fallocate(this->descriptor, 0, bytes);
    errno = code;
    return code == 0 ? COFFER_OK : refuse_errno(this, "there is not enough shared memory for it");
}

static coffer_status seal(const opening *this) {
#ifdef F_ADD_SEALS
    const int wanted = F_SEAL_SHRINK | F_SEAL_GROW;
    if (is_anonymous(this) && (fcntl(this->descriptor, F_GET_SEALS) & wanted) != wanted && fcntl(this->descriptor, F_ADD_SEALS, wanted) != 0) {
        return refuse_errno(this, "it cannot be sealed");
    }
#else
    (void)this;
#endif
    return COFFER_OK;
}

static coffer_status map(const opening *this, size_t bytes, coffer__shared *shared) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, this->descriptor, 0);
    if (memory == MAP_FAILED) {
        return refuse_errno(this, "it cannot be mapped");
    }
    *shared = (coffer__shared){.memory = memory, .bytes = bytes};
    return COFFER_OK;
}

static coffer_status fill(const opening *this, coffer__shared *shared) {
    if (this->stat.st_size == (off_t)shared->bytes) {
        memset(shared->memory, 0, shared->bytes); /* somebody began it */
    }
    coffer_status status = this->want->make(this->want->data, shared->memory, shared->bytes);
    if (status != COFFER_OK) {
        coffer__error_set(this->error, status, "the shared memory cannot be made: %s", coffer_status_text(status));
        coffer__shared_close(shared);
        return status;
    }
    atomic_store_explicit((_Atomic uint64_t *)shared->memory, this->want->first_word, memory_order_release);
    return COFFER_OK;
}

static coffer_status make(opening *this, coffer__shared *shared) {
    coffer_status status = is_anonymous(this) ? COFFER_OK : give(this);
    status = status == COFFER_OK ? take_pages(this) : status;
    status = status == COFFER_OK ? seal(this) : status;
    status = status == COFFER_OK ? map(this, this->want->bytes, shared) : status;
    return status == COFFER_OK ? fill(this, shared) : status;
}

/* The process one of whose threads is at it. A forked child finds its parent's number, and that means nobody. */
static _Atomic pid_t busy;

static bool lock_record(const opening *this, short kind) {
    struct flock all = {.l_type = kind, .l_whence = SEEK_SET};
    return fcntl(this->descriptor, F_SETLK, &all) == 0 || (errno != EAGAIN && errno != EACCES);
}

/* The file's lock is of the open file, which processes that inherited one descriptor have in common: it does not keep them from each other. The record's
 * is of the process, and does not keep its threads from each other. */
static bool lock(const opening *this) {
    pid_t mine = getpid(), seen = atomic_load(&busy);
    if (seen == mine || !atomic_compare_exchange_strong(&busy, &seen, mine)) {
        return false;
    }
    bool is_ours = flock(this->descriptor, LOCK_EX | LOCK_NB) == 0 && lock_record(this, F_WRLCK);
    if (!is_ours) {
        atomic_store(&busy, 0);
    }
    return is_ours;
}

static void unlock(const opening *this) {
    (void)lock_record(this, F_UNLCK);
    flock(this->descriptor, LOCK_UN);
    atomic_store(&busy, 0);
}

/* Held by whoever makes it, or finds that somebody else has. */
static coffer_status take_locks(const opening *this) {
    for (int i = 0; !lock(this); i++) {
        if (i == MADE_WITHIN_MS) {
            return refuse(this, "another process is making it, and does not come to an end");
        }
        wait_a_millisecond();
    }
    return COFFER_OK;
}

static coffer_status make_unless_made(opening *this, coffer__shared *shared) {
    uint64_t word;
    coffer_status status = take_locks(this);
    if (status != COFFER_OK) {
        return status;
    }
    status = check(this);
    status = status == COFFER_OK ? read_first_word(this, &word) : status;
    status = status == COFFER_OK && word == 0 ? make(this, shared) : status;
    unlock(this);
    return status;
}

/* ---- opening ---- */

static coffer_status attach(opening *this, coffer__shared *shared) {
    uint64_t word;
    coffer_status status = check(this);
    status = status == COFFER_OK ? read_first_word(this, &word) : status;
    status = status == COFFER_OK && word == 0 ? make_unless_made(this, shared) : status;
    if (status != COFFER_OK || shared->memory != NULL) {
        return status;
    }
    status = check(this);
    if (status == COFFER_OK && this->stat.st_size < (off_t)sizeof word) {
        return refuse(this, "it was truncated");
    }
    return status == COFFER_OK ? map(this, (size_t)this->stat.st_size, shared) : status;
}

/* The object's descriptor, or -1 and errno. Root makes it before it gives it away: for a moment a worker may not open it. */
static int open_named(const char *name) {
    for (int denied = 0, i = 0; i < TRIES_MAX;) {
        int descriptor = shm_open(name, O_RDWR, 0);
        descriptor = descriptor < 0 && errno == ENOENT ? shm_open(name, O_RDWR | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR) : descriptor;
        if (descriptor >= 0 || (errno != EEXIST && errno != EACCES) || denied == GIVEN_WITHIN_MS) {
            return descriptor;
        }
        if (errno == EACCES) {
            denied++;
            wait_a_millisecond();
        } else {
            i++;
        }
    }
    return -1;
}

static coffer_status open_by_name(opening *this, coffer__shared *shared) {
    for (int i = 0; i < TRIES_MAX; i++) {
        this->descriptor = open_named(this->want->name);
        if (this->descriptor < 0) {
            return refuse_errno(this, errno == ELOOP ? "it is a symbolic link" : "it cannot be opened");
        }
        coffer_status status = attach(this, shared);
        close(this->descriptor);
        if (status != COFFER_OK || this->stat.st_nlink > 0) {
            return status;
        }
        coffer__shared_close(shared); /* it was removed meanwhile: nobody would find us there */
    }
    return refuse(this, "it is removed again and again");
}

coffer_status coffer__shared_open(coffer__shared *shared, const coffer__shared_want *want, coffer_error *error) {
    opening this = {.want = want, .error = error, .descriptor = want->descriptor, .owner = NOBODY, .group = NOBODY};
    *shared = (coffer__shared){.memory = NULL, .bytes = 0};
    if (!coffer__shared_user(want->owner, &this.owner)) {
        return refuse(&this, "there is no such user as the owner that was named");
    }
    if (!coffer__shared_group(want->group, &this.group)) {
        return refuse(&this, "there is no such group as the one that was named");
    }
    return want->descriptor >= 0 ? attach(&this, shared) : open_by_name(&this, shared);
}

void coffer__shared_close(coffer__shared *shared) {
    if (shared->memory != NULL) {
        munmap(shared->memory, shared->bytes);
    }
    *shared = (coffer__shared){.memory = NULL, .bytes = 0};
}

coffer_status coffer__shared_remove(const char *name) {
    if (shm_unlink(name) == 0) {
        return COFFER_OK;
    }
    return errno == ENOENT ? COFFER_MISS : COFFER_OPTION;
}
