#include "tls_context.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "policy/options_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 3, SECURITY_LEVEL = 2, HOST_CAP = 256 }; /* level 2: no SHA-1, no RSA below 2048 bits */

typedef struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} stamp;

struct coffer__tls_context {
    const coffer_options *options;
    pthread_mutex_t mutex; /* of what follows */
    SSL_CTX *ssl;
    stamp stamps[FILES]; /* of what `ssl` was made from, or could not be made from */
    bool stale; /* a forked child's: made by the parent; or in doubt */
    unsigned failed_count; /* handshakes in a row */
    atomic_bool warned;
};

/* ---- sentences -------------------------------------------------------------------------------------------------- */

/* The newest reason in OpenSSL's queue, which is empty then. Want of memory may be told by any of them: what came of it is told behind. */
static const char *reason(bool *out_of_memory) {
    unsigned long code, newest = ERR_peek_last_error();
    *out_of_memory = false;
    while ((code = ERR_get_error()) != 0) {
        *out_of_memory = *out_of_memory || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
    }
    const char *text = newest == 0 ? NULL : ERR_reason_error_string(newest);
    return text == NULL ? "OpenSSL refused it" : text;
}

static coffer_status refuse(coffer_error *error, const char *option, const char *path, const char *words) {
    bool out_of_memory;
    const char *why = reason(&out_of_memory);
    if (out_of_memory) {
        return coffer__error_set(error, COFFER_NO_MEMORY, "%s", coffer_status_text(COFFER_NO_MEMORY));
    }
    return coffer__error_set(error, COFFER_OPTION, "the option '%s': %s%s%s", option, path, path[0] == '\0' ? "" : ": ", words == NULL ? why : words);
}

/* Whether the file can be read at all; OpenSSL's own words for that are poor. */
static coffer_status check_readable(const char *option, const char *path, bool is_folder, coffer_error *error) {
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int failed = fd < 0 ? errno : 0;
    bool is_right = fd >= 0 && fstat(fd, &about) == 0 && (is_folder ? S_ISDIR(about.st_mode) : S_ISREG(about.st_mode));
    if (fd >= 0) {
        close(fd);
    }
    if (is_right) {
        return COFFER_OK;
    }
    ERR_clear_error();
    return refuse(error, option, path, failed != 0 ? strerror(failed) : is_folder ? "it is no folder" : "it is no regular file");
}

/* ---- authorities ------------------------------------------------------------------------------------------------ */

static bool is_there(const char *path) {
    return path != NULL && access(path, R_OK) == 0;
}

static bool has_default_places(void) {
    const char *file = getenv(X509_get_default_cert_file_env()), *folder = getenv(X509_get_default_cert_dir_env());
    return is_there(file != NULL ? file : X509_get_default_cert_file()) || is_there(folder != NULL ? folder : X509_get_default_cert_dir());
}

/* Where Debian, Fedora, openSUSE, Alpine and others keep them in one file. */
static const char *usual_place(void) {
    static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                         "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (is_there(places[i])) {
            return places[i];
        }
    }
    return NULL;
}

static coffer_status trust_system(SSL_CTX *ssl, coffer_error *error) {
    const char *place = has_default_places() ? "" : usual_place();
    if (place == NULL) {
        ERR_clear_error();
        return refuse(error, "tls_ca_file", "", "no certificates of authorities were found on this system: name a file of them");
    }
    bool loaded = place[0] == '\0' ? SSL_CTX_set_default_verify_paths(ssl) == 1 : SSL_CTX_load_verify_file(ssl, place) == 1;
    return loaded ? COFFER_OK : refuse(error, "tls_ca_file", place, NULL);
}

static coffer_status trust(SSL_CTX *ssl, const coffer_options *options, coffer_error *error) {
    const char *file = options->tls_ca_file, *folder = options->tls_ca_dir;
    coffer_status status = COFFER_OK;
    if (options->tls_insecure_skip_verify) {
        SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        return COFFER_OK;
    }
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (file[0] == '\0' && folder[0] == '\0') {
        return trust_system(ssl, error);
    }
    if (file[0] != '\0') {
        status = check_readable("tls_ca_file", file, false, error);
        if (status == COFFER_OK && SSL_CTX_load_verify_file(ssl, file) != 1) {
            status = refuse(error, "tls_ca_file", file, "it holds no certificate in PEM, or a broken one");
        }
    }
    if (status == COFFER_OK && folder[0] != '\0') {
        status = check_readable("tls_ca_dir", folder, true, error);
        if (status == COFFER_OK && SSL_CTX_load_verify_dir(ssl, folder) != 1) {
            status = refuse(error, "tls_ca_dir", folder, NULL);
        }
    }
    return status;
}

