#include "resp/guard.h"

#include "base/buf.h"

#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

enum { REFUSAL_BYTES = 64 << 10, GUARD_BYTES = 512 }; /* before a refusal no more than 64 KiB is allocated, the guard itself apart */

static coffer__guard *new_guard(const coffer__guard_limits *limits) {
    static const coffer__guard_limits usual = COFFER__GUARD_LIMITS_INIT;
    coffer__guard *guard = NULL;
    assert_int_equal(coffer__guard_new(&guard, limits == NULL ? &usual : limits), COFFER_OK);
    return guard;
}

/* Feeds all of `in` and collects the frames (`out` may be NULL). */
static coffer_status feed(coffer__guard *guard, coffer_slice in, coffer__buf *out) {
    for (;;) {
        coffer_slice frames;
        coffer_status status = coffer__guard_feed(guard, &in, &frames);
        if (status != COFFER_OK) {
            assert_int_equal(frames.len, 0);
            return status;
        }
        if (frames.len == 0) {
            assert_int_equal(in.len, 0);
            return COFFER_OK;
        }
        if (out != NULL) {
            assert_true(coffer__buf_append_slice(out, frames));
        }
    }
}

/* In pieces of `piece` bytes, the first `first` bytes long. */
static coffer_status feed_in_pieces(coffer__guard *guard, coffer_slice in, size_t first, size_t piece, coffer__buf *out) {
    coffer_status status = COFFER_OK;
    for (size_t at = 0, len = first; at < in.len && status == COFFER_OK; at += len, len = piece) {
        len = len > in.len - at ? in.len - at : len;
        char *alone = (char *)malloc(len == 0 ? 1 : len); /* so that ASan sees a read beyond it, and one after the call */
        memcpy(alone, in.data + at, len);
        status = feed(guard, coffer_slice_of(alone, len), out);
        free(alone);
    }
    return status;
}

typedef struct bad_row {
    const char *input;
    size_t len;
    coffer_status status;
    const char *message;
} bad_row;
#define BAD(text, status, message)                                                                                                                   \
    { text, sizeof text - 1, status, message }

