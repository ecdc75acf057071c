/* coffer__guard_take: replies that lie whole in the input. That it reads what hiredis' reader reads is asked of any input by tests/fuzz
 * (any_cut_gives_the_same_replies): there, bytes one by one never lie whole. */
#include "resp/guard.h"

#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

#define NINETY "123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456789 "
#define BULK_OF_90 "$90\r\n" NINETY "\r\n" /* 97 bytes */

static coffer__guard *new_guard(void) {
    static const coffer__guard_limits limits = {.line_bytes = 64, .bulk_bytes = 100, .reply_bytes = 300, .element_count = 9, .depth = 3};
    coffer__guard *guard = NULL;
    assert_int_equal(coffer__guard_new(&guard, &limits), COFFER_OK);
    return guard;
}

static void assert_text(const coffer__reply *reply, size_t node, coffer__reply_type type, const char *text) {
    assert_int_equal(reply->nodes[node].type, type);
    assert_true(coffer_slice_equal(coffer__reply_text(reply, node), coffer_slice_text(text)));
}

static void assert_array(const coffer__reply *reply, size_t node, size_t len) {
    assert_int_equal(reply->nodes[node].type, COFFER__REPLY_ARRAY);
    assert_int_equal(reply->nodes[node].len, len);
}

static void assert_integer(const coffer__reply *reply, size_t node, int64_t integer) {
    assert_int_equal(reply->nodes[node].type, COFFER__REPLY_INTEGER);
    assert_true(reply->nodes[node].integer == integer);
}

static void test_replies_are_taken_one_by_one(void **state) {
    (void)state;
    coffer__guard *guard = new_guard();
    coffer__reply reply = {0};
    coffer_slice in = COFFER_SLICE("$5\r\nhel\r\n\r\n$0\r\n\r\n+OK\r\n-ERR no\r\n:-9223372036854775808\r\n$-1\r\n*-1\r\n*0\r\n+\r\n");
    static const struct {
        coffer__reply_type type;
        const char *text;
    } expected[] = {{COFFER__REPLY_BULK, "hel\r\n"}, {COFFER__REPLY_BULK, ""},    {COFFER__REPLY_LINE, "OK"},
                    {COFFER__REPLY_ERROR, "ERR no"}, {COFFER__REPLY_INTEGER, ""}, {COFFER__REPLY_NIL, ""},
                    {COFFER__REPLY_NIL, ""},         {COFFER__REPLY_ARRAY, ""},   {COFFER__REPLY_LINE, ""}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_int_equal(coffer__guard_take(guard, &in, &reply), COFFER_OK);
        assert_int_equal(reply.node_count, 1);
        assert_text(&reply, 0, expected[i].type, expected[i].text);
        assert_int_equal(coffer__guard_reply_count(guard), i + 1);
        if (expected[i].type == COFFER__REPLY_INTEGER) {
            assert_integer(&reply, 0, INT64_MIN);
        }
    }
    assert_int_equal(in.len, 0);
    assert_int_equal(coffer__guard_take(guard, &in, &reply), COFFER_AGAIN);
    coffer__reply_free(&reply);
    coffer__guard_free(guard);
}

#define NESTED "*4\r\n$1\r\na\r\n*2\r\n:7\r\n*0\r\n$-1\r\n$3\r\nend\r\n"

static void test_an_array_is_a_row_of_nodes(void **state) {
    (void)state;
    coffer__guard *guard = new_guard();
    coffer__reply reply = {0};
    coffer_slice in = COFFER_SLICE(NESTED ":1\r\n");
    assert_int_equal(coffer__guard_take(guard, &in, &reply), COFFER_OK);
    assert_int_equal(reply.node_count, 7);
    assert_array(&reply, 0, 4);
    assert_text(&reply, 1, COFFER__REPLY_BULK, "a");
    assert_array(&reply, 2, 2);
    assert_integer(&reply, 3, 7);
    assert_array(&reply, 4, 0);
    assert_int_equal(reply.nodes[5].type, COFFER__REPLY_NIL);
    assert_text(&reply, 6, COFFER__REPLY_BULK, "end");
    assert_int_equal(coffer__reply_after(&reply, 0), 7);
    assert_true(coffer_slice_equal(in, COFFER_SLICE(":1\r\n")));
    coffer__reply_free(&reply);
    coffer__guard_free(guard);
}

