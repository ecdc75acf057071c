/* The cache, for applications: the first level of skill.
 *
 *     coffer_cache *cache;
 *     coffer_error error;
 *     if (coffer_open_url(&cache, "redis://localhost/0?prefix=prod&namespace=users", &error) != COFFER_OK) die(error.text);
 *     coffer_set(cache, COFFER_SLICE("42"), COFFER_SLICE("Ada"), NULL, &error);
 *     coffer_value value;
 *     if (coffer_get(cache, COFFER_SLICE("42"), NULL, &value, &error) == COFFER_OK) {
 *         use(value.data);
 *         coffer_value_clear(&value);
 *     }
 *     coffer_close(cache);
 *
 * Each function blocks until it is done, at most until its deadline (option `timeout`, or timeout_ms of the call) and 50 ms.
 * Every function may be called from any thread. `error` may be NULL; it is written where the status is below 0 only.
 * Options may be NULL. What each answers and which errors there are is told in driver.h, at the op of the same name; besides these:
 * TIMEOUT, POOL_TIMEOUT, CONNECT, DNS, IO, CLOSED, NOT_SENT, MAYBE_APPLIED, BREAKER_OPEN (with on_outage=error; else a read is a MISS whose value's source is
 * OUTAGE, a write NOT_STORED: docs/outage.md), the server's words (SERVER ... NOREPLICAS), TLS, CERTIFICATE, CREDENTIALS, PROTO, LIMIT, NO_MEMORY.
 */
#ifndef COFFER_CACHE_H
#define COFFER_CACHE_H

#include <coffer/driver.h>
#include <coffer/metrics.h>
#include <coffer/options.h>
#include <coffer/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a cache; no connection is made before the first operation (coffer_ping tells whether there is a server). The options are copied. Close with coffer_close. */
COFFER_API coffer_status coffer_open(coffer_cache **cache, const coffer_options *options, coffer_error *error);
COFFER_API coffer_status coffer_open_url(coffer_cache **cache, const char *url, coffer_error *error);

/* Another namespace of the same client: shares pool, store and keys. `options` is a full set (begin with a copy of coffer_cache_options);
 * only its namespace options count. Close it too, in any order. */
COFFER_API coffer_status coffer_open_namespace(coffer_cache **child, coffer_cache *parent, const coffer_options *options, coffer_error *error);

/* Takes NULL. Not while another thread is inside a call on the same handle. */
COFFER_API void coffer_close(coffer_cache *cache);

/* A function that says whom to log in as, asked anew at each connection, for passwords that change: it goes before the options `username`, `password` and
 * `password_file`. Set it right after the cache was opened, before anything else; it counts for all namespaces of the same client.
 *
 * It calls coffer_credentials_set and returns OK; what it gives is copied, and wiped when the connection has logged in. Where it returns another status
 * or gives nothing the call that needed the connection fails (CREDENTIALS). It is called by the thread whose call needs a connection, with nothing locked,
 * by several at once; its time counts for the call's deadline. It may not use this cache. */
typedef struct coffer_credentials coffer_credentials;
typedef coffer_status (*coffer_credentials_fn)(void *user_data, coffer_credentials *credentials);
COFFER_API void coffer_set_credentials(coffer_cache *cache, coffer_credentials_fn function, void *user_data);

/* An empty user name is the server's user "default". CREDENTIALS where the name has more than 512 bytes or the password more than 64 KiB; NO_MEMORY. */
COFFER_API coffer_status coffer_credentials_set(coffer_credentials *credentials, coffer_slice username, coffer_slice password);

COFFER_API const coffer_options *coffer_cache_options(const coffer_cache *cache); /* lent until it is closed */

COFFER_API coffer_status coffer_get(coffer_cache *cache, coffer_slice key, const coffer_read_options *options, coffer_value *value,
                                    coffer_error *error);
COFFER_API void coffer_value_clear(coffer_value *value); /* frees what a read lent; harmless on a cleared or zeroed value */

COFFER_API coffer_status coffer_set(coffer_cache *cache, coffer_slice key, coffer_slice value, const coffer_write_options *options,
                                    coffer_error *error);
COFFER_API coffer_status coffer_add(coffer_cache *cache, coffer_slice key, coffer_slice value, const coffer_write_options *options,
                                    coffer_error *error);
COFFER_API coffer_status coffer_replace(coffer_cache *cache, coffer_slice key, coffer_slice value, const coffer_write_options *options,
                                        coffer_error *error);
COFFER_API coffer_status coffer_compare_and_set(coffer_cache *cache, coffer_slice key, uint64_t entry_id, coffer_slice value,
                                                const coffer_write_options *options, coffer_error *error);
COFFER_API coffer_status coffer_delete(coffer_cache *cache, coffer_slice key, coffer_error *error);
COFFER_API coffer_status coffer_exists(coffer_cache *cache, coffer_slice key, coffer_error *error);
COFFER_API coffer_status coffer_ttl(coffer_cache *cache, coffer_slice key, int64_t *ttl_ms, coffer_error *error);
COFFER_API coffer_status coffer_expire(coffer_cache *cache, coffer_slice key, uint64_t ttl_ms, coffer_error *error);
COFFER_API coffer_status coffer_touch(coffer_cache *cache, coffer_slice key, coffer_error *error);

