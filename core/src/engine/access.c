#include "access.h"

#include "engine.h"

coffer_namespace *coffer__op_namespace(const coffer_op *op) {
    return op->ns;
}

coffer_waiter *coffer__op_waiter(const coffer_op *op) {
    return op->waiter;
}