/* Nothing is taken, and the guard goes on as if it had not been asked. */
static void assert_nothing_taken(coffer__guard *guard, coffer_slice in) {
    coffer__reply reply = {0};
    coffer_slice before = in;
    uint64_t replies = coffer__guard_reply_count(guard);
    assert_int_equal(coffer__guard_take(guard, &in, &reply), COFFER_AGAIN);
    assert_ptr_equal(in.data, before.data);
    assert_int_equal(in.len, before.len);
    assert_int_equal(coffer__guard_reply_count(guard), replies);
    coffer__reply_free(&reply);
}

static size_t feed(coffer__guard *guard, coffer_slice in) {
    coffer_slice frames = {NULL, 1};
    size_t bytes = 0;
    while (frames.len > 0) {
        assert_int_equal(coffer__guard_feed(guard, &in, &frames), COFFER_OK);
        bytes += frames.len;
    }
    return bytes;
}

static void test_a_cut_reply_is_left_for_feed(void **state) {
    (void)state;
    const coffer_slice nested = COFFER_SLICE(NESTED);
    for (size_t cut = 0; cut < nested.len; cut++) {
        coffer__guard *guard = new_guard();
        char *alone = (char *)malloc(cut + 1); /* so that ASan sees a read beyond it */
        memcpy(alone, nested.data, cut);
        assert_nothing_taken(guard, coffer_slice_of(alone, cut));
        size_t bytes = feed(guard, coffer_slice_of(alone, cut));
        free(alone);
        coffer_slice rest = coffer_slice_of(nested.data + cut, nested.len - cut);
        if (cut > 0) { /* a reply is under way */
            assert_nothing_taken(guard, rest);
        }
        assert_int_equal(bytes + feed(guard, rest), nested.len);
        assert_int_equal(coffer__guard_reply_count(guard), 1);
        coffer__reply reply = {0};
        coffer_slice next = COFFER_SLICE("+next\r\n");
        assert_int_equal(coffer__guard_take(guard, &next, &reply), COFFER_OK);
        assert_text(&reply, 0, COFFER__REPLY_LINE, "next");
        coffer__reply_free(&reply);
        coffer__guard_free(guard);
    }
}

static void test_what_is_wrong_or_too_large_is_left_for_feed_to_say(void **state) {
    (void)state;
    static const char *const wrong[] = {"$3\r\nabcd\r\n",
                                        "$-2\r\n",
                                        ":007\r\n",
                                        "+a\rb\r\n",
                                        "*2\r\n:1\r\n#t\r\n",
                                        "?\r\n",
                                        ":9223372036854775808\r\n",
                                        "$101\r\n",
                                        "*10\r\n",
                                        "*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
                                        "*2\r\n*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n*4\r\n",
                                        "$101\r\n" NINETY "123456789 1\r\n",
                                        "*4\r\n" BULK_OF_90 BULK_OF_90 "$93\r\n" NINETY "123\r\n" /* 298 bytes */ "*1\r\n:1\r\n",
                                        "+a line of more bytes than the 64 that the limits of this test do allow\r\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        coffer__guard *guard = new_guard();
        coffer_slice in = coffer_slice_text(wrong[i]);
        assert_nothing_taken(guard, in);
        coffer_slice frames = {NULL, 1};
        coffer_status status = COFFER_OK;
        while (status == COFFER_OK && frames.len > 0) {
            status = coffer__guard_feed(guard, &in, &frames);
        }
        assert_true(status == COFFER_PROTO || status == COFFER_LIMIT);
        assert_string_not_equal(coffer__guard_message(guard), "");
        assert_nothing_taken(guard, COFFER_SLICE("+OK\r\n"));
        coffer__guard_free(guard);
    }
}

/* The size of a reply is counted over all its frames, and from nothing at the next, also behind one that was not taken. */
static void test_a_reply_is_limited_as_a_whole(void **state) {
    (void)state;
    static const char three[] = "*3\r\n" BULK_OF_90 BULK_OF_90 BULK_OF_90;
    coffer__guard *guard = new_guard();
    coffer__reply reply = {0};
    for (int i = 0; i < 3; i++) {
        coffer_slice in = coffer_slice_text(three);
        assert_nothing_taken(guard, coffer_slice_of(three, strlen(three) - 1));
        assert_int_equal(coffer__guard_take(guard, &in, &reply), COFFER_OK);
        assert_int_equal(reply.node_count, 4);
    }
    assert_nothing_taken(guard, COFFER_SLICE("*4\r\n" BULK_OF_90 BULK_OF_90 BULK_OF_90 BULK_OF_90));
    coffer__reply_free(&reply);
    coffer__guard_free(guard);
}

