#include "options_table.h"

#include "key.h"
#include "nodes.h"
#include "parse.h"
#include "ttl.h"

#include "base/alloc.h"
#include "base/error.h"

#include <stdio.h>

static const coffer__option_row rows[] = {
#define ROW(name, kind, field, default_text, environment, per_namespace, help)                                                                       \
    {#name, COFFER__KIND_##kind, offsetof(coffer_options, field), default_text, environment, help, (per_namespace) != 0},
    COFFER_OPTION_MAP(ROW)
#undef ROW
};

/* What a row takes beyond its kind. */
typedef struct option_limit {
    uint64_t minimum, maximum; /* of the number, or of the text's length in bytes */
    const char *allowed; /* "it must be ..."; NULL: the words of the CHOICE */
    bool (*is_fit)(coffer_slice text); /* NULL: any text without control characters */
    bool (*settle)(coffer_options *options); /* after it was set: what goes with it; false: not allowed in this state */
} option_limit;

static bool is_printable(char byte) {
    return (uint8_t)byte > 0x20 && (uint8_t)byte < 0x7F;
}

/* A name, an IPv4 or an IPv6 address. One single colon is a "host:port" that was meant otherwise. */
static bool is_host(coffer_slice text) {
    size_t colons = 0;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if (!is_printable(byte) || strchr("/@?#[]\\\"'<>", byte) != NULL) {
            return false;
        }
        colons += byte == ':';
    }
    return colons != 1;
}

static bool is_path(coffer_slice text) {
    return text.len == 0 || (text.len > 1 && text.data[0] == '/');
}

static bool is_client_name(coffer_slice text) { /* what CLIENT SETNAME takes */
    for (size_t i = 0; i < text.len; i++) {
        if (!is_printable(text.data[i])) {
            return false;
        }
    }
    return true;
}

static bool is_nodes(coffer_slice text) {
    return text.len == 0 || coffer__nodes_are_fit(text);
}

/* Host, path, nodes and sentinels are four ways to say where the cache is: the last one set wins, and each ends mem://. */
static bool settle_server(coffer_options *options, char *set) {
    char *ways[] = {options->host, options->path, options->cluster_nodes, options->sentinel_nodes};
    bool any = options->local;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (set[0] != '\0' && ways[i] != NULL && ways[i] != set) {
            ways[i][0] = '\0';
        }
        any = any || (ways[i] != NULL && ways[i][0] != '\0');
    }
    options->local = options->local && set[0] == '\0';
    return any;
}

static bool settle_host(coffer_options *options) {
    return settle_server(options, options->host);
}

static bool settle_path(coffer_options *options) {
    return settle_server(options, options->path);
}

static bool settle_nodes(coffer_options *options) {
    return settle_server(options, options->cluster_nodes);
}

static bool settle_sentinels(coffer_options *options) {
    return settle_server(options, options->sentinel_nodes);
}

/* What Sentinel takes for a master's name, and what users, groups and shared memory are called. */
static bool is_plain_name(coffer_slice text) {
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if (strchr("._-", byte) == NULL && !((byte | 32) >= 'a' && (byte | 32) <= 'z') && !(byte >= '0' && byte <= '9')) {
            return false;
        }
    }
    return true;
}

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define HOUR_MS UINT64_C(3600000)
#define TIME_ALLOWED "such as '250ms', '30s', '1h30m' or a number of seconds"
#define DEADLINE_ALLOWED "from 1ms to 24h, " TIME_ALLOWED
#define PATH_BYTES 4095
#define FILE_ALLOWED "the path of a file, of at most 4095 bytes without control characters"
#define NAME_ALLOWED "1 to 64 of A-Z a-z 0-9 '.' '_' '-', or '_' for none"
#define BOOL_ALLOWED "true, false, yes, no, on, off, 1 or 0"

