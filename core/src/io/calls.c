/* One function for each operation: makes the op, runs it to its end, takes the answer. */
#include "family.h"

#include "near.h"
#include "run.h"

/* The op's answer is its status alone. */
static coffer_status finish(coffer_cache *cache, coffer_status made, coffer_op *op, coffer_error *error) {
    coffer_status status = coffer__cache_finish(cache, made, op, error);
    coffer__run_drop(op);
    return status;
}

static coffer_status finish_integer(coffer_cache *cache, coffer_status made, coffer_op *op, int64_t *integer, coffer_error *error) {
    coffer_status status = coffer__cache_finish(cache, made, op, error);
    if (integer != NULL) {
        *integer = status == COFFER_OK ? coffer_op_integer(op) : 0;
    }
    coffer__run_drop(op);
    return status;
}

coffer_status coffer_get(coffer_cache *cache, coffer_slice key, const coffer_read_options *options, coffer_value *value, coffer_error *error) {
    coffer_namespace *ns = coffer__cache_enter(cache);
    coffer_status status = coffer__near_answer(ns, COFFER_OPERATION_GET, key, value);
    if (status == COFFER_AGAIN) {
        coffer_op *op = NULL;
        coffer_status made = coffer_op_get(&op, ns, key, options);
        status = coffer__cache_finish(cache, made, op, error);
        coffer__cache_take_value(op, value);
    }
    return status;
}

coffer_status coffer_set(coffer_cache *cache, coffer_slice key, coffer_slice value, const coffer_write_options *options, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_set(&op, coffer__cache_enter(cache), key, value, options);
    return finish(cache, made, op, error);
}

coffer_status coffer_add(coffer_cache *cache, coffer_slice key, coffer_slice value, const coffer_write_options *options, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_add(&op, coffer__cache_enter(cache), key, value, options);
    return finish(cache, made, op, error);
}

coffer_status coffer_replace(coffer_cache *cache, coffer_slice key, coffer_slice value, const coffer_write_options *options, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_replace(&op, coffer__cache_enter(cache), key, value, options);
    return finish(cache, made, op, error);
}

coffer_status coffer_compare_and_set(coffer_cache *cache, coffer_slice key, uint64_t entry_id, coffer_slice value,
                                     const coffer_write_options *options, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_compare_and_set(&op, coffer__cache_enter(cache), key, entry_id, value, options);
    return finish(cache, made, op, error);
}

coffer_status coffer_delete(coffer_cache *cache, coffer_slice key, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_delete(&op, coffer__cache_enter(cache), key, NULL);
    return finish(cache, made, op, error);
}

coffer_status coffer_exists(coffer_cache *cache, coffer_slice key, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_exists(&op, coffer__cache_enter(cache), key, NULL);
    return finish(cache, made, op, error);
}

coffer_status coffer_ttl(coffer_cache *cache, coffer_slice key, int64_t *ttl_ms, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_ttl(&op, coffer__cache_enter(cache), key, NULL);
    return finish_integer(cache, made, op, ttl_ms, error);
}

coffer_status coffer_expire(coffer_cache *cache, coffer_slice key, uint64_t ttl_ms, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_expire(&op, coffer__cache_enter(cache), key, ttl_ms, NULL);
    return finish(cache, made, op, error);
}

coffer_status coffer_touch(coffer_cache *cache, coffer_slice key, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_touch(&op, coffer__cache_enter(cache), key, NULL);
    return finish(cache, made, op, error);
}

coffer_status coffer_increment(coffer_cache *cache, coffer_slice key, int64_t delta, const coffer_write_options *options, int64_t *count,
                               coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_increment(&op, coffer__cache_enter(cache), key, delta, options);
    return finish_integer(cache, made, op, count, error);
}

coffer_status coffer_counter(coffer_cache *cache, coffer_slice key, int64_t *count, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_counter(&op, coffer__cache_enter(cache), key, NULL);
    return finish_integer(cache, made, op, count, error);
}

coffer_status coffer_reset_counter(coffer_cache *cache, coffer_slice key, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_reset_counter(&op, coffer__cache_enter(cache), key, NULL);
    return finish(cache, made, op, error);
}

coffer_status coffer_clear(coffer_cache *cache, const coffer_read_options *options, uint64_t *deleted_count, coffer_error *error) {
    coffer_op *op = NULL;
    int64_t deleted = 0;
    coffer_status made = coffer_op_clear(&op, coffer__cache_enter(cache), options);
    coffer_status status = finish_integer(cache, made, op, &deleted, error);
    if (deleted_count != NULL) {
        *deleted_count = (uint64_t)deleted;
    }
    return status;
}

coffer_status coffer_ping(coffer_cache *cache, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_ping(&op, coffer__cache_enter(cache), NULL);
    return finish(cache, made, op, error);
}

/* ---- many --------------------------------------------------------------------------------------------------------- */

/* The values share the op, whose owner is the first of them; an item that was not reached has the whole's status. Whether any has a value. */
static bool take_items(coffer_op *op, coffer_status whole, coffer_value *values, coffer_status *statuses, size_t count) {
    size_t done = op == NULL ? 0 : coffer_op_count(op);
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        coffer_value value = {.owner = NULL};
        coffer_status status = i < done ? coffer_op_item(op, i, &value) : whole;
        if (statuses != NULL) {
            statuses[i] = status;
        }
        if (values != NULL) {
            values[i] = value;
            values[i].owner = NULL;
        }
        any = any || status == COFFER_OK || status == COFFER_STALE;
    }
    return any;
}

coffer_status coffer_get_many(coffer_cache *cache, const coffer_slice *keys, size_t count, const coffer_read_options *options, coffer_value *values,
                              coffer_status *statuses, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_get_many(&op, coffer__cache_enter(cache), keys, count, options);
    coffer_status status = coffer__cache_finish(cache, made, op, error);
    bool any = take_items(op, status, values, statuses, count);
    if (values != NULL && any) { /* a refused call leaves nothing to free */
        values[0].owner = op;
    } else {
        coffer__run_drop(op);
    }
    return status;
}

coffer_status coffer_set_many(coffer_cache *cache, const coffer_item *items, size_t count, const coffer_write_options *options,
                              coffer_status *statuses, coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_set_many(&op, coffer__cache_enter(cache), items, count, options);
    coffer_status status = coffer__cache_finish(cache, made, op, error);
    take_items(op, status, NULL, statuses, count);
    coffer__run_drop(op);
    return status;
}

coffer_status coffer_delete_many(coffer_cache *cache, const coffer_slice *keys, size_t count, size_t *deleted_count, coffer_status *statuses,
                                 coffer_error *error) {
    coffer_op *op = NULL;
    coffer_status made = coffer_op_delete_many(&op, coffer__cache_enter(cache), keys, count, NULL);
    coffer_status status = coffer__cache_finish(cache, made, op, error);
    if (deleted_count != NULL) {
        *deleted_count = status == COFFER_OK ? (size_t)coffer_op_integer(op) : 0;
    }
    take_items(op, status, NULL, statuses, count);
    coffer__run_drop(op);
    return status;
}
