/* Handles: opening and closing, forks, and running any op. The operations themselves are in calls.c and load.c. */
#include "family.h"

#include "base/alloc.h"
#include "base/error.h"
#include "clock.h"
#include "forked.h"
#include "near.h"
#include "run.h"

enum { WAIT_WITHOUT_MEMORY_MS = 10 };

/* ---- family ------------------------------------------------------------------------------------------------------- */

static void family_unref(coffer__family *family) {
    if (family != NULL && atomic_fetch_sub_explicit(&family->refs, 1, memory_order_acq_rel) == 1) {
        coffer__pools_free(family->pools);
        coffer_client_free(family->client);
        coffer__release(family);
    }
}

static coffer_status family_new(coffer__family **family, const coffer_options *options, coffer_error *error) {
    coffer__family *made = (coffer__family *)coffer__alloc_zero(sizeof *made);
    if (made == NULL) {
        return coffer__error_set(error, COFFER_NO_MEMORY, "the cache cannot be opened: %s", coffer_status_text(COFFER_NO_MEMORY));
    }
    atomic_init(&made->refs, 1);
    atomic_init(&made->generation, coffer__fork_generation());
    coffer_status status = coffer_client_new(&made->client, options, coffer__clock_now(), error);
    if (status == COFFER_OK) {
        status = coffer__secure_need(made->client, &made->secure, error);
    }
    if (status == COFFER_OK && !coffer_client_is_local(made->client) && (status = coffer__pools_new(&made->pools, made->client)) != COFFER_OK) {
        coffer__error_set(error, status, "the cache cannot be opened: %s", coffer_status_text(status));
    }
    if (status != COFFER_OK) {
        family_unref(made);
        return status;
    }
    coffer_client_set_wake(made->client, coffer__run_wake);
    *family = made;
    return COFFER_OK;
}

static void family_enter(coffer__family *family) {
    if (coffer__forked(&family->generation)) {
        coffer_client_after_fork(family->client);
        if (family->pools != NULL) {
            coffer__pools_after_fork(family->pools);
        }
        coffer__forked_done(&family->generation);
    }
}

/* ---- handles ------------------------------------------------------------------------------------------------------ */

/* Takes the caller's reference of the family. */
static coffer_status handle_new(coffer_cache **cache, coffer__family *family, const coffer_options *options, coffer_error *error) {
    coffer_cache *made = (coffer_cache *)coffer__alloc_zero(sizeof *made);
    coffer_status status = made == NULL
                               ? coffer__error_set(error, COFFER_NO_MEMORY, "the cache cannot be opened: %s", coffer_status_text(COFFER_NO_MEMORY))
                               : coffer_namespace_new(&made->ns, family->client, options, error);
    if (status != COFFER_OK) {
        coffer__release(made);
        family_unref(family);
        return status;
    }
    made->family = family;
    *cache = made;
    return COFFER_OK;
}

coffer_status coffer_open(coffer_cache **cache, const coffer_options *options, coffer_error *error) {
    coffer__family *family = NULL;
    *cache = NULL;
    coffer_status status = family_new(&family, options, error);
    return status == COFFER_OK ? handle_new(cache, family, NULL, error) : status;
}

coffer_status coffer_open_url(coffer_cache **cache, const char *url, coffer_error *error) {
    *cache = NULL;
    coffer_options *options = coffer_options_new();
    if (options == NULL) {
        return coffer__error_set(error, COFFER_NO_MEMORY, "the cache cannot be opened: %s", coffer_status_text(COFFER_NO_MEMORY));
    }
    coffer_status status = coffer_options_set_url(options, coffer_slice_text(url), error);
    if (status == COFFER_OK) {
        status = coffer_open(cache, options, error);
    }
    coffer_options_free(options);
    return status;
}

coffer_status coffer_open_namespace(coffer_cache **child, coffer_cache *parent, const coffer_options *options, coffer_error *error) {
    *child = NULL;
    family_enter(parent->family);
    atomic_fetch_add_explicit(&parent->family->refs, 1, memory_order_relaxed);
    return handle_new(child, parent->family, options, error);
}

void coffer_close(coffer_cache *cache) {
    if (cache != NULL) {
        family_enter(cache->family);
        coffer_namespace_free(cache->ns);
        family_unref(cache->family);
        coffer__release(cache);
    }
}