/* clang-format off */
static const option_limit limits[COFFER__OPTION_ROWS] = {
    [COFFER__AT_url] = {1, 8192, "a URL", NULL, NULL},
    [COFFER__AT_host] = {0, 253, "a host name or an address, without port or brackets", is_host, settle_host},
    [COFFER__AT_port] = {1, 65535, "a number from 1 to 65535", NULL, NULL},
    [COFFER__AT_path] = {0, 107, "an absolute path of at most 107 bytes", is_path, settle_path},
    [COFFER__AT_cluster_nodes] = {0, 8192, "1 to 64 of host:port, host or [address]:port, with ',' between them", is_nodes, settle_nodes},
    [COFFER__AT_sentinel_nodes] = {0, 8192, "1 to 64 of host:port, host or [address]:port, with ',' between them", is_nodes, settle_sentinels},
    [COFFER__AT_sentinel_master] = {0, 128, "at most 128 of A-Z a-z 0-9 '.' '_' '-'", is_plain_name, NULL},
    [COFFER__AT_sentinel_username] = {0, 512, "at most 512 bytes without control characters", NULL, NULL},
    [COFFER__AT_sentinel_password] = {0, 64 * KIB, "at most 64KiB without control characters", NULL, NULL},
    [COFFER__AT_sentinel_tls] = {0, INT32_MAX, NULL, NULL, NULL},
    [COFFER__AT_username] = {0, 512, "at most 512 bytes without control characters", NULL, NULL},
    [COFFER__AT_password] = {0, 64 * KIB, "at most 64KiB without control characters", NULL, NULL},
    [COFFER__AT_password_file] = {0, PATH_BYTES, FILE_ALLOWED, NULL, NULL},
    [COFFER__AT_db] = {0, 65535, "a number from 0 to 65535", NULL, NULL},
    [COFFER__AT_client_name] = {0, 128, "at most 128 printable ASCII characters without blanks", is_client_name, NULL},
    [COFFER__AT_tls_ca_file] = {0, PATH_BYTES, FILE_ALLOWED, NULL, NULL},
    [COFFER__AT_tls_ca_dir] = {0, PATH_BYTES, FILE_ALLOWED, NULL, NULL},
    [COFFER__AT_tls_cert_file] = {0, PATH_BYTES, FILE_ALLOWED, NULL, NULL},
    [COFFER__AT_tls_key_file] = {0, PATH_BYTES, FILE_ALLOWED, NULL, NULL},
    [COFFER__AT_tls_key_password] = {0, 1024, "at most 1024 bytes without control characters", NULL, NULL},
    [COFFER__AT_tls_server_name] = {0, 253, "a host name or an address, without port or brackets", is_host, NULL},
    [COFFER__AT_tls_min_version] = {0, 1, NULL, NULL, NULL},
    [COFFER__AT_tls_insecure_skip_verify] = {0, 1, BOOL_ALLOWED, NULL, NULL},
    [COFFER__AT_read_from] = {0, INT32_MAX, NULL, NULL, NULL},
    [COFFER__AT_availability_zone] = {0, COFFER__ZONE_BYTES_MAX, "at most 63 printable ASCII characters without blanks", is_client_name, NULL},
    [COFFER__AT_timeout] = {1, 24 * HOUR_MS, DEADLINE_ALLOWED, NULL, NULL},
    [COFFER__AT_acquire_timeout] = {1, 24 * HOUR_MS, DEADLINE_ALLOWED, NULL, NULL},
    [COFFER__AT_pool_min] = {0, 4096, "a number from 0 to 4096", NULL, NULL},
    [COFFER__AT_pool_max] = {1, 4096, "a number from 1 to 4096", NULL, NULL},
    [COFFER__AT_pipeline_depth] = {1, 4096, "a number from 1 to 4096", NULL, NULL},
    [COFFER__AT_loop_connections] = {1, 64, "a number from 1 to 64", NULL, NULL},
    [COFFER__AT_pool_idle_timeout] = {1, COFFER__TTL_MAX_MS, "at least 1ms, " TIME_ALLOWED, NULL, NULL},
    [COFFER__AT_keepalive] = {1000, 9 * HOUR_MS, "from 1s to 9h, " TIME_ALLOWED, NULL, NULL}, /* Linux: 32767 s at most */
    [COFFER__AT_breaker] = {0, 1, BOOL_ALLOWED, NULL, NULL},
    [COFFER__AT_breaker_failure_rate] = {1, 100, "a number from 1 to 100", NULL, NULL},
    [COFFER__AT_breaker_window] = {100, HOUR_MS, "from 100ms to 1h, " TIME_ALLOWED, NULL, NULL},
    [COFFER__AT_breaker_minimum_calls] = {1, 10000, "a number from 1 to 10000", NULL, NULL},
    [COFFER__AT_breaker_consecutive_failures] = {1, 10000, "a number from 1 to 10000", NULL, NULL},
    [COFFER__AT_outage_memory] = {0, GIB, "from 0 to 1GiB, such as '1MiB'", NULL, NULL},
    [COFFER__AT_memory] = {MIB, 1024 * GIB, "from 1MiB to 1024GiB, such as '64MiB'", NULL, NULL},
    [COFFER__AT_max_reply] = {MIB, 64 * GIB, "from 1MiB to 64GiB, such as '128MiB'", NULL, NULL},
    [COFFER__AT_prefix] = {1, 64, NAME_ALLOWED, coffer__name_ok, NULL},
    [COFFER__AT_namespace] = {1, 64, NAME_ALLOWED, coffer__name_ok, NULL},
    [COFFER__AT_version] = {0, INT32_MAX, "a number from 0 to 2147483647", NULL, NULL},
    [COFFER__AT_enabled] = {0, 1, BOOL_ALLOWED, NULL, NULL},
    [COFFER__AT_ttl] = {1, COFFER_TTL_FOREVER, "longer than 0 and at most 100 years, such as '30m', '1h', a class such as 'short', or 'forever'", NULL, NULL},
    [COFFER__AT_stale_ttl] = {0, COFFER__TTL_MAX_MS, "0 or longer, " TIME_ALLOWED, NULL, NULL},
    [COFFER__AT_negative_ttl] = {0, COFFER__TTL_MAX_MS, "0 or longer, " TIME_ALLOWED, NULL, NULL},
    [COFFER__AT_ttl_jitter] = {0, 100, "a number from 0 to 100", NULL, NULL},
    [COFFER__AT_max_value] = {1, 512 * MIB, "from 1 byte to 512MiB, such as '32MiB'", NULL, NULL},
    [COFFER__AT_key_rules] = {0, INT32_MAX, NULL, NULL, NULL},
    [COFFER__AT_compress] = {0, INT32_MAX, NULL, NULL, NULL},
    [COFFER__AT_compress_level] = {1, 19, "a number from 1 to 19", NULL, NULL},
    [COFFER__AT_compress_threshold] = {0, 512 * MIB, "from 0 to 512MiB, such as '1KiB'", NULL, NULL},
    [COFFER__AT_seal_key] = {0, 4096, "base64 of 32 random bytes (openssl rand -base64 32)", NULL, NULL},
    [COFFER__AT_seal_key_id] = {0, UINT32_MAX, "a number from 0 to 4294967295", NULL, NULL},
    [COFFER__AT_seal_pad] = {0, INT32_MAX, NULL, NULL, NULL},
    [COFFER__AT_near] = {0, INT32_MAX, NULL, NULL, NULL},
    [COFFER__AT_near_bytes] = {MIB, 1024 * GIB, "from 1MiB to 1024GiB, such as '64MiB'", NULL, NULL},
    [COFFER__AT_near_ttl] = {1, 24 * HOUR_MS, DEADLINE_ALLOWED, NULL, NULL},
    [COFFER__AT_near_name] = {0, 64, "at most 64 of A-Z a-z 0-9 '.' '_' '-'", is_plain_name, NULL},
    [COFFER__AT_near_owner] = {0, 64, "a name or a number of at most 64 of A-Z a-z 0-9 '.' '_' '-'", is_plain_name, NULL},
    [COFFER__AT_near_group] = {0, 64, "a name or a number of at most 64 of A-Z a-z 0-9 '.' '_' '-'", is_plain_name, NULL},
    [COFFER__AT_near_fd] = {0, INT32_MAX, "the number of a descriptor, or 0 for none", NULL, NULL},
    [COFFER__AT_on_outage] = {0, INT32_MAX, NULL, NULL, NULL},
    [COFFER__AT_raw] = {0, 1, BOOL_ALLOWED, NULL, NULL},
};
/* clang-format on */