/* ---- our own certificate ---------------------------------------------------------------------------------------- */

/* Never asks a terminal. */
static int give_password(char *into, int cap, int writing, void *options) {
    const char *password = ((const coffer_options *)options)->tls_key_password;
    size_t len = strlen(password);
    (void)writing;
    if (len == 0 || cap < 0 || len > (size_t)cap) {
        return -1;
    }
    memcpy(into, password, len);
    return (int)len;
}

static coffer_status use_key(SSL_CTX *ssl, const coffer_options *options, coffer_error *error) {
    bool is_apart = options->tls_key_file[0] != '\0';
    const char *file = is_apart ? options->tls_key_file : options->tls_cert_file, *option = is_apart ? "tls_key_file" : "tls_cert_file";
    coffer_status status = check_readable(option, file, false, error);
    if (status != COFFER_OK) {
        return status;
    }
    if (SSL_CTX_use_PrivateKey_file(ssl, file, SSL_FILETYPE_PEM) == 1) {
        return COFFER_OK;
    }
    if (ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509) { /* X509_R_KEY_VALUES_MISMATCH and its kin */
        return refuse(error, option, file, "the key does not belong to the certificate in 'tls_cert_file'");
    }
    return refuse(error, option, file,
                  options->tls_key_password[0] == '\0' ? "it holds no private key in PEM, or one that needs 'tls_key_password'"
                                                       : "it holds no private key in PEM that 'tls_key_password' opens");
}

static coffer_status identify(SSL_CTX *ssl, const coffer_options *options, coffer_error *error) {
    const char *file = options->tls_cert_file;
    if (file[0] == '\0') {
        return options->tls_key_file[0] == '\0' ? COFFER_OK : refuse(error, "tls_key_file", "", "a key needs its certificate: give 'tls_cert_file'");
    }
    coffer_status status = check_readable("tls_cert_file", file, false, error);
    if (status == COFFER_OK && SSL_CTX_use_certificate_chain_file(ssl, file) != 1) {
        status = refuse(error, "tls_cert_file", file, "it holds no certificate in PEM, or one that OpenSSL refuses");
    }
    return status == COFFER_OK ? use_key(ssl, options, error) : status;
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

static coffer_status prepare(SSL_CTX *ssl, const coffer_options *options, coffer_error *error) {
    if (SSL_CTX_set_min_proto_version(ssl, options->tls_min_version == COFFER_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) != 1) {
        return refuse(error, "tls_min_version", "", NULL);
    }
    if (SSL_CTX_get_security_level(ssl) < SECURITY_LEVEL) {
        SSL_CTX_set_security_level(ssl, SECURITY_LEVEL);
    }
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ssl, 1); /* a record in one system call instead of two */
    SSL_CTX_set_default_passwd_cb(ssl, give_password);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, (void *)(uintptr_t)options);
    coffer_status status = trust(ssl, options, error);
    return status == COFFER_OK ? identify(ssl, options, error) : status;
}

static coffer_status make(SSL_CTX **made, const coffer_options *options, coffer_error *error) {
    ERR_clear_error();
    *made = SSL_CTX_new(TLS_client_method());
    coffer_status status = *made == NULL
                               ? coffer__error_set(error, COFFER_NO_MEMORY, "the cache cannot be opened: %s", coffer_status_text(COFFER_NO_MEMORY))
                               : prepare(*made, options, error);
    if (status != COFFER_OK) {
        SSL_CTX_free(*made);
        *made = NULL;
    }
    ERR_clear_error();
    return status;
}

static void take_stamps(const coffer_options *options, stamp stamps[FILES]) {
    const char *const files[FILES] = {options->tls_ca_file, options->tls_cert_file, options->tls_key_file};
    memset(stamps, 0, FILES * sizeof *stamps); /* they are compared as bytes */
    for (size_t i = 0; i < FILES; i++) {
        struct stat about;
        if (files[i][0] != '\0' && stat(files[i], &about) == 0) {
            stamps[i].device = about.st_dev;
            stamps[i].inode = about.st_ino;
            stamps[i].size = about.st_size;
            stamps[i].changed = about.st_ctim;
        }
    }
}

coffer_status coffer__tls_context_new(coffer__tls_context **context, const coffer_options *options, coffer_error *error) {
    *context = NULL;
    coffer__tls_context *made = (coffer__tls_context *)coffer__alloc_zero(sizeof *made);
    if (made == NULL) {
        return coffer__error_set(error, COFFER_NO_MEMORY, "the cache cannot be opened: %s", coffer_status_text(COFFER_NO_MEMORY));
    }
    made->options = options;
    take_stamps(options, made->stamps);
    coffer_status status = make(&made->ssl, options, error);
    if (status != COFFER_OK) {
        coffer__release(made);
        return status;
    }
    pthread_mutex_init(&made->mutex, NULL);
    *context = made;
    return COFFER_OK;
}