COFFER_API coffer_status coffer_increment(coffer_cache *cache, coffer_slice key, int64_t delta, const coffer_write_options *options, int64_t *count,
                                          coffer_error *error);
COFFER_API coffer_status coffer_counter(coffer_cache *cache, coffer_slice key, int64_t *count, coffer_error *error);
COFFER_API coffer_status coffer_reset_counter(coffer_cache *cache, coffer_slice key, coffer_error *error);

/* values[i] belongs to keys[i]; statuses[i] is OK, STALE, MISS or that entry's error, which is also the whole's: the other values have come all the same.
 * Clear all values with coffer_values_clear, which frees what they share. */
COFFER_API coffer_status coffer_get_many(coffer_cache *cache, const coffer_slice *keys, size_t count, const coffer_read_options *options,
                                         coffer_value *values, coffer_status *statuses, coffer_error *error);
COFFER_API void coffer_values_clear(coffer_value *values, size_t count);

/* Many writes. OK when all are done; else the first failure, which `error` is about, and statuses[i] (an array of `count`, or NULL) says what became of
 * items[i] or keys[i]: OK, its own error, NOT_SENT where it was not tried any more. In a cluster each node's keys are written whatever became of the others';
 * one server is given 512 at a time and no more once it is away. */
COFFER_API coffer_status coffer_set_many(coffer_cache *cache, const coffer_item *items, size_t count, const coffer_write_options *options,
                                         coffer_status *statuses, coffer_error *error);
COFFER_API coffer_status coffer_delete_many(coffer_cache *cache, const coffer_slice *keys, size_t count, size_t *deleted_count,
                                            coffer_status *statuses, coffer_error *error);

/* Deletes every key of this namespace. How many were deleted (may be NULL). What it promises, how long it may take and what an error means: driver.h. */
COFFER_API coffer_status coffer_clear(coffer_cache *cache, const coffer_read_options *options, uint64_t *deleted_count, coffer_error *error);

/* Cache-aside in one call: the value, or what the loader gives, stored for the next. However many threads ask for a key at once, one loader runs.
 *
 * The loader calls coffer_loaded (at most once) with a value that is copied, or coffer_loaded_absent, and returns OK; or it returns another status,
 * which makes LOAD_FAILED of the whole unless a stale value may be served. A loader that returns OK without either has loaded an absence.
 * It may use the cache, but not load the same key (LOAD_RECURSIVE). */
typedef struct coffer_load coffer_load;
typedef coffer_status (*coffer_loader_fn)(coffer_load *load, coffer_slice key, void *user_data);
COFFER_API coffer_status coffer_loaded(coffer_load *load, coffer_slice value, const coffer_write_options *options);
COFFER_API coffer_status coffer_loaded_absent(coffer_load *load);
COFFER_API coffer_status coffer_get_or_load(coffer_cache *cache, coffer_slice key, coffer_loader_fn loader, void *user_data,
                                            const coffer_read_options *options, coffer_value *value, coffer_error *error);

COFFER_API coffer_status coffer_ping(coffer_cache *cache, coffer_error *error);
COFFER_API coffer_status coffer_stats(coffer_cache *cache, coffer_metrics *metrics);

/* ---- for bindings: any op on the blocking driver ---------------------------------------------------------------
 *
 *     coffer_op_get(&op, coffer_cache_namespace(cache), key, NULL);
 *     while ((want = coffer_cache_run(cache, op, 100)) == COFFER_WANT_REPLY) check_signals();
 *     ... DONE: coffer_op_status(op) and so on; LOAD: run the loader, supply, run again ...
 *     coffer_cache_drop(cache, op);
 */
COFFER_API coffer_namespace *coffer_cache_namespace(const coffer_cache *cache); /* lent until it is closed */

/* Runs the op until it is DONE or wants something of the caller (LOAD), or until about slice_ms have passed (COFFER_WANT_REPLY: run it again).
 * The op must be of this cache's client. */
COFFER_API coffer_want coffer_cache_run(coffer_cache *cache, coffer_op *op, uint64_t slice_ms);

/* The same for bindings, which call a function of their language themselves: asked for once, and then after each COFFER_WANT_REPLY
 *
 *     if (coffer_credentials_wanted(cache)) coffer_give_credentials(cache, username, password);
 *
 * before the op is run again. What is given serves one connection; what is not used within a second is forgotten. */
COFFER_API void coffer_ask_for_credentials(coffer_cache *cache);
COFFER_API bool coffer_credentials_wanted(const coffer_cache *cache);
COFFER_API coffer_status coffer_give_credentials(coffer_cache *cache, coffer_slice username, coffer_slice password); /* as coffer_credentials_set */
COFFER_API void coffer_refuse_credentials(coffer_cache *cache); /* there are none: one connection fails with CREDENTIALS */

/* Frees an op in any state and gives back, or closes, the connections that it held. Always this for an op that was run here. Takes a NULL op. */
COFFER_API void coffer_cache_drop(coffer_cache *cache, coffer_op *op);

#ifdef __cplusplus
}
#endif
#endif