typedef struct choice {
    size_t row;
    const char *word;
    uint64_t value;
} choice;

static const choice choices[] = {
#define CHOICE(option, word, constant, value) {COFFER__AT_##option, word, value},
    COFFER_CHOICE_MAP(CHOICE)
#undef CHOICE
};
enum { CHOICES = sizeof choices / sizeof choices[0] };

static size_t index_of(const coffer__option_row *row) {
    return (size_t)(row - rows);
}

static bool read_choice(size_t row, coffer_slice text, uint64_t *number) {
    for (size_t i = 0; i < CHOICES; i++) {
        if (choices[i].row == row && coffer__same_word(text, choices[i].word)) {
            *number = choices[i].value;
            return true;
        }
    }
    return false;
}

static size_t write_word(const char *word, char out[COFFER__NUMBER_CAP]) {
    return (size_t)snprintf(out, COFFER__NUMBER_CAP, "%s", word);
}

static size_t write_choice(size_t row, uint64_t number, char out[COFFER__NUMBER_CAP]) {
    for (size_t i = 0; i < CHOICES; i++) {
        if (choices[i].row == row && choices[i].value == number) {
            return write_word(choices[i].word, out);
        }
    }
    return write_word("", out);
}

static size_t write_bool(uint64_t number, char out[COFFER__NUMBER_CAP]) {
    return write_word(number != 0 ? "true" : "false", out);
}