/* reliability.md, section 7 */
static const bad_row bad_rows[] = {
    BAD("$-2\r\n", COFFER_PROTO, "the length of a bulk is negative"),
    BAD("*-2\r\n", COFFER_PROTO, "the length of an array is negative"),
    BAD("$-10\r\n", COFFER_PROTO, "negative"),
    BAD("$--1\r\n", COFFER_PROTO, "the length of a bulk holds '-'"),
    BAD("$-\r\n", COFFER_PROTO, "the length of a bulk holds '\\x0d'"),
    BAD("$\r\n", COFFER_PROTO, "the length of a bulk holds '\\x0d'"),
    BAD("$-01\r\n", COFFER_PROTO, "begins with a zero"),
    BAD("$-0\r\n", COFFER_PROTO, "begins with a zero"),
    BAD("*-0\r\n", COFFER_PROTO, "begins with a zero"),
    BAD(":\r\n", COFFER_PROTO, "an integer holds '\\x0d'"),
    BAD(":abc\r\n", COFFER_PROTO, "an integer holds 'a'"),
    BAD(":1a\r\n", COFFER_PROTO, "an integer holds 'a'"),
    BAD(":-\r\n", COFFER_PROTO, "an integer holds '\\x0d'"),
    BAD(":-0\r\n", COFFER_PROTO, "an integer begins with a zero"),
    BAD(":+5\r\n", COFFER_PROTO, "an integer holds '+'"),
    BAD(":007\r\n", COFFER_PROTO, "an integer begins with a zero"),
    BAD(": 7\r\n", COFFER_PROTO, "an integer holds ' '"),
    BAD(":9223372036854775808\r\n", COFFER_PROTO, "an integer does not fit 64 bits"),
    BAD(":-9223372036854775809\r\n", COFFER_PROTO, "an integer does not fit 64 bits"),
    BAD(":18446744073709551617\r\n", COFFER_PROTO, "an integer has more than 19 digits"),
    BAD("$03\r\nabc\r\n", COFFER_PROTO, "begins with a zero"),
    BAD("$00\r\n\r\n", COFFER_PROTO, "begins with a zero"),
    BAD("*01\r\n:1\r\n", COFFER_PROTO, "begins with a zero"),
    BAD("$+3\r\nabc\r\n", COFFER_PROTO, "holds '+'"),
    BAD("$ 3\r\nabc\r\n", COFFER_PROTO, "holds ' '"),
    BAD("$3 \r\nabc\r\n", COFFER_PROTO, "holds ' '"),
    BAD("$3\nabc\r\n", COFFER_PROTO, "holds '\\x0a'"),
    BAD("$3\rabc\r\n", COFFER_PROTO, "the length of a bulk is not followed by CRLF"),
    BAD("*1\n:1\r\n", COFFER_PROTO, "holds '\\x0a'"),
    BAD(":1\n", COFFER_PROTO, "holds '\\x0a'"),
    BAD("+O\nK\r\n", COFFER_PROTO, "a line holds a bare CR or LF"),
    BAD("+O\rK\r\n", COFFER_PROTO, "a line holds a bare CR or LF"),
    BAD("+OK\n", COFFER_PROTO, "a line holds a bare CR or LF"),
    BAD("+\n", COFFER_PROTO, "a line holds a bare CR or LF"),
    BAD("+OK\r\r\n", COFFER_PROTO, "a line holds a bare CR or LF"),
    BAD("-ERR unknown command 'a\rb'\r\n", COFFER_PROTO, "a line holds a bare CR or LF"),
    BAD("$3\r\nabcXY", COFFER_PROTO, "a bulk of 3 bytes is not followed by CRLF"),
    BAD("$5\r\nabcdefg\r\n", COFFER_PROTO, "a bulk of 5 bytes is not followed by CRLF"),
    BAD("$3\r\nabc\r\r", COFFER_PROTO, "a bulk of 3 bytes is not followed by CRLF"),
    BAD("$9223372036854775807\r\n", COFFER_LIMIT, "a bulk of 9223372036854775807 bytes is larger than the 67108864 allowed"),
    BAD("$99999999999999999999999999999999", COFFER_LIMIT, "the length of a bulk has more than 19 digits"),
    BAD("$536870913\r\n", COFFER_LIMIT, "larger than"),
    BAD("$67108865\r\n", COFFER_LIMIT, "larger than"),
    BAD("*2147483647\r\n", COFFER_LIMIT, "an array of 2147483647 elements"),
    BAD("*4294967295\r\n", COFFER_LIMIT, "elements"),
    BAD("*100000000\r\n", COFFER_LIMIT, "elements"),
    BAD("*1048577\r\n", COFFER_LIMIT, "elements"),
    BAD("*18446744073709551616\r\n", COFFER_LIMIT, "the length of an array has more than 19 digits"),
    BAD("*2\r\n*1048574\r\n", COFFER_OK, ""),
    BAD("*2\r\n*1048575\r\n", COFFER_LIMIT, "elements"),
    BAD("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", COFFER_LIMIT, "arrays are nested more than 7 deep"),
    BAD("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*0\r\n", COFFER_LIMIT, "arrays are nested more than 7 deep"),
    BAD("_\r\n", COFFER_PROTO, "a reply of type '_' belongs to RESP3, which was never asked for"),
    BAD("%1\r\n+a\r\n+b\r\n", COFFER_PROTO, "'%' belongs to RESP3"),
    BAD(">2\r\n+a\r\n+b\r\n", COFFER_PROTO, "RESP3"),
    BAD("#t\r\n", COFFER_PROTO, "RESP3"),
    BAD(",1.5\r\n", COFFER_PROTO, "RESP3"),
    BAD("(1\r\n", COFFER_PROTO, "RESP3"),
    BAD("~1\r\n+a\r\n", COFFER_PROTO, "RESP3"),
    BAD("|1\r\n+a\r\n+b\r\n", COFFER_PROTO, "RESP3"),
    BAD("=5\r\ntxt:a\r\n", COFFER_PROTO, "RESP3"),
    BAD("!3\r\nERR\r\n", COFFER_PROTO, "RESP3"),
    BAD("*2\r\n:1\r\n#t\r\n", COFFER_PROTO, "RESP3"),
    BAD("HTTP/1.1 400 Bad Request\r\n", COFFER_PROTO, "no reply of the Redis protocol begins with 'H'"),
    BAD("SSH-2.0-OpenSSH_9.2\r\n", COFFER_PROTO, "begins with 'S'"),
    BAD("\x15\x03\x01\x00\x02\x02\x50", COFFER_PROTO, "begins with '\\x15'"),
    BAD("\r\n", COFFER_PROTO, "begins with '\\x0d'"),
    BAD("\0", COFFER_PROTO, "begins with '\\x00'"),
};
enum { BAD_COUNT = sizeof bad_rows / sizeof *bad_rows };

