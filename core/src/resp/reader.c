#include "reader.h"

#include "base/alloc.h"

#include <hiredis/hiredis.h>

/* KEEP_BYTES: what hiredis' idle buffer may go on holding. hiredis doubles what it is fed, hence FED_CAP: after a feed larger than
 * that and wholly read, its reader is made anew, so that a large reply's memory does not stay behind on an idle connection (F26). */
enum { KEEP_BYTES = 16 << 10, FED_CAP = KEEP_BYTES / 2 };

struct coffer__reader {
    redisReader *hiredis;
    size_t fed_bytes; /* since hiredis' buffer was last read to its end */
    coffer_status status; /* the first failure: final */
    coffer__reply *target; /* during reader_next: the caller's reply */
    coffer__reply growing; /* the reply of which frames are still to come; empty where there is none */
};

/* ---- what hiredis calls
 *
 * Each adds a node to the reply. hiredis wants an object: the reader stands for all of them, and nobody frees it. NULL means no memory, and
 * hiredis then fails with REDIS_ERR_OOM. */

static coffer__reader *reader_of(const redisReadTask *task) {
    return (coffer__reader *)task->privdata;
}

static void *on_string(const redisReadTask *task, char *text, size_t len) {
    coffer__reader *reader = reader_of(task);
    coffer__reply *reply = reader->target;
    coffer__reply_type type = COFFER__REPLY_BULK;
    if (task->type != REDIS_REPLY_STRING) {
        type = task->type == REDIS_REPLY_ERROR ? COFFER__REPLY_ERROR : COFFER__REPLY_LINE;
    }
    coffer__node *node = coffer__reply_add(reply, type);
    if (node == NULL) {
        return NULL;
    }
    node->offset = reply->bytes.len;
    node->len = len;
    if (len > reply->bytes.cap - reply->bytes.len) {
        return coffer__buf_append(&reply->bytes, text, len) ? reader : NULL;
    }
    if (len > 0) {
        memcpy(reply->bytes.data + reply->bytes.len, text, len);
        reply->bytes.len += len;
    }
    return reader;
}

static void *add_array(const redisReadTask *task, size_t element_count) {
    coffer__node *node = coffer__reply_add(reader_of(task)->target, COFFER__REPLY_ARRAY);
    if (node == NULL) {
        return NULL;
    }
    node->len = element_count;
    return reader_of(task);
}

static void *on_integer(const redisReadTask *task, long long integer) {
    coffer__node *node = coffer__reply_add(reader_of(task)->target, COFFER__REPLY_INTEGER);
    if (node == NULL) {
        return NULL;
    }
    node->integer = integer;
    return reader_of(task);
}

static void *on_nil(const redisReadTask *task) {
    return coffer__reply_add(reader_of(task)->target, COFFER__REPLY_NIL) == NULL ? NULL : reader_of(task);
}

static void on_free(void *object) {
    (void)object;
}

/* The one place that knows hiredis' versions: 1.0 made the count of an array's elements a size_t and added functions for RESP3's types, which the
 * guard never lets through (hiredis takes NULL for them). */
#if HIREDIS_MAJOR >= 1
typedef size_t hiredis_count;
#else
typedef int hiredis_count;
#endif

static void *on_array(const redisReadTask *task, hiredis_count element_count) {
    return add_array(task, (size_t)element_count);
}

static redisReplyObjectFunctions reply_functions = {
    .createString = on_string,
    .createArray = on_array,
    .createInteger = on_integer,
    .createNil = on_nil,
    .freeObject = on_free,
};

/* ---- the reader */

static redisReader *new_hiredis(coffer__reader *reader) {
    redisReader *hiredis = redisReaderCreateWithFunctions(&reply_functions);
    if (hiredis != NULL) {
        hiredis->privdata = reader;
        hiredis->maxbuf = KEEP_BYTES;
    }
    return hiredis;
}

coffer_status coffer__reader_new(coffer__reader **reader) {
    coffer__reader *made = (coffer__reader *)coffer__alloc_zero(sizeof *made);
    *reader = made;
    if (made == NULL) {
        return COFFER_NO_MEMORY;
    }
    made->hiredis = new_hiredis(made);
    if (made->hiredis == NULL) {
        coffer__release(made);
        *reader = NULL;
        return COFFER_NO_MEMORY;
    }
    return COFFER_OK;
}

void coffer__reader_free(coffer__reader *reader) {
    if (reader == NULL) {
        return;
    }
    redisReaderFree(reader->hiredis);
    coffer__reply_free(&reader->growing);
    coffer__release(reader);
}

static coffer_status failed(coffer__reader *reader) {
    reader->status = reader->hiredis->err == REDIS_ERR_OOM ? COFFER_NO_MEMORY : COFFER_PROTO;
    coffer__reply_free(&reader->growing);
    return reader->status;
}

coffer_status coffer__reader_feed(coffer__reader *reader, coffer_slice frames) {
    if (reader->status != COFFER_OK) {
        return reader->status;
    }
    if (redisReaderFeed(reader->hiredis, frames.data, frames.len) != REDIS_OK) {
        return failed(reader);
    }
    reader->fed_bytes += frames.len;
    return COFFER_OK;
}

static bool all_read(const coffer__reader *reader) {
    return reader->hiredis->pos == reader->hiredis->len;
}

/* Without memory for a new one the old one does as well. */
static void give_back(coffer__reader *reader) {
    redisReader *fresh = reader->fed_bytes > FED_CAP ? new_hiredis(reader) : NULL;
    if (fresh != NULL) {
        redisReaderFree(reader->hiredis);
        reader->hiredis = fresh;
    }
    reader->fed_bytes = 0;
}

/* Reads into the caller's reply; what is not whole yet moves to `growing`, and the next call goes on there. */
coffer_status coffer__reader_next(coffer__reader *reader, coffer__reply *reply) {
    coffer__reply_clear(reply);
    if (reader->status != COFFER_OK) {
        return reader->status;
    }
    if (all_read(reader)) {
        return COFFER_AGAIN;
    }
    if (reader->growing.node_count > 0) {
        coffer__reply_swap(reply, &reader->growing);
    }
    reader->target = reply;
    void *whole = NULL;
    if (redisReaderGetReply(reader->hiredis, &whole) != REDIS_OK) {
        coffer__reply_clear(reply);
        return failed(reader);
    }
    if (whole == NULL) {
        coffer__reply_swap(reply, &reader->growing);
        coffer__reply_clear(reply);
        return COFFER_AGAIN;
    }
    if (all_read(reader)) {
        give_back(reader);
    }
    return COFFER_OK;
}