static size_t write_ttl(uint64_t ttl_ms, char out[COFFER__NUMBER_CAP]) {
    return ttl_ms == COFFER_TTL_FOREVER ? write_word("forever", out) : coffer__write_time(ttl_ms, out);
}

/* How text becomes a number and back; the texts themselves have neither, and CHOICE needs its row. */
typedef struct kind_rules {
    const char *name;
    bool (*read)(coffer_slice text, uint64_t *number);
    size_t (*write)(uint64_t number, char out[COFFER__NUMBER_CAP]);
} kind_rules;

static const kind_rules kinds[] = {
    [COFFER__KIND_TEXT] = {"TEXT", NULL, NULL},
    [COFFER__KIND_SECRET] = {"SECRET", NULL, NULL},
    [COFFER__KIND_TIME] = {"TIME", coffer__read_time, coffer__write_time},
    [COFFER__KIND_TTL] = {"TTL", coffer__read_ttl, write_ttl},
    [COFFER__KIND_SIZE] = {"SIZE", coffer__read_size, coffer__write_size},
    [COFFER__KIND_COUNT] = {"COUNT", coffer__read_count, coffer__write_count},
    [COFFER__KIND_PERCENT] = {"PERCENT", coffer__read_count, coffer__write_count},
    [COFFER__KIND_BOOL] = {"BOOL", coffer__read_bool, write_bool},
    [COFFER__KIND_CHOICE] = {"CHOICE", NULL, NULL},
};

const coffer__option_row *coffer__option_row_at(size_t index) {
    return index < COFFER__OPTION_ROWS ? &rows[index] : NULL;
}

