/* docs/options.md says of each option what the table says. The line that is missing is shown, ready to be pasted. */
#include "policy/helpers.h"

static char *read_docs(void) {
    FILE *file = fopen("docs/options.md", "rb");
    assert_non_null(file);
    char *text = (char *)calloc(1, 65536);
    assert_non_null(text);
    size_t len = fread(text, 1, 65535, file);
    assert_true(len < 65535);
    (void)fclose(file);
    return text;
}

static void write_variables(const coffer_option_info *info, char out[256]) {
    size_t len = (size_t)snprintf(out, 256, "`COFFER_");
    for (const char *at = info->name; *at != '\0'; at++) {
        out[len++] = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
    }
    out[len++] = '`';
    for (const char *at = info->environment; *at != '\0'; at += strspn(at, " ")) {
        int name_len = (int)strcspn(at, " ");
        len += (size_t)snprintf(out + len, 256 - len, " `%.*s`", name_len, at);
        at += name_len;
    }
    out[len] = '\0';
}

static void test_each_option_has_its_line(void **state) {
    (void)state;
    char *docs = read_docs();
    coffer_option_info info;
    size_t missing = 0;
    for (size_t i = 0; coffer_options_describe(i, &info); i++) {
        char line[1024], variables[256], shown[128];
        write_variables(&info, variables);
        (void)snprintf(shown, sizeof shown, *info.default_text == '\0' ? "none" : "`%s`", info.default_text);
        (void)snprintf(line, sizeof line, "\n| `%s` | %s | %s | %s | %s | %s |\n", info.name, info.kind, shown, info.per_namespace ? "yes" : "no",
                       variables, info.help);
        if (strstr(docs, line) == NULL) {
            (void)fprintf(stderr, "%s", line + 1);
            missing++;
        }
    }
    free(docs);
    assert_int_equal(missing, 0);
}

static void test_each_word_of_a_choice_and_class_of_ttl_is_there(void **state) {
    (void)state;
    char *docs = read_docs();
#define WORD(option, word, constant, value) assert_has(docs, "`" word "`");
    COFFER_CHOICE_MAP(WORD)
#undef WORD
#define CLASS(word, ttl_ms) assert_has(docs, "`" word "`");
    COFFER_TTL_CLASS_MAP(CLASS)
#undef CLASS
    free(docs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_option_has_its_line),
        cmocka_unit_test(test_each_word_of_a_choice_and_class_of_ttl_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
