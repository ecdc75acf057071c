#include "resp/reader.h"

#include "resp/guard.h"

#include "support/cmocka_all.h"
#include "support/watched_alloc.h"

/* Bytes through guard and reader, as a conn does it; replies are written down as text, one a line. */
typedef struct pipe_line {
    coffer__guard *guard;
    coffer__reader *reader;
    coffer__reply reply;
    coffer__buf text;
    bool silent;
    size_t reply_count;
} pipe_line;

static coffer_status pipe_open(pipe_line *pipe) {
    static const coffer__guard_limits limits = COFFER__GUARD_LIMITS_INIT;
    *pipe = (pipe_line){0};
    coffer_status status = coffer__guard_new(&pipe->guard, &limits);
    return status == COFFER_OK ? coffer__reader_new(&pipe->reader) : status;
}

static void pipe_close(pipe_line *pipe) {
    coffer__guard_free(pipe->guard);
    coffer__reader_free(pipe->reader);
    coffer__reply_free(&pipe->reply);
    coffer__buf_free(&pipe->text);
}

static bool add_text(coffer__buf *out, const char *text) {
    return coffer__buf_append_slice(out, coffer_slice_text(text));
}

/* One node: "7", "nil", "*2", or a text behind its sign. */
static bool write_node(coffer__buf *out, const coffer__reply *reply, size_t at) {
    static const char signs[] = {[COFFER__REPLY_BULK] = '$', [COFFER__REPLY_LINE] = '+', [COFFER__REPLY_ERROR] = '-'};
    const coffer__node *node = &reply->nodes[at];
    char text[32] = " nil";
    if (node->type == COFFER__REPLY_INTEGER) {
        snprintf(text, sizeof text, " %lld", (long long)node->integer);
    } else if (node->type == COFFER__REPLY_ARRAY) {
        snprintf(text, sizeof text, " *%zu", node->len);
    } else if (node->type != COFFER__REPLY_NIL) {
        snprintf(text, sizeof text, " %c", signs[node->type]);
    }
    return add_text(out, text) && coffer__buf_append_slice(out, coffer__reply_text(reply, at));
}

static bool write_down(pipe_line *pipe) {
    bool good = true;
    for (size_t at = 0; at < pipe->reply.node_count && good && !pipe->silent; at++) {
        good = write_node(&pipe->text, &pipe->reply, at);
    }
    pipe->reply_count++;
    return good && (pipe->silent || add_text(&pipe->text, "\n"));
}

static coffer_status read_all(pipe_line *pipe) {
    coffer_status status;
    while ((status = coffer__reader_next(pipe->reader, &pipe->reply)) == COFFER_OK) {
        assert_int_equal(coffer__reply_after(&pipe->reply, 0), pipe->reply.node_count);
        if (!write_down(pipe)) {
            return COFFER_NO_MEMORY;
        }
    }
    return status == COFFER_AGAIN ? COFFER_OK : status;
}

static coffer_status pipe_feed(pipe_line *pipe, coffer_slice in) {
    for (;;) {
        coffer_slice frames;
        coffer_status status = coffer__guard_feed(pipe->guard, &in, &frames);
        if (status != COFFER_OK || frames.len == 0) {
            return status;
        }
        status = coffer__reader_feed(pipe->reader, frames);
        if (status == COFFER_OK) {
            status = read_all(pipe);
        }
        if (status != COFFER_OK) {
            return status;
        }
    }
}

/* Each piece in memory of its own size, so that ASan sees a read beyond it or after it. */
static coffer_status pipe_feed_in_pieces(pipe_line *pipe, coffer_slice in, size_t first, size_t piece) {
    coffer_status status = COFFER_OK;
    for (size_t at = 0, len = first; at < in.len && status == COFFER_OK; at += len, len = piece) {
        len = len > in.len - at ? in.len - at : len;
        char *alone = (char *)malloc(len == 0 ? 1 : len);
        memcpy(alone, in.data + at, len);
        status = pipe_feed(pipe, coffer_slice_of(alone, len));
        free(alone);
    }
    return status;
}

