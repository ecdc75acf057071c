/* What of coffer's public headers is wrapped for other languages: flat functions, no classes. How each type looks there is told by the
 * language's own file (bindings/python/coffer_python.i), which includes this one. WRAPPED.md says what is left out, and why.
 *
 * Prototypes are repeated here, not included: a header says more than a binding wants, and the compiler compares them with the headers.
 */
%{
#include <coffer/coffer.h>
%}

/* ---- coffer.h, status.h ---- */

const char *coffer_version(void);

enum {
    COFFER_OK = 0,
    COFFER_MISS = 1,
    COFFER_STALE = 2,
    COFFER_NOT_STORED = 3
};
const char *coffer_status_name(coffer_status status);
const char *coffer_status_text(coffer_status status);
const char *coffer_status_exception(coffer_status status);
bool coffer_status_is_outage(coffer_status status);

/* ---- value.h ---- */

enum {
    COFFER_FORMAT_BYTES = 0,
    COFFER_FORMAT_TEXT = 1,
    COFFER_FORMAT_JSON = 2
};

/* ---- options.h ---- */

coffer_options *coffer_options_new(void);
coffer_options *coffer_options_copy(const coffer_options *options);
coffer_status coffer_options_set(coffer_options *options, const char *name, coffer_slice value, coffer_error *error);
coffer_status coffer_options_set_url(coffer_options *options, coffer_slice url, coffer_error *error);
coffer_status coffer_options_from_environment(coffer_options *options, coffer_lookup_fn lookup, void *user_data, coffer_error *error);
size_t coffer_options_get(const coffer_options *options, const char *name, char *out, size_t cap);
coffer_status coffer_ttl_parse(coffer_slice text, uint64_t *ttl_ms, coffer_error *error);
coffer_status coffer_ttl_from_seconds(double seconds, uint64_t *ttl_ms, coffer_error *error);

/* ---- cache.h ---- */

coffer_status coffer_open(coffer_cache **cache, const coffer_options *options, coffer_error *error);
coffer_status coffer_open_namespace(coffer_cache **child, coffer_cache *parent, const coffer_options *options, coffer_error *error);
const coffer_options *coffer_cache_options(const coffer_cache *cache);

/* ---- health.h ---- */

enum {
    COFFER_SCOPE_ALL = 0,
    COFFER_SCOPE_NAMESPACE = 1
};
coffer_status coffer_turn(coffer_cache *cache, coffer_scope scope, bool is_on);
coffer_status coffer_turn_operation(coffer_cache *cache, coffer_operation operation, bool is_on);
coffer_status coffer_turn_share(coffer_cache *cache, uint32_t percent);
coffer_operation coffer_operation_of(const char *name);

/* ---- hooks.h: the clock, which a test moves by telling a number ---- */

%{
static _Atomic uint64_t held_us;
static _Atomic bool is_held;

static uint64_t held(void) {
    return held_us;
}

static void clock_set(uint64_t clock_us) {
    held_us = clock_us;
    if (!is_held) {
        is_held = true;
        coffer_set_clock(held);
    }
}

static void clock_free(void) {
    is_held = false;
    coffer_set_clock(NULL);
}

static bool clock_is_held(void) {
    return is_held;
}
%}
uint64_t coffer_now_us(void);
void clock_set(uint64_t clock_us); /* not before coffer_now_us */
void clock_free(void);
bool clock_is_held(void);

/* ---- driver.h: ops; those of get, set, delete, the batches and loads are written by hand in each language ---- */

%apply coffer_slice value_lent { coffer_slice value };
coffer_status coffer_op_add(coffer_op **op, coffer_namespace *ns, coffer_slice key, coffer_slice value, const coffer_write_options *options);
coffer_status coffer_op_replace(coffer_op **op, coffer_namespace *ns, coffer_slice key, coffer_slice value, const coffer_write_options *options);
coffer_status coffer_op_compare_and_set(coffer_op **op, coffer_namespace *ns, coffer_slice key, uint64_t entry_id, coffer_slice value,
                                        const coffer_write_options *options);
%clear coffer_slice value;
coffer_status coffer_op_exists(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
coffer_status coffer_op_ttl(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
coffer_status coffer_op_expire(coffer_op **op, coffer_namespace *ns, coffer_slice key, uint64_t ttl_ms, const coffer_read_options *options);
coffer_status coffer_op_touch(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
coffer_status coffer_op_increment(coffer_op **op, coffer_namespace *ns, coffer_slice key, int64_t delta, const coffer_write_options *options);
coffer_status coffer_op_counter(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
coffer_status coffer_op_reset_counter(coffer_op **op, coffer_namespace *ns, coffer_slice key, const coffer_read_options *options);
coffer_status coffer_op_clear(coffer_op **op, coffer_namespace *ns, const coffer_read_options *options);
coffer_status coffer_op_ping(coffer_op **op, coffer_namespace *ns, const coffer_read_options *options);
int64_t coffer_op_integer(const coffer_op *op);