static coffer__guard *new_usual_guard(void) {
    static const coffer__guard_limits limits = COFFER__GUARD_LIMITS_INIT;
    coffer__guard *guard = NULL;
    assert_int_equal(coffer__guard_new(&guard, &limits), COFFER_OK);
    return guard;
}

static void test_a_declared_count_allocates_by_what_came(void **state) {
    (void)state;
    watched_alloc_begin(WATCHED_NEVER);
    coffer__guard *guard = new_usual_guard();
    size_t guard_bytes = watched_alloc.live_bytes;
    assert_nothing_taken(guard, COFFER_SLICE("*1000000\r\n:1\r\n*1000\r\n:1\r\n"));
    assert_in_range(watched_alloc.peak_bytes - guard_bytes, 1, 1024);
    coffer__guard_free(guard);
    watched_alloc_end();
}

static void test_what_was_large_leaves_no_memory_behind(void **state) {
    (void)state;
    enum { BODY_BYTES = 100000, ELEMENTS = 5000, KEPT_BYTES = 16 << 10 };
    static char cut[BODY_BYTES + 16], nils[ELEMENTS * 5 + 16];
    coffer__reply reply = {0};
    watched_alloc_begin(WATCHED_NEVER);
    coffer__guard *guard = new_usual_guard();
    size_t guard_bytes = watched_alloc.live_bytes;
    int header_bytes = snprintf(cut, sizeof cut, "$%d\r\n", BODY_BYTES);
    memcpy(cut + header_bytes + BODY_BYTES, "\r\n", 2);
    assert_int_equal(feed(guard, coffer_slice_of(cut, BODY_BYTES)), 0);
    coffer_slice in = coffer_slice_of(cut + BODY_BYTES, (size_t)header_bytes + 2), frames;
    assert_int_equal(coffer__guard_feed(guard, &in, &frames), COFFER_OK);
    assert_int_equal(frames.len, header_bytes + BODY_BYTES + 2); /* lent, until the next call */
    in = COFFER_SLICE("+OK\r\n");
    assert_int_equal(coffer__guard_take(guard, &in, &reply), COFFER_OK);
    assert_in_range(watched_alloc.live_bytes, guard_bytes, guard_bytes + KEPT_BYTES);

    size_t len = (size_t)snprintf(nils, sizeof nils, "*%d\r\n", ELEMENTS);
    for (size_t i = 0; i < ELEMENTS; i++, len += 5) {
        memcpy(nils + len, "$-1\r\n", 5);
    }
    in = coffer_slice_of(nils, len);
    assert_int_equal(coffer__guard_take(guard, &in, &reply), COFFER_OK);
    assert_int_equal(reply.node_count, 1 + ELEMENTS);
    coffer__reply_clear(&reply);
    assert_in_range(watched_alloc.live_bytes, guard_bytes, guard_bytes + KEPT_BYTES);
    coffer__reply_free(&reply);
    coffer__guard_free(guard);
    watched_alloc_end();
}

static void test_without_memory_nothing_is_taken(void **state) {
    (void)state;
    for (size_t requests = 0; requests < 4; requests++) {
        coffer__guard *guard = new_guard();
        coffer__reply reply = {0};
        coffer_slice in = COFFER_SLICE(NESTED);
        watched_alloc_begin(requests);
        coffer_status status = coffer__guard_take(guard, &in, &reply);
        assert_int_equal(status, watched_alloc.refused_count > 0 ? COFFER_AGAIN : COFFER_OK);
        assert_int_equal(in.len, status == COFFER_OK ? 0 : strlen(NESTED));
        assert_int_equal(coffer__guard_reply_count(guard), status == COFFER_OK ? 1 : 0);
        watched_alloc_dry_after(WATCHED_NEVER);
        if (status != COFFER_OK) {
            assert_int_equal(coffer__guard_take(guard, &in, &reply), COFFER_OK);
            assert_int_equal(reply.node_count, 7);
        }
        coffer__reply_free(&reply);
        assert_int_equal(watched_alloc.live_bytes, 0);
        watched_alloc_end();
        coffer__guard_free(guard);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_are_taken_one_by_one),           cmocka_unit_test(test_an_array_is_a_row_of_nodes),
        cmocka_unit_test(test_a_cut_reply_is_left_for_feed),           cmocka_unit_test(test_what_is_wrong_or_too_large_is_left_for_feed_to_say),
        cmocka_unit_test(test_a_reply_is_limited_as_a_whole),          cmocka_unit_test(test_a_declared_count_allocates_by_what_came),
        cmocka_unit_test(test_what_was_large_leaves_no_memory_behind), cmocka_unit_test(test_without_memory_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
