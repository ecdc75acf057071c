/* Who may use the memory that processes share, and what happens to those who may not: a sentence each, no crash. */
#define _GNU_SOURCE /* memfd_create */
#include "near/arena.h"

#include <coffer/hooks.h>

#include "support/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1024 * 1024)
#define FOREVER UINT64_MAX

enum { OTHER_USER = 54321, OTHER_GROUP = 54322, IDENTITY = 7 };

/* One object for each test. */
static struct {
    char stem[64];
    char path[160]; /* of the file that shm_open makes of it */
    char name[120]; /* for shm_open */
    coffer__near_site site;
} here;

static void name_object(const char *who, unsigned number) {
    snprintf(here.name, sizeof here.name, "/%s.%s%u.%08x", here.stem, who, number, (unsigned)(coffer__arena_layout() >> 32));
    snprintf(here.path, sizeof here.path, "/dev/shm%s", here.name);
}

static int set_up(void **state) {
    static int number;
    (void)state;
    snprintf(here.stem, sizeof here.stem, "coffer-test-%d-%d", (int)getpid(), ++number);
    name_object("u", (unsigned)geteuid());
    here.site = (coffer__near_site){.name = coffer_slice_text(here.stem), .identity = IDENTITY, .memory_bytes = 2 * MIB, .descriptor = -1};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    shm_unlink(here.name);
    return 0;
}

static coffer__near *opened(void) {
    coffer__near *near = NULL;
    coffer_error error;
    bool is_shared = false;
    coffer_status status = coffer__near_open(&near, &here.site, &is_shared, &error);
    if (status != COFFER_OK) {
        fail_msg("%s", error.text);
    }
    assert_true(is_shared);
    return near;
}

static void assert_refused(const char *why) {
    coffer__near *near = NULL;
    coffer_error error = {.status = COFFER_OK, .text = ""};
    bool is_shared = true;
    assert_int_equal(coffer__near_open(&near, &here.site, &is_shared, &error), COFFER_OPTION);
    assert_null(near);
    assert_false(is_shared);
    if (strstr(error.text, why) == NULL) {
        fail_msg("not \"%s\": %s", why, error.text);
    }
}

static bool put(coffer__near *near, const char *key, const char *value) {
    return coffer__near_put(near, coffer_slice_text(key), coffer_slice_text(value), 0, FOREVER, NULL) == COFFER_OK;
}

static bool holds(coffer__near *near, const char *key, const char *value) {
    coffer__buf out = COFFER__BUF_INIT;
    bool same = coffer__near_get(near, coffer_slice_text(key), 0, &out, NULL) == COFFER_OK &&
                coffer_slice_equal(coffer__buf_slice(&out), coffer_slice_text(value));
    coffer__buf_free(&out);
    return same;
}