#define CONVERSATION                                                                                                                                 \
    "+OK\r\n+\r\n-ERR no\r\n:0\r\n:-5\r\n:9223372036854775807\r\n:-9223372036854775808\r\n$-1\r\n*-1\r\n$0\r\n\r\n*0\r\n$4\r\na\r\nb\r\n"            \
    "$12\r\nhello, world\r\n*3\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n$-1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*2\r\n:1\r\n*-1\r\n"                       \
    "*3\r\n*2\r\n-a\r\n+b\r\n$2\r\n\r\n\r\n*-1\r\n+END\r\n"
#define WRITTEN_DOWN                                                                                                                                 \
    " +OK\n +\n -ERR no\n 0\n -5\n 9223372036854775807\n -9223372036854775808\n nil\n nil\n $\n *0\n $a\r\nb\n"                                      \
    " $hello, world\n *3 $a *2 1 *0 nil\n *1 *1 *1 *1 *1 *1 *2 1 nil\n *3 *2 -a +b $\r\n nil\n +END\n"

static void assert_written_down(const pipe_line *pipe, const char *expected) {
    assert_int_equal(pipe->text.len, strlen(expected));
    assert_memory_equal(pipe->text.data, expected, pipe->text.len);
}

static void test_replies_are_the_same_wherever_the_input_is_cut(void **state) {
    (void)state;
    const coffer_slice conversation = COFFER_SLICE(CONVERSATION);
    for (size_t cut = 0; cut <= conversation.len; cut++) {
        for (size_t piece = 1; piece <= conversation.len; piece += conversation.len - 1) {
            pipe_line pipe;
            assert_int_equal(pipe_open(&pipe), COFFER_OK);
            assert_int_equal(pipe_feed_in_pieces(&pipe, conversation, cut, piece), COFFER_OK);
            assert_written_down(&pipe, WRITTEN_DOWN);
            assert_int_equal(coffer__guard_reply_count(pipe.guard), pipe.reply_count);
            pipe_close(&pipe);
        }
    }
}

static void append_small_bulks(coffer__buf *out, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char reply[32];
        snprintf(reply, sizeof reply, "$8\r\nval%05zu\r\n", i % 100000);
        assert_true(add_text(out, reply));
    }
}

static void test_many_replies_in_one_feed_come_out_in_order(void **state) {
    (void)state;
    static const size_t counts[] = {1, 100, 10000};
    for (size_t i = 0; i < 3; i++) {
        pipe_line pipe;
        coffer__buf in = COFFER__BUF_INIT;
        coffer__buf expected = COFFER__BUF_INIT;
        append_small_bulks(&in, counts[i]);
        for (size_t at = 0; at < counts[i]; at++) {
            char line[32];
            snprintf(line, sizeof line, " $val%05zu\n", at);
            assert_true(add_text(&expected, line));
        }
        assert_int_equal(pipe_open(&pipe), COFFER_OK);
        assert_int_equal(pipe_feed(&pipe, coffer__buf_slice(&in)), COFFER_OK);
        assert_int_equal(pipe.reply_count, counts[i]);
        assert_true(coffer_slice_equal(coffer__buf_slice(&pipe.text), coffer__buf_slice(&expected)));
        pipe_close(&pipe);
        coffer__buf_free(&in);
        coffer__buf_free(&expected);
    }
}