static void assert_refused(const bad_row *row, coffer__guard *guard, coffer_status status) {
    if (status != row->status || strstr(coffer__guard_message(guard), row->message) == NULL) {
        fail_msg("%.*s: %s, \"%s\"", (int)row->len, row->input, coffer_status_name(status), coffer__guard_message(guard));
    }
    assert_true(watched_alloc.peak_bytes <= REFUSAL_BYTES + GUARD_BYTES);
    assert_true(watched_alloc.largest_bytes <= REFUSAL_BYTES);
    assert_false(coffer__guard_between_replies(guard));
    coffer_status again = feed(guard, COFFER_SLICE("+OK\r\n"), NULL);
    assert_int_equal(again == COFFER_OK, status == COFFER_OK);
}

static void test_bad_input_is_refused_wherever_it_is_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < BAD_COUNT; i++) {
        const bad_row *row = &bad_rows[i];
        for (size_t cut = 0; cut <= row->len; cut++) {
            for (size_t piece = 1; piece <= row->len; piece += row->len) {
                watched_alloc_begin(WATCHED_NEVER);
                coffer__guard *guard = new_guard(NULL);
                coffer_status status = feed_in_pieces(guard, coffer_slice_of(row->input, row->len), cut, cut % 2 == 0 ? row->len : piece, NULL);
                assert_refused(row, guard, status);
                coffer__guard_free(guard);
                assert_int_equal(watched_alloc.live_bytes, 0);
                watched_alloc_end();
            }
        }
    }
}

static void test_what_came_before_the_bad_bytes_is_handed_on(void **state) {
    (void)state;
    coffer__guard *guard = new_guard(NULL);
    coffer__buf out = COFFER__BUF_INIT;
    assert_int_equal(feed(guard, COFFER_SLICE("+OK\r\n:1\r\n$3\r\nabcXY+NO\r\n"), &out), COFFER_PROTO);
    assert_int_equal(coffer__guard_reply_count(guard), 2);
    assert_int_equal(out.len, 9);
    assert_int_equal(feed(guard, COFFER_SLICE("+OK\r\n"), &out), COFFER_PROTO);
    assert_int_equal(out.len, 9);
    coffer__buf_free(&out);
    coffer__guard_free(guard);
}

#define GOOD                                                                                                                                         \
    "+OK\r\n+\r\n-ERR no\r\n:0\r\n:-5\r\n:9223372036854775807\r\n:-9223372036854775808\r\n$-1\r\n*-1\r\n$0\r\n\r\n*0\r\n$4\r\na\r\nb\r\n"            \
    "$12\r\nhello, world\r\n*3\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n$-1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*2\r\n:1\r\n*-1\r\n+END\r\n"
enum { GOOD_COUNT = 16 };

static void test_good_input_passes_wherever_it_is_cut(void **state) {
    (void)state;
    const coffer_slice good = COFFER_SLICE(GOOD);
    for (size_t cut = 0; cut <= good.len; cut++) {
        for (size_t piece = 1; piece <= good.len; piece += good.len - 1) {
            coffer__guard *guard = new_guard(NULL);
            coffer__buf out = COFFER__BUF_INIT;
            assert_int_equal(feed_in_pieces(guard, good, cut, piece, &out), COFFER_OK);
            assert_int_equal(coffer__guard_reply_count(guard), GOOD_COUNT);
            assert_true(coffer__guard_between_replies(guard));
            assert_true(coffer_slice_equal(coffer__buf_slice(&out), good));
            coffer__buf_free(&out);
            coffer__guard_free(guard);
        }
    }
}

static void test_whole_frames_are_one_slice_of_the_input(void **state) {
    (void)state;
    watched_alloc_begin(WATCHED_NEVER);
    coffer__guard *guard = new_guard(NULL);
    const coffer_slice good = COFFER_SLICE(GOOD);
    coffer_slice in = good;
    coffer_slice frames;
    assert_int_equal(coffer__guard_feed(guard, &in, &frames), COFFER_OK);
    assert_ptr_equal(frames.data, good.data);
    assert_int_equal(frames.len, good.len);
    assert_int_equal(watched_alloc.request_count, 1); /* the guard */
    coffer__guard_free(guard);
    watched_alloc_end();
}

