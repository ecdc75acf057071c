/* What guard and reader accept, hiredis' own reader, with its own objects, accepts too and reads as the same replies; where the guard waits for more
 * bytes hiredis does as well. Where the guard refuses (it is the stricter of the two) all replies before are the same. */
#include "reading.h"

#include <hiredis/hiredis.h>

static void write_theirs(notes *to, const redisReply *reply) {
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        write_integer(to, reply->integer);
        return;
    case REDIS_REPLY_NIL:
        note_text(to, "nil ");
        return;
    case REDIS_REPLY_ARRAY:
        write_text(to, '*', NULL, 0);
        write_integer(to, (long long)reply->elements);
        for (size_t i = 0; i < reply->elements; i++) {
            write_theirs(to, reply->element[i]);
        }
        return;
    default:
        write_text(to, reply->type == REDIS_REPLY_STRING ? '$' : reply->type == REDIS_REPLY_ERROR ? '-' : '+', reply->str, (size_t)reply->len);
    }
}

static void read_theirs(notes *to, coffer_slice in) {
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    MUST(reader != NULL);
    MUST(in.len == 0 || redisReaderFeed(reader, in.data, in.len) == REDIS_OK);
    for (;;) {
        MUST(redisReaderGetReply(reader, &reply) == REDIS_OK);
        if (reply == NULL) {
            break;
        }
        write_theirs(to, (const redisReply *)reply);
        note_text(to, "\n");
        freeReplyObject(reply);
    }
    redisReaderFree(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* hiredis makes an array of the declared size at once: not more elements than that. */
    static const coffer__guard_limits limits = {64u << 10, 64u << 20, 128u << 20, 1000, 7};
    reading ours;
    notes theirs = {0};
    coffer_slice in = coffer_slice_of(data, size);
    reading_begin(&ours, &limits);
    reading_feed(&ours, in);
    read_theirs(&theirs, ours.status == COFFER_OK ? in : coffer_slice_of(ours.frames.data, ours.frames.len));
    MUST(coffer_slice_equal(coffer_slice_of(ours.text.data, ours.text.len), coffer_slice_of(theirs.data, theirs.len)));
    reading_end(&ours);
    notes_free(&theirs);
    return 0;
}
