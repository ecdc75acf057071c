/* A redis-server for a whole suite of io/: cmocka_run_group_tests(tests, start_server, stop_server). Where there is none, `is_there` is false. */
#ifndef COFFER_TESTS_IO_WITH_SERVER_H
#define COFFER_TESTS_IO_WITH_SERVER_H

#include "support/redis_server.h"

static redis_server server;
static bool is_there;

static inline int start_server(void **state) {
    (void)state;
    is_there = redis_server_start(&server);
    return 0;
}

static inline int stop_server(void **state) {
    (void)state;
    if (is_there) {
        redis_server_stop(&server);
    }
    return 0;
}

#endif