static void test_only_the_cut_frame_is_kept(void **state) {
    (void)state;
    coffer__guard *guard = new_guard(NULL);
    char bytes[] = "+OK\r\n$5\r\nhel";
    coffer_slice in = coffer_slice_of(bytes, sizeof bytes - 1);
    coffer_slice frames;
    assert_int_equal(coffer__guard_feed(guard, &in, &frames), COFFER_OK);
    assert_int_equal(frames.len, 5);
    assert_int_equal(in.len, 0);
    assert_int_equal(coffer__guard_reply_count(guard), 1);
    assert_false(coffer__guard_between_replies(guard));
    memset(bytes, 'x', sizeof bytes); /* the guard does not need it any more */
    in = COFFER_SLICE("lo\r\n:1\r\n");
    assert_int_equal(coffer__guard_feed(guard, &in, &frames), COFFER_OK);
    assert_true(coffer_slice_equal(frames, COFFER_SLICE("$5\r\nhello\r\n")));
    assert_int_equal(coffer__guard_feed(guard, &in, &frames), COFFER_OK);
    assert_true(coffer_slice_equal(frames, COFFER_SLICE(":1\r\n")));
    assert_int_equal(coffer__guard_reply_count(guard), 3);
    assert_true(coffer__guard_between_replies(guard));
    coffer__guard_free(guard);
}

static void test_between_replies_is_false_inside_an_array(void **state) {
    (void)state;
    coffer__guard *guard = new_guard(NULL);
    assert_true(coffer__guard_between_replies(guard));
    assert_int_equal(feed(guard, COFFER_SLICE("*2\r\n:1\r\n"), NULL), COFFER_OK);
    assert_false(coffer__guard_between_replies(guard));
    assert_int_equal(feed(guard, COFFER_SLICE(":2\r\n"), NULL), COFFER_OK);
    assert_true(coffer__guard_between_replies(guard));
    assert_int_equal(coffer__guard_reply_count(guard), 1);
    coffer__guard_free(guard);
}

static coffer_status feed_line(coffer__guard *guard, size_t line_bytes, size_t piece) {
    char *line = (char *)malloc(line_bytes);
    memset(line, 'e', line_bytes);
    line[0] = '-';
    line[line_bytes - 2] = '\r';
    line[line_bytes - 1] = '\n';
    coffer_status status = feed_in_pieces(guard, coffer_slice_of(line, line_bytes), piece, piece, NULL);
    free(line);
    return status;
}

static void test_a_line_of_64_kib_passes_and_one_of_10_mib_does_not(void **state) {
    (void)state;
    static const struct {
        size_t line_bytes;
        coffer_status status;
    } rows[] = {{64 << 10, COFFER_OK}, {(64 << 10) + 1, COFFER_LIMIT}, {(64 << 10) + 2, COFFER_LIMIT}, {10 << 20, COFFER_LIMIT}};
    static const size_t pieces[] = {10 << 20, 1000, 4096, 65535, 65536, 65537};
    for (size_t i = 0; i < 24; i++) {
        watched_alloc_begin(WATCHED_NEVER);
        coffer__guard *guard = new_guard(NULL);
        assert_int_equal(feed_line(guard, rows[i / 6].line_bytes, pieces[i % 6]), rows[i / 6].status);
        assert_true(watched_alloc.peak_bytes <= REFUSAL_BYTES + GUARD_BYTES);
        coffer__guard_free(guard);
        watched_alloc_end();
    }
}

static void test_a_declared_size_allocates_nothing(void **state) {
    (void)state;
    static const char *const inputs[] = {"$67108864\r\nabc", "*1048576\r\n$67108864\r\nabc", "*1048576\r\n"};
    for (size_t i = 0; i < 3; i++) {
        watched_alloc_begin(WATCHED_NEVER);
        coffer__guard *guard = new_guard(NULL);
        assert_int_equal(feed(guard, coffer_slice_text(inputs[i]), NULL), COFFER_OK);
        assert_true(watched_alloc.peak_bytes <= 2 * GUARD_BYTES);
        coffer__guard_free(guard);
        watched_alloc_end();
    }
}

static void test_limits_are_those_that_were_given(void **state) {
    (void)state;
    const coffer__guard_limits limits = {.line_bytes = 64, .bulk_bytes = 10, .reply_bytes = 100, .element_count = 4, .depth = 2};
    static const struct {
        const char *input;
        coffer_status status;
    } rows[] = {
        {"$10\r\n0123456789\r\n", COFFER_OK},
        {"$11\r\n", COFFER_LIMIT},
        {"*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n*4\r\n", COFFER_OK}, /* counted for each reply */
        {"*5\r\n", COFFER_LIMIT},
        {"*2\r\n*1\r\n:1\r\n*1\r\n:1\r\n", COFFER_OK},
        {"*2\r\n*1\r\n:1\r\n*2\r\n", COFFER_LIMIT},
        {"*1\r\n*1\r\n:1\r\n", COFFER_OK},
        {"*1\r\n*1\r\n*1\r\n", COFFER_LIMIT},
        {"*4\r\n+0123456789012345678901234567890123456789\r\n+0123456789012345678901234567890123456789\r\n$0\r\n\r\n", COFFER_OK}, /* 96 bytes */
        {"*4\r\n+0123456789012345678901234567890123456789\r\n+0123456789012345678901234567890123456789\r\n$6\r\n", COFFER_LIMIT},
        {"*4\r\n+0123456789012345678901234567890123456789\r\n+0123456789012345678901234567890123456789\r\n+abcdefgh\r\n", COFFER_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t piece = 1; piece < 300; piece += 149) {
            coffer__guard *guard = new_guard(&limits);
            assert_int_equal(feed_in_pieces(guard, coffer_slice_text(rows[i].input), piece, piece, NULL), rows[i].status);
            coffer__guard_free(guard);
        }
    }
}

