/* Envelopes made by tests/interop/envelope_model.py, which shares nothing with the core: read, and written again byte for byte. */
#include "codec/codec_support.h"

#include <dirent.h>

enum { FILE_BYTES_MAX = 16 * 1024, GOLDEN_COUNT = 11 };
#define FOLDER "tests/interop/golden"

/* A file as it is: `name: value` lines. */
typedef struct golden {
    char text[FILE_BYTES_MAX];
} golden;

/* The value of a line, up to its end; empty where there is none. */
static coffer_slice field(const golden *file, const char *name) {
    char start[32];
    snprintf(start, sizeof start, "\n%s: ", name);
    const char *found = strstr(file->text, start);
    if (found == NULL) {
        return COFFER_SLICE("");
    }
    found += strlen(start);
    return coffer_slice_of(found, strcspn(found, "\n"));
}

static bool field_is(const golden *file, const char *name, const char *value) {
    return coffer_slice_equal(field(file, name), coffer_slice_text(value));
}

static uint64_t number(const golden *file, const char *name) {
    coffer_slice text = field(file, name);
    assert_int_not_equal(text.len, 0);
    return strtoull(text.data, NULL, 10);
}

static coffer__buf bytes(const golden *file, const char *name) {
    coffer__buf out = COFFER__BUF_INIT;
    append_hex(&out, field(file, name).len == 0 ? "" : field(file, name).data);
    return out;
}

static void load(golden *file, const char *name) {
    char path[300];
    snprintf(path, sizeof path, FOLDER "/%s", name);
    FILE *from = fopen(path, "r");
    assert_non_null(from);
    size_t len = fread(file->text, 1, sizeof file->text - 1, from);
    file->text[len] = '\0';
    fclose(from);
}

static coffer__codec codec_of(const golden *file) {
    coffer__codec codec = plain_codec();
    char name[65] = {0};
    char master[65] = {0};
    memcpy(name, field(file, "name").data, field(file, "name").len);
    memcpy(master, field(file, "master").data, field(file, "master").len);
    if (master[0] != '\0') {
        codec.sealer = sealer_of(master, (uint32_t)number(file, "key_id"), COFFER__KEY_PRIMARY, name);
        codec.pad = field_is(file, "pad", "64") ? COFFER_PAD_64 : field_is(file, "pad", "padme") ? COFFER_PAD_PADME : COFFER_PAD_NONE;
    }
    return codec;
}

static void assert_fields(const golden *file, const coffer__entry *got) {
    coffer__buf tags = bytes(file, "tags");
    coffer__buf payload = bytes(file, "payload");
    assert_int_equal(got->entry_id, number(file, "entry_id"));
    assert_int_equal(got->lease_unix_ms, number(file, "lease"));
    assert_int_equal(got->created_unix_ms, number(file, "created"));
    assert_int_equal(got->fresh_unix_ms, number(file, "fresh"));
    assert_int_equal(got->expires_unix_ms, number(file, "expires"));
    assert_int_equal(got->load_cost_ms, number(file, "load_cost"));
    assert_int_equal(got->kind, number(file, "kind"));
    assert_int_equal(got->format, number(file, "format"));
    assert_int_equal(got->tag_count, number(file, "tag_count"));
    assert_true(coffer_slice_equal(got->tags, coffer__buf_slice(&tags)));
    assert_true(coffer_slice_equal(got->payload, coffer__buf_slice(&payload)));
    coffer__buf_free(&tags);
    coffer__buf_free(&payload);
}

static void assert_written_the_same(const golden *file, const coffer__codec *codec, const coffer__binding *binding, const coffer__entry *entry,
                                    const coffer__buf *envelope) {
    coffer__buf nonce = bytes(file, "nonce");
    coffer__buf out = COFFER__BUF_INIT;
    assert_status(coffer__envelope_write_with_nonce(codec, binding, entry, (const uint8_t *)nonce.data, &out), COFFER_OK);
    assert_int_equal(out.len, envelope->len);
    assert_memory_equal(out.data, envelope->data, out.len);
    coffer__buf_free(&out);
    coffer__buf_free(&nonce);
}

static void assert_aad(const golden *file, const coffer__binding *binding, const coffer__buf *envelope) {
    coffer__buf wanted = bytes(file, "aad");
    coffer__aad aad;
    if (wanted.len > 0) {
        assert_status(coffer__aad_init(&aad, envelope->data, binding), COFFER_OK);
        assert_true(coffer_slice_equal(aad.bytes, coffer__buf_slice(&wanted)));
        coffer__aad_clear(&aad);
    }
    coffer__buf_free(&wanted);
}

static void check(const char *name) {
    golden *file = (golden *)calloc(1, sizeof *file);
    assert_non_null(file);
    load(file, name);
    coffer__buf key = bytes(file, "key");
    coffer__buf envelope = bytes(file, "envelope");
    coffer__buf scratch = COFFER__BUF_INIT;
    coffer__codec codec = codec_of(file);
    coffer__binding binding = {field(file, "purpose"), field(file, "prefix"), field(file, "name"), field(file, "version"), coffer__buf_slice(&key)};
    coffer__entry entry;
    coffer_status status = coffer__envelope_read(&codec, &binding, coffer__buf_slice(&envelope), &scratch, &entry);
    assert_true(field_is(file, "status", coffer_status_name(status)));
    assert_int_equal(entry.entry_id, number(file, "entry_id"));
    assert_aad(file, &binding, &envelope);
    if (status == COFFER_OK) {
        assert_fields(file, &entry);
    }
    if (status == COFFER_OK && field_is(file, "writes", "yes")) {
        assert_written_the_same(file, &codec, &binding, &entry, &envelope);
    }
    coffer__sealer_free(codec.sealer);
    coffer__buf_free(&key);
    coffer__buf_free(&envelope);
    coffer__buf_free(&scratch);
    free(file);
}

static bool is_golden(const char *name) {
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".hex") == 0;
}

static void test_golden_envelopes(void **state) {
    (void)state;
    DIR *folder = opendir(FOLDER);
    assert_non_null(folder);
    int count = 0;
    for (struct dirent *file; (file = readdir(folder)) != NULL;) {
        if (is_golden(file->d_name)) {
            print_message("%s\n", file->d_name);
            check(file->d_name);
            count++;
        }
    }
    closedir(folder);
    assert_int_equal(count, GOLDEN_COUNT);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden_envelopes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