void coffer__tls_context_free(coffer__tls_context *context) {
    if (context != NULL) {
        SSL_CTX_free(context->ssl);
        ERR_clear_error(); /* without memory even that leaves words behind */
        pthread_mutex_destroy(&context->mutex);
        coffer__release(context);
    }
}

void coffer__tls_context_after_fork(coffer__tls_context *context) {
    if (context != NULL) {
        pthread_mutex_init(&context->mutex, NULL);
        context->stale = true;
    }
}

void coffer__tls_context_shook(coffer__tls_context *context, bool well) {
    pthread_mutex_lock(&context->mutex);
    unsigned failed = context->failed_count = well ? 0 : context->failed_count + 1;
    context->stale = context->stale || (failed > 0 && (failed & (failed - 1)) == 0);
    pthread_mutex_unlock(&context->mutex);
}

/* With the mutex held. A child that may no longer read the files (it gave up its rights) goes on with what its parent read; where memory was short the
 * next one tries again. */
static bool renew(coffer__tls_context *context, coffer_error *error) {
    stamp now[FILES];
    SSL_CTX *made;
    take_stamps(context->options, now);
    if (!context->stale && memcmp(now, context->stamps, sizeof now) == 0) {
        return true;
    }
    bool is_made = make(&made, context->options, error) == COFFER_OK;
    if (is_made) {
        SSL_CTX_free(context->ssl); /* connections that use it hold it */
        context->ssl = made;
    }
    context->stale = !is_made && error->status == COFFER_NO_MEMORY;
    memcpy(context->stamps, now, sizeof now);
    return is_made;
}

static SSL_CTX *take(coffer__tls_context *context) {
    coffer_error error = {COFFER_OK, ""};
    pthread_mutex_lock(&context->mutex);
    bool renewed = renew(context, &error);
    SSL_CTX *ssl = context->ssl;
    SSL_CTX_up_ref(ssl);
    pthread_mutex_unlock(&context->mutex);
    if (!renewed) {
        coffer__log(COFFER_LOG_CERTIFICATES_KEPT, error.status, "%s", error.text);
    }
    return ssl;
}

static bool is_address(const char *name) {
    struct in6_addr any;
    return inet_pton(AF_INET, name, &any) == 1 || inet_pton(AF_INET6, name, &any) == 1;
}

/* Only the names in the certificate's SAN count. An address is looked for among its IP addresses and not sent as SNI, which has none. */
static bool set_name(SSL *ssl, const char *name) {
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address(name)) {
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    }
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

int coffer__tls_context_names(SSL *ssl) {
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    const char *host = X509_VERIFY_PARAM_get0_host(param, 0);
    unsigned flags = X509_VERIFY_PARAM_get_hostflags(param);
    if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE) {
        return 1;
    }
    if (certificate == NULL || host != NULL) {
        return certificate == NULL ? 0 : X509_check_host(certificate, host, 0, flags, NULL);
    }
    char *address = X509_VERIFY_PARAM_get1_ip_asc(param);
    int is_right = address == NULL ? -1 : X509_check_ip_asc(certificate, address, flags);
    OPENSSL_free(address);
    return is_right;
}

SSL *coffer__tls_context_connection(coffer__tls_context *context, coffer_slice host) {
    char name[HOST_CAP];
    const char *given = context->options->tls_server_name;
    coffer_slice wanted = given[0] != '\0' ? coffer_slice_text(given) : host;
    if (wanted.len > 1 && wanted.data[wanted.len - 1] == '.') { /* "name." is that name, from the root */
        wanted.len--;
    }
    if (wanted.len == 0 || wanted.len >= sizeof name) {
        return NULL;
    }
    memcpy(name, wanted.data, wanted.len);
    name[wanted.len] = '\0';
    SSL_CTX *shared = take(context);
    ERR_clear_error();
    SSL *ssl = SSL_new(shared);
    SSL_CTX_free(shared);
    if (ssl != NULL && !set_name(ssl, name)) {
        SSL_free(ssl);
        ssl = NULL;
    }
    if (ssl != NULL) {
        SSL_set_connect_state(ssl);
    }
    ERR_clear_error();
    return ssl;
}

bool coffer__tls_context_must_warn(coffer__tls_context *context) {
    return context->options->tls_insecure_skip_verify && !atomic_exchange(&context->warned, true);
}