static void test_small_replies_allocate_nothing_once_warm(void **state) {
    (void)state;
    coffer__buf in = COFFER__BUF_INIT;
    append_small_bulks(&in, 100);
    watched_alloc_begin(WATCHED_NEVER);
    pipe_line pipe;
    assert_int_equal(pipe_open(&pipe), COFFER_OK);
    pipe.silent = true;
    const size_t piece = in.len / 2 + 5; /* one of them is cut */
    assert_int_equal(pipe_feed_in_pieces(&pipe, coffer__buf_slice(&in), piece, piece), COFFER_OK);
    size_t warm = watched_alloc.request_count;
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(pipe_feed_in_pieces(&pipe, coffer__buf_slice(&in), piece, piece), COFFER_OK);
    }
    assert_int_equal(watched_alloc.request_count, warm);
    assert_int_equal(pipe.reply_count, 1100);
    pipe_close(&pipe);
    assert_int_equal(watched_alloc.live_bytes, 0);
    watched_alloc_end();
    coffer__buf_free(&in);
}

static void test_an_array_grows_by_what_came_not_by_what_was_declared(void **state) {
    (void)state;
    watched_alloc_begin(WATCHED_NEVER);
    pipe_line pipe;
    assert_int_equal(pipe_open(&pipe), COFFER_OK);
    assert_int_equal(pipe_feed(&pipe, COFFER_SLICE("*1048576\r\n:1\r\n:2\r\n$67108864\r\nabc")), COFFER_OK);
    assert_int_equal(pipe.reply_count, 0);
    assert_true(watched_alloc.peak_bytes < 4096);
    pipe_close(&pipe);
    watched_alloc_end();
}

static void test_a_large_array_comes_whole(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    coffer__buf in = COFFER__BUF_INIT;
    assert_true(add_text(&in, "*20000\r\n"));
    append_small_bulks(&in, COUNT);
    pipe_line pipe;
    assert_int_equal(pipe_open(&pipe), COFFER_OK);
    pipe.silent = true;
    assert_int_equal(pipe_feed_in_pieces(&pipe, coffer__buf_slice(&in), 1000, 1000), COFFER_OK);
    assert_int_equal(pipe.reply_count, 1);
    coffer__buf_free(&in);
    assert_int_equal(pipe_feed(&pipe, COFFER_SLICE("+OK\r\n")), COFFER_OK);
    assert_int_equal(pipe.reply_count, 2);
    pipe_close(&pipe);
}

static void test_large_replies_leave_no_memory_behind(void **state) {
    (void)state;
    enum { LEN = 1 << 20 };
    char *bulk = (char *)malloc(LEN + 12);
    int header = snprintf(bulk, 12, "$%d\r\n", LEN);
    memset(bulk + header, 'v', LEN);
    memcpy(bulk + header + LEN, "\r\n", 2);
    watched_alloc_begin(WATCHED_NEVER);
    pipe_line pipe;
    assert_int_equal(pipe_open(&pipe), COFFER_OK);
    pipe.silent = true;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(pipe_feed_in_pieces(&pipe, coffer_slice_of(bulk, (size_t)header + LEN + 2), 16384, 16384), COFFER_OK);
    }
    coffer__reply_clear(&pipe.reply);
    assert_int_equal(pipe.reply_count, 5);
    assert_true(watched_alloc.live_bytes <= 48 << 10); /* guard, reader's reply, our reply: 16 KiB each */
    pipe_close(&pipe);
    assert_int_equal(watched_alloc.live_bytes, 0);
    watched_alloc_end();
    free(bulk);
}

