#include "client.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "flight.h"
#include "nearby.h"
#include "policy/key.h"

#include <stdio.h>

struct coffer__observed {
    coffer__observed *next;
    coffer__observer *observer;
    coffer__switches switches;
    size_t name_len;
    char name[];
};

static bool name_has_blank(const char *name) {
    for (; *name != '\0'; name++) {
        if (*name <= ' ' || *name > '~') {
            return true;
        }
    }
    return false;
}

/* An option of TLS that was set where the connection would go over the network without it: somebody means to be safe and is not. NULL: none. */
static const char *name_plain_tls(const coffer_options *options) {
    const struct {
        const char *name, *value;
    } of_tls[] = {{"tls_ca_file", options->tls_ca_file},
                  {"tls_ca_dir", options->tls_ca_dir},
                  {"tls_cert_file", options->tls_cert_file},
                  {"tls_key_file", options->tls_key_file},
                  {"tls_server_name", options->tls_server_name}};
    for (size_t i = 0; !coffer__options_use_tls(options) && !options->local && options->path[0] == '\0' && i < sizeof of_tls / sizeof of_tls[0];
         i++) {
        if (of_tls[i].value[0] != '\0') {
            return of_tls[i].name;
        }
    }
    return NULL;
}

static coffer_status check_options(const coffer_options *options, coffer_error *error) {
    if (name_plain_tls(options) != NULL) {
        return coffer__error_set(error, COFFER_OPTION, "the option '%s' asks for TLS, but the URL says redis://: write rediss://",
                                 name_plain_tls(options));
    }
    if (options->cluster_nodes[0] != '\0' && options->db != 0) {
        return coffer__error_set(error, COFFER_OPTION, "the option 'db' must be 0: a cluster has no other database");
    }
    if (options->sentinel_nodes[0] != '\0' && options->sentinel_master[0] == '\0') {
        return coffer__error_set(error, COFFER_OPTION, "the option 'sentinel_master' is missing: which master do the sentinels watch for us?");
    }
    if (name_has_blank(options->client_name)) {
        return coffer__error_set(error, COFFER_OPTION,
                                 "the option 'client_name' cannot hold blanks or anything but printable ASCII: the server refuses such names");
    }
    if (options->password[0] != '\0' && options->password_file[0] != '\0') {
        return coffer__error_set(error, COFFER_OPTION, "the options 'password' and 'password_file' are both set: which one is meant?");
    }
    if (!options->local && options->read_from != COFFER_READ_PRIMARY && options->cluster_nodes[0] == '\0' && options->sentinel_nodes[0] == '\0') {
        return coffer__error_set(error, COFFER_OPTION,
                                 "the option 'read_from' cannot be other than 'primary' for a single server: replicas are learnt from a cluster "
                                 "(redis+cluster://) or from sentinels (redis+sentinel://)");
    }
    if (!options->local && options->availability_zone[0] != '\0' && options->read_from == COFFER_READ_PRIMARY) {
        return coffer__error_set(
            error, COFFER_OPTION,
            "the option 'availability_zone' means nothing while 'read_from' is 'primary': it says which of several servers is read from");
    }
    if (options->pool_min_count > options->pool_max_count) {
        return coffer__error_set(error, COFFER_OPTION, "the option 'pool_min' (%llu) cannot be larger than 'pool_max' (%llu)",
                                 (unsigned long long)options->pool_min_count, (unsigned long long)options->pool_max_count);
    }
    return COFFER_OK;
}

static coffer_status fill_keyring(coffer_client *client, coffer_error *error) {
    if (client->options->seal_key[0] == '\0') {
        return COFFER_OK;
    }
    coffer_status status = coffer__keyring_new(&client->keyring);
    if (status != COFFER_OK) {
        return coffer__error_set(error, status, "the keyring: %s", coffer_status_text(status));
    }
    coffer_error why = {COFFER_OK, ""};
    status = coffer__keyring_add(client->keyring, coffer_slice_text(client->options->seal_key), (uint32_t)client->options->seal_key_id_count,
                                 COFFER__KEY_PRIMARY, &why);
    return status < 0 ? coffer__error_set(error, status, "the option 'seal_key': %s", why.text) : status;
}

static coffer_status fill_client(coffer_client *client, coffer_error *error) {
    coffer_status status = fill_keyring(client, error);
    if (status != COFFER_OK) {
        return status;
    }
    client->lock = coffer__lock_new();
    status = client->lock == NULL ? COFFER_NO_MEMORY : coffer__flights_new(&client->flights);
    if (status == COFFER_OK) {
        status = coffer__watch_new(&client->watch, client->options);
    }
    if (status == COFFER_OK) {
        status = coffer__owed_new(&client->owed, (size_t)client->options->outage_memory_bytes);
    }
    if (status == COFFER_OK && !client->options->local) {
        status = coffer__topology_new(&client->topology, client->options);
    }
    if (status != COFFER_OK) {
        return coffer__error_set(error, status, "the cache cannot be opened: %s", coffer_status_text(status));
    }
    return coffer__nearby_open(client, error);
}

