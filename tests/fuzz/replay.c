/* Feeds files, and the files of folders, to a fuzz target: the corpus as a test, without libFuzzer. */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static size_t replayed_count;

static void replay_file(const char *path) {
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    MUST(file != NULL);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    char *copy = alone(coffer_slice_of(bytes, len));
    fprintf(stderr, "replay: %s\n", path);
    (void)LLVMFuzzerTestOneInput((const uint8_t *)copy, len);
    free(copy);
    replayed_count++;
}

static void replay_folder(const char *path) {
    DIR *folder = opendir(path);
    MUST(folder != NULL);
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        char inside[4096];
        int len = snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        MUST(len > 0 && (size_t)len < sizeof inside);
        if (entry->d_name[0] != '.') {
            replay_file(inside);
        }
    }
    closedir(folder);
}

int main(int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        struct stat is;
        MUST(stat(arguments[i], &is) == 0);
        (S_ISDIR(is.st_mode) ? replay_folder : replay_file)(arguments[i]);
    }
    MUST(replayed_count > 0);
    return 0;
}