static void test_a_reply_can_be_walked_swapped_and_used_again(void **state) {
    (void)state;
    pipe_line pipe;
    assert_int_equal(pipe_open(&pipe), COFFER_OK);
    assert_int_equal(coffer__reader_feed(pipe.reader, COFFER_SLICE("*3\r\n*2\r\n$1\r\na\r\n:1\r\n*0\r\n+z\r\n:9\r\n")), COFFER_OK);
    coffer__reply reply = {0};
    coffer__reply other = {0};
    assert_int_equal(coffer__reader_next(pipe.reader, &reply), COFFER_OK);
    static const size_t after[] = {6, 4, 3, 4, 5, 6}; /* *3 *2 a 1 *0 z */
    for (size_t at = 0; at < 6; at++) {
        assert_int_equal(coffer__reply_after(&reply, at), after[at]);
    }
    assert_int_equal(coffer__reply_text(&reply, 0).len, 0);
    assert_int_equal(coffer__reply_text(&reply, 3).len, 0);
    assert_true(coffer_slice_equal(coffer__reply_text(&reply, 2), COFFER_SLICE("a")));
    coffer__reply_swap(&reply, &other);
    assert_int_equal(coffer__reader_next(pipe.reader, &reply), COFFER_OK);
    assert_int_equal(reply.nodes[0].integer, 9);
    assert_int_equal(coffer__reader_next(pipe.reader, &reply), COFFER_AGAIN);
    assert_int_equal(reply.node_count, 0);
    assert_true(coffer_slice_equal(coffer__reply_text(&other, 5), COFFER_SLICE("z")));
    coffer__reply_free(&reply);
    coffer__reply_free(&other);
    coffer__reply_free(NULL);
    pipe_close(&pipe);
}

static void test_what_the_guard_would_refuse_fails_the_reader_for_good(void **state) {
    (void)state;
    static const char *const inputs[] = {"*2\r\n:1\r\n?\r\n", ":abc\r\n", "$abc\r\n", "HTTP/1.1 400\r\n"};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        coffer__reader *reader = NULL;
        coffer__reply reply = {0};
        assert_int_equal(coffer__reader_new(&reader), COFFER_OK);
        assert_int_equal(coffer__reader_feed(reader, coffer_slice_text(inputs[i])), COFFER_OK);
        assert_int_equal(coffer__reader_next(reader, &reply), COFFER_PROTO);
        assert_int_equal(coffer__reader_next(reader, &reply), COFFER_PROTO);
        assert_int_equal(coffer__reader_feed(reader, COFFER_SLICE("+OK\r\n")), COFFER_PROTO);
        coffer__reply_free(&reply);
        coffer__reader_free(reader);
    }
}

static coffer_status whole_conversation(pipe_line *pipe, size_t piece) {
    coffer_status status = pipe_open(pipe);
    if (status == COFFER_OK) {
        status = pipe_feed_in_pieces(pipe, COFFER_SLICE(CONVERSATION), piece, piece);
    }
    if (status == COFFER_OK) {
        assert_written_down(pipe, WRITTEN_DOWN);
    }
    return status;
}

/* The Nth request fails and all after it, for each N until none is refused. */
static void test_memory_may_run_out_anywhere(void **state) {
    (void)state;
    static const size_t pieces[] = {1, 7, 1000};
    for (size_t i = 0; i < 3; i++) {
        coffer_status status = COFFER_NO_MEMORY;
        for (size_t n = 0; status != COFFER_OK; n++) {
            watched_alloc_begin(n);
            pipe_line pipe;
            status = whole_conversation(&pipe, pieces[i]);
            assert_true(n < 200);
            assert_int_equal(status, watched_alloc.refused_count > 0 ? COFFER_NO_MEMORY : COFFER_OK);
            if (pipe.reader != NULL && status != COFFER_OK) {
                read_all(&pipe); /* no matter what it says, it does no harm */
            }
            pipe_close(&pipe);
            assert_int_equal(watched_alloc.live_bytes, 0);
            watched_alloc_end();
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_are_the_same_wherever_the_input_is_cut),
        cmocka_unit_test(test_many_replies_in_one_feed_come_out_in_order),
        cmocka_unit_test(test_small_replies_allocate_nothing_once_warm),
        cmocka_unit_test(test_an_array_grows_by_what_came_not_by_what_was_declared),
        cmocka_unit_test(test_a_large_array_comes_whole),
        cmocka_unit_test(test_large_replies_leave_no_memory_behind),
        cmocka_unit_test(test_a_reply_can_be_walked_swapped_and_used_again),
        cmocka_unit_test(test_what_the_guard_would_refuse_fails_the_reader_for_good),
        cmocka_unit_test(test_memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
