/* Replies of a server as text, for the tests of topology/: what the guard makes of them. */
#ifndef COFFER_TESTS_TOPOLOGY_REPLIES_H
#define COFFER_TESTS_TOPOLOGY_REPLIES_H

#include "resp/guard.h"

#include "support/cmocka_all.h"

/* One whole reply; coffer__reply_free it. */
static inline coffer__reply reply_of(const char *text) {
    coffer__guard *guard = NULL;
    coffer__guard_limits limits = COFFER__GUARD_LIMITS_INIT;
    coffer__reply reply = {0};
    coffer_slice in = coffer_slice_text(text);
    assert_int_equal(coffer__guard_new(&guard, &limits), COFFER_OK);
    assert_int_equal(coffer__guard_take(guard, &in, &reply), COFFER_OK);
    assert_int_equal(in.len, 0);
    coffer__guard_free(guard);
    return reply;
}

static inline coffer_endpoint at(const char *host, uint16_t port) {
    return (coffer_endpoint){.host = coffer_slice_text(host), .port = port};
}

#define RANGE(first, last, node) "*3\r\n:" #first "\r\n:" #last "\r\n" node
#define NODE(host, port) "*3\r\n$" host "\r\n:" #port "\r\n$2\r\nid\r\n"

#endif
