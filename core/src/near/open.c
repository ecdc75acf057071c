#include "arena.h"

#include "base/alloc.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE_BYTES = 64 };

static coffer__near *new_near(void) {
    return (coffer__near *)coffer__alloc_zero(sizeof(coffer__near));
}

/* Only what is not a shard has to be 0: the others are cleared as they are made. */
static coffer_status make_private(coffer__near *near, size_t memory_bytes) {
    size_t bytes = memory_bytes - sizeof *near - LINE_BYTES;
    near->memory = coffer__alloc(bytes + LINE_BYTES);
    if (near->memory == NULL) {
        return COFFER_NO_MEMORY;
    }
    size_t skipped = (LINE_BYTES - (uintptr_t)near->memory % LINE_BYTES) % LINE_BYTES;
    char *arena = (char *)near->memory + skipped;
    memset(arena, 0, sizeof(coffer__arena_head));
    coffer_status status = coffer__arena_make(arena, bytes, 0, false);
    if (status != COFFER_OK) {
        return status;
    }
    atomic_store(&((coffer__arena_head *)(void *)arena)->magic, COFFER__ARENA_MAGIC);
    status = coffer__arena_attach(near, arena, bytes, 0) == NULL ? COFFER_OK : COFFER_INTERNAL;
    near->memory_bytes = memory_bytes;
    return status;
}

coffer_status coffer__near_new(coffer__near **out, size_t memory_bytes) {
    *out = NULL;
    if (memory_bytes < COFFER__ARENA_MIN) {
        return COFFER_ARG;
    }
    coffer__near *near = new_near();
    coffer_status status = near == NULL ? COFFER_NO_MEMORY : make_private(near, memory_bytes);
    if (status != COFFER_OK) {
        coffer__near_free(near);
        return status;
    }
    *out = near;
    return COFFER_OK;
}

void coffer__near_free(coffer__near *near) {
    if (near == NULL) {
        return;
    }
    coffer__release(near->memory);
    coffer__shared_close(&near->shared);
    coffer__wipe(near, sizeof *near);
    coffer__release(near);
}

void coffer__near_after_fork(coffer__near *near) {
    if (!near->is_shared) {
        coffer__arena_after_fork(near);
    }
}

/* ---- shared ---- */

static bool is_name(coffer_slice name) {
    bool is_well = name.len <= 64;
    for (size_t i = 0; is_well && i < name.len; i++) {
        char c = name.data[i];
        is_well = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || (c == '.' && i > 0);
    }
    return is_well;
}

/* "web.u33.5f0c91d2": users do not meet, nor do layouts. */
static coffer_status name_object(const coffer__near_site *site, char name[COFFER__SHARED_NAME_CAP], coffer_error *error) {
    char stem[65], who[16];
    uint32_t user, group;
    if (!is_name(site->name)) {
        return coffer__error_set(error, COFFER_OPTION, "the name of a near cache is up to 64 letters, digits, '-', '_' and '.' (not first)");
    }
    if (!coffer__shared_user(site->owner, &user) || !coffer__shared_group(site->group, &group)) {
        return coffer__error_set(error, COFFER_OPTION, "the owner or group that was named for the near cache does not exist here");
    }
    if (site->name.len > 0) {
        snprintf(stem, sizeof stem, "%.*s", (int)site->name.len, site->name.data);
    } else {
        snprintf(stem, sizeof stem, "coffer-%016llx", (unsigned long long)site->identity);
    }
    if (site->group.len > 0) {
        snprintf(who, sizeof who, "g%u", (unsigned)group);
    } else {
        snprintf(who, sizeof who, "u%u", site->owner.len > 0 ? (unsigned)user : (unsigned)geteuid());
    }
    snprintf(name, COFFER__SHARED_NAME_CAP, "/%s.%s.%08x", stem, who, (unsigned)(coffer__arena_layout() >> 32));
    return COFFER_OK;
}

coffer_status coffer__near_check(const coffer__near_site *site, coffer_error *error) {
    char name[COFFER__SHARED_NAME_CAP];
    if (site->descriptor >= 0 && fcntl(site->descriptor, F_GETFD) < 0) {
        return coffer__error_set(error, COFFER_OPTION, "the descriptor %d that was named for the near cache is not open", site->descriptor);
    }
    return name_object(site, name, error);
}

static coffer_status make_arena(void *data, void *memory, size_t bytes) {
    return coffer__arena_make(memory, bytes, ((const coffer__near_site *)data)->identity, true);
}

static coffer_status attach(coffer__near *near, const coffer__near_site *site, coffer_error *error) {
    char name[COFFER__SHARED_NAME_CAP] = "";
    coffer_status status = site->descriptor >= 0 ? COFFER_OK : name_object(site, name, error);
    if (status != COFFER_OK) {
        return status;
    }
    coffer__near_site ours = *site;
    const coffer__shared_want want = {.name = name,
                                      .descriptor = site->descriptor,
                                      .bytes = site->memory_bytes,
                                      .owner = site->owner,
                                      .group = site->group,
                                      .make = make_arena,
                                      .data = &ours,
                                      .first_word = COFFER__ARENA_MAGIC};
    status = coffer__shared_open(&near->shared, &want, error);
    if (status != COFFER_OK) {
        return status;
    }
    const char *fault = coffer__arena_attach(near, near->shared.memory, near->shared.bytes, site->identity);
    return fault == NULL ? COFFER_OK : coffer__error_set(error, COFFER_OPTION, "the shared memory %s is not used: %s", name, fault);
}

coffer_status coffer__near_attach(coffer__near **out, const coffer__near_site *site, coffer_error *error) {
    *out = NULL;
    if (site->memory_bytes < COFFER__ARENA_MIN) {
        return coffer__error_set(error, COFFER_ARG, "a near cache has at least 1 MiB");
    }
    coffer__near *near = new_near();
    coffer_status status =
        near == NULL ? coffer__error_set(error, COFFER_NO_MEMORY, "there is no memory for a near cache") : attach(near, site, error);
    if (status != COFFER_OK) {
        coffer__near_free(near);
        return status;
    }
    near->is_shared = true;
    *out = near;
    return COFFER_OK;
}

coffer_status coffer__near_remove(const coffer__near_site *site, coffer_error *error) {
    char name[COFFER__SHARED_NAME_CAP];
    coffer_status status = name_object(site, name, error);
    status = status == COFFER_OK ? coffer__shared_remove(name) : status;
    return status == COFFER_OPTION ? coffer__error_set(error, status, "the shared memory %s is not this user's to remove", name) : status;
}
