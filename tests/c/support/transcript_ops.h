/* The operations of a transcript by their names. */
#ifndef COFFER_TESTS_SUPPORT_TRANSCRIPT_OPS_H
#define COFFER_TESTS_SUPPORT_TRANSCRIPT_OPS_H

#include <coffer/coffer.h>

typedef struct transcript_op {
    coffer_slice key; /* of those with many: the first of three, before "second" and "third" */
    coffer_slice value;
    coffer_item *items; /* three, filled in here; lent to a set_many */
    coffer_read_options read;
    coffer_write_options write;
    uint64_t id;
    int64_t delta;
} transcript_op;

/* MISS: there is no operation of that name. */
coffer_status transcript_make_op(coffer_op **op, coffer_namespace *ns, const char *what, const transcript_op *given);

/* A counter of the namespace; UINT64_MAX: there is none of that name. */
uint64_t transcript_count(coffer_namespace *ns, const char *name);

/* What became of each of many, as text: OK,MISS,OK. Gives `out` back. */
const char *transcript_items(const coffer_op *op, char *out, size_t cap);

/* Who listens for the client's near copies says so: live, lost, or changed and the key on the server. */
void transcript_near(coffer_client *client, const char *what, coffer_slice key, uint64_t now_ms);

/* A conn to an endpoint (NULL: to any), which may only listen. */
coffer_conn *transcript_connect(coffer_client *client, const coffer_endpoint *at, bool listens, uint64_t now_ms);

/* READY, IDLE, GREETING, or why it failed. */
const char *transcript_state(const coffer_conn *conn);

/* The sentinel on that host. */
const coffer_endpoint *transcript_announcer(const coffer_client *client, const char *host);

#endif
