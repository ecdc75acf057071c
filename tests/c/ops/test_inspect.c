/* Looking into stored bytes: every field of what verifies, the header of what does not, and the verdict that a reader comes to. */
#include "ops/helpers.h"

#include "engine/client.h"
#include "support/watched_alloc.h"

#define KEY_A "seal_key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8%3D&seal_key_id=7"
#define KEY_B "seal_key=//79/Pv6%2Bfj39vX08/Lx8O/u7ezr6uno5%2Bbl5OPi4eA%3D&seal_key_id=7"
#define NAMES "&prefix=app&namespace=users&version=3"

enum { PAYLOAD_BYTES = 4000, TAG_BYTES = 12 };

/* Bytes as `w` stores them under the key 42: 4,000 times the letter a, in JSON's clothes. */
static void store(world *w, coffer__buf *out) {
    static char payload[PAYLOAD_BYTES];
    coffer__binding binding = coffer__namespace_binding(w->ns, COFFER_SLICE("42"));
    memset(payload, 'a', sizeof payload);
    coffer__entry entry = {.entry_id = 0x1122334455667788,
                           .lease_unix_ms = 5,
                           .created_unix_ms = 1000,
                           .fresh_unix_ms = 2000,
                           .expires_unix_ms = UINT64_MAX,
                           .load_cost_ms = 37,
                           .format = COFFER_FORMAT_JSON,
                           .tags = COFFER_SLICE("\3red\0\0\0\0\0\0\0\1"),
                           .tag_count = 1,
                           .payload = coffer_slice_of(payload, sizeof payload)};
    assert_int_equal(coffer__envelope_write(&w->ns->codec, &binding, &entry, out), COFFER_OK);
}

static coffer_inspection look(world *w, const char *key, const coffer__buf *envelope) {
    coffer_inspection seen = {.struct_size = sizeof seen};
    assert_int_equal(coffer_envelope_inspect(w->ns, coffer_slice_text(key), coffer__buf_slice(envelope), &seen), COFFER_OK);
    return seen;
}

static void assert_body(const coffer_inspection *seen) {
    assert_true(seen->has_body);
    assert_int_equal(seen->entry_id, 0x1122334455667788);
    assert_int_equal(seen->lease_unix_ms, 5);
    assert_int_equal(seen->kind, 0);
    assert_int_equal(seen->format, COFFER_FORMAT_JSON);
    assert_int_equal(seen->tag_count, 1);
    assert_int_equal(seen->payload_bytes, PAYLOAD_BYTES);
    assert_int_equal(seen->created_unix_ms, 1000);
    assert_int_equal(seen->fresh_unix_ms, 2000);
    assert_true(seen->expires_unix_ms == UINT64_MAX);
    assert_int_equal(seen->load_cost_ms, 37);
}

static void assert_header_alone(const coffer_inspection *seen, coffer_status verdict) {
    assert_string_equal(coffer_status_name(seen->verdict), coffer_status_name(verdict));
    assert_true(seen->has_header);
    assert_false(seen->has_body);
    assert_int_equal(seen->entry_id, 0x1122334455667788);
    assert_int_equal(seen->created_unix_ms, 0);
    assert_int_equal(seen->payload_bytes, 0);
    assert_int_equal(seen->payload.len, 0);
    assert_null(seen->owner);
}

static void test_all_fields_of_an_unsealed_one(void **state) {
    (void)state;
    world w;
    coffer__buf envelope = COFFER__BUF_INIT;
    open_world(&w, "mem://");
    store(&w, &envelope);
    coffer_inspection seen = look(&w, "another key", &envelope);
    assert_int_equal(seen.verdict, COFFER_OK);
    assert_body(&seen);
    assert_int_equal(seen.version, 1);
    assert_int_equal(seen.suite, 0);
    assert_int_equal(seen.key_id, 0);
    assert_int_equal(seen.codec, 1);
    assert_in_range(seen.stored_bytes, 1, 200);
    assert_int_equal(seen.pad_bytes, 0);
    assert_int_equal(seen.payload.len, PAYLOAD_BYTES);
    assert_int_equal(seen.payload.data[PAYLOAD_BYTES - 1], 'a');
    coffer_inspection_clear(&seen);
    coffer_inspection_clear(&seen);
    coffer_inspection_clear(NULL);
    close_world(&w);
    coffer__buf_free(&envelope);
}

