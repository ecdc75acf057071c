/* coffer_get_or_load: the loader is a function of the caller's, run on the caller's thread while no link is held. */
#include "family.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "clock.h"
#include "near.h"

/* What a loader has said so far. It counts only when the loader returns OK, so the value is kept here until then. */
struct coffer_load {
    coffer_load *outer; /* the loader on this thread in which this one runs */
    coffer_op *op;
    bool answered;
    coffer_status failed; /* of coffer_loaded itself */
    coffer__buf value;
    coffer_write_options options;
    bool with_options;
};

static _Thread_local coffer_load *running;

const coffer_op *coffer__load_running(void) {
    return running == NULL ? NULL : running->op;
}

coffer_status coffer_loaded(coffer_load *load, coffer_slice value, const coffer_write_options *options) {
    if (load->answered) {
        return COFFER_ARG;
    }
    load->answered = true;
    if (!coffer__buf_append_slice(&load->value, value)) {
        load->failed = COFFER_NO_MEMORY;
        return COFFER_NO_MEMORY;
    }
    load->with_options = options != NULL;
    if (options != NULL) {
        load->options = (coffer_write_options)COFFER_WRITE_OPTIONS_INIT;
        size_t given = options->struct_size < sizeof load->options ? options->struct_size : sizeof load->options;
        memcpy(&load->options, options, given);
        load->options.struct_size = sizeof load->options;
    }
    return COFFER_OK;
}

coffer_status coffer_loaded_absent(coffer_load *load) {
    coffer_write_options absent = COFFER_WRITE_OPTIONS_INIT;
    absent.absent = true;
    return coffer_loaded(load, coffer_slice_of(NULL, 0), &absent);
}

static uint32_t elapsed_ms(uint64_t began_us) {
    uint64_t ms = (coffer__clock_us() - began_us) / COFFER__US_PER_MS;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static void run_loader(coffer_op *op, coffer_slice key, coffer_loader_fn loader, void *user_data) {
    coffer_load load = {.outer = running, .op = op, .value = COFFER__BUF_INIT};
    uint64_t began_us = coffer__clock_us();
    running = &load;
    coffer_status status = loader(&load, key, user_data);
    running = load.outer;
    if (status == COFFER_OK && !load.answered) {
        coffer_loaded_absent(&load);
    }
    if (load.failed != COFFER_OK) {
        coffer_op_abort(op, load.failed);
    } else if (status != COFFER_OK) {
        coffer_op_abort(op, status == COFFER_INTERRUPTED ? COFFER_INTERRUPTED : COFFER_LOAD_FAILED);
    } else {
        coffer_op_supply(op, coffer__buf_slice(&load.value), load.with_options ? &load.options : NULL, elapsed_ms(began_us));
    }
    coffer__buf_free(&load.value);
}

coffer_status coffer_get_or_load(coffer_cache *cache, coffer_slice key, coffer_loader_fn loader, void *user_data, const coffer_read_options *options,
                                 coffer_value *value, coffer_error *error) {
    coffer_namespace *ns = coffer__cache_enter(cache);
    coffer_status status = coffer__near_answer(ns, COFFER_OPERATION_GET_OR_LOAD, key, value);
    if (status != COFFER_AGAIN) {
        return status;
    }
    coffer_op *op = NULL;
    coffer_status made = coffer_op_get_or_load(&op, ns, key, options);
    coffer_want want = COFFER_WANT_DONE;
    if (made == COFFER_OK) {
        coffer_op_set_parent(op, coffer__load_running());
        while ((want = coffer_cache_run(cache, op, UINT64_MAX)) != COFFER_WANT_DONE) {
            if (want == COFFER_WANT_LOAD) {
                run_loader(op, key, loader, user_data);
            }
        }
    }
    status = coffer__cache_finish(cache, made, op, error);
    coffer__cache_take_value(op, value);
    return status;
}
