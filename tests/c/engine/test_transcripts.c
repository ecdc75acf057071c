/* Every file of tests/transcripts, whole and cut into pieces: single bytes, and sizes that meet every boundary in other ways. */
#include "support/cmocka_all.h"
#include "support/transcript.h"

#include <dirent.h>

enum { MOST_FILES = 200 };

static char paths[MOST_FILES][256];

static void test_transcript(void **state) {
    static const size_t pieces[] = {0, 1, 2, 3, 5, 7, 13, 64};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        transcript_play((const char *)*state, pieces[i]);
    }
}

static int by_text(const void *a, const void *b) {
    return strcmp((const char *)a, (const char *)b);
}

static size_t find_files(void) {
    size_t count = 0;
    DIR *folder = opendir("tests/transcripts");
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL && count < MOST_FILES;) {
        if (strstr(entry->d_name, ".txt") != NULL) {
            snprintf(paths[count++], sizeof paths[0], "tests/transcripts/%.200s", entry->d_name);
        }
    }
    closedir(folder);
    qsort(paths, count, sizeof paths[0], by_text);
    return count;
}

int main(void) {
    static struct CMUnitTest tests[MOST_FILES];
    size_t count = find_files();
    for (size_t i = 0; i < count; i++) {
        tests[i] = (struct CMUnitTest){.name = paths[i], .test_func = test_transcript, .initial_state = paths[i]};
    }
    if (count == 0) {
        fprintf(stderr, "no transcripts: run this from the project's folder\n");
        return 1;
    }
    return _cmocka_run_group_tests("transcripts", tests, count, NULL, NULL);
}