static void test_one_that_says_there_is_nothing(void **state) {
    (void)state;
    world w;
    coffer__buf envelope = COFFER__BUF_INIT;
    open_world(&w, "mem://");
    coffer__binding binding = coffer__namespace_binding(w.ns, COFFER_SLICE("42"));
    coffer__entry entry = {.entry_id = 1, .kind = COFFER__KIND_ABSENT, .expires_unix_ms = 2000};
    assert_int_equal(coffer__envelope_write(&w.ns->codec, &binding, &entry, &envelope), COFFER_OK);
    coffer_inspection seen = look(&w, "42", &envelope);
    assert_int_equal(seen.verdict, COFFER_OK);
    assert_true(seen.has_body);
    assert_int_equal(seen.kind, 1);
    assert_int_equal(seen.payload.len, 0);
    assert_null(seen.owner);
    close_world(&w);
    coffer__buf_free(&envelope);
}

static void test_flags_that_nobody_knows_are_shown(void **state) {
    (void)state;
    world w;
    coffer__buf envelope = COFFER__BUF_INIT;
    open_world(&w, "mem://");
    store(&w, &envelope);
    envelope.data[3] = 5;
    coffer_inspection seen = look(&w, "42", &envelope);
    assert_header_alone(&seen, COFFER_BAD_FLAGS);
    assert_int_equal(seen.flags, 5);
    close_world(&w);
    coffer__buf_free(&envelope);
}

static void test_a_sealed_one_opens_where_it_was_stored(void **state) {
    (void)state;
    world w;
    coffer__buf envelope = COFFER__BUF_INIT;
    open_world(&w, "mem://?seal_pad=64&" KEY_A NAMES);
    store(&w, &envelope);
    coffer_inspection seen = look(&w, "42", &envelope);
    assert_int_equal(seen.verdict, COFFER_OK);
    assert_body(&seen);
    assert_int_equal(seen.suite, 1);
    assert_int_equal(seen.key_id, 7);
    assert_int_equal(seen.codec, 0);
    assert_int_equal(seen.stored_bytes, PAYLOAD_BYTES);
    assert_int_equal((36 + TAG_BYTES + PAYLOAD_BYTES + seen.pad_bytes) % 64, 0);
    assert_in_range(seen.pad_bytes, 1, 64);
    assert_int_equal(seen.payload.len, PAYLOAD_BYTES);
    coffer_inspection_clear(&seen);
    seen = look(&w, "43", &envelope);
    assert_header_alone(&seen, COFFER_AUTH_FAILED);
    close_world(&w);
    coffer__buf_free(&envelope);
}

static void test_a_sealed_one_shows_its_header_to_others(void **state) {
    static const struct {
        const char *url;
        coffer_status verdict;
    } others[] = {
        {"mem://?prefix=app&namespace=users&version=3", COFFER_UNKNOWN_KEY},
        {"mem://?prefix=app&namespace=users&version=3&" KEY_B, COFFER_AUTH_FAILED},
        {"mem://?prefix=app&namespace=teams&version=3&" KEY_A, COFFER_AUTH_FAILED},
        {"mem://?prefix=app&namespace=users&" KEY_A, COFFER_AUTH_FAILED},
        {"mem://?prefix=test&namespace=users&version=3&" KEY_A, COFFER_AUTH_FAILED},
    };
    (void)state;
    world w;
    coffer__buf envelope = COFFER__BUF_INIT;
    open_world(&w, "mem://?" KEY_A NAMES);
    store(&w, &envelope);
    close_world(&w);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        open_world(&w, others[i].url);
        coffer_inspection seen = look(&w, "42", &envelope);
        assert_header_alone(&seen, others[i].verdict);
        assert_int_equal(seen.key_id, 7);
        close_world(&w);
    }
    coffer__buf_free(&envelope);
}

static void test_what_only_lacks_its_seal_is_looked_into(void **state) {
    (void)state;
    world w;
    coffer__buf envelope = COFFER__BUF_INIT;
    open_world(&w, "mem://");
    store(&w, &envelope);
    close_world(&w);
    open_world(&w, "mem://?" KEY_A);
    coffer_inspection seen = look(&w, "42", &envelope);
    assert_int_equal(seen.verdict, COFFER_DOWNGRADE);
    assert_body(&seen);
    assert_int_equal(seen.payload.len, 0);
    assert_null(seen.owner);
    envelope.data[envelope.len - 1] ^= 1;
    seen = look(&w, "42", &envelope);
    assert_header_alone(&seen, COFFER_DOWNGRADE);
    close_world(&w);
    coffer__buf_free(&envelope);
}