coffer_status coffer_client_new(coffer_client **client, const coffer_options *options, coffer_clock clock, coffer_error *error) {
    *client = NULL;
    coffer_status status = check_options(options, error);
    if (status != COFFER_OK) {
        return status;
    }
    coffer_client *made = (coffer_client *)coffer__alloc_zero(sizeof *made);
    if (made == NULL || (made->options = coffer_options_copy(options)) == NULL) {
        coffer__release(made);
        return coffer__error_set(error, COFFER_NO_MEMORY, "the cache cannot be opened: %s", coffer_status_text(COFFER_NO_MEMORY));
    }
    atomic_init(&made->refs, 1);
    made->reads_elsewhere = !options->local && options->read_from != COFFER_READ_PRIMARY;
    atomic_init(&made->unix_offset_ms, (int64_t)clock.unix_ms - (int64_t)clock.now_ms);
    status = fill_client(made, error);
    if (status != COFFER_OK) {
        coffer_client_free(made);
        return status;
    }
    *client = made;
    return COFFER_OK;
}

void coffer_client_ref(coffer_client *client) {
    atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
}

static void free_observed(coffer__observed *row) {
    while (row != NULL) {
        coffer__observed *next = row->next;
        coffer__observer_free(row->observer);
        coffer__release(row);
        row = next;
    }
}

static void tell_owed(const coffer_client *client) {
    size_t count = client->owed == NULL ? 0 : coffer__owed_count(client->owed);
    if (count > 0) {
        coffer__log(COFFER_LOG_OWED_FORGOTTEN, COFFER_OK, "keys: %zu", count);
    }
}

