#include "switches.h"

#include "base/hash.h"
#include "engine.h"
#include <coffer/health.h>

/* Any process has to come to the same: the key of this hash is no secret. */
bool coffer__is_in_share(const coffer__switches *switches, coffer_slice key) {
    uint32_t left_out = atomic_load_explicit(&switches->left_out_percent, memory_order_relaxed);
    return left_out == 0 || key.len == 0 || coffer__hash((coffer__hash_key){1, 1}, key) % 100 < 100 - left_out;
}

bool coffer__is_on_for(const coffer_namespace *ns, coffer_operation operation, coffer_slice key) {
    const coffer__switches *switches = ns->switches;
    uint32_t operations_off = atomic_load_explicit(&switches->operations_off, memory_order_relaxed);
    return ns->options->enabled && !atomic_load_explicit(&ns->client->is_off, memory_order_relaxed) &&
           !atomic_load_explicit(&switches->is_off, memory_order_relaxed) && (operations_off >> operation & 1) == 0 &&
           coffer__is_in_share(switches, key);
}

bool coffer__is_on(const coffer_op *op, coffer_slice key) {
    return coffer__is_on_for(op->ns, op->kind->operation, key);
}

coffer_status coffer_namespace_turn(coffer_namespace *ns, coffer_scope scope, bool is_on) {
    if (scope != COFFER_SCOPE_ALL && scope != COFFER_SCOPE_NAMESPACE) {
        return COFFER_ARG;
    }
    atomic_store_explicit(scope == COFFER_SCOPE_ALL ? &ns->client->is_off : &ns->switches->is_off, !is_on, memory_order_relaxed);
    return COFFER_OK;
}

coffer_status coffer_namespace_turn_operation(coffer_namespace *ns, coffer_operation operation, bool is_on) {
    if ((unsigned)operation >= COFFER_OPERATION_COUNT) {
        return COFFER_ARG;
    }
    uint32_t bit = UINT32_C(1) << operation;
    if (is_on) {
        atomic_fetch_and_explicit(&ns->switches->operations_off, ~bit, memory_order_relaxed);
    } else {
        atomic_fetch_or_explicit(&ns->switches->operations_off, bit, memory_order_relaxed);
    }
    return COFFER_OK;
}

coffer_status coffer_namespace_turn_share(coffer_namespace *ns, uint32_t percent) {
    if (percent > 100) {
        return COFFER_ARG;
    }
    atomic_store_explicit(&ns->switches->left_out_percent, 100 - percent, memory_order_relaxed);
    return COFFER_OK;
}

coffer_operation coffer_operation_of(const char *name) {
    unsigned operation = 0;
    while (operation < COFFER_OPERATION_COUNT && strcmp(coffer_operation_name((coffer_operation)operation), name) != 0) {
        operation++;
    }
    return (coffer_operation)operation;
}