const coffer__option_row *coffer__option_find(coffer_slice name) {
    for (size_t i = 0; i < COFFER__OPTION_ROWS; i++) {
        if (coffer_slice_equal(name, coffer_slice_text(rows[i].name))) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *coffer__option_kind_name(coffer__option_kind kind) {
    return kinds[kind].name;
}

bool coffer__option_is_secret(const coffer__option_row *row) {
    return row->kind == COFFER__KIND_SECRET;
}

bool coffer__option_is_text(const coffer__option_row *row) {
    return row->kind == COFFER__KIND_TEXT || row->kind == COFFER__KIND_SECRET;
}

char **coffer__option_text(coffer_options *options, const coffer__option_row *row) {
    return (char **)(void *)((char *)options + row->offset);
}

/* Numbers live in fields of three widths: see options_internal.h. */
static void store_number(coffer_options *options, const coffer__option_row *row, uint64_t number) {
    void *field = (char *)options + row->offset;
    switch (row->kind) {
    case COFFER__KIND_BOOL:
        *(bool *)field = number != 0;
        break;
    case COFFER__KIND_CHOICE:
        *(int *)field = (int)number;
        break;
    case COFFER__KIND_PERCENT:
        *(uint32_t *)field = (uint32_t)number;
        break;
    default:
        *(uint64_t *)field = number;
    }
}

static uint64_t load_number(const coffer_options *options, const coffer__option_row *row) {
    const void *field = (const char *)options + row->offset;
    switch (row->kind) {
    case COFFER__KIND_BOOL:
        return *(const bool *)field;
    case COFFER__KIND_CHOICE:
        return (uint64_t) * (const int *)field;
    case COFFER__KIND_PERCENT:
        return *(const uint32_t *)field;
    default:
        return *(const uint64_t *)field;
    }
}

static bool has_control(coffer_slice text) {
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        if (byte < 0x20 || byte == 0x7F) {
            return true;
        }
    }
    return false;
}

static coffer_status assign_text(coffer_options *draft, const coffer__option_row *row, const option_limit *limit, coffer_slice value) {
    if (value.len < limit->minimum || value.len > limit->maximum || has_control(value) || (limit->is_fit != NULL && !limit->is_fit(value))) {
        return COFFER_OPTION;
    }
    char *copy = (char *)coffer__alloc(value.len + 1);
    if (copy == NULL) {
        return COFFER_NO_MEMORY;
    }
    if (value.len > 0) {
        memcpy(copy, value.data, value.len);
    }
    copy[value.len] = '\0';
    char **field = coffer__option_text(draft, row);
    coffer__wipe(*field, *field == NULL ? 0 : strlen(*field));
    coffer__release(*field);
    *field = copy;
    return COFFER_OK;
}

static coffer_status assign_number(coffer_options *draft, const coffer__option_row *row, const option_limit *limit, coffer_slice value) {
    uint64_t number = 0;
    bool is_read = row->kind == COFFER__KIND_CHOICE ? read_choice(index_of(row), value, &number) : kinds[row->kind].read(value, &number);
    if (!is_read || number < limit->minimum || number > limit->maximum) {
        return COFFER_OPTION;
    }
    store_number(draft, row, number);
    return COFFER_OK;
}

/* "one of 'default', 'strict', 'bytes'" where the row has no words of its own. */
static const char *allowed_words(size_t row, char *out, size_t cap) {
    if (limits[row].allowed != NULL) {
        return limits[row].allowed;
    }
    size_t len = (size_t)snprintf(out, cap, "one of");
    for (size_t i = 0; i < CHOICES; i++) {
        if (choices[i].row == row && len < cap) {
            len += (size_t)snprintf(out + len, cap - len, "%s '%s'", len == strlen("one of") ? "" : ",", choices[i].word);
        }
    }
    return out;
}

/* A value for an error: a secret never, and of what looks like a URL or a "user:password@host" only the end. */
static const char *show_value(const coffer__option_row *row, coffer_slice value, char out[COFFER__SHOWN_CAP + 3]) {
    if (coffer__option_is_secret(row)) {
        return "***";
    }
    size_t start = value.len;
    while (start > 0 && value.data[start - 1] != '@') {
        start--;
    }
    if (start == 0) {
        return coffer__show(value, out);
    }
    memcpy(out, "***", 3);
    (void)coffer__show(coffer_slice_of(value.data + start - 1, value.len - start + 1), out + 3);
    return out;
}

static coffer_status refuse(const coffer__option_row *row, coffer_slice value, const coffer__origin *origin, coffer_error *error) {
    char shown[COFFER__SHOWN_CAP + 3], words[96];
    const char *allowed = allowed_words(index_of(row), words, sizeof words);
    if (origin->hidden) {
        return coffer__error_set(error, COFFER_OPTION, "%s cannot be accepted: it must be %s", origin->what, allowed);
    }
    return coffer__error_set(error, COFFER_OPTION, "%s cannot be '%s': it must be %s", origin->what, show_value(row, value, shown), allowed);
}

coffer_status coffer__option_assign(coffer_options *draft, const coffer__option_row *row, coffer_slice value, const coffer__origin *origin,
                                    coffer_error *error) {
    const option_limit *limit = &limits[index_of(row)];
    coffer_status status = coffer__option_is_text(row) ? assign_text(draft, row, limit, value) : assign_number(draft, row, limit, value);
    if (status == COFFER_NO_MEMORY) {
        return coffer__options_no_memory(error);
    }
    if (status != COFFER_OK || (limit->settle != NULL && !limit->settle(draft))) {
        return refuse(row, value, origin, error);
    }
    return COFFER_OK;
}

size_t coffer__option_write(const coffer_options *options, const coffer__option_row *row, char out[COFFER__NUMBER_CAP]) {
    uint64_t number = load_number(options, row);
    return row->kind == COFFER__KIND_CHOICE ? write_choice(index_of(row), number, out) : kinds[row->kind].write(number, out);
}

coffer_status coffer__options_no_memory(coffer_error *error) {
    return coffer__error_set(error, COFFER_NO_MEMORY, "%s", coffer_status_text(COFFER_NO_MEMORY));
}