/* What `body` answers in a child, 0 if it went well. */
static int in_child(int (*body)(void)) {
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        _exit(body());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* An object of ours, not yet open to anybody. */
static void make_object(void) {
    coffer__near *near = opened();
    assert_true(put(near, "k", "value"));
    coffer__near_free(near);
}

/* ---- sharing ---- */

static int look_and_answer(void) {
    coffer__near *near = NULL;
    coffer_error error;
    bool is_shared;
    bool well = coffer__near_open(&near, &here.site, &is_shared, &error) == COFFER_OK && is_shared && holds(near, "k", "value");
    well = well && put(near, "answer", "here");
    coffer__near_free(near);
    return well ? 0 : 1;
}

static void test_two_processes_have_one_store_and_it_outlives_both(void **state) {
    (void)state;
    make_object();
    assert_int_equal(in_child(look_and_answer), 0);
    coffer__near *near = opened();
    assert_true(holds(near, "answer", "here"));
    assert_true(holds(near, "k", "value"));
    coffer__near_free(near);
}

static void test_only_its_user_may_open_the_object(void **state) {
    (void)state;
    struct stat stat_of;
    mode_t before = umask(0);
    make_object();
    umask(before);
    assert_int_equal(stat(here.path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 07777, 0600);
    assert_int_equal(stat_of.st_size, 2 * MIB);
}

static void test_what_is_there_keeps_its_size(void **state) {
    (void)state;
    make_object();
    here.site.memory_bytes = 8 * MIB;
    coffer__near *near = opened();
    coffer__near_stats stats;
    coffer__near_stats_read(near, &stats);
    assert_int_equal(stats.memory_bytes, 2 * MIB);
    assert_true(holds(near, "k", "value"));
    coffer__near_free(near);
}

static void test_removed_it_goes_on_for_those_who_have_it(void **state) {
    (void)state;
    coffer_error error;
    coffer__near *before = opened();
    assert_true(put(before, "k", "value"));
    assert_int_equal(coffer__near_remove(&here.site, &error), COFFER_OK);
    assert_int_equal(coffer__near_remove(&here.site, &error), COFFER_MISS);
    assert_true(holds(before, "k", "value"));
    coffer__near *after = opened();
    assert_false(holds(after, "k", "value"));
    coffer__near_free(after);
    coffer__near_free(before);
}

static void test_a_forked_child_goes_on_sharing(void **state) {
    (void)state;
    int status;
    coffer__near *near = opened();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        coffer__near_after_fork(near);
        _exit(put(near, "of the child", "value") ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(holds(near, "of the child", "value"));
    coffer__near_free(near);
}

/* All find nothing, or something half made; all end up with the same. They set out at once. */
static void race(void) {
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    pid_t racers[sizeof keys / sizeof keys[0]];
    int gate[2], status;
    assert_int_equal(pipe(gate), 0);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        racers[i] = fork();
        assert_true(racers[i] >= 0);
        if (racers[i] == 0) {
            alarm(20);
            close(gate[1]);
            _exit(read(gate[0], &status, 1) == 0 && put(opened(), keys[i], "was here") ? 0 : 1);
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_true(waitpid(racers[i], &status, 0) == racers[i] && status == 0);
    }
    coffer__near *near = opened();
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_true(holds(near, keys[i], "was here"));
    }
    coffer__near_free(near);
}

static void test_racing_makers_make_one(void **state) {
    (void)state;
    for (int round = 0; round < 10; round++) {
        race();
        shm_unlink(here.name);
    }
}

/* ---- half made ---- */

/* All of it written but the first word, which comes last. */
static void half_make(size_t bytes) {
    int descriptor = shm_open(here.name, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(ftruncate(descriptor, (off_t)bytes), 0);
    if (bytes > 0) {
        char *memory = (char *)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
        assert_true(memory != MAP_FAILED);
        memset(memory + 8, 0xFF, bytes - 8);
        munmap(memory, bytes);
    }
    close(descriptor);
}

static void test_what_a_dead_maker_left_is_made_anew(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 4096, 2 * MIB, 3 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        half_make(sizes[i]);
        coffer__near *near = opened();
        coffer__near_stats stats;
        coffer__near_stats_read(near, &stats);
        assert_int_equal(stats.lock_timeouts + stats.entries + stats.wiped_shards, 0);
        assert_true(put(near, "k", "value"));
        assert_true(holds(near, "k", "value"));
        coffer__near_free(near);
        shm_unlink(here.name);
    }
}

static void test_a_maker_that_was_stopped_is_not_waited_for_for_ever(void **state) {
    (void)state;
    half_make(0);
    int descriptor = shm_open(here.name, O_RDWR, 0);
    assert_int_equal(flock(descriptor, LOCK_EX), 0);
    assert_refused("another process is making it");
    close(descriptor);
    coffer__near_free(opened());
}

/* ---- refusals ---- */

static void test_everybodys_and_groups_objects_are_refused(void **state) {
    (void)state;
    make_object();
    assert_int_equal(chmod(here.path, 0666), 0);
    assert_refused("everybody may open it");
    assert_int_equal(chmod(here.path, 0604), 0);
    assert_refused("everybody may open it");
    assert_int_equal(chmod(here.path, 0660), 0);
    assert_refused("a group may open it that was not named");
    assert_int_equal(chmod(here.path, 0600), 0);
    coffer__near_free(opened());
}

static void test_a_second_name_is_refused(void **state) {
    (void)state;
    char second[200];
    make_object();
    snprintf(second, sizeof second, "%s.second", here.path);
    assert_int_equal(link(here.path, second), 0);
    assert_refused("second name");
    assert_int_equal(unlink(second), 0);
    coffer__near_free(opened());
}

static void test_a_symbolic_link_is_refused(void **state) {
    (void)state;
    char target[200];
    make_object();
    snprintf(target, sizeof target, "%s.target", here.path);
    assert_int_equal(rename(here.path, target), 0);
    assert_int_equal(symlink(target, here.path), 0);
    assert_refused("symbolic link");
    assert_int_equal(unlink(here.path), 0);
    assert_int_equal(unlink(target), 0);
}

static void test_a_truncated_or_extended_one_is_refused(void **state) {
    (void)state;
    static const off_t sizes[] = {8, 100, 4096, (off_t)MIB, (off_t)(2 * MIB - 64), (off_t)(2 * MIB + 8), (off_t)(2 * MIB + 4096), (off_t)(16 * MIB)};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make_object();
        assert_int_equal(truncate(here.path, sizes[i]), 0);
        assert_refused("truncated");
        shm_unlink(here.name);
    }
}

static void test_copies_of_another_server_are_refused(void **state) {
    (void)state;
    make_object();
    here.site.identity = IDENTITY + 1;
    assert_refused("another server");
}

static void flip(size_t offset) {
    uint8_t byte;
    int descriptor = open(here.path, O_RDWR);
    assert_int_equal(pread(descriptor, &byte, 1, (off_t)offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(descriptor, &byte, 1, (off_t)offset), 1);
    close(descriptor);
}

static void test_a_damaged_head_or_another_layout_is_refused(void **state) {
    (void)state;
    static const struct {
        size_t offset;
        const char *why;
    } cases[] = {
        {0, "it is no near cache"},
        {offsetof(coffer__arena_head, check), "damaged"},
        {offsetof(coffer__arena_head, shape) + offsetof(coffer__arena_shape, layout), "another version"},
        {offsetof(coffer__arena_head, shape) + offsetof(coffer__arena_shape, total_bytes) + 2, "damaged"},
        {offsetof(coffer__arena_head, shape) + offsetof(coffer__arena_shape, identity), "damaged"},
        {offsetof(coffer__arena_head, shape) + offsetof(coffer__arena_shape, shard_count), "damaged"},
        {offsetof(coffer__arena_head, shape) + offsetof(coffer__arena_shape, shard_bytes) + 3, "damaged"},
        {offsetof(coffer__arena_head, shape) + offsetof(coffer__arena_shape, secret), "damaged"},
    };
    make_object();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        flip(cases[i].offset);
        assert_refused(cases[i].why);
        flip(cases[i].offset);
    }
    coffer__near_free(opened());
}

static void test_names_that_lead_elsewhere_are_refused(void **state) {
    (void)state;
    static const char *const names[] = {"a/b", "../a", ".hidden", "a b", "a\nb", "12345678901234567890123456789012345678901234567890123456789012345"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        here.site.name = coffer_slice_text(names[i]);
        assert_refused("letters, digits");
    }
}

static coffer_log_event told;
static void hear(void *data, const coffer_log_record *record) {
    (void)data;
    told = record->event;
}

static void test_the_fallback_is_private_and_told(void **state) {
    (void)state;
    coffer__near *near;
    coffer_error error;
    bool is_shared = true;
    make_object();
    assert_int_equal(chmod(here.path, 0666), 0);
    here.site.fallback_private = true;
    told = COFFER_LOG_EVENT_COUNT;
    coffer_set_log(hear, NULL);
    assert_int_equal(coffer__near_open(&near, &here.site, &is_shared, &error), COFFER_OK);
    coffer_set_log(NULL, NULL);
    assert_false(is_shared);
    assert_int_equal(told, COFFER_LOG_NEAR_PRIVATE);
    assert_true(!holds(near, "k", "value") && put(near, "k", "own"));
    coffer__near_free(near);
}

static void test_what_is_misspelt_is_refused_with_the_fallback_too(void **state) {
    (void)state;
    here.site.fallback_private = true;
    here.site.owner = COFFER_SLICE("nobody-has-this-name");
    assert_refused("does not exist");
    here.site.owner = COFFER_SLICE("");
    here.site.name = COFFER_SLICE("no/path");
    assert_refused("letters, digits");
    here.site.name = coffer_slice_text(here.stem);
    here.site.descriptor = 1000;
    assert_refused("is not open");
}

/* ---- other users ---- */

static bool become(uid_t user, gid_t group) {
    return setgroups(0, NULL) == 0 && setgid(group) == 0 && setuid(user) == 0;
}

static void needs_root(void) {
    if (geteuid() != 0) {
        skip();
    }
}

static int other_user_finds_its_own_name_taken(void) {
    coffer__near *near = NULL;
    coffer_error error;
    bool is_shared;
    if (!become(OTHER_USER, OTHER_GROUP)) {
        return 2;
    }
    coffer_status status = coffer__near_open(&near, &here.site, &is_shared, &error);
    coffer__near_free(near);
    return status == COFFER_OPTION && strstr(error.text, "cannot be opened") != NULL ? 0 : 1;
}

static void test_an_object_of_another_user_is_refused(void **state) {
    (void)state;
    needs_root();
    make_object();
    assert_int_equal(chown(here.path, OTHER_USER, OTHER_GROUP), 0);
    assert_refused("another user");
    assert_int_equal(chown(here.path, 0, 0), 0);
    char theirs[160];
    snprintf(theirs, sizeof theirs, "/dev/shm/%s.u%d.%08x", here.stem, OTHER_USER, (unsigned)(coffer__arena_layout() >> 32));
    assert_int_equal(rename(here.path, theirs), 0);
    assert_int_equal(in_child(other_user_finds_its_own_name_taken), 0);
    assert_int_equal(unlink(theirs), 0);
}

static int look_as_owner(void) {
    return become(OTHER_USER, OTHER_GROUP) ? look_and_answer() : 2;
}

static int look_as_member(void) {
    return become(OTHER_USER + 1, OTHER_GROUP) ? look_and_answer() : 2;
}

static int look_as_stranger(void) {
    coffer__near *near = NULL;
    coffer_error error;
    bool is_shared;
    if (!become(OTHER_USER + 1, OTHER_GROUP + 1)) {
        return 2;
    }
    coffer_status status = coffer__near_open(&near, &here.site, &is_shared, &error);
    coffer__near_free(near);
    return status == COFFER_OPTION ? 0 : 1;
}

static void test_root_makes_it_for_the_owner_that_was_named(void **state) {
    (void)state;
    needs_root();
    here.site.owner = COFFER_SLICE("54321");
    name_object("u", OTHER_USER);
    make_object();
    assert_int_equal(in_child(look_as_owner), 0);
    assert_int_equal(in_child(look_as_stranger), 0);
    here.site.owner = COFFER_SLICE("");
    assert_int_equal(in_child(look_as_owner), 0); /* it is the owner: that needs not be said */
}

static void test_root_makes_it_for_the_group_that_was_named(void **state) {
    (void)state;
    needs_root();
    here.site.group = COFFER_SLICE("54322");
    name_object("g", OTHER_GROUP);
    make_object();
    assert_int_equal(in_child(look_as_member), 0);
    assert_int_equal(in_child(look_as_owner), 0);
    assert_int_equal(in_child(look_as_stranger), 0);
    coffer__near_free(opened());
}

static void test_owners_that_do_not_exist_are_refused(void **state) {
    (void)state;
    here.site.owner = COFFER_SLICE("nobody-has-this-name");
    assert_refused("does not exist");
    here.site.owner = COFFER_SLICE("4294967295"); /* what chown takes for: leave it */
    assert_refused("does not exist");
    here.site.owner = COFFER_SLICE("");
    here.site.group = COFFER_SLICE("nobody-has-this-name");
    assert_refused("does not exist");
}

static int give_away_in_vain(void) {
    coffer__near *near = NULL;
    coffer_error error;
    bool is_shared;
    here.site.owner = COFFER_SLICE("0");
    if (!become(OTHER_USER, OTHER_GROUP)) {
        return 2;
    }
    coffer_status status = coffer__near_open(&near, &here.site, &is_shared, &error);
    coffer__near_free(near);
    return status == COFFER_OPTION && strstr(error.text, "cannot be given") != NULL ? 0 : 1;
}

static void test_only_root_can_make_it_for_others(void **state) {
    (void)state;
    needs_root();
    name_object("u", 0);
    assert_int_equal(in_child(give_away_in_vain), 0);
}

/* ---- inherited descriptors ---- */

static void test_a_memfd_is_made_sealed_and_shared(void **state) {
    (void)state;
    here.site.descriptor = memfd_create("near", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(here.site.descriptor >= 0);
    make_object();
    assert_int_equal(in_child(look_and_answer), 0);
    coffer__near *near = opened();
    assert_true(holds(near, "answer", "here"));
    assert_int_equal(ftruncate(here.site.descriptor, 0), -1);
    assert_int_equal(errno, EPERM);
    coffer__near_free(near);
    close(here.site.descriptor);
}

/* A descriptor that was inherited is the same open file in all of them: a lock of that one keeps none of them out. */
static void test_racing_makers_of_a_memfd_make_one(void **state) {
    (void)state;
    for (int round = 0; round < 10; round++) {
        here.site.descriptor = memfd_create("near", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        race();
        close(here.site.descriptor);
    }
}

static void test_a_memfd_that_cannot_be_sealed_is_refused(void **state) {
    (void)state;
    here.site.descriptor = memfd_create("near", MFD_CLOEXEC);
    assert_refused("not sealed");
    close(here.site.descriptor);
}

static void test_descriptors_of_other_things_are_refused(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    here.site.descriptor = ends[0];
    assert_refused("no memory object");
    close(ends[0]);
    assert_refused("is not open");
    close(ends[1]);
}

static void test_a_descriptor_of_a_named_object_is_held_to_its_mode(void **state) {
    (void)state;
    make_object();
    int descriptor = shm_open(here.name, O_RDWR, 0);
    here.site.descriptor = descriptor;
    coffer__near *near = opened();
    assert_true(holds(near, "k", "value"));
    coffer__near_free(near);
    assert_int_equal(chmod(here.path, 0666), 0);
    assert_refused("everybody may open it");
    close(descriptor);
}

#define HERE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        HERE(test_two_processes_have_one_store_and_it_outlives_both),
        HERE(test_only_its_user_may_open_the_object),
        HERE(test_what_is_there_keeps_its_size),
        HERE(test_removed_it_goes_on_for_those_who_have_it),
        HERE(test_a_forked_child_goes_on_sharing),
        HERE(test_racing_makers_make_one),
        HERE(test_what_a_dead_maker_left_is_made_anew),
        HERE(test_a_maker_that_was_stopped_is_not_waited_for_for_ever),
        HERE(test_everybodys_and_groups_objects_are_refused),
        HERE(test_a_second_name_is_refused),
        HERE(test_a_symbolic_link_is_refused),
        HERE(test_a_truncated_or_extended_one_is_refused),
        HERE(test_copies_of_another_server_are_refused),
        HERE(test_a_damaged_head_or_another_layout_is_refused),
        HERE(test_names_that_lead_elsewhere_are_refused),
        HERE(test_the_fallback_is_private_and_told),
        HERE(test_what_is_misspelt_is_refused_with_the_fallback_too),
        HERE(test_an_object_of_another_user_is_refused),
        HERE(test_root_makes_it_for_the_owner_that_was_named),
        HERE(test_root_makes_it_for_the_group_that_was_named),
        HERE(test_owners_that_do_not_exist_are_refused),
        HERE(test_only_root_can_make_it_for_others),
        HERE(test_a_memfd_is_made_sealed_and_shared),
        HERE(test_racing_makers_of_a_memfd_make_one),
        HERE(test_a_memfd_that_cannot_be_sealed_is_refused),
        HERE(test_descriptors_of_other_things_are_refused),
        HERE(test_a_descriptor_of_a_named_object_is_held_to_its_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