void coffer_set_credentials(coffer_cache *cache, coffer_credentials_fn function, void *user_data) {
    cache->family->secure->credentials.user_data = user_data;
    cache->family->secure->credentials.function = function;
}

void coffer_ask_for_credentials(coffer_cache *cache) {
    atomic_store(&cache->family->secure->credentials.asks, true);
}

bool coffer_credentials_wanted(const coffer_cache *cache) {
    return atomic_load_explicit(&cache->family->secure->credentials.wanted, memory_order_relaxed);
}

coffer_status coffer_give_credentials(coffer_cache *cache, coffer_slice username, coffer_slice password) {
    return coffer__credentials_give(&cache->family->secure->credentials, username, password);
}

void coffer_refuse_credentials(coffer_cache *cache) {
    coffer__credentials_refuse(&cache->family->secure->credentials);
}

const coffer_options *coffer_cache_options(const coffer_cache *cache) {
    return coffer_namespace_options(cache->ns);
}

coffer_namespace *coffer_cache_namespace(const coffer_cache *cache) {
    family_enter(cache->family);
    return cache->ns;
}

coffer_namespace *coffer__cache_enter(coffer_cache *cache) {
    return coffer_cache_namespace(cache);
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

/* Not even the driver's own few bytes: the op ends with NO_MEMORY, or as well as it can. */
static coffer_want run_without_memory(coffer_op *op) {
    coffer_action action;
    coffer_want want;
    while ((want = coffer_op_next(op, coffer__clock_ms(), &action)) == COFFER_WANT_CALL) {
        coffer_call_fail(action.call, COFFER_NO_MEMORY, NULL);
    }
    if (want == COFFER_WANT_DONE || want == COFFER_WANT_LOAD) {
        return want;
    }
    const struct timespec pause = {.tv_nsec = WAIT_WITHOUT_MEMORY_MS * 1000000L};
    nanosleep(&pause, NULL);
    return COFFER_WANT_REPLY;
}

coffer_want coffer_cache_run(coffer_cache *cache, coffer_op *op, uint64_t slice_ms) {
    family_enter(cache->family);
    coffer__run *run = coffer__run_of(op);
    return run == NULL ? run_without_memory(op) : coffer__run_go(run, cache->family->pools, op, slice_ms);
}

void coffer_cache_drop(coffer_cache *cache, coffer_op *op) {
    family_enter(cache->family);
    coffer__run_drop(op);
}

coffer_status coffer__cache_finish(coffer_cache *cache, coffer_status made, coffer_op *op, coffer_error *error) {
    if (made != COFFER_OK) {
        return coffer__error_set(error, made, "%s", coffer_status_text(made));
    }
    while (coffer_cache_run(cache, op, UINT64_MAX) == COFFER_WANT_REPLY) {
    }
    coffer_status status = coffer_op_status(op);
    return status >= 0 ? status : coffer__error_set(error, status, "%s", coffer_op_message(op));
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

void coffer__cache_take_value(coffer_op *op, coffer_value *value) {
    coffer_status status = op == NULL ? COFFER_NO_MEMORY : coffer_op_status(op);
    bool read = value != NULL && (status == COFFER_OK || status == COFFER_STALE);
    if (value != NULL) {
        *value = op == NULL ? (coffer_value){.owner = NULL} : *coffer_op_value(op);
        value->owner = read ? op : NULL;
    }
    if (!read) {
        if (value != NULL) {
            value->data = coffer_slice_of(NULL, 0);
        }
        coffer__run_drop(op);
    }
}

void coffer_value_clear(coffer_value *value) {
    if (value != NULL) {
        if (!coffer__near_give_back(value->owner)) {
            coffer__run_drop((coffer_op *)value->owner);
        }
        memset(value, 0, sizeof *value);
    }
}

void coffer_values_clear(coffer_value *values, size_t count) {
    for (size_t i = 0; values != NULL && i < count; i++) {
        coffer_value_clear(&values[i]);
    }
}

/* ---- figures ------------------------------------------------------------------------------------------------------ */

coffer_status coffer_stats(coffer_cache *cache, coffer_metrics *metrics) {
    coffer_status status = coffer_metrics_read(coffer__cache_enter(cache), metrics);
    if (status == COFFER_OK && metrics->struct_size >= sizeof *metrics && cache->family->pools != NULL) {
        coffer__pools_read(cache->family->pools, metrics);
    }
    return status;
}
