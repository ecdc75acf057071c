#include "transcript_ops.h"

#include <string.h>

coffer_status transcript_make_op(coffer_op **op, coffer_namespace *ns, const char *what, const transcript_op *given) {
    const coffer_slice keys[3] = {given->key, COFFER_SLICE("second"), COFFER_SLICE("third")};
    for (size_t i = 0; i < 3; i++) {
        given->items[i] = (coffer_item){keys[i], given->value, given->write.format};
    }
    const struct {
        const char *name;
        coffer_status status;
    } made[] = {
#define MAKE(word, expression) {word, strcmp(what, word) == 0 ? (expression) : COFFER_MISS}
        MAKE("get", coffer_op_get(op, ns, given->key, &given->read)),
        MAKE("set", coffer_op_set(op, ns, given->key, given->value, &given->write)),
        MAKE("add", coffer_op_add(op, ns, given->key, given->value, &given->write)),
        MAKE("replace", coffer_op_replace(op, ns, given->key, given->value, &given->write)),
        MAKE("compare_and_set", coffer_op_compare_and_set(op, ns, given->key, given->id, given->value, &given->write)),
        MAKE("delete", coffer_op_delete(op, ns, given->key, &given->read)),
        MAKE("exists", coffer_op_exists(op, ns, given->key, &given->read)),
        MAKE("ttl", coffer_op_ttl(op, ns, given->key, &given->read)),
        MAKE("expire", coffer_op_expire(op, ns, given->key, given->write.ttl_ms, &given->read)),
        MAKE("increment", coffer_op_increment(op, ns, given->key, given->delta, &given->write)),
        MAKE("counter", coffer_op_counter(op, ns, given->key, &given->read)),
        MAKE("get_many", coffer_op_get_many(op, ns, keys, 3, &given->read)),
        MAKE("set_many", coffer_op_set_many(op, ns, given->items, 3, &given->write)),
        MAKE("delete_many", coffer_op_delete_many(op, ns, keys, 3, &given->read)),
        MAKE("get_or_load", coffer_op_get_or_load(op, ns, given->key, &given->read)),
        MAKE("ping", coffer_op_ping(op, ns, &given->read)),
#undef MAKE
    };
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        if (strcmp(made[i].name, what) == 0) {
            return made[i].status;
        }
    }
    return COFFER_MISS;
}