static void test_a_value_over_the_limit_shows_its_fields(void **state) {
    (void)state;
    world w;
    coffer__buf envelope = COFFER__BUF_INIT;
    open_world(&w, "mem://");
    store(&w, &envelope);
    close_world(&w);
    open_world(&w, "mem://?max_value=1000");
    coffer_inspection seen = look(&w, "42", &envelope);
    assert_int_equal(seen.verdict, COFFER_TOO_LARGE);
    assert_body(&seen);
    assert_int_equal(seen.payload.len, 0);
    close_world(&w);
    coffer__buf_free(&envelope);
}

/* Cut anywhere it is refused, and never read beyond; ASan sees to that, since the bytes end where they are cut. */
static void test_every_cut_has_a_verdict(void **state) {
    (void)state;
    world w;
    coffer__buf envelope = COFFER__BUF_INIT;
    open_world(&w, "mem://?" KEY_A NAMES "&compress=trusted");
    store(&w, &envelope);
    for (size_t len = 0; len < envelope.len; len++) {
        char *cut = (char *)malloc(len == 0 ? 1 : len);
        memcpy(cut, envelope.data, len);
        coffer_inspection seen = {.struct_size = sizeof seen};
        assert_int_equal(coffer_envelope_inspect(w.ns, COFFER_SLICE("42"), coffer_slice_of(cut, len), &seen), COFFER_OK);
        assert_true(seen.verdict < 0);
        assert_int_equal(seen.has_header, len >= 24);
        assert_false(seen.has_body);
        free(cut);
    }
    close_world(&w);
    coffer__buf_free(&envelope);
}

static void test_what_is_no_envelope(void **state) {
    (void)state;
    world w;
    coffer__buf text = COFFER__BUF_INIT;
    open_world(&w, "mem://");
    assert_true(coffer__buf_append(&text, "some text that somebody stored by hand", 38));
    coffer_inspection seen = look(&w, "42", &text);
    assert_int_equal(seen.verdict, COFFER_BAD_MAGIC);
    assert_false(seen.has_header);
    assert_int_equal(seen.entry_id, 0);
    text.data[0] = (char)COFFER__ENVELOPE_MAGIC;
    seen = look(&w, "42", &text);
    assert_int_equal(seen.verdict, COFFER_BAD_VERSION);
    assert_true(seen.has_header);
    assert_int_equal(seen.version, 'o');
    close_world(&w);
    coffer__buf_free(&text);
}

static void test_want_of_memory_and_of_a_size(void **state) {
    (void)state;
    world w;
    coffer__buf envelope = COFFER__BUF_INIT;
    coffer_inspection seen = {.struct_size = sizeof seen};
    open_world(&w, "mem://?" KEY_A NAMES);
    store(&w, &envelope);
    coffer_status status = COFFER_NO_MEMORY;
    for (size_t allowed = 0; status == COFFER_NO_MEMORY; allowed++) {
        assert_in_range(allowed, 0, 50);
        watched_alloc_begin(allowed);
        status = coffer_envelope_inspect(w.ns, COFFER_SLICE("42"), coffer__buf_slice(&envelope), &seen);
        assert_true(status == COFFER_OK || seen.owner == NULL);
        coffer_inspection_clear(&seen);
        watched_alloc_end();
    }
    assert_int_equal(status, COFFER_OK);
    seen.struct_size = 8;
    assert_int_equal(coffer_envelope_inspect(w.ns, COFFER_SLICE("42"), coffer__buf_slice(&envelope), &seen), COFFER_ARG);
    close_world(&w);
    coffer__buf_free(&envelope);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_fields_of_an_unsealed_one),
        cmocka_unit_test(test_one_that_says_there_is_nothing),
        cmocka_unit_test(test_flags_that_nobody_knows_are_shown),
        cmocka_unit_test(test_a_sealed_one_opens_where_it_was_stored),
        cmocka_unit_test(test_a_sealed_one_shows_its_header_to_others),
        cmocka_unit_test(test_what_only_lacks_its_seal_is_looked_into),
        cmocka_unit_test(test_a_value_over_the_limit_shows_its_fields),
        cmocka_unit_test(test_every_cut_has_a_verdict),
        cmocka_unit_test(test_what_is_no_envelope),
        cmocka_unit_test(test_want_of_memory_and_of_a_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