static void test_limits_beyond_what_can_be_kept_are_refused(void **state) {
    (void)state;
    coffer__guard_limits limits[3] = {COFFER__GUARD_LIMITS_INIT, COFFER__GUARD_LIMITS_INIT, COFFER__GUARD_LIMITS_INIT};
    limits[0].depth = 8;
    limits[1].bulk_bytes = ((size_t)512 << 20) + 1;
    limits[2].line_bytes = 10;
    for (size_t i = 0; i < 3; i++) {
        coffer__guard *guard = NULL;
        assert_int_equal(coffer__guard_new(&guard, &limits[i]), COFFER_ARG);
        assert_null(guard);
    }
}

static void test_a_large_bulk_leaves_no_memory_behind(void **state) {
    (void)state;
    enum { LEN = 1 << 20, PIECE = 10000 };
    char *bulk = (char *)calloc(1, LEN + 12);
    int header = snprintf(bulk, 12, "$%d\r\n", LEN);
    memcpy(bulk + header + LEN, "\r\n", 2);
    watched_alloc_begin(WATCHED_NEVER);
    coffer__guard *guard = new_guard(NULL);
    assert_int_equal(feed_in_pieces(guard, coffer_slice_of(bulk, (size_t)header + LEN + 2), PIECE, PIECE, NULL), COFFER_OK);
    assert_int_equal(coffer__guard_reply_count(guard), 1);
    assert_true(watched_alloc.peak_bytes <= LEN + 2 * GUARD_BYTES); /* grown no further than the frame */
    assert_true(watched_alloc.live_bytes <= (16 << 10) + GUARD_BYTES);
    coffer__guard_free(guard);
    watched_alloc_end();
    free(bulk);
}

/* A call that found no memory may be made again: nothing was lost. */
static void test_a_feed_without_memory_can_be_made_again(void **state) {
    (void)state;
    const coffer_slice good = COFFER_SLICE(GOOD "$300\r\n");
    for (size_t cut = 1; cut < good.len; cut++) {
        coffer__guard *guard = new_guard(NULL);
        watched_alloc_begin(0);
        coffer_slice in = coffer_slice_of(good.data, cut);
        coffer_slice frames;
        coffer_status status;
        size_t handed_on = 0;
        do {
            status = coffer__guard_feed(guard, &in, &frames);
            handed_on += frames.len;
        } while (status == COFFER_OK && frames.len > 0);
        watched_alloc_end();
        assert_true(status == COFFER_OK || (status == COFFER_NO_MEMORY && in.len > 0 && handed_on + in.len == cut));
        assert_int_equal(feed(guard, in, NULL), COFFER_OK);
        assert_int_equal(feed(guard, coffer_slice_of(good.data + cut, good.len - cut), NULL), COFFER_OK);
        assert_int_equal(coffer__guard_reply_count(guard), GOOD_COUNT);
        coffer__guard_free(guard);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_input_is_refused_wherever_it_is_cut),
        cmocka_unit_test(test_what_came_before_the_bad_bytes_is_handed_on),
        cmocka_unit_test(test_good_input_passes_wherever_it_is_cut),
        cmocka_unit_test(test_whole_frames_are_one_slice_of_the_input),
        cmocka_unit_test(test_only_the_cut_frame_is_kept),
        cmocka_unit_test(test_between_replies_is_false_inside_an_array),
        cmocka_unit_test(test_a_line_of_64_kib_passes_and_one_of_10_mib_does_not),
        cmocka_unit_test(test_a_declared_size_allocates_nothing),
        cmocka_unit_test(test_limits_are_those_that_were_given),
        cmocka_unit_test(test_limits_beyond_what_can_be_kept_are_refused),
        cmocka_unit_test(test_a_large_bulk_leaves_no_memory_behind),
        cmocka_unit_test(test_a_feed_without_memory_can_be_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