void coffer_client_free(coffer_client *client) {
    if (client == NULL || atomic_fetch_sub_explicit(&client->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    coffer__client_free_spare_ops(client);
    tell_owed(client);
    coffer__attachment *attachment = coffer__client_attachment(client);
    if (attachment != NULL) {
        attachment->release(attachment);
    }
    free_observed(client->observed);
    coffer__flights_free(client->flights);
    coffer__watch_free(client->watch);
    coffer__owed_free(client->owed);
    coffer__near_free(client->store);
    coffer__near_free(client->copies);
    coffer__topology_free(client->topology);
    coffer__keyring_free(client->keyring);
    coffer__lock_free(client->lock);
    coffer_options_free(client->options);
    coffer__release(client);
}

void coffer_client_set_wake(coffer_client *client, void (*wake)(void *waiter_data)) {
    client->wake = wake;
}

void coffer_client_set_driver(coffer_client *client, void *driver) {
    client->driver = driver;
}

void *coffer_client_driver(const coffer_client *client) {
    return client->driver;
}

coffer__attachment *coffer__client_attachment(const coffer_client *client) {
    return atomic_load_explicit(&client->attachment, memory_order_acquire);
}

coffer__attachment *coffer__client_attach(coffer_client *client, coffer__attachment *attachment) {
    coffer__attachment *first = NULL;
    return atomic_compare_exchange_strong(&client->attachment, &first, attachment) ? attachment : first;
}

const coffer_options *coffer_client_options(const coffer_client *client) {
    return client->options;
}

bool coffer_client_is_local(const coffer_client *client) {
    return client->store != NULL;
}

void coffer_client_after_fork(coffer_client *client) {
    coffer__lock_reset(client->lock);
    coffer__flights_after_fork(client->flights);
    if (client->topology != NULL) {
        coffer__topology_after_fork(client->topology);
    }
    coffer__watch_after_fork(client->watch);
    coffer__owed_after_fork(client->owed);
    if (client->store != NULL) {
        coffer__near_after_fork(client->store);
    }
    if (client->copies != NULL) {
        coffer__near_after_fork(client->copies);
    }
    coffer__attachment *attachment = coffer__client_attachment(client);
    if (attachment != NULL) {
        attachment->after_fork(attachment);
    }
}

void coffer__client_learn_time(coffer_client *client, uint64_t at_ms, uint64_t unix_ms) {
    atomic_store_explicit(&client->unix_offset_ms, (int64_t)unix_ms - (int64_t)at_ms, memory_order_relaxed);
}

/* ---- namespaces --------------------------------------------------------------------------------------------- */

static coffer__observed *new_observed(coffer_slice name) {
    coffer__observed *row = (coffer__observed *)coffer__alloc_zero(sizeof *row + name.len);
    if (row != NULL && coffer__observer_new(&row->observer) != COFFER_OK) {
        coffer__release(row);
        return NULL;
    }
    if (row != NULL) {
        memcpy(row->name, name.data, name.len);
        row->name_len = name.len;
    }
    return row;
}

/* Two handles of one namespace count together. */
static coffer__observed *observed_of(coffer_client *client, coffer_slice name) {
    coffer__lock_take(client->lock);
    coffer__observed *row = client->observed;
    while (row != NULL && !coffer_slice_equal(name, coffer_slice_of(row->name, row->name_len))) {
        row = row->next;
    }
    if (row == NULL && (row = new_observed(name)) != NULL) {
        row->next = client->observed;
        client->observed = row;
    }
    coffer__lock_drop(client->lock);
    return row;
}

static coffer_status fill_namespace(coffer_namespace *ns, coffer_error *error) {
    const coffer_options *options = ns->options;
    coffer_slice name = coffer_slice_text(options->name);
    if (options->raw && ns->client->keyring != NULL) {
        return coffer__error_set(error, COFFER_OPTION,
                                 "the option 'raw' cannot be true where 'seal_key' is set: raw values have no envelope to seal");
    }
    coffer_status status = coffer__nearby_join(ns, error);
    if (status != COFFER_OK) {
        return status;
    }
    if (!coffer__key_base(&ns->key_base, coffer_slice_text(ns->client->options->prefix), name, options->version_count)) {
        return COFFER_NO_MEMORY;
    }
    coffer__observed *observed = observed_of(ns->client, coffer__buf_slice(&ns->key_base));
    if (observed == NULL) {
        return COFFER_NO_MEMORY;
    }
    ns->observer = observed->observer;
    ns->switches = &observed->switches;
    if (options->version_count != 0) {
        snprintf(ns->version_text, sizeof ns->version_text, "%llu", (unsigned long long)options->version_count);
    }
    ns->codec.max_value_bytes = (size_t)options->max_value_bytes;
    ns->codec.compress = options->compress;
    ns->codec.compress_level = (int)options->compress_level_count;
    ns->codec.compress_threshold_bytes = (size_t)options->compress_threshold_bytes;
    ns->codec.pad = options->seal_pad;
    return ns->client->keyring == NULL ? COFFER_OK : coffer__sealer_new(&ns->codec.sealer, ns->client->keyring, name, error);
}

coffer_status coffer_namespace_new(coffer_namespace **ns, coffer_client *client, const coffer_options *options, coffer_error *error) {
    *ns = NULL;
    coffer_namespace *made = (coffer_namespace *)coffer__alloc_zero(sizeof *made);
    if (made != NULL) {
        made->options = coffer_options_copy(options == NULL ? client->options : options);
    }
    if (made == NULL || made->options == NULL) {
        coffer__release(made);
        return coffer__error_set(error, COFFER_NO_MEMORY, "the namespace cannot be opened: %s", coffer_status_text(COFFER_NO_MEMORY));
    }
    atomic_init(&made->refs, 1);
    made->client = client;
    made->reads_elsewhere = client->reads_elsewhere;
    coffer_client_ref(client);
    coffer_status status = fill_namespace(made, error);
    if (status != COFFER_OK) {
        if (status == COFFER_NO_MEMORY) {
            coffer__error_set(error, status, "the namespace cannot be opened: %s", coffer_status_text(status));
        }
        coffer_namespace_free(made);
        return status;
    }
    *ns = made;
    return COFFER_OK;
}

void coffer_namespace_ref(coffer_namespace *ns) {
    atomic_fetch_add_explicit(&ns->refs, 1, memory_order_relaxed);
}

void coffer_namespace_free(coffer_namespace *ns) {
    if (ns == NULL || atomic_fetch_sub_explicit(&ns->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    coffer__sealer_free(ns->codec.sealer);
    coffer__buf_free(&ns->key_base);
    coffer_options_free(ns->options);
    coffer_client_free(ns->client);
    coffer__release(ns);
}

coffer_client *coffer_namespace_client(const coffer_namespace *ns) {
    return ns->client;
}

const coffer_options *coffer_namespace_options(const coffer_namespace *ns) {
    return ns->options;
}

coffer__binding coffer__namespace_binding(const coffer_namespace *ns, coffer_slice key) {
    coffer__binding binding = {
        .purpose = COFFER_SLICE("value"),
        .prefix = coffer_slice_text(ns->client->options->prefix),
        .name = coffer_slice_text(ns->options->name),
        .version = coffer_slice_text(ns->version_text),
        .key = key,
    };
    return binding;
}
