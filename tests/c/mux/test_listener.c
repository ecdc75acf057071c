/* A sentinel that is listened to. */
#include "mux/helpers.h"

static void test_a_sentinel_is_listened_to_and_never_gets_the_servers_credentials(void **state) {
    (void)state;
    world w;
    open_world(&w, "redis+sentinel://s1:26379/mymaster?raw=true&timeout=1s");
    coffer_order order;
    size_t sentinels = 0;
    coffer_task *task = get(&w, "k");
    coffer_mux_tick(w.mux, w.now_us);
    while (coffer_mux_next_order(w.mux, w.now_us, &order)) {
        assert_int_equal(order.kind, COFFER_ORDER_CONNECT);
        assert_false(order.wants_login);
        w.connecting[sentinels++] = order.link;
    }
    assert_int_equal(sentinels, 2); /* the one that is asked, the one that is listened to */
    bool subscribed = false;
    for (size_t i = 0; i < sentinels; i++) {
        coffer_mux_opened(w.mux, w.connecting[i], nobody, nobody, w.now_us);
        obey(&w);
        w.sent_bytes = 0;
        feed(&w, w.connecting[i], "+OK\r\n");
        obey(&w);
        subscribed = subscribed || strstr(w.sent, "SUBSCRIBE") != NULL;
    }
    assert_true(subscribed);
    coffer_task_free(task);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sentinel_is_listened_to_and_never_gets_the_servers_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
