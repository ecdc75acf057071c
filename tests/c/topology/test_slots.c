/* coffer__slot_of: what a real node answers to CLUSTER KEYSLOT. */
#include "topology/slots.h"

#include "support/cmocka_all.h"
#include "support/redis_server.h"

#include <hiredis/hiredis.h>

static void test_known_slots(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint16_t slot;
    } known[] = {{"123456789", 0x31C3},  {"", 0}, {"foo", 12182}, {"{foo}bar", 12182}, {"bar{foo}", 12182}, {"foo{}{bar}", 8363},
                 {"foo{{bar}}zap", 4015}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(coffer__slot_of(coffer_slice_text(known[i].key)), known[i].slot);
    }
}

static void assert_agrees(redisContext *node, const char *key, size_t len) {
    redisReply *reply = (redisReply *)redisCommand(node, "CLUSTER KEYSLOT %b", key, len);
    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    assert_int_equal(coffer__slot_of(coffer_slice_of(key, len)), reply->integer);
    freeReplyObject(reply);
}

static void test_a_server_computes_the_same(void **state) {
    (void)state;
    static const char *const odd[] = {"{",     "}",      "{}",    "{}{a}", "{a",      "a}",     "a{b",
                                      "a}b{c", "{a}{b}", "{{a}}", "}{",    "a{}b{c}", "{\xFF}", "prod:users:42"};
    redis_server server;
    if (!redis_server_start_node(&server)) {
        skip();
    }
    redisContext *node = redisConnectUnix(server.path);
    assert_true(node != NULL && node->err == 0);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        assert_agrees(node, odd[i], strlen(odd[i]));
    }
    uint64_t random = 42;
    for (unsigned i = 0; i < 2000; i++) {
        char key[40];
        size_t len = i % sizeof key;
        for (size_t at = 0; at < len; at++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            key[at] = "{}ab\0\xFF:7"[random >> 61];
        }
        assert_agrees(node, key, len);
    }
    redisFree(node);
    redis_server_stop(&server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_slots),
        cmocka_unit_test(test_a_server_computes_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
